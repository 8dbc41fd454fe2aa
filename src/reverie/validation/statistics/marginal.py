"""Distances between the distribution functions of one feature, and its tails, for all relabellings in one pass.

With F and G the empirical distribution functions of x and y, H that of the pooled rows and D = F - G:

    Kolmogorov-Smirnov    max_t |D(t)|                                                       (Smirnov 1948)
    Anderson-Darling      A^2 = nm/N  integral D^2 / (H (1 - H)) dH          (Scholz and Stephens 1987, eq. 6)
    Wasserstein           W1 = integral |D| dt
    energy                2 integral D^2 dt = 2E|X-Y| - E|X-X'| - E|Y-Y'|        (Szekely and Rizzo 2013)
    tails                 |share of x - share of y| outside [q_.01, q_.99]

KS sees one place, A^2 also the tails (its mean is 1 under the null), W1 has the unit of the data, and the energy is
the squared distance whose mean over directions is the multivariate one (`reverie.validation.statistics.sliced`).

With weights H is the measure of the absolute weights, which is the same for every labelling. D is the cumulative sum of
a column of signed masses in the order of the values, read only where the value changes: equal values (ties) are exact.
Sums of +-1/2 are exact in single precision up to 2^24 rows; all others are carried from block to block in double
precision. Cost: about ten operations per row and column, in blocks of rows that stay in the cache, and one thread per
feature: threads within operations of this size would mostly wait for each other.

Tails. Distances between whole distributions hardly see the outer two per cent, so they are a test of their own. The
edges q_.01 and q_.99 are those of x, y and other rows of their kind together, so they depend on no label, but they
move with the rows: more rows of y in a tail push its edge outwards, and fewer are counted. The error needs this. A
share c of x minus that of y beyond an edge, and the share p of all rows beyond it, become without a group g

    c_(g) + s (TAIL - p_(g)),      s = dc/dp, the contrast per share of all rows at the edge,

since the edge moves until p is TAIL again. s is taken from the rows between half and one and a half times as far in
rank as the edge. To leave the groups out of the quantiles themselves would take s from the next row or two.

Place and width of a feature are the weighted median and interquartile range, in units of the real interquartile range
divided by 1.349, the standard deviation of a normal law.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from torch import Tensor

from reverie.core.proportions import percent
from reverie.core.types import ArrayLike
from reverie.validation.inputs.tables import as_rows, as_values
from reverie.validation.parallel import shared
from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error
from reverie.validation.permutation.signed_measures import (
    as_computed,
    measures,
    row_sums,
    signed_columns,
    within_shift,
)

__all__ = [
    "TAIL",
    "Ascending",
    "anderson_darling",
    "ascending",
    "change_of_shape",
    "change_of_shares",
    "cumulative_norms",
    "energy_distance_1d",
    "energy_shift",
    "ks_distance",
    "marginal_columns",
    "tail_columns",
    "wasserstein_1d",
    "wasserstein_powers",
    "weighted_quantile",
]

TAIL = 0.01  # on either side
_LEVELS, _ATOM = 20, 0.01  # levels of a feature that are no masses at a point, and the least share of such a mass
_WORDS = 3  # of a column that a sentence names
_ROWS = 256  # rows of 500 columns: half a megabyte, within the cache of one core


@dataclass(frozen=True)
class Ascending:
    """The pooled values in ascending order, (N,) each."""

    order: Tensor  # the rows in the order of their values
    last: Tensor  # whether a row is the last of those with its value
    gaps: Tensor  # from each value to the next; 0 within ties and at the end
    tails: Tensor  # dH / (H (1 - H)) at the last row of each value; 0 elsewhere


def ascending(values: Tensor, weights: Tensor | None = None) -> Ascending:
    """Return pooled `values` (N,) in ascending order, with (N,) `weights` or None."""
    order = values.argsort(stable=True)
    gaps = torch.cat([values[order].diff(), values.new_zeros(1)]).double()
    last = gaps > 0
    last[-1] = True
    w = torch.ones_like(gaps) if weights is None else weights[order].abs()
    H = w.cumsum(0) / w.sum()
    levels = torch.where(last, H, 0.0).cummax(0).values  # H at the last row of the value before, one row later
    dH = H - torch.cat([levels.new_zeros(1), levels[:-1]])
    inside = last & (H > 1e-12) & (H < 1 - 1e-12)
    return Ascending(order, last, gaps, torch.where(inside, dH / (H * (1 - H)), 0.0))


def cumulative_norms(S: Tensor, path: Ascending) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return max |D|, the sum of dH D^2 / (H (1 - H)), of |D| dt and twice that of D^2 dt, (columns,) float64 each.

    D is the cumulative sum of S (N, columns) in the order of `path`.
    """
    ties = not bool(path.last.all())
    steps = torch.stack([path.gaps, path.tails]).to(S.dtype)
    largest = S.new_zeros(S.shape[1])
    area, carry = (S.new_zeros(S.shape[1], dtype=torch.float64) for _ in range(2))
    squares = S.new_zeros(2, S.shape[1], dtype=torch.float64)
    for start in range(0, len(S), _ROWS):
        rows = slice(start, start + _ROWS)
        D = S.index_select(0, path.order[rows]).cumsum_(0)
        after = carry + D[-1]
        D += carry.to(S.dtype)
        carry = after
        squares += steps[:, rows] @ D.square()
        D.abs_()
        area += steps[0, rows] @ D
        if ties:
            D.mul_(path.last[rows, None])
        largest = torch.maximum(largest, D.amax(0))
    return largest.double(), squares[1], area, 2 * squares[0]


def energy_shift(path: Ascending, a: Tensor, c: Tensor) -> float:
    """Return U - V of the energy distance of one feature: sum_ij a_i a_j |t_i - t_j| = 2 integral F (1 - F)."""
    shift = 0.0
    for mass in (a, c):
        F = mass[path.order].cumsum(0)
        shift += within_shift(mass, -2 * float(path.gaps @ (F * (1 - F))), 0.0)
    return shift


def marginal_columns(z: Tensor, relabel: Relabellings) -> list[tuple[Computed, Computed]]:
    """Return Kolmogorov-Smirnov's and Anderson-Darling's statistic of each column of pooled z (N, d), x first.

    Both under every labelling.
    """
    S = signed_columns(relabel)
    n_labellings, grain = relabel.labels.shape[1], gcd(relabel.n, len(relabel.labels)) / len(relabel.labels)

    def one(values: Tensor) -> tuple[Computed, Computed]:
        ks, ad, _, _ = cumulative_norms(S, ascending(values.double(), relabel.weights))
        if relabel.weights is None:
            # D counts in steps of gcd(n, N)/N: off the jackknife, rounding makes equal values equal
            ks[:n_labellings] = (ks[:n_labellings] / grain).round() * grain
        return as_computed(ks * relabel.unit, relabel), as_computed(ad * relabel.unit, relabel)

    return list(shared(one, z.T))


def ks_distance(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None = None, y_weights: ArrayLike | None = None
) -> Tensor:
    """Return the largest Kolmogorov-Smirnov distance over the features of x (n, d) and y (m, d)."""
    return _plain(x, y, x_weights, y_weights)[0].amax()


def anderson_darling(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None = None, y_weights: ArrayLike | None = None
) -> Tensor:
    """Return the largest two-sample Anderson-Darling statistic A^2 over the features of x (n, d) and y (m, d)."""
    x, y = as_rows(x=x, y=y)
    return _plain(x, y, x_weights, y_weights)[1].amax() / (1 / len(x) + 1 / len(y))


def energy_distance_1d(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None = None, y_weights: ArrayLike | None = None
) -> Tensor:
    """Return the squared energy distance of x (n,) and y (m,), unbiased, in N log N operations."""
    z, a, c = measures(as_values(x, "x")[:, None], as_values(y, "y")[:, None], x_weights, y_weights)
    path = ascending(z[:, 0])
    return cumulative_norms((a - c)[:, None], path)[3][0] + energy_shift(path, a, c)


def wasserstein_1d(x: ArrayLike, y: ArrayLike, *, p: int = 1) -> Tensor:
    """Return the Wasserstein distance W_p of x (n,) and y (m,), in their unit.

    W_p^p = integral_0^1 |F^-1(u) - G^-1(u)|^p du, exact for the two empirical laws.
    """
    return wasserstein_powers(as_values(x, "x")[None], as_values(y, "y")[None], p=p)[0].pow(1 / p)


def wasserstein_powers(x: Tensor, y: Tensor, *, p: int = 1) -> Tensor:
    """Return W_p^p of each row of x (k, n) and the same row of y (k, m), (k,)."""
    n, m = x.shape[1], y.shape[1]
    x, y = (
        rows.sort(dim=1).values
        if rows.requires_grad or rows.device.type != "cpu"
        else torch.from_numpy(np.sort(rows.numpy(), axis=1))  # ten times as fast as torch where it has AVX-512
        for rows in (x, y)
    )
    if n == m:
        distance = (x - y).abs().double()
        return (distance if p == 1 else distance.pow(p)).mean(1)
    steps = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()  # u in units of 1/(nm)
    left = torch.cat([steps.new_zeros(1), steps[:-1]])
    distance = (x[:, left // m] - y[:, left // n]).abs().double()
    return (distance.pow(p) * (steps - left) / (n * m)).sum(1)


def _plain(x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None, y_weights: ArrayLike | None) -> Tensor:
    """Return what `cumulative_norms` returns for each feature, (4, d)."""
    x, y = as_rows(x=x, y=y)
    z, a, c = measures(x, y, x_weights, y_weights)
    weights = len(x) * a + len(y) * c
    columns = [torch.cat(cumulative_norms((a - c)[:, None], ascending(values, weights))) for values in z.T]
    return torch.stack(columns, dim=1)


def tail_columns(z: Tensor, relabel: Relabellings, edges: Tensor, others: Tensor | None = None) -> list[Computed]:
    """Return for each feature of pooled z (N, d) |share of x - share of y| beyond its edges, under every labelling.

    The lower and upper edges (2, d) do not know the labels. They are the `TAIL` quantiles of z and of `others` (M, d)
    together; None for edges that these rows have no part in.
    """
    outside = (z < edges[0]) | (z > edges[1])
    values = row_sums(len(z), lambda rows: outside[rows].double(), relabel.contrasts)
    w, of_x, results = relabel.row_weights, relabel.labels[:, 0], []
    for j in range(z.shape[1]):
        x, y = (float(w[side & outside[:, j]].sum() / w[side].sum()) for side in (of_x, ~of_x))
        detail = f"{y:.2%} of generated and {x:.2%} of real events lie beyond its outer {2 * TAIL:.0%}"
        left_out = relabel.jackknife(outside[:, j].nonzero()[:, 0]).sum(0, dtype=torch.float64)
        if others is not None:
            for side, edge in ((1, edges[0, j]), (-1, -edges[1, j])):
                left_out += _moved_edge(side * z[:, j], side * others[:, j], edge, relabel)
        error = jackknife_error(left_out.numpy() * relabel.unit)
        results.append(Computed(values[j].abs().numpy() * relabel.unit, error, detail=detail))
    return results


def _moved_edge(z: Tensor, others: Tensor, edge: Tensor, relabel: Relabellings) -> Tensor:
    """Return what a lower edge adds to the contrast (2J,) by moving when one group each is left out."""
    pool, sizes = torch.cat([z, others]), torch.bincount(relabel.groups)
    inner, outer = (max(1, round(part * TAIL * len(pool))) for part in (0.5, 1.5))
    near = pool.topk(min(outer + 1, len(pool)), largest=False).indices[inner:]
    contrast = relabel.contrasts(near[near < len(z)])[:, 0].sum()
    below = torch.bincount(relabel.groups[z < edge], minlength=len(sizes))
    share = ((pool < edge).sum() - below) / (len(pool) - sizes).double()
    return contrast / (len(near) / len(pool)) * (TAIL - share)


def change_of_shape(x: np.ndarray, y: np.ndarray, w_x: np.ndarray | None = None, w_y: np.ndarray | None = None) -> str:
    """Return how y (m,) lies relative to x (n,): moved and wider, in units of the width of x, and a mass at one value.

    The latter where at least 1 % of x, ten events or more, have one value, and the shares differ by a tenth of it.
    """
    values, counts = np.unique(x, return_counts=True)
    most = int(np.argmax(counts))
    at_one = []
    if len(values) > _LEVELS and counts[most] >= max(_ATOM * len(x), 10):
        shares = [
            float(np.mean(v == values[most]) if w is None else w[v == values[most]].sum() / w.sum())
            for v, w in ((x, w_x), (y, w_y))
        ]
        if abs(shares[1] - shares[0]) > 0.1 * shares[0]:
            at_one = [f"{percent(shares[1])} at one value where {percent(shares[0])} of real events are"]
    (a, b, c), (p, q, r) = (weighted_quantile(v, w, (0.25, 0.5, 0.75)) for v, w in ((x, w_x), (y, w_y)))
    width = (c - a) / 1.349
    if width <= 0:
        return "".join(at_one)
    moved, ratio = (q - b) / width, (r - p) / (c - a)
    parts = [f"median {abs(moved):.2g} widths {'higher' if moved > 0 else 'lower'}"] if abs(moved) >= 0.005 else []
    if abs(ratio - 1) >= 0.01:
        parts.append(f"core {abs(ratio - 1):.0%} {'wider' if ratio > 1 else 'narrower'}")
    return ", ".join(at_one + parts)


def change_of_shares(
    x: np.ndarray,
    y: np.ndarray,
    words: Sequence[str],
    w_x: np.ndarray | None = None,
    w_y: np.ndarray | None = None,
) -> str:
    """Return the words, three at most, whose shares of codes x (n,) and y (m,) differ most, with both shares."""
    shares = [
        np.bincount(v.astype(int), w, minlength=len(words)) / (len(v) if w is None else w.sum())
        for v, w in ((x, w_x), (y, w_y))
    ]
    most = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:_WORDS]
    parts = [f"{words[k]} in {percent(shares[1][k])} (real {percent(shares[0][k])})" for k in most]
    return f"events are {', '.join(parts)}"


def weighted_quantile(x: np.ndarray, w: np.ndarray | None, levels: tuple[float, ...]) -> np.ndarray:
    """Return quantiles of x (n,) with weights (n,) of positive sum; negative ones take away what lies below.

    Half of an event's weight lies below its value, so that equal weights give the median of none.
    """
    if w is None:
        return np.quantile(x, levels)
    order = np.argsort(x, kind="stable")
    below = np.maximum.accumulate(np.cumsum(w[order]) - w[order] / 2)  # rising, as a distribution function is
    return np.interp(np.asarray(levels) * w.sum(), below, x[order])
