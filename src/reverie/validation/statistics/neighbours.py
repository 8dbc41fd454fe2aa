"""Nearest neighbours of the pooled rows, found once, and the share of them that bear the same label.

Two samples x and y are pooled, and each row i gets a list of its K nearest other rows. The list does not depend on the
labels, so all labellings of `reverie.validation.permutation.relabelling` share it. With N_k(i) the first k,

    T_k = sum over i, j in N_k(i) of w_i w_j [l_i = l_j]  /  sum over i, j in N_k(i) of w_i w_j

is the share of neighbours from the row's own sample (Schilling 1986; Henze 1988); T_1 is the leave-one-out
accuracy of the 1-nearest-neighbour classifier (Lopez-Paz and Oquab 2017). Under the null hypothesis every
pair of rows is equally likely to be the pair (i, j), in any dimension and for any law, so without weights

    E[T_k] = (n (n - 1) + m (m - 1)) / (N (N - 1)),        (n - 1) / (2n - 1) for n = m.

A larger share means that the samples avoid each other. A share far below this value means that rows of one
sample sit beside rows of the other: copies.

With weights a pair counts w_i w_j: T_k is then a quadratic form of the signed measure, with the same mean under
the null hypothesis whatever the densities of the unweighted rows; those only choose which rows are neighbours.

Ties. Pooled rows come x first, so an order by index would know the label. Rows are therefore put in a random
order before the search. Rows that are exactly equal are searched as one; each of them then lists its twins from
its own place in a random cycle, so that no row is the neighbour of all.

The search is exact: a k-d tree up to 6 dimensions, blocks of all distances above (scikit-learn), in float64;
the distances of the neighbours found are then computed again from differences. Memory O(N K).

The error leaves out one jackknife group at a time, with all pairs that touch it. The jackknife counts the variance
of a pair, as opposed to that of its rows, twice (Efron and Stein 1981). Once is taken off again: the labels of a
pair differ with probability 2 p (1 - p), p the local share of x, about 1 - T_k, so this part of the variance is

    (1 - T_k)^2  sum over pairs {i, j} of (w_i w_j a_ij)^2  /  (sum over i, j in N_k(i) of w_i w_j)^2

with a_ij = 2 for rows in each other's list, else 1. In simulations the error was right under the null hypothesis and
up to 1.3 times too large for samples that differ.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.statistics import NeighbourSearch, in_order
from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error

__all__ = ["NeighbourGraph", "label_share", "nearest", "neighbour_graph"]

_NUMBERS = 4_000_000  # held at once by one block


@dataclass(frozen=True)
class NeighbourGraph:
    """The nearest other rows of each row, nearest first."""

    rows: np.ndarray  # (N, K) int64, which rows they are
    squared: np.ndarray  # (N, K) float64, squared distances to them, ascending

    @property
    def length(self) -> int:
        """K, the number of neighbours of each row."""
        return self.rows.shape[1]


def neighbour_graph(z: Tensor, k: int, generator: torch.Generator) -> NeighbourGraph:
    """Return the k nearest other rows of each row of z (N, d), at most N - 1; `generator` breaks ties."""
    check_positive("k", k, integer=True)
    values = np.ascontiguousarray(z.double().cpu().numpy())
    if len(values) < 2 or not np.isfinite(values).all():
        raise InputError(
            f"Expected at least two rows of finite numbers, got shape {values.shape}. Drop rows with NaN or inf."
        )
    k = min(k, len(values) - 1)
    order = torch.randperm(len(values), generator=generator).numpy()
    first, member, count = _groups_of_equals(values[order])
    centred = values - np.median(values, axis=0)  # not the mean, which one row far out would move
    distinct = centred[order][first]
    found = NeighbourSearch(distinct).rows(min(k, len(first) - 1))
    if len(first) < len(values):
        starts = torch.rand(len(values), generator=generator, dtype=torch.float64).numpy()
        found = _with_equals(found, member, count, starts, k)
    rows = np.empty_like(found)
    rows[order] = order[found]
    squared, rows = in_order(centred, rows)
    return NeighbourGraph(rows, squared)


def nearest(points: Tensor, queries: Tensor, k: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and row numbers (q, k) of the rows of `points` (p, d) nearest to `queries` (q, d).

    Rows of `points` at equal distance are ordered at random by `generator`; k <= p.
    """
    order = torch.randperm(len(points), generator=generator).numpy()
    centre = points.double().median(0).values
    spots, asked = ((part.double() - centre).cpu().numpy() for part in (points, queries))
    found = NeighbourSearch(spots[order]).rows(k, asked)
    squared, rows = in_order(spots, order[found], asked)
    return np.sqrt(squared), rows


def label_share(graph: NeighbourGraph, relabel: Relabellings, k: int = 5) -> Computed:
    """Return T_k under every labelling (see the module): k = 1 is the 1-NN accuracy, k = 5 the kNN statistic."""
    if graph.length < min(k, len(graph.rows) - 1):
        raise InputError(f"Expected lists of at least {k} neighbours, got {graph.length}. Make the graph with k = {k}.")
    neighbours = torch.from_numpy(graph.rows[:, :k])
    weights = relabel.row_weights.float()
    columns = relabel.labels.shape[1]
    same, total = torch.zeros(columns, dtype=torch.float64), 0.0
    step = max(1, _NUMBERS // (columns * neighbours.shape[1]))
    for start in range(0, len(neighbours), step):
        rows = slice(start, start + step)
        pairs = weights[rows, None] * weights[neighbours[rows]]
        equal = relabel.labels[neighbours[rows]] == relabel.labels[rows, None]
        same += pairs.flatten() @ equal.flatten(0, 1).float()
        total += float(pairs.sum(dtype=torch.float64))
    return Computed((same / total).numpy(), _share_error(neighbours, relabel, weights.double()))


def _groups_of_equals(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first row of each set of equal rows, the set of each row, and the number of rows of each set."""
    whole = np.ascontiguousarray(values + 0.0).view(np.dtype((np.void, values.shape[1] * 8))).ravel()  # -0 is 0
    _, first, inverse, count = np.unique(whole, return_index=True, return_inverse=True, return_counts=True)
    place = np.empty(len(first), dtype=int)
    place[np.argsort(first)] = np.arange(len(first))  # sets in the (random) order of their first rows
    return np.sort(first), place[inverse], count[np.argsort(first)]


def _with_equals(found: np.ndarray, member: np.ndarray, count: np.ndarray, starts: np.ndarray, k: int) -> np.ndarray:
    """Return lists of rows (N, k) for lists of sets of equal rows: the row's own set first, without itself."""
    rows_by_set = np.argsort(member, kind="stable")
    begin = np.cumsum(count) - count
    place = np.empty(len(member), dtype=int)
    place[rows_by_set] = np.arange(len(member)) - begin[member[rows_by_set]]
    sets = np.concatenate([member[:, None], found[member]], axis=1)
    here = np.concatenate([count[member][:, None] - 1, count[found[member]]], axis=1)
    until = np.cumsum(here, axis=1)
    rows = np.empty((len(member), k), dtype=int)
    for p in range(k):
        which = (until <= p).sum(1)  # the set that holds the p-th neighbour
        at = np.arange(len(member))
        group = sets[at, which]
        turn = p - (until[at, which] - here[at, which])
        cycle = np.where(which == 0, place + 1, (starts * count[group]).astype(int))
        rows[:, p] = rows_by_set[begin[group] + (cycle + turn) % count[group]]
    return rows


def _share_error(neighbours: Tensor, relabel: Relabellings, weights: Tensor) -> float:
    """Return the error of the observed T_k: the jackknife, less what it counts twice of pairs (see the module)."""
    if relabel.n_groups < 4:
        return math.nan
    label, groups, n_groups = relabel.labels[:, 0], relabel.groups, relabel.n_groups
    pairs = weights[:, None] * weights[neighbours]
    same = pairs * (label[neighbours] == label[:, None])
    cells, kept = (groups[:, None] * n_groups + groups[neighbours]).flatten(), []
    for part in (same, pairs):  # sums over the pairs that do not touch a group, for each group
        table = torch.zeros(n_groups**2, dtype=torch.float64).index_add_(0, cells, part.flatten())
        table = table.view(n_groups, n_groups)
        kept.append(table.sum() - table.sum(0) - table.sum(1) + table.diagonal())
    variance = jackknife_error((kept[0] / kept[1]).numpy()) ** 2
    # (w_i w_j a_ij)^2 of the unordered pairs; equal keys are the two directions of one pair
    rows = torch.arange(len(neighbours))[:, None].expand_as(neighbours)
    key = torch.minimum(rows, neighbours) * len(neighbours) + torch.maximum(rows, neighbours)
    _, place = key.flatten().unique(return_inverse=True)
    sums = torch.zeros(int(place.max()) + 1, dtype=torch.float64).index_add_(0, place, pairs.flatten())
    twice = float((1 - same.sum() / pairs.sum()).square() * float(sums.square().sum()) / pairs.sum().square())
    return math.sqrt(max(variance - twice, variance / 2))
