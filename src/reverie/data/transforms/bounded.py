"""Transforms for positive, wide-ranging and bounded numbers.

Log      y = log x, x > 0
Asinh    y = asinh((x - c) / s): like log for |x| >> s, straight near c, for both signs
Logit    y = log t - log(1 - t), t = (x - lower) / (upper - lower); with one bound only, y = log((x - lower) / s)

A logarithm would send a value *on* a bound to infinity. Within a fraction eps of the bound the
curve is therefore continued by its tangent, which reaches the bound at a finite y: the map stays
one-to-one, smooth to first order, and its inverse is exact. Beyond that y the inverse is the bound.
eps is such that the nearest 1 % of the values lie there, within [1e-12, 0.01].
"""

import math

import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.data.transforms.base import Elementwise, check_within, found

__all__ = ["Asinh", "Log", "Logit"]

SMALLEST_EPS, LARGEST_EPS = 1e-12, 1e-2  # as fractions of the width, or of the median distance


class Log(Elementwise):
    """y = log x for x > 0.

    The inverse cuts y to the range seen in fit, widened on both sides by `reach` times its width.

    Parameters
    ----------
    reach : how far beyond the training range the inverse may go, in widths of that range (of log x).
    """

    def __init__(self, *, reach: float = 1.0) -> None:
        self.reach = reach

    def _fit(self, x: Tensor) -> None:
        self.y_range_ = _widened(torch.log(_positive(x)), self.reach)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.log(_positive(x))

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.exp(y.clamp(*self.y_range_))

    def _log_derivative(self, x: Tensor) -> Tensor:
        return -torch.log(x)


class Asinh(Elementwise):
    """y = asinh((x - centre) / scale): a logarithm for both signs, straight near the centre.

    The inverse cuts y to the range seen in fit, widened on both sides by `reach` times its width.

    Parameters
    ----------
    centre : value where the curve is straight; None takes the median of all entries.
    scale : where it bends, > 0, in units of x; None takes the median distance from the centre.
    reach : how far beyond the training range the inverse may go, in widths of that range (of y).
    """

    def __init__(self, *, centre: float | None = 0.0, scale: float | None = None, reach: float = 1.0) -> None:
        self.centre = centre
        self.scale = scale
        self.reach = reach

    def _fit(self, x: Tensor) -> None:
        self.centre_ = x.median().item() if self.centre is None else float(self.centre)
        distance = (x - self.centre_).abs()
        if self.scale is not None:
            check_positive("scale", self.scale)
        fallback = distance.mean().item() or 1.0
        self.scale_ = float(self.scale) if self.scale is not None else (distance.median().item() or fallback)
        self.y_range_ = _widened(self._forward(x, x), self.reach)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.asinh((x - self.centre_) / self.scale_)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.centre_ + self.scale_ * torch.sinh(y.clamp(*self.y_range_))

    def _log_derivative(self, x: Tensor) -> Tensor:
        t = (x - self.centre_) / self.scale_
        return -math.log(self.scale_) - torch.log(torch.hypot(torch.ones_like(t), t))


class Logit(Elementwise):
    """Open up a bounded range to the real line; the inverse never leaves the bounds.

    With both bounds y = logit((x - lower) / (upper - lower)), range of the inverse [lower, upper].
    With one, y = log((x - lower) / s), or its mirror image; the open side then ends `reach` widths
    (of y) beyond the data. Values on a bound are allowed, see the module's notes.

    Parameters
    ----------
    lower, upper : the bounds, in units of x; None where there is none. At least one is needed.
    reach : how far beyond the training range the inverse may go on an open side.
    """

    def __init__(self, *, lower: float | None = None, upper: float | None = None, reach: float = 1.0) -> None:
        self.lower = lower
        self.upper = upper
        self.reach = reach

    def _fit(self, x: Tensor) -> None:
        self._check_bounds()
        x = check_within(x, self.lower, self.upper)
        self.scale_ = 1.0
        self.scale_ = self._width(x)
        near = torch.minimum(*self._distances(x))
        nearest = near.flatten().sort().values[near.numel() // 100].item()
        self.eps_ = min(max(nearest, SMALLEST_EPS), LARGEST_EPS)
        self.y_range_ = _widened(self._forward(x, x), self.reach)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        below, above = self._distances(check_within(x, self.lower, self.upper))
        if self.upper is None:
            return _log(below, self.eps_)
        if self.lower is None:
            return -_log(above, self.eps_)
        sign = torch.where(below <= above, 1.0, -1.0)
        return sign * _logit(torch.minimum(below, above), self.eps_)

    def _inverse(self, y: Tensor) -> Tensor:
        if self.lower is not None and self.upper is not None:
            t = self.scale_ * _sigmoid(torch.where(y <= 0, y, -y), self.eps_)  # not -|y|, which has no slope at 0
            return torch.where(y <= 0, self.lower + t, self.upper - t).clamp(self.lower, self.upper)
        y = y.clamp(*self.y_range_)
        if self.lower is not None:
            return (self.lower + self.scale_ * _exp(y, self.eps_)).clamp(min=self.lower)
        top = 0.0 if self.upper is None else self.upper  # _check_bounds saw to it that it is given
        return (top - self.scale_ * _exp(-y, self.eps_)).clamp(max=top)

    def _log_derivative(self, x: Tensor) -> Tensor:
        below, above = self._distances(check_within(x, self.lower, self.upper))
        t = torch.minimum(below, above).clamp(min=self.eps_)
        log_dt = -torch.log(t) - math.log(self.scale_)
        return log_dt - torch.log1p(-t) if None not in (self.lower, self.upper) else log_dt

    def _distances(self, x: Tensor) -> tuple[Tensor, Tensor]:
        below = [] if self.lower is None else [(x - self.lower) / self.scale_]
        above = [] if self.upper is None else [(self.upper - x) / self.scale_]
        both = below + above
        return both[0], both[-1]  # with one bound, twice the distance to that one

    def _width(self, x: Tensor) -> float:
        if self.lower is not None and self.upper is not None:
            return float(self.upper - self.lower)
        distance = self._distances(x)[0]
        return distance.median().item() or distance.mean().item() or 1.0

    def _check_bounds(self) -> None:
        if self.lower is None and self.upper is None:
            raise InputError("Expected lower, upper or both for Logit, got neither. Give a bound, or use Standardise.")
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise InputError(f"Expected lower < upper, got {self.lower} and {self.upper}. Correct the bounds.")


def _log(t: Tensor, eps: float) -> Tensor:
    return torch.where(t >= eps, torch.log(t.clamp(min=eps)), math.log(eps) + (t - eps) / eps)


def _exp(y: Tensor, eps: float) -> Tensor:
    tangent = 1 + y - math.log(eps)
    return torch.where(y >= math.log(eps), torch.exp(y), eps * _snapped(tangent))


def _logit(t: Tensor, eps: float) -> Tensor:
    inside = t.clamp(min=eps)
    tangent = math.log(eps) - math.log1p(-eps) + (t - eps) / (eps * (1 - eps))
    return torch.where(t >= eps, torch.log(inside) - torch.log1p(-inside), tangent)


def _sigmoid(y: Tensor, eps: float) -> Tensor:
    edge = math.log(eps) - math.log1p(-eps)
    tangent = 1 + (1 - eps) * (y - edge)
    return torch.where(y >= edge, torch.sigmoid(y), eps * _snapped(tangent))


def _snapped(t: Tensor) -> Tensor:
    return torch.where(t > 1e-13, t, 0.0)  # the bound itself, up to the rounding of y


def _positive(x: Tensor) -> Tensor:
    if found(x <= 0):
        raise InputError(
            f"Expected values > 0 for Log, got {int((x <= 0).sum())} that are not, down to {x.min().item():.6g}. "
            "Use Logit(lower=...) where the bound itself occurs, Asinh where both signs do."
        )
    return x


def _widened(y: Tensor, reach: float) -> list[float]:
    low, high = y.amin().item(), y.amax().item()
    extra = reach * (high - low)
    return [max(low - extra, -600.0), min(high + extra, 600.0)]  # exp(600) is still a float64
