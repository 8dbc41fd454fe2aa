"""HDF5 files: one data set, or one-dimensional ones of equal length as columns, by h5py (extra ``io``)."""

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from reverie.core.tables import Raw
from reverie.data.formats import Layout, cast
from reverie.data.formats.arrays import PARTICLES, has_sets, one_of, read_sets

__all__ = ["Hdf5Writer", "read"]


def read(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return one data set of an HDF5 file, or columns of one length."""
    with h5py.File(path, "r") as file:
        found: dict[str, Any] = {}
        file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
        if (key is None or key in PARTICLES) and has_sets(found):
            return read_sets(found, path, names)
        return one_of(found, path, key, names)


class Hdf5Writer:
    """Writer of the data set "samples" (n, *event); of sets in the form of JetNet.

    A table has the attributes "names" and, where there are words, "labels_json": JSON of the words behind the codes.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        shape = layout.event_shape
        rows = max(1, min(layout.n_total or 65536, (1 << 20) // max(1, math.prod(shape) * layout.dtype.itemsize)))
        self._disk = _FullDiskGuard(path, "w+")
        self._file = h5py.File(self._disk, "w")
        self._data = self._file.create_dataset(
            "particle_features" if layout.is_set else "samples",
            (0, *shape),
            layout.dtype,
            maxshape=(None, *shape),
            chunks=(rows, *shape),
        )
        if len(shape) == 1 or layout.is_set:
            self._data.attrs["names"] = layout.names
            if layout.labels:
                self._data.attrs["labels_json"] = json.dumps(
                    {name: list(words) for name, words in layout.labels.items()}
                )
        if layout.beside is not None:
            k, dtype = len(layout.beside.names), layout.beside.dtype
            self._beside = self._file.create_dataset(
                "jet_features", (0, k), dtype, maxshape=(None, k), chunks=(rows, k)
            )
            self._beside.attrs["names"] = layout.beside.names

    def write(self, block: np.ndarray, beside: np.ndarray | None = None) -> None:
        start = len(self._data)
        self._data.resize(start + len(block), axis=0)
        self._data[start:] = cast(block, self._layout.dtype)
        if beside is not None and self._layout.beside is not None:
            self._beside.resize(start + len(block), axis=0)
            self._beside[start:] = cast(beside, self._layout.beside.dtype)
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
