r"""How an energy-based model learns: contrastive divergence with chains that are kept, or score matching.

The gradient of the mean log-likelihood of p = exp(-E) / Z needs no Z:

    d/dtheta <log p> = - < dE/dtheta >_data + < dE/dtheta >_model

Contrastive: a step descends the loss <E>_+ - <E>_- + alpha (<E^2>_+ + <E^2>_-), the positive phase over a batch of
events, the negative one over chains that were drawn from a store, moved (`reverie.models.ebm.sampling`) and written
back. The chains are held fixed, so no gradient runs through them. alpha > 0 keeps energies near zero; it biases the
model. The Langevin step size follows the acceptance, log eta += (acceptance - 0.574) / 5 after every update.

Score matching takes no chains to learn (`reverie.objectives.score_matching`); the store is moved all the same, so that
there is something to look at and to draw from.

What is kept is an exponential average of the weights. Training diverges when energies of events and chains come
apart: the difference of the phases, over the spread of the energies, is noise around zero while the chains keep up.

References
----------
Hinton, Neural Computation 14, 1771 (2002); Tieleman, ICML 2008; Du and Mordatch, arXiv:1903.08689.

A store of chains that go on from where they were left.

Persistent contrastive divergence keeps more chains than a step moves: a step draws some slots, moves their chains, and
writes each back to the slot that it was drawn from. Written to other slots, some chains would be kept twice and
others lost, and what is left would not be a sample of anything.

References
----------
Tieleman, ICML 2008; Du and Mordatch, arXiv:1903.08689.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled
from reverie.core.errors import InputError, TrainingError
from reverie.core.statistics import weighted_mean
from reverie.core.types import Energy
from reverie.models.ebm.likelihood import EnergyPath, energy_gap, grid_log_z, signs_of_overfitting, two_ways
from reverie.models.ebm.sampling import LARGE, Jumps
from reverie.models.training_run import TrainStep
from reverie.networks.whitening import Whitening
from reverie.objectives.score_matching import denoising_loss
from reverie.training.averaging import ema_decay, ema_update
from reverie.training.descent import Descent
from reverie.training.monitor import Observation
from reverie.training.optimizers import learning_rate_factor

__all__ = ["EnergyLearner", "Recipe", "ReplayBuffer", "contrastive_loss"]

Rows = Mapping[str, Tensor]
_ACCEPTANCE = 0.574  # of Langevin steps in many dimensions: Roberts and Rosenthal (1998)
_GAIN = 0.2
_APART = 50.0  # nats per square root of a feature between the phases, which differ by noise in a healthy run
_FARTHEST = 1e3  # whitened features are of order one
_HOLD = 0.4  # share of the run at full learning rate
_GRID = 300  # cells per axis of log Z at a check
_CHECK_TEMPERATURES, _CHECK_CHAINS = 100, 128  # of log Z at a check, each way


@dataclass(frozen=True)
class Recipe:
    """What a step is made of; the options of `EBM` by the same names."""

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


def contrastive_loss(
    energy: Energy, x: Tensor, chains: Tensor, *, penalty: float = 0.0, weight: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, the positive and the negative phase (means of E), scalars.

    Parameters
    ----------
    energy : (batch, *event) -> (batch,).
    x : (batch, *event) events.
    chains : (chain, *event) samples of the model; no gradient runs through them.
    penalty : alpha >= 0 of the squared energies.
    weight : (batch,) of the events, mean one, or None.
    """
    of_all = energy(torch.cat([x, chains.detach()]))
    e, below = of_all[: len(x)], of_all[len(x) :]
    weighted = e if weight is None else e * weight
    positive, negative = weighted.mean(), below.mean()
    loss = positive - negative
    if penalty > 0:
        squares = e.square() if weight is None else e.square() * weight
        loss = loss + penalty * (squares.mean() + below.square().mean())
    return loss, positive, negative


class EnergyLearner(TrainStep):
    """Trains an energy; a `reverie.models.training_run.TrainStep`.

    Parameters
    ----------
    network : to train, of whitened features.
    whitening : features to coordinates of the chains, fitted; None leaves them.
    chains : first positions (slot, *event).
    recipe : how.
    """

    def __init__(self, network: nn.Module, whitening: Whitening | None, chains: Tensor, recipe: Recipe) -> None:
        self.network, self.whitening, self.recipe = network.train(), whitening, recipe
        self.average = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        self.buffer = ReplayBuffer(chains)
        self.step, self.rate_factor = 0, 1.0
        first = 0.1 if recipe.step_size == "auto" else float(recipe.step_size)
        self.log_eta = torch.tensor(math.log(first), device=chains.device)
        weights = [p for p in network.parameters() if p.requires_grad]
        options: Any = {"learning_rate": recipe.learning_rate, "betas": (0.0, 0.999), "clip": recipe.gradient_clip}
        self.descent = Descent(weights, "adam", **options)
        self.compiled = Compiled(self._update, mode=recipe.compile, n_calls=recipe.max_steps)

    def whitened(self, x: Tensor) -> Tensor:
        """Return features x (batch, *event) in the coordinates of the chains."""
        return x if self.whitening is None else self.whitening(x)

    def train_step(self, batch: Rows, generator: torch.Generator) -> dict[str, Tensor]:
        """Move chains, then take a step on a batch of features "x", with "weight" if there is one."""
        factor = learning_rate_factor(self.step, self.recipe.max_steps, hold=_HOLD) * self.rate_factor
        numbers = {"rate": self.recipe.learning_rate * factor, "decay": ema_decay(self.step, self.recipe.ema_decay)}
        told = self.compiled((dict(batch), numbers), generator)
        self.step += 1
        return told

    def _update(self, inputs: tuple[Rows, Mapping[str, Any]], generator: torch.Generator) -> dict[str, Tensor]:
        batch, numbers = inputs
        x = self.whitened(batch["x"])
        chains, told = self._moved(x, generator)
        loss, positive, negative = contrastive_loss(
            self.network, x, chains, penalty=self.recipe.energy_penalty, weight=batch.get("weight")
        )
        if self.recipe.method == "score_matching":
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            losses = denoising_loss(self.network, x, noise, self.recipe.sigma)
            loss = (losses * batch["weight"] if "weight" in batch else losses).mean()
        told |= {"loss": loss.detach(), "positive_phase": positive.detach(), "negative_phase": negative.detach()}
        norm: Any = self.descent.along(loss, numbers["rate"])
        current = [p.detach() for p in self.network.parameters()]
        ema_update(list(self.average.parameters()), current, decay=numbers["decay"])
        return told | {"gradient": norm}

    def _moved(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Draw chains, move them n_langevin steps, and write them back to their slots."""
        slots, chains = self.buffer.draw(min(len(x), len(self.buffer)), generator)
        if self.recipe.restart_fraction > 0:
            again = torch.rand(len(chains), generator=generator, device=x.device) < self.recipe.restart_fraction
            fresh = self.recipe.spread * torch.randn(chains.shape, generator=generator, device=x.device)
            chains = torch.where(again.reshape(-1, *[1] * (x.ndim - 1)), fresh, chains)
        kernel = self.kernel(x)
        state = kernel.init(chains, self.network)
        for _ in range(self.recipe.n_langevin):
            state, _ = kernel.step(state, self.network, generator)
        self.buffer.write(slots, state.x)
        accepted, jumped = kernel.shares(state)
        if self.recipe.step_size == "auto" and self.recipe.adjusted:
            self.log_eta.add_(_GAIN * (accepted - _ACCEPTANCE))
        return state.x, {"acceptance": accepted, "jumps": jumped, "step_size": self.log_eta.exp()}

    def kernel(self, stock: Tensor) -> Jumps:
        """Return the kernel of the chains, whose jumps take differences of `stock`."""
        options: Any = {name: getattr(self.recipe, name) for name in ("spread", "adjusted", "temperature", "jumps")}
        return Jumps(self.log_eta.exp(), stock, **options)

    def networks(self) -> Mapping[str, nn.Module]:
        """Return the averaged energy, and the whitening where there is one."""
        return {"energy": self.average} | ({} if self.whitening is None else {"whitening": self.whitening})

    @torch.no_grad()
    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return the chains as samples, and -log p of the held-out rows unless they have too many features."""
        x, chains = self.whitened(held_out["x"]), self.buffer.x[: len(held_out["x"])]
        x_train = self.whitened(train["x"])
        e, e_chains = self.average(x), self.average(chains)
        mean_e = weighted_mean(e, held_out.get("weight"))
        self._check(mean_e, e_chains, chains)
        gap = energy_gap(e, self.average(x_train), held_out.get("weight"), train.get("weight"))
        losses, error, signs = None, 0.0, {}
        scalars = {"held_out_energy": float(mean_e), "chain_energy": float(e_chains.mean())}
        scalars |= {"energy_gap": gap.value, "energy_gap_error": gap.error}
        if x[0].numel() <= LARGE:
            log_z, error = self._log_z(torch.cat([x_train, x]), generator)
            losses, signs = e + log_z, signs_of_overfitting(gap, error)
            scalars |= {"log_z": log_z, "log_z_error": error}
        generated = chains if self.whitening is None else self.whitening.inverse(chains)
        told: dict[str, Any] = {"generated": generated, "scalars": scalars, "signs": signs}
        return Observation(self.step, losses, error, **told)

    def _log_z(self, x: Tensor, generator: torch.Generator) -> tuple[float, float]:
        """Return log Z of the averaged energy and its error; whitened events x (batch, feature) are where it is low."""
        if x[0].numel() <= 2:
            return grid_log_z(self.average, x, _GRID)
        shape, eta = tuple(x.shape[1:]), float(self.log_eta.exp())
        path = EnergyPath(self.average, shape, step_size=eta, spread=self.recipe.spread)
        sizes = {"n_temperatures": _CHECK_TEMPERATURES, "n_chains": _CHECK_CHAINS}
        found = two_ways(path, self.buffer.x, **sizes, generator=generator)
        return found.value, found.error

    def _check(self, mean_e: Tensor, e_chains: Tensor, chains: Tensor) -> None:
        """Raise `TrainingError` where chains have gone away, or mean energies of events and chains come apart."""
        farthest, apart = float(chains.abs().max()), abs(float(mean_e - e_chains.mean()))
        bound = _APART * max(1.0, chains[0].numel() ** 0.5)
        if not (farthest <= _FARTHEST and apart <= bound):
            raise TrainingError(
                f"Training diverged: chains are up to {farthest:.3g} from the origin, and energies of events and of "
                f"chains {apart:.3g} apart (at most {_FARTHEST:g} and {bound:.3g}). "
                "Lower the learning rate, take more Langevin steps, or give an energy_penalty.",
                step=self.step,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return all that an exact resume needs, the chains too."""
        return {
            "step": self.step,
            "rate_factor": self.rate_factor,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.descent.state_dict(),
            "chains": self.buffer.x.clone(),
            "log_eta": self.log_eta.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.step, self.rate_factor = state["step"], state["rate_factor"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.descent.load_state_dict(state["optimizer"])
        self.buffer.x.copy_(state["chains"])
        self.log_eta.copy_(state["log_eta"])


class ReplayBuffer:
    """Chains (slot, *event), of which a step moves some.

    Parameters
    ----------
    x : first positions; a copy is kept.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x.detach().clone()

    def __len__(self) -> int:
        return len(self.x)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return n different slots (n,) and their chains (n, *event).

        Raises
        ------
        InputError
            If there are fewer slots than that.
        """
        if n > len(self.x):
            raise InputError(f"Expected at most {len(self.x)} chains, got {n}. Give a larger buffer_size.")
        slots = torch.randperm(len(self.x), generator=generator, device=self.x.device)[:n]
        return slots, self.x[slots]

    def write(self, slots: Tensor, x: Tensor) -> None:
        """Put chains x (n, *event) into `slots` (n,), those that they were drawn from."""
        self.x[slots] = x.detach()
