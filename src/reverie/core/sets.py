"""Sets of particles as zero-padded arrays, in which all further code takes them.

An event is a set of N particles with F features each, N differs, and the order of the particles means nothing. In an
array all events have one shape, (P, F + 1): P is the number of particles of the largest set; the last column is the
mask, 1 where the particle is there and 0 where it is not; and where it is not, all features are 0. Real particles need
not stand first. This is the form of the data sets of JetNet (Kansal et al., arXiv:2106.11535).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from reverie.core.errors import InputError
from reverie.core.lazy import LazyTable, row_blocks
from reverie.core.resources import check_memory
from reverie.core.tables import as_array

__all__ = ["check_sets", "multiplicities", "padded", "real_entries", "resized", "stacked", "with_mask"]


def stacked(features: Mapping[str, np.ndarray], counts: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the particles of all sets, one set after the other, (particles, F), and their numbers in each set, (n,).

    Raises `InputError` where features of one set differ in length.

    Parameters
    ----------
    features : Numbers of all particles, by feature.
    counts : How many of them belong to each set, by feature.
    """
    first, *others = features
    for name in others:
        own, known = counts[name], counts[first]
        if not np.array_equal(own, known):
            i = int(np.argmax(own != known)) if len(own) == len(known) else min(len(own), len(known))
            raise InputError(
                f"Expected lists of one length in all features of a set, got others in {first!r} and {name!r} of set "
                f"{i}. Choose features that belong together (--columns), or correct the file."
            )
    columns = np.stack([as_array(x, f"the feature {name!r}") for name, x in features.items()], axis=1)
    columns = columns if columns.dtype.kind == "f" else columns.astype(np.float64)
    return columns, counts[first]


def with_mask(array: np.ndarray, mask: Any) -> np.ndarray:
    """Return padded particles with their mask last, (n, P, F + 1), from (n, P, F) and (n, P), or from what has it.

    NaN where the mask is 0 becomes 0. Integers become double precision.
    """
    if array.ndim != 3:
        raise InputError(
            f"Expected particles of shape (n, P, F) with a mask (n, P), or (n, P, F + 1), got {array.shape}. Give "
            "a list of arrays for sets of different sizes."
        )
    array = array if array.dtype.kind == "f" else array.astype(np.float64)
    if mask is None:
        last = array[..., -1]
        if array.shape[2] < 2 or not ((last == 0) | (last == 1)).all():
            raise InputError(
                f"Expected a mask of 0 and 1 as the last column of particles of shape {array.shape}, got other "
                "numbers. Give a mask of shape (n, P)."
            )
        return array
    there = as_array(mask, "the mask")
    there = there[..., 0] if there.shape == (*array.shape[:2], 1) else there
    if there.shape != array.shape[:2]:
        raise InputError(f"Expected a mask of shape {array.shape[:2]}, got {there.shape}. Give one for each particle.")
    padding = np.isnan(array) & (there == 0)[..., None]
    array = np.where(padding, array.dtype.type(0), array) if padding.any() else array
    return np.concatenate([array, there[..., None].astype(array.dtype)], axis=-1)


def padded(
    features: np.ndarray, counts: np.ndarray, *, max_size: int | None = None, hardest: int | None = None
) -> np.ndarray:
    """Return sets of different sizes as one zero-padded array with the mask last, shape (n, P, F + 1).

    Raises `InputError` for sets of more than `max_size` particles where `hardest` is None.

    Parameters
    ----------
    features : The particles of all sets, one set after the other, shape (sum of counts, F).
    counts : Number of particles of each set, shape (n,).
    max_size : P; None for the size of the largest set.
    hardest : Column of `features` by whose greatest values the `max_size` particles are chosen that are kept of larger
        sets; None refuses larger sets.
    """
    largest = int(counts.max(initial=0))
    if max_size is not None and hardest is None and largest > max_size:
        raise InputError(
            f"Expected sets of at most {max_size} particles, got {int((counts > max_size).sum())} of {len(counts)} "
            f"sets with more, the largest {largest}. Give a greater max_size, or hardest='pt' to keep the particles "
            "with the greatest values of that feature."
        )
    size = max(1, largest if max_size is None else max_size)
    shape = (len(counts), size, features.shape[1] + 1)
    check_memory(
        float(np.prod(shape, dtype=float)) * features.dtype.itemsize,
        f"{len(counts):,} sets padded to {size:,} particles",
        "Give max_size and hardest to keep the hardest particles.",
    )
    owner = np.repeat(np.arange(len(counts)), counts)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    if hardest is not None and largest > size:
        order = np.lexsort((-features[:, hardest], owner))
        kept = np.sort(order[rank < size])  # in the order in which the particles came
        owner, features, counts = owner[kept], features[kept], np.minimum(counts, size)
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    values = np.zeros(shape, features.dtype)
    values[owner, rank, :-1] = features
    values[owner, rank, -1] = 1
    return values


def resized(values: np.ndarray, size: int) -> np.ndarray:
    """Return sets (n, P, F + 1) padded to `size` particles, (n, size, F + 1), or cut to them where no set has more.

    Raises `InputError` for sets of more than `size` particles.
    """
    if values.shape[1] == size:
        return values
    if values.shape[1] < size:
        return np.pad(values, ((0, 0), (0, size - values.shape[1]), (0, 0)))
    return padded(real_entries(values), multiplicities(values), max_size=size)


def check_sets(values: "np.ndarray | LazyTable") -> None:
    """Raise `InputError` unless `values` (n, P, F + 1) are zero-padded sets whose last column is the mask.

    A mask of 0 needs features of 0; a particle whose mask is 1 may have such only if all features are whole numbers,
    such as places on a grid, or there is but one.
    """
    start, hollow, first = 0, 0, -1
    for block in row_blocks(values):
        mask, features = block[..., -1], block[..., :-1]
        there = mask == 1
        odd = np.argwhere(~there & (mask != 0))
        if len(odd):
            i, k = odd[0]
            raise InputError(
                f"Expected a mask of 0 and 1, got {len(odd)} other values, the first {mask[i, k]:g} in set {start + i}"
                ". Give 1 where the particle is there and 0 where it is not."
            )
        filled = (features != 0).any(axis=-1)
        odd = np.argwhere(filled & ~there)
        if len(odd):
            raise InputError(
                f"Expected features of 0 where the mask is 0, got others in {len(odd)} places, the first in set "
                f"{start + odd[0, 0]}. Multiply the features by the mask, or correct the mask."
            )
        empty = there & ~filled
        if features.shape[-1] > 1 and empty.any():
            first = start + int(np.argwhere(empty)[0, 0]) if first < 0 else first
            hollow += int(empty.sum())
        start += len(block)
    if hollow and not all(bool((block == np.rint(block)).all()) for block in row_blocks(values)):
        raise InputError(
            f"Expected a mask of 0 where all features are 0, got 1 in {hollow} places, the first in set {first}. Give "
            "0 there: what has no momentum, or no energy, is padding."
        )


def multiplicities(values: "np.ndarray | LazyTable") -> np.ndarray:
    """Return the number of particles of each set of `values` (n, P, F + 1), shape (n,)."""
    return np.concatenate([np.empty(0, np.int64), *((b[..., -1] == 1).sum(axis=1) for b in row_blocks(values))])


def real_entries(values: "np.ndarray | LazyTable") -> np.ndarray:
    """Return the features of the particles that are there, of all sets of `values`, shape (number of particles, F)."""
    parts = [block[block[..., -1] == 1][:, :-1] for block in row_blocks(values)]
    return np.concatenate(parts) if parts else np.empty((0, values.shape[-1] - 1), values.dtype)
