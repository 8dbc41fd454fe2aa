r"""How a variational autoencoder learns, and how its likelihood is estimated.

A step minimises minus the ELBO (one draw, the divergence in closed form) or minus L_k (k draws), of
`reverie.objectives.variational`, by Adam, in nats per event. Grey values that stand for probabilities are drawn as bits
anew at each step. What samples are drawn from is an exponential average of the weights along their path.

The likelihood is that of importance sampling from q(z | x), in float64, with noise that belongs to the event: its seed
is made of the features, so that an event gets the same value alone and among others.
"""

import copy
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.random import child_seed
from reverie.models.vae_network import VariationalNetwork, drawn_bits
from reverie.networks.noise import set_noise_generator
from reverie.objectives.variational import active_units, elbo, importance_estimate, iwae_bound
from reverie.training.averaging import ema_decay, ema_update
from reverie.training.monitor import Observation
from reverie.training.optimizers import learning_rate_factor, make_optimizer

__all__ = ["Schedule", "VariationalLearner", "bits_of", "estimated_log_prob", "latent_means"]

Rows = Mapping[str, Tensor]
_ROWS_AT_ONCE = 16_384  # latent vectors decoded together when nothing is learnt
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


class VariationalLearner:
    """Trains a `VariationalNetwork`; a `reverie.models.course.Learner`.

    Parameters
    ----------
    network : to train.
    schedule : how.
    """

    def __init__(self, network: VariationalNetwork, schedule: Schedule) -> None:
        self.network, self.schedule = network.train(), schedule
        self.average = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self.step, self.rate_factor = 0, 1.0
        weights = list(network.parameters())
        self.optimizer = make_optimizer("adam", weights, learning_rate=schedule.learning_rate, betas=(0.9, 0.999))

    def train_step(self, batch: Rows, generator: torch.Generator) -> dict[str, Tensor]:
        """Take a step; return loss, reconstruction and divergence in nats per event."""
        set_noise_generator(self.network, generator)
        x = bits_of(batch["x"], generator) if self.schedule.draws_bits else batch["x"]
        bound, told = self._bound(self.network, x, batch.get("condition"), generator)
        loss = -(bound * batch["weight"] if "weight" in batch else bound).mean()
        factor = self.rate_factor * learning_rate_factor(self.step, self.schedule.max_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        decay = ema_decay(self.step, self.schedule.ema_decay)
        ema_update(list(self.average.parameters()), [p.detach() for p in self.network.parameters()], decay=decay)
        self.step += 1
        return {"loss": loss.detach()} | {name: value.detach().mean() for name, value in told.items()}

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
        scalars = {"active_units": float(n_active)} | {f"held_out_{k}": float(v.mean()) for k, v in told.items()}
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
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
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


@torch.no_grad()
def latent_means(network: VariationalNetwork, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of q(z | x) of events x (n, *event), each (n, latent)."""
    posteriors = [
        network.posterior(x[i : i + _ROWS_AT_ONCE], _rows(condition, i, _ROWS_AT_ONCE))
        for i in range(0, len(x), _ROWS_AT_ONCE)
    ]
    return torch.cat([q.mean for q in posteriors]), torch.cat([q.sd for q in posteriors])


@torch.no_grad()
def estimated_log_prob(
    network: VariationalNetwork,
    x: Tensor,
    condition: Tensor | None = None,
    *,
    n_draws: int,
    seed: int,
    draws_bits: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return log p(x) of events by importance sampling, and the standard error of each, (n,) float64, in nats.

    Parameters
    ----------
    network : in evaluation mode; its type is that of the arithmetic.
    x, condition : features (n, *event) and conditions (n, c).
    n_draws : latent vectors of an event.
    seed : root of the noise of every event.
    draws_bits : whether x are grey values, of which bits are drawn first.
    """
    dtype = network.centre.dtype
    n_events = min(max(1, _ROWS_AT_ONCE // n_draws), len(x))
    row = torch.Generator()
    noise = torch.empty(n_events, n_draws, network.n_latent)  # one buffer: millions of small draws fragment the memory
    found = torch.empty(2, len(x), dtype=torch.float64, device=x.device)
    for i in range(0, len(x), n_events):
        events = x[i : i + n_events].to(dtype)
        given = _rows(condition, i, n_events)
        for j, event in enumerate(x[i : i + n_events].cpu().numpy()):
            row.manual_seed(child_seed(seed, zlib.crc32(event.tobytes())))
            if draws_bits:
                events[j] = bits_of(events[j].cpu(), row).to(x.device)
            noise[j].normal_(generator=row)
        drawn = noise[: len(events)].transpose(0, 1).to(x.device, dtype)
        given = given if given is None else given.to(dtype)
        found[:, i : i + n_events] = torch.stack(importance_estimate(_weights(network, events, given, drawn)))
    return found[0], found[1]


def _weights(network: VariationalNetwork, x: Tensor, condition: Tensor | None, noise: Tensor) -> Tensor:
    """Return log w (draw, batch), a bounded number of decoded rows at a time."""
    n = max(1, _ROWS_AT_ONCE // len(x))
    parts = [network.log_weights(x, condition, noise[k : k + n]) for k in range(0, len(noise), n)]
    return torch.cat(parts).double()


def _rows(condition: Tensor | None, start: int, n: int) -> Tensor | None:
    return None if condition is None else condition[start : start + n]
