"""What the functions of this folder share: rows of numbers from any container, common units, results as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from reverie.core import tables
from reverie.core.errors import InputError
from reverie.core.measured import as_json
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState

__all__ = [
    "Result",
    "Table",
    "by_size",
    "listed_sizes",
    "nearest",
    "random_rows",
    "read_like",
    "read_table",
    "read_unweighted",
    "sklearn_seed",
    "units",
]


class Result:
    """What every result of this folder can do; the results themselves are frozen dataclasses."""

    not_in_json: ClassVar[tuple[str, ...]] = ()  # fields as long as the data, or no numbers

    def to_json(self) -> dict[str, object]:
        """Return a dictionary that `json` can write; what is not finite becomes None."""
        return as_json(self, without=self.not_in_json)


@dataclass(frozen=True)
class Table:
    """Finite rows (n, d) in double precision, names of the features, shape of one event, and weights (n,) or None."""

    values: np.ndarray
    names: tuple[str, ...]
    event_shape: tuple[int, ...]
    weights: np.ndarray | None


def read_table(X: ArrayLike, names: Sequence[str] | None = None) -> Table:
    """Return `X` (n, *event), whatever holds it, as a `Table`; `names` override those that `X` brings.

    Raises `InputError` for text, NaN or infinity (with the column), fewer than two axes, no rows, or names or weights
    of a wrong number.
    """
    table = tables.read_table(X, names=names)
    weights = tables.check_weights(table.weights, len(table.values), "X", negative=False)
    return Table(table.values.astype(np.float64, copy=False), table.feature_names, table.event_shape, weights)


def read_like(X: ArrayLike, names: Sequence[str]) -> Table:
    """Return `X` as a table of as many features as `names`, in their order if it has these; else say what was expected.

    Raises `InputError` for another number of features, or for other names than those of a table that had some.
    """
    table = read_table(X)
    if len(table.names) != len(names):
        raise InputError(
            f"Expected {len(names)} features ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''}), "
            f"got {len(table.names)}. Give rows with the features of this result."
        )
    has_names = table.names != tables.feature_names(table.event_shape)
    order = tables.column_order(names, table.names if has_names else None, "X")
    return table if order is None else replace(table, values=table.values[:, order], names=tuple(names))


def read_unweighted(X: ArrayLike) -> Table:
    """Return `X` as a table for a method that knows no event weights; unequal weights are refused."""
    table = read_table(X)
    if table.weights is not None and np.ptp(table.weights) > 0:
        raise InputError("Expected rows without weights, got unequal weights. Draw rows in proportion to them first.")
    return table


def random_rows(n: int, max_rows: int, random_state: RandomState) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the numbers of at most `max_rows` of `n` rows, drawn at random and rising, and a note if some are left."""
    if n <= max_rows:
        return np.arange(n), ()
    rng = np.random.default_rng(child_seed(as_seed(random_state), "rows"))
    rows = np.sort(rng.choice(n, max_rows, replace=False))
    return rows, (f"{max_rows:,} of {n:,} rows were used, drawn at random.",)


def units(table: Table, *, standardise: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return what to subtract and to divide by, shape (d,) each: weighted mean and deviation, or 0 and 1."""
    d = table.values.shape[1]
    if not standardise:
        return np.zeros(d), np.ones(d)
    mean = np.average(table.values, axis=0, weights=table.weights)
    deviation = np.sqrt(np.average(np.square(table.values - mean), axis=0, weights=table.weights))
    still = np.ptp(table.values, axis=0) == 0  # a constant feature stays as it is; rounding moves its mean
    negligible = still | (deviation <= 1e-12 * np.abs(table.values).max(axis=0))
    return np.where(still, table.values[0], mean), np.where(negligible, 1.0, deviation)


def nearest(z: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the number, shape (n,), of the centre (K, d) nearest to each row of `z` (n, d)."""
    from sklearn.metrics import pairwise_distances_argmin

    return pairwise_distances_argmin(z, centres).astype(np.int64)


def by_size(labels: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the clusters in `labels` (n,), the most populated first, and the labels (n,) that count them so.

    Each label stands for one row, or for so many `rows` (n,).
    """
    clusters, inverse = np.unique(labels, return_inverse=True)
    order = np.argsort(-np.bincount(inverse, weights=rows), kind="stable")
    return clusters[order], np.argsort(order)[inverse]


def listed_sizes(sizes: np.ndarray) -> str:
    """Return the sizes of the first ten clusters in words."""
    return ", ".join(f"{size:,}" for size in sizes[:10]) + (", ..." if len(sizes) > 10 else "")


def sklearn_seed(seed: int, *path: str | int) -> int:
    """Return the child of `seed` at `path`, as the 32 bits that scikit-learn accepts."""
    return child_seed(seed, *path) % 2**32
