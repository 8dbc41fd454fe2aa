"""Elementwise maps of flows beyond those of zuko: different maps side by side, and the rotation of angles."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform, constraints

__all__ = ["Rotation", "SideBySide"]


class SideBySide(Transform):
    """Neighbouring coordinates changed by different elementwise maps; `widths` counts those of each."""

    domain, codomain, bijective = constraints.real_vector, constraints.real_vector, True

    def __init__(self, maps: Sequence[Any], widths: Sequence[int]) -> None:
        super().__init__()
        self.maps, self.widths = maps, list(widths)

    def _call(self, x: Tensor) -> Tensor:
        return torch.cat([h(part) for h, part in zip(self.maps, self._parts(x), strict=True)], dim=1)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.cat([h.inv(part) for h, part in zip(self.maps, self._parts(y), strict=True)], dim=1)

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and log |det dy/dx| (batch,), in one go."""
        done: list[Any] = [h.call_and_ladj(part) for h, part in zip(self.maps, self._parts(x), strict=True)]
        return torch.cat([y for y, _ in done], dim=1), torch.cat([ladj for _, ladj in done], dim=1).sum(1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log |det dy/dx| (batch,)."""
        return self.call_and_ladj(x)[1]

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.split(self.widths, dim=1)


class Rotation(Transform):
    """Angles in [-pi, pi) turned by `shift`, elementwise."""

    domain, codomain, bijective = constraints.real, constraints.real, True

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.shift = shift

    def _call(self, x: Tensor) -> Tensor:
        return _wrapped(x + self.shift)

    def _inverse(self, y: Tensor) -> Tensor:
        return _wrapped(y - self.shift)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return zeros of the shape of x."""
        return torch.zeros_like(x)


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
