"""Hotelling's T^2: means, widths and correlations of all features in one quadratic form; first and second moments.

Every feature becomes its normal scores, z = Phi^-1(mid-rank among all pooled rows / N) (van der Waerden 1952), so that
neither units nor long tails matter and no label enters. Of the features f(z) of an event, with Delta the difference
of their means over x and y, Sigma their covariance over all pooled rows, and h = n m / N^2,

    D^2 = Delta^T Sigma_w^-1 Delta = q / (1 - h q),    q = Delta^T Sigma^-1 Delta,    T^2 = D^2 / (1/n + 1/m)

with Sigma_w the covariance within the samples (Hotelling 1931; of ranks Puri and Sen 1971). D is Mahalanobis' distance.
Three sets of features are tried:

    means           z_j                        k of them           the best test of a shift of normal laws
    widths          z_j and z_j^2              2 k
    correlations    these and all z_i z_j      k + k (k + 1)/2     the best test of any small change of normal laws

The last two are left out where they are more than `MOST` or a tenth of the rows. What is shown is D^2 minus the mean
of the permutations (without any, minus its expectation), 0 on average for equal laws whatever the sizes. Its error is
the jackknife with the direction Sigma^-1 Delta held: at its maximum a form changes with its direction to second order
only.

For normal laws of one covariance D^2 is all that the likelihood-ratio test sees:
`reverie.validation.power.events_needed` reads off it how many events that test needs.

Of very many features, such as pixels, only some can be looked at one by one. What one of the others does shows in the
largest change of a mean or a width among all (`largest_change`).

Frechet distance and correlations are functions of first and second moments, which are sums over rows of 1, z_i and
z_i z_j: those of all relabellings, jackknife columns and subsets are one matrix product, in blocks of rows.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error
from reverie.validation.permutation.signed_measures import Rows, row_sums

__all__ = [
    "FEATURES",
    "column_distances",
    "hotelling",
    "hotelling_columns",
    "largest_change",
    "labelled_moments",
    "moment_sums",
    "normal_scores",
    "whitened",
    "with_products",
]

MOST = 300
_LEAST_ROWS = 10  # for each of the features beyond the means
_CUT = 1e-8
_STILL = 1e-6  # width over the real one, up to which a feature counts as constant
_COLUMNS = 256  # whose changes are held at once
_NUMBERS = 4_000_000  # held at once in a block of moments, 32 MB

Pair: TypeAlias = tuple[Tensor, Tensor]  # of x and of y


def normal_scores(z: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the normal scores (N, d), float64, of pooled z (N, d); ties share their middle rank.

    Weights (N,) count with their size: an event of weight three is as three equal ones.
    """
    w = torch.ones(len(z), dtype=torch.float64) if weights is None else weights.double().abs()
    scores, least = torch.empty(z.shape, dtype=torch.float64), 0.25 / len(z)
    for j, column in enumerate(z.T):
        _, level = torch.unique(column, return_inverse=True)
        mass = torch.zeros(int(level.max()) + 1, dtype=torch.float64).index_add_(0, level, w)
        rank = ((mass.cumsum(0) - mass / 2) / mass.sum()).clamp(least, 1 - least)  # an end of weight 0 has rank 0 or 1
        scores[:, j] = torch.special.ndtri(rank[level])
    return scores


def with_products(z: Tensor) -> Tensor:
    """Return the columns of z (N, d) and all products z_i z_j with i <= j, (N, d + d (d + 1)/2)."""
    i, j = torch.triu_indices(z.shape[1], z.shape[1])
    return torch.cat([z, z[:, i] * z[:, j]], dim=1)


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {  # of normal scores (N, d)
    "means": lambda z: z,
    "means and widths": lambda z: torch.cat([z, z.square()], dim=1),
    "means, widths and correlations": with_products,
}


def hotelling_columns(z: Tensor, relabel: Relabellings) -> list[tuple[str, Computed, int]]:
    """Return for each set of features of pooled z (N, d) its name, D^2 under every labelling and degrees of freedom."""
    scores, d = normal_scores(z, relabel.weights), z.shape[1]
    widths = {"means": d, "means and widths": 2 * d, "means, widths and correlations": d * (d + 3) // 2}
    most = min(MOST, len(z) // _LEAST_ROWS)
    tried = [name for name, width in widths.items() if name == "means" or width <= most]
    if d == 1:
        tried = tried[:2]  # there are no correlations
    return [(name, *hotelling(FEATURES[name](scores), relabel)) for name in tried]


def largest_change(z: Tensor, relabel: Relabellings, names: Sequence[str]) -> Computed:
    """Return the largest change of a mean or a width among the columns of pooled z (N, d), under every labelling.

    The features f are z and (z - mean)^2, and a change is that of their mean, in standard deviations of f.
    """
    w, most = relabel.row_weights, np.zeros(relabel.labels.shape[1])
    strongest = z.new_zeros(len(z)), 0, False
    for start in range(0, z.shape[1], _COLUMNS):
        part = z[:, start : start + _COLUMNS].double()
        part = part - (w @ part) / w.sum()
        f = torch.cat([part, part.square()], dim=1)
        f = f - (w @ f) / w.sum()
        f = f / ((w.abs() @ f.square()) / w.abs().sum()).sqrt().clamp(min=1e-300)
        changes = np.abs(row_sums(len(f), f.__getitem__, relabel.contrasts).numpy()) * relabel.unit
        j = int(changes[:, 0].argmax())
        if changes[j, 0] > most[0]:
            strongest = f[:, j], start + j % part.shape[1], j >= part.shape[1]
        most = np.maximum(most, changes.max(axis=0))
    f, column, is_width = strongest
    left_out = row_sums(len(f), lambda rows: f[rows, None], relabel.jackknife)[0].numpy() * relabel.unit
    change = _change_of(z[:, column].double(), relabel, names[column], is_width=is_width)
    return Computed(most, jackknife_error(left_out), detail=change)


def _change_of(x: Tensor, relabel: Relabellings, name: str, *, is_width: bool) -> str:
    """Return what the mean or the width of pooled x (N,) does from the first sample to the second, in words."""
    w, of_x = relabel.row_weights, relabel.labels[:, 0]
    means = [float(w[side] @ x[side] / w[side].sum()) for side in (of_x, ~of_x)]
    squares = [
        float(w[side] @ (x[side] - mean).square() / w[side].sum())
        for side, mean in zip((of_x, ~of_x), means, strict=True)
    ]
    widths = [math.sqrt(max(square, 0.0)) for square in squares]
    unit = widths[0] or widths[1] or 1.0
    if is_width:
        ratio = widths[1] / unit
        return f"the width of {name} is {ratio:.2g} times the real one" if ratio > _STILL else f"{name} is constant"
    moved = (means[1] - means[0]) / unit
    return f"the mean of {name} is {abs(moved):.2g} of its widths {'higher' if moved > 0 else 'lower'}"


def column_distances(z: Tensor, relabel: Relabellings) -> list[tuple[float, int]]:
    """Return D^2 of mean and width of each column of pooled z (N, d) alone, as observed, and its degrees of freedom."""
    observed = replace(relabel, labels=relabel.labels[:, :1], weight_of_x=relabel.weight_of_x[:1])
    scores = normal_scores(z, relabel.weights)
    results = [hotelling(FEATURES["means and widths"](scores[:, [j]]), observed) for j in range(z.shape[1])]
    return [(float(one.values[0]), dof) for one, dof in results]


def hotelling(f: Tensor, relabel: Relabellings) -> tuple[Computed, int]:
    """Return D^2 of features f (N, K) under every labelling, and its degrees of freedom."""
    w = relabel.row_weights
    f = f - (w @ f) / w.sum()
    white = whitened(f, (f.T * w) @ f / w.sum())
    change = row_sums(len(f), white.__getitem__, relabel.contrasts) * relabel.unit
    # rounding can take q to its largest value 1/h, that of samples without overlap
    q, h, dof = change.square().sum(0), relabel.n * relabel.m / len(f) ** 2, white.shape[1]
    values = (q / (1 - h * q).clamp_min(1e-9)).numpy()
    chance = float(values[1:].mean()) if len(values) > 1 else dof * relabel.unit
    # the jackknife of D^2 along the one score that the observed labelling chose
    score, share = white @ change[:, 0], relabel.n / len(f)
    (a, aa), (b, bb) = ((mass.T @ score, mass.T @ score.square()) for mass in relabel.jackknife_masses())
    within = share * (aa - a.square()) + (1 - share) * (bb - b.square())
    left_out = (a - b).square() / within.clamp_min(1e-9)
    return Computed(values, jackknife_error(np.asarray(left_out)), -chance), dof


def whitened(f: Tensor, covariance: Tensor) -> Tensor:
    """Return f (N, K) in units of the axes of its covariance (K, K), (N, k): axes of no variance are left out."""
    eigenvalues, axes = torch.linalg.eigh(covariance)
    kept = eigenvalues > _CUT * eigenvalues[-1].clamp_min(1e-300)
    return f @ (axes[:, kept] / eigenvalues[kept].sqrt())


def moment_sums(z: Tensor, masses: Rows) -> Tensor:
    """Return K sums over the rows of z (N, d), (K, 2 + d + d (d + 1)/2), for masses (rows, K).

    Each is of w, w z_i, w z_i z_j with i <= j, and last of w^2; centred z do not cancel in second moments.
    """
    n_products = z.shape[1] * (z.shape[1] + 1) // 2
    step, total = max(1, _NUMBERS // (n_products + masses(slice(1)).shape[1])), torch.zeros(())
    for start in range(0, len(z), step):
        rows = slice(start, start + step)
        w, block = masses(rows), with_products(z[rows])
        sums = w.T @ torch.cat([torch.ones_like(block[:, :1]), block], dim=1)
        total = total + torch.cat([sums, w.square().sum(0)[:, None]], dim=1)
    return total


def labelled_moments(z: Tensor, relabel: Relabellings) -> tuple[Pair, Pair]:
    """Return the `moment_sums` of x and y about the mean of pooled z (N, d): all labellings; each group left out.

    The first two have a row for each labelling, the others one for each of the 2J jackknife groups of the observed one.
    """
    w, of_group = relabel.row_weights, torch.arange(relabel.n_groups)

    def masses(rows: slice) -> Tensor:
        in_group = relabel.groups[rows, None] == of_group
        return torch.cat([relabel.labels[rows], in_group], dim=1).double().mul_(w[rows, None])

    sums = moment_sums(z.double() - z.double().mean(0), masses)
    x, groups = sums.split([relabel.labels.shape[1], relabel.n_groups])
    both, of_x = groups.sum(0, keepdim=True), (of_group < relabel.n_groups // 2)[:, None]
    return (x, both - x), (x[:1] - groups * of_x, both - x[:1] - groups * ~of_x)
