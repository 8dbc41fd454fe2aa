"""Signed measures as the columns of one matrix, and results read off them.

A labelling is the signed measure s = a - c, a and c the normalised masses of x and y
(see `reverie.validation.permutation.relabelling`; h s are its contrasts). Statistics of the two empirical measures take
them all together,

    S = [ h s of B + 1 labellings | h s of 2J jackknife subsets | h a and h c, observed ]      (N, B + 1 + 2J + 2)

and do the same with each column: a norm of its cumulative sum (`marginal`, `sliced`) or a quadratic form
s^T K s (`kernels`).

The quadratic form V = s^T K s is positive on average under the null, because it holds the pairs (i, i). With
A = a^T K a, alpha = sum a_i^2 and the same for y, the unbiased form U has instead of A

    A_u = (A - sum a_i^2 k_ii) / (1 - alpha),      A_u - A = (alpha A - sum a_i^2 k_ii) / (1 - alpha),

which is the mean over pairs i != j with weights a_i a_j. U - V = (A_u - A) + (D_u - D) is the `shift` of the
results: no difference of large numbers, since the cross term is the same in both.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.types import ArrayLike
from reverie.validation.inputs.tables import as_rows, as_weights
from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error

__all__ = [
    "Rows",
    "as_computed",
    "form_computed",
    "measures",
    "observed_masses",
    "pool",
    "row_sums",
    "signed_columns",
    "within_shift",
]

Rows = Callable[[slice], Tensor]  # a slice of rows -> what belongs to them (rows, ...)

_ROWS = 4096
Form = TypeVar("Form", float, Tensor)


def signed_columns(relabel: Relabellings) -> Tensor:
    """Return S (N, B + 1 + 2J + 2), float32, filled in blocks of rows."""
    n_labellings = relabel.labels.shape[1]
    S = torch.empty(len(relabel.labels), n_labellings + relabel.n_groups + 2)
    masses = torch.stack(observed_masses(relabel), dim=1) / relabel.unit
    for start in range(0, len(S), _ROWS):
        rows = slice(start, start + _ROWS)
        S[rows, :n_labellings] = relabel.contrasts(rows)
        S[rows, n_labellings:-2] = relabel.jackknife(rows)
        S[rows, -2:] = masses[rows].float()
    return S


def row_sums(n_rows: int, features: Rows, columns: Rows) -> Tensor:
    """Return sum_i f_i S_i over the rows, (k, columns) float64, for features (rows, k) and columns such as contrasts.

    Blocks of rows are multiplied in the precision of the features and added up in double.
    """
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, n_rows, _ROWS):
        rows = slice(start, start + _ROWS)
        f = features(rows)
        total = (f.T @ columns(rows).to(f.dtype)).double() + total
    return total


def observed_masses(relabel: Relabellings) -> tuple[Tensor, Tensor]:
    """Return the normalised masses a of x and c of y, (N,) float64 each, of the observed labelling."""
    of_x = relabel.labels[:, 0].double()
    w = relabel.row_weights
    return w * of_x / (w @ of_x), w * (1 - of_x) / (w @ (1 - of_x))


def as_computed(columns: Tensor, relabel: Relabellings, *, shift: float = 0.0, detail: str = "") -> Computed:
    """Return the result of a statistic from its values (B + 1 + 2J, ...) for the columns of S; masses are ignored."""
    values = columns.double().numpy()
    n_labellings = relabel.labels.shape[1]
    error = jackknife_error(values[n_labellings : n_labellings + relabel.n_groups])
    return Computed(values[:n_labellings], error, shift, detail)


def form_computed(form: Tensor, relabel: Relabellings, diagonal: Tensor | float) -> Computed:
    """Return the result of a quadratic form h^2 s^T K s, given for all columns of S.

    Parameters
    ----------
    diagonal : (N,), k_ii, or one number for all.
    """
    form = form * relabel.unit**2
    a, c = observed_masses(relabel)
    shift = within_shift(a, float(form[-2]), diagonal) + within_shift(c, float(form[-1]), diagonal)
    return as_computed(form, relabel, shift=shift)


def within_shift(mass: Tensor, form: Form, diagonal: Tensor | float) -> Form:
    """Return A_u - A for one sample.

    Parameters
    ----------
    mass : (N,), a.
    form : A = a^T K a, a number or a tensor with its graph, as is what comes back.
    diagonal : (N,), k_ii, or one number for all.
    """
    alpha = float(mass.square().sum())
    if abs(1 - alpha) < 1e-12:  # a single row has no pairs; with negative weights the sum may be above one
        return -form
    own = (mass.square() * diagonal).sum()
    return cast(Form, (alpha * form - (own if isinstance(form, Tensor) else float(own))) / (1 - alpha))


def pool(x: ArrayLike, y: ArrayLike) -> tuple[Tensor, Tensor]:
    """Return the rows of `x` (n, d) and `y` (m, d) as one (N, d), and their labelling (N, 1), 1 for x.

    Raises
    ------
    InputError
        Unless both are (rows, features) with the same features and at least one row.
    """
    x, y = as_rows(x=x, y=y)
    labels = torch.zeros(len(x) + len(y), 1)
    labels[: len(x)] = 1
    return torch.cat([x, y]), labels


def measures(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None = None, y_weights: ArrayLike | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return pooled rows z (N, d) of x (n, d) and y (m, d), and the masses a and c (N,), all float64.

    Raises
    ------
    InputError
        Unless both are (rows, features) with the same features and at least one row, and weights, where
        given, are one per row with a positive sum.
    """
    z, of_x = pool(x, y)
    masses, n = [], int(of_x.sum())
    for size, weights in ((n, x_weights), (len(z) - n, y_weights)):
        w = as_weights(weights, size)
        w = torch.ones(size, dtype=torch.float64, device=z.device) if w is None else w
        if not w.sum() > 0:
            raise InputError(f"Expected weights with a positive sum, got {float(w.sum()):.4g}. Give weights (rows,).")
        masses.append(w / w.sum())
    a, c = masses
    return z.double(), torch.cat([a, 0 * c]), torch.cat([0 * a, c])
