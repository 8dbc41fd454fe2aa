"""One pass over sorted rows for all columns of signed measures: the machinery of `marginal` and `sliced`.

D is the cumulative sum of a column in the order of the values, read only where the value changes: equal
values (ties) are exact. Sums of +-1/2 are exact in single precision up to 2^24 rows; all others are carried
from block to block in double precision.

Cost: about ten operations per row and column, in blocks of rows that stay in the cache, and one thread per
feature: threads within operations of this size would mostly wait for each other.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.validation.permutation.signed_measures import within_shift

__all__ = ["Path", "path_of", "path_shift", "sweep"]

_ROWS = 256  # rows of 500 columns: half a megabyte, within the cache of one core


@dataclass(frozen=True)
class Path:
    """The pooled values in ascending order.

    Parameters
    ----------
    order : (N,), the rows in the order of their values.
    last : (N,) booleans, whether a row is the last of those with its value.
    gaps : (N,), from each value to the next; 0 within ties and at the end.
    tails : (N,), dH / (H (1 - H)) at the last row of each value; 0 elsewhere.
    """

    order: Tensor
    last: Tensor
    gaps: Tensor
    tails: Tensor


def path_of(values: Tensor, weights: Tensor | None = None) -> Path:
    """Return the path through pooled `values` (N,), with (N,) `weights` or None."""
    order = values.argsort(stable=True)
    gaps = torch.cat([values[order].diff(), values.new_zeros(1)]).double()
    last = gaps > 0
    last[-1] = True
    w = torch.ones_like(gaps) if weights is None else weights[order].abs()
    H = w.cumsum(0) / w.sum()
    levels = torch.where(last, H, 0.0).cummax(0).values  # H at the last row of the value before, one row later
    dH = H - torch.cat([levels.new_zeros(1), levels[:-1]])
    inside = last & (H > 1e-12) & (H < 1 - 1e-12)
    return Path(order, last, gaps, torch.where(inside, dH / (H * (1 - H)), 0.0))


def sweep(S: Tensor, path: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return max |D|, the sum of dH D^2 / (H (1 - H)), of |D| dt and twice that of D^2 dt, (columns,) float64 each.

    D is the cumulative sum of S (N, columns) along the path.
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


def path_shift(path: Path, a: Tensor, c: Tensor) -> float:
    """Return U - V of the energy distance along a path: sum_ij a_i a_j |t_i - t_j| = 2 integral F (1 - F)."""
    shift = 0.0
    for mass in (a, c):
        F = mass[path.order].cumsum(0)
        shift += within_shift(mass, -2 * float(path.gaps @ (F * (1 - F))), 0.0)
    return shift
