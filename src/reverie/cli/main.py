"""The command `reverie`: finds the verb, imports it, and words its errors.

Exit codes: 0 done; 1 training or a worker could not go on; 2 the input cannot be used; 130 stopped by Ctrl-C.
An error that we expect is one sentence on standard error. A traceback means a fault of ours.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence

from reverie.core.errors import InputError, ReverieError, TrainingError, WorkerError, nearest

__all__ = ["VERBS", "main"]

VERBS = {
    "run": "train a model, sample it, validate the samples, write the report",
    "fit": "train a model into a run folder",
    "sample": "draw samples from a trained model into a file",
    "validate": "compare generated with real data: p-values, errors, a verdict",
    "compare": "rank runs with error bars; which differences are significant",
    "report": "write the report of a run folder anew",
    "resume": "carry on an interrupted run",
    "tune": "search for better options of a model, judged by held-out events",
    "export": "write a trained model as a graph for C++: ONNX or torch.export",
    "simulate": "draw configurations of an Ising model into a file",
    "explore": "components, dimension, clusters, forests: what the data say",
    "data": "list, fetch and describe data",
    "info": "versions, devices, threads and a five-second self-test",
    "cite": "BibTeX of reverie and of the methods used",
    "demo": "the whole path on handwritten digits, in a few minutes",
}
_EXAMPLES = (
    "reverie demo",
    "reverie run gan dimuon_z --columns pt1,eta1,phi1,pt2,eta2,phi2 --out runs/z",
    "reverie sample runs/z -n 1000000 -o samples.parquet",
)
_DISK = {errno.ENOSPC: "no space left", errno.EDQUOT: "quota exceeded", errno.EFBIG: "file size limit reached"}
_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `reverie` with the arguments `argv` and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return _say("Stopped.", 130)
    except (TrainingError, WorkerError) as error:
        return _say(str(error), 1)
    except ReverieError as error:
        return _say(str(error), 2)
    except OSError as error:
        return _say(_system_sentence(error), 2)


def _dispatch(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help", "help"):
        print(_help())
        return 0
    if first in ("-V", "--version"):
        from importlib.metadata import version

        print(f"reverie {version('reverie')}")
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
    return importlib.import_module(f"reverie.cli.{first}").main(arguments[1:])


def _help() -> str:
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
    return "\n".join(lines)


def _say(sentence: str, code: int) -> int:
    print(f"reverie: {sentence}" if code == 130 else f"error: {sentence}", file=sys.stderr)
    return code


def _system_sentence(error: OSError) -> str:
    where = f" at {str(error.filename)!r}" if error.filename else ""
    if error.errno in _DISK:
        return f"Expected room on the disk, got: {_DISK[error.errno]}{where}. Free some space, then 'reverie resume'."
    if error.errno in _PLACE:
        return f"Expected a file or folder that can be used, got: {error.strerror}{where}. Check the path."
    raise error
