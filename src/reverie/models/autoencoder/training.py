"""How an autoencoder learns: squared error of the features, and perhaps noise before and a penalty on the code."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled
from reverie.models.training_run import TrainStep
from reverie.objectives.adversarial import weighted_mean
from reverie.objectives.reconstruction import kl_sparsity, l1_sparsity, squared_error
from reverie.training.descent import Descent
from reverie.training.monitor import Observation
from reverie.training.optimizers import learning_rate_factor

__all__ = ["ReconstructionStep", "in_evaluation"]

Rows = Mapping[str, Tensor]
_ROWS_AT_ONCE = 4096


class ReconstructionStep(TrainStep):
    """Takes the steps of an encoder and a decoder.

    Parameters
    ----------
    networks : "encoder" and "decoder".
    max_steps : length of the run.
    learning_rate : at the start.
    noise : standard deviation of the noise that is added to the features.
    weight : of the penalty on the code, >= 0.
    target : mean activation rho of the KL penalty; None is L1.
    compile : as in `reverie.compile.step.Compiled`.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        max_steps: int,
        learning_rate: float,
        noise: float,
        weight: float,
        target: float | None,
        compile: bool | str = False,
    ) -> None:
        self.encoder, self.decoder = networks["encoder"].train(), networks["decoder"].train()
        self.max_steps, self.learning_rate = max_steps, learning_rate
        self.noise, self.weight, self.target = noise, weight, target
        weights = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.descent = Descent(weights, "adam", learning_rate=learning_rate, betas=(0.9, 0.999))
        self.compiled = Compiled(self._update, mode=compile, n_calls=max_steps)

    def train_step(self, batch: Rows, generator: torch.Generator) -> dict[str, Tensor]:
        """Take a step; return loss and squared error per event."""
        rate = self.learning_rate * learning_rate_factor(self.step, self.max_steps) * self.rate_factor
        scalars = self.compiled((dict(batch), rate), generator)
        self.step += 1
        return scalars

    def _update(self, inputs: tuple[Rows, float | Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        batch, rate = inputs
        x = batch["x"]
        noise = torch.randn(x.shape, generator=generator, device=x.device) if self.noise else None
        code = self.encoder(x if noise is None else x + self.noise * noise)
        error = squared_error(x.flatten(1), self.decoder(code))
        penalty = l1_sparsity(code) if self.target is None else kl_sparsity(code, target=self.target).expand(len(x))
        losses = error + self.weight * penalty if self.weight else error
        loss = weighted_mean(losses, batch.get("weight"))
        self.descent.along(loss, rate)
        return {"loss": loss.detach(), "reconstruction": error.detach().mean()}

    def networks(self) -> Mapping[str, nn.Module]:
        """Return both networks."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    @torch.no_grad()
    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return the squared error of each held-out row."""
        x = held_out["x"]
        y = in_evaluation(self.decoder, in_evaluation(self.encoder, x))
        return Observation(self.step, losses=squared_error(x.flatten(1), y))

    def state_dict(self) -> dict[str, Any]:
        """Return all that an exact resume needs."""
        state = {name: network.state_dict() for name, network in self.networks().items()}
        return {"step": self.step, "rate_factor": self.rate_factor, "optimizer": self.descent.state_dict(), **state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        for name, network in self.networks().items():
            network.load_state_dict(state[name])
        self.descent.load_state_dict(state["optimizer"])
        self.step, self.rate_factor = state["step"], state["rate_factor"]


@torch.no_grad()
def in_evaluation(network: nn.Module, rows: Tensor) -> Tensor:
    """Return the outputs for all rows, in blocks, without dropout; the mode of the network stays as it was."""
    was_training = network.training
    network.eval()
    outputs = torch.cat([network(rows[i : i + _ROWS_AT_ONCE]) for i in range(0, len(rows), _ROWS_AT_ONCE)])
    network.train(was_training)
    return outputs
