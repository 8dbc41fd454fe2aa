r"""How a variational autoencoder learns.

A step minimises minus the ELBO (one draw, the divergence in closed form) or minus L_k (k draws), of
`reverie.objectives.variational`, by Adam, in nats per event. Grey values that stand for probabilities are drawn as bits
anew at each step. What samples are drawn from is an exponential average of the weights along their path.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled
from reverie.core.statistics import weighted_mean
from reverie.models.training_run import TrainStep
from reverie.models.vae.networks import VariationalNetwork, drawn_bits
from reverie.networks.noise import set_noise_generator
from reverie.objectives.variational import active_units, elbo, iwae_bound
from reverie.training.averaging import ema_decay, ema_update
from reverie.training.descent import Descent
from reverie.training.monitor import Observation
from reverie.training.optimizers import learning_rate_factor

__all__ = ["Schedule", "VariationalLearner", "bits_of"]

Rows = Mapping[str, Tensor]
_SETTLED = 0.25  # of the run, before which units may still wake up
_COLLAPSED = (
    "No latent unit is active: samples have independent features.",
    "Lower beta or decoder_variance, or use n_importance=5. If the columns are independent, all is well.",
)


@dataclass(frozen=True)
class Schedule:
    """What a step is made of; the options of the models by the same names."""

    max_steps: int
    learning_rate: float
    beta: float
    n_importance: int
    draws_bits: bool
    ema_decay: float
    compile: bool | str = False


class VariationalLearner(TrainStep):
    """Trains a `VariationalNetwork`; a `reverie.models.training_run.TrainStep`.

    Parameters
    ----------
    network : to train.
    schedule : how.
    """

    def __init__(self, network: VariationalNetwork, schedule: Schedule) -> None:
        self.network, self.schedule = network.train(), schedule
        self.average = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self.step, self.rate_factor = 0, 1.0
        rate = schedule.learning_rate
        self.descent = Descent(network.parameters(), "adam", learning_rate=rate, betas=(0.9, 0.999))
        self.compiled = Compiled(self._update, mode=schedule.compile, n_calls=schedule.max_steps)

    def train_step(self, batch: Rows, generator: torch.Generator) -> dict[str, Tensor]:
        """Take a step; return loss, reconstruction and divergence in nats per event."""
        set_noise_generator(self.network, generator)
        rate = self.schedule.learning_rate * learning_rate_factor(self.step, self.schedule.max_steps) * self.rate_factor
        numbers = {"rate": rate, "decay": ema_decay(self.step, self.schedule.ema_decay)}
        told = self.compiled((dict(batch), numbers), generator)
        self.step += 1
        return told

    def _update(self, inputs: tuple[Rows, Mapping[str, Any]], generator: torch.Generator) -> dict[str, Tensor]:
        batch, numbers = inputs
        x = bits_of(batch["x"], generator) if self.schedule.draws_bits else batch["x"]
        bound, told = self._bound(self.network, x, batch.get("condition"), generator)
        loss = -(bound * batch["weight"] if "weight" in batch else bound).mean()
        self.descent.along(loss, numbers["rate"])
        current = [p.detach() for p in self.network.parameters()]
        ema_update(list(self.average.parameters()), current, decay=numbers["decay"])
        return {"loss": loss.detach()} | {name: value.detach().mean() for name, value in told.items()}

    def trained(self) -> list[nn.Module]:
        """Return the networks whose weights are trained."""
        return [self.network]

    def networks(self) -> Mapping[str, nn.Module]:
        """Return the averaged network; buffers are those of the present one."""
        for averaged, present in zip(self.average.buffers(), self.network.buffers(), strict=True):
            averaged.copy_(present)
        return {"network": self.average}

    @torch.no_grad()
    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return minus the bound of each held-out row, as many samples, and how many latent units are active."""
        network: Any = self.networks()["network"].eval()
        x, condition = held_out["x"], held_out.get("condition")
        x = bits_of(x, generator) if self.schedule.draws_bits else x
        bound, told = self._bound(network, x, condition, generator)
        z = torch.randn(len(x), network.n_latent, generator=generator, device=x.device)
        generated = network.law.draw(network.decoder(z, condition), generator).reshape(x.shape)
        n_active = int(active_units(network.posterior(x, condition).mean).sum()) if len(x) > 1 else network.n_latent
        scalars = {"active_units": float(n_active)}
        scalars |= {f"held_out_{k}": float(weighted_mean(v, held_out.get("weight"))) for k, v in told.items()}
        settled = self.step >= _SETTLED * self.schedule.max_steps
        signs = {"posterior collapse": _COLLAPSED} if n_active == 0 and settled else {}
        return Observation(self.step, losses=-bound, generated=generated, scalars=scalars, signs=signs)

    def state_dict(self) -> dict[str, Any]:
        """Return all that an exact resume needs."""
        return {
            "step": self.step,
            "rate_factor": self.rate_factor,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.descent.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.descent.load_state_dict(state["optimizer"])
        self.step, self.rate_factor = state["step"], state["rate_factor"]

    def _bound(
        self, network: VariationalNetwork, x: Tensor, condition: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the bound of each event (batch,), and its two parts."""
        k = self.schedule.n_importance
        noise = torch.randn(k, len(x), network.n_latent, generator=generator, device=x.device)
        if k > 1:
            return iwae_bound(network.log_weights(x, condition, noise, beta=self.schedule.beta)), {}
        posterior, log_likelihood = network.terms(x, condition, noise)
        kl = posterior.kl()
        parts = {"reconstruction": -log_likelihood[0], "kl": kl}
        return elbo(log_likelihood[0], kl, beta=self.schedule.beta), parts


def bits_of(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Return bits -1 or 1 drawn with the probabilities (1 + x) / 2 that grey values x in [-1, 1] stand for."""
    return drawn_bits((grey + 1) / 2, generator)
