"""The adversarial game: two networks, two optimisers and one step.

One step is one full round, counted once: `n_critic` steps of the discriminator D, each on its own
rows, then one step of the generator G, then one of its average.

    D:  minimise  loss_D(D(x), D(G(z))) + penalty      over the weights of D
    G:  minimise  loss_G(D(x), D(G(z)))                over the weights of G
    w_ema <- beta w_ema + (1 - beta) w

The penalty may be taken every k-th step only, k times as strong, which leaves its mean pull on the
weights and saves most of its second derivatives ("lazy regularisation", Karras et al., arXiv:1912.04958).
Real and generated samples go through D in one forward pass. The last generated batch of the
discriminator's turn serves the generator's turn too, its graph kept, so G runs forward `n_critic`
times a step and not once more.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.models.shaped import ShapedGenerator
from reverie.objectives.adversarial import Objective, equilibrium_outputs
from reverie.objectives.penalties import between, gradient_norm_penalty, squared_gradient_norm, zero_centred_penalty
from reverie.training.averaging import ema_decay, ema_update
from reverie.training.optimizers import learning_rate_factor, make_optimizer

__all__ = ["AdversarialGame", "GameSettings", "draw_noise"]


@dataclass(frozen=True)
class GameSettings:
    """Numbers of the game; meanings and ranges stand at `reverie.models.gan.GAN`."""

    penalty_weight: float
    penalty_every: int
    n_critic: int
    n_noise: int
    noise_prior: str
    optimizer: str
    generator_rate: float
    discriminator_rate: float
    betas: tuple[float, float]
    hold: float
    ema_decay: float
    max_steps: int


class AdversarialGame:
    """A `Trainable` made of a generator G and a discriminator D.

    Parameters
    ----------
    G : noise (batch, n_noise) -> samples (batch, *event).
    D : samples (batch, *event) -> logits (batch, 1) or (batch,).
    objective : losses and sort of penalty.
    settings : numbers of the game.
    """

    def __init__(self, G: ShapedGenerator, D: nn.Module, objective: Objective, settings: GameSettings) -> None:
        self.G, self.D = G, D
        self.averaged = copy.deepcopy(G).eval().requires_grad_(requires_grad=False) if settings.ema_decay > 0 else None
        self.objective, self.settings = objective, settings
        self._g_weights, self._d_weights = list(G.parameters()), list(D.parameters())
        s = settings
        self._g_optimizer = make_optimizer(s.optimizer, self._g_weights, learning_rate=s.generator_rate, betas=s.betas)
        self._d_optimizer = make_optimizer(
            s.optimizer, self._d_weights, learning_rate=s.discriminator_rate, betas=s.betas
        )
        self.step = 0

    def train_step(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Take one round on `batch` (n_critic * batch_size, *event); return losses, D(real), D(fake)."""
        self._set_learning_rates()
        scalars: dict[str, Tensor] = {}
        for real in batch.chunk(self.settings.n_critic):
            fake = self.G(self._noise(len(real), generator))
            scalars = self._discriminator_step(real, fake.detach(), generator)
        scalars["g_loss"] = self._generator_step(real, fake)  # pyright: ignore[reportPossiblyUnboundVariable]
        if self.averaged is not None:
            self._update_average(self.averaged)
        self.step += 1
        return scalars

    def draw(self, z: Tensor) -> Tensor:
        """Return samples (batch, *event) of noise z (batch, n_noise), drawn in evaluation mode without gradients."""
        network = self.drawing_network
        training = network.training
        with torch.no_grad():
            samples = network.eval()(z)
        network.train(training)
        return samples

    @property
    def drawing_network(self) -> ShapedGenerator:
        """The network that samples come from: the average of G, or G itself when none is kept."""
        return self.G if self.averaged is None else self.averaged

    def _update_average(self, averaged: nn.Module) -> None:
        decay = ema_decay(self.step, self.settings.ema_decay)
        ema_update(list(averaged.parameters()), self._g_weights, decay=decay)
        for average, current in zip(averaged.buffers(), self.G.buffers(), strict=True):
            average.copy_(current)

    def _noise(self, n: int, generator: torch.Generator) -> Tensor:
        return draw_noise(n, self.settings.n_noise, prior=self.settings.noise_prior, generator=generator)

    def _set_learning_rates(self) -> None:
        s = self.settings
        factor = learning_rate_factor(self.step, s.max_steps, hold=s.hold)
        self._g_optimizer.param_groups[0]["lr"] = s.generator_rate * factor
        self._d_optimizer.param_groups[0]["lr"] = s.discriminator_rate * factor

    def _discriminator_step(self, real: Tensor, fake: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        penalised = self._penalised()
        both = torch.cat([real, fake])
        if penalised and self.objective.penalty == "zero_centred":
            both.requires_grad_()
        logits = self.D(both)
        a_real, a_fake = logits.chunk(2)
        loss = self.objective.discriminator(a_real, a_fake)
        scalars = {"d_loss": loss.detach()}
        if penalised:
            loss = loss + self._penalty(logits, both, generator)
        _descend(self._d_optimizer, self._d_weights, loss)
        with torch.no_grad():
            outputs = equilibrium_outputs(a_real, a_fake, log_odds=self.objective.log_odds)
        scalars["d_real"], scalars["d_fake"] = outputs
        return scalars

    def _penalised(self) -> bool:
        s = self.settings
        return self.objective.penalty != "none" and s.penalty_weight > 0 and self.step % s.penalty_every == 0

    def _penalty(self, logits: Tensor, both: Tensor, generator: torch.Generator) -> Tensor:
        weight = self.settings.penalty_weight * self.settings.penalty_every
        if self.objective.penalty == "zero_centred":  # R1 + R2: twice the mean over real and generated together
            return 2 * zero_centred_penalty(squared_gradient_norm(logits, both), weight=weight)
        real, fake = both.chunk(2)
        x = between(real, fake, generator).requires_grad_()
        return gradient_norm_penalty(squared_gradient_norm(self.D(x), x), weight=weight)

    def _generator_step(self, real: Tensor, fake: Tensor) -> Tensor:
        if self.objective.generator_needs_real:
            a_real, a_fake = self.D(torch.cat([real, fake])).chunk(2)
        else:
            a_fake = self.D(fake)
            a_real = a_fake.detach()  # stands in: these objectives do not read it
        loss = self.objective.generator(a_real, a_fake)
        _descend(self._g_optimizer, self._g_weights, loss)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return networks, average, optimisers and the step."""
        return {
            "step": self.step,
            "G": self.G.state_dict(),
            "D": self.D.state_dict(),
            "averaged": {} if self.averaged is None else self.averaged.state_dict(),
            "g_optimizer": self._g_optimizer.state_dict(),
            "d_optimizer": self._d_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of a game of the same networks and optimisers."""
        self.step = state["step"]
        self.G.load_state_dict(state["G"])
        self.D.load_state_dict(state["D"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self._g_optimizer.load_state_dict(state["g_optimizer"])
        self._d_optimizer.load_state_dict(state["d_optimizer"])


def draw_noise(n: int, n_noise: int, *, prior: str, generator: torch.Generator) -> Tensor:
    """Return noise (n, n_noise) on the generator's device: "normal" N(0, 1), or "uniform" on [-1, 1)."""
    if prior == "normal":
        return torch.randn(n, n_noise, generator=generator, device=generator.device)
    if prior == "uniform":
        return torch.empty(n, n_noise, device=generator.device).uniform_(-1, 1, generator=generator)
    raise InputError(f"Expected noise_prior 'normal' or 'uniform', got {prior!r}.")


def _descend(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor], loss: Tensor) -> None:
    """Take one optimiser step on `loss` over `weights` alone; no gradient is computed for the other player."""
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
        weight.grad = gradient
    optimizer.step()
