"""The command `reverie`: finds the verb, imports it, and words its errors.

Exit codes: 0 done; 1 training, a worker or the memory could not go on; 2 the input or a file cannot be used; 70 a fault
of reverie; 130 stopped by Ctrl-C. Every error is one sentence on standard error. That of a fault says which file holds
the traceback. A warning is one sentence there too, `note: ...`.
"""

import errno
import re
import shlex
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence

from reverie.cli.verbs import VERBS, module_of
from reverie.core.errors import InputError, ReverieError, TrainingError, WorkerError, nearest
from reverie.core.resources import keep_freed_memory
from reverie.core.streams import lenient_streams, print_note

__all__ = ["VERBS", "main"]

_TRAINING = ("run", "fit", "resume", "tune", "demo")  # verbs whose steps ask for the same memory again and again
_EXAMPLES = (
    "reverie demo",
    "reverie run gan dimuon_z --columns pt1,eta1,phi1,pt2,eta2,phi2 --out runs/z",
    "reverie sample runs/z -n 1000000 -o samples.parquet",
)
_DISK = {errno.ENOSPC: "no space left", errno.EDQUOT: "quota exceeded", errno.EFBIG: "file size limit reached"}
_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")  # as torch words it


def main(argv: Sequence[str] | None = None) -> int:
    """Run `reverie` with the arguments `argv` and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with lenient_streams() as (out, _), warnings.catch_warnings():
        warnings.showwarning = print_note
        code = _guarded(arguments)
        out.flush()
        if isinstance(out.error, OSError) and out.error.errno and not isinstance(out.error, BrokenPipeError):
            code = code or _say(f"Expected to print the results, got: {out.error.strerror}. Files are complete.", 2)
        return code


def _guarded(arguments: list[str]) -> int:
    """Return the exit code; all errors are worded."""
    try:
        return _dispatch(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else _say(str(stop.code), 1)
    except KeyboardInterrupt:
        return _say("Stopped.", 130)
    except (TrainingError, WorkerError) as error:  # Ctrl-C ends workers too, which may be seen first
        return _say("Stopped.", 130) if _was_interrupted(error) else _say(_with_page(error), 1)
    except ReverieError as error:
        return _say(_with_page(error), 2)
    except OSError as error:
        return _say(_system_sentence(error), 2)
    except Exception as error:  # the last net: what nobody thought of
        if _was_interrupted(error):
            return _say("Stopped.", 130)
        if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
            return _say(f"Expected room in the memory, got: {_first_line(error)}. Ask for less at a time.", 1)
        return _say(_fault_sentence(arguments, error), 70)


def _dispatch(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help", "help"):
        width = max(map(len, VERBS))
        lines = [
            "reverie: generative models for the physical sciences",
            "",
            "usage: reverie VERB ...       reverie VERB --help tells more",
            "",
            *(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()),
            "",
            "examples:",
            *(f"  {example}" for example in _EXAMPLES),
            "",
            "  --version                       print the version",
            '  --print-completion bash|zsh     shell completion: eval "$(reverie --print-completion bash)"',
        ]
        print("\n".join(lines))
        return 0
    if first in ("-V", "--version"):
        from reverie.core.version import __version__

        print(f"reverie {__version__}")
        return 0
    if first == "--print-completion":
        from reverie.cli.completion import completion_script

        print(completion_script(arguments[1] if len(arguments) > 1 else ""))
        return 0
    if first not in VERBS:
        close = nearest(first, VERBS)
        hint = f"Did you mean {f'reverie {close}'!r}? " if close else ""
        sort = "option" if first.startswith("-") else "verb"
        raise InputError(f"Unknown {sort} {first!r}. {hint}See: reverie --help")
    if first in _TRAINING:
        keep_freed_memory()
    return module_of(first).main(arguments[1:])


def _say(sentence: str, code: int) -> int:
    line = " ".join(sentence.splitlines())
    print(f"reverie: {line}" if code == 130 else f"error: {line}", file=sys.stderr)
    return code


def _with_page(error: ReverieError) -> str:
    return f"{error} More: reverie explain {error.page}" if error.page else str(error)


def _system_sentence(error: OSError) -> str:
    where = f" at {str(error.filename)!r}" if error.filename else ""
    is_short = error.errno is None and re.search(r"requested and \d+ written", str(error))  # as NumPy words it
    if error.errno in _DISK or is_short:
        got = "no space left, or a limit of the file size" if is_short else _DISK[error.errno or 0]
        return f"Expected room on the disk, got: {got}{where}. Free some space, then 'reverie resume'."
    reason = error.strerror or _first_line(error)
    return f"Expected a file or folder that can be used, got: {reason}{where}. Check the path."


def _was_interrupted(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind an error: a library that is stopped while it loads raises one of its own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__).rstrip(".")[:300]


def _fault_sentence(arguments: list[str], error: Exception) -> str:
    """Write the trace to a file and return the sentence that names it."""
    trace = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="reverie-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            file.write(f"$ reverie {shlex.join(arguments)}\n\n{trace}")
        place = f"The traceback is in {file.name}; please report it with that file."
    except OSError:
        place = "Its traceback could not be written. Please report the command."
    what = f"{type(error).__name__}: {_first_line(error)}"
    return f"Expected this to work, got a fault of reverie, not of yours ({what}). {place}"
