"""The difference of two correlation matrices, for all relabellings at once.

R_x and R_y are the Pearson correlation matrices; the statistic is the Frobenius norm of their difference,

    sqrt(sum_ij (R_x - R_y)_ij^2).

It is blind to the shape of single features, which KS sees, and KS is blind to it. All correlations are
functions of first and second moments, and these are linear in the measures: with masses a of x and c of
y and W_x a + W_y c = w,

    a = (w + W_y s) / W,     c = (w - W_x s) / W,     s = a - c,     W = W_x + W_y,

so one product of the contrasts with the moments of the pooled rows gives them all. Memory is
(B + 1) d^2 numbers: a hundred features are many.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.types import ArrayLike
from reverie.validation.permutation.relabelling import Computed, Relabellings
from reverie.validation.permutation.signed_measures import as_computed, measures

__all__ = ["correlation_columns", "correlation_difference"]

_MOMENTS = 4_000_000  # products held at once, 32 MB


def correlation_columns(
    z: Tensor,
    relabel: Relabellings,
    *,
    names: Sequence[str] | None = None,
    sides: tuple[str, str] = ("x", "y"),
) -> Computed:
    """Return the norm of the difference of the correlation matrices under every labelling.

    Parameters
    ----------
    z : (N, d), d >= 2, pooled rows, x first.
    names : Names of the features; those of the samples are `sides`. The detail names the pair whose correlation changed
        most in units of its spread over the permutations. A correlation with a feature that is constant
        within a sample counts as 0.

    Raises
    ------
    InputError
        For fewer than two features.
    """
    if z.shape[1] < 2:
        raise InputError(f"Expected at least two features, got {z.shape[1]}. One feature has no correlations.")
    (of_x, of_y), (left_x, left_y) = _moments(z.double() - z.double().mean(0), relabel)
    r_x, r_y = (_correlations(torch.cat(both), z.shape[1]) for both in ((of_x, left_x), (of_y, left_y)))
    change = r_y - r_x
    norm = (2 * change.square().sum(1)).sqrt()
    permuted = change[1 : len(of_x)]
    spread = permuted.square().mean(0).sqrt().clamp_min(1e-12) if len(permuted) else torch.ones_like(change[0])
    pair = int((change[0].abs() / spread).argmax())
    first, second = (int(i) for i in torch.triu_indices(z.shape[1], z.shape[1], 1)[:, pair])
    names = names or [f"feature {j}" for j in range(z.shape[1])]
    detail = (
        f"correlation of {names[first]} with {names[second]} "
        f"({float(r_x[0, pair]):.2f} in {sides[0]}, {float(r_y[0, pair]):.2f} in {sides[1]})"
    )
    return as_computed(norm, relabel, detail=detail)


def correlation_difference(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None = None, y_weights: ArrayLike | None = None
) -> Tensor:
    """Return the Frobenius norm of the difference of the correlation matrices of x (n, d) and y (m, d)."""
    z, a, c = measures(x, y, x_weights, y_weights)
    moments = _products(z - z.mean(0))
    r_x, r_y = (_correlations((mass @ moments)[None], z.shape[1]) for mass in (a, c))
    return (2 * (r_x - r_y).square().sum()).sqrt()


def _moments(z: Tensor, relabel: Relabellings) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    # first and second moments of x and of y: under every labelling (B + 1, K), and without each group (2J, K)
    w = torch.ones(len(z), dtype=torch.float64) if relabel.weights is None else relabel.weights
    n_moments = z.shape[1] * (z.shape[1] + 3) // 2
    signed = z.new_zeros(relabel.labels.shape[1], n_moments)
    pooled = z.new_zeros(n_moments)
    left_x, left_y = (z.new_zeros(relabel.n_groups, n_moments) for _ in range(2))
    step = max(1, _MOMENTS // n_moments)
    for start in range(0, len(z), step):
        rows = slice(start, start + step)
        moments = _products(z[rows])
        signed += relabel.contrasts(rows).double().T @ moments
        pooled += w[rows] @ moments
        for left, mass in zip((left_x, left_y), relabel.jackknife_masses(rows), strict=True):
            left += mass.T @ moments
    of_x = relabel.weight_of_x[:, None]
    of_y = w.sum() - of_x
    signed *= relabel.unit
    return ((pooled + of_y * signed) / w.sum(), (pooled - of_x * signed) / w.sum()), (left_x, left_y)


def _products(z: Tensor) -> Tensor:
    rows, columns = torch.triu_indices(z.shape[1], z.shape[1])
    return torch.cat([z, z[:, rows] * z[:, columns]], dim=1)


def _correlations(means: Tensor, d: int) -> Tensor:
    # (K, d + d (d + 1)/2) moments -> (K, d (d - 1)/2) correlations above the diagonal, row by row
    rows, columns = torch.triu_indices(d, d)
    first, second = means[:, :d], means[:, d:]
    covariance = second - first[:, rows] * first[:, columns]
    diagonal = rows == columns
    variance = covariance[:, diagonal]
    variance = torch.where(variance > 1e-12 * second[:, diagonal], variance, torch.inf)
    return (covariance / (variance[:, rows] * variance[:, columns]).sqrt())[:, ~diagonal]
