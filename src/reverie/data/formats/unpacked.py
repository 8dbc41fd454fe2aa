"""Large tables in formats that cannot be memory mapped, converted once into one that can.

Columns of Parquet, compressed HDF5 and ROOT files have to be unpacked to be read. Of a table of more than
`reverie.core.lazy.LARGE` numbers this is done once, block by block, into a file ``.npy`` in the folder ``tables`` of
the cache, which the environment variable REVERIE_CACHE moves elsewhere; the name of the file holds a hash of the path,
size and time of the original, so a changed file is converted anew. Text and ``.npz`` files are read as a whole.
"""

import hashlib
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from reverie.core.errors import FolderError
from reverie.core.tables import Raw
from reverie.data.sinks import open_sink

__all__ = ["ROWS_AT_ONCE", "cache_folder", "mapped", "mapped_columns"]

ROWS_AT_ONCE = 1 << 17  # unpacked into a memory map


def cache_folder() -> Path:
    """Return the folder of converted tables: in REVERIE_CACHE, or else where caches of the user are kept."""
    import pooch

    return Path(os.environ.get("REVERIE_CACHE") or pooch.os_cache("reverie")) / "tables"


def mapped(
    path: Path, what: Sequence[str], shape: tuple[int, ...], dtype: np.dtype, blocks: Iterable[np.ndarray]
) -> np.ndarray:
    """Return the table in `path` as a memory map of `shape` (n, *event), made of `blocks` unless it was made before.

    Raises `FolderError` if the disk is full or cannot be written to.

    Parameters
    ----------
    path : Original file.
    what : Names of what is read from it.
    shape, dtype : Shape and type of the table.
    blocks : Its rows, one block after the other; a generator, which is left alone where the map is there.
    """
    state = path.stat()
    identity = (str(path.resolve()), state.st_size, state.st_mtime_ns, *what, shape[1:], dtype.str)
    file = cache_folder() / f"{path.stem}-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        needed, free = math.prod(shape) * dtype.itemsize, shutil.disk_usage(file.parent).free
        if needed > free:
            raise FolderError(
                f"Expected {needed / 2**30:.3g} GiB for the unpacked table of {path.name} in {file.parent}, got "
                f"{free / 2**30:.3g} GiB free. Set REVERIE_CACHE to a folder on a larger disk."
            )
        with open_sink(file, event_shape=shape[1:], dtype=dtype, n_total=shape[0]) as sink:
            for block in blocks:
                sink.write(block)
    return np.load(file, mmap_mode="r", allow_pickle=False)


def mapped_columns(
    path: Path,
    dtypes: Mapping[str, np.dtype],
    n_rows: int,
    blocks: Iterable[Sequence[np.ndarray]],
    what: Sequence[str] = (),
) -> Raw:
    """Return columns of numbers of a large table in `path` from a memory map.

    Parameters
    ----------
    path, what : As in `mapped`; `what` stands before the names of the columns.
    dtypes : Type of each column, by name.
    n_rows : Number of rows.
    blocks : The columns (k,) of some rows after the other.
    """
    shape, dtype = (n_rows, len(dtypes)), np.result_type(*dtypes.values())
    types = list(dtypes.values())
    tables = (np.stack([x.astype(t) for x, t in zip(block, types, strict=True)], axis=1) for block in blocks)
    return Raw(mapped(path, [*what, *dtypes], shape, dtype, tables), list(dtypes), [t.name for t in types])
