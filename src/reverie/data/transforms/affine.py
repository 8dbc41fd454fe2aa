"""Straight-line transforms: y = (x - a) / b.

Identity      y = x
Standardise   a = mean, b = standard deviation (or median and interquartile range / 1.349), per feature
Rescale       [lower, upper] -> [-1, 1], the range of tanh; for pixels and spins, events of any shape
"""

import torch
from torch import Tensor

from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError
from reverie.data.transforms.base import Elementwise, Output, check_within, straight_through

__all__ = ["Identity", "Rescale", "Standardise"]

NORMAL_IQR = 1.3489795003921634  # interquartile range of the standard normal


class Identity(Elementwise):
    """Leave x as it is. Range of the inverse: all real numbers."""

    def __init__(self) -> None: ...

    def _fit(self, x: Tensor) -> None: ...

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        return y

    def _log_derivative(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class Standardise(Elementwise):
    """Shift and scale each feature to mean 0 and standard deviation 1.

    Range of the inverse: all real numbers. A constant feature is only shifted.

    Parameters
    ----------
    method : "mean" for mean and standard deviation, "median" for median and interquartile range
        over 1.349 (the same scale for normal data), which outliers do not move.
    shared : one shift and one scale for all features, as for the pixels of an image.
    """

    def __init__(self, *, method: str = "mean", shared: bool = False) -> None:
        self.method = method
        self.shared = shared

    def _fit(self, x: Tensor) -> None:
        centre_and_scale = check_choice("method", self.method, {"mean": _moments, "median": _quartiles})
        self.mean_, scale = centre_and_scale(x.flatten() if self.shared else x)
        self.scale_ = torch.where(scale > 0, scale, torch.ones_like(scale))

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return (x - self.mean_.to(x.device)) / self.scale_.to(x.device)

    def _inverse(self, y: Tensor) -> Tensor:
        return y * self.scale_.to(y.device) + self.mean_.to(y.device)

    def _log_derivative(self, x: Tensor) -> Tensor:
        return -torch.log(self.scale_.to(x.device)).expand_as(x)


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

    def __init__(
        self, *, lower: float | None = None, upper: float | None = None, step: float | None = None, gap: float = 0.0
    ) -> None:
        self.lower = lower
        self.upper = upper
        self.step = step
        self.gap = gap

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
        above = y.clamp(-1, 1) + 1
        x = self.lower_ + self.half_ * ((above - 2 * self.gap).clamp(min=0) if self.gap else above)
        if self.step is not None:
            x = straight_through(self.lower_ + self.step * torch.round((x - self.lower_) / self.step), x)
        return x.clamp(self.lower_, self.upper_)

    def _log_derivative(self, x: Tensor) -> Tensor:
        return -torch.log(torch.full_like(x, self.half_))


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    mean = x.mean(0)
    scale = (x - mean).square().mean(0).sqrt()
    negligible = scale <= 1e-14 * mean.abs()  # a constant column, up to the rounding of its mean
    return mean, torch.where(negligible, torch.zeros_like(scale), scale)


def _quartiles(x: Tensor) -> tuple[Tensor, Tensor]:
    ordered = x.sort(0).values
    n = len(x) - 1
    low, middle, high = (ordered[round(n * q)] for q in (0.25, 0.5, 0.75))
    scale = (high - low) / NORMAL_IQR
    return middle, torch.where(scale > 0, scale, _moments(x)[1])
