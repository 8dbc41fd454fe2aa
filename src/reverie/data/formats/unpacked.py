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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from reverie.core.errors import FolderError
from reverie.data.sinks import open_sink

__all__ = ["ROWS_AT_ONCE", "cache_folder", "mapped"]

ROWS_AT_ONCE = 1 << 17  # unpacked into a memory map


def cache_folder() -> Path:
    """Return the folder of converted tables: in REVERIE_CACHE, or else where caches of the user are kept."""
    import pooch

    return Path(os.environ.get("REVERIE_CACHE") or pooch.os_cache("reverie")) / "tables"


def mapped(
    path: Path,
    what: Sequence[str],
    *,
    event_shape: tuple[int, ...],
    dtype: np.dtype,
    n_rows: int,
    blocks: Callable[[], Iterator[np.ndarray]],
) -> np.ndarray:
    """Return the table in `path` as a memory map, (n_rows, *event), made of its `blocks` unless it was made before.

    Parameters
    ----------
    path : Original file.
    what : Names of what is read from it.
    event_shape, dtype, n_rows : Shape of one row, type and number of rows of the table.
    blocks : Function that yields the rows, one block after the other.

    Raises
    ------
    FolderError
        If the disk is full or cannot be written to.
    """
    state = path.stat()
    identity = (str(path.resolve()), state.st_size, state.st_mtime_ns, *what, event_shape, dtype.str)
    file = cache_folder() / f"{path.stem}-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        needed, free = n_rows * math.prod(event_shape) * dtype.itemsize, shutil.disk_usage(file.parent).free
        if needed > free:
            raise FolderError(
                f"Expected {needed / 2**30:.3g} GiB for the unpacked table of {path.name} in {file.parent}, got "
                f"{free / 2**30:.3g} GiB free. Set REVERIE_CACHE to a folder on a larger disk."
            )
        with open_sink(file, event_shape=event_shape, dtype=dtype, n_total=n_rows) as sink:
            for block in blocks():
                sink.write(block)
    return np.load(file, mmap_mode="r", allow_pickle=False)
