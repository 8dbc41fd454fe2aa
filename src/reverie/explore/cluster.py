"""K-means: groups of rows around K centres, with K chosen by a stated rule.

K-means minimises the sum of squared distances to the nearest centre (MacQueen 1967; Lloyd 1982),

    C = sum_n sum_k r_nk |x_n - mu_k|^2,     r_nk = 1 for the nearest centre, else 0,

in features divided by their standard deviations unless told otherwise. The assumption behind it is
that all clusters have one and the same variance in every direction; where they do not, the border
cuts into the wide cluster and the result is spurious. So the variances are compared and a ratio
above 4 is a warning.

The number of clusters is chosen by the gap statistic, tabulated with others (`reverie.explore.gap`).
"""

import warnings as python_warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.gap import Criterion, criteria_table, gap_choice, preferred
from reverie.explore.nearest import nearest, read_like, units
from reverie.explore.occupancy import Occupancy, occupancy
from reverie.explore.tables import read_table

__all__ = ["Clustering", "kmeans"]

MINI_BATCH_ABOVE = 100_000  # rows; above, MiniBatchKMeans finds the centres and ten full Lloyd steps polish them
_RESTARTS = 2  # of each fit, the same for data and references
_VARIANCE_RATIO = 4.0  # standard deviations that differ by a factor of two
_FEWEST_ROWS = 10  # a variance of fewer rows is not judged


@dataclass(frozen=True, eq=False)
class Clustering:
    """K clusters, the most populated first.

    Parameters
    ----------
    centres : (K, d) in the units of the data.
    labels : (n,) integers 0 ... K-1, the cluster of each row given.
    sizes : (K,) rows per cluster.
    spreads : (K,) root mean square distance to the centre per feature, in the units of `scale`.
    inertia : the cost C of all rows, in the units of `scale`.
    names : d feature names.
    location, scale : (d,) what was subtracted and divided by before distances were taken.
    criteria : one `Criterion` per K tried; empty when K was given.
    seed : the root of all randomness.
    warnings : what to keep in mind, in sentences.
    """

    centres: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    spreads: np.ndarray
    inertia: float
    names: tuple[str, ...]
    location: np.ndarray
    scale: np.ndarray
    criteria: tuple[Criterion, ...]
    seed: int
    warnings: tuple[str, ...] = ()

    @property
    def n_clusters(self) -> int:
        """K, the number of clusters."""
        return len(self.centres)

    @property
    def preferred(self) -> dict[str, int]:
        """The K that each criterion would choose, by its name; empty when K was given."""
        return preferred(self.criteria)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the cluster (n,) of each row of `X` (n, *event): that of the nearest centre."""
        z = (read_like(X, self.names).values - self.location) / self.scale
        return nearest(z, (self.centres - self.location) / self.scale)

    def occupancy(self, X: ArrayLike, *, level: float = 0.95) -> Occupancy:
        """Return the share of each cluster among the rows of `X`, with intervals of confidence `level`."""
        table = read_like(X, self.names)
        return occupancy(self.predict(table.values), self.n_clusters, weights=table.weights, level=level)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write, without the labels, which are as long as the data."""
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items() if k != "labels"}
        plain["criteria"] = [asdict(c) for c in self.criteria]
        return plain | {"names": list(self.names), "warnings": list(self.warnings), "preferred": self.preferred}

    def __str__(self) -> str:
        clusters = "1 cluster" if self.n_clusters == 1 else f"{self.n_clusters} clusters"
        sizes = ", ".join(str(size) for size in self.sizes)
        found = f"{clusters} of {len(self.labels)} rows in {len(self.names)} features; sizes {sizes}."
        if self.criteria:
            others = ", ".join(f"{name.replace('_', '-')} {k}" for name, k in self.preferred.items() if name != "gap")
            found += f" K was chosen by the gap statistic (1-s.e. rule); preferred otherwise: {others or 'nothing'}."
        return " ".join([found, *self.warnings])


@checked
def kmeans(
    X: ArrayLike,
    n_clusters: int | None = None,
    *,
    standardise: bool = True,
    random_state: RandomState = None,
    choices: Iterable[int] = range(2, 11),
    max_rows: int = 5_000,
) -> Clustering:
    """Cluster the rows of `X` by K-means.

    Parameters
    ----------
    X : (n, *event), array or data set; event weights are honoured.
    n_clusters : K; None chooses it by the gap statistic (`reverie.explore.gap`).
    standardise : divide features by their standard deviations first, so that units do not matter.
    random_state : int, generator or None.
    choices : the K to try; 1 is always tried as well.
    max_rows : K is chosen on a random subset of so many rows, drawn in proportion to event weights.

    Returns
    -------
    clustering : `Clustering` of all rows. Above 100,000 rows the centres come from MiniBatchKMeans,
        polished by ten full Lloyd steps.

    Raises
    ------
    InputError
        For fewer rows than clusters, or a K that is not a whole number above 0.
    """
    table, seed, criteria = read_table(X), as_seed(random_state), ()
    location, scale = units(table, standardise=standardise)
    z = (table.values - location) / scale
    if n_clusters is None:
        criteria = criteria_table(_subset(z, table.weights, max_rows, seed), choices, _cost, seed)
        n_clusters = gap_choice(criteria)
    check_positive("n_clusters", n_clusters, integer=True)
    if n_clusters > len(z):
        raise InputError(f"Expected n_clusters <= {len(z)} rows, got {n_clusters}. Give more rows or fewer clusters.")
    centres = _fit(z, n_clusters, child_seed(seed, "fit"), weights=table.weights, restarts=5)
    labels, sizes, centres = _by_size(nearest(z, centres), centres)
    inertia, spreads = _spreads(z, labels, centres, sizes, table.weights)
    return Clustering(
        centres=centres * scale + location,
        labels=labels,
        sizes=sizes,
        spreads=spreads,
        inertia=inertia,
        names=table.names,
        location=location,
        scale=scale,
        criteria=criteria,
        seed=seed,
        warnings=_warnings(n_clusters, sizes, spreads, criteria),
    )


def _fit(
    z: np.ndarray, n_clusters: int, seed: int, *, weights: np.ndarray | None = None, restarts: int = _RESTARTS
) -> np.ndarray:
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    options: dict[str, Any] = {"n_init": restarts, "random_state": seed % 2**32}
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than K: told in words
        if len(z) > MINI_BATCH_ABOVE:
            rough = MiniBatchKMeans(n_clusters, batch_size=10_000, **options).fit(z, sample_weight=weights)
            options |= {"init": rough.cluster_centers_, "n_init": 1, "max_iter": 10}
        return np.asarray(KMeans(n_clusters, **options).fit(z, sample_weight=weights).cluster_centers_)


def _by_size(labels: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, sizes and centres renumbered, the largest cluster first, without empty ones."""
    sizes = np.bincount(labels, minlength=len(centres))
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    rank = np.empty(len(centres), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[labels], sizes[order], centres[order]


def _subset(z: np.ndarray, weights: np.ndarray | None, max_rows: int, seed: int) -> np.ndarray:
    check_positive("max_rows", max_rows, integer=True)
    if weights is None and len(z) <= max_rows:
        return z
    r = np.random.default_rng(child_seed(seed, "subset"))
    if weights is None:
        return z[r.choice(len(z), max_rows, replace=False)]
    return z[r.choice(len(z), min(len(z), max_rows), p=weights / weights.sum())]


def _cost(z: np.ndarray, k: int, seed: int) -> tuple[float, np.ndarray]:
    centres = _fit(z, k, seed)
    labels = nearest(z, centres)
    return float(np.square(z - centres[labels]).sum()), labels


def _spreads(
    z: np.ndarray, labels: np.ndarray, centres: np.ndarray, sizes: np.ndarray, weights: np.ndarray | None
) -> tuple[float, np.ndarray]:
    squared = np.square(z - centres[labels]).sum(axis=1)
    w = np.ones(len(z)) if weights is None else weights
    totals, masses = (np.bincount(labels, weights=v, minlength=len(sizes)) for v in (w * squared, w))
    return float(totals.sum()), np.sqrt(totals / np.maximum(masses, 1e-300) / z.shape[1])


def _warnings(asked: int, sizes: np.ndarray, spreads: np.ndarray, criteria: tuple[Criterion, ...]) -> tuple[str, ...]:
    found = []
    if len(sizes) < asked:
        found.append(f"Only {len(sizes)} of {asked} clusters hold rows: rows repeat.")
    if criteria and asked == criteria[-1].n_clusters:
        found.append(f"The gap still grows at the largest K tried, {asked}: try more of them.")
    judged = spreads[sizes >= _FEWEST_ROWS]
    if len(judged) > 1 and judged.max() ** 2 > _VARIANCE_RATIO * judged.min() ** 2:
        found.append(
            f"The variances of the clusters differ by a factor of {_ratio(judged)}: K-means assumes that they are "
            "equal, so borders between wide and narrow clusters may be spurious."
        )
    return tuple(found)


def _ratio(spreads: np.ndarray) -> str:
    low = spreads.min() ** 2
    return f"{spreads.max() ** 2 / low:.3g}" if low > 0 else "infinity"
