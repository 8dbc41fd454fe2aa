r"""Wave functions of Boltzmann machines too large for exact sums: block Gibbs chains, and likelihood with them.

`SampledLikelihood` follows <dF>_data - <dF>_model with persistent chains (Tieleman, ICML 2008). Of an average of its
weights it keeps those at which a part of the rows held out was most likely: by exact log Z where one layer is small,
else by the pseudolikelihood, the mean over rows of sum_i log p(s_i | all others), log p(s_i | others) =
log sigmoid(F(s with s_i flipped) - F(s)).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.core.types import Energy
from reverie.models.wavefunction_training import Fit, folds
from reverie.networks.boltzmann import BoltzmannEnergy
from reverie.networks.enumeration import log_partition
from reverie.samplers.chains import Chains, Moves
from reverie.samplers.gibbs import BlockGibbs, Layers
from reverie.samplers.run import run

__all__ = ["SampledLikelihood", "TurningGibbs", "gibbs_chains", "pseudo_likelihood", "start_sampling"]

_SMALL_LAYER = 12  # units that are enumerated at every check
_CHECKS_IN_PATIENCE = 10
_MEMORY = 0.99  # of the average of the weights, per step
_BURN_IN = 200  # sweeps before a chain is believed


@dataclass(frozen=True)
class TurningGibbs:
    """A sweep of `reverie.samplers.BlockGibbs`, then an offer to turn all units around, s -> 1 - s.

    It is accepted with probability min(1, exp(F(s) - F(1 - s))). States of a magnet that differ by their sign alone
    are far apart for single units.
    """

    def init(self, x: Tensor, energy: Energy) -> Layers:
        """Return the state of chains at x (chain, n_sites) of bits; `energy` is a binary `BoltzmannEnergy`."""
        return BlockGibbs().init(x, energy)

    @torch.no_grad()
    def step(self, state: Layers, energy: Energy, generator: torch.Generator) -> tuple[Layers, Moves]:
        """Return the next state, and which chains turned around."""
        x = BlockGibbs().step(state, energy, generator)[0].x
        uniform = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        turned = uniform.log() < energy(x) - energy(1 - x)
        return Layers(torch.where(turned[:, None], 1 - x, x)), Moves(turned.double())


def start_sampling(
    energies: list[BoltzmannEnergy], bits: Tensor, bases: np.ndarray, settings: Fit, seed: int
) -> tuple["SampledLikelihood", Callable[[int], Tensor]]:
    """Return the training of one machine on rows of bits (batch, n_sites), and its batches.

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

    def batch_at(step: int) -> Tensor:
        size = (min(settings.batch_size, len(rows)),)
        return rows[torch.randint(len(rows), size, generator=child_generator(seed, "batch", step))]

    return SampledLikelihood(energies[0], held, settings, child_generator(seed, "chains")), batch_at


def gibbs_chains(energy: BoltzmannEnergy, *, n_chains: int, n_kept: int, n_gibbs: int, seed: int) -> Chains:
    """Return block Gibbs chains from random bits, after 200 sweeps, `n_gibbs` sweeps between kept positions."""
    generator = child_generator(seed, "chains")
    s = torch.randint(2, (n_chains, energy.W.shape[0]), generator=generator).to(energy.W.dtype)
    return run(TurningGibbs(), s, energy, n_steps=n_kept * n_gibbs, thin=n_gibbs, burn_in=_BURN_IN, generator=generator)


class SampledLikelihood:
    """Training with persistent chains; a `Trainable` whose batches are rows of bits (batch, n_sites).

    An average of the weights over some hundred steps takes out the noise of the chains.

    Parameters
    ----------
    energy : the machine at its first weights.
    held_out : rows (batch, n_sites) that choose the weights to keep; None keeps the last.
    settings : how.
    generator : draws the first positions of the chains.

    Attributes
    ----------
    best_step : step after which held-out rows were most likely; 0 at first.
    least : minus their log likelihood, or pseudolikelihood, then, nats a row.
    """

    def __init__(
        self, energy: BoltzmannEnergy, held_out: Tensor | None, settings: Fit, generator: torch.Generator
    ) -> None:
        self._energy, self._held, self._settings = energy, held_out, settings
        half = torch.full((settings.n_chains, energy.W.shape[0]), 0.5, dtype=torch.float64)
        self._chains = Layers(torch.bernoulli(half, generator=generator))
        self._optimizer = torch.optim.Adam(energy.parameters(), lr=settings.learning_rate)
        self._average = copy.deepcopy(energy)
        self.least, self.best_step, self._step, self._kept = float("inf"), 0, 0, _copied(energy)
        self._check_every = max(1, settings.patience // _CHECKS_IN_PATIENCE)
        self._told = torch.tensor(0.0, dtype=torch.float64)

    def train_step(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step; return the gap of mean free energies, data minus chains, and the last held-out figure."""
        for _ in range(self._settings.n_gibbs):
            self._chains, _ = TurningGibbs().step(self._chains, self._energy, generator)
        gap = self._energy(batch).mean() - self._energy(self._chains.x).mean()
        self._optimizer.zero_grad()
        gap.backward()
        self._optimizer.step()
        with torch.no_grad():
            for mean, p in zip(self._average.parameters(), self._energy.parameters(), strict=True):
                mean.lerp_(p, 1 - _MEMORY)
        self._step += 1
        if self._held is not None and self._step % self._check_every == 0:
            self._check(self._held)
        return {"free_energy_gap": gap.detach(), "held_out_nll": self._told}

    def finish(self) -> int:
        """Copy the averaged weights of the best step into the machine; return the step."""
        chosen, step = (_copied(self._average), self._step) if self._held is None else (self._kept, self.best_step)
        self._energy.load_state_dict(chosen)
        return step

    def exhausted(self) -> bool:
        """Return whether held-out rows have become no more likely for `patience` steps."""
        return self._held is not None and self._step - self.best_step > self._settings.patience

    def state_dict(self) -> dict[str, Any]:
        """Return all that an exact resume needs."""
        best = {"least": self.least, "best_step": self.best_step, "kept": self._kept, "step": self._step}
        now = {"chains": self._chains.x, "weights": _copied(self._energy), "told": self._told}
        now |= {"average": _copied(self._average)}
        return best | now | {"optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state that `state_dict` returned."""
        self.least, self.best_step, self._kept = state["least"], state["best_step"], state["kept"]
        self._step, self._chains, self._told = state["step"], Layers(state["chains"]), state["told"]
        self._energy.load_state_dict(state["weights"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])

    @torch.no_grad()
    def _check(self, held_out: Tensor) -> None:
        exact = min(self._average.W.shape) <= _SMALL_LAYER
        nll = self._average(held_out).mean() + log_partition(self._average) if exact else None
        self._told = -pseudo_likelihood(self._average, held_out).mean() if nll is None else nll
        if self._told < self.least:
            self.least, self.best_step, self._kept = self._told.item(), self._step, _copied(self._average)


@torch.no_grad()
def pseudo_likelihood(energy: BoltzmannEnergy, bits: Tensor) -> Tensor:
    """Return sum_i log p(s_i | all others) of rows of bits (batch, n_sites), (batch,), in nats."""
    here, total = energy(bits), torch.zeros(len(bits), dtype=bits.dtype)
    for i in range(bits.shape[1]):
        flipped = bits.clone()
        flipped[:, i] = 1 - flipped[:, i]
        total += logsigmoid(energy(flipped) - here)
    return total


def _copied(energy: BoltzmannEnergy) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in energy.named_parameters()}
