"""Arrays in files: NumPy's .npy and .npz, and the choice of one array, or of columns, among several in one file.

A large array (`reverie.core.lazy`) that is packed is unpacked once into a memory map (`reverie.data.formats.unpacked`).
"""

import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.errors import InputError, UnknownNameError
from reverie.core.lazy import exceeds_memory
from reverie.core.resources import check_memory
from reverie.core.tables import Raw, join_columns, to_raw
from reverie.data.formats import Layout, cast
from reverie.data.formats.unpacked import ROWS_AT_ONCE, mapped, mapped_columns

__all__ = ["NpyWriter", "known_column", "one_of", "pick", "read_npy", "read_npz"]


def read_npy(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return the array in a .npy file as a memory map."""
    return to_raw(_as_events(np.load(path, mmap_mode="r", allow_pickle=False)))


def read_npz(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return one array of a .npz file, or its columns of one length."""
    with zipfile.ZipFile(path) as archive:
        sizes = [entry.file_size for entry in archive.infolist()]
    check_memory(sum(sizes), f"the arrays in {path.name}", "Save each as .npy, which is read where it lies.")
    with np.load(path, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    return one_of({name: x for name, x in found.items() if isinstance(x, np.ndarray)}, path, key, names)


def one_of(found: Mapping[str, Any], path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return one array of several, or arrays of one axis and one length as columns.

    `found` holds arrays of NumPy, or data sets of an open HDF5 file, which are read when they are indexed.
    """
    numbers = {name: item for name, item in found.items() if item.dtype.kind in "biufV" and item.ndim > 0}
    flat = [name for name, item in numbers.items() if item.ndim == 1 and item.dtype.names is None]
    columns = len(flat) == len(numbers) and len({len(numbers[name]) for name in flat}) == 1
    if key is None and columns and (names is not None or len(numbers) > 1):
        wanted = {name: numbers[name] for name in (flat if names is None else [known_column(n, flat) for n in names])}
        first = next(iter(wanted.values()))
        if isinstance(first, np.ndarray) or not exceeds_memory((len(first), len(wanted))):
            return join_columns({name: item[()] for name, item in wanted.items()})
        starts = range(0, len(first), ROWS_AT_ONCE)
        blocks = ([item[start : start + ROWS_AT_ONCE] for item in wanted.values()] for start in starts)
        return mapped_columns(path, {name: item.dtype for name, item in wanted.items()}, len(first), blocks)
    shapes = {name: f"{name} {tuple(item.shape)}" for name, item in numbers.items()}
    item = numbers[pick(list(numbers), path, key, "array", shapes)]
    heads = getattr(item, "attrs", {}).get("names")
    is_packed = not isinstance(item, np.ndarray) and item.ndim > 1 and item.dtype.fields is None
    raw = to_raw(_as_events(_unpacked(path, item) if is_packed and exceeds_memory(item.shape) else item[()]))
    return raw if heads is None else Raw(raw.values, [h if isinstance(h, str) else h.decode() for h in heads])


def pick(names: Sequence[str], path: Path, key: str | None, what: str, shown: Mapping[str, str] | None = None) -> str:
    """Return the name `key` if it is among the `names` of what a file holds, or the only one of them."""
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


def known_column(name: str, names: Collection[str]) -> str:
    """Return `name` if there is such a column; an unknown one is answered with the nearest."""
    if name not in names:
        raise UnknownNameError("column", name, names)
    return name


class NpyWriter:
    """Writer of one array (n, *event).

    The header has the same length for every number of rows, so it can be corrected at the end.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout, self._n_written = layout, 0
        self._file = path.open("wb")
        self._header(layout.n_total or 0)

    def write(self, block: np.ndarray) -> None:
        """Append a block (n, *event)."""
        self._file.write(np.ascontiguousarray(cast(block, self._layout.dtype)).data)
        self._n_written += len(block)

    def close(self) -> None:
        """Write what is held back, and close the file."""
        try:
            if self._n_written != (self._layout.n_total or 0):
                self._file.seek(0)
                self._header(self._n_written)
        finally:
            self._file.close()

    def _header(self, n: int) -> None:
        descr = np.lib.format.dtype_to_descr(self._layout.dtype)
        shape = (n, *self._layout.event_shape)
        np.lib.format.write_array_header_1_0(self._file, {"descr": descr, "fortran_order": False, "shape": shape})


def _as_events(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, 1) if array.ndim == 1 and array.dtype.names is None else array


def _unpacked(path: Path, item: Any) -> np.ndarray:
    """Return a large data set of an HDF5 file as a memory map: in the file itself, where it lies there in one piece."""
    offset = item.id.get_offset()
    if offset is not None and not item.external:
        return np.memmap(path, dtype=item.dtype, mode="r", offset=offset, shape=item.shape)
    size = max(1, ROWS_AT_ONCE * 8 // max(1, item[:1].size))
    blocks = (item[start : start + size] for start in range(0, len(item), size))
    return mapped(path, [item.name], item.shape, item.dtype, blocks)
