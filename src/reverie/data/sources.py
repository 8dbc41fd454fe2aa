"""Files of events, read by their suffix.

The formats are listed in `reverie.data.formats`.

A large table (`reverie.core.lazy`) in Parquet, HDF5 or ROOT is unpacked once into a memory map (see
`reverie.data.formats.unpacked`); an HDF5 data set in one piece is one already.

Where a file holds several things, write which one after a colon, ``events.root:tree``, or give
`key`. Pickles are never loaded: they can run code.

`read` answers for the form of a file: that it exists, is not empty, has one shape, and has numbers
where numbers belong. NaN and constant columns are let through, so that ``reverie data describe`` can
show them; `reverie.data.dataset.check_trainable` refuses them before a model is trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reverie.core.arguments import checked
from reverie.core.errors import InputError, ReverieError, UnknownNameError, nearest
from reverie.core.lazy import LazyTable, is_large
from reverie.core.tables import Raw
from reverie.data.dataset import Dataset
from reverie.data.formats import READERS, Format, suffix_of
from reverie.data.inference import infer_schema
from reverie.data.schema import Schema, split_unit

__all__ = ["READERS", "read"]


@checked
def read(
    path: str | Path,
    columns: Sequence[str] | str | None = None,
    *,
    drop_missing: bool = False,
    weights: str | None = None,
    key: str | None = None,
    kind: str | Sequence[str] | Mapping[str, str] | None = None,
) -> Dataset:
    """Read a file of events.

    Parameters
    ----------
    path : the file; ``file.root:tree`` names one of several things inside.
    columns : names to keep, a list or one string "a,b,c", in that order. Formats that can, read only these. Of a
        file of sets of particles, either features of the particles, or columns of the sets, which are a table.
    drop_missing : leave out events with NaN or infinite entries.
    weights : name of the column of event weights; it is taken out of the values. Of sets, a column of the sets.
    key : what to read from a file of several arrays, data sets or trees.
    kind : kinds of columns that are known better than guessed; see `Dataset`.

    Raises
    ------
    InputError
        If the file is absent, empty, of an unknown format, or not made of events; the message says
        what was found, where, and what to do.
    MissingDependencyError
        If an optional library is needed; the message says what to install.
    """
    try:
        file, inner = _located(path, key)
    except (OSError, ValueError) as error:
        if isinstance(error, ReverieError):
            raise
        raise InputError(f"Expected a path of a file, got {_printable(path)} ({_short(error)}). Correct it.") from None
    names = _chosen(columns, weights)
    form = _form(file)
    try:
        raw = form.reader()(file, inner, names)
    except ReverieError:
        raise
    except Exception as error:  # what a library raises over a damaged file is not foreseen; the remedy is the same
        raise _unreadable(file, form.content, error) from None
    provenance: dict[str, object] = {"source": str(file), "format": suffix_of(file), "rows_in_file": len(raw.values)}
    if inner is not None:
        provenance["key"] = inner
    mapped_from = getattr(raw.values, "filename", None)
    if mapped_from is not None and Path(mapped_from) != file.resolve():
        provenance["memory_map"] = str(mapped_from)
    if len(raw.values) == 0:
        raise InputError(f"Expected events in {file.name}, got none. Check how the file was written.")
    values = LazyTable(raw.values) if is_large(raw.values) else raw.values
    labels = {split_unit(name)[0]: words for name, words in raw.labels.items()}
    schema = infer_schema(values, raw.names, kind=kind, dtypes=raw.dtypes, labels=labels)
    if schema.is_set:
        data = _sets(values, schema, raw.beside, weights, names, provenance)
    else:
        data = Dataset(values, schema=schema, provenance=provenance)
        data = data if names is None or data.names == names else data.select(names)
        data = data if weights is None else Dataset(data, weights=weights)
    return data.drop_missing() if drop_missing else data


def _sets(
    values: Any,
    schema: Schema,
    beside: Raw | None,
    weights: str | None,
    names: Sequence[str] | None,
    provenance: dict[str, object],
) -> Dataset:
    """Return sets of particles with the weights among the columns `beside` them; the others are only named."""
    columns = {} if beside is None else dict(zip(beside.names or (), beside.values.T, strict=True))
    columns = {split_unit(name)[0]: x for name, x in columns.items()}
    if weights is not None and weights not in columns:
        raise UnknownNameError("column of the sets", weights, columns)
    if weights is not None and beside is not None and any(split_unit(name)[0] == weights for name in beside.labels):
        raise InputError(f"Expected numbers as event weights, got words in {weights!r}. Name another column.")
    others = [name for name in columns if name != weights]
    if names is not None and others:
        raise InputError(
            f"Expected columns of particles, or columns of the sets, got both: {schema.names[0]!r} and {others[0]!r}. "
            "Columns of the sets are conditions (--condition) of a model, or weights (--weights)."
        )
    if others:
        provenance["columns_of_the_sets"] = ", ".join(others)
    w = None if weights is None else columns[weights]
    return Dataset(values, schema=schema, weights=w, provenance=provenance)


def _chosen(columns: Sequence[str] | str | None, weights: str | None) -> list[str] | None:
    if columns is None:
        return None
    names = [c.strip() for c in columns.split(",") if c.strip()] if isinstance(columns, str) else list(columns)
    if weights in names:
        raise InputError(f"Expected the weights {weights!r} outside the columns, got them in both. Leave them out.")
    return names if weights is None else [*names, weights]


def _located(path: str | Path, key: str | None) -> tuple[Path, str | None]:
    file = Path(path).expanduser()
    inner = key
    if any(letter < " " or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in str(file)):
        raise InputError(f"Expected a path of printable letters in UTF-8, got {_printable(path)}. Rename the file.")
    if not file.exists() and ":" in str(file):
        head, _, tail = str(file).rpartition(":")
        if suffix_of(Path(head)) in READERS:
            file, inner = Path(head), tail
    if not file.exists():
        missing = f"Expected a file at {file}, got"
        if file.is_symlink():
            raise InputError(f"{missing} a link that leads to none. Correct the link.")
        if not file.parent.is_dir():
            raise InputError(f"{missing} no folder {file.parent}. Correct the path.")
        close = nearest(file.name, [entry.name for entry in file.parent.iterdir() if entry.is_file()])
        raise InputError(f"{missing} none. {f'Did you mean {file.parent / close}?' if close else 'Correct the path.'}")
    if file.is_dir():
        raise InputError(f"Expected a file of events, got the folder {file}. Name a file inside it.")
    if not file.is_file():  # reading a pipe or a device could wait for ever
        raise InputError(f"Expected a file of events, got {file}, a pipe or a device. Write its content to a file.")
    if file.stat().st_size == 0:
        raise InputError(f"Expected events in {file.name}, got an empty file (0 bytes). Check how it was written.")
    return file, inner


def _form(file: Path) -> Format:
    suffix = suffix_of(file)
    if suffix in READERS:
        return READERS[suffix]
    if suffix in {".pkl", ".pickle", ".pt", ".pth", ".joblib"}:
        raise InputError(
            f"Expected a file of numbers, got the pickle {file.name}, which can run code. Save it as .npy."
        )
    known = " ".join(READERS)
    raise InputError(f"Expected a file with one of the suffixes {known}, got {file.name}. Convert it to one of these.")


def _unreadable(path: Path, wanted: str, error: Exception) -> InputError:
    try:
        with path.open("rb") as file:
            numpy_file = file.read(6) in (b"\x93NUMPY", b"PK\x03\x04\x14\x00", b"PK\x03\x04-\x00")
    except OSError as denied:
        return InputError(
            f"Expected {wanted} in {path.name}, got no access ({_short(denied)}). Change its permissions."
        )
    if isinstance(error, MemoryError):
        reason = f"more than the memory holds ({_short(error)})"
    elif "bject" in str(error) and numpy_file:
        reason = "Python objects, which are pickles and are never loaded"
    elif "pickle" in str(error):
        reason = "a file that does not start like one"
    else:
        reason = f"something else ({_short(error)})"
    return InputError(f"Expected {wanted} in {path.name}, got {reason}. Write the file again.")


def _printable(path: str | Path) -> str:
    """Return a path of any bytes as a message can hold it."""
    text = repr(str(path))
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} letters)"


def _short(error: Exception) -> str:
    words = " ".join(str(error).encode("utf-8", "backslashreplace").decode().split())
    return words[:120] or type(error).__name__
