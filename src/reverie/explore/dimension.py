"""Intrinsic dimension from ratios of distances to neighbours: TwoNN and Gride.

If the density hardly changes over a few neighbours, the volumes between successive neighbours of a point are
exponential variables, whatever the density is. With r_k the distance to the k-th neighbour and mu = r_n2 / r_n1,
n2 > n1, the density of mu depends on the dimension d alone,

    f(mu) = d (mu^d - 1)^(n2 - n1 - 1) / (B(n2 - n1, n1) mu^((n2 - 1) d + 1)).

TwoNN (Facco et al., Sci. Rep. 7 (2017) 12140): n1 = 1, n2 = 2, mu is Pareto and the maximum of the likelihood, without
bias, is d = (N - 1) / sum log mu. The largest ratios suffer most from a varying density; of N ratios the K = fraction N
smallest are kept as a sample censored above,

    d = (K - 1) / (sum_{i<=K} log mu_i + (N - K) log mu_K).

Gride (Denti et al., Sci. Rep. 12 (2022) 20005): n2 = 2 n1 for n1 = 1, 2, 4, ...; the likelihood is concave in d and
solved by Newton steps. Larger n1 look at larger distances: noise shows as a dimension that falls with scale, curvature
as one that changes at large scales. No library of the project has either estimator.

Errors. Fisher's information, d / sqrt(K) for TwoNN, takes points as independent, yet points share neighbours: for
normal points in 2 to 5 dimensions the true error is 1.2 to 1.4 times larger. So the scores of the likelihood are summed
over cells of 2 n2 to 4 n2 neighbouring points, and their spread between cells gives the error (clustered sandwich
estimator; White, Econometrica 50 (1982) 1; Liang and Zeger, Biometrika 73 (1986) 13); the larger of both is reported.
It is an error of chance only. In many dimensions the density does change over a few neighbours, and the estimate is too
low whatever the error: 1,000 normal points have 9.5 in 10 dimensions and 16.6 in 20.

Distances mix all features: bring them to comparable units first. Rows that repeat an earlier row are dropped and
counted. On lattices and integers many distances are equal and neither estimator applies: see `reverie.explore.bitwise`.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from reverie.core.arguments import Count, Interval, checked
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.statistics import NeighbourSearch
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.tables import Result, random_rows, read_unweighted

__all__ = ["DimensionResult", "DimensionScan", "gride", "neighbour_distances", "spatial_blocks", "two_nn"]

MANY_TIES = 0.01  # share of equal distances above which the data look discrete
MIN_CELLS = 8  # a spread between fewer is no error
NEWTON_STEPS, PRECISION = 100, 1e-12


@dataclass(frozen=True)
class DimensionResult(Result):
    """An intrinsic dimension at one scale.

    Parameters
    ----------
    dimension : Estimate with its standard error, and the number of points.
    n1, n2 : The neighbours whose distances were compared.
    scale : Mean distance to neighbour n2, in the unit of the data.
    n_duplicates : Number of rows dropped because they repeat another.
    notes : What was left out, or why the estimate is doubtful, in sentences.
    """

    dimension: Measured
    n1: int
    n2: int
    scale: float
    n_duplicates: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = "".join(f" {note}" for note in self.notes)
        return f"Intrinsic dimension {self.dimension} at distance {self.scale:.3g}.{notes}"


@dataclass(frozen=True)
class DimensionScan(Result):
    """The intrinsic dimension against scale: one result for each n1 = 1, 2, 4, ..."""

    results: tuple[DimensionResult, ...]

    @property
    def dimension(self) -> np.ndarray:
        """Estimates, one per scale."""
        return np.array([result.dimension.value for result in self.results])

    @property
    def error(self) -> np.ndarray:
        """Standard errors of the estimates, which are correlated at neighbouring scales."""
        return np.array([result.dimension.error for result in self.results])

    @property
    def scale(self) -> np.ndarray:
        """Mean distances to neighbour n2, in the unit of the data, rising."""
        return np.array([result.scale for result in self.results])

    def __str__(self) -> str:
        columns = zip(self.dimension, self.error, self.scale, strict=True)
        parts = ", ".join(f"{Measured(d, e)} at {s:.3g}" for d, e, s in columns)
        notes = "".join(f" {note}" for note in self.results[0].notes)
        return f"Intrinsic dimension by distance (n = {self.results[0].dimension.n}): {parts}.{notes}"


@dataclass(frozen=True)
class _Neighbours:
    # different rows (N, d) and the distances (N, k) to their nearest neighbours, rising and positive
    points: np.ndarray
    distances: np.ndarray
    n_duplicates: int
    notes: tuple[str, ...]

    def log_ratios(self, n1: int, n2: int) -> np.ndarray:
        log_mu = np.log(self.distances[:, n2 - 1] / self.distances[:, n1 - 1])
        if not log_mu.any():
            raise InputError(
                f"Expected distances that differ, got r_{n1} = r_{n2} at every point. The data lie on a lattice: "
                "use bitwise_dimension."
            )
        return log_mu


@checked
def two_nn(
    X: ArrayLike,
    fraction: Annotated[float, Interval(0, 1, ends="right")] = 0.9,
    *,
    max_rows: Count = 20_000,
    random_state: RandomState = None,
) -> DimensionResult:
    """Return the TwoNN intrinsic dimension of `X`.

    Parameters
    ----------
    X : At least 10 different rows with features in comparable units, shape (n, *event).
    fraction : Share of the smallest ratios that is kept, in (0, 1]; Facco et al. keep 0.9.
    max_rows : More rows are cut at random; the scale then grows.
    random_state : Seed or generator of that cut.

    Raises
    ------
    InputError
        For data that cannot be read, unequal weights, too few rows, or no ratio above 1.
    """
    near = _neighbours(X, 8, max_rows=max_rows, random_state=random_state)
    log_mu = near.log_ratios(1, 2)
    n, kept = len(log_mu), max(2, round(fraction * len(log_mu)))
    order = np.argsort(log_mu, kind="stable")
    censored = np.minimum(log_mu, log_mu[order[kept - 1]])
    d = (kept - 1) / float(censored.sum())
    seen = np.zeros(n)
    seen[order[:kept]] = 1
    return _result(near, 1, 2, d, scores=seen / d - censored, information=kept / d**2)


@checked
def gride(
    X: ArrayLike,
    range_max: Annotated[int, Interval(2)] = 64,
    *,
    max_rows: Count = 20_000,
    random_state: RandomState = None,
) -> DimensionScan:
    """Return the Gride intrinsic dimension of `X` for n1 = 1, 2, 4, ..., with n2 = 2 n1 <= `range_max`.

    Parameters
    ----------
    X : More different rows than `range_max`, with features in comparable units, shape (n, *event).
    range_max : Number of the farthest neighbour, 2 or more; time and memory grow with it.
    max_rows : More rows are cut at random; the scale then grows.
    random_state : Seed or generator of that cut.

    Raises
    ------
    InputError
        For data that cannot be read, unequal weights, or too few rows.
    """
    near = _neighbours(X, range_max, max_rows=max_rows, random_state=random_state)
    results = []
    for n1 in [2**j for j in range(int(np.log2(range_max)))]:
        n2, log_mu = 2 * n1, near.log_ratios(n1, 2 * n1)
        d = float((1 / np.arange(n1, n2)).sum() / log_mu.mean())  # moments: log mu has mean sum 1/j over d
        scores = information = np.zeros(1)
        for _ in range(NEWTON_STEPS):
            t = np.maximum(d * log_mu, 1e-12)  # t / (1 - exp(-t)) tends to 1 where distances are equal
            inverse = -1 / np.expm1(-t)
            scores = 1 / d + (n2 - n1 - 1) * t * inverse / d - (n2 - 1) * log_mu  # d log f / dd of each point
            information = (1 + (n2 - n1 - 1) * t**2 * np.exp(-t) * inverse**2) / d**2  # and minus its derivative
            step = float(scores.sum() / information.sum())
            d = max(d + step, d / 2)
            if abs(step) < PRECISION * d:
                break
        results.append(_result(near, n1, n2, d, scores=scores, information=float(information.sum())))
    return DimensionScan(tuple(results))


def _result(
    near: _Neighbours, n1: int, n2: int, d: float, *, scores: np.ndarray, information: float
) -> DimensionResult:
    """Return an estimate with the error of the clustered sandwich, or Fisher's where that is larger."""
    n_points, radius = len(near.points), near.distances[:, n2 - 1]
    cells = spatial_blocks(near.points, max(1, min(2 * n2, n_points // MIN_CELLS)))
    sums = np.bincount(cells, weights=scores)
    clustered = np.sqrt(np.square(sums).sum() * len(sums) / (len(sums) - 1)) / information
    ties, notes = float(np.mean(radius == near.distances[:, n1 - 1])), near.notes
    if ties > MANY_TIES:
        notes += (f"{100 * ties:.0f} % of the distances are equal: discrete data, do not trust this estimate.",)
    measured = Measured(d, max(float(clustered), information**-0.5), n_points)
    return DimensionResult(measured, n1, n2, float(radius.mean()), near.n_duplicates, notes)


def _neighbours(X: ArrayLike, k: int, *, max_rows: int, random_state: RandomState) -> _Neighbours:
    """Return the distances to the k nearest neighbours among at most `max_rows` rows of X, drawn at random."""
    table = read_unweighted(X)
    rows, notes = random_rows(len(table.values), max_rows, random_state)
    points = np.unique(table.values[rows], axis=0)
    dropped = len(rows) - len(points)
    if dropped:
        notes += (f"{dropped:,} rows that repeat an earlier one were dropped.",)
    if len(points) < k + 2:
        raise InputError(
            f"Expected at least {k + 2} different rows for {k} neighbours, got {len(points)}. Give more samples, "
            "or, for discrete data, use bitwise_dimension."
        )
    return _Neighbours(points, neighbour_distances(points, k), dropped, notes)


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
