r"""Velocity network of sets of particles: layers of `reverie.networks.sets`, so that velocities permute with particles.

Velocities of padding are zero. The mask is a condition: it stands before what the user conditions on. So are
observables of the whole set, such as its mass, where the model is shown some: their law given the number of particles
is learnt by a small perceptron of its own.
"""

import torch
from torch import Tensor, nn

from reverie.models.density_features import Coordinates
from reverie.models.flow_matching.perceptron import VelocityMLP
from reverie.models.flow_matching.velocity import TimeEmbedding, Velocity
from reverie.models.multiplicity import MultiplicityLaw
from reverie.models.sets import moments_of_sets
from reverie.networks.mlp import make_activation
from reverie.networks.sets import SetKind, SetTrunk

__all__ = ["VelocitySet"]

_LATE = 1.5  # power with which the steps of a solver come closer towards the events
_OBSERVABLES_WIDTH, _OBSERVABLES_BLOCKS = 64, 2  # of the network of a few numbers of each set


class VelocitySet(Velocity):
    """Equivariant network for sets of particles, given (batch, P + k + c): mask, observables and condition.

    Parameters
    ----------
    coordinates : Coordinates of all places of a set: first the lines of one particle after the other, then the angles.
    size : Places of a set, P.
    n_condition : Numbers of a condition, c, without the mask; 0 for none.
    n_observables : Numbers of each set that the particles are drawn given, k, standard normal on the whole.
    width, n_layers, kind, activation : As in `reverie.networks.sets.SetTrunk`.

    Attributes
    ----------
    multiplicity : The law of the number of particles, which is learnt beside the velocity.
    observables : The velocity whose law is that of the observables given the number of particles and the condition,
        also learnt beside; None without observables.
    spreads : Standard deviations of `reverie.models.sets.moments_of_sets` in the training events.
    """

    late = _LATE
    spreads: Tensor

    def __init__(
        self,
        coordinates: Coordinates,
        size: int,
        n_condition: int = 0,
        *,
        n_observables: int = 0,
        width: int = 128,
        n_layers: int = 6,
        kind: SetKind = "epic",
        activation: str = "silu",
    ) -> None:
        super().__init__(coordinates)
        self.size, self.n_condition, self.n_observables = size, n_condition, n_observables
        self.activation = make_activation(activation)
        self.embedding = TimeEmbedding(n_observables + n_condition, width, activation)
        n_circles = len(coordinates.circles) // size
        trunk = {"size": size, "width": width, "n_layers": n_layers, "kind": kind, "activation": activation}
        self.trunk = SetTrunk((coordinates.n + len(coordinates.circles)) // size, width, **trunk)
        self.last = nn.Linear(width, coordinates.n_lines // size + n_circles)
        self.last.zero_init = True  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`
        self.multiplicity = MultiplicityLaw(size, n_condition)
        self.observables: VelocityMLP | None = None
        if n_observables:
            sizes = {"width": _OBSERVABLES_WIDTH, "n_blocks": _OBSERVABLES_BLOCKS, "activation": activation}
            self.observables = VelocityMLP(Coordinates(n_observables, ()), 1 + n_condition, **sizes)
        G = coordinates.n_features // size
        self.register_buffer("spreads", torch.ones(1 + 3 * G + G * (G + 1) // 2 + G * G))

    def fit(self, x: Tensor, weight: Tensor | None) -> None:
        """Learn the shares of the numbers of particles, and the spreads, of training features (n, P, G + 1)."""
        self.multiplicity.fit(x[..., -1], weight)
        self.spreads.copy_(moments_of_sets(x).std(dim=0).clamp(min=1e-6))

    def times(self, u: Tensor) -> Tensor:
        """Return the times of points in training, (batch, 1): equally many of all; early ones decide the shape."""
        return u

    def points(self, features: Tensor) -> Tensor:
        """Return coordinates (batch, n) of features (batch, P, G + 1); those of padding are 0."""
        return self.without_padding(self.coordinates.of(features[..., :-1].flatten(1)), features[..., -1])

    def features(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return features (batch, P (G + 1)) of coordinates, with the mask as each particle's last."""
        mask = self._mask(condition)
        particles = self.coordinates.features(x).unflatten(1, (self.size, -1)) * mask.unsqueeze(2)
        return torch.cat([particles, mask.unsqueeze(2)], dim=2).flatten(1)

    def noise(self, n: int, generator: torch.Generator, condition: Tensor | None) -> Tensor:
        """Return `n` points x_0 (n, coordinates) of the noise, 0 in padding."""
        return self.without_padding(self.coordinates.noise(n, generator), self._mask(condition))

    def split_given(self, given: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return masks (batch, P), observables (batch, k) and conditions (batch, c) of what the network is given."""
        mask, observables, condition = given.split([self.size, self.n_observables, self.n_condition], dim=1)
        return mask, observables, condition if self.n_condition else None

    def log_number(self, given: Tensor) -> Tensor:
        """Return log p(N | c), (batch,), of what the network is given."""
        mask, _, condition = self.split_given(given)
        return self.multiplicity.log_prob(mask, condition)

    def with_number(self, mask: Tensor, condition: Tensor | None) -> Tensor:
        """Return (batch, 1 + c), what observables are drawn given: number of particles, standardised, and condition."""
        number = self.multiplicity.standardised(mask)
        return number if condition is None else torch.cat([number, condition], dim=1)

    def remainder(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return F (batch, n); see `Velocity`."""
        n, mask = self.coordinates.n_lines, self._mask(condition)
        line, angle = (part.unflatten(1, (self.size, -1)) for part in (x[:, :n], x[:, n:]))
        seen = torch.cat([line, angle.cos(), angle.sin()], dim=2) if angle.shape[2] else line
        whole = None if condition is None or condition.shape[1] == self.size else condition[:, self.size :]
        e = self.activation(self.embedding(t, whole))
        h, _ = self.trunk(seen, mask, e.expand(x.shape[0], -1))
        f = self.last(h) * mask.unsqueeze(2)
        n_own = line.shape[2]
        return torch.cat([f[..., :n_own].flatten(1), f[..., n_own:].flatten(1)], dim=1)

    def padding(self, condition: Tensor | None) -> Tensor:
        """Return the number (batch,) of places without a particle."""
        return self.size - self._mask(condition).sum(dim=1)

    def _mask(self, condition: Tensor | None) -> Tensor:
        assert condition is not None
        return condition[:, : self.size]

    def without_padding(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return coordinates (batch, n) with those of padding 0, of a mask (batch, P), or what begins with it."""
        lines, angles = self.coordinates.n_lines // self.size, len(self.coordinates.circles) // self.size
        mask = mask[:, : self.size]
        kept = mask.repeat_interleave(lines, dim=1)
        return x * (torch.cat([kept, mask.repeat_interleave(angles, dim=1)], dim=1) if angles else kept)
