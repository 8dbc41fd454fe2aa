"""Sampling as one pure function of noise, as an export needs it.

    noise, condition in physical units -> features of the condition -> network -> features -> values in physical units

Every random number is an input: the noise of the network, what the law of an event draws, and the numbers that spread
whole conditions over their cells. Laws and order of the inputs are said by `Noise`. A model whose samples come
from Markov chains is no such function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.data.transforms.base import unchecked
from reverie.data.transforms.fast import FastInverse
from reverie.models.conditions import Conditions
from reverie.models.preprocessing import Preprocessing

__all__ = ["Inverse", "Noise", "OnePass", "PhysicalSampler", "physical_sampler"]

Features = Tensor | tuple[Tensor, Tensor]
Inverse = Callable[[Tensor], Tensor]

_STEP = 0.0125  # of the logarithm of the slope, between two knots of a tail


@dataclass(frozen=True)
class Noise:
    """Neighbouring columns of the noise that share a law.

    Parameters
    ----------
    law : "normal", with mean `a` and standard deviation `b`, or "uniform" on [a, b).
    n : how many columns.
    """

    law: str
    n: int
    a: float = 0.0
    b: float = 1.0

    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Return numbers (n_rows, n), float32, of this law."""
        if self.law == "normal":
            return self.a + self.b * torch.randn(n_rows, self.n, generator=generator)
        return self.a + (self.b - self.a) * torch.rand(n_rows, self.n, generator=generator)

    def __str__(self) -> str:
        return f"{self.law} {self.a:g} {self.b:g} {self.n}"


@dataclass(frozen=True)
class OnePass:
    """How a model makes features of noise.

    Parameters
    ----------
    features : noise (batch, n) float32 and features of the conditions, or None, to features (batch, *latent event),
        or to those and the probability with which each sample is to be accepted, (batch,).
    noise : laws of its columns, in order.
    networks : what `features` makes use of.
    """

    features: Callable[[Tensor, Tensor | None], Features]
    noise: Sequence[Noise]
    networks: Sequence[nn.Module]


class PhysicalSampler(nn.Module):
    """Noise, and perhaps a condition, to samples in original units.

    Parameters
    ----------
    one_pass : noise to features.
    inverse : features to values in original units, float64.
    dtype : NumPy name of the type of the training data.
    conditions : of the model, or None.
    """

    def __init__(self, one_pass: OnePass, inverse: Inverse, dtype: str, conditions: Conditions | None) -> None:
        super().__init__()
        self.networks = nn.ModuleList(one_pass.networks)
        self._features, self._inverse, self.dtype, self.conditions = one_pass.features, inverse, dtype, conditions
        blocks = [block for block in one_pass.noise if block.n]
        self._n_own = sum(block.n for block in blocks)
        n_spread = 0 if conditions is None else conditions.n_noise
        self.noise = [*blocks, Noise("uniform", n_spread)] if n_spread else blocks

    @property
    def n_noise(self) -> int:
        """Columns of the noise."""
        return sum(block.n for block in self.noise)

    @property
    def has_acceptance(self) -> bool:
        """Whether each sample comes with the probability that it is to be accepted with."""
        return len(self(*self.example(2))) > 1

    def example(self, n: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Return inputs for `n` samples: noise (n, n_noise) float32, and conditions of training events, float64."""
        generator = child_generator(seed, "example of noise")
        noise = torch.cat([block.draw(n, generator) for block in self.noise], dim=1)
        if self.conditions is None:
            return (noise,)
        return noise, torch.from_numpy(np.array(self.conditions.drawn(0, n, seed), dtype=np.float64))

    @torch.no_grad()
    def forward(self, noise: Tensor, condition: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return values (batch, *event), float64; with rejection sampling also acceptance probabilities (batch,).

        Parameters
        ----------
        noise : (batch, n_noise) float32, of the laws `noise`.
        condition : (batch, k) or (batch, *image) float64, in original units; codes for words.
        """
        with unchecked():
            given = None
            if self.conditions is not None and condition is not None:
                given = self.conditions.features_of(condition, noise[:, self._n_own :].to(torch.float64))
            made = self._features(noise[:, : self._n_own], given)
            features, *beside = made if isinstance(made, tuple) else (made,)
            x = self._inverse(features.to(torch.float64))
        kind = np.dtype(self.dtype).kind  # rounded and cut to what the type of the training data can hold
        x = torch.round(x) if kind in "iub" else x
        if kind in "iu":
            limits = np.iinfo(self.dtype)
            x = x.clamp(float(limits.min), float(limits.max))
        return (x, *beside)


class _Model(Protocol):
    """What is asked of a fitted model; `_one_pass` raises `InputError` where its samples come from Markov chains."""

    device_: torch.device
    preprocessing_: Preprocessing
    _conditions: Conditions | None

    def _one_pass(self, inverse: Inverse) -> OnePass: ...


def physical_sampler(model: _Model, *, is_graph: bool = False) -> PhysicalSampler:
    """Return the function of noise that draws the samples of a fitted `model`, which is on the processor.

    With `is_graph` quantile maps are undone all at once by one table, which makes a graph of tens of operations instead
    of thousands; it differs from the maps by 1e-8 of the spread of a column.
    """
    if torch.device(model.device_).type != "cpu":
        raise InputError(
            f"Expected a model on the processor, got one on {model.device_}. Save it, and load it with reverie.load."
        )
    prepared = model.preprocessing_
    inverse = FastInverse(prepared.transform, log_slope_step=_STEP) if is_graph else prepared.transform.inverse
    return PhysicalSampler(model._one_pass(inverse), inverse, prepared.dtype, model._conditions).eval()
