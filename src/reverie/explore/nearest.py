"""Rows in common units, and the centre nearest to each: what K-means and the tree of merges share."""

from collections.abc import Sequence

import numpy as np

from reverie.core.errors import InputError
from reverie.core.random import child_seed
from reverie.core.types import ArrayLike
from reverie.explore.tables import Table, read_table

__all__ = ["nearest", "read_like", "sklearn_seed", "units"]


def units(table: Table, *, standardise: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return what to subtract and to divide by, (d,) each: weighted mean and deviation, or 0 and 1."""
    d = table.values.shape[1]
    if not standardise:
        return np.zeros(d), np.ones(d)
    mean = np.average(table.values, axis=0, weights=table.weights)
    deviation = np.sqrt(np.average(np.square(table.values - mean), axis=0, weights=table.weights))
    negligible = deviation <= 1e-12 * np.abs(table.values).max(axis=0)  # a constant feature stays as it is
    return mean, np.where(negligible, 1.0, deviation)


def read_like(X: ArrayLike, names: Sequence[str]) -> Table:
    """Return `X` as a table of as many features as `names`, or say how many were expected."""
    table = read_table(X)
    if len(table.names) != len(names):
        raise InputError(
            f"Expected {len(names)} features ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''}), "
            f"got {len(table.names)}. Give rows like those that were clustered."
        )
    return table


def sklearn_seed(seed: int, *path: str | int) -> int:
    """Return the child of `seed` at `path`, as the 32 bits that scikit-learn accepts."""
    return child_seed(seed, *path) % 2**32


def nearest(z: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the number (n,) of the centre (K, d) nearest to each row of `z` (n, d)."""
    from sklearn.metrics import pairwise_distances_argmin

    return pairwise_distances_argmin(z, centres).astype(np.int64)
