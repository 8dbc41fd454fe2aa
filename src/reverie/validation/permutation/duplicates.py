"""Equal rows: what chance makes of a discrete law, and what a generator of few events repeats.

n events of a law with point masses p_i are expected to hold n (n - 1) / 2 sum p_i^2 equal pairs (the birthday test,
Arora and Zhang 2018), so a sample with many more of them than real data has a smaller support. Pairs come in sets:
an event that stands k times makes k (k - 1) / 2 of them, so their number has no binomial law. What chance does to it is
seen by relabelling, as for every other statistic: rows change their label, and

    T = pairs of y / (m (m - 1) / 2) - pairs of x / (n (n - 1) / 2)

is computed for each labelling. Both terms estimate sum p_i^2, whatever the sizes of the samples.

Equal rows may also be one event that stands in its table more than once: after a join of tables, or because rare
events were copied to make them count. Then what is independent, and may change its label, is the event with all its
copies. Such tables betray themselves. With c_v rows of each value v among n,

    F2 = sum c (c - 1),    F3 = sum c (c - 1)(c - 2),    z = (F3 - F2^2 / n) / sqrt(n mu^2 (6 + 2 mu)),    mu = F2 / n

estimate n^2 sum p^2 and n^3 sum p^3. For independent rows of any law sum p^3 >= (sum p^2)^2 (Cauchy and Schwarz), so z
is not below 0 but by chance; for equal masses p, where the two agree, F3 - F2^2/n has the variance under the root
(Poisson numbers c). Chance does not repeat events as evenly as copies do: events that all stand twice have
z = -sqrt(n/8).
"""

import numpy as np
import torch
from torch import Tensor

from reverie.core.shuffle import hashed
from reverie.validation.permutation.relabelling import Relabellings

__all__ = ["evenness", "n_pairs", "row_hashes", "row_sets", "twin_columns"]

_COLUMNS = 64  # labellings at once


def row_hashes(table: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each row of a table (n, d) of doubles; -0 is 0."""
    bits = np.ascontiguousarray(table + 0.0).view(np.uint64)
    found = np.zeros(len(table), np.uint64)
    for j in range(table.shape[1]):
        found = hashed(found ^ hashed(bits[:, j], j), j + 1)
    return found


def row_sets(table: np.ndarray) -> np.ndarray:
    """Return the number of its set of equal rows, 0 to K - 1, for each row of a table (n, d) of doubles."""
    return np.unique(row_hashes(table), return_inverse=True)[1]


def twin_columns(sets: Tensor, relabel: Relabellings) -> np.ndarray:
    """Return T (B + 1,) of the module under every labelling, large where y holds more equal pairs.

    Parameters
    ----------
    sets : (N,), the set of equal rows of each pooled row, x first.
    """
    _, place, counts = torch.unique(sets, return_inverse=True, return_counts=True)
    rows = torch.nonzero(counts[place] > 1)[:, 0]
    _, place, sizes = torch.unique(place[rows], return_inverse=True, return_counts=True)
    found = []
    for labels in relabel.labels[rows].split(_COLUMNS, dim=1):
        of_x = torch.zeros(len(sizes), labels.shape[1], dtype=torch.float64).index_add_(0, place, labels.double())
        pairs = [(k * (k - 1)).sum(0) for k in (of_x, sizes[:, None] - of_x)]
        found.append(pairs[1] / (relabel.m * max(relabel.m - 1, 1)) - pairs[0] / (relabel.n * max(relabel.n - 1, 1)))
    return torch.cat(found).numpy()


def evenness(sets: np.ndarray) -> float:
    """Return z of the module for the sets (n,) of equal rows of one table: far below 0 where events stand twice."""
    n, counts = len(sets), np.unique(sets, return_counts=True)[1].astype(float)
    pairs, triples = (counts * (counts - 1)).sum(), (counts * (counts - 1) * (counts - 2)).sum()
    mu = pairs / n
    return float((triples - mu * pairs) / (mu * np.sqrt(n * (6 + 2 * mu)))) if pairs else 0.0


def n_pairs(x: np.ndarray, y: np.ndarray | None = None) -> int:
    """Return the number of equal pairs within the sets `x` (n,) of rows, or between `x` and `y` (m,)."""
    values, counts = np.unique(x, return_counts=True)
    if y is None:
        return int((counts * (counts - 1) // 2).sum())
    others, others_counts = np.unique(y, return_counts=True)
    _, here, there = np.intersect1d(values, others, assume_unique=True, return_indices=True)
    return int((counts[here] * others_counts[there]).sum())
