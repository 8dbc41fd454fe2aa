"""The shift of the mean: a statistic to copy into `reverie/validation/statistics/`, with what the battery asks of it.

    t = |mean of x - mean of y| = |sum_i s_i z_i|

s is the signed measure of a labelling (`reverie.validation.permutation.relabelling`): one matrix product gives t for all
of them.
"""

import torch
from torch import Tensor

from reverie.validation.comparison import Comparison, Comparisons, Groups, column
from reverie.validation.permutation.relabelling import Computed, Relabellings
from reverie.validation.permutation.signed_measures import as_computed, measures, signed_columns
from reverie.validation.statistics.registry import Check, Statistic

__all__ = ["ROW", "mean_shift", "mean_shift_columns"]


def mean_shift_columns(z: Tensor, relabel: Relabellings) -> Computed:
    """Return |mean of x - mean of y| of pooled z (N, d), x first, under every labelling."""
    return as_computed(_length(z.double(), signed_columns(relabel).double() * relabel.unit), relabel)


def mean_shift(x: Tensor, y: Tensor, x_weights: Tensor | None = None, y_weights: Tensor | None = None) -> Tensor:
    """Return the same of x (n, d) and y (m, d), in their unit; 0 for equal means. Sees nothing but the mean."""
    z, a, c = measures(x, y, x_weights, y_weights)
    return _length(z.double(), (a - c)[:, None])[0]


def _length(z: Tensor, s: Tensor) -> Tensor:
    return torch.linalg.vector_norm(z.T @ s, dim=0)


# What follows goes to `reverie/validation/statistics/registry.py`, the row as one more of `STATISTICS`.


def _mean_shift(shared: Comparisons, c: Comparison) -> Groups:
    return {"mean shift": [column("mean shift", mean_shift_columns(c.few, c.relabel))]}


ROW = Statistic(
    "mean shift",
    _mean_shift,
    lambda work: work.cells,
    (Check("mean shift", "Length of the shift of the mean; blind to everything else.", "hotelling1931", "distance"),),
)
