r"""Whether a compiled step is the plain one, judged tensor by tensor on what the step changed.

A small tensor beside a large one, and a small change of a large value, are lost in any sum over all entries. So each
tensor is judged alone, and by its change: d of the plain step, d + e of the compiled one (of a returned tensor: its
value). How well rounding lets d be known is measured, not guessed: the plain step is taken again from starts that are
off by a few roundings, which changes d by s. Where a gradient is zero but for rounding, as that of a bias before batch
normalisation, Adam makes a full step of it, and |s| is as large as |d|. The compiled step is accepted if of each tensor

    |e| <= 0.02 |d| + 3 max |s|                                                       Euclidean norms
    share of entries with |e_i| > 0.001 rms(d)  <=  0.005 + 3 max (share of s_i)

A sign that flips costs 2 of |d| in its entry, so the first line finds one wrong entry in ten thousand, and the second a
small error everywhere. It declines too where no change of a step stands out of the rounding. A change of less than a
rounding of its value (a relative 1e-7 in single precision) cannot be judged in that tensor.

Whole numbers are never moved to make such a start: they are labels, bits, counters and zeros. Others move towards zero,
so that none leaves its range.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Deviation", "agrees", "deviation", "is_known", "nudged"]

_SIZE, _SHARE = 0.02, 0.005
_SMALL = 1e-3  # of the root mean square of a change
_TIMES = 3.0  # what rounding did to plain steps
_ROUNDINGS = 8.0  # by which a start is off, at most


@dataclass(frozen=True)
class Deviation:
    """How far one change of a tensor is from another.

    Attributes
    ----------
    change : |d|.
    error : |e|.
    share : of entries with |e_i| > 0.001 rms(d).
    """

    change: float
    error: float
    share: float


def deviation(after: Tensor, expected: Tensor, start: Tensor | None = None, moved: Tensor | None = None) -> Deviation:
    """Return how far the change to `after` is from that to `expected`.

    Parameters
    ----------
    after, expected : of equal shapes.
    start : the value from which `expected` was reached; None for a returned tensor, which has no value before.
    moved : the value from which `after` was reached, where it is not `start`.
    """
    after, expected = _real(after), _real(expected)
    e, d = after - expected, expected
    e = e.masked_fill((after == expected) | (after.isnan() & expected.isnan()), 0.0)
    if start is not None:
        d = d - _real(start)
        e = e if moved is None else e - (_real(moved) - _real(start))
    norm = float(d.norm())
    small = _SMALL * norm / max(d.numel(), 1) ** 0.5
    return Deviation(norm, float(e.norm()), float((e.abs() > small).double().mean()) if e.numel() else 0.0)


def agrees(found: Deviation, roundings: Sequence[Deviation]) -> bool:
    """Return whether a compiled change is the plain one, given what rounding does to the plain one."""
    share = _SHARE + _TIMES * max((s.share for s in roundings), default=0.0)
    return found.error <= _bound(found.change, roundings) and found.share <= share


def is_known(change: float, roundings: Sequence[Deviation]) -> bool:
    """Return whether a change |d| stands out of what rounding does to it, so that its opposite would be noticed."""
    return _bound(change, roundings) < 2 * change


def _bound(change: float, roundings: Sequence[Deviation]) -> float:
    finite = [s.error for s in roundings if math.isfinite(s.error)]
    return _SIZE * (change if math.isfinite(change) else 0.0) + _TIMES * max(finite, default=0.0)


def nudged(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return a copy of `x`, its entries nearer to zero by up to eight roundings each; whole numbers stay."""
    if x.is_complex():
        return torch.view_as_complex(nudged(torch.view_as_real(x.resolve_conj()), generator))
    if not x.is_floating_point():
        return x.clone()
    share = torch.rand(x.shape, generator=generator, device=x.device, dtype=torch.float32).to(x.dtype)
    return torch.where(x == x.round(), x, x * (1 - _ROUNDINGS * torch.finfo(x.dtype).eps * share))


def _real(x: Tensor) -> Tensor:
    """Return the entries as real numbers in double precision, (n,)."""
    x = torch.view_as_real(x.detach().resolve_conj()) if x.is_complex() else x.detach()
    return x.double().flatten()
