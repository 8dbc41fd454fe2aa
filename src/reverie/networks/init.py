"""Initial weights drawn from an explicit generator.

torch draws initial weights from its global state. `initialise` draws them again, from the same
distributions, out of a generator that belongs to the run:

    W ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)),   b ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in))

which is the rule of LeCun et al., "Efficient BackProp" (1998), as torch scales it for `nn.Linear`
and the convolutions. Layers that a network marked with ``zero_init = True`` start at zero, so that
a residual block starts as the identity (Fixup: Zhang et al., arXiv:1901.09321). The weights of layers marked with
``gain = g`` are g times as large.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

__all__ = ["initialise", "initialised"]

Network = TypeVar("Network", bound=nn.Module)

_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@torch.no_grad()
def initialise(network: Network, generator: torch.Generator, *, allow_zero: bool = True) -> Network:
    """Draw all linear and convolutional weights of `network` anew from `generator`; return the network.

    Layers marked with ``zero_init`` start at zero where that is allowed. Spectral normalisation, which divides by the
    largest singular value, does not.
    """
    for layer in network.modules():
        if not isinstance(layer, _LAYERS):
            continue
        fan_in, _ = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        bound = 0.0 if allow_zero and getattr(layer, "zero_init", False) else 1 / math.sqrt(fan_in)
        gain = float(getattr(layer, "gain", 1.0))
        layer.weight.uniform_(-gain * bound, gain * bound, generator=generator)
        if layer.bias is not None:
            layer.bias.uniform_(-bound, bound, generator=generator)
    return network


def initialised(make: Callable[[], Network], generator: torch.Generator, *, allow_zero: bool = True) -> Network:
    """Return the network that `make` builds, its weights from `generator`, and leave torch's random state as it was."""
    with torch.random.fork_rng(devices=[]):  # torch draws first weights of its own
        network = make()
    return initialise(network, generator, allow_zero=allow_zero)
