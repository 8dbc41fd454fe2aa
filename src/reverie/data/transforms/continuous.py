"""Transforms of single real numbers: straight lines, logarithms, and bounded ranges.

Identity      y = x
Standardise   y = (x - a) / b, a = mean, b = standard deviation (or median and interquartile range / 1.349)
Rescale       [lower, upper] -> [-1, 1], the range of tanh; for pixels and spins, events of any shape
Log           y = log x, x > 0
Asinh         y = asinh((x - c) / s): like log for |x| >> s, straight near c, for both signs
Logit         y = log t - log(1 - t), t = (x - lower) / (upper - lower); with one bound only, y = log((x - lower) / s)

In `Logit` a logarithm would send a value *on* a bound to infinity. Within a fraction eps of the bound the
curve is therefore continued by its tangent, which reaches the bound at a finite y: the map stays
one-to-one, smooth to first order, and its inverse is exact. Beyond that y the inverse is the bound.
eps is such that the nearest 1 % of the values lie there, within [1e-12, 0.01].
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.checks import check_choice, check_positive
from reverie.core.clip import clip
from reverie.core.errors import InputError
from reverie.data.transforms.base import Elementwise, Output, check_within, has_any, straight_through

__all__ = ["Asinh", "Identity", "Log", "Logit", "Rescale", "Standardise"]

NORMAL_IQR = 1.3489795003921634  # interquartile range of the standard normal
SMALLEST_EPS, LARGEST_EPS = 1e-12, 1e-2  # as fractions of the width, or of the median distance


@dataclass(eq=False, repr=False)
class Identity(Elementwise):
    """Leave x as it is. Range of the inverse: all real numbers."""

    def _fit(self, x: Tensor) -> None: ...

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        return y

    def _log_derivative(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@dataclass(eq=False, repr=False, kw_only=True)
class Standardise(Elementwise):
    """Shift and scale each feature to mean 0 and standard deviation 1.

    Range of the inverse: all real numbers. A constant feature is only shifted.

    Parameters
    ----------
    method : "mean" for mean and standard deviation, "median" for median and interquartile range
        over 1.349 (the same scale for normal data), which outliers do not move.
    shared : one shift and one scale for all features, as for the pixels of an image.
    """

    method: str = "mean"
    shared: bool = False

    def _fit(self, x: Tensor) -> None:
        use_median = check_choice("method", self.method, {"mean": False, "median": True})
        x = x.flatten() if self.shared else x
        self.mean_ = x.mean(0)
        scale = (x - self.mean_).square().mean(0).sqrt()
        negligible = scale <= 1e-14 * self.mean_.abs()  # a constant column, up to the rounding of its mean
        scale = torch.where(negligible, torch.zeros_like(scale), scale)
        if use_median:
            ordered = x.sort(0).values
            low, self.mean_, high = (ordered[round((len(x) - 1) * q)] for q in (0.25, 0.5, 0.75))
            scale = torch.where(high > low, (high - low) / NORMAL_IQR, scale)
        self.scale_ = torch.where(scale > 0, scale, torch.ones_like(scale))

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return (x - self.mean_.to(x.device)) / self.scale_.to(x.device)

    def _inverse(self, y: Tensor) -> Tensor:
        return y * self.scale_.to(y.device) + self.mean_.to(y.device)

    def _log_derivative(self, x: Tensor) -> Tensor:
        return -torch.log(self.scale_.to(x.device)).expand_as(x)


@dataclass(eq=False, repr=False, kw_only=True)
class Rescale(Elementwise):
    """Map [lower, upper] to [-1, 1] elementwise, for events of any shape.

    The inverse cuts to the bounds, so its range is [lower, upper]; with `step` it also rounds to
    the grid lower, lower + step, ..., upper; its gradient is that without rounding. With `gap` the values above
    `lower` are mapped to [-1 + 2 gap, 1]: all between -1 and there comes back as exactly `lower`, which is how
    cells without energy stay empty.

    Parameters
    ----------
    lower, upper : the bounds; None takes the smallest and largest value of the data.
    step : spacing of the allowed values: 1 for integral pixels, 2 for spins -1 and +1, None for real numbers.
    gap : share of [-1, 1] that stands for a point mass on `lower`, in [0, 1).
    """

    lower: float | None = None
    upper: float | None = None
    step: float | None = None
    gap: float = 0.0

    @property
    def outputs(self) -> tuple[Output, ...]:
        """A tag "tanh" per feature; one for all where an event is an image or lattice."""
        n_tags = self.output_shape[0] if len(self.output_shape) == 1 else 1
        return (Output("tanh"),) * n_tags

    def _fit(self, x: Tensor) -> None:
        lower = x.amin().item() if self.lower is None else float(self.lower)
        upper = x.amax().item() if self.upper is None else float(self.upper)
        if upper < lower or (upper == lower and None not in (self.lower, self.upper)):
            raise InputError(f"Expected lower < upper, got {lower} and {upper}. Correct the bounds of the column.")
        if self.step is not None:
            check_positive("step", self.step)
        check_within(x, lower, upper)
        self.lower_, self.upper_ = lower, upper
        if not 0 <= self.gap < 1:
            raise InputError(f"Expected gap in [0, 1), got {self.gap}. Give the share of [-1, 1] for the point mass.")
        self.half_ = (upper - lower) / (2 - 2 * self.gap) or 1.0

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        y = (check_within(x, self.lower_, self.upper_) - self.lower_) / self.half_ - 1
        return torch.where(x > self.lower_, y + 2 * self.gap, y) if self.gap else y

    def _inverse(self, y: Tensor) -> Tensor:
        above = clip(y, -1, 1) + 1
        x = self.lower_ + self.half_ * (clip(above - 2 * self.gap, low=0) if self.gap else above)
        if self.step is not None:
            x = straight_through(self.lower_ + self.step * torch.round((x - self.lower_) / self.step), x)
        return clip(x, self.lower_, self.upper_)

    def _log_derivative(self, x: Tensor) -> Tensor:
        return -torch.log(torch.full_like(x, self.half_))


@dataclass(eq=False, repr=False, kw_only=True)
class Log(Elementwise):
    """y = log x for x > 0.

    The inverse cuts y to the range seen in fit, widened on both sides by `reach` times its width.

    Parameters
    ----------
    reach : how far beyond the training range the inverse may go, in widths of that range (of log x).
    """

    reach: float = 1.0

    def _fit(self, x: Tensor) -> None:
        self.y_range_ = _widened(torch.log(_positive(x)), self.reach)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.log(_positive(x))

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.exp(clip(y, *self.y_range_))

    def _log_derivative(self, x: Tensor) -> Tensor:
        return -torch.log(_positive(x))


@dataclass(eq=False, repr=False, kw_only=True)
class Asinh(Elementwise):
    """y = asinh((x - centre) / scale): a logarithm for both signs, straight near the centre.

    The inverse cuts y to the range seen in fit, widened on both sides by `reach` times its width; with `step` it also
    rounds to centre + k step, k a whole number; its gradient is that without rounding.

    Parameters
    ----------
    centre : value where the curve is straight; None takes the median of all entries.
    scale : Distance from the centre at which the curve bends, > 0, in units of x; None takes the median distance, of
        the values off the centre where more than half of all lie on it.
    reach : how far beyond the training range the inverse may go, in widths of that range (of y).
    step : spacing of the allowed values: 1 for counts, None for real numbers.
    """

    centre: float | None = 0.0
    scale: float | None = None
    reach: float = 1.0
    step: float | None = None

    def _fit(self, x: Tensor) -> None:
        self.centre_ = x.median().item() if self.centre is None else float(self.centre)
        distance = (x - self.centre_).abs()
        for name in ("scale", "step"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        off = distance if distance.median() > 0 else distance[distance > 0]
        typical = off.median().item() if len(off) else 1.0
        self.scale_ = typical if self.scale is None else float(self.scale)
        self.y_range_ = _widened(self._forward(x, x), self.reach)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.asinh((x - self.centre_) / self.scale_)

    def _inverse(self, y: Tensor) -> Tensor:
        distance = self.scale_ * torch.sinh(clip(y, *self.y_range_))
        if self.step is not None:
            distance = straight_through(self.step * torch.round(distance / self.step), distance)
        return self.centre_ + distance

    def _log_derivative(self, x: Tensor) -> Tensor:
        t = (x - self.centre_) / self.scale_
        return -math.log(self.scale_) - torch.log(torch.hypot(torch.ones_like(t), t))


@dataclass(eq=False, repr=False, kw_only=True)
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

    lower: float | None = None
    upper: float | None = None
    reach: float = 1.0

    def _fit(self, x: Tensor) -> None:
        if self.lower is None and self.upper is None:
            raise InputError("Expected lower, upper or both for Logit, got neither. Give a bound, or use Standardise.")
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise InputError(f"Expected lower < upper, got {self.lower} and {self.upper}. Correct the bounds.")
        x = check_within(x, self.lower, self.upper)
        self.scale_ = 1.0
        if self.lower is not None and self.upper is not None:
            self.scale_ = float(self.upper - self.lower)
        else:
            distance = self._distances(x)[0]
            self.scale_ = distance.median().item() or distance.mean().item() or 1.0
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
        t, eps = torch.minimum(below, above), self.eps_
        inside = clip(t, low=eps)
        tangent = math.log(eps) - math.log1p(-eps) + (t - eps) / (eps * (1 - eps))
        z = torch.where(t >= eps, torch.log(inside) - torch.log1p(-inside), tangent)
        return torch.where(below <= above, 1.0, -1.0) * z

    def _inverse(self, y: Tensor) -> Tensor:
        if self.lower is not None and self.upper is not None:
            z, eps = torch.where(y <= 0, y, -y), self.eps_  # not -|y|, which has no slope at 0
            edge = math.log(eps) - math.log1p(-eps)
            t = torch.where(z >= edge, torch.sigmoid(z), eps * _snapped(1 + (1 - eps) * (z - edge))) * self.scale_
            return clip(torch.where(y <= 0, self.lower + t, self.upper - t), self.lower, self.upper)
        y = clip(y, *self.y_range_)
        if self.lower is not None:
            return clip(self.lower + self.scale_ * _exp(y, self.eps_), low=self.lower)
        top = 0.0 if self.upper is None else self.upper  # one of both is given
        return clip(top - self.scale_ * _exp(-y, self.eps_), high=top)

    def _log_derivative(self, x: Tensor) -> Tensor:
        below, above = self._distances(check_within(x, self.lower, self.upper))
        t = clip(torch.minimum(below, above), low=self.eps_)
        log_dt = -torch.log(t) - math.log(self.scale_)
        return log_dt - torch.log1p(-t) if None not in (self.lower, self.upper) else log_dt

    def _distances(self, x: Tensor) -> tuple[Tensor, Tensor]:
        below = [] if self.lower is None else [(x - self.lower) / self.scale_]
        above = [] if self.upper is None else [(self.upper - x) / self.scale_]
        both = below + above
        return both[0], both[-1]  # with one bound, twice the distance to that one


def _log(t: Tensor, eps: float) -> Tensor:
    return torch.where(t >= eps, torch.log(clip(t, low=eps)), math.log(eps) + (t - eps) / eps)


def _exp(y: Tensor, eps: float) -> Tensor:
    tangent = 1 + y - math.log(eps)
    return torch.where(y >= math.log(eps), torch.exp(y), eps * _snapped(tangent))


def _snapped(t: Tensor) -> Tensor:
    return torch.where(t > 1e-13, t, 0.0)  # the bound itself, up to the rounding of y


def _positive(x: Tensor) -> Tensor:
    if has_any(x <= 0):
        raise InputError(
            f"Expected values > 0 for Log, got {int((x <= 0).sum())} that are not, down to {x.min().item():.6g}. "
            "Use Logit(lower=...) where the bound itself occurs, Asinh where both signs do."
        )
    return x


def _widened(y: Tensor, reach: float) -> list[float]:
    low, high = y.amin().item(), y.amax().item()
    extra = reach * (high - low)
    return [max(low - extra, -600.0), min(high + extra, 600.0)]  # exp(600) is still a float64
