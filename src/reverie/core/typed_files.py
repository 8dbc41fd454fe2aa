"""Files that reverie wrote and reads back: checked by type, so that damage is one sentence with file and field.

A type says what a reader of the file relies on. Unknown keys are let be and absent ones may have defaults, so folders
of older and newer versions still load; what is null, of another type or cut short is named by its place, such as
``training.step``. Arrays are numbers without pickled objects.
"""

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import yaml

from reverie.core.errors import InputError, ReverieError

__all__ = ["checked", "digest_of_file", "read_array", "read_arrays", "read_json", "read_lines", "read_yaml", "rebuilt"]

T = TypeVar("T")
MakeError = Callable[[str], ReverieError]
_WORDS = {"object": "named entries", "array": "a list", "str": "text", "int": "a whole number", "float": "a number",
          "bool": "true or false", "null": "null"}  # fmt: skip
_MISFITS = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
)


def read_json(path: str | Path, kind: object, *, remedy: str, error: MakeError = InputError) -> Any:
    """Return the content of a JSON file as it stands, once it is checked to be of the type `kind`.

    Raises an error of the class `error`: one sentence, with the file and the field.

    Parameters
    ----------
    path : file that is there.
    kind : type that msgspec knows, such as a `msgspec.Struct` or a dataclass with the fields that are relied on.
    remedy : sentence that says what to do about a damaged file.
    error : class of the error that is raised.
    """

    def refuse(word: str) -> None:
        raise ValueError(f"{word}, which JSON has not")

    content = _parsed(path, lambda text: json.loads(text, parse_constant=refuse), "JSON", remedy, error)
    checked(content, kind, path, remedy=remedy, error=error)
    return content


def read_yaml(path: str | Path, kind: object, *, remedy: str, error: MakeError = InputError) -> Any:
    """Return the content of a YAML file as it stands, once it is checked; arguments and errors as in `read_json`."""
    content = _parsed(path, yaml.safe_load, "YAML", remedy, error)
    checked(content, kind, path, remedy=remedy, error=error)
    return content


def read_lines(path: str | Path, kind: object, *, remedy: str) -> list[Any]:
    """Return the contents of a file of JSON lines, checked as in `read_json`; a last line cut short is left out.

    NaN and infinite numbers are let be: what is measured may not be finite.
    """
    text = _parsed(path, str, "lines of JSON", remedy, InputError)
    lines, records = text.splitlines(), []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines) and not text.endswith("\n"):
                break  # the process was killed while it wrote
            raise InputError(f"Expected JSON in line {number} of {str(path)!r}, got other content. {remedy}") from None
        checked(record, kind, path, remedy=remedy, where=f"line {number}")
        records.append(record)
    return records


def checked(
    content: object,
    kind: type[T] | Any,
    path: str | Path,
    *,
    remedy: str,
    where: str = "",
    error: MakeError = InputError,
) -> T:
    """Return `content`, read from `path`, as the type `kind`; raise as `read_json` does. `where` is a place in it."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as found:
        if isinstance(found.__cause__, ReverieError):  # what the type itself asks of its fields
            raise error(f"{str(found.__cause__).rstrip('.')}. That is in {str(path)!r}.") from None
        # a message of msgspec, such as "Expected `int`, got `str` - at `$.a`", as a sentence in our words
        said, _, place = str(found).partition(" - at ")
        field = place.strip("`").removeprefix("$").removeprefix(".").replace("`", "")
        inside = f"{f' at {field}' if field else ''} in {f'{where} of ' if where else ''}{str(path)!r}"
        sentence = f"{said.replace('`', '').rstrip('.')}{inside}, got something else."
        if missing := re.fullmatch(r"Object missing required field `(.+)`", said):
            sentence = f"Expected the entry {missing[1]!r}{inside}, got none."
        elif kinds := re.fullmatch(r"Expected `(.+)`, got `(.+)`", said):
            wanted = " or ".join(_WORDS.get(word.strip(), word.strip()) for word in kinds[1].split("|"))
            sentence = f"Expected {wanted}{inside}, got {_WORDS.get(kinds[2], kinds[2])}."
        raise error(f"{sentence} {remedy}") from None
    except (OverflowError, RecursionError):
        raise error(f"Expected numbers of usual size in {str(path)!r}, got others. {remedy}") from None


def read_array(
    path: str | Path, *, remedy: str, event_shape: Sequence[int] | None = None, axes: int | None = None
) -> np.ndarray:
    """Return the numbers in a .npy file.

    Raises `InputError` for a damaged file, another shape, and numbers that are not finite.

    Parameters
    ----------
    path : file that is there.
    remedy : sentence that says what to do about a damaged file.
    event_shape : lengths of the last axes that are asked for.
    axes : how many axes are asked for, those of the events among them.
    """
    with _unpacking(path, remedy):
        array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(f"Expected one array in {str(path)!r}, got an archive of several. {remedy}")
    _check_numbers(array, path, remedy)
    shape = tuple(event_shape or ())
    if (axes is not None and array.ndim != axes) or array.shape[array.ndim - len(shape) :] != shape:
        wanted = ", ".join(["n"] * ((axes or 1 + len(shape)) - len(shape)) + [str(k) for k in shape])
        raise InputError(f"Expected an array ({wanted}) in {str(path)!r}, got shape {array.shape}. {remedy}")
    return array


def read_arrays(path: str | Path, names: Iterable[str], *, remedy: str) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file by name, `names` among them; raises as `read_array` does."""
    with _unpacking(path, remedy):
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise InputError(f"Expected named arrays in {str(path)!r}, got one without a name. {remedy}")
        with found:
            arrays = {name: found[name] for name in found.files}
    for name in names:
        if name not in arrays:
            raise InputError(f"Expected the array {name!r} in {str(path)!r}, got none. {remedy}")
        _check_numbers(arrays[name], path, remedy)
    return arrays


@contextmanager
def rebuilt(what: str, place: str | Path, *, remedy: str, error: MakeError = InputError) -> Iterator[None]:
    """Turn what goes wrong while an object is rebuilt from files into one sentence; errors of reverie pass.

    Parameters
    ----------
    what : the object, such as "a saved model".
    place : file or folder that it was read from.
    remedy, error : Sentence that says what to do, and class of the error, as in `read_json`.
    """
    try:
        yield
    except ReverieError:
        raise
    except _MISFITS as found:
        said = " ".join(str(found).split())[:200]
        cause = f"{type(found).__name__}: {said}" if said else type(found).__name__
        raise error(f"Expected {what} in {str(place)!r}, got content that does not fit ({cause}). {remedy}") from found


def digest_of_file(path: str | Path) -> str:
    """Return the SHA-256 of a file, as `sha256sum` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parsed(path: str | Path, parse: Callable[[str], T], form: str, remedy: str, error: MakeError) -> T:
    try:
        return parse(Path(path).read_text(encoding="utf-8"))
    except OSError as found:
        raise error(f"Expected to read {str(path)!r}, got: {found.strerror}. {remedy}") from None
    except (ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as found:
        said = "nesting that is too deep" if isinstance(found, RecursionError) else " ".join(str(found).split())
        raise error(f"Expected {form} in {str(path)!r}, got: {said[:200].rstrip('.')}. {remedy}") from None


@contextmanager
def _unpacking(path: str | Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except ReverieError:
        raise
    except (OSError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error, *_MISFITS) as error:
        raise InputError(
            f"Expected numbers as NumPy writes them in {str(path)!r}, got a damaged file ({type(error).__name__}). "
            f"{remedy}"
        ) from None


def _check_numbers(array: np.ndarray, path: str | Path, remedy: str) -> None:
    if array.dtype.kind not in "fiub":
        raise InputError(f"Expected an array of numbers in {str(path)!r}, got one of {array.dtype}. {remedy}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise InputError(f"Expected finite numbers in {str(path)!r}, got {bad} that are not. {remedy}")
