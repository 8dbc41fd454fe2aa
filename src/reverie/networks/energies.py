r"""Networks whose output is an energy: log p(x) = -E(x) - log Z.

    E(x) = f(x) + |x|^2 / (2 s^2)

f is a network with one output per event, and the parabola the confinement: f of a perceptron grows at most linearly,
so with it exp(-E) can be normalised whatever the weights, and at f = 0 the model is a normal distribution of width s.
Langevin chains follow grad E, so activations are smooth.

"mlp"        three hidden layers of 128 (256 for more than 32 features). Each unit of the first layer is a ridge
             a(g u.(x - c)) with a random direction u, a place c drawn like the features, N(0, 1), and a sharpness g
             that is log-uniform in [1, s]. For one or two features s = 32: distributions of events have edges far
             finer than their width, which layers that all start smooth take very long to find. For more features
             s = 1: there events are so far apart that sharp ridges learn each of them by heart
"conv"       images: halved by convolutions down to a small grid, then a dense layer. On a periodic lattice: circular
             convolutions, and f is the sum of one local energy over all sites, so it is the same for a shifted event
             and grows with the number of sites, as an energy should
"auto"       images and lattices: "conv"; else "mlp"
(64, 64)     a perceptron with these hidden widths
nn.Module    a copy of it is trained: events (batch, *event) -> (batch,) or (batch, 1); also a factory of one, called
             with (event_shape,)

References
----------
Du and Mordatch, arXiv:1903.08689 (energies of images, smooth activations); LeCun et al., "A tutorial on energy-based
learning" (2006).
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.networks.convolutional import CircularConv2d, as_channels, grids, halving
from reverie.networks.init import initialised
from reverie.networks.mlp import is_widths, make_activation
from reverie.networks.user import Specification, check_trial, user_network

__all__ = ["SMOOTH", "ConvEnergy", "EnergyNetwork", "LatticeEnergy", "RidgeMLP", "build_energy"]

SMOOTH = ("silu", "tanh", "elu")  # a kink of E is a jump of the force
_SHARPEST, _SHARP_FEATURES = 32.0, 2  # of more features than that ridges start with sharpness 1
_SMALLEST_GRID = 8  # a side of 7 is not halved again
_WIDTH, _LATTICE_WIDTH = 32, 16  # channels of the first convolution
_LATTICE_DEPTH = 3


class EnergyNetwork(nn.Module):
    """E(x) of a network f, (batch, *event) -> (batch,).

    Parameters
    ----------
    network : f, with one output per event.
    confinement : width s > 0 of the normal distribution at f = 0; None leaves the parabola out.
    """

    def __init__(self, network: nn.Module, *, confinement: float | None = 1.0) -> None:
        super().__init__()
        self.network = network
        self._precision = 0.0 if confinement is None else confinement**-2

    def forward(self, x: Tensor) -> Tensor:
        """Return the energy of each event."""
        f = self.network(x)
        if f.numel() != len(x):
            raise InputError(
                f"Expected one energy per event, got an output of shape {tuple(f.shape)} for {len(x)} events. "
                "Give the last layer one output."
            )
        f = f.reshape(len(x))
        return f + 0.5 * self._precision * x.flatten(1).square().sum(1) if self._precision else f


class RidgeMLP(nn.Module):
    """Perceptron of flattened events whose first layer starts as ridges of all widths down to 1 / sharpness."""

    def __init__(self, n_features: int, *, hidden: Sequence[int] = (128, 128, 128), activation: str = "silu") -> None:
        super().__init__()
        self.first = nn.Linear(n_features, hidden[0])
        widths = [*hidden, 1]
        layers: list[nn.Module] = [make_activation(activation)]
        for a, b in zip(widths[:-2], widths[1:-1], strict=True):
            layers += [nn.Linear(a, b), make_activation(activation)]
        self.rest = nn.Sequential(*layers, nn.Linear(widths[-2], 1))

    @torch.no_grad()
    def sharpen(self, sharpest: float, generator: torch.Generator) -> None:
        """Draw the first layer anew as ridges of sharpness 1 to `sharpest`; see the module."""
        u = torch.randn(self.first.weight.shape, generator=generator)
        g = torch.rand(len(u), 1, generator=generator).mul_(math.log(sharpest)).exp_()
        u *= g / u.norm(dim=1, keepdim=True)
        c = torch.randn(u.shape, generator=generator)
        self.first.weight.copy_(u)
        self.first.bias.copy_(-(u * c).sum(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return f (batch, 1) of x (batch, *event)."""
        return self.rest(self.first(x.flatten(1)))


class ConvEnergy(nn.Module):
    """Images to one number each: halved by convolutions, then a dense layer.

    Its `width` channels after the first layer double at every coarser grid.
    """

    def __init__(self, event_shape: tuple[int, ...], *, width: int = _WIDTH, activation: str = "silu") -> None:
        super().__init__()
        self.shape = as_channels(tuple(event_shape))
        channels, height, breadth = self.shape
        layers: list[nn.Module] = [nn.Conv2d(channels, width, kernel_size=3, padding=1), make_activation(activation)]
        sizes = grids(height, breadth, least=_SMALLEST_GRID)
        for size in sizes[:-1]:
            layers += [*halving(width, 2 * width, size), make_activation(activation)]
            width *= 2
        layers += [nn.Flatten(), nn.Linear(width * math.prod(sizes[-1]), 128), make_activation(activation)]
        self.layers = nn.Sequential(*layers, nn.Linear(128, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return f (batch, 1) of x (batch, *event)."""
        return self.layers(x.reshape(len(x), *self.shape))


class LatticeEnergy(nn.Module):
    """Sum over the sites of a periodic lattice of one local energy; the same for a shifted event.

    A local energy is made by three convolutions of kernel 3: it sees sites up to three away.
    """

    def __init__(self, event_shape: tuple[int, ...], *, activation: str = "silu") -> None:
        super().__init__()
        self.shape = as_channels(tuple(event_shape))
        channels = [self.shape[0], *[_LATTICE_WIDTH] * _LATTICE_DEPTH]
        layers: list[nn.Module] = []
        for a, b in zip(channels[:-1], channels[1:], strict=True):
            layers += [CircularConv2d(a, b, 3, padding=1), make_activation(activation)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(_LATTICE_WIDTH, 1, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return f (batch,) of x (batch, *event)."""
        return self.layers(x.reshape(len(x), *self.shape)).sum((1, 2, 3))


def build_energy(
    spec: Specification,
    *,
    event_shape: tuple[int, ...],
    random_generator: torch.Generator,
    activation: str = "silu",
    periodic: bool = False,
    confinement: float | None = 1.0,
    sharpness: float | str = "auto",
) -> EnergyNetwork:
    """Return the energy network that `spec` stands for.

    Raises `InputError` for an unknown name, widths that are none, or a table given to "conv".

    Parameters
    ----------
    spec : a name, hidden widths, a module or a factory (see the module docstring).
    event_shape, activation : shape of one event as the network sees it, and one of `SMOOTH`.
    random_generator : source of the initial weights.
    periodic : whether an image is a lattice whose opposite edges touch.
    confinement : width of the parabola, or None.
    sharpness : largest sharpness at which ridges of a perceptron start, at least 1; "auto" takes 32 for one or two
        features, else 1.
    """
    check_choice("activation", activation, dict.fromkeys(SMOOTH, True))
    if isinstance(spec, str) and spec == "auto":
        spec = "mlp" if len(event_shape) == 1 else "conv"
    if not isinstance(spec, (str, list, tuple)):
        network = user_network(spec, (event_shape,), random_generator)
        do = "Give one energy per event" + ("." if len(event_shape) == 1 else ", and begin with nn.Flatten().")
        check_trial(network, "energy", [torch.zeros(2, *event_shape)], 1, named={}, do=do)
        return EnergyNetwork(network, confinement=confinement)
    n_features = math.prod(event_shape)
    if isinstance(spec, str) and check_choice("energy", spec, {"mlp": "mlp", "conv": "conv"}) == "conv":
        make = partial(LatticeEnergy if periodic else ConvEnergy, event_shape, activation=activation)
    else:
        hidden = ((128,) * 3 if n_features <= 32 else (256,) * 3) if isinstance(spec, str) else spec
        if not hidden or not is_widths(hidden):
            raise InputError(f"Expected hidden widths of at least one layer, got {spec!r}. Give such as (128, 128).")
        make = partial(RidgeMLP, n_features, hidden=tuple(hidden), activation=activation)
    network = initialised(make, random_generator)
    if isinstance(network, RidgeMLP):
        few = n_features <= _SHARP_FEATURES
        network.sharpen((_SHARPEST if few else 1.0) if sharpness == "auto" else float(sharpness), random_generator)
    return EnergyNetwork(network, confinement=confinement)
