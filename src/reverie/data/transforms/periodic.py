"""Angles: one number on a circle becomes the two coordinates of its point.

    theta = 2 pi (x - origin) / period,    y = r (cos theta, sin theta),    r = sqrt(2)

Of a table the two stand side by side; an image (C, H, W) of angles becomes 2 C channels, all cosines before all sines.

The radius makes both coordinates of a uniform angle have variance 1. dy/dx has the length
r 2 pi / period everywhere, which gives the log-determinant. With ``scaling="unit_variance"`` each
coordinate is shifted and scaled by its own mean and standard deviation (an ellipse), which is
variance 1 for any distribution of the angle. The inverse is atan2, so any point of the plane has
an angle, (0, 0) included.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.checks import check_choice, check_positive
from reverie.core.clip import clip
from reverie.core.errors import InputError
from reverie.data.transforms.base import InvertibleTransform, Output

__all__ = ["Periodic"]

LEAST_RADIUS2 = 1e-24  # of a point whose angle has a gradient
SLACK = 0.01  # files round pi to 3.14 or 3.142


@dataclass(eq=False, repr=False, kw_only=True)
class Periodic(InvertibleTransform):
    """Map each angle to a pair (cos, sin), so that both ends of its range meet.

    The output has two features per feature of a table, cosine before sine, and of images (H, W) or (C, H, W) the shape
    (2, H, W) or (2 C, H, W). The inverse lies in [origin, origin + period); an angle given outside that range comes
    back inside it.

    Parameters
    ----------
    period : length of the range, in units of x, > 0.
    origin : Value at which the range starts; None takes 0 or -period/2 if the data
        fit that range, else their smallest value.
    scaling : "circle" for radius sqrt(2), "unit_variance" for shifted and scaled coordinates, of tables only.
    """

    period: float = 2 * math.pi
    origin: float | None = None
    scaling: str = "circle"

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(2 * features,), of images (2 * channels, height, width)."""
        *channels, height, width = (1, *self.event_shape_)
        return (2 * width,) if self._is_of_tables else (2 * math.prod(channels), height, width)

    @property
    def _is_of_tables(self) -> bool:
        return len(self.event_shape_) == 1

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Pairs of tags "circle"; "linear" where the circle was made an ellipse."""
        if self.scaling != "circle":
            return (Output("linear"),) * self.output_shape[0]
        n = math.prod(self.event_shape_)
        groups = [j // 2 for j in range(2 * n)] if self._is_of_tables else [*range(n), *range(n)]
        return tuple(Output("circle", group, math.sqrt(2)) for group in groups)

    def _fit(self, x: Tensor) -> None:
        check_positive("period", self.period)
        check_choice("scaling", self.scaling, {"circle": 0, "unit_variance": 1})
        low, high = x.amin().item(), x.amax().item()
        if high - low > self.period * (1 + SLACK):
            raise InputError(
                f"Expected angles within one period of {self.period:.6g}, got values from {low:.6g} to {high:.6g}. "
                "Give the period in the unit of the column (2 pi for radians, 360 for degrees)."
            )
        natural = (
            o
            for o in (0.0, -self.period / 2)
            if low >= o - SLACK * self.period and high <= o + self.period * (1 + SLACK)
        )
        self.origin_ = float(self.origin) if self.origin is not None else next(natural, low)
        if self.scaling != "circle" and not self._is_of_tables:
            raise InputError(f"Expected scaling='circle' for images of angles, got {self.scaling!r}. Leave it out.")
        self.mean_ = x.new_zeros(2 * x.shape[1]) if self._is_of_tables else x.new_zeros(1)
        self.scale_ = torch.full_like(self.mean_, math.sqrt(0.5))
        if self.scaling == "unit_variance":
            points = self._points(x)
            self.mean_, spread = points.mean(0), points.std(0, correction=0)
            self.scale_ = torch.where(spread > 1e-12, spread, torch.ones_like(spread))

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return (self._points(x) - self.mean_.to(x.device)) / self.scale_.to(x.device)

    def _inverse(self, y: Tensor) -> Tensor:
        points = y * self.scale_.to(y.device) + self.mean_.to(y.device)
        a, b = points.unflatten(1, (-1, 2)).unbind(-1) if self._is_of_tables else points.chunk(2, dim=1)
        nowhere = a.square() + b.square() < LEAST_RADIUS2  # at the origin atan2 has a value but no gradient
        theta = torch.atan2(torch.where(nowhere, b.detach(), b), torch.where(nowhere, a.detach(), a))
        turns = torch.where(theta < 0, theta + 2 * math.pi, theta) / (2 * math.pi)
        end = self.origin_ + self.period
        angle = clip(self.origin_ + self.period * turns, self.origin_, math.nextafter(end, -math.inf))
        return angle.reshape(-1, *self.event_shape_)

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        theta = self._angle(x)
        if not self._is_of_tables:  # as long everywhere
            return x.new_full((len(x),), theta[0].numel() * math.log(2 * math.pi * math.sqrt(2) / self.period))
        tangent = torch.stack([-theta.sin(), theta.cos()], dim=-1)
        scale = self.scale_.to(x.device).unflatten(0, (-1, 2))
        return torch.log(2 * math.pi / self.period * (tangent / scale).norm(dim=-1)).sum(1)

    def _angle(self, x: Tensor) -> Tensor:
        return 2 * math.pi * ((x - self.origin_) / self.period)

    def _points(self, x: Tensor) -> Tensor:
        theta = self._angle(x)
        if self._is_of_tables:
            return torch.stack([theta.cos(), theta.sin()], dim=-1).flatten(1)
        return torch.cat([theta.cos(), theta.sin()], dim=1).reshape(-1, *self.output_shape)
