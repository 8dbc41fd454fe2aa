"""The difference of two correlation matrices, for all relabellings at once.

R_x and R_y are the Pearson correlation matrices; the statistic is the Frobenius norm of their difference,

    sqrt(sum_ij (R_x - R_y)_ij^2).

It is blind to the shape of single features, which KS sees, and KS is blind to it. All correlations are functions of
first and second moments (`reverie.validation.statistics.moments`). Memory is (B + 1) d^2 numbers: a hundred features
are many.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.types import ArrayLike
from reverie.validation.permutation.relabelling import Computed, Relabellings
from reverie.validation.permutation.signed_measures import as_computed, measures
from reverie.validation.statistics.moments import labelled_moments, with_products

__all__ = ["correlation_columns", "correlation_difference"]


def correlation_columns(
    z: Tensor,
    relabel: Relabellings,
    *,
    names: Sequence[str] | None = None,
    sides: tuple[str, str] = ("x", "y"),
) -> Computed:
    """Return the norm of the difference of the correlation matrices of pooled z (N, d), x first, for every labelling.

    The detail names the pair of features whose correlation changed most in units of its spread over the permutations.
    A correlation with a feature that is constant within a sample counts as 0.
    """
    d = z.shape[1]
    if d < 2:
        raise InputError(f"Expected at least two features, got {d}. One feature has no correlations.")
    both = (torch.cat(parts) for parts in zip(*labelled_moments(z, relabel), strict=True))
    r_x, r_y = (_correlations(sums[:, 1:-1] / sums[:, :1], d) for sums in both)
    change = r_y - r_x
    permuted = change[1 : relabel.labels.shape[1]]
    spread = permuted.square().mean(0).sqrt().clamp_min(1e-12) if len(permuted) else torch.ones_like(change[0])
    pair = int((change[0].abs() / spread).argmax())
    first, second = (int(i) for i in torch.triu_indices(d, d, 1)[:, pair])
    names = names or [f"feature {j}" for j in range(d)]
    detail = (
        f"correlation of {names[first]} with {names[second]} "
        f"({float(r_x[0, pair]):.2f} in {sides[0]}, {float(r_y[0, pair]):.2f} in {sides[1]})"
    )
    return as_computed((2 * change.square().sum(1)).sqrt(), relabel, detail=detail)


def correlation_difference(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None = None, y_weights: ArrayLike | None = None
) -> Tensor:
    """Return the Frobenius norm of the difference of the correlation matrices of x (n, d) and y (m, d)."""
    z, a, c = measures(x, y, x_weights, y_weights)
    moments = with_products(z - z.mean(0))
    r_x, r_y = (_correlations((mass @ moments)[None], z.shape[1]) for mass in (a, c))
    return (2 * (r_x - r_y).square().sum()).sqrt()


def _correlations(means: Tensor, d: int) -> Tensor:
    """Return the correlations above the diagonal, row by row, (K, d (d - 1)/2), of means of z_i and z_i z_j."""
    rows, columns = torch.triu_indices(d, d)
    first, second = means[:, :d], means[:, d:]
    covariance = second - first[:, rows] * first[:, columns]
    diagonal = rows == columns
    variance = covariance[:, diagonal]
    variance = torch.where(variance > 1e-12 * second[:, diagonal], variance, torch.inf)
    return (covariance / (variance[:, rows] * variance[:, columns]).sqrt())[:, ~diagonal]
