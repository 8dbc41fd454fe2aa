"""Generators and discriminators of periodic lattices: what they make of a shifted lattice is shifted too.

With z_s the noise of site s, w that of the whole lattice (and its condition), and f a network of circular convolutions,

    generator       x_s = f(z, w)_s                   a law that is the same at all sites, as soon as z is
    discriminator   D(x) = g(mean_s phi_s(x), var_s phi_s(x)),   phi = f(x),  g a perceptron

so neither has to learn that no site is special, and one configuration teaches as much as it has sites. The mean of a
local feature is what physicists call an intensive observable, such as the energy per site; g sees how several go
together, and by w the generator makes what all sites share, such as the sign of the magnetisation.

A block is a residual pair of convolutions of kernel 3 (He et al., arXiv:1603.05027). While both sides are even and at
least 16, a grid of half the sides is joined to the finer one, on which structures of twice the size are seen: means of
2 x 2 sites go down to it, and what comes back is repeated on them. Such a network keeps shifts by the cells of its
coarsest grid exactly, and learns the others.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from reverie.core.errors import InputError
from reverie.networks.convolutional import CircularConv2d, as_channels
from reverie.networks.mlp import make_activation

__all__ = ["LatticeDiscriminator", "LatticeGenerator", "lattice_noise"]

_WIDTH, _N_BLOCKS = 24, 2  # channels, and blocks of each grid
_LEAST_HALVED = 16  # sides of a grid that has a coarser one
_DENSE = 64  # width of the perceptron on means over the sites


def lattice_noise(n_each: int, event_shape: tuple[int, ...]) -> int:
    """Return how many numbers of noise a lattice takes: `n_each` for each site, and as many for the whole."""
    _, height, width = as_channels(event_shape)
    return n_each * (height * width + 1)


class _Block(nn.Module):
    """Features (batch, width, height, breadth) to the same plus what two circular convolutions make of them."""

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [make_activation(activation), CircularConv2d(width, width, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _grids_of_blocks(height: int, breadth: int, width: int, activation: str) -> nn.ModuleList:
    """Return the blocks of each grid, the finest first."""
    n_grids = 1
    while height % 2 == breadth % 2 == 0 and min(height, breadth) >= _LEAST_HALVED:
        height, breadth, n_grids = height // 2, breadth // 2, n_grids + 1
    return nn.ModuleList(nn.Sequential(*(_Block(width, activation) for _ in range(_N_BLOCKS))) for _ in range(n_grids))


class LatticeGenerator(nn.Module):
    """Noise to configurations of a periodic lattice. An output head comes after.

    Parameters
    ----------
    n_noise : Numbers that the network takes, see `lattice_noise`: equally many of each site, then those of the whole
        lattice, and last its condition. Raises `InputError` if there are fewer than one of each site.
    event_shape : (height, width) or (channel, height, width) of a configuration.
    n_condition : How many of the numbers are the condition.
    activation : A key of `reverie.networks.mlp.ACTIVATIONS`.
    """

    def __init__(
        self, n_noise: int, event_shape: tuple[int, ...], *, n_condition: int = 0, activation: str = "silu"
    ) -> None:
        super().__init__()
        channels, height, breadth = as_channels(tuple(event_shape))
        n_least = lattice_noise(1, event_shape)
        n_each = (n_noise - n_condition) // n_least
        if n_each < 1:
            raise InputError(
                f"Expected noise of at least {n_least} numbers for a lattice of {height} x {breadth} sites, one of "
                f"each site and one of the whole, got {n_noise - n_condition}."
            )
        self.local_shape = (n_each, height, breadth)
        self.n_local = math.prod(self.local_shape)
        self.first = CircularConv2d(n_each, _WIDTH, 3, padding=1)
        self.of_whole = nn.Linear(n_noise - self.n_local, _WIDTH)
        self.grids = _grids_of_blocks(height, breadth, _WIDTH, activation)
        self.last = nn.Sequential(make_activation(activation), nn.Conv2d(_WIDTH, channels, kernel_size=1))

    def forward(self, z: Tensor) -> Tensor:
        """Map noise (batch, n_noise) to raw configurations (batch, channel, height, width)."""
        x = self.first(z[:, : self.n_local].reshape(-1, *self.local_shape))
        finer = [x + self.of_whole(z[:, self.n_local :])[:, :, None, None]]
        for _ in self.grids[1:]:
            finer.append(2 * avg_pool2d(finer[-1], 2))  # of independent noise the sum of four has twice the width
        x = self.grids[-1](finer[-1])
        for k in reversed(range(len(finer) - 1)):
            x = self.grids[k](finer[k] + interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.last(x)


class LatticeDiscriminator(nn.Module):
    """Configurations of a periodic lattice to one logit each, the same for a shifted configuration.

    Parameters
    ----------
    event_shape : (height, width) or (channel, height, width) of a configuration.
    n_outputs : Numbers that are given of each configuration.
    activation : A key of `reverie.networks.mlp.ACTIVATIONS`.
    """

    def __init__(self, event_shape: tuple[int, ...], *, n_outputs: int = 1, activation: str = "silu") -> None:
        super().__init__()
        self.shape = as_channels(tuple(event_shape))
        channels, height, breadth = self.shape
        self.first = CircularConv2d(channels, _WIDTH, 3, padding=1)
        self.grids = _grids_of_blocks(height, breadth, _WIDTH, activation)
        self.activation = make_activation(activation)
        self.scale = math.sqrt(height * breadth) / 2  # means over the sites scatter by the inverse of the root
        self.dense = nn.Sequential(
            nn.Linear(2 * _WIDTH * len(self.grids), _DENSE), make_activation(activation), nn.Linear(_DENSE, n_outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map configurations (batch, *event) to logits (batch, n_outputs)."""
        h = self.first(x.reshape(-1, *self.shape))
        features: list[Tensor] = []
        for k, blocks in enumerate(self.grids):
            h = blocks(h if k == 0 else 2 * avg_pool2d(h, 2))
            phi = self.activation(h)
            mean = phi.mean((2, 3))
            features += [mean, (phi - mean[:, :, None, None]).square().mean((2, 3))]
        return self.dense(self.scale * torch.cat(features, dim=1))
