r"""Maximum likelihood for wave functions of Boltzmann machines, by exact sums or by sampling.

The state is psi(s) = sqrt(p(s)) exp(i phi(s) / 2), p = exp(-F) / Z with the free energy F of one restricted Boltzmann
machine, and phi = -F_phase of a second one, or zero. Counts n_b(s) of outcomes in bases b have

    - log L / N = - sum_b sum_s (n_b(s) / N) log |(U_b psi)(s)|^2,

of which the basis Z, log p = -F - log Z, is the first case.

`ExactLikelihood` sums over all 2^n states, in float64, for a histogram of the rows instead of the rows, with Adam.
The number of steps is chosen by cross-validation within the one run: K + 1 replicas start at the same weights; K of
them leave one part of the rows out each, the last has all rows. The last one is stopped at the step at which the mean
log likelihood of the parts left out was highest.

`SampledLikelihood` follows <dF>_data - <dF>_model with persistent chains (Tieleman, ICML 2008), and keeps the weights
at which a part of the rows held out was most likely: by exact log Z where one layer is small, else by the
pseudolikelihood, mean over rows of sum_i log p(s_i | all others).

Both are trained by `reverie.training.loop.train`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from reverie.core.types import Energy
from reverie.networks.bases import rotate
from reverie.networks.boltzmann import BoltzmannEnergy
from reverie.networks.enumeration import all_states, state_number
from reverie.samplers.chains import Positions

__all__ = [
    "BlockGibbs",
    "ExactLikelihood",
    "Fit",
    "SampledLikelihood",
    "histograms",
    "initial_energy",
    "pseudo_likelihood",
]

_SMALL_LAYER = 12  # units that are enumerated at every check of a training that is otherwise sampled
_CLIP = 0.01  # of mean bits that make the first biases


@dataclass(frozen=True)
class Fit:
    """How to maximise a likelihood.

    Parameters
    ----------
    max_steps : of the optimiser.
    learning_rate : of Adam.
    n_folds : parts of the rows; of the sampled training one is held out; 0 takes all rows for `max_steps`.
    patience : steps without a better likelihood of rows left out after which training ends.
    batch_size, n_chains, n_gibbs : rows of a batch, persistent chains, and sweeps between two steps.
    """

    max_steps: int
    learning_rate: float
    n_folds: int
    patience: int
    batch_size: int
    n_chains: int
    n_gibbs: int


def initial_energy(n_sites: int, n_hidden: int, generator: torch.Generator, bits: Tensor | None = None):
    """Return a float64 `BoltzmannEnergy` of small random weights; its visible biases give the means of `bits`."""
    energy = BoltzmannEnergy(n_sites, n_hidden).double()
    with torch.no_grad():
        energy.W.copy_(0.1 * torch.randn(n_sites, n_hidden, generator=generator, dtype=torch.float64))
        if bits is not None:
            mean = bits.double().mean(dim=0).clamp(_CLIP, 1 - _CLIP)
            energy.visible_bias.copy_(torch.logit(mean))
    return energy


def histograms(bits: Tensor, bases: np.ndarray, parts: Tensor, n_parts: int) -> dict[str, Tensor]:
    """Return counts of outcomes by basis, each (n_parts, 2^n_sites) float64.

    Parameters
    ----------
    bits : outcomes (batch, n_sites).
    bases : basis of each row, (batch,) of strings.
    parts : part of each row, (batch,) in 0 ... n_parts - 1.
    """
    size = 1 << bits.shape[1]
    flat = parts * size + state_number(bits)
    counts: dict[str, Tensor] = {}
    for basis in np.unique(bases):
        rows = torch.from_numpy(bases == basis)
        counts[str(basis)] = torch.bincount(flat[rows], minlength=n_parts * size).reshape(n_parts, size).double()
    return counts


class ExactLikelihood:
    """Training by exact sums; a `Trainable` that needs no batch.

    Parameters
    ----------
    energies : machine of the modulus, and that of the phase if there is one, at their first weights.
    counts : of `histograms`, one part a fold.
    settings : how.

    Attributes
    ----------
    best_step : step before which rows left out were most likely; 0 at first.
    """

    def __init__(self, energies: list[BoltzmannEnergy], counts: Mapping[str, Tensor], settings: Fit) -> None:
        self._energies, self._settings = energies, settings
        self._train, self._held = _shares(counts, settings.n_folds)
        n_replicas = next(iter(self._train.values())).shape[0]
        self._weights = [
            {name: p.detach().repeat(n_replicas, *[1] * p.ndim).requires_grad_() for name, p in e.named_parameters()}
            for e in energies
        ]
        flat = [p for weights in self._weights for p in weights.values()]
        self._optimizer = torch.optim.Adam(flat, lr=settings.learning_rate)
        self._states = all_states(energies[0].W.shape[0])
        self._best, self.best_step, self._step, self._kept = float("inf"), 0, 0, self._last()

    def train_step(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step; return minus the log likelihood of all rows and of those left out, nats a row."""
        log_p = self.log_probabilities()
        loss = sum(-(share * log_p[basis]).sum(dim=1) for basis, share in self._train.items())
        assert isinstance(loss, Tensor)
        told = {"nll": loss[-1].detach()}
        if self._held:
            with torch.no_grad():
                k = self._settings.n_folds
                held = sum(-(share * log_p[basis][:k]).sum(dim=1) for basis, share in self._held.items())
            assert isinstance(held, Tensor)
            told["held_out_nll"] = held.mean()
            if told["held_out_nll"] < self._best:
                self._best, self.best_step, self._kept = told["held_out_nll"].item(), self._step, self._last()
        self._optimizer.zero_grad()
        loss.sum().backward()  # replicas do not meet: each gets its own gradient
        self._optimizer.step()
        self._step += 1
        return told

    def log_probabilities(self) -> dict[str, Tensor]:
        """Return log |U_b psi|^2 of every replica and state, by basis, each (replica, 2^n_sites)."""
        minus_f = -self._free_energy(0)
        log_p = minus_f - torch.logsumexp(minus_f, dim=1, keepdim=True)
        plain = "Z" * self._states.shape[1]
        if list(self._train) == [plain]:
            return {plain: log_p}
        phase = torch.zeros_like(log_p) if len(self._weights) == 1 else -self._free_energy(1) / 2
        psi = torch.polar((log_p / 2).exp(), phase)
        tiny = torch.finfo(torch.float64).tiny
        return {basis: rotate(psi, basis).abs().square().clamp_min(tiny).log() for basis in self._train}

    def finish(self) -> int:
        """Copy the weights of the best step into the machines; return the step."""
        chosen, step = (self._kept, self.best_step) if self._held else (self._last(), self._step)
        for energy, weights in zip(self._energies, chosen, strict=True):
            energy.load_state_dict(weights)
        return step

    def exhausted(self) -> bool:
        """Return whether rows left out have become no more likely for `patience` steps."""
        return bool(self._held) and self._step - self.best_step > self._settings.patience

    def _free_energy(self, which: int) -> Tensor:
        """Return F of all states, (replica, 2^n_sites), of the modulus (0) or the phase (1)."""
        energy, weights = self._energies[which], self._weights[which]
        return vmap(lambda w: functional_call(energy, w, (self._states,)))(weights)

    def _last(self) -> list[dict[str, Tensor]]:
        return [{name: p.detach()[-1].clone() for name, p in weights.items()} for weights in self._weights]


def _shares(counts: Mapping[str, Tensor], n_folds: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return shares of outcomes (n_folds + 1, state) to train on and (n_folds, state) left out, by basis."""
    every = {basis: n.sum(dim=0, keepdim=True) for basis, n in counts.items()}
    if n_folds == 0:
        return _normalised(every), {}
    train = {basis: torch.cat([every[basis] - n, every[basis]]) for basis, n in counts.items()}
    return _normalised(train), _normalised(counts)


def _normalised(counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    total = torch.stack([n.sum(dim=1, keepdim=True) for n in counts.values()]).sum(dim=0)
    return {basis: n / total for basis, n in counts.items()}


@dataclass(frozen=True)
class BlockGibbs:
    """Kernel of a Boltzmann machine: draws all hidden units given the visible, then all visible ones.

    It ends with an offer to turn all units around, s -> 1 - s, accepted with probability min(1, exp(F(s) - F(1 - s))):
    states of a magnet that differ by their sign alone are far apart for single units.
    """

    def init(self, x: Tensor, energy: Energy) -> Positions:
        """Return the state of chains at x (chain, n_sites) of bits; `energy` is a binary `BoltzmannEnergy`."""
        return Positions(x)

    @torch.no_grad()
    def step(self, state: Positions, energy: Energy, generator: torch.Generator) -> tuple[Positions, Positions]:
        """Return the next state, and for the reader nothing more than that."""
        assert isinstance(energy, BoltzmannEnergy)
        v = energy.sample_visible(energy.sample_hidden(state.x, generator), generator)
        uniform = torch.rand(len(v), generator=generator, dtype=v.dtype, device=v.device)
        turned = uniform.log() < energy(v) - energy(1 - v)
        return Positions(torch.where(turned[:, None], 1 - v, v)), Positions(v[:0])
