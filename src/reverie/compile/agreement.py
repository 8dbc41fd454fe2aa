r"""Whether a compiled step is the plain one, judged tensor by tensor on what the step changed.

A small tensor beside a large one, and a small change of a large value, are lost in any sum over all entries. So each
tensor is judged alone, and by its change: d of the plain step, d + e of the compiled one (of a returned tensor: its
value). How well rounding lets d be known is measured, not guessed: the plain step is taken again from starts that are
off by a few roundings, which changes d by s. Where a gradient is zero but for rounding, as that of a bias before batch
normalisation, Adam makes a full step of it, and |s| is as large as |d|. The compiled step is accepted if of each tensor

    |e| <= 0.02 |d| + 10 max |s|                                                       Euclidean norms
    share of entries with |e_i| > 0.001 rms(d)  <=  max(0.005, 4 / n) + 10 max (share of s_i)

A sign that flips costs 2 of |d| in its entry, so the first line finds one wrong entry in ten thousand, and the second a
small error everywhere. It declines too where no change of a step stands out of the rounding. A change of less than a
rounding of its value (a relative 1e-7 in single precision) cannot be judged in that tensor.

A tensor whose change is rounding alone has no right change. The bias of the last layer under a relativistic loss is
one: its gradient is a sum that is zero, and another order of the sum leaves another remainder, ten or a hundred times
as large. It is told from starts that are off by many roundings, a relative 1e-3, from which a change that means
something is the same within a per cent, and a remainder is not: 0.02 |d| + 10 max |s| >= 2 |d|. Of it is asked only
that it stays within the changes of the step, rms(e) <= 2 max rms(d) over all tensors, that of a sign that flips.
Where a step has several forms, a tensor of which one found this is one for the others too: a moment that holds the
remainder of a compiled step fades in the next by an amount that is known, and takes up a new remainder.

Single entries may be remainders too. A unit that is on for every event has, under a relativistic loss, a bias whose
gradient cancels exactly in one order of the sum and leaves a remainder in another, of which Adam makes a full step. An
entry that the plain step leaves exactly alone may move by |e_i| <= 2 rms(d) where another tensor of its shape, a moment
of the gradient, shows that a remainder moved it: below 0.001 rms(d) there. A gradient of 0.05 of the usual, put where
none belongs, stands out in both moments of Adam.

A step uphill, the sign of its gradient reversed, was noticed at every learning rate tried, 1e-3 ... 1e-9, in a GAN of
defaults and in a layer of 784 x 500, with Adam and with plain gradient descent. With one tensor of weights alone
reversed it was noticed down to 1e-7 in all but one of them, the GAN's last bias, whose change is a remainder. Below,
biases pass of which a rounding hides nearly all of the change: one of the layer at 1e-8, two of the GAN at 1e-9.

Whole numbers are never moved to make such a start: they are labels, bits, counters and zeros. Others move towards zero,
so that none leaves its range.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "MANY_ROUNDINGS",
    "ROUNDINGS",
    "Deviation",
    "agrees",
    "deviation",
    "is_known",
    "nudged",
    "without_remainders",
]

_SIZE, _SHARE, _ENTRIES = 0.02, 0.005, 4
_SMALL = 1e-3  # of the root mean square of a change
_TIMES = 10.0  # what rounding did to plain steps: a compiled sum may be in another order
ROUNDINGS, MANY_ROUNDINGS = 8.0, 8192.0  # by which a start is off, at most


@dataclass(frozen=True)
class Deviation:
    """How far one change of a tensor is from another."""

    change: float  # |d|
    error: float  # |e|
    share: float  # of entries with |e_i| > 0.001 rms(d)


def deviation(after: Tensor, expected: Tensor, start: Tensor | None = None, moved: Tensor | None = None) -> Deviation:
    """Return how far the change to `after` is from that to `expected`.

    `expected` was reached from `start`, None for a returned tensor, which has no value before; `after` from `moved`,
    where that is another.
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


def agrees(
    found: Deviation,
    roundings: Sequence[Deviation],
    n_entries: int,
    largest: float,
    many: Sequence[Deviation] = (),
    *,
    is_remainder: bool = False,
) -> bool:
    """Return whether a compiled change is the plain one, given what rounding does to the plain one.

    Parameters
    ----------
    found : deviation of the compiled change from the plain one, of `n_entries` entries.
    roundings, many : deviations of plain changes from starts that are a few, and many roundings off.
    largest : largest root mean square of the change of any tensor of the step.
    is_remainder : Whether another form of the step was found to change the tensor by rounding alone.
    """
    if is_remainder or not is_known(found.change, [*roundings, *many]):
        return found.error <= 2 * largest * n_entries**0.5
    share = max(_SHARE, _ENTRIES / n_entries) + _TIMES * max((s.share for s in roundings), default=0.0)
    return found.error <= _bound(found.change, roundings) and found.share <= share


def without_remainders(changed: Sequence[tuple[Tensor, Tensor, Tensor]]) -> list[Tensor]:
    """Return what the compiled step left of each tensor, the plain step's value in entries that a remainder moved.

    `changed` holds for each tensor what the compiled step left, what the plain one left, and the start.
    """
    shown: dict[torch.Size, Tensor] = {}
    is_bounded = []
    for now, after, before in changed:
        d, e = _real(after) - _real(before), _real(now) - _real(after)
        rms = d.norm() / max(d.numel(), 1) ** 0.5
        is_remainder = (d.abs() <= _SMALL * rms) & (e != 0) & (e.abs() <= _SMALL * rms)
        shown[now.shape] = shown.get(now.shape, is_remainder) | is_remainder
        is_bounded.append((d == 0) & (e.abs() <= 2 * rms))
    return [
        torch.where((bounded & shown[now.shape]).reshape(now.shape), after, now)
        for bounded, (now, after, _) in zip(is_bounded, changed, strict=True)
    ]


def is_known(change: float, roundings: Sequence[Deviation]) -> bool:
    """Return whether a change |d| stands out of what rounding does to it, so that its opposite would be noticed."""
    return _bound(change, roundings) < 2 * change


def _bound(change: float, roundings: Sequence[Deviation]) -> float:
    finite = [s.error for s in roundings if math.isfinite(s.error)]
    return _SIZE * (change if math.isfinite(change) else 0.0) + _TIMES * max(finite, default=0.0)


def nudged(x: Tensor, generator: torch.Generator, roundings: float = ROUNDINGS) -> Tensor:
    """Return a copy of `x`, its entries nearer to zero by up to so many roundings each; whole numbers stay."""
    if x.is_complex():
        return torch.view_as_complex(nudged(torch.view_as_real(x.resolve_conj()), generator, roundings))
    if not x.is_floating_point():
        return x.clone()
    share = torch.rand(x.shape, generator=generator, device=x.device, dtype=torch.float32).to(x.dtype)
    return torch.where(x == x.round(), x, x * (1 - roundings * torch.finfo(x.dtype).eps * share))


def _real(x: Tensor) -> Tensor:
    """Return the entries as real numbers in double precision, (n,)."""
    x = torch.view_as_real(x.detach().resolve_conj()) if x.is_complex() else x.detach()
    return x.double().flatten()
