"""How many rows fall into each cluster, with exact intervals.

The number of rows in a cluster is binomial; its interval is that of Clopper and Pearson (`reverie.core.proportions`),
so an empty cluster still has an upper limit. With event weights it is that of the effective number of events,
(sum w)^2 / sum w^2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson

__all__ = ["Occupancy", "occupancy"]


@dataclass(frozen=True, eq=False)
class Occupancy:
    """How many rows fall into each cluster.

    Parameters
    ----------
    counts : (K,) rows, or sums of weights.
    fractions, low, high : (K,) shares with their Clopper-Pearson interval.
    level : of each interval.
    n : rows, or effective number of rows when weighted.
    """

    counts: np.ndarray
    fractions: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float
    n: float

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}

    def __str__(self) -> str:
        rows = zip(self.fractions, self.low, self.high, strict=True)
        parts = [
            f"cluster {k} holds {100 * f:.3g} % [{100 * a:.3g}, {100 * b:.3g}]" for k, (f, a, b) in enumerate(rows)
        ]
        return f"Of {self.n:.6g} rows, {'; '.join(parts)} ({100 * self.level:g} % intervals)."


def occupancy(
    labels: np.ndarray, n_clusters: int, *, weights: np.ndarray | None = None, level: float = 0.95
) -> Occupancy:
    """Return the share of each cluster among integer `labels` (n,), from 0 to n_clusters - 1.

    `level` is the confidence of each interval, in (0, 1).
    """
    if not 0 < level < 1:
        raise InputError(f"Expected level between 0 and 1, got {level!r}. Give for instance 0.95.")
    w = np.ones(len(labels)) if weights is None else weights
    counts = np.bincount(labels, weights=w, minlength=n_clusters)
    n, fractions = w.sum() ** 2 / np.square(w).sum(), counts / w.sum()
    low, high = clopper_pearson(fractions * n, n, level)
    return Occupancy(counts, fractions, low, high, level, float(n))
