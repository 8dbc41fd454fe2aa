"""Layers that draw random numbers while a network trains, from a generator that belongs to the run.

    dropout           y = x m / (1 - p),   m ~ Bernoulli(1 - p) for each entry
    Gaussian noise    y = x + s e,         e ~ N(0, 1) for each entry

torch's own `nn.Dropout` draws from the global random state, which neither a seed of ours nor an exact
resume controls. These layers hold a `torch.Generator` that a training run sets by `set_noise_generator`.
In evaluation mode both are the identity. Dropout: Srivastava et al., JMLR 15, 1929 (2014); noise at
the input of a discriminator: Arjovsky and Bottou, arXiv:1701.04862.
"""

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError

__all__ = ["Dropout", "GaussianNoise", "NoiseLayer", "seeded", "set_noise_generator"]

_WORDS = 1 << 32  # values of 32 random bits


class NoiseLayer(nn.Module):
    """A layer that holds a generator of random numbers; copies and stored states of it hold none."""

    def __init__(self) -> None:
        super().__init__()
        self.generator: torch.Generator | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "generator": None}  # a generator is the run's, and cannot be copied

    def source(self) -> torch.Generator:
        """Return the generator; raise `InputError` when none was set."""
        if self.generator is None:
            raise InputError(
                "Expected a random generator in a layer that draws while training, got none. Call "
                "reverie.networks.noise.set_noise_generator(network, generator), or network.eval() for no noise."
            )
        return self.generator


class Dropout(NoiseLayer):
    """Set entries to zero with probability `p` and strengthen the others by 1 / (1 - p), while training.

    Random bits are compared with p, which takes a third of the time of `Tensor.bernoulli_`. Raises `InputError` for p
    out of range, or when called in training mode without a generator.

    Parameters
    ----------
    p : in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise InputError(f"Expected a dropout probability in [0, 1), got {p}. Use 0 for none.")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return x with entries dropped, or x itself in evaluation mode."""
        if not self.training or self.p == 0:
            return x
        numbers = x.new_empty(-(-x.numel() // 2), dtype=torch.int64)  # of `x`: vmap draws for each slice
        numbers = numbers.random_(-(2**63), None, generator=self.source())
        try:  # int32, all values alike: two from each number that the generator makes
            words = numbers.view(torch.int32)
        except RuntimeError:  # vmap of PyTorch 2.9 cannot look at the same memory as another type
            words = torch.stack([numbers << 32 >> 32, numbers >> 32], dim=-1).flatten().to(torch.int32)
        words = words[: x.numel()]
        if x.ndim == 4 and x.stride(1) == 1:  # in memory as `x`, whose channels are last
            words = words.view(x.movedim(1, -1).shape).movedim(-1, 1)
        kept = words.view(x.shape) >= int(self.p * _WORDS) - _WORDS // 2
        return x * kept * (1 / (1 - self.p))

    def extra_repr(self) -> str:
        """Return what the layer prints beside its name."""
        return f"p={self.p}"


class GaussianNoise(NoiseLayer):
    """Add N(0, sd^2) to every entry, while training.

    Raises `InputError` for a negative sd, or when called in training mode without a generator.

    Parameters
    ----------
    sd : standard deviation, at least 0.
    """

    def __init__(self, sd: float) -> None:
        super().__init__()
        if sd < 0:
            raise InputError(f"Expected a standard deviation >= 0 of the noise, got {sd}. Use 0 for none.")
        self.sd = sd

    def forward(self, x: Tensor) -> Tensor:
        """Return x with noise, or x itself in evaluation mode."""
        if not self.training or self.sd == 0:
            return x
        return x + self.sd * torch.empty_like(x).normal_(generator=self.source())

    def extra_repr(self) -> str:
        """Return what the layer prints beside its name."""
        return f"sd={self.sd}"


def set_noise_generator(network: nn.Module, generator: torch.Generator | None) -> None:
    """Let every noise layer of `network` draw from `generator`, which must be on the network's device."""
    for layer in network.modules():
        if isinstance(layer, NoiseLayer):
            layer.generator = generator


def seeded(network: nn.Module) -> nn.Module:
    """Put `Dropout` in place of every `nn.Dropout`, so that the seed of a run reaches it; return the network."""
    if type(network) is nn.Dropout:
        return Dropout(network.p).train(network.training)
    for path, layer in list(network.named_modules()):
        if type(layer) is nn.Dropout:
            network.set_submodule(path, Dropout(layer.p).train(layer.training))
    return network
