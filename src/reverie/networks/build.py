"""From what a user writes to a network: a name, hidden widths, a module or a factory.

"mlp"        three hidden layers of 128
"residual"   three residual blocks of width 128
"dcgan"      the convolutional pair of `reverie.networks.conv`
"auto"       "dcgan" for images of at least 16 pixels a side, else "mlp"
(100,)       a perceptron with these hidden widths
nn.Module    a copy of it is trained: noise (batch, n_noise) -> samples, or samples (batch, *event) -> (batch, 1)
factory      called with (n_noise, event_shape) or (event_shape,), returns such a module
"""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.random import as_seed
from reverie.networks.conv import ConvDiscriminator, ConvGenerator
from reverie.networks.init import initialise
from reverie.networks.mlp import MLP, ResidualMLP

__all__ = ["build_discriminator", "build_generator", "has_batch_norm", "resolved_name"]

_GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "mlp": lambda n_noise, shape, activation: _perceptron_generator(
        n_noise, shape, activation, hidden=_hidden(math.prod(shape))
    ),
    "residual": lambda n_noise, shape, activation: ResidualMLP(n_noise, math.prod(shape), activation=activation),
    "dcgan": lambda n_noise, shape, activation: ConvGenerator(n_noise, shape),
}
_DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "mlp": lambda shape, activation: _perceptron_discriminator(shape, activation, hidden=_hidden(math.prod(shape))),
    "residual": lambda shape, activation: nn.Sequential(
        nn.Flatten(), ResidualMLP(math.prod(shape), 1, activation=activation)
    ),
    "dcgan": lambda shape, activation: ConvDiscriminator(shape),
}
_SMALLEST_CONV_SIDE = 16  # below this a perceptron of the same cost is as good


def build_generator(
    spec: Any,
    *,
    n_noise: int,
    event_shape: tuple[int, ...],
    random_generator: torch.Generator,
    activation: str = "silu",
) -> nn.Module:
    """Return the generator network, noise (batch, n_noise) -> raw samples, flat or of the event's shape.

    Parameters
    ----------
    spec : a name, hidden widths, a module or a factory (see the module docstring).
    n_noise : latent size.
    event_shape : shape of one sample as the network sees it.
    random_generator : source of the initial weights.
    activation : of the perceptrons, a key of `reverie.networks.mlp.ACTIVATIONS`; the others have their own.

    Raises
    ------
    InputError
        For an unknown name or an unusable specification.
    """
    if isinstance(spec, str):
        maker = check_choice("generator", resolved_name(spec, event_shape), _GENERATORS)
    elif _is_widths(spec):
        maker = partial(_perceptron_generator, hidden=tuple(spec))
    else:
        return _user_network(spec, (n_noise, event_shape), random_generator)
    return _initialised(maker, (n_noise, event_shape, activation), random_generator)


def build_discriminator(
    spec: Any, *, event_shape: tuple[int, ...], random_generator: torch.Generator, activation: str = "silu"
) -> nn.Module:
    """Return the discriminator network, samples (batch, *event) -> logits (batch, 1).

    Parameters and errors as in `build_generator`.
    """
    if isinstance(spec, str):
        maker = check_choice("discriminator", resolved_name(spec, event_shape), _DISCRIMINATORS)
    elif _is_widths(spec):
        maker = partial(_perceptron_discriminator, hidden=tuple(spec))
    else:
        return _user_network(spec, (event_shape,), random_generator)
    return _initialised(maker, (event_shape, activation), random_generator)


def has_batch_norm(network: nn.Module) -> bool:
    """Tell whether any layer normalises over the batch, which gradient penalties do not allow."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())


def resolved_name(name: str, event_shape: tuple[int, ...]) -> str:
    """Return the network that `name` stands for, "auto" resolved by the shape of one sample."""
    if name != "auto":
        return name
    return "dcgan" if len(event_shape) > 1 and min(event_shape[-2:]) >= _SMALLEST_CONV_SIDE else "mlp"


def _hidden(n_features: int) -> tuple[int, int, int]:
    width = 128 if n_features <= 32 else 256 if n_features <= 128 else 512
    return (width, width, width)


def _is_widths(spec: Any) -> bool:
    return isinstance(spec, (tuple, list)) and all(isinstance(width, int) and width > 0 for width in spec)


def _perceptron_generator(
    n_noise: int, shape: tuple[int, ...], activation: str, *, hidden: tuple[int, ...]
) -> nn.Module:
    return MLP(n_noise, math.prod(shape), hidden=hidden, activation=activation)


def _perceptron_discriminator(shape: tuple[int, ...], activation: str, *, hidden: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), MLP(math.prod(shape), 1, hidden=hidden, activation=activation))


def _initialised(maker: Callable[..., nn.Module], arguments: tuple, random_generator: torch.Generator) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # torch draws first weights of its own: leave its state as it was
        network = maker(*arguments)
    return initialise(network, random_generator)


def _user_network(spec: Any, arguments: tuple, random_generator: torch.Generator) -> nn.Module:
    if isinstance(spec, nn.Module):
        return copy.deepcopy(spec)  # training must not change what the user passed as configuration
    if not callable(spec):
        raise InputError(
            f"Expected a network name, hidden widths, a torch module or a factory, got {spec!r}. "
            "Use 'mlp', 'residual', 'dcgan', (128, 128), or your own nn.Module."
        )
    with torch.random.fork_rng(devices=[]):  # a user's factory draws from torch's global state: lend it ours
        torch.manual_seed(as_seed(random_generator))
        network = spec(*arguments)
    if not isinstance(network, nn.Module):
        raise InputError(
            f"Expected the network factory to return a torch module, got {type(network).__name__}. "
            "Return an nn.Module from it."
        )
    return network
