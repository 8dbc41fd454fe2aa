r"""A perceptron that classifies under noise, the discriminator of the semi-supervised game.

    h_0 = x - m + s_0 n_0,   h_l = relu(a_l) + s n_l,   a_l = c_l * (V_l h_{l-1}) / |V_l| + b_l,   l = 1 ... L
    logits = c * (V h_L) / |V| + b

with m the mean of a first batch, fresh Gaussian noise n in training and none in prediction, |V| the
norms of the rows of V, and * acting on each unit. The scales c_l of the hidden layers are set once, by
`calibrate`, such that every pre-activation has zero mean and unit variance on a first batch, and then
stay: a network that could turn up its activations would drown the noise. Only the last scale is
trained. The features of a sample are the relu(a_L) of the last hidden layer.

Weight normalisation and its initialisation by data: Salimans and Kingma, arXiv:1602.07868. The
network with noise: Salimans et al., arXiv:1606.03498.

A million normal numbers a step cost as much as the matrix products, so the noise comes from a
`NoiseStock`: windows, at positions that differ from step to step, of a stock that is drawn anew
every thousand steps. Like the batches it is a pure function of (seed, step).
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from reverie.core.random import child_generator, child_seed

__all__ = ["NoiseStock", "NoisyClassifier", "WeightNormLinear"]

_LEAST_SD = 1e-3  # a unit that hardly varies on the first batch is not blown up further
_FIRST_SD = 0.1  # of the directions V; only ratios matter, and the step size relative to it (as in the source)
_STOCK = 1 << 22  # numbers at most, 16 MiB, unless one call wants more
_STEPS_OF_A_STOCK = 1000


class NoiseStock:
    """Normal numbers for the noise of any step, without a state that would have to be saved.

    Parameters
    ----------
    seed : root of all numbers.
    largest : most numbers that one call of `normal` may ask for.
    device : where they are wanted.
    """

    def __init__(self, seed: int, *, largest: int, device: str | torch.device = "cpu") -> None:
        self._seed, self._device, self._size = seed, torch.device(device), max(2 * largest, min(_STOCK, 16 * largest))
        self._number, self._numbers = -1, torch.empty(0)
        self._starts = np.random.default_rng(0)

    def at(self, step: int) -> Self:
        """Make ready for the calls of `step` (0, 1, ...), whatever came before; return itself."""
        number = step // _STEPS_OF_A_STOCK
        if number != self._number:
            source = child_generator(self._seed, "stock", number, device=self._device)
            self._number, self._numbers = number, torch.randn(self._size, generator=source, device=self._device)
        self._starts = np.random.default_rng(child_seed(self._seed, "windows", step))
        return self

    def normal(self, shape: torch.Size) -> Tensor:
        """Return numbers of N(0, 1) of the given shape; a view, not to be written to."""
        n = shape.numel()
        start = int(self._starts.integers(self._size - n))
        return self._numbers[start : start + n].view(shape)


class WeightNormLinear(nn.Module):
    """Linear layer c * (V x) / |V| + b, x (batch, n_inputs) to (batch, n_outputs)."""

    def __init__(
        self, n_inputs: int, n_outputs: int, *, random_generator: torch.Generator, train_scale: bool = False
    ) -> None:
        super().__init__()
        self.direction = nn.Parameter(_FIRST_SD * torch.randn(n_outputs, n_inputs, generator=random_generator))
        self.scale = nn.Parameter(torch.ones(n_outputs), requires_grad=train_scale)
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return pre-activations (batch, n_outputs)."""
        factor = self.scale / torch.linalg.vector_norm(self.direction, dim=1)
        return torch.addcmul(self.bias, x @ self.direction.t(), factor)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> Tensor:
        """Set scale and bias such that the outputs on x (batch, n_inputs) have mean 0 and variance 1; return them."""
        a = self(x)
        mean, sd = a.mean(dim=0), a.std(dim=0, correction=0).clamp(min=_LEAST_SD)
        self.scale.div_(sd)
        self.bias.sub_(mean).div_(sd)
        return (a - mean) / sd


class NoisyClassifier(nn.Module):
    """Samples (batch, *event) of `n_inputs` values to logits (batch, n_classes) and features (batch, hidden[-1]).

    There is no logit for "generated". `input_noise` and `hidden_noise` are the standard deviations s_0 and s.
    """

    offset: Tensor

    def __init__(
        self,
        n_inputs: int,
        n_classes: int,
        *,
        hidden: Sequence[int],
        input_noise: float,
        hidden_noise: float,
        random_generator: torch.Generator,
    ) -> None:
        super().__init__()
        widths = [n_inputs, *hidden]
        self.hidden = nn.ModuleList(
            WeightNormLinear(a, b, random_generator=random_generator)
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.last = WeightNormLinear(widths[-1], n_classes, random_generator=random_generator, train_scale=True)
        self.register_buffer("offset", torch.zeros(n_inputs))
        self.input_noise, self.hidden_noise = input_noise, hidden_noise

    def forward(self, x: Tensor, noise: NoiseStock | None = None) -> tuple[Tensor, Tensor]:
        """Return logits (batch, n_classes) and features (batch, hidden[-1]); without `noise` those of predictions."""
        h, features = _noised(x.flatten(1) - self.offset, self.input_noise, noise), x
        for layer in self.hidden:
            features = torch.relu(layer(h))
            h = _noised(features, self.hidden_noise, noise)
        return self.last(h), features

    @torch.no_grad()
    def calibrate(self, x: Tensor, noise: NoiseStock | None = None) -> None:
        """Set scales and biases, layer by layer, on a batch of samples x (batch, *event)."""
        self.offset.copy_(x.flatten(1).mean(dim=0))
        h = _noised(x.flatten(1) - self.offset, self.input_noise, noise)
        for layer in self.hidden:
            assert isinstance(layer, WeightNormLinear)  # a ModuleList forgets the type of its members
            h = _noised(torch.relu(layer.calibrate(h)), self.hidden_noise, noise)
        self.last.calibrate(h)


def _noised(x: Tensor, sd: float, noise: NoiseStock | None) -> Tensor:
    if noise is None or sd == 0:
        return x
    return torch.add(x, noise.normal(x.shape), alpha=sd)
