"""Files of events, read by their suffix.

suffix                          format    what is read
.npy                            NumPy     one array, left on disk as a memory map
.npz                            NumPy     one array, or one-dimensional arrays of equal length as columns
.csv .tsv .txt .dat .data       text      see `reverie.data.text`; also compressed, as .csv.gz
.parquet .pq                    Parquet   columns of numbers or words (extra ``io``)
.h5 .hdf5                       HDF5      one data set, or one-dimensional ones as columns (extra ``io``)
.root                           ROOT      a TTree or RNTuple of flat branches (extra ``root``)

A large table (`reverie.core.lazy`) in Parquet, HDF5 or ROOT is unpacked once into a memory map (see
`reverie.data.conversion`); an HDF5 data set in one piece is one already.

Where a file holds several things, write which one after a colon, ``events.root:tree``, or give
`key`. Pickles are never loaded: they can run code.

`read` answers for the form of a file: that it exists, is not empty, has one shape, and has numbers
where numbers belong. NaN and constant columns are let through, so that ``reverie data describe`` can
show them; `reverie.data.dataset.check_trainable` refuses them before a model is trained.
"""

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_memory
from reverie.core.containers import Raw, check_width, join_columns, to_raw
from reverie.core.errors import InputError, MissingDependencyError, ReverieError, UnknownNameError, nearest
from reverie.core.lazy import LazyTable, exceeds_memory, is_large
from reverie.data.conversion import mapped
from reverie.data.dataset import Dataset
from reverie.data.schema import infer_schema, split_unit
from reverie.data.text import read_text

__all__ = ["READERS", "read"]

_ROWS_AT_ONCE = 1 << 17  # unpacked into a memory map

Reader = Callable[[Path, str | None, list[str] | None], Raw]


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
    columns : names to keep, a list or one string "a,b,c", in that order. Formats that can, read only these.
    drop_missing : leave out events with NaN or infinite entries.
    weights : name of the column of event weights; it is taken out of the values.
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
    form, reader = _form(file)
    try:
        raw = reader(file, inner, names)
    except ReverieError:
        raise
    except Exception as error:  # what a library raises over a damaged file is not foreseen; the remedy is the same
        raise _unreadable(file, form, error) from None
    provenance: dict[str, Any] = {"source": str(file), "format": _suffix(file), "rows_in_file": len(raw.values)}
    if inner is not None:
        provenance["key"] = inner
    mapped_from = getattr(raw.values, "filename", None)
    if mapped_from is not None and Path(mapped_from) != file.resolve():
        provenance["memory_map"] = str(mapped_from)
    if len(raw.values) == 0:
        raise InputError(f"Expected events in {file.name}, got none. Check how the file was written.")
    values: Any = LazyTable(raw.values) if is_large(raw.values) else raw.values
    schema = infer_schema(values, raw.names, kind=kind, dtypes=raw.dtypes, labels=_plain_labels(raw))
    data = Dataset(values, schema=schema, provenance=provenance)
    if names is not None and data.names != names:
        data = data.select(names)
    if weights is not None:
        data = Dataset(data.values, schema=data.schema, weights=weights, provenance=provenance)
    return data.drop_missing() if drop_missing else data


def _plain_labels(raw: Raw) -> dict[str, tuple[str, ...]]:
    return {split_unit(name)[0]: words for name, words in raw.labels.items()}


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
        if _suffix(Path(head)) in READERS:
            file, inner = Path(head), tail
    if not file.exists():
        raise InputError(_absent(file))
    if file.is_dir():
        raise InputError(f"Expected a file of events, got the folder {file}. Name a file inside it.")
    if not file.is_file():  # reading a pipe or a device could wait for ever
        raise InputError(f"Expected a file of events, got {file}, a pipe or a device. Write its content to a file.")
    if file.stat().st_size == 0:
        raise InputError(f"Expected events in {file.name}, got an empty file (0 bytes). Check how it was written.")
    return file, inner


def _absent(file: Path) -> str:
    folder = file.parent
    if file.is_symlink():
        return f"Expected a file at {file}, got a link that leads to none. Correct the link."
    if not folder.is_dir():
        return f"Expected a file at {file}, got no folder {folder}. Correct the path."
    close = nearest(file.name, [entry.name for entry in folder.iterdir() if entry.is_file()])
    hint = f"Did you mean {folder / close}?" if close else "Correct the path."
    return f"Expected a file at {file}, got none. {hint}"


def _suffix(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else (suffixes or [""])[-1]


def _form(file: Path) -> tuple[str, Reader]:
    """Return what a file of this suffix should be, and its reader."""
    suffix = _suffix(file)
    if suffix in READERS:
        return READERS[suffix]
    if suffix in {".pkl", ".pickle", ".pt", ".pth", ".joblib"}:
        raise InputError(
            f"Expected a file of numbers, got the pickle {file.name}, which can run code. Save it as .npy."
        )
    known = " ".join(READERS)
    raise InputError(f"Expected a file with one of the suffixes {known}, got {file.name}. Convert it to one of these.")


def _read_text(path: Path, key: str | None, names: list[str] | None) -> Raw:
    if key is not None:
        raise InputError(f"Expected a plain path for text, got {path.name}:{key}. Leave out what follows the colon.")
    return read_text(path, names)


def _read_npy(path: Path, key: str | None, names: list[str] | None) -> Raw:
    return to_raw(_as_events(np.load(path, mmap_mode="r", allow_pickle=False)))


def _as_events(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, 1) if array.ndim == 1 and array.dtype.names is None else array


def _read_npz(path: Path, key: str | None, names: list[str] | None) -> Raw:
    with zipfile.ZipFile(path) as archive:
        sizes = [entry.file_size for entry in archive.infolist()]
    check_memory(sum(sizes), f"the arrays in {path.name}", "Save each as .npy, which is read where it lies.")
    with np.load(path, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    return _one_of({name: x for name, x in found.items() if isinstance(x, np.ndarray)}, path, key, names)


def _read_hdf5(path: Path, key: str | None, names: list[str] | None) -> Raw:
    try:
        import h5py
    except ModuleNotFoundError:
        raise MissingDependencyError("h5py", "io", "read HDF5 files") from None
    with h5py.File(path, "r") as file:
        found: dict[str, Any] = {}
        file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
        return _one_of(found, path, key, names)


def _read_parquet(path: Path, key: str | None, names: list[str] | None) -> Raw:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise MissingDependencyError("pyarrow", "io", "read Parquet files") from None
    file = pq.ParquetFile(path)
    plain = [split_unit(field)[0] for field in file.schema_arrow.names]
    _check_names(plain, path)
    fields = dict(zip(plain, file.schema_arrow.names, strict=True))
    wanted = plain if names is None else [_known(name, fields) for name in names]
    check_width(len(wanted), path.name)
    if exceeds_memory((file.metadata.num_rows, len(wanted))):
        found = _mapped_parquet(path, file, {fields[name]: name for name in wanted}, pa)
        if found is not None:
            return found
    # a name with a dot would be taken for a field within a column, so all are read where there is one
    dotted = any("." in fields[name] for name in wanted)
    table = file.read(columns=None if dotted else [fields[name] for name in wanted])
    return join_columns({fields[name]: _arrow_column(table[fields[name]], name, pa) for name in wanted})


def _mapped_parquet(path: Path, file: Any, wanted: Mapping[str, str], pa: Any) -> Raw | None:
    """Return the columns of numbers of a large file from a memory map; None where some hold words."""
    kinds = [file.schema_arrow.field(name).type for name in wanted]
    if not all(pa.types.is_integer(k) or pa.types.is_floating(k) or pa.types.is_boolean(k) for k in kinds):
        return None
    dtypes = [np.dtype(k.to_pandas_dtype()) for k in kinds]
    groups = [file.metadata.row_group(g) for g in range(file.metadata.num_row_groups)]
    places = [file.schema_arrow.get_field_index(name) for name in wanted]
    for j, place in enumerate(places):
        found = [group.column(place).statistics for group in groups]
        if dtypes[j].kind != "f" and any(one is None or one.null_count for one in found):
            dtypes[j] = np.dtype(np.float64)  # what is missing becomes NaN

    def blocks() -> Iterator[np.ndarray]:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=list(wanted)):
            columns = [_arrow_column(batch.column(name), shown, pa) for name, shown in wanted.items()]
            yield np.stack([x.astype(dtype) for x, dtype in zip(columns, dtypes, strict=True)], axis=1)

    shape, n_rows, dtype = (len(wanted),), file.metadata.num_rows, np.result_type(*dtypes)
    values = mapped(path, list(wanted), event_shape=shape, dtype=dtype, n_rows=n_rows, blocks=blocks)
    return Raw(values, list(wanted), [dtype.name for dtype in dtypes])


def _read_root(path: Path, key: str | None, names: list[str] | None) -> Raw:
    try:
        import uproot
    except ModuleNotFoundError:
        raise MissingDependencyError("uproot", "root", "read ROOT files") from None
    opened: Any = uproot.open(path)
    with opened as file:
        classes = file.classnames(cycle=False)
        trees = [name for name, kind in classes.items() if kind in ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")]
        tree = file[_pick(trees, path, key, "tree")]
        branches: list[str] = list(tree.keys())
        wanted = branches if names is None else [_known(name, branches) for name in names]
        check_width(len(wanted), path.name)
        if exceeds_memory((tree.num_entries, len(wanted))):
            return _mapped_root(path, tree, wanted)
        columns = tree.arrays(wanted, library="np")
    return join_columns(_flat(columns, wanted))


def _mapped_root(path: Path, tree: Any, wanted: list[str]) -> Raw:
    """Return the branches of a large tree from a memory map."""
    first = join_columns(_flat(tree.arrays(wanted, library="np", entry_stop=2), wanted))
    if first.labels:
        return join_columns(_flat(tree.arrays(wanted, library="np"), wanted))

    def blocks() -> Iterator[np.ndarray]:
        for columns in tree.iterate(wanted, library="np", step_size=_ROWS_AT_ONCE):
            yield join_columns(_flat(columns, wanted)).values

    shape, dtype, n_rows = first.values.shape[1:], first.values.dtype, tree.num_entries
    values = mapped(path, [tree.name, *wanted], event_shape=shape, dtype=dtype, n_rows=n_rows, blocks=blocks)
    return Raw(values, first.names, first.dtypes)


def _flat(columns: Mapping[str, np.ndarray], wanted: Sequence[str]) -> dict[str, np.ndarray]:
    jagged = [name for name in wanted if columns[name].dtype == object and not _is_text(columns[name])]
    flat: dict[str, np.ndarray] = {}
    for name in wanted:
        x = columns[name]
        if x.ndim == 2:
            flat.update({f"{name}_{k}": x[:, k] for k in range(x.shape[1])})
        else:
            flat[name] = x
    if jagged:
        rest = ",".join(name for name in wanted if name not in jagged)[:120]
        raise InputError(
            f"Expected one number per event in every branch, got a varying number in {', '.join(jagged[:6])}. "
            f"Choose flat branches, as in --columns {rest or 'a,b'}."
        )
    return flat


def _is_text(x: np.ndarray) -> bool:
    return len(x) > 0 and isinstance(x[0], str)


def _one_of(found: Mapping[str, Any], path: Path, key: str | None, names: list[str] | None) -> Raw:
    """Return one array of several, or arrays of one axis and one length as columns."""
    numbers = {name: item for name, item in found.items() if item.dtype.kind in "biufV" and item.ndim > 0}
    flat = [name for name, item in numbers.items() if item.ndim == 1 and item.dtype.names is None]
    columns = len(flat) == len(numbers) and len({len(numbers[name]) for name in flat}) == 1
    if key is None and columns and (names is not None or len(numbers) > 1):
        wanted = flat if names is None else [_known(name, flat) for name in names]
        still_packed = not isinstance(numbers[wanted[0]], np.ndarray)
        if still_packed and exceeds_memory((len(numbers[wanted[0]]), len(wanted))):
            return _mapped_columns(path, {name: numbers[name] for name in wanted})
        return join_columns({name: numbers[name][()] for name in wanted})
    shapes = {name: f"{name} {tuple(item.shape)}" for name, item in numbers.items()}
    item = numbers[_pick(list(numbers), path, key, "array", shapes)]
    heads: Any = getattr(item, "attrs", {}).get("names")
    is_to_map = item.ndim > 1 and item.dtype.fields is None and exceeds_memory(item.shape)
    raw = to_raw(_as_events(_mapped_item(path, item) if is_to_map else item[()]))
    return raw if heads is None else Raw(raw.values, [h if isinstance(h, str) else h.decode() for h in heads])


def _mapped_columns(path: Path, columns: Mapping[str, Any]) -> Raw:
    """Return columns of one length, of a large table, from a memory map."""
    dtypes, n_rows = [item.dtype for item in columns.values()], len(next(iter(columns.values())))

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, n_rows, _ROWS_AT_ONCE):
            yield np.stack([item[start : start + _ROWS_AT_ONCE] for item in columns.values()], axis=1)

    shape, dtype = (len(columns),), np.result_type(*dtypes)
    values = mapped(path, list(columns), event_shape=shape, dtype=dtype, n_rows=n_rows, blocks=blocks)
    return Raw(values, list(columns), [dtype.name for dtype in dtypes])


def _mapped_item(path: Path, item: Any) -> np.ndarray:
    """Return a large array of an open file as a memory map: of an HDF5 data set in one piece, in the file itself."""
    if isinstance(item, np.ndarray):  # of an archive, which has been read
        return item
    offset = item.id.get_offset()
    if offset is not None and not item.external:
        return np.memmap(path, dtype=item.dtype, mode="r", offset=offset, shape=item.shape)
    size = max(1, _ROWS_AT_ONCE * 8 // max(1, item[:1].size))

    def blocks() -> Iterator[np.ndarray]:
        return (item[start : start + size] for start in range(0, len(item), size))

    shape = item.shape[1:]
    return mapped(path, [item.name], event_shape=shape, dtype=item.dtype, n_rows=len(item), blocks=blocks)


def _pick(names: Sequence[str], path: Path, key: str | None, what: str, shown: Mapping[str, str] | None = None) -> str:
    if key is not None:
        if key not in names:
            raise UnknownNameError(f"{what} in {path.name}", key, names)
        return key
    if len(names) == 1:
        return names[0]
    if not names:
        raise InputError(f"Expected one {what} of numbers in {path.name}, got none. Check how the file was written.")
    listed = ", ".join((shown or {}).get(name, name) for name in names)
    raise InputError(f"Expected one {what} in {path.name}, got {len(names)}: {listed}. Choose one: {path}:{names[0]}")


def _known(name: str, names: Any) -> str:
    if name not in names:
        raise UnknownNameError("column", name, names)
    return name


def _arrow_column(column: Any, name: str, pa: Any) -> np.ndarray:
    kind = column.type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(column.to_pylist(), dtype=object)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"Expected numbers in column {name!r}, got {kind}. Leave the column out (--columns).")
    filled = column.cast(pa.float64()) if column.null_count else column
    return filled.to_numpy(zero_copy_only=False)


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


def _check_names(names: Sequence[str], path: Path) -> None:
    twice = next((name for name, n in Counter(names).items() if n > 1), None)
    if twice is not None:
        raise InputError(f"Expected different column names in {path.name}, got {twice!r} twice. Rename one.")


def _printable(path: str | Path) -> str:
    """Return a path of any bytes as a message can hold it."""
    text = repr(str(path))
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} letters)"


def _short(error: Exception) -> str:
    words = " ".join(str(error).encode("utf-8", "backslashreplace").decode().split())
    return words[:120] or type(error).__name__


READERS: dict[str, tuple[str, Reader]] = {
    ".npy": ("a NumPy array of numbers", _read_npy),
    ".npz": ("a NumPy archive of numbers", _read_npz),
    **dict.fromkeys((".csv", ".tsv", ".txt", ".dat", ".data"), ("a table of numbers", _read_text)),
    **dict.fromkeys((".parquet", ".pq"), ("a Parquet file", _read_parquet)),
    **dict.fromkeys((".h5", ".hdf5"), ("an HDF5 file", _read_hdf5)),
    ".root": ("a ROOT file", _read_root),
}
