"""Statistics that training, validation, exploration and plots share: means with weights, AUC, KS, nearest neighbours.

Weights w_i may have any unit. A weighted sample of n events has the effective size

    n_eff = (sum w)^2 / sum w^2                                                    (Kish 1965)

The area under the ROC curve of scores x of one class and y of the other is A = P(y > x) + P(y = x)/2, and the
Kolmogorov-Smirnov distance is max_t |F(t) - G(t)| of the two distribution functions.

With n real and m generated rows of one continuous law, the share of real rows that have a generated one nearer than
their k-th real neighbour is

    1 - prod_{i < k} (n - 1 - i) / (n + m - 1 - i)                                 (Naeem et al. 2020)

since a real row has none when its k nearest of the n + m - 1 others are all real.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "NeighbourSearch",
    "auc",
    "effective_size",
    "expected_coverage",
    "in_order",
    "ks_distance",
    "mean_and_error",
    "share_below",
    "variance_of_mean",
    "weighted_mean",
]

TREE_DIMENSIONS = 6  # above, all distances in blocks are faster than a tree
_NUMBERS = 4_000_000  # held at once by one block
Weights = np.ndarray | None


def weighted_mean(values: "Tensor", weight: "Tensor | None") -> "Tensor":
    """Return the mean over the first axis of `values` (n, ...) with weights (n,), or None for all alike."""
    return values.mean(dim=0) if weight is None else weight.to(values.dtype) @ values / weight.to(values.dtype).sum()


def effective_size(weights: np.ndarray, block: int = 1) -> float:
    """Return (sum W_b)^2 / sum W_b^2, W_b sums of weights (n,) over blocks of neighbours: how many if all are alike."""
    sums = _block_sums(weights, block)
    squares = float(np.square(sums).sum())
    return float(sums.sum()) ** 2 / squares if squares > 0 else 0.0


def mean_and_error(values: np.ndarray, weights: Weights = None, *, block: int = 1) -> tuple[float, float]:
    """Return mean and standard error of values (n,), with weights, in blocks of neighbours that belong together."""
    w = np.ones(len(values)) if weights is None else weights
    mean = float(w @ values / w.sum())
    return mean, math.sqrt(variance_of_mean(values - mean, w, block))


def variance_of_mean(centred: np.ndarray, weights: np.ndarray, block: int = 1) -> float:
    """Return the variance of the weighted mean of values (n,) that lie about zero, from sums over blocks of rows."""
    n_blocks = effective_size(weights, block)
    sums = _block_sums(weights * centred / weights.sum(), block)
    return n_blocks / max(n_blocks - 1, 0.5) * float(np.square(sums).sum())


def _block_sums(values: np.ndarray, block: int) -> np.ndarray:
    """Return the sums of values (n,) over blocks of neighbours, the last of which may be shorter."""
    return values if block == 1 else np.add.reduceat(values, np.arange(0, len(values), block))


def share_below(scores: np.ndarray, others: np.ndarray, weights: Weights = None) -> np.ndarray:
    """Return for each of `scores` (n,) the share of `others` (m,), by weight, below it; equal ones count half."""
    order = np.argsort(others, kind="stable")
    steps = np.ones(len(others)) if weights is None else weights[order]
    total = np.concatenate([[0.0], np.cumsum(steps)])
    left, right = (np.searchsorted(others[order], scores, side) for side in ("left", "right"))
    return (total[left] + total[right]) / (2 * total[-1])


def auc(negative: np.ndarray, positive: np.ndarray, weights: tuple[Weights, Weights] = (None, None)) -> float:
    """Return the area under the ROC curve of scores (n,) of the negative class and (m,) of the positive one."""
    w, v = weights
    if w is None and v is None:
        from scipy.stats import rankdata

        n, m = len(negative), len(positive)
        ranks = rankdata(np.concatenate([negative, positive]))
        return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))
    v = np.ones(len(positive)) if v is None else v
    return float(v @ share_below(positive, negative, w) / v.sum())


def ks_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return the largest distance of the distribution functions of x (n,) and y (m,), in [0, 1]; nan without rows."""
    if not (len(x) and len(y)):
        return math.nan
    x, y = np.sort(x), np.sort(y)
    both = np.concatenate([x, y])
    gap = np.searchsorted(x, both, side="right") / len(x) - np.searchsorted(y, both, side="right") / len(y)
    return float(np.abs(gap).max())


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Return the share of `n` real rows with one of `m` rows of their law nearer than their k-th real neighbour."""
    i = np.arange(k)
    return float(1 - np.prod(np.maximum(0, n - 1 - i) / np.maximum(1, n + m - 1 - i)))


class NeighbourSearch:
    """The rows of a table that are nearest to others, exactly, in double precision.

    A k-d tree finds them in few dimensions, blocks of all distances (scikit-learn) in more. A table far from the origin
    should be centred first.

    Parameters
    ----------
    points : The rows that are searched, shape (n, d).
    tree_dimensions : The most columns d for which a tree is used.
    """

    def __init__(self, points: np.ndarray, *, tree_dimensions: int = TREE_DIMENSIONS) -> None:
        from scipy.spatial import KDTree

        self.points = np.asarray(points, dtype=np.float64)
        self._tree = KDTree(self.points) if self.points.shape[1] <= tree_dimensions else None

    def rows(self, k: int, queries: np.ndarray | None = None) -> np.ndarray:
        """Return the numbers (q, k) of the rows nearest to `queries` (q, d), nearest first up to rounding.

        Without queries each row is searched among the others: rows must then differ from each other.
        """
        if k == 0:
            return np.zeros((len(self.points if queries is None else queries), 0), dtype=int)
        if self._tree is None:
            from sklearn.neighbors import NearestNeighbors

            search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(self.points)
            return np.asarray(search.kneighbors(queries, return_distance=False))
        import torch

        workers = torch.get_num_threads()
        if queries is None:  # the first is the row itself
            return np.asarray(self._tree.query(self.points, k + 1, workers=workers)[1])[:, 1:]
        return np.asarray(self._tree.query(queries, k, workers=workers)[1]).reshape(len(queries), k)

    def nearest(self, k: int, queries: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return squared distances and numbers (q, k) of the rows nearest to `queries`, nearest first; see `rows`."""
        return in_order(self.points, self.rows(k, queries), queries)


def in_order(points: np.ndarray, rows: np.ndarray, queries: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared distances, rising, of rows (q, k) of `points` (n, d) from `queries` (q, d), and the rows.

    Distances come from differences: exact zeros for equal rows, and no loss of digits between close ones. Without
    queries they are those from the points themselves.
    """
    queries = points if queries is None else queries
    squared = np.empty(rows.shape)
    step = max(1, _NUMBERS // max(1, rows.shape[1] * points.shape[1]))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        gaps = points[rows[block]] - queries[block, None]
        squared[block] = np.einsum("qkd,qkd->qk", gaps, gaps)
    order = np.argsort(squared, axis=1, kind="stable")
    return np.take_along_axis(squared, order, 1), np.take_along_axis(rows, order, 1)
