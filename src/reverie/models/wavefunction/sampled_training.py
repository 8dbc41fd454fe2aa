r"""Maximum likelihood for wave functions of Boltzmann machines too large for exact sums, with block Gibbs chains.

`SampledLikelihood` follows <dF>_data - <dF>_model with persistent chains (Tieleman, ICML 2008). Of an average of its
weights it keeps those at which a part of the rows held out was most likely: by exact log Z where one layer is small,
else by the pseudo-likelihood (`reverie.networks.boltzmann`).

A step changes weights, moments, average and chains in place, so that it can be compiled whole.
"""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from reverie.compile.step import Compiled
from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.models.training_run import TrainingOptions
from reverie.models.wavefunction.state import TurningGibbs
from reverie.models.wavefunction.training import Fit, WaveFunctionStep, folds
from reverie.networks.boltzmann import BoltzmannEnergy, log_partition, pseudo_log_likelihood
from reverie.objectives.contrastive import likelihood_gradient
from reverie.samplers.gibbs import GibbsState
from reverie.training.averaging import ema_update
from reverie.training.descent import Descent

__all__ = ["SampledLikelihood", "start_sampling"]

_SMALL_LAYER = 12  # units that are enumerated at every check
_CHECKS_IN_PATIENCE = 10
_MEMORY = 0.99  # of the average of the weights, per step
_BETAS = (0.9, 0.999)  # of Adam


def start_sampling(
    energies: list[BoltzmannEnergy], bits: Tensor, bases: np.ndarray, settings: Fit, seed: int
) -> "SampledLikelihood":
    """Return the train step of one machine on rows of bits (batch, n_sites).

    Raises
    ------
    InputError
        For a second machine, or rows in other bases than Z.
    """
    if len(energies) > 1 or set(bases) != {"Z" * bits.shape[1]}:
        raise InputError("Expected rows in the basis Z where states are sampled, got others. Use method='exact'.")
    held, rows = None, bits
    if settings.n_folds:
        left_out = folds(len(bits), settings.n_folds, seed) == 0
        held, rows = bits[left_out], bits[~left_out]
    return SampledLikelihood(energies[0], rows, held, settings, child_generator(seed, "chains"))


class SampledLikelihood(WaveFunctionStep):
    """A train step with persistent chains, whose batches are rows of bits (batch, n_sites).

    An average of the weights over some hundred steps takes out the noise of the chains.

    Parameters
    ----------
    energy : the machine at its first weights.
    rows : rows (batch, n_sites) to train on.
    held_out : rows (batch, n_sites) that choose the weights to keep; None keeps the last.
    settings : how.
    generator : draws the first positions of the chains.

    Attributes
    ----------
    best_step : step after which held-out rows were most likely; 0 at first.
    least : minus their log likelihood, or pseudolikelihood, then, nats a row.
    """

    def __init__(
        self,
        energy: BoltzmannEnergy,
        rows: Tensor,
        held_out: Tensor | None,
        settings: Fit,
        generator: torch.Generator,
    ) -> None:
        self._energy, self._rows, self._held, self._settings = energy, rows, held_out, settings
        self.energies = [energy]
        half = torch.full((settings.n_chains, energy.W.shape[0]), 0.5, dtype=torch.float64)
        self._chains = torch.bernoulli(half, generator=generator)
        self._kernel = TurningGibbs(settings.n_gibbs)
        weights = [energy.W, energy.visible_bias, energy.hidden_bias]
        self._descent = Descent(weights, "adam", learning_rate=settings.learning_rate, betas=_BETAS)
        self._average = copy.deepcopy(energy)
        self.compiled = Compiled(self._update, mode=settings.compile, n_calls=settings.max_steps)
        self._kept = _copied(energy)
        self._check_every = max(1, settings.patience // _CHECKS_IN_PATIENCE)
        self._held_out_nll = torch.tensor(0.0, dtype=torch.float64)

    def train_step(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step; return the gap of mean free energies, data minus chains, and the last held-out figure."""
        numbers = {"rate": self._settings.learning_rate, "decay": _MEMORY}
        scalars = self.compiled((batch, numbers), generator)
        self.step += 1
        if self._held is not None and self.step % self._check_every == 0:
            self._check(self._held)
        return {**scalars, "held_out_nll": self._held_out_nll}

    def batches(self, rows: dict[str, Any], options: TrainingOptions, seed: int, device: Any) -> Callable[[int], Any]:
        """Return the function from a step to its rows, drawn with replacement."""
        return partial(_batch, self._rows, min(self._settings.batch_size, len(self._rows)), seed)

    def rows_at_once(self, size: int) -> int:
        """Return rows and chains."""
        return size + self._settings.n_chains

    @torch.no_grad()
    def _update(self, inputs: tuple[Tensor, Mapping[str, Any]], generator: torch.Generator) -> dict[str, Tensor]:
        batch, numbers = inputs
        energy = self._energy
        self._chains.copy_(self._kernel.step(GibbsState(self._chains), energy, generator)[0].x)
        s = torch.cat([batch, self._chains])
        share = torch.cat([_shares(batch, -1), _shares(self._chains, 1)])
        u = energy.hidden_input(s)
        gap = share @ (softplus(u).sum(1) - energy.visible_term(s))
        descent = likelihood_gradient(s, u.sigmoid(), share, W=energy.W, visible_bias=energy.visible_bias)
        self._descent.step([descent.W, descent.visible_bias, descent.hidden_bias], numbers["rate"])
        ema_update(list(self._average.parameters()), list(energy.parameters()), decay=numbers["decay"])
        return {"free_energy_gap": gap}

    def finish(self) -> int:
        """Copy the averaged weights of the best step into the machine; return the step."""
        chosen, step = (_copied(self._average), self.step) if self._held is None else (self._kept, self.best_step)
        self._energy.load_state_dict(chosen)
        return step

    def is_done(self) -> bool:
        """Return whether held-out rows have become no more likely for `patience` steps."""
        return self._held is not None and self.step - self.best_step > self._settings.patience

    def state_dict(self) -> dict[str, Any]:
        """Return all that an exact resume needs."""
        best = {"least": self.least, "best_step": self.best_step, "kept": self._kept, "step": self.step}
        now = {"chains": self._chains.clone(), "weights": _copied(self._energy), "held_out_nll": self._held_out_nll}
        now |= {"average": _copied(self._average)}
        return best | now | {"optimizer": self._descent.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state that `state_dict` returned."""
        self.least, self.best_step, self._kept = state["least"], state["best_step"], state["kept"]
        self.step, self._held_out_nll = state["step"], state["held_out_nll"]
        self._chains.copy_(state["chains"])
        self._energy.load_state_dict(state["weights"])
        self._average.load_state_dict(state["average"])
        self._descent.load_state_dict(state["optimizer"])

    @torch.no_grad()
    def _check(self, held_out: Tensor) -> None:
        exact = min(self._average.W.shape) <= _SMALL_LAYER
        nll = self._average(held_out).mean() + log_partition(self._average) if exact else None
        self._held_out_nll = -pseudo_log_likelihood(self._average, held_out).mean() if nll is None else nll
        if self._held_out_nll < self.least:
            self.least, self.best_step, self._kept = self._held_out_nll.item(), self.step, _copied(self._average)


def _shares(s: Tensor, total: float) -> Tensor:
    """Return equal weights of rows s (batch, n_sites) that add up to `total`, (batch,)."""
    return torch.full_like(s[:, 0], total / len(s))


def _copied(energy: BoltzmannEnergy) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in energy.named_parameters()}


def _batch(rows: Tensor, size: int, seed: int, step: int) -> Tensor:
    return rows[torch.randint(len(rows), (size,), generator=child_generator(seed, "batch", step))]
