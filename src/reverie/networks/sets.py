r"""Networks of sets of particles: what they give permutes with the particles, and padding has no influence.

A set is particles x (P, F), of which those with mask m_i = 1 are there. Two kinds of layers act on features h_i of each
particle and g of the whole set, a an activation, N = sum_i m_i and P_0 the most particles that the network is made for:

    "epic"        p = sum_i m_i a(h_i) / N
                  g   <- g + B a(A [p, p N / P_0, a(g)])
                  h_i <- h_i + V a(W a(h_i) + U a(g))
    "attention"   the same, but s = I + U a(g) queries the particles, I being some learnt places (induced attention,
                  Lee et al., arXiv:1810.00825), and the particles query s:
                  s <- s + attention(s from m h),   h_i <- h_i + attention(h_i from s),  then a perceptron for each

Both cost O(N). The first are the equivariant point cloud layers (EPiC) of Buhmann, Kasieczka and Thaler,
arXiv:2301.08128: a global vector of mean and sum pooling that is fed back to each particle. The paper joins g to each
h_i and normalises all weights; here U a(g) is computed once a set and not once a particle, layers are residual, and
g is as wide as h, which costs nothing beside N particles.

What tells sets apart may be a correlation of their particles alone, which each pooling shows weakened. First weights of
variance 1/3 of the inverse fan-in, usual elsewhere, leave so little of it after a few layers that a discriminator sees
nothing for a thousand steps. So they have three times that variance here, and those of the features of a particle more.
Nor does V start at zero, as elsewhere: where no particle says anything by itself, a last layer that starts at zero too
would have no gradient but through V, nor V but through the last layer.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from reverie.networks.conditional import ProjectionHead
from reverie.networks.features import OutputHead
from reverie.networks.mlp import MLP, make_activation

__all__ = [
    "EPiCLayer",
    "InducedAttention",
    "SetDiscriminator",
    "SetGenerator",
    "SetHead",
    "SetKind",
    "SetTrunk",
    "mean_of",
]

SetKind = Literal["epic", "attention"]
_N_PLACES, _HEAD = 16, 16  # learnt places of a layer of attention, and channels of a head
_GAIN, _FIRST_GAIN = math.sqrt(3), 4.0  # of the first weights of all layers, and of the features of a particle
_ABSENT = -1e9  # added to the logits of an attention to padding; of an empty set all are alike


@torch.no_grad()
def _enlarge(*layers: nn.Module, gain: float = _GAIN) -> None:
    """Make the first weights of linear layers larger, those that `reverie.networks.init` draws again too."""
    for layer in (part for whole in layers for part in whole.modules() if isinstance(part, nn.Linear)):
        layer.gain = gain  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`
        layer.weight.mul_(gain)


def mean_of(h: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (batch, width) of h (batch, P, width) over the particles that are there; 0 of an empty set."""
    share = mask / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.bmm(share.unsqueeze(1), h).squeeze(1)


class EPiCLayer(nn.Module):
    """One equivariant layer with mean and sum pooling; see the module.

    Parameters
    ----------
    width : of the features of a particle and of the set.
    size : P_0, in units of which the sum is taken.
    activation : key of `reverie.networks.mlp.ACTIVATIONS`.
    """

    def __init__(self, width: int, size: int, activation: str) -> None:
        super().__init__()
        self.size, self.activation = size, make_activation(activation)
        self.pooled, self.globally = nn.Linear(3 * width, width), nn.Linear(width, width)
        self.inner, self.beside = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.outer = nn.Linear(width, width)

    def forward(self, h: Tensor, g: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return h (batch, P, width) and g (batch, width) after the layer; mask (batch, P)."""
        a, seen = self.activation, self.activation(h)
        mean = mean_of(seen, mask)
        share = mask.sum(dim=1, keepdim=True) / self.size
        g = g + self.globally(a(self.pooled(torch.cat([mean, mean * share, a(g)], dim=1))))
        return h + self.outer(a(self.inner(seen) + self.beside(a(g)).unsqueeze(1))), g


class InducedAttention(nn.Module):
    """One equivariant layer of attention through some learnt places; see the module, parameters as in `EPiCLayer`."""

    def __init__(self, width: int, size: int, activation: str) -> None:
        super().__init__()
        self.activation, self.n_heads = make_activation(activation), math.gcd(width, max(1, width // _HEAD))
        self.epic = EPiCLayer(width, size, activation)
        self.places = nn.Linear(_N_PLACES, width, bias=False)  # its weights are the places, drawn as those of layers
        self.to_places, self.from_places = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.beside, self.query = nn.Linear(width, width), nn.Linear(width, width)
        self.joined, self.last = nn.Linear(width, width), nn.Linear(width, width)
        self.last.zero_init = True  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`

    def forward(self, h: Tensor, g: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return h (batch, P, width) and g (batch, width) after the layer; mask (batch, P)."""
        seen = nn.functional.layer_norm(h, h.shape[-1:])
        s = self.places.weight.T + self.beside(self.activation(g)).unsqueeze(1)
        absent = (_ABSENT * (1 - mask))[:, None, None]
        s = s + self.joined(self._attended(s, self.to_places(seen), absent))
        s = nn.functional.layer_norm(s, s.shape[-1:])
        h = h + self.last(self._attended(self.query(seen), self.from_places(s), None))
        return self.epic(h, g, mask)

    def _attended(self, query: Tensor, key_and_value: Tensor, absent: Tensor | None) -> Tensor:
        """Return softmax(q k / sqrt(d) + absent) v of queries (batch, n, width) from (batch, m, 2 width)."""
        q, k, v = (
            x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for x in (query, *key_and_value.chunk(2, dim=-1))
        )
        logits = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        weight = (logits if absent is None else logits + absent).softmax(-1)
        return (weight @ v).transpose(1, 2).flatten(2)


_LAYERS = {"epic": EPiCLayer, "attention": InducedAttention}


class SetTrunk(nn.Module):
    """Particles (batch, P, F), their mask and numbers of the whole set to features of each particle and of the set.

    Parameters
    ----------
    n_features : F.
    n_global : Numbers of the whole set that are given, such as conditions and noise; N / size is added to them.
    width : Of all features.
    n_layers : Layers.
    size : The most particles of a set, the unit of sums.
    kind : "epic" or "attention".
    activation : Key of `reverie.networks.mlp.ACTIVATIONS`.
    """

    def __init__(
        self,
        n_features: int,
        n_global: int,
        *,
        size: int,
        width: int = 128,
        n_layers: int = 4,
        kind: SetKind = "epic",
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.size, self.width = size, width
        self.first = nn.Linear(n_features, width)
        self.globally = MLP(n_global + 1, width, hidden=(width,), activation=activation)
        self.layers = nn.ModuleList(_LAYERS[kind](width, size, activation) for _ in range(n_layers))
        self.activation = make_activation(activation)
        _enlarge(self.globally, self.layers)
        _enlarge(self.first, gain=_FIRST_GAIN)

    def forward(self, x: Tensor, mask: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return features (batch, P, width) and (batch, width) of x, mask (batch, P) and `given` (batch, n_global)."""
        share = mask.sum(dim=1, keepdim=True) / self.size
        h, g = self.first(x), self.globally(share if given is None else torch.cat([given, share], dim=1))
        for layer in self.layers:
            h, g = layer(h, g, mask)
        return self.activation(h), self.activation(g)

    def pooled(self, x: Tensor, mask: Tensor, given: Tensor | None = None) -> Tensor:
        """Return (batch, 3 width): mean and sum over the particles of their features, and those of the set."""
        h, g = self(x, mask, given)
        mean = mean_of(h, mask)
        return torch.cat([mean, mean * mask.sum(dim=1, keepdim=True) / self.size, g], dim=1)


class SetDiscriminator(nn.Module):
    """Sets as arrays whose last column is the mask, and what is shown beside them, to logits, for a GAN.

    The mask is taken as given: no gradient goes through it, and none to what is padding. With y_ij feature j of
    particle i, the means <y_j> and <y_j y_k> over the particles can stand among the numbers of the whole set: that
    particles are correlated, such as along a common axis, shows in how these scatter, and in pooled features weakened.

    Parameters
    ----------
    n_features : Features of a particle, F.
    n_observables : Observables of a set that are shown beside it.
    n_condition : Numbers of the condition of a set, after the mask; 0 for none.
    sees_means : Whether it is given these F (F + 3) / 2 means.
    mode : How the condition enters: "projection" (V c) . phi, see `reverie.networks.conditional`, or "concatenate".
    size, width, n_layers, kind, activation : As in `SetTrunk`.
    """

    def __init__(
        self,
        n_features: int,
        *,
        size: int,
        n_observables: int = 0,
        n_condition: int = 0,
        sees_means: bool = True,
        mode: str = "projection",
        width: int = 128,
        n_layers: int = 3,
        kind: SetKind = "epic",
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.size, self.n_condition = size, n_condition
        self.is_joined = mode == "concatenate" and n_condition > 0
        self.sees_means = sees_means
        n_global = n_observables + n_condition * self.is_joined + sees_means * n_features * (n_features + 3) // 2
        sizes = {"size": size, "width": width, "n_layers": n_layers, "kind": kind, "activation": activation}
        self.trunk = SetTrunk(n_features, n_global, **sizes)
        self.features = nn.Sequential(nn.Linear(3 * width, width), make_activation(activation))
        self.head = ProjectionHead(width, n_condition=0 if self.is_joined else n_condition)
        _enlarge(self.features, self.head.linear)

    def forward(self, x: Tensor, observables: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return logits (batch, 1) of sets (batch, P, F + 1), observables (batch, k) and [mask, condition]."""
        y, mask = x[..., :-1], x[..., -1].detach()
        c = None if condition is None or not self.n_condition else condition[:, self.size :]
        given = [part for part in (observables, c if self.is_joined else None) if part is not None]
        if self.sees_means:
            j, k = torch.triu_indices(y.shape[-1], y.shape[-1], device=y.device)
            given.append(mean_of(torch.cat([y, y[..., j] * y[..., k]], dim=2), mask))
        phi = self.features(self.trunk.pooled(y, mask, torch.cat(given, dim=1) if given else None))
        return self.head(phi, None if self.is_joined else c)


class SetGenerator(nn.Module):
    """Noise of the set and of each particle, the mask, and a condition, in one vector, to raw particles and the mask.

    Parameters
    ----------
    n_features : Features of a particle, F.
    n_noise : Numbers of the noise of the set, and as many of each particle.
    n_condition : Numbers of the condition; 0 for none.
    size, width, n_layers, kind, activation : As in `SetTrunk`.
    """

    def __init__(
        self,
        n_features: int,
        *,
        size: int,
        n_noise: int,
        n_condition: int = 0,
        width: int = 128,
        n_layers: int = 4,
        kind: SetKind = "epic",
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.size, self.n_noise, self.n_condition = size, n_noise, n_condition
        sizes = {"size": size, "width": width, "n_layers": n_layers, "kind": kind, "activation": activation}
        self.trunk = SetTrunk(n_noise, n_noise + n_condition, **sizes)
        self.last = nn.Linear(width, n_features)
        _enlarge(self.last)

    def forward(self, z: Tensor) -> Tensor:
        """Return (batch, P, F + 1), the mask last, of [noise, mask, condition], (batch, n_noise (1 + P) + P + c)."""
        n, P = self.n_noise, self.size
        of_set, of_particles, mask, condition = z.split([n, n * P, P, self.n_condition], dim=1)
        h, _ = self.trunk(of_particles.unflatten(1, (P, n)), mask, torch.cat([of_set, condition], dim=1))
        return torch.cat([self.last(h), mask.unsqueeze(-1)], dim=2)


class SetHead(nn.Module):
    """Raw sets (batch, P (F + 1)), the mask last of each particle, to admissible ones, 0 in padding.

    Parameters
    ----------
    head : Of the features of one particle.
    size : Places of a set, P.
    """

    def __init__(self, head: OutputHead, size: int) -> None:
        super().__init__()
        self.head, self.size = head, size

    def forward(self, y: Tensor) -> Tensor:
        """Return sets of the same shape."""
        places = y.unflatten(1, (self.size, -1))
        mask = places[..., -1:]
        particles = self.head(places[..., :-1].flatten(0, 1)).unflatten(0, (-1, self.size))
        return torch.cat([particles * mask, mask], dim=2).flatten(1)
