r"""Maximum likelihood for wave functions of Boltzmann machines: by exact sums, and with chains where they are too many.

Counts n_b(s) of outcomes in bases b, measured in the state psi of `reverie.models.wavefunction.state`, have

    - log L / N = - sum_b sum_s (n_b(s) / N) log |(U_b psi)(s)|^2,

of which the basis Z, log p = -F - log Z, is the first case. `ExactLikelihood` sums all 2^n states in float64, for a
histogram of the rows instead of the rows. It chooses the number of steps by cross-validation within the one run:
K + 1 replicas start at the same weights; K of them leave one part of the rows out each, the last has all rows. The
last one is stopped at the step at which the mean log likelihood of the parts left out was highest. On 10,000 rows of a
chain of ten sites this removes a third of the divergence of the maximum of the likelihood, which has learnt the noise
as well.

`SampledLikelihood` follows <dF>_data - <dF>_model with persistent chains (Tieleman, ICML 2008). Of an average of its
weights over some hundred steps, which takes out the noise of the chains, it keeps those at which a part of the rows
held out was most likely: by exact log Z where one layer is small, else by the pseudo-likelihood
(`reverie.networks.boltzmann`). Its step changes weights, moments, average and chains in place, so that it can be
compiled whole.
"""

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import softplus

from reverie.compile.step import Compiled
from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.core.types import State
from reverie.models.training_run import TrainingOptions, TrainStep
from reverie.models.wavefunction.state import TurningGibbs
from reverie.networks.boltzmann import (
    BoltzmannEnergy,
    all_states,
    log_partition,
    pseudo_log_likelihood,
    rotate,
    state_number,
)
from reverie.objectives.contrastive import likelihood_gradient
from reverie.samplers.gibbs import GibbsState
from reverie.training.descent import Descent, ema_update
from reverie.training.monitor import Observation

__all__ = ["ExactLikelihood", "Fit", "SampledLikelihood", "WaveFunctionStep", "histograms", "initial_energy"]

_CLIP = 0.01  # of mean bits that make the first biases
_SMALL_LAYER = 12  # units that are enumerated at every check
_CHECKS_IN_PATIENCE = 10
_MEMORY = 0.99  # of the average of the weights, per step
_BETAS = (0.9, 0.999)  # of Adam

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Fit:
    """How to maximise a likelihood; the options of `reverie.WaveFunctionRBM` by the same names, resolved."""

    max_steps: int
    learning_rate: float
    n_folds: int
    patience: int
    batch_size: int
    n_chains: int
    n_gibbs: int
    compile: bool | str = False


class WaveFunctionStep(TrainStep):
    """A train step of the machines of a wave function, which chooses its own end by rows left out.

    Parameters
    ----------
    energies : machine of the modulus, and that of the phase if there is one, at their first weights.
    settings : how.

    Attributes
    ----------
    start : number of the first weights that it starts at; the noise of every start is its own.
    best_step : step at which rows left out were most likely; 0 at first.
    least : minus their log likelihood, or pseudolikelihood, then, nats a row.
    """

    start: int = 0
    best_step: int = 0
    least: float = float("inf")

    def __init__(self, energies: list[BoltzmannEnergy], settings: Fit) -> None:
        self.energies, self.settings = energies, settings
        self._best = [_copied(energy) for energy in energies]

    @abstractmethod
    def present(self) -> list[Weights]:
        """Return a copy of the weights of each machine as they are now."""

    def finish(self) -> int:
        """Copy the weights of the best step into the machines, the last ones of a training that leaves no rows out.

        Returns the step that they belong to.
        """
        chosen, step = (self._best, self.best_step) if self.settings.n_folds else (self.present(), self.step)
        for energy, weights in zip(self.energies, chosen, strict=True):
            energy.load_state_dict(weights)
        return step

    def is_done(self) -> bool:
        """Return whether rows left out have become no more likely for `patience` steps."""
        return self.settings.n_folds > 0 and self.step - self.best_step > self.settings.patience

    def networks(self) -> Mapping[str, nn.Module]:
        """Return the machines."""
        return dict(zip(("amplitude", "phase"), self.energies, strict=False))

    def noise_generator(self, seed: int, device: torch.device) -> torch.Generator:
        """Return the generator of this start."""
        return child_generator(seed, "noise", self.start, device=device)

    def observe(
        self, held_out: Mapping[str, Tensor], train: Mapping[str, Tensor], generator: torch.Generator
    ) -> Observation:
        """Return nothing but the step: rows left out are judged within the steps."""
        return Observation(self.step)

    def state_dict(self) -> State:
        """Return what the choice of the step needs for an exact resume; children add the rest."""
        return {"step": self.step, "least": self.least, "best_step": self.best_step, "best": self._best}

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` returned."""
        self.step, self.least, self.best_step = state["step"], state["least"], state["best_step"]
        self._best = state["best"]

    def _judge(self, nll: Tensor) -> None:
        """Keep the present weights if rows left out, of minus log likelihood `nll`, were never more likely."""
        if nll < self.least:
            self.least, self.best_step, self._best = nll.item(), self.step, self.present()


def initial_energy(
    n_sites: int, n_hidden: int, generator: torch.Generator, bits: Tensor | None = None
) -> BoltzmannEnergy:
    """Return a float64 machine of small random weights; its visible biases give the means of `bits`."""
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


class ExactLikelihood(WaveFunctionStep):
    """A train step by exact sums, which needs no batch.

    Parameters
    ----------
    energies, settings : as in `WaveFunctionStep`.
    bits, bases : rows (batch, n_sites), and the basis that each was measured in.
    seed : root of the folds.
    """

    def __init__(
        self, energies: list[BoltzmannEnergy], bits: Tensor, bases: np.ndarray, settings: Fit, seed: int
    ) -> None:
        super().__init__(energies, settings)
        n_parts = max(settings.n_folds, 1)
        counts = histograms(bits, bases, _folds(len(bits), n_parts, seed), n_parts)
        every = {basis: n.sum(dim=0, keepdim=True) for basis, n in counts.items()}
        if settings.n_folds:  # a replica without each part, and one with all
            without = {basis: torch.cat([every[basis] - n, every[basis]]) for basis, n in counts.items()}
            self._train, self._held = _normalised(without), _normalised(counts)
        else:
            self._train, self._held = _normalised(every), {}
        n_replicas = settings.n_folds + 1
        self.weights = [
            {name: p.detach().repeat(n_replicas, *[1] * p.ndim).requires_grad_() for name, p in e.named_parameters()}
            for e in energies
        ]
        flat = [p for weights in self.weights for p in weights.values()]
        self._optimizer = torch.optim.Adam(flat, lr=settings.learning_rate)
        self._states = all_states(energies[0].W.shape[0])

    def train_step(self, batch: None, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step; return minus the log likelihood of all rows and of those left out, nats a row."""
        log_p = self.log_probabilities()
        loss = _surprise(self._train, log_p)
        scalars = {"nll": loss[-1].detach()}
        if self._held:
            scalars["held_out_nll"] = _surprise(self._held, log_p).detach().mean()
            self._judge(scalars["held_out_nll"])
        self._optimizer.zero_grad()
        loss.sum().backward()  # replicas do not meet: each gets its own gradient
        self._optimizer.step()
        self.step += 1
        return scalars

    def log_probabilities(self) -> dict[str, Tensor]:
        """Return log |U_b psi|^2 of every replica and state, by basis, each (replica, 2^n_sites)."""
        minus_f, *phase = (
            -vmap(lambda w, energy=energy: functional_call(energy, w, (self._states,)))(weights)
            for energy, weights in zip(self.energies, self.weights, strict=True)
        )
        log_p = minus_f - torch.logsumexp(minus_f, dim=1, keepdim=True)
        plain = "Z" * self._states.shape[1]
        if list(self._train) == [plain]:
            return {plain: log_p}
        psi = torch.polar((log_p / 2).exp(), phase[0] / 2 if phase else torch.zeros_like(log_p))
        tiny = torch.finfo(torch.float64).tiny
        return {basis: rotate(psi, basis).abs().square().clamp_min(tiny).log() for basis in self._train}

    def present(self) -> list[Weights]:
        """Return the weights of the replica that has all rows."""
        return [{name: p.detach()[-1].clone() for name, p in weights.items()} for weights in self.weights]

    def compiled_steps(self) -> Sequence[Compiled]:
        """Return nothing: sums over all states run as they are."""
        return ()

    def batches(
        self, rows: Mapping[str, object], options: TrainingOptions, seed: int, device: object
    ) -> Callable[[int], None]:
        """Return the batches of the steps: none."""
        return lambda step: None  # noqa: ARG005 - the histogram holds all rows

    def rows_at_once(self, size: int) -> int:
        """Return the number of states."""
        return len(self._states)

    def state_dict(self) -> State:
        """Return all that an exact resume needs."""
        weights = [{name: p.detach() for name, p in w.items()} for w in self.weights]
        return super().state_dict() | {"weights": weights, "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Take up the state that `state_dict` returned."""
        super().load_state_dict(state)
        for mine, theirs in zip(self.weights, state["weights"], strict=True):
            for name, p in mine.items():
                p.data.copy_(theirs[name])
        self._optimizer.load_state_dict(state["optimizer"])


class SampledLikelihood(WaveFunctionStep):
    """A train step of one machine with persistent chains, whose batches are rows of bits (batch, n_sites).

    Parameters are those of `ExactLikelihood`; `InputError` for a second machine, or rows in other bases than Z.
    """

    def __init__(
        self, energies: list[BoltzmannEnergy], bits: Tensor, bases: np.ndarray, settings: Fit, seed: int
    ) -> None:
        if len(energies) > 1 or set(bases) != {"Z" * bits.shape[1]}:
            raise InputError("Expected rows in the basis Z where states are sampled, got others. Use method='exact'.")
        super().__init__(energies, settings)
        energy = self._energy = energies[0]
        n_folds = settings.n_folds
        is_held_out = _folds(len(bits), n_folds, seed) == 0 if n_folds else torch.zeros(len(bits), dtype=torch.bool)
        self._rows, self._held = bits[~is_held_out], bits[is_held_out]
        half = torch.full((settings.n_chains, bits.shape[1]), 0.5, dtype=torch.float64)
        self._chains = torch.bernoulli(half, generator=child_generator(seed, "chains"))
        self._kernel = TurningGibbs(settings.n_gibbs)
        weights = [energy.W, energy.visible_bias, energy.hidden_bias]
        self._descent = Descent(weights, "adam", learning_rate=settings.learning_rate, betas=_BETAS)
        self._average = copy.deepcopy(energy)
        self.compiled = Compiled(self._update, mode=settings.compile, n_calls=settings.max_steps)
        self._held_out_nll = torch.tensor(0.0, dtype=torch.float64)

    def train_step(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step; return the gap of mean free energies, data minus chains, and the last held-out figure."""
        scalars = self.compiled((batch, {"rate": self.settings.learning_rate, "decay": _MEMORY}), generator)
        self.step += 1
        if len(self._held) and self.step % max(1, self.settings.patience // _CHECKS_IN_PATIENCE) == 0:
            with torch.no_grad():
                if min(self._average.W.shape) <= _SMALL_LAYER:
                    self._held_out_nll = self._average(self._held).mean() + log_partition(self._average)
                else:
                    self._held_out_nll = -pseudo_log_likelihood(self._average, self._held).mean()
            self._judge(self._held_out_nll)
        return {**scalars, "held_out_nll": self._held_out_nll}

    @torch.no_grad()
    def _update(
        self, inputs: tuple[Tensor, Mapping[str, float | Tensor]], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Move the chains, then the weights along data minus chains, then their average."""
        batch, numbers = inputs
        energy, chains = self._energy, self._chains
        chains.copy_(self._kernel.step(GibbsState(chains), energy, generator)[0].x)
        s = torch.cat([batch, chains])
        share = torch.cat(
            [torch.full_like(batch[:, 0], -1 / len(batch)), torch.full_like(chains[:, 0], 1 / len(chains))]
        )
        u = energy.hidden_input(s)
        gap = share @ (softplus(u).sum(1) - energy.visible_term(s))
        descent = likelihood_gradient(s, u.sigmoid(), share, W=energy.W, visible_bias=energy.visible_bias)
        self._descent.step([descent.W, descent.visible_bias, descent.hidden_bias], numbers["rate"])
        ema_update(list(self._average.parameters()), list(energy.parameters()), decay=numbers["decay"])
        return {"free_energy_gap": gap}

    def present(self) -> list[Weights]:
        """Return the averaged weights."""
        return [_copied(self._average)]

    def batches(
        self, rows: Mapping[str, object], options: TrainingOptions, seed: int, device: object
    ) -> Callable[[int], Tensor]:
        """Return the function from a step to its rows, drawn with replacement."""
        n = len(self._rows)
        size = (min(self.settings.batch_size, n),)
        return lambda step: self._rows[torch.randint(n, size, generator=child_generator(seed, "batch", step))]

    def rows_at_once(self, size: int) -> int:
        """Return rows and chains."""
        return size + self.settings.n_chains

    def state_dict(self) -> State:
        """Return all that an exact resume needs."""
        now = {"chains": self._chains.clone(), "weights": _copied(self._energy), "average": _copied(self._average)}
        now |= {"held_out_nll": self._held_out_nll, "optimizer": self._descent.state_dict()}
        return super().state_dict() | now

    def load_state_dict(self, state: State) -> None:
        """Take up the state that `state_dict` returned."""
        super().load_state_dict(state)
        self._held_out_nll = state["held_out_nll"]
        self._chains.copy_(state["chains"])
        self._energy.load_state_dict(state["weights"])
        self._average.load_state_dict(state["average"])
        self._descent.load_state_dict(state["optimizer"])


def _folds(n_rows: int, n_parts: int, seed: int) -> Tensor:
    """Return the part of each row, (n_rows,) in 0 ... n_parts - 1, by chance and of equal size up to one."""
    return torch.randperm(n_rows, generator=child_generator(seed, "folds")) % n_parts


def _normalised(counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return shares of outcomes of each part, which add up to one over all bases and states."""
    total = torch.stack([n.sum(dim=1, keepdim=True) for n in counts.values()]).sum(dim=0)
    return {basis: n / total for basis, n in counts.items()}


def _surprise(shares: Mapping[str, Tensor], log_p: Mapping[str, Tensor]) -> Tensor:
    """Return minus the mean log probability under shares of outcomes, (replica,), of as many replicas as shares."""
    parts = [(share * log_p[basis][: len(share)]).sum(dim=1) for basis, share in shares.items()]
    return -torch.stack(parts).sum(dim=0)


def _copied(energy: BoltzmannEnergy) -> Weights:
    return {name: p.detach().clone() for name, p in energy.named_parameters()}
