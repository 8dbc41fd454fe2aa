r"""How a restricted Boltzmann machine learns: a step along data minus model, with four sources of the model side.

    exact       all states of the smaller layer (`reverie.models.rbm.sampling`), up to 20 units
    pcd         persistent chains, k Gibbs sweeps between updates (Tieleman, ICML 2008)
    cd          k sweeps that start at the batch (Hinton 2002): cheap, biased, knows only the surroundings of the data
    tempering   persistent chains at several inverse temperatures that swap places: for data of separate modes
                (Desjardins et al., AISTATS 2010), along the path of `reverie.models.rbm.likelihood`

Steps are centred (`reverie.objectives.contrastive`): mu is the mean of the data, lambda a sliding mean of the hidden
units. The weights that the model keeps are an exponential average of those that are trained, whose chains make them
scatter (Swersky et al., ITA workshop 2010): on binarised MNIST it is worth ten nats early in training.

Exact training of a small machine starts from several random weights side by side, and the one of highest likelihood
is kept, because the likelihood has local maxima (XOR: three patterns out of four).

s of Gaussian units stays within 0.03 and 1.1 standard deviations of the data. A machine whose chains leave the data
by far diverges, which ends training or takes it back (`reverie.models.training_run`).

The options of a restricted Boltzmann machine, checked and resolved: what "auto" comes to.

Chains that stand for a restricted Boltzmann machine while it learns.

    cd          k Gibbs sweeps that start at the batch
    pcd         chains of hidden states that go on from update to update, k sweeps each
    tempering   chains of visible states at several inverse temperatures, k sweeps each, which then swap places

A level beta is that of `reverie.models.rbm.likelihood`; two levels swap with probability min(1, exp(a)), where a is the
difference of their betas times the difference of the joint weights that beta multiplies (`reverie.samplers.tempering`).
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled
from reverie.core.checks import check_choice
from reverie.core.errors import TrainingError
from reverie.core.random import child_generator
from reverie.models.rbm.likelihood import BoltzmannPath, base_rate, exact_log_partition, pilot
from reverie.models.rbm.networks import MANY_WEIGHTS, fresh_energy
from reverie.models.rbm.sampling import ExactSum, exchange, gradient_of, unique_rows
from reverie.models.training_run import TrainStep
from reverie.networks.boltzmann import VISIBLE, BoltzmannEnergy, smaller_layer
from reverie.objectives.contrastive import Gradient, centred, combined, compensation
from reverie.training.averaging import ema_decay, ema_update
from reverie.training.descent import Descent
from reverie.training.monitor import Observation, kind_of_rise
from reverie.training.optimizers import OPTIMIZERS, learning_rate_factor
from reverie.training.scores import weighted_mean

__all__ = [
    "BoltzmannLearner",
    "LEARNING_RATES",
    "METHODS",
    "ModelChains",
    "Settings",
    "check_options",
    "resolved_settings",
]

METHODS = ("auto", "exact", "pcd", "cd", "tempering")
NARROWEST, WIDEST = 0.03, 1.1  # s of Gaussian units, in standard deviations of the data
_MOST_ODDS = 999.0  # of first visible biases: a unit that is off in all data must still be able to learn
_SOON_SUMMED = 1 << 24  # terms of log Z that are summed at every check
_OFFSET_MEMORY = 0.99
_NOISY_MEMORY, _EXACT_MEMORY = 0.999, 0.95  # of Adam's squares: exact gradients are not noisy and shrink a lot
_OVERFITTED = 4.0  # standard errors above the least held-out loss
_CHECK_TEMPERATURES, _CHECK_CHAINS = 300, 64
_FEW_ROWS = 4096  # different rows that an exact step takes all at once
_AVERAGE_EVERY = 10  # to average so many takes as long as a tenth of a step
_HOLD, _FLOOR = 0.0, 0.01  # the rate falls along half a cosine from the first step
_FAR = 3.0  # times the largest value of the data: chains beyond diverge


@dataclass(frozen=True)
class Settings:
    """How to learn; the options of `reverie.models.rbm.RBM` by the same names, resolved.

    `all_rows` says whether an exact step takes all different rows rather than a batch.
    """

    method: str
    max_steps: int
    learning_rate: float
    optimizer: str
    momentum: float
    weight_decay: float
    centred: bool
    n_gibbs: int
    n_chains: int
    n_levels: int
    n_restarts: int
    ema_decay: float
    all_rows: bool
    seed: int
    compile: bool | str = False


class BoltzmannLearner(TrainStep):
    """What a `reverie.models.training_run.TrainingRun` trains.

    Parameters
    ----------
    energy : untrained machine on its device; its biases are set to the base rate of the data.
    settings : how to learn.
    train : rows "x" (n, *event) and perhaps "weight" (n,).
    """

    def __init__(self, energy: BoltzmannEnergy, settings: Settings, train: Mapping[str, Tensor]) -> None:
        self.settings, self.step, self.rate_factor = settings, 0, 1.0
        device = energy.W.device
        v, weight = train["x"].flatten(1), train.get("weight")
        self.base = base_rate(v, energy.visible, weight)
        self.mu = (v.mean(0) if weight is None else (weight.to(v.dtype) @ v) / weight.sum()).to(device)
        self.machines = [self._started(energy, k) for k in range(settings.n_restarts)]
        self.averages = [copy.deepcopy(machine) for machine in self.machines]
        self.sums = ExactSum(energy) if settings.method == "exact" else None
        self.rows = self._all_rows(v, weight, device)
        memory = _NOISY_MEMORY if self.rows is None else _EXACT_MEMORY
        self._descents = [_descent(machine, settings, memory) for machine in self.machines]
        self.compiled = Compiled(self._update, mode=settings.compile, n_calls=settings.max_steps)
        self.offsets = [torch.full_like(machine.hidden_bias, 0.5).detach() for machine in self.machines]
        self.likelihood = torch.zeros(settings.n_restarts, dtype=torch.float64, device=device)
        sizes = {"n_gibbs": settings.n_gibbs, "n_chains": settings.n_chains, "n_levels": settings.n_levels}
        self.chains = ModelChains(settings.method, self.base, **sizes)
        with torch.no_grad():
            self.chains.begin(self.machines[0], child_generator(settings.seed, "chains", device=device))
        self.farthest, self._reach = torch.zeros((), device=device), float(v.abs().max())
        self.least, self.least_error, self.least_gap = math.inf, 0.0, 0.0

    def train_step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step of every machine; return what it met, on the device."""
        settings = self.settings
        factor = self.rate_factor * learning_rate_factor(self.step, settings.max_steps, hold=_HOLD, floor=_FLOOR)
        with torch.no_grad():
            scalars = self.compiled((dict(batch), settings.learning_rate * factor), generator)
            self.step += 1
            every = _AVERAGE_EVERY if self.mu.numel() * len(self.offsets[0]) > MANY_WEIGHTS else 1
            if self.step % every == 0:
                decay = ema_decay(self.step // every, self.settings.ema_decay**every)
                for average, machine in zip(self.averages, self.machines, strict=True):
                    ema_update(list(average.parameters()), list(machine.parameters()), decay=decay)
        return scalars

    def networks(self) -> dict[str, nn.Module]:
        """Return the averaged machine, the one of highest likelihood."""
        return {"boltzmann": self.averages[int(self.likelihood.argmax())]}

    def states(self, generator: torch.Generator) -> Tensor:
        """Return states v (n, visible), roughly distributed as the machine."""
        energy: Any = self.networks()["boltzmann"]
        with torch.no_grad():
            return self.chains.states(energy, generator)

    def observe(
        self, held_out: Mapping[str, Tensor], train: Mapping[str, Tensor], generator: torch.Generator
    ) -> Observation:
        """Return the held-out loss -log p: of each row where log Z is exact, else its mean with the error of log Z."""
        with torch.no_grad():
            self._check_chains()
            energy: Any = self.networks()["boltzmann"]
            free = energy(held_out["x"].flatten(1)).double()
            of_train = energy(train["x"].flatten(1)).double()
            mean_free = float(weighted_mean(free, held_out.get("weight")))
            gap = mean_free - float(weighted_mean(of_train, train.get("weight")))
            if self._is_soon_summed(energy):
                log_z = exact_log_partition(energy).value
                scalars = {"free_energy_gap": gap, "log_z": log_z}
                return Observation(self.step, losses=free + log_z, gap=gap, scalars=scalars)
            path = BoltzmannPath(energy, self.base)
            estimate, _ = pilot(path, _CHECK_CHAINS, generator, n_temperatures=_CHECK_TEMPERATURES)
        loss, error = mean_free + estimate.value, estimate.error
        scalars = {"free_energy_gap": gap, "log_z": estimate.value, "held_out_loss": loss, "held_out_error": error}
        return Observation(self.step, scalars=scalars, signs=self._signs(loss, error, gap))

    def state_dict(self) -> dict[str, Any]:
        """Return machines, averages, optimisers, chains and all else that the next step needs."""
        return {
            "step": self.step,
            "rate_factor": self.rate_factor,
            "machines": [machine.state_dict() for machine in self.machines],
            "averages": [average.state_dict() for average in self.averages],
            "descents": [descent.state_dict() for descent in self._descents],
            "offsets": [offset.clone() for offset in self.offsets],
            "likelihood": self.likelihood.clone(),
            "chains": self.chains.state.clone(),
            "least": [self.least, self.least_error, self.least_gap],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.step, self.rate_factor = state["step"], state["rate_factor"]
        for name in ("machines", "averages", "descents"):
            for part, stored in zip(getattr(self, name), state[name], strict=True):
                part.load_state_dict(stored)
        for offset, stored in zip(self.offsets, state["offsets"], strict=True):
            offset.copy_(stored)
        self.likelihood.copy_(state["likelihood"])
        self.chains.state.copy_(state["chains"])
        self.least, self.least_error, self.least_gap = state["least"]

    def _data(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return rows of the data and their weights, which add up to one on average."""
        if self.rows is not None:
            return self.rows
        v, weight = batch["x"].flatten(1), batch.get("weight")
        return v, torch.full_like(v[:, 0], 1 / len(v)) if weight is None else weight.to(v.dtype) / len(v)

    def _update(self, inputs: tuple[Mapping[str, Tensor], Any], generator: torch.Generator) -> dict[str, Tensor]:
        batch, rate = inputs
        v, r = self._data(batch)
        if self.sums is not None:
            return self._exact_step(self.sums, v, r, rate)
        return self._sampled_step(v, r, rate, generator)

    def _exact_step(self, sums: ExactSum, v: Tensor, r: Tensor, rate: Any) -> dict[str, Tensor]:
        for k, machine in enumerate(self.machines):
            h = machine.hidden_mean(v)
            model, log_z = sums.gradient(machine)
            self.likelihood[k] = -(r.double() @ machine(v).double()) - r.double().sum() * log_z
            self._move(k, combined([gradient_of(machine, v, h, r), model], [1.0, -r.sum()]), h, rate)
        return {"loss": -self.likelihood.max()}

    def _sampled_step(self, v: Tensor, r: Tensor, rate: Any, generator: torch.Generator) -> dict[str, Tensor]:
        machine = self.machines[0]
        h = machine.hidden_mean(v)
        model_v, model_h = self.chains.rows(machine, h, generator)
        r_model = torch.full_like(model_v[:, 0], 1 / len(model_v)) * -r.sum()
        gradient = gradient_of(machine, torch.cat([v, model_v]), torch.cat([h, model_h]), torch.cat([r, r_model]))
        self._move(0, gradient, h, rate)
        if machine.log_variance is not None:
            self.farthest.copy_(model_v.abs().max())
        told = {
            "mean_gap": (model_v.mean(0) - self.mu).square().mean().sqrt(),
            "weight": machine.W.square().mean().sqrt(),
        }
        return told | ({"swaps": self.chains.swaps} if self.settings.method == "tempering" else {})

    def _move(self, k: int, gradient: Gradient, h: Tensor, rate: Any) -> None:
        """Move machine `k` along the gradient, centred by the hidden means h of the data."""
        machine, settings, offset = self.machines[k], self.settings, self.offsets[k]
        mu = self.mu if settings.centred else torch.zeros_like(self.mu)
        offset = offset.lerp_(h.mean(0), 1 - _OFFSET_MEMORY) if settings.centred else torch.zeros_like(offset)
        step = centred(gradient, mu, offset, machine.log_variance)
        if settings.weight_decay:
            step.W.sub_(machine.W, alpha=settings.weight_decay)
        parts = [step.W, step.visible_bias, step.hidden_bias, step.log_variance]
        before = machine.W.clone()
        self._descents[k].step([-part for part in parts if part is not None], rate)
        a, b = compensation(machine.W - before, mu, offset, machine.log_variance)
        machine.visible_bias.add_(a)
        machine.hidden_bias.add_(b)
        if machine.log_variance is not None:
            machine.log_variance.clamp_(2 * math.log(NARROWEST), 2 * math.log(WIDEST))

    def _signs(self, loss: float, error: float, gap: float) -> dict[str, tuple[str, str]]:
        if loss < self.least:
            self.least, self.least_error, self.least_gap = loss, error, gap
        excess = loss - self.least
        if excess <= max(_OVERFITTED * math.hypot(error, self.least_error), 0.5):
            return {}
        kind = kind_of_rise(excess, gap, self.least_gap)
        return {kind: (f"The held-out loss is {loss:.4g}, {excess:.2g} above its best.", "")}

    def _is_soon_summed(self, energy: BoltzmannEnergy) -> bool:
        """Return whether checks sum log Z: states whose estimate is too low would pass for the best."""
        return self.sums is not None or max(energy.W.shape) << smaller_layer(energy) <= _SOON_SUMMED

    def _check_chains(self) -> None:
        farthest = float(self.farthest)
        if not farthest <= _FAR * self._reach + 10:
            raise TrainingError(
                f"Training diverges: chains of the machine reach {farthest:.3g}, the data {self._reach:.3g} standard "
                "deviations. Lower the learning rate.",
                step=self.step,
            )

    def _started(self, energy: BoltzmannEnergy, k: int) -> BoltzmannEnergy:
        """Return the machine of restart `k`: random weights of its own, and no couplings but these."""
        machine = energy
        if k:
            noise = child_generator(self.settings.seed, "restart", k)
            n_visible, n_hidden = energy.W.shape
            machine = fresh_energy(n_visible, n_hidden, energy.visible, noise).to(energy.W.device)
        mean, log_variance = self.base
        with torch.no_grad():
            most = math.log(_MOST_ODDS) if log_variance is None else math.inf
            machine.visible_bias.copy_(mean.clamp(-most, most))
            if machine.log_variance is not None and log_variance is not None:
                machine.log_variance.copy_(log_variance.clamp(2 * math.log(NARROWEST), 0.0))
        return machine

    def _all_rows(self, v: Tensor, weight: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor] | None:
        """Return the different rows and their weights where an exact step takes them all, else None."""
        if self.sums is None or not self.settings.all_rows:
            return None
        rows, r = unique_rows(v, weight)
        most = max(_FEW_ROWS, 1 << smaller_layer(self.machines[0]))
        return (rows.to(device), r.to(device)) if len(rows) <= most else None


def _descent(machine: BoltzmannEnergy, settings: Settings, memory: float) -> Descent:
    betas = (settings.momentum, memory)
    return Descent(machine.parameters(), settings.optimizer, learning_rate=settings.learning_rate, betas=betas)


_EXACT_TRAINING = 12  # units of the smaller layer up to which method "auto" trains exactly
_GAUSSIAN_SWEEPS = 10  # their persistent chains are slow: with one sweep the machine runs away from its chains
LEARNING_RATES: Mapping[tuple[str, str, str], tuple[float, str]] = MappingProxyType(
    {  # (optimiser, gradient, visible units) -> rate, and where it comes from; AdamW and RMSprop go by Adam's rows
        ("sgd", "sampled", "binary"): (0.2, "the run of 500 hidden units on binarised MNIST in docs/theory/rbm.md"),
        ("sgd", "sampled", "gaussian"): (0.2, "as for binary units; not measured: the default optimiser is Adam"),
        ("sgd", "exact", "binary"): (5.0, "the best on XOR, seed 0: 2 stayed at its start, 10 was unsteady"),
        ("sgd", "exact", "gaussian"): (0.2, "the best of 0.05, 0.2 and 1 on two Gaussian clusters, seed 0"),
        ("adam", "exact", "binary"): (0.1, "the runs on Ising lattices and XOR in docs/theory/rbm.md, of 800 steps"),
        ("adam", "exact", "gaussian"): (0.03, "between 0.01 and 0.1, which end alike in the table of Gaussian units"),
        ("adam", "sampled", "binary"): (0.01, "as for Gaussian units; not measured: the default optimiser is SGD"),
        ("adam", "sampled", "gaussian"): (0.01, "the best of the four rates of pcd in the table of Gaussian units"),
        ("adagrad", "exact", "binary"): (0.5, "between 0.3 and 1, which end alike on XOR, seed 0"),
        ("adagrad", "exact", "gaussian"): (0.5, "better than 0.1 on two Gaussian clusters, seed 0"),
        ("adagrad", "sampled", "binary"): (0.3, "on XOR, seed 0: 0.1 stayed at its start"),
        ("adagrad", "sampled", "gaussian"): (0.3, "better than 0.1 on two Gaussian clusters, seed 0"),
        ("adadelta", "exact", "binary"): (10.0, "the best on XOR, seed 0: 1 stayed at its start"),
        ("adadelta", "exact", "gaussian"): (10.0, "better than 1 on two Gaussian clusters, seed 0"),
        ("adadelta", "sampled", "binary"): (10.0, "on XOR, seed 0: 1 stayed at its start"),
        ("adadelta", "sampled", "gaussian"): (10.0, "better than 1 on two Gaussian clusters, seed 0"),
    }
)
_LIKE = {"adamw": "adam", "rmsprop": "adam"}  # whose steps are as long
_RESTARTS, _RESTARTED = 5, 10  # machines side by side, for smaller layers of so many units


def resolved_settings(model: Any, energy: BoltzmannEnergy) -> Settings:
    """Return how the machine `energy` is to learn: the options of `model`, each "auto" resolved."""
    small = smaller_layer(energy)
    method = ("exact" if small <= _EXACT_TRAINING else "pcd") if model.method == "auto" else model.method
    exact = method == "exact"
    sgd = energy.visible == "binary" and not exact
    optimizer = ("sgd" if sgd else "adam") if model.optimizer == "auto" else model.optimizer
    key = (_LIKE.get(optimizer, optimizer), "exact" if exact else "sampled", energy.visible)
    rate, _ = LEARNING_RATES[key]
    sweeps = _GAUSSIAN_SWEEPS if method == "pcd" and energy.visible == "gaussian" else 1
    restarts = (_RESTARTS if exact and small <= _RESTARTED else 1) if model.n_restarts == "auto" else model.n_restarts
    return Settings(
        method=method,
        max_steps=int(model.max_steps),
        learning_rate=rate if model.learning_rate == "auto" else float(model.learning_rate),
        optimizer=optimizer,
        momentum=(0.0 if optimizer == "sgd" else 0.9) if model.momentum == "auto" else float(model.momentum),
        weight_decay=model.weight_decay,
        centred=model.centred,
        n_gibbs=sweeps if model.n_gibbs == "auto" else int(model.n_gibbs),
        n_chains=int(model.n_chains),
        n_levels=int(model.n_levels),
        n_restarts=int(restarts) if exact else 1,
        ema_decay=(0.0 if exact else 0.999) if model.ema_decay == "auto" else float(model.ema_decay),
        all_rows=model.batch_size == "auto",
        seed=model.seed_,
        compile=model.compile,
    )


def check_options(model: Any) -> None:
    """Raise `InputError` for options of `model` that are out of range."""
    check_choice("method", model.method, dict.fromkeys(METHODS, True))
    check_choice("visible", model.visible, dict.fromkeys(("auto", *VISIBLE), True))
    if model.optimizer != "auto":
        check_choice("optimizer", model.optimizer, OPTIMIZERS)


_STATES = 256  # that a machine without chains of its own is asked for

Base = tuple[Tensor, Tensor | None]


class ModelChains:
    """The source of the model's rows.

    Parameters
    ----------
    method : "cd", "pcd" or "tempering".
    base : from `reverie.models.rbm.likelihood.base_rate`.
    n_gibbs, n_chains, n_levels : sweeps between updates, chains (of each level), levels.

    Attributes
    ----------
    state : what goes on from update to update: h (chain, hidden), v (level * chain, visible), or nothing.
    swaps : share of the swaps of the last update that were made.
    """

    def __init__(self, method: str, base: Base, *, n_gibbs: int, n_chains: int, n_levels: int) -> None:
        self.method, self.base, self.n_gibbs, self.n_chains = method, base, n_gibbs, n_chains
        self.betas = torch.linspace(1, 0, n_levels)
        self.state, self.swaps = torch.zeros(0), torch.zeros(())

    def begin(self, machine: BoltzmannEnergy, generator: torch.Generator) -> None:
        """Start the chains of an untrained machine."""
        path = self._path(machine)
        if self.method == "pcd":
            level = path.start(self.n_chains, generator)
            self.state = path.draw_hidden(level.x, 1.0, generator)
        elif self.method == "tempering":
            self.state = path.start(self.n_chains * len(self.betas), generator).v

    def rows(self, machine: BoltzmannEnergy, h: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return v of the model and the mean of h given it.

        Parameters
        ----------
        machine : as it is now.
        h : (batch, hidden), the mean of the hidden units given the batch, where cd starts.
        generator : all randomness.
        """
        if self.method == "tempering":
            return self._tempered(machine, generator)
        bits, v = self.state if self.method == "pcd" else _bits(h, generator), h
        for _ in range(self.n_gibbs):
            v = machine.sample_visible(bits, generator)
            h = machine.hidden_mean(v)
            bits = _bits(h, generator)
        if self.method == "pcd":
            self.state.copy_(bits)
        return v, h

    def states(self, machine: BoltzmannEnergy, generator: torch.Generator) -> Tensor:
        """Return v (n, visible), roughly distributed as the machine."""
        if self.method == "pcd":
            return machine.sample_visible(self.state, generator)
        if self.method == "tempering":
            return self.state[: self.n_chains].clone()
        return pilot(BoltzmannPath(machine, self.base), _STATES, generator)[1].to(machine.W.dtype)

    def _tempered(self, machine: BoltzmannEnergy, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        path = self._path(machine)
        betas = self.betas.to(self.state.device)
        v, made = exchange(path, self.state, betas, generator, n_sweeps=self.n_gibbs)
        self.swaps.copy_(made)
        self.state.copy_(v)
        return v[: self.n_chains], machine.hidden_mean(v[: self.n_chains])

    def _path(self, machine: BoltzmannEnergy) -> BoltzmannPath:
        return BoltzmannPath(machine, self.base, dtype=machine.W.dtype)


def _bits(p: Tensor, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(p.shape, generator=generator, dtype=p.dtype, device=p.device)
    return torch.lt(uniform, p, out=uniform)
