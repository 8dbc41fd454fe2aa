r"""What the models of sets share: the mask as a condition, and the features by which two samples of sets are compared.

A model draws the number of particles by its own law (`reverie.models.multiplicity`) and the particles given their
number, so the mask stands before the condition of a network. Rows of features are (n, P, G + 1), the mask last.

Sets are compared by functions of them that no order of the particles changes: with y_ij feature j of particle i,

    N,    <y_j>,    <y_j y_k>,    <y_j y_k^2>,    min_i y_ij,    max_i y_ij,        <.> the mean over the N particles

which hold marginals, their tails and pair correlations of features within a particle, all at the scale of one set, so
that correlations between particles, such as a common axis or a sum that is kept, show as a spread of the means.
"""

from typing import Any

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.data.lazy import is_lazy
from reverie.data.orbits import OrbitRows

__all__ = ["masked_condition", "moments_of_sets", "rows_of_sets"]


def masked_condition(x: Tensor, condition: Tensor | None) -> Tensor:
    """Return the mask of features x (n, P, G + 1), and conditions (n, c), side by side (n, P + c)."""
    mask = x[..., -1]
    return mask if condition is None else torch.cat([mask, condition.flatten(1)], dim=1)


def rows_of_sets(rows: dict[str, Any]) -> dict[str, Any]:
    """Return rows of sets with the mask before the condition, as networks take it.

    Rows that symmetries move come back as they are: no symmetry changes the mask, and the condition stands beside them.

    Raises
    ------
    InputError
        For sets that are too many for memory, and for those with an image as condition.
    """
    if isinstance(rows["x"], OrbitRows):
        return rows
    if is_lazy(rows):
        raise InputError("Expected sets that fit into memory, got a larger file. Take a part of it (--rows).")
    condition = rows.get("condition")
    if condition is not None and condition.ndim > 2:
        raise InputError("Expected labels or numbers as conditions of sets, got images. Give a column for each set.")
    return {**rows, "condition": masked_condition(rows["x"], condition)}


def moments_of_sets(x: Tensor) -> Tensor:
    """Return (n, 1 + 3 G + G (G + 1) / 2 + G^2) numbers of features (n, P, G + 1) that no order changes.

    Those of an empty set are 0.
    """
    y, mask = x[..., :-1].double(), x[..., -1:].double()
    G, number = y.shape[2], mask.sum(dim=1)
    share = mask / number.unsqueeze(1).clamp(min=1)
    j, k = torch.triu_indices(G, G)
    products = [y, y[..., j] * y[..., k], (y.unsqueeze(3) * y.square().unsqueeze(2)).flatten(2)]
    means = (torch.cat(products, dim=2) * share).sum(dim=1)
    is_there = mask > 0.5
    ends = [
        sign * torch.where(is_there, sign * y, -torch.inf).amax(dim=1)  # least, and greatest
        for sign in (-1.0, 1.0)
    ]
    ends = [torch.where(end.isfinite(), end, 0.0) for end in ends]
    return torch.cat([number, means, *ends], dim=1).float()
