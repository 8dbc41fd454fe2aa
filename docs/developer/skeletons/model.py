"""One sentence: what the model learns and how it draws.

Symbols, equations and the paper they come from stand here; the code below uses these symbols.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.types import RandomState
from reverie.models.base import GenerativeModel
from reverie.training.loop import Record

__all__ = ["X"]


class X(GenerativeModel):
    """One sentence.

    Parameters
    ----------
    max_steps : steps of the whole run, at least 1.
    random_state : seed of weights, batches and noise.

    References
    ----------
    Author et al., arXiv:0000.00000.
    """

    def __init__(self, *, max_steps: int = 10_000, random_state: RandomState = None) -> None:
        self.max_steps = max_steps
        self.random_state = random_state

    def iter_fit(
        self, X: Any, *, resume: dict[str, Any] | None = None, stop: Callable[[], bool] | None = None
    ) -> Iterator[Record]:
        """Train on `X`, yielding records: prepare as `GAN.iter_fit` does, then ``yield from train(...)``."""
        raise NotImplementedError

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        raise NotImplementedError

    def _networks(self) -> dict[str, nn.Module]:
        raise NotImplementedError

    def _build_networks(self) -> None:
        raise NotImplementedError


class _Trainee:
    """A `Trainable`: owns the optimiser, takes one step, returns named scalars that stay on the device."""

    def train_step(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise NotImplementedError
