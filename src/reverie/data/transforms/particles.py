r"""The transform of sets: one transform of a particle, fitted on the particles that are there.

A set is (P, F + 1), zero-padded, its last column the mask m. With T a transform of a table of particles

    y_i = m_i T(x_i),        x_i = m_i T^-1(y_i),        log |dy/dx| = sum_i m_i log |dT/dx|(x_i)

and the mask passes as it is, 1 above 1/2 and 0 below on the way back. The log-determinant is that of the particles
given the mask.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.data.transforms.base import InvertibleTransform, Output

__all__ = ["Particles"]


@dataclass(eq=False, repr=False)
class Particles(InvertibleTransform):
    """Map each particle of zero-padded sets (batch, P, F + 1), whose last column is the mask.

    Parameters
    ----------
    particle : transform of a table of particles (particle, F); `fit` works on a copy, ``particle_``.
    """

    particle: InvertibleTransform

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(P, features of a particle + 1)."""
        return (self.event_shape_[0], self.particle_.output_shape[0] + 1)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The tags of one particle, and one of the mask."""
        return (*self.particle_.outputs, Output("linear"))

    @property
    def n_noise(self) -> int:
        """Numbers for every place of a particle."""
        return self.event_shape_[0] * self.particle_.n_noise

    def undone(self, y: Tensor, of_particle: Callable[[Tensor], Tensor]) -> Tensor:
        """Return sets (batch, P, F + 1) of features; `of_particle` takes those of particles (n, G) to values."""
        is_there = y[..., -1:] > 0.5
        x = of_particle(y[..., :-1].flatten(0, 1)).reshape(*y.shape[:2], -1)
        return torch.cat([torch.where(is_there, x, 0.0), is_there.to(x.dtype)], dim=2)

    def _fit(self, x: Tensor) -> None:
        if x.ndim != 3 or x.shape[2] < 2:
            raise InputError(
                f"Expected sets (batch, particle, features + mask), got shape {tuple(x.shape)}. Make them with "
                "reverie.data.particle_sets."
            )
        rows = x[..., :-1][x[..., -1] > 0.5]
        if not len(rows):
            raise InputError("Expected a particle in at least one set, got none. Look at the mask.")
        self.particle_ = copy.deepcopy(self.particle).fit(rows)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        is_there = x[..., -1] > 0.5
        y = x.new_zeros(len(x), *self.output_shape)
        noise = u.reshape(*x.shape[:2], -1)[is_there]
        y[..., :-1][is_there] = self.particle_.forward(x[..., :-1][is_there], noise=noise)
        y[..., -1] = is_there.to(y.dtype)
        return y

    def _inverse(self, y: Tensor) -> Tensor:
        return self.undone(y, self.particle_._inverse)

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        is_there = x[..., -1] > 0.5
        each = x.new_zeros(x.shape[:2])
        noise = u.reshape(*x.shape[:2], -1)[is_there]
        each[is_there] = self.particle_.log_det(x[..., :-1][is_there], noise=noise)
        return each.sum(1)
