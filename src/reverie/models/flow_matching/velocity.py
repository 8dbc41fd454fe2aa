r"""A velocity network (x, t, condition) -> dx/dt: what all kinds of events have in common.

All networks learn what a Gaussian leaves open (`reverie.models.flow_matching.path`): with q = t^2 + (1 - t)^2

    v = (2 t - 1) / q x + F(x / sqrt(q), t, c) / sqrt(q)          on lines,        v = F        on circles

Time enters as cosines and sines of frequencies pi/2 ... 64 pi, and with the condition as a vector e that every block
adds to its features. The last layer starts at zero, so that training starts from the velocity of normal coordinates.

    perceptron      tables
    unet            images and lattices
    set_network     sets of particles
    networks        the choice of one, and networks of the user
"""

import math

import torch
from torch import Tensor, nn

from reverie.models.clusters import Clusters
from reverie.models.density_features import Coordinates
from reverie.models.flow_matching.path import in_turn, late
from reverie.networks.mlp import MLP

__all__ = ["EDITION", "TimeEmbedding", "Velocity"]

EDITION = 6  # of the networks that are trained now; models that were saved without one have the first
_FREQUENCIES = 8  # 1/2, 1, 2 ... 64 half turns over the time from 0 to 1


class Velocity(nn.Module):
    """Parent of the velocity networks: the part that is known, and `remainder`, which a child learns.

    Parameters
    ----------
    coordinates : Coordinates of an event.
    sees_missing : Whether coordinates may be NaN, of events that are known in part. Their velocities then are NaN too.

    Attributes
    ----------
    late : Power with which steps of a solver come closer towards the events, see `reverie.models.flow_matching.path`.
    ends_in_mean : Whether samples end at the mean of what is left open, since they are then rounded to levels; see
        `reverie.models.flow_matching.sampling`.
    shares_times : Whether `forward` takes fewer times than rows, which is cheaper where there is no condition.
    clusters : Of images without another condition, of which each is drawn given its cluster; None for other events.
    """

    late: float = 1.0
    ends_in_mean: bool = False
    shares_times: bool = False

    def __init__(self, coordinates: Coordinates, *, sees_missing: bool = False) -> None:
        super().__init__()
        self.coordinates, self.sees_missing = coordinates, sees_missing
        self.clusters: Clusters | None = None

    def remainder(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return F (batch, n) of coordinates (batch, n), lines over sqrt(q), times (batch, 1) and conditions."""
        raise NotImplementedError

    def times(self, u: Tensor) -> Tensor:
        """Return the times of points in training, (batch, 1), of numbers (batch, 1) that are uniform in [0, 1)."""
        return late(u, self.late)

    def points(self, features: Tensor) -> Tensor:
        """Return coordinates (batch, n) of features (batch, *event)."""
        return self.coordinates.of(features.flatten(1))

    def features(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return features (batch, n_features) of coordinates (batch, n) and the conditions that they were made with."""
        return self.coordinates.features(x)

    def noise(self, n: int, generator: torch.Generator, condition: Tensor | None) -> Tensor:
        """Return `n` points x_0 (n, coordinates) of the noise."""
        return self.coordinates.noise(n, generator)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the velocity (batch, n) at coordinates `x` (batch, n), times `t` (batch, 1) and conditions.

        One time for all rows may be given as (1, 1), which without a condition spares its embedding row by row. A
        network that `shares_times` takes k times (k, 1) where k divides the batch: row i has the time i modulo k.
        """
        n, moments, t = self.coordinates.n_lines, t, in_turn(t, x.shape[0])
        q = t.square() + (1 - t).square()
        line, angle = x[:, :n], x[:, n:]
        f = self.remainder(torch.cat([line * q.rsqrt(), angle], dim=1), moments, condition)
        v = (2 * t - 1) / q * line + f[:, :n] * q.rsqrt()
        return torch.cat([v, f[:, n:]], dim=1) if angle.shape[1] else v


class TimeEmbedding(nn.Module):
    """Times and condition vectors to the vector e that every block adds."""

    frequencies: Tensor

    def __init__(self, n_condition: int, width: int, activation: str) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(-1, _FREQUENCIES - 1), persistent=False)
        self.layers = MLP(2 * _FREQUENCIES + n_condition, width, hidden=(width,), activation=activation)

    def forward(self, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return e (batch, width) of times (batch, 1), or one time (1, 1) for all, and conditions (batch, c)."""
        phase = t * self.frequencies
        times = torch.cat([phase.cos(), phase.sin()], dim=1)
        if condition is None:
            return self.layers(times)
        return self.layers(torch.cat([times.expand(condition.shape[0], -1), condition], dim=1))
