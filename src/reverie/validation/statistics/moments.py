"""Hotelling's T^2: means, widths and correlations of all features in one quadratic form.

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
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error

__all__ = ["FEATURES", "column_distances", "hotelling", "hotelling_columns", "normal_scores"]

MOST = 300
_LEAST_ROWS = 10  # for each of the features beyond the means
_CUT = 1e-8
_ROWS = 4096


def normal_scores(z: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the normal scores (N, d), float64, of pooled z (N, d); ties share their middle rank.

    Weights (N,) count with their size: an event of weight three is as three equal ones.
    """
    w = torch.ones(len(z), dtype=torch.float64) if weights is None else weights.double().abs()
    scores = torch.empty(z.shape, dtype=torch.float64)
    for j, column in enumerate(z.T):
        _, level = torch.unique(column, return_inverse=True)
        mass = torch.zeros(int(level.max()) + 1, dtype=torch.float64).index_add_(0, level, w)
        scores[:, j] = torch.special.ndtri(((mass.cumsum(0) - mass / 2) / mass.sum())[level])
    return scores


def hotelling_columns(z: Tensor, relabel: Relabellings) -> list[tuple[str, Computed, int]]:
    """Return for each set of features that is tried its name, D^2 under every labelling, and its degrees of freedom.

    Parameters
    ----------
    z : (N, d), the pooled rows.
    """
    scores, d = normal_scores(z, relabel.weights), z.shape[1]
    widths = {"means": d, "means and widths": 2 * d, "means, widths and correlations": d * (d + 3) // 2}
    most = min(MOST, len(z) // _LEAST_ROWS)
    tried = [name for name, width in widths.items() if name == "means" or width <= most]
    if d == 1:
        tried = tried[:2]  # there are no correlations
    return [(name, *_distance(FEATURES[name](scores), relabel)) for name in tried]


def column_distances(z: Tensor, relabel: Relabellings) -> list[tuple[float, int]]:
    """Return D^2 of mean and width of each column of pooled z (N, d) alone, as observed, and its degrees of freedom."""
    observed = replace(relabel, labels=relabel.labels[:, :1], weight_of_x=relabel.weight_of_x[:1])
    scores = normal_scores(z, relabel.weights)
    found = [_distance(FEATURES["means and widths"](scores[:, [j]]), observed) for j in range(z.shape[1])]
    return [(float(one.values[0]), dof) for one, dof in found]


def hotelling(z: Tensor, relabel: Relabellings, features: str = "means") -> Computed:
    """Return D^2 of one of `FEATURES` of pooled z (N, d) under every labelling."""
    return _distance(FEATURES[features](normal_scores(z, relabel.weights)), relabel)[0]


def _products(z: Tensor) -> Tensor:
    rows, columns = torch.triu_indices(z.shape[1], z.shape[1])
    return torch.cat([z, z[:, rows] * z[:, columns]], dim=1)


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {  # of normal scores (N, d)
    "means": lambda z: z,
    "means and widths": lambda z: torch.cat([z, z.square()], dim=1),
    "means, widths and correlations": _products,
}


def _distance(f: Tensor, relabel: Relabellings) -> tuple[Computed, int]:
    w = torch.ones(len(f), dtype=torch.float64) if relabel.weights is None else relabel.weights
    f = f - (w @ f) / w.sum()
    eigenvalues, axes = torch.linalg.eigh((f.T * w) @ f / w.sum())
    kept = eigenvalues > _CUT * eigenvalues[-1].clamp_min(1e-300)
    white = f @ (axes[:, kept] / eigenvalues[kept].sqrt())
    blocks = [slice(i, i + _ROWS) for i in range(0, len(f), _ROWS)]
    change = sum((white[i].T @ relabel.contrasts(i).double() for i in blocks), torch.zeros(())) * relabel.unit
    h = relabel.n * relabel.m / len(f) ** 2
    values = _within(change.square().sum(0), h).numpy()
    dof = int(kept.sum())
    chance = float(values[1:].mean()) if len(values) > 1 else dof * relabel.unit
    return Computed(values, _error(white @ change[:, 0], relabel, h), -chance), dof


def _within(q: Tensor, h: float) -> Tensor:
    # rounding can take q to its largest value 1/h, that of samples without overlap
    return q / (1 - h * q).clamp_min(1e-9)


def _error(score: Tensor, relabel: Relabellings, h: float) -> float:
    """Return the jackknife error of D^2 along the one score (N,) that the observed labelling chose."""
    x, y = relabel.jackknife_masses()
    (a, aa), (b, bb) = ((mass.T @ score, mass.T @ score.square()) for mass in (x, y))
    share = relabel.n / len(score)
    within = share * (aa - a.square()) + (1 - share) * (bb - b.square())
    left_out = (a - b).square() / within.clamp_min(1e-9)
    return jackknife_error(np.asarray(left_out))
