"""Large tables that stay where they are, on disk or in memory, and are read a block of rows at a time.

A table of more than `LARGE` numbers is large; the environment variable REVERIE_LARGE sets another limit. `LazyTable`
stands for such a table, or for all rows of it but some, or for some of its columns. It has the shape, type and
indexing of an array; where an algorithm asks for more than rows, it turns into an array as a whole, which needs the
memory of one.

Pages of a memory map count as memory of the process until the system takes them back. What has been read is
therefore given back at once, so that a table of any size takes the memory of one block.
"""

import math
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from reverie.core.errors import InputError
from reverie.core.shuffle import shuffled

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = [
    "LARGE",
    "LazyTable",
    "Summary",
    "exceeds_memory",
    "is_large",
    "row_blocks",
    "sample_rows",
    "sample_size",
]

LARGE = 1 << 26  # numbers: 512 MiB in double precision, of which training in memory makes several copies
SAMPLE_ROWS, SAMPLE_NUMBERS = 1 << 18, 1 << 24  # of a large table, where a part of it must do
_BLOCK = 1 << 21  # numbers read at once
_SCATTERED = 64  # rows gathered at once: each may bring in 64 KiB of pages, or 2 MiB where these are huge


def is_large(values: "np.ndarray | LazyTable") -> bool:
    """Tell whether a table is too large for copies of it: more than `LARGE` numbers, or REVERIE_LARGE."""
    return isinstance(values, LazyTable) or exceeds_memory(values.shape)


def exceeds_memory(shape: Sequence[int]) -> bool:
    """Tell whether a table of this shape is large."""
    setting = os.environ.get("REVERIE_LARGE")
    if setting is None:
        return math.prod(shape) > LARGE
    try:
        limit = int(float(setting))
    except (ValueError, OverflowError):
        limit = 0
    if limit < 1:
        raise InputError(f"Expected a number of numbers in REVERIE_LARGE, got {setting!r}. Set it to 1e8, or unset it.")
    return math.prod(shape) > limit


def sample_size(n: int, event_shape: Sequence[int]) -> int:
    """Return the rows that stand for a large table of `n`: 2^18, fewer of events of more than 64 numbers."""
    return min(n, SAMPLE_ROWS, max(10_000, SAMPLE_NUMBERS // max(1, math.prod(event_shape))))


def sample_rows(n: int, size: int, seed: int) -> np.ndarray:
    """Return `size` different row numbers below `n`, drawn at random, in increasing order; no memory of order n."""
    return np.sort(shuffled(np.arange(min(size, n)), n, seed))


def row_blocks(values: "np.ndarray | LazyTable") -> Iterator[np.ndarray]:
    """Yield the rows of an array or `LazyTable` in blocks, in their order."""
    size = max(1, _BLOCK // max(1, math.prod(values.shape[1:])))
    for start in range(0, len(values), size):
        yield np.asarray(values[start : start + size])
        _give_back(values)


@dataclass(frozen=True)
class Summary:
    """What one pass over a table finds: by column of a table, over all cells of images.

    Attributes
    ----------
    low, high : least and greatest finite value; NaN where there is none.
    n_nan, n_infinite : entries that are no finite numbers.
    """

    low: np.ndarray
    high: np.ndarray
    n_nan: np.ndarray
    n_infinite: np.ndarray

    @property
    def has_missing(self) -> bool:
        """Whether any entry is no finite number."""
        return bool(self.n_nan.any() or self.n_infinite.any())

    @classmethod
    def of(cls, values: "np.ndarray | LazyTable") -> "Summary":
        """Return the summary of an array or `LazyTable` (n, *event), read block by block."""
        parts = [_summary(block) for block in row_blocks(values)]
        low, high, n_nan, n_infinite = zip(*parts, strict=True)
        return cls(np.fmin.reduce(low), np.fmax.reduce(high), np.sum(n_nan, axis=0), np.sum(n_infinite, axis=0))

    def take(self, columns: Sequence[int]) -> "Summary":
        """Return the summary of some columns."""
        index = list(columns)
        return Summary(self.low[index], self.high[index], self.n_nan[index], self.n_infinite[index])


class LazyTable(NDArrayOperatorsMixin):
    """Rows of an array, most of which are not read until they are asked for.

    Parameters
    ----------
    base : Array or memory map, shape (n, *event).
    columns : Numbers of the columns of a table that belong to it, in order; None for all.
    excluded : Row numbers of `base` that do not belong to it, increasing; None for none.
    summary : Summary of these rows, or of more of them, if it is known.
    """

    def __init__(
        self,
        base: np.ndarray,
        *,
        columns: Sequence[int] | None = None,
        excluded: np.ndarray | None = None,
        summary: Summary | None = None,
    ) -> None:
        self._base, self._summary = base, summary
        self._columns = None if columns is None else list(columns)
        self._excluded = np.empty(0, np.int64) if excluded is None else np.asarray(excluded, dtype=np.int64)
        self._before = self._excluded - np.arange(len(self._excluded))  # rows that stand before each excluded one
        event = base.shape[1:] if columns is None else (len(columns),)
        self.shape: tuple[int, ...] = (len(base) - len(self._excluded), *event)
        self.dtype, self.ndim = base.dtype, base.ndim

    @property
    def summary(self) -> Summary:
        """What one pass over the table finds; made once."""
        if self._summary is None:
            self._summary = Summary.of(self)
        return self._summary

    @property
    def nbytes(self) -> int:
        """Size of the rows as one array."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def size(self) -> int:
        """Number of numbers."""
        return math.prod(self.shape)

    def without(self, rows: np.ndarray) -> Self:
        """Return all rows but those at `rows`; 16 bytes of memory for each of these."""
        gone = self._in_base(np.unique(np.asarray(rows, dtype=np.int64)))
        excluded = np.union1d(self._excluded, gone)
        known = None if self._summary is None or self._summary.has_missing else self._summary
        return type(self)(self._base, columns=self._columns, excluded=excluded, summary=known)

    def select(self, columns: Sequence[int]) -> Self:
        """Return some columns of a table, in the order given."""
        own = range(self.shape[1]) if self._columns is None else self._columns
        summary = None if self._summary is None else self._summary.take(columns)
        return type(self)(self._base, columns=[own[j] for j in columns], excluded=self._excluded, summary=summary)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple) and key and isinstance(key[0], slice) and key[0] == slice(None) and len(self):
            return np.concatenate([block[key] for block in row_blocks(self)])
        if isinstance(key, tuple) or key is None or key is Ellipsis:
            return np.asarray(self)[key]
        if isinstance(key, (int, np.integer)):
            return self._read(np.array([range(len(self))[int(key)]]))[0]
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            return self._run(start, stop) if step == 1 else self._read(np.arange(start, stop, step))
        index = np.asarray(key)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        if index.size and not -len(self) <= index.min() <= index.max() < len(self):
            raise IndexError(f"row {index.min()} ... {index.max()} of {len(self)}")
        return self._read((index % max(1, len(self))).ravel()).reshape(*index.shape, *self.shape[1:])

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in row_blocks(self):
            yield from block

    def __array__(self, dtype: "DTypeLike | None" = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001 - NumPy's protocol
        whole = self._base if self._is_whole() else np.concatenate(list(row_blocks(self)) or [self[:0]])
        return np.array(whole, dtype=dtype) if copy else np.asarray(whole, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **options: object) -> Any:
        arrays = [np.asarray(x) if isinstance(x, LazyTable) else x for x in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        # whatever else arrays can do, the whole table does as an array
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def __reduce__(self) -> tuple:
        return LazyTable, (np.asarray(self),)

    def __repr__(self) -> str:
        return f"LazyTable({' x '.join(map(str, self.shape))}, {self.dtype})"

    def _is_whole(self) -> bool:
        return not len(self._excluded) and self._columns is None

    def _in_base(self, index: np.ndarray) -> np.ndarray:
        return index + np.searchsorted(self._before, index, side="right")

    def _run(self, start: int, stop: int) -> np.ndarray:
        """Return a copy of successive rows; of the base as it is a view, which costs nothing until it is read."""
        if stop <= start:
            return self._read(np.empty(0, np.int64))
        if self._is_whole():
            return self._base[start:stop]
        first, last = self._in_base(np.array([start, stop - 1]))
        rows = self._base[first : last + 1]
        gone = self._excluded[np.searchsorted(self._excluded, first) : np.searchsorted(self._excluded, last)]
        rows = np.delete(rows, gone - first, axis=0) if len(gone) else rows
        return rows if self._columns is None else rows[:, self._columns]

    def _read(self, index: np.ndarray) -> np.ndarray:
        """Return rows at integers (k,), a few at a time from the beginning to the end; their pages are given back."""
        index = self._in_base(index)
        rows = np.empty((len(index), *self._base.shape[1:]), self.dtype)
        order = np.argsort(index, kind="stable")
        for start in range(0, len(index), _SCATTERED):
            part = order[start : start + _SCATTERED]
            rows[part] = self._base[index[part]]
            _give_back(self._base)
        return rows if self._columns is None else rows[:, self._columns]


def _summary(block: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    table = block if block.ndim == 2 else block.reshape(-1, 1)
    if block.dtype.kind == "f":
        finite = np.isfinite(table)
        if not finite.all():
            clean = np.where(finite, table, np.nan)
            n_nan = np.isnan(table).sum(axis=0)
            lost = (~finite).sum(axis=0) - n_nan
            return np.fmin.reduce(clean), np.fmax.reduce(clean), n_nan, lost
    none = np.zeros(table.shape[1], np.int64)
    return table.min(axis=0), table.max(axis=0), none, none


def _give_back(values: "np.ndarray | LazyTable") -> None:
    """Give the pages of a memory map back to the system, from where they are read again when they are needed."""
    base: object = values._base if isinstance(values, LazyTable) else values
    while isinstance(base, np.ndarray):
        base = base.base
    base = base.obj if isinstance(base, memoryview) else base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and memoryview(base).readonly:
        base.madvise(mmap.MADV_DONTNEED)  # of a map that can be written to, this could lose what was written
