"""Blocks of samples written to a file, at constant memory, all or nothing.

A sink writes to a temporary file beside the target and moves it into place when the last block is
in; on any error, Ctrl-C and a full disk included, the temporary file is removed and the target
stays as it was.

suffix        format    layout
.npy          NumPy     one array (n, *event)
.h5 .hdf5     HDF5      data set "samples" (n, *event) with the attribute "names" (extra ``io``)
.csv          text      a header and a line per event; images flattened
.parquet .pq  Parquet   a column per feature, row groups of 4 MiB; images flattened (extra ``io``)
.root         ROOT      TTree "samples", a branch per feature; images flattened (extra ``root``)
"""

import contextlib
import csv
import io
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from reverie.core.arguments import checked
from reverie.core.errors import FolderError, InputError, MissingDependencyError
from reverie.core.room import check_disk

__all__ = ["WRITERS", "Sink", "check_regular", "check_room", "open_sink"]


ROW_GROUP_BYTES = 1 << 22  # small blocks are held back until they fill one: a group costs a reader time of its own


class _Writer(Protocol):
    def write(self, block: np.ndarray) -> None: ...

    def close(self) -> None: ...


class Sink:
    """An open file of samples; made by `open_sink` and used in a ``with`` statement.

    Attributes
    ----------
    n_written : events written so far.
    """

    def __init__(
        self,
        path: Path,
        names: list[str],
        event_shape: tuple[int, ...],
        dtypes: list[np.dtype],
        n_total: int | None,
        labels: Mapping[str, Sequence[str]],
    ) -> None:
        self.path, self.names, self.event_shape, self.dtypes = path, names, event_shape, dtypes
        self.n_total, self.labels, self.n_written = n_total, labels, 0
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        self._writer: _Writer | None = None

    @property
    def dtype(self) -> np.dtype:
        """The one type that holds all columns."""
        return np.result_type(*self.dtypes)

    def __enter__(self) -> Self:
        with self._answering_for_disk():
            self._writer = WRITERS[self.path.suffix.lower()](self._temporary, self)
        return self

    def write(self, block: np.ndarray) -> None:
        """Append `block` (n, *event); floats become whole numbers where the column's type is integer.

        Raises
        ------
        InputError
            For another event shape, for NaN in a column of integers, or for more than `n_total` events.
        FolderError
            If the disk is full or fails.
        """
        block = np.asarray(block)
        if self._writer is None:
            raise InputError("Expected an open sink, got a closed one. Use it inside its with statement.")
        if block.ndim == 0 or block.shape[1:] != self.event_shape:
            raise InputError(f"Expected blocks (n, *{self.event_shape}), got {block.shape}. Rows are samples.")
        if self.n_total is not None and self.n_written + len(block) > self.n_total:
            raise InputError(f"Expected {self.n_total} events in all, got more. Give the true n_total, or None.")
        with self._answering_for_disk():
            self._writer.write(block)
        self.n_written += len(block)

    def columns(self, block: np.ndarray) -> dict[str, np.ndarray]:
        """Return the features of `block` by name, each in its own type."""
        table = block.reshape(len(block), -1)
        return {name: _cast(table[:, j], self.dtypes[j]) for j, name in enumerate(self.names)}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer, self._writer = self._writer, None
        if kind is not None:
            with contextlib.suppress(Exception):
                if writer is not None:
                    writer.close()
            self._remove()
            return
        with self._answering_for_disk():
            if writer is not None:
                writer.close()
            if self.n_total is not None and self.n_written != self.n_total:
                raise InputError(f"Expected {self.n_total} events, got {self.n_written}. Write all of them.")
            os.replace(self._temporary, self.path)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    @contextlib.contextmanager
    def _answering_for_disk(self) -> Any:
        try:
            yield
        except (OSError, RuntimeError) as error:  # h5py reports a full disk as RuntimeError on closing
            self._remove()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).split("\n")[0]
            raise FolderError(
                f"Expected to write {self.path.name} in {self.path.parent}, got: {reason}. "
                "Free space there or write to another folder."
            ) from None
        except BaseException:
            self._remove()
            raise


@checked
def open_sink(
    path: str | Path,
    *,
    names: Sequence[str] | None = None,
    event_shape: Sequence[int],
    dtype: Any = "float32",
    n_total: int | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Sink:
    """Open a file for samples; use it as ``with open_sink(...) as sink: sink.write(block)``.

    Parameters
    ----------
    path : target; its suffix chooses the format. An existing file is replaced at the end.
    names : of the columns of a table; default x0, x1, ... For images one name, or none.
    event_shape : shape of one event.
    dtype : one NumPy type, or one per column ("str" stands for a column of words).
    n_total : number of events that will come, if known; another number is an error.
    labels : words behind the codes 0, 1, ... of categorical columns, by name; CSV and Parquet write the words.

    Raises
    ------
    InputError
        For an unknown suffix, or numbers of names and types that do not fit.
    FolderError
        If the folder is absent or cannot be written.
    """
    target = Path(path).expanduser()
    shape = tuple(int(n) for n in event_shape)
    if target.suffix.lower() not in WRITERS:
        known = " ".join(WRITERS)
        raise InputError(f"Expected a file name with one of the suffixes {known}, got {target.name!r}. Choose one.")
    if not target.parent.is_dir():
        raise FolderError(f"Expected a folder to write to, got no folder {target.parent}. Make it first.")
    check_regular(target)
    if not os.access(target.parent, os.W_OK):
        raise FolderError(f"Expected to write {target}, got a folder that forbids it. Choose another place.")
    types = _types(dtype, shape)
    if n_total is not None:
        check_room(target, n_total, sum(t.itemsize for t in types))
    return Sink(target, _feature_names(names, shape), shape, types, n_total, labels or {})


def check_regular(path: Path) -> None:
    """Raise `FolderError` for what is there and is no file: a folder, a device, a pipe, which cannot be replaced."""
    if path.exists() and not path.is_file():
        sort = "a folder" if path.is_dir() else "a device or pipe"
        raise FolderError(f"Expected the name of a file to write, got {str(path)!r}, {sort}. Choose another name.")


def check_room(path: str | Path, n: int, event_bytes: int) -> None:
    """Raise `FolderError` when `n` events of `event_bytes` bytes each cannot fit on the disk of `path`."""
    n_bytes = n * event_bytes
    least = n_bytes if Path(path).suffix.lower() == ".npy" else n_bytes // 20  # others compress, or shorten numbers
    check_disk(path, least, f"{n:,} samples")


def _feature_names(names: Sequence[str] | None, shape: tuple[int, ...]) -> list[str]:
    n = math.prod(shape)
    if names is not None and len(names) == n:
        return [str(name) for name in names]
    if names is not None and len(shape) == 1:
        raise InputError(f"Expected {n} names, got {len(names)}. Give one per column.")
    if len(shape) == 1:
        return [f"x{j}" for j in range(n)]
    stem = str(names[0]) if names else "pixel"
    return [f"{stem}_" + "_".join(str(i) for i in index) for index in np.ndindex(*shape)]


def _types(dtype: Any, shape: tuple[int, ...]) -> list[np.dtype]:
    n = math.prod(shape)
    several = isinstance(dtype, (list, tuple))
    given = list(dtype) if several else [dtype]
    if several and len(given) != n and not (len(given) == 1 and len(shape) > 1):
        raise InputError(f"Expected one type or {n}, got {len(given)}. Give one per column.")
    types = [np.dtype("int64" if str(t) == "str" else t) for t in given]
    return types if len(types) == n else types * n


def _cast(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind in "iub" and x.dtype.kind == "f":
        bad = int(np.count_nonzero(~np.isfinite(x)))
        if bad:
            raise InputError(f"Expected whole numbers, got {bad} NaN or inf. Give a floating-point type.")
        x = np.rint(x)
    return x.astype(dtype)


class _Npy:
    """The header has the same length for every number of rows, so it can be corrected at the end."""

    def __init__(self, path: Path, sink: Sink) -> None:
        self._sink = sink
        self._file = path.open("wb")
        self._header(sink.n_total or 0)

    def write(self, block: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(_cast(block, self._sink.dtype)).data)

    def close(self) -> None:
        try:
            if self._sink.n_written != (self._sink.n_total or 0):
                self._file.seek(0)
                self._header(self._sink.n_written)
        finally:
            self._file.close()

    def _header(self, n: int) -> None:
        descr = np.lib.format.dtype_to_descr(self._sink.dtype)
        shape = (n, *self._sink.event_shape)
        np.lib.format.write_array_header_1_0(self._file, {"descr": descr, "fortran_order": False, "shape": shape})


class _Csv:
    def __init__(self, path: Path, sink: Sink) -> None:
        self._sink = sink
        self._file = path.open("w", encoding="utf-8", newline="")
        csv.writer(self._file, lineterminator="\n").writerow(sink.names)

    def write(self, block: np.ndarray) -> None:
        columns = [self._texts(name, x) for name, x in self._sink.columns(block).items()]
        self._file.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))

    def close(self) -> None:
        self._file.close()

    def _texts(self, name: str, x: np.ndarray) -> list[str]:
        if name in self._sink.labels:
            return [_quoted(word) for word in _words(x, self._sink.labels[name])]
        if x.dtype.kind == "f" and x.dtype.itemsize < 8:
            return x.astype(str).tolist()  # the shortest digits that give the same float32
        return [repr(value) for value in x.tolist()]


class _Parquet:
    def __init__(self, path: Path, sink: Sink) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ModuleNotFoundError:
            raise MissingDependencyError("pyarrow", "io", "write Parquet files") from None
        self._pa, self._sink = pa, sink
        kinds = [pa.string() if n in sink.labels else pa.from_numpy_dtype(t) for n, t in _pairs(sink)]
        self._schema = pa.schema(list(zip(sink.names, kinds, strict=True)))
        # No two floats are the same: a dictionary of them takes five times as long to write and half as much room more
        repeated: Any = [n for n, t in _pairs(sink) if n in sink.labels or t.kind != "f"] or False
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=repeated)
        self._held: list[Any] = []

    def write(self, block: np.ndarray) -> None:
        labels = self._sink.labels
        columns = {n: _words(x, labels[n]) if n in labels else x for n, x in self._sink.columns(block).items()}
        self._held.append(self._pa.table(columns, schema=self._schema))
        if sum(table.nbytes for table in self._held) >= ROW_GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        try:
            self._write_group()
        finally:
            self._file.close()

    def _write_group(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._file.write_table(self._pa.concat_tables(held))


class _Hdf5:
    def __init__(self, path: Path, sink: Sink) -> None:
        try:
            import h5py
        except ModuleNotFoundError:
            raise MissingDependencyError("h5py", "io", "write HDF5 files") from None
        self._sink = sink
        shape = sink.event_shape
        rows = max(1, min(sink.n_total or 65536, (1 << 20) // max(1, math.prod(shape) * sink.dtype.itemsize)))
        self._disk = _FullDiskGuard(path, "w+")
        self._file = h5py.File(self._disk, "w")
        self._data = self._file.create_dataset(
            "samples", (0, *shape), sink.dtype, maxshape=(None, *shape), chunks=(rows, *shape)
        )
        if len(shape) == 1:
            self._data.attrs["names"] = sink.names

    def write(self, block: np.ndarray) -> None:
        start = len(self._data)
        self._data.resize(start + len(block), axis=0)
        self._data[start:] = _cast(block, self._sink.dtype)
        self._disk.check()

    def close(self) -> None:
        self._file.close()
        self._disk.close()
        self._disk.check()


class _FullDiskGuard(io.FileIO):
    """A file that remembers a failed write and goes on as if all were well.

    HDF5 keeps data back and writes it while it cleans up, where an error becomes a traceback that
    nobody can catch. So it never learns of the full disk, and the sink asks with `check`.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and self.error is None:
                done += super().write(view[done:])
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0

    def check(self) -> None:
        if self.error is not None:
            raise self.error


class _Root:
    def __init__(self, path: Path, sink: Sink) -> None:
        try:
            import uproot
        except ModuleNotFoundError:
            raise MissingDependencyError("uproot", "root", "write ROOT files") from None
        self._sink = sink
        self._types = {n: np.dtype("float32") if t == np.float16 else t for n, t in _pairs(sink)}
        self._file = uproot.recreate(path)
        self._tree = self._file.mktree("samples", self._types)

    def write(self, block: np.ndarray) -> None:
        columns = self._sink.columns(block)
        self._tree.extend({name: x.astype(self._types[name], copy=False) for name, x in columns.items()})

    def close(self) -> None:
        self._file.close()


def _pairs(sink: Sink) -> list[tuple[str, np.dtype]]:
    return list(zip(sink.names, sink.dtypes, strict=True))


def _words(codes: np.ndarray, words: Sequence[str]) -> list[str]:
    return [str(words[int(code)]) for code in codes]


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"' if any(mark in word for mark in ',"\n') else word


WRITERS: dict[str, Any] = {
    ".npy": _Npy,
    **dict.fromkeys((".h5", ".hdf5"), _Hdf5),
    ".csv": _Csv,
    **dict.fromkeys((".parquet", ".pq"), _Parquet),
    ".root": _Root,
}
