"""K-means: groups of rows around K centres, with K chosen by a stated rule and shares with exact intervals.

K-means minimises the sum of squared distances to the nearest centre (MacQueen 1967; Lloyd 1982),

    C_K = sum_n sum_k r_nk |x_n - mu_k|^2,     r_nk = 1 for the nearest centre, else 0,

in features divided by their standard deviations unless told otherwise; the minimum is scikit-learn's. The assumption
behind it is that all clusters have one and the same variance in every direction; where they do not, the border cuts
into the wide cluster and the result is spurious. So the variances are compared and a ratio above 4 is a warning.

The number of clusters is chosen by the gap statistic; two other criteria stand beside it.

    gap                Gap(K) = E* log C_K - log C_K, E* over uniform samples in the box along the principal axes of
                       the data. K is the smallest with Gap(K) >= Gap(K') - s_K', K' the next one tried,
                       s = sd* sqrt(1 + 1/B) (Tibshirani, Walther and Hastie 2001). K = 1 is possible: no clusters.
    silhouette         mean of (b - a)/max(a, b), a and b the mean distances to the own and to the nearest other
                       cluster (Rousseeuw 1987); the largest is best; not defined at K = 1
    Calinski-Harabasz  (C_1 - C_K)/(K - 1) / (C_K/(n - K)) (1974); the largest is best; not at K = 1
    inertia            C_K itself; it always falls with K

Data and uniform samples are fitted in one manner, with as many restarts, so that a fit that is not the best does not
lean to either side.

The number of rows in a cluster is binomial; the interval of its share is that of Clopper and Pearson
(`reverie.core.proportions`), so an empty cluster still has an upper limit. With event weights it is that of the
effective number of events, (sum w)^2 / sum w^2.
"""

import warnings as python_warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reverie.core.arguments import Count, Level, checked
from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson
from reverie.core.random import as_seed, child_seed
from reverie.core.statistics import effective_size
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.tables import Result, by_size, nearest, random_rows, read_like, read_table, sklearn_seed, units

__all__ = ["Clustering", "Criterion", "KMeansStep", "Occupancy", "kmeans", "kmeans_steps"]

MINI_BATCH_ABOVE = 100_000  # rows; above, MiniBatchKMeans finds the centres and ten full Lloyd steps polish them
_RESTARTS = 2  # of each fit while K is chosen, the same for data and references
_VARIANCE_RATIO = 4.0  # standard deviations that differ by a factor of two
_FEWEST_ROWS = 10  # a variance of fewer rows is not judged
_SILHOUETTE_ROWS = 2_000  # its cost is quadratic
_REFERENCES = 10  # uniform samples B; the error of their mean enters the rule


@dataclass(frozen=True)
class Criterion:
    """What speaks for one K, on the rows that K was chosen on; None where a criterion is not defined."""

    n_clusters: int
    inertia: float
    gap: float
    gap_error: float
    silhouette: float | None
    calinski_harabasz: float | None


@dataclass(frozen=True, eq=False)
class Occupancy(Result):
    """How many rows fall into each cluster.

    Parameters
    ----------
    counts : Rows, or sums of weights, of each cluster, shape (K,).
    fractions, low, high : Share of each cluster with its Clopper-Pearson interval, shape (K,) each.
    level : Confidence of each interval.
    n : Number of rows, or effective number of rows when weighted.
    """

    counts: np.ndarray
    fractions: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float
    n: float

    def __str__(self) -> str:
        rows = zip(self.fractions, self.low, self.high, strict=True)
        parts = [
            f"cluster {k} holds {100 * f:.3g} % [{100 * a:.3g}, {100 * b:.3g}]" for k, (f, a, b) in enumerate(rows)
        ]
        return f"Of {self.n:.6g} rows, {'; '.join(parts)} ({100 * self.level:g} % intervals)."


@dataclass(frozen=True, eq=False)
class Clustering(Result):
    """K clusters, the most populated first.

    Parameters
    ----------
    centres : Centres in the units of the data, shape (K, d).
    labels : Cluster 0 ... K-1 of each row given, shape (n,).
    sizes : Number of rows per cluster, shape (K,).
    spreads : Root mean square distance to the centre per feature, in the units of `scale`, shape (K,).
    inertia : The cost C_K of all rows, in the units of `scale`.
    names : Names of the d features.
    location, scale : What was subtracted and divided by before distances were taken, shape (d,) each.
    criteria : One `Criterion` per K tried; empty when K was given.
    seed : Root of all randomness.
    warnings : What to keep in mind, in sentences.
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
    not_in_json: ClassVar = ("labels",)

    @property
    def n_clusters(self) -> int:
        """Number K of clusters."""
        return len(self.centres)

    @property
    def preferred(self) -> dict[str, int]:
        """The K that each criterion would choose, by its name; empty when K was given."""
        chosen = {"gap": gap_choice(self.criteria)} if self.criteria else {}
        for name in ("silhouette", "calinski_harabasz"):
            scores = {c.n_clusters: getattr(c, name) for c in self.criteria if getattr(c, name) is not None}
            if scores:
                chosen[name] = max(scores, key=lambda k: scores[k])
        return chosen

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the cluster (n,) of each row of `X` (n, *event): that of the nearest centre."""
        z = (read_like(X, self.names).values - self.location) / self.scale
        return nearest(z, (self.centres - self.location) / self.scale)

    @checked
    def occupancy(self, X: ArrayLike, *, level: Level = 0.95) -> Occupancy:
        """Return the share of each cluster among the rows of `X`, with intervals of confidence `level` in (0, 1)."""
        table = read_like(X, self.names)
        w = np.ones(len(table.values)) if table.weights is None else table.weights
        counts = np.bincount(self.predict(table.values), weights=w, minlength=self.n_clusters)
        n, fractions = effective_size(w), counts / w.sum()
        low, high = clopper_pearson(fractions * n, n, level)
        return Occupancy(counts, fractions, low, high, level, n)

    def to_json(self) -> dict[str, object]:
        """Return a dictionary that `json` can write, without the labels, which are as long as the data."""
        return super().to_json() | {"preferred": self.preferred}

    def __str__(self) -> str:
        clusters = "1 cluster" if self.n_clusters == 1 else f"{self.n_clusters} clusters"
        shape = f"{len(self.labels)} rows in {len(self.names)} features"
        sentence = f"{clusters} of {shape}; sizes {', '.join(map(str, self.sizes))}."
        if self.criteria:
            others = ", ".join(f"{name.replace('_', '-')} {k}" for name, k in self.preferred.items() if name != "gap")
            sentence += f" K was chosen by the gap statistic (1-s.e. rule); preferred otherwise: {others or 'nothing'}."
        return " ".join([sentence, *self.warnings])


@dataclass(frozen=True, eq=False)
class KMeansStep:
    """Centres (K, d), the label (n,) of the nearest one of each row, and the cost C_K of both."""

    centres: np.ndarray
    labels: np.ndarray
    cost: float


def kmeans_steps(X: ArrayLike, centres: ArrayLike) -> Iterator[KMeansStep]:
    """Yield the steps of Lloyd's algorithm from `centres`, to be looked at; `kmeans` finds the best of several starts.

    Each step gives every row to its nearest centre, then moves every centre to the mean of its rows; a centre without
    rows stays. It ends when no label changes any more. Raises `InputError` for centres that do not fit the rows.

    Parameters
    ----------
    X : An array or data set, shape (n, *event), without event weights; distances are taken in its own units.
    centres : Where to begin, shape (K, d).
    """
    z, centres, before = read_table(X).values, np.array(centres, dtype=np.float64), None
    if centres.ndim != 2 or centres.shape[1] != z.shape[1]:
        raise InputError(f"Expected centres (K, {z.shape[1]}), got shape {centres.shape}. Give a row for each centre.")
    while True:
        labels = nearest(z, centres)
        yield KMeansStep(centres.copy(), labels, float(np.square(z - centres[labels]).sum()))
        if before is not None and np.array_equal(labels, before):
            return
        for k in np.unique(labels):
            centres[k] = z[labels == k].mean(axis=0)
        before = labels


@checked
def kmeans(
    X: ArrayLike,
    n_clusters: Count | None = None,
    *,
    standardise: bool = True,
    random_state: RandomState = None,
    choices: Iterable[int] = range(2, 11),
    max_rows: Count = 5_000,
) -> Clustering:
    """Cluster the rows of `X` by K-means.

    Above 100,000 rows the centres come from MiniBatchKMeans, polished by ten full Lloyd steps.

    Parameters
    ----------
    X : An array or data set, shape (n, *event); event weights are honoured.
    n_clusters : Number K of clusters; None chooses it by the gap statistic.
    standardise : Divide features by their standard deviations first, so that units do not matter.
    random_state : Seed or generator, or None.
    choices : The K to try; 1 is always tried as well.
    max_rows : K is chosen on a random subset of so many rows, drawn in proportion to event weights.

    Raises
    ------
    InputError
        For fewer rows than clusters.
    """
    table, seed, criteria = read_table(X), as_seed(random_state), ()
    weights, (location, scale) = table.weights, units(table, standardise=standardise)
    z = (table.values - location) / scale
    if n_clusters is None:
        subset, r = z, np.random.default_rng(child_seed(seed, "subset"))
        if weights is not None:
            subset = z[r.choice(len(z), min(len(z), max_rows), p=weights / weights.sum())]
        elif len(z) > max_rows:
            subset = z[r.choice(len(z), max_rows, replace=False)]
        criteria = criteria_table(subset, choices, seed)
        n_clusters = gap_choice(criteria)
    if n_clusters > len(z):
        raise InputError(f"Expected n_clusters <= {len(z)} rows, got {n_clusters}. Give more rows or fewer clusters.")
    centres = _centres(z, n_clusters, sklearn_seed(seed, "fit"), weights=weights, restarts=5)
    order, labels = by_size(nearest(z, centres))  # the largest first, without empty ones
    centres, sizes = centres[order], np.bincount(labels)
    w = np.ones(len(z)) if weights is None else weights
    costs = np.bincount(labels, weights=w * np.square(z - centres[labels]).sum(axis=1))
    masses = np.bincount(labels, weights=w)
    spreads = np.sqrt(costs / np.maximum(masses, 1e-300) / z.shape[1])
    warnings = []
    if len(sizes) < n_clusters:
        warnings.append(f"Only {len(sizes)} of {n_clusters} clusters hold rows: rows repeat.")
    if criteria and n_clusters == criteria[-1].n_clusters:
        warnings.append(f"The gap still grows at the largest K tried, {n_clusters}: try more of them.")
    judged = np.square(spreads[sizes >= _FEWEST_ROWS])
    if len(judged) > 1 and judged.max() > _VARIANCE_RATIO * judged.min():
        ratio = f"{judged.max() / judged.min():.3g}" if judged.min() > 0 else "infinity"
        warnings.append(
            f"The variances of the clusters differ by a factor of {ratio}: K-means assumes that they are equal, so "
            "borders between wide and narrow clusters may be spurious."
        )
    return Clustering(
        centres=centres * scale + location,
        labels=labels,
        sizes=sizes,
        spreads=spreads,
        inertia=float(costs.sum()),
        names=table.names,
        location=location,
        scale=scale,
        criteria=criteria,
        seed=seed,
        warnings=tuple(warnings),
    )


def criteria_table(z: np.ndarray, choices: Iterable[int], seed: int) -> tuple[Criterion, ...]:
    """Return one `Criterion` for K = 1 and each of `choices` on rows `z` (n, d), in increasing K.

    Choices that are not below the number of distinct rows are left out.
    """
    from sklearn.metrics import calinski_harabasz_score, silhouette_score

    def fit(rows: np.ndarray, *path: str | int) -> tuple[float, np.ndarray]:  # cost and labels at the present k
        centres = _centres(rows, k, sklearn_seed(seed, *path))
        labels = nearest(rows, centres)
        return float(np.square(rows - centres[labels]).sum()), labels

    wanted, distinct = list(choices), len(np.unique(z, axis=0))
    for k in wanted:
        check_positive("each of choices", k, integer=True)
    if distinct < 2:
        raise InputError("Expected rows that differ, got one and the same row everywhere. There is nothing to cluster.")
    # references: uniform in the box of the data along the axes of their covariance matrix
    axes = np.linalg.eigh(np.cov(z, rowvar=False).reshape(z.shape[1], -1))[1]
    along, r = z @ axes, np.random.default_rng(child_seed(seed, "reference"))
    references = [r.uniform(along.min(axis=0), along.max(axis=0), z.shape) @ axes.T for _ in range(_REFERENCES)]
    some, rows = random_rows(len(z), _SILHOUETTE_ROWS, child_seed(seed, "silhouette"))[0], []
    for k in sorted({1, *(int(k) for k in wanted if k < distinct)}):
        log_costs = [np.log(fit(sample, "gap", k, b)[0]) for b, sample in enumerate(references)]
        cost, labels = fit(z, "criteria", k)
        few, few_labels = z[some], labels[some]
        is_defined, has_silhouette = (1 < len(np.unique(part)) < len(part) for part in (labels, few_labels))
        rows.append(
            Criterion(
                n_clusters=k,
                inertia=cost,
                gap=float(np.mean(log_costs) - np.log(cost)),
                gap_error=float(np.std(log_costs) * np.sqrt(1 + 1 / _REFERENCES)),
                silhouette=float(silhouette_score(few, few_labels)) if has_silhouette else None,
                calinski_harabasz=float(calinski_harabasz_score(z, labels)) if is_defined else None,
            )
        )
    return tuple(rows)


def gap_choice(criteria: Sequence[Criterion]) -> int:
    """Return the smallest K whose gap is within one s.e. of the next one's, else the largest K tried."""
    for one, following in zip(criteria[:-1], criteria[1:], strict=True):
        if one.gap >= following.gap - following.gap_error:
            return one.n_clusters
    return criteria[-1].n_clusters


def _centres(
    z: np.ndarray, n_clusters: int, seed: int, *, weights: np.ndarray | None = None, restarts: int = _RESTARTS
) -> np.ndarray:
    """Return the K-means centres (K, d) of rows `z` (n, d) by scikit-learn."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    options: dict[str, Any] = {"n_init": restarts, "random_state": seed}
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than K: told in words
        if len(z) > MINI_BATCH_ABOVE:
            rough = MiniBatchKMeans(n_clusters, batch_size=10_000, **options).fit(z, sample_weight=weights)
            options |= {"init": rough.cluster_centers_, "n_init": 1, "max_iter": 10}
        return np.asarray(KMeans(n_clusters, **options).fit(z, sample_weight=weights).cluster_centers_)
