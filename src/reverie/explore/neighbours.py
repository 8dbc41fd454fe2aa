"""Distances to nearest neighbours, without a matrix of all distances, and blocks of neighbouring points."""

from dataclasses import dataclass

import numpy as np

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_seed
from reverie.core.statistics import NeighbourSearch
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.tables import read_table

__all__ = ["Neighbours", "find_neighbours", "neighbour_distances", "spatial_blocks"]


@dataclass(frozen=True)
class Neighbours:
    """Points without duplicates and the distances to their nearest neighbours.

    Parameters
    ----------
    points : (N, d). distances : (N, k), rising along each row, all positive.
    n_duplicates : rows that repeated an earlier one and were dropped.
    notes : what was left out.
    """

    points: np.ndarray
    distances: np.ndarray
    n_duplicates: int
    notes: tuple[str, ...]


def find_neighbours(X: ArrayLike, k: int, *, max_rows: int, random_state: RandomState) -> Neighbours:
    """Return the distances to the k nearest neighbours among at most `max_rows` rows of X, drawn at random.

    Raises
    ------
    InputError
        For data that cannot be read, unequal weights, or fewer than k + 2 different rows.
    """
    table = read_table(X)
    if table.weights is not None and np.ptp(table.weights) > 0:
        raise InputError(
            "Expected rows without weights, got unequal weights. Distances to neighbours know no weights: "
            "draw rows in proportion to their weights first."
        )
    check_positive("max_rows", max_rows, integer=True)
    values, notes = table.values, []
    if len(values) > max_rows:
        rng = np.random.default_rng(child_seed(as_seed(random_state), "rows"))
        values = values[np.sort(rng.choice(len(values), max_rows, replace=False))]
        notes.append(f"{max_rows:,} of {len(table.values):,} rows were used, drawn at random.")
    points = np.unique(values, axis=0)
    dropped = len(values) - len(points)
    if dropped:
        notes.append(f"{dropped:,} rows that repeat an earlier one were dropped.")
    if len(points) < k + 2:
        raise InputError(
            f"Expected at least {k + 2} different rows for {k} neighbours, got {len(points)}. Give more samples, "
            "or, for discrete data, use bitwise_dimension."
        )
    return Neighbours(points, neighbour_distances(points, k), dropped, tuple(notes))


def neighbour_distances(points: np.ndarray, k: int) -> np.ndarray:
    """Return Euclidean distances (N, k) to the k nearest other rows of (N, d), rising."""
    return np.sqrt(NeighbourSearch(points - points.mean(0)).nearest(k)[0])


def spatial_blocks(points: np.ndarray, size: int) -> np.ndarray:
    """Return the block (N,) of each point: cells of `size` to 2 `size` neighbouring points.

    Cells are halved at the median of their widest feature, as in a k-d tree.
    """
    block, count, cells = np.zeros(len(points), dtype=int), 0, [np.arange(len(points))]
    while cells:
        cell = cells.pop()
        half = len(cell) // 2
        if half < size:
            block[cell], count = count, count + 1
            continue
        widest = int(np.argmax(np.ptp(points[cell], axis=0)))
        order = np.argsort(points[cell, widest], kind="stable")
        cells += [cell[order[:half]], cell[order[half:]]]
    return block
