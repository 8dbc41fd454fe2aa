"""How many clusters: the gap statistic decides, two other criteria stand beside it.

C_K is the cost of K-means, the sum of squared distances to the nearest of K centres.

    gap                Gap(K) = E* log C_K - log C_K, E* over uniform samples in the box along the
                       principal axes of the data. K is the smallest with Gap(K) >= Gap(K') - s_K', K' the
                       next one tried, s = sd* sqrt(1 + 1/B) (Tibshirani, Walther and Hastie 2001).
                       K = 1 is possible: no clusters.
    silhouette         mean of (b - a)/max(a, b), a and b the mean distances to the own and to the nearest
                       other cluster (Rousseeuw 1987); the largest is best; not defined at K = 1
    Calinski-Harabasz  (C_1 - C_K)/(K - 1) / (C_K/(n - K)) (1974); the largest is best; not at K = 1
    inertia            C_K itself; it always falls with K

Data and uniform samples are fitted in one manner, with as many restarts, so that a fit that is not
the best does not lean to either side.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.random import child_seed

__all__ = ["Criterion", "criteria_table", "gap_choice", "preferred"]

_SILHOUETTE_ROWS = 2_000  # its cost is quadratic
_REFERENCES = 10  # B; the error of their mean enters the rule

Fit = Callable[[np.ndarray, int, int], tuple[float, np.ndarray]]  # rows, K, seed -> cost, labels


@dataclass(frozen=True)
class Criterion:
    """What speaks for one K, on the rows that K was chosen on; None where a criterion is not defined."""

    n_clusters: int
    inertia: float
    gap: float
    gap_error: float
    silhouette: float | None
    calinski_harabasz: float | None


def criteria_table(z: np.ndarray, choices: Iterable[int], fit: Fit, seed: int) -> tuple[Criterion, ...]:
    """Return one `Criterion` for K = 1 and each of `choices` on rows `z` (n, d), in increasing K.

    `fit` clusters rows into K at a seed. Choices that are not below the number of distinct rows are left out.
    """
    tried = _tried(choices, len(np.unique(z, axis=0)))
    references = _references(z, seed)
    return tuple(_criterion(z, k, references, fit, seed) for k in tried)


def gap_choice(criteria: Sequence[Criterion]) -> int:
    """Return the smallest K whose gap is within one s.e. of the next one's, else the largest K tried."""
    for here, following in zip(criteria[:-1], criteria[1:], strict=True):
        if here.gap >= following.gap - following.gap_error:
            return here.n_clusters
    return criteria[-1].n_clusters


def preferred(criteria: Sequence[Criterion]) -> dict[str, int]:
    """Return the K that each criterion would choose, by its name; empty where nothing was tried."""
    chosen = {"gap": gap_choice(criteria)} if criteria else {}
    for name in ("silhouette", "calinski_harabasz"):
        scores = {c.n_clusters: getattr(c, name) for c in criteria if getattr(c, name) is not None}
        if scores:
            chosen[name] = max(scores, key=lambda k: scores[k])
    return chosen


def _tried(choices: Iterable[int], distinct: int) -> list[int]:
    wanted = list(choices)
    for k in wanted:
        check_positive("each of choices", k, integer=True)
    if distinct < 2:
        raise InputError("Expected rows that differ, got one and the same row everywhere. There is nothing to cluster.")
    return sorted({1, *(int(k) for k in wanted if k < distinct)})


def _references(z: np.ndarray, seed: int) -> list[np.ndarray]:
    # uniform in the box of the data along the axes of their covariance matrix
    axes = np.linalg.eigh(np.cov(z, rowvar=False).reshape(z.shape[1], -1))[1]
    along = z @ axes
    r = np.random.default_rng(child_seed(seed, "reference"))
    return [r.uniform(along.min(axis=0), along.max(axis=0), z.shape) @ axes.T for _ in range(_REFERENCES)]


def _criterion(z: np.ndarray, k: int, references: list[np.ndarray], fit: Fit, seed: int) -> Criterion:
    from sklearn.metrics import calinski_harabasz_score, silhouette_score

    log_costs = [np.log(fit(sample, k, child_seed(seed, "gap", k, b))[0]) for b, sample in enumerate(references)]
    cost, labels = fit(z, k, child_seed(seed, "criteria", k))
    few, few_labels = z[:_SILHOUETTE_ROWS], labels[:_SILHOUETTE_ROWS]
    defined = 1 < len(np.unique(few_labels)) < len(few)
    return Criterion(
        n_clusters=k,
        inertia=cost,
        gap=float(np.mean(log_costs) - np.log(cost)),
        gap_error=float(np.std(log_costs) * np.sqrt(1 + 1 / _REFERENCES)),
        silhouette=float(silhouette_score(few, few_labels)) if defined else None,
        calinski_harabasz=float(calinski_harabasz_score(z, labels)) if defined else None,
    )
