"""One sentence: what the model learns and how it draws.

Symbols, equations and the paper they come from stand here; the code below uses these symbols.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.arguments import Count, Positive
from reverie.core.random import child_generator
from reverie.models.averaged_step import AveragedStep
from reverie.models.likelihood import LikelihoodModel
from reverie.models.options import estimator
from reverie.models.training_run import TrainStep
from reverie.networks.init import initialise
from reverie.training.monitor import Observation

__all__ = ["X"]


@estimator
class X(LikelihoodModel):
    """One sentence. A model without a likelihood derives from `GenerativeModel` and has no `_log_prob`.

    The fields of the class are the arguments of its constructor; those that all models share come with
    the parent, and so do their sentences here. One that needs another default is declared again.

    Parameters
    ----------
    learning_rate : step size of the optimiser, > 0.

    References
    ----------
    Author et al., arXiv:0000.00000.
    """

    references = ()  # keys of `core/references.bib` that `reverie cite` prints for a run of the model
    search_space = "learning_rate=1e-4:1e-1:log,batch_size=64|256"  # what `reverie tune` varies unless --space is given

    learning_rate: Positive = 1e-3
    max_steps: Count = 2_500

    def _fresh_networks(self) -> dict[str, nn.Module]:
        n = self.preprocessing_.transform.output_shape[0]
        return {"law": initialise(_Normal(n), child_generator(self.seed_, "weights"))}

    def _train_step(self, networks: dict[str, nn.Module], train: Mapping[str, Tensor]) -> TrainStep:
        rate = {"learning_rate": self.learning_rate, "max_steps": self.max_steps, "compile": self.compile}
        return _Step(networks["law"], **rate, ema_decay=0.0)  # a decay of 0 keeps the last weights

    def _log_prob(self, features: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, float]:
        return -self._networks()["law"](features).double(), 0.0

    def _drawer(
        self, n_samples: int, seed: int, *, condition: Any = None
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        law: Any = self._networks()["law"]
        return lambda start, n, noise: law.draw(n, noise)


class _Normal(nn.Module):
    """Independent normal features: -log p(x) = sum_i (x_i - m_i)^2 / 2 + log(2 pi) / 2."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.m = nn.Parameter(torch.zeros(n))

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.m).square() + 1.8378770664093453).sum(dim=1) / 2

    @torch.no_grad()
    def draw(self, n: int, noise: torch.Generator) -> Tensor:
        return self.m + torch.randn(n, len(self.m), generator=noise, device=noise.device)


class _Step(AveragedStep[_Normal]):
    """What a step descends, and what a check looks at; the optimiser, the average and the state are the parent's.

    `loss` may be compiled: it changes tensors in place, binds none anew, and draws only from `generator`.
    """

    def loss(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return (self.network(batch["x"]) * batch.get("weight", 1.0)).mean(), {}

    def networks(self) -> Mapping[str, nn.Module]:
        return {"law": self.averaged()}

    @torch.no_grad()
    def observe(
        self, held_out: Mapping[str, Tensor], train: Mapping[str, Tensor], generator: torch.Generator
    ) -> Observation:
        law = self.averaged()
        return Observation(self.step, losses=law(held_out["x"]), generated=law.draw(len(held_out["x"]), generator))
