r"""How an energy-based model learns: contrastive divergence with chains that are kept, or score matching.

The gradient of the mean log-likelihood of p = exp(-E) / Z needs no Z:

    d/dtheta <log p> = - < dE/dtheta >_data + < dE/dtheta >_model

Contrastive: a step descends the loss <E>_+ - <E>_- + alpha (<E^2>_+ + <E^2>_-), the positive phase over a batch of
events, the negative one over chains that were drawn from a store, moved (`reverie.models.ebm.sampling`) and written
back to the slots that they were drawn from. (Written to other slots, some chains would be kept twice and others lost,
and what is left would not be a sample of anything.) The chains are held fixed, so no gradient runs through them.
alpha > 0 keeps energies near zero; it biases the model. The Langevin step size follows the acceptance,
log eta += (acceptance - 0.574) / 5 after every update.

Score matching takes no chains to learn (`reverie.objectives.score_matching`); the store is moved all the same, so that
there are chains to check and to draw from.

What is kept is an exponential average of the weights. Training diverges when energies of events and chains come
apart: the difference of the phases, over the spread of the energies, is noise around zero while the chains keep up.

References
----------
Hinton, Neural Computation 14, 1771 (2002); Tieleman, ICML 2008; Du and Mordatch, arXiv:1903.08689.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reverie.core import statistics
from reverie.core.errors import InputError, TrainingError
from reverie.core.types import Energy, State
from reverie.models.averaged_step import AveragedStep
from reverie.models.ebm.likelihood import energy_gap, energy_log_z, signs_of_overfitting
from reverie.models.ebm.sampling import LARGE, Jumps
from reverie.networks.features import Whitening
from reverie.objectives.adversarial import batch_mean
from reverie.objectives.score_matching import denoising_loss
from reverie.training.monitor import Observation

__all__ = ["EnergyStep", "ReplayBuffer", "Settings", "contrastive_loss"]

Rows = Mapping[str, Tensor]
_ACCEPTANCE = 0.574  # of Langevin steps in many dimensions: Roberts and Rosenthal (1998)
_GAIN = 0.2
_APART = 50.0  # nats per square root of a feature between the phases, which differ by noise in a healthy run
_FARTHEST = 1e3  # whitened features are of order one
_HOLD = 0.4  # share of the run at full learning rate
_CHECK_CELLS = 300  # per axis of log Z at a check
_CHECK_TEMPERATURES, _CHECK_CHAINS = 100, 128  # of log Z at a check, each way


@dataclass(frozen=True)
class Settings:
    """How to learn; the options of `reverie.EBM` by the same names, resolved."""

    method: str
    max_steps: int
    learning_rate: float
    n_langevin: int
    step_size: float | str
    adjusted: bool
    temperature: float
    restart_fraction: float
    jumps: bool
    spread: float
    energy_penalty: float
    sigma: float
    ema_decay: float
    gradient_clip: float
    compile: bool | str = False


class ReplayBuffer:
    """A store of chains x (slot, *event) that go on from where they were left, of which a step moves some."""

    def __init__(self, x: Tensor) -> None:
        self.x = x.detach().clone()

    def __len__(self) -> int:
        return len(self.x)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return n different slots (n,) and their chains (n, *event); `InputError` if there are fewer."""
        if n > len(self.x):
            raise InputError(f"Expected at most {len(self.x)} chains, got {n}. Give a larger buffer_size.")
        slots = torch.randperm(len(self.x), generator=generator, device=self.x.device)[:n]
        return slots, self.x[slots]

    def write(self, slots: Tensor, x: Tensor) -> None:
        """Put chains x (n, *event) into `slots` (n,), those that they were drawn from."""
        self.x[slots] = x.detach()


def contrastive_loss(
    energy: Energy, x: Tensor, chains: Tensor, *, penalty: float = 0.0, weight: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, the positive phase over events x and the negative one over chains (means of E), scalars.

    No gradient runs through the chains; `penalty` is alpha of the squared energies, `weight` (batch,) of mean one.
    """
    of_all = energy(torch.cat([x, chains.detach()]))
    e, below = of_all[: len(x)], of_all[len(x) :]
    positive, negative = batch_mean(e, weight), below.mean()
    loss = positive - negative
    if penalty > 0:
        loss = loss + penalty * (batch_mean(e.square(), weight) + below.square().mean())
    return loss, positive, negative


class EnergyStep(AveragedStep[nn.Module]):
    """Takes the steps of an energy of whitened features, and of its chains (slot, *event)."""

    def __init__(self, network: nn.Module, whitening: Whitening | None, chains: Tensor, settings: Settings) -> None:
        super().__init__(
            network,
            betas=(0.0, 0.999),
            clip=settings.gradient_clip,
            max_steps=settings.max_steps,
            learning_rate=settings.learning_rate,
            ema_decay=settings.ema_decay,
            hold=_HOLD,
            compile=settings.compile,
        )
        self.average.eval()
        self.whitening, self.settings, self.buffer = whitening, settings, ReplayBuffer(chains)
        first = 0.1 if settings.step_size == "auto" else float(settings.step_size)
        self.log_eta = torch.tensor(math.log(first), device=chains.device)

    def whitened(self, x: Tensor) -> Tensor:
        """Return features x (batch, *event) in the coordinates of the chains."""
        return x if self.whitening is None else self.whitening(x)

    def loss(self, batch: Rows, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Move chains and return the contrastive loss, or that of score matching, with both phases."""
        settings, weight, x = self.settings, batch.get("weight"), self.whitened(batch["x"])
        # chains are drawn from the store, some perhaps restarted, moved, and written back to their slots
        slots, chains = self.buffer.draw(min(len(x), len(self.buffer)), generator)
        if settings.restart_fraction > 0:
            again = torch.rand(len(chains), generator=generator, device=x.device) < settings.restart_fraction
            fresh = settings.spread * torch.randn(chains.shape, generator=generator, device=x.device)
            chains = torch.where(again.reshape(-1, *[1] * (x.ndim - 1)), fresh, chains)
        kernel = Jumps(
            self.log_eta.exp(),
            x,
            spread=settings.spread,
            adjusted=settings.adjusted,
            temperature=settings.temperature,
            jumps=settings.jumps,
        )
        state = kernel.init(chains, self.network)
        for _ in range(settings.n_langevin):
            state, _ = kernel.step(state, self.network, generator)
        self.buffer.write(slots, state.x)
        accepted, jumped = kernel.shares(state)
        if settings.step_size == "auto" and settings.adjusted:
            self.log_eta.add_(_GAIN * (accepted - _ACCEPTANCE))
        # the positive phase over events, the negative one over the chains
        penalty = settings.energy_penalty
        loss, positive, negative = contrastive_loss(self.network, x, state.x, penalty=penalty, weight=weight)
        if settings.method == "score_matching":
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            loss = batch_mean(denoising_loss(self.network, x, noise, settings.sigma), weight)
        scalars = {"acceptance": accepted, "jumps": jumped, "step_size": self.log_eta.exp()}
        return loss, scalars | {"positive_phase": positive.detach(), "negative_phase": negative.detach()}

    def networks(self) -> Mapping[str, nn.Module]:
        """Return the averaged energy, and the whitening where there is one."""
        return {"energy": self.averaged()} | ({} if self.whitening is None else {"whitening": self.whitening})

    @torch.no_grad()
    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return the chains as samples, and -log p of the held-out rows unless they have too many features.

        Raises `TrainingError` where chains have gone away, or mean energies of events and chains come apart.
        """
        energy, chains = self.averaged(), self.buffer.x[: len(held_out["x"])]
        x, x_train = self.whitened(held_out["x"]), self.whitened(train["x"])
        e, e_chains = energy(x), energy(chains)
        mean_e = statistics.weighted_mean(e, held_out.get("weight"))
        farthest, apart = float(chains.abs().max()), abs(float(mean_e - e_chains.mean()))
        bound = _APART * max(1.0, chains[0].numel() ** 0.5)
        if not (farthest <= _FARTHEST and apart <= bound):
            raise TrainingError(
                f"Training diverged: chains are up to {farthest:.3g} from the origin, and energies of events and of "
                f"chains {apart:.3g} apart (at most {_FARTHEST:g} and {bound:.3g}). "
                "Lower the learning rate, take more Langevin steps, or give an energy_penalty.",
                step=self.step,
            )
        gap = energy_gap(e, energy(x_train), held_out.get("weight"), train.get("weight"))
        losses, error, signs = None, 0.0, {}
        scalars = {"held_out_energy": float(mean_e), "chain_energy": float(e_chains.mean())}
        scalars |= {"energy_gap": gap.value, "energy_gap_error": gap.error}
        if x[0].numel() <= LARGE:
            log_z = energy_log_z(
                energy,
                self.buffer.x,
                events=torch.cat([x_train, x]),
                n_cells=_CHECK_CELLS,
                step_size=float(self.log_eta.exp()),
                spread=self.settings.spread,
                n_temperatures=_CHECK_TEMPERATURES,
                n_chains=_CHECK_CHAINS,
                generator=generator,
            )
            losses, error, signs = e + log_z.value, log_z.error, signs_of_overfitting(gap, log_z.error)
            scalars |= {"log_z": log_z.value, "log_z_error": log_z.error}
        generated = chains if self.whitening is None else self.whitening.inverse(chains)
        return Observation(self.step, losses, error, generated=generated, scalars=scalars, signs=signs)

    def state_dict(self) -> State:
        """Return all that an exact resume needs, the chains too."""
        return super().state_dict() | {"chains": self.buffer.x.clone(), "log_eta": self.log_eta.clone()}

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` returned."""
        super().load_state_dict(state)
        self.buffer.x.copy_(state["chains"])
        self.log_eta.copy_(state["log_eta"])
