"""How an autoencoder learns: squared error of the features, and perhaps noise before and a penalty on the code."""

from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor, nn

from reverie.models.averaged_step import AveragedStep, Descending
from reverie.objectives.adversarial import batch_mean
from reverie.objectives.reconstruction import kl_sparsity, l1_sparsity, squared_error
from reverie.training.monitor import Observation

__all__ = ["ReconstructionStep", "in_evaluation"]

Rows = Mapping[str, Tensor]
_ROWS_AT_ONCE = 4096


class ReconstructionStep(AveragedStep[nn.ModuleDict]):
    """Takes the steps of an "encoder" and a "decoder".

    Parameters
    ----------
    networks : of these names.
    noise : standard deviation of the noise that is added to the features.
    weight : of the penalty on the code, >= 0.
    target : mean activation rho of the KL penalty; None is L1.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        *,
        noise: float,
        weight: float,
        target: float | None,
        **how: Unpack[Descending],
    ) -> None:
        super().__init__(nn.ModuleDict(networks), **how)
        self.noise, self.weight, self.target = noise, weight, target

    def loss(self, batch: Rows, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean squared error per event with the penalty, and that error alone."""
        x = batch["x"]
        noise = torch.randn(x.shape, generator=generator, device=x.device) if self.noise else None
        code = self.network["encoder"](x if noise is None else x + self.noise * noise)
        error = squared_error(x.flatten(1), self.network["decoder"](code))
        penalty = l1_sparsity(code) if self.target is None else kl_sparsity(code, target=self.target).expand(len(x))
        losses = error + self.weight * penalty if self.weight else error
        return batch_mean(losses, batch.get("weight")), {"reconstruction": error.detach().mean()}

    def networks(self) -> Mapping[str, nn.Module]:
        """Return both networks."""
        return dict(self.averaged().items())

    @torch.no_grad()
    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return the squared error of each held-out row."""
        x, networks = held_out["x"], self.networks()
        y = in_evaluation(networks["decoder"], in_evaluation(networks["encoder"], x))
        return Observation(self.step, losses=squared_error(x.flatten(1), y))


@torch.no_grad()
def in_evaluation(network: nn.Module, rows: Tensor) -> Tensor:
    """Return the outputs for all rows, in blocks, without dropout; the mode of the network stays as it was."""
    was_training = network.training
    network.eval()
    outputs = torch.cat([network(rows[i : i + _ROWS_AT_ONCE]) for i in range(0, len(rows), _ROWS_AT_ONCE)])
    network.train(was_training)
    return outputs
