"""Numbers that are no longer numbers, found in the scalars that training reports."""

import torch
from torch import Tensor

__all__ = ["first_non_finite"]


def first_non_finite(table: Tensor) -> tuple[int, int] | None:
    """Return (row, column) of the first NaN or infinity in `table` (step, scalar), or None."""
    bad = torch.nonzero(~torch.isfinite(table))
    return None if len(bad) == 0 else (int(bad[0, 0]), int(bad[0, 1]))
