r"""How a restricted Boltzmann machine learns: a step along data minus model, with four sources of the model side.

    exact       all states of the smaller layer (`reverie.models.rbm.sampling`), up to 20 units
    pcd         persistent chains of hidden states, k Gibbs sweeps between updates (Tieleman, ICML 2008)
    cd          k sweeps that start at the batch (Hinton 2002): cheap, biased, knows only the surroundings of the data
    tempering   persistent chains of visible states at several inverse temperatures, k sweeps each, which then swap
                places: for data of separate modes (Desjardins et al., AISTATS 2010)

The exact model side is a sum over the states of one layer, the mean of the other layer given each being known. Around
its mean given h a Gaussian unit scatters with variance s^2, which adds 1/2 to < -dE / dlog s^2 >.

Steps are centred (`reverie.objectives.contrastive`): mu is the mean of the data, lambda a sliding mean of the hidden
units. The weights that the model keeps are an exponential average of those that are trained, whose chains make them
scatter (Swersky et al., ITA workshop 2010): on binarised MNIST the average gains ten nats early in training.

Exact training of a small machine starts from several random weights side by side, and the one of highest likelihood
is kept, because the likelihood has local maxima (XOR: three patterns out of four).

Where log Z can only be estimated, checks run chains from training events and see how far their means move
(`reverie.models.rbm.sampling.chain_drift`): by a few per cent of the variance for digits learnt by persistent chains,
and by 30 to 40 for those of "cd" with one sweep, whose samples fade though the held-out loss falls.

s of Gaussian units stays within 0.03 and 1.1 standard deviations of the data. A machine whose chains leave the data
by far diverges, which ends training or rolls it back (`reverie.models.training_run`).
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled
from reverie.core.errors import TrainingError
from reverie.core.random import child_generator
from reverie.core.statistics import weighted_mean
from reverie.core.types import State
from reverie.models.rbm.likelihood import Base, BoltzmannPath, base_rate, exact_log_partition, pilot
from reverie.models.rbm.networks import MANY_WEIGHTS, fresh_energy
from reverie.models.rbm.sampling import StateSum, chain_drift, exchange
from reverie.models.training_run import TrainStep
from reverie.networks.boltzmann import BoltzmannEnergy, bernoulli, smaller_layer
from reverie.objectives.contrastive import Gradient, centred, combined, compensation, likelihood_gradient
from reverie.training.descent import Descent, ema_decay, ema_update
from reverie.training.monitor import Observation, kind_of_rise
from reverie.training.optimizers import learning_rate_factor

__all__ = ["LEARNING_RATES", "BoltzmannStep", "ModelChains", "Settings", "exact_gradient", "learning_rate"]

NARROWEST, WIDEST = 0.03, 1.1  # s of Gaussian units, in standard deviations of the data
_MOST_ODDS = 999.0  # of first visible biases: a unit that is off in all data must still be able to learn
_SOON_SUMMED = 1 << 24  # terms of log Z that are summed at every check
_OFFSET_MEMORY = 0.99
_NOISY_MEMORY, _EXACT_MEMORY = 0.999, 0.95  # of Adam's squares: exact gradients are not noisy and shrink a lot
_OVERFITTED = 4.0  # standard errors above the least held-out loss
_CHECK_TEMPERATURES, _CHECK_CHAINS = 300, 64
_FADING = 0.2  # share R of the variance by which the means of chains from training events may move
_FADED_SWEEPS, _FADED_CHAINS, _FADED_PRODUCTS = 100, (64, 512), 1 << 25  # chains are as many as the products allow
_FEW_ROWS = 4096  # different rows that an exact step takes all at once
_AVERAGE_EVERY = 10  # steps, of many weights: to average them takes as long as a tenth of a step
_HOLD, _FLOOR = 0.0, 0.01  # the rate falls along half a cosine from the first step
_FAR = 3.0  # times the largest value of the data: chains beyond diverge
_PILOT_CHAINS = 256  # that give states of a machine without chains of its own
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

Rows = Mapping[str, Tensor]


def learning_rate(optimizer: str, visible: str, *, is_exact: bool) -> float:
    """Return the learning rate that suits an optimiser, the kind of visible units and of gradient."""
    return LEARNING_RATES[_LIKE.get(optimizer, optimizer), "exact" if is_exact else "sampled", visible][0]


@dataclass(frozen=True)
class Settings:
    """The options of `reverie.RBM`, resolved; `all_rows`: whether exact steps take all different rows, not batches."""

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


def exact_gradient(energy: BoltzmannEnergy, sums: StateSum) -> tuple[Gradient, Tensor]:
    """Return < -dE / dtheta > of the model and log Z, a float64 scalar; hand-written, without autograd."""
    log_weights = sums.log_weights(energy)
    log_z = torch.logsumexp(log_weights, 0)
    p = (log_weights - log_z).exp().to(energy.W.dtype)
    parts = []
    for states, share in zip(sums.blocks, p.split([len(block) for block in sums.blocks]), strict=True):
        if energy.sums_over_visible:
            parts.append(_gradient(energy, states, energy.hidden_mean(states), share))
        else:
            parts.append(_gradient(energy, energy.visible_mean(states), states, share))
    model = combined(parts, [1.0] * len(parts))
    if model.log_variance is not None:
        model.log_variance.add_(0.5)
    return model, log_z


def _gradient(energy: BoltzmannEnergy, v: Tensor, h: Tensor, r: Tensor) -> Gradient:
    return likelihood_gradient(v, h, r, W=energy.W, visible_bias=energy.visible_bias, log_variance=energy.log_variance)


class ModelChains:
    """The source of the model's rows in training by "cd", "pcd" or "tempering".

    What goes on from update to update is `state`: h (chain, hidden) of "pcd", v (level * chain, visible) of
    "tempering", nothing of "cd"; `swaps` is the share of the swaps of the last update that were made.
    """

    def __init__(self, settings: Settings, base: Base, machine: BoltzmannEnergy, generator: torch.Generator) -> None:
        self.settings, self.base = settings, base
        self.betas = torch.linspace(1, 0, settings.n_levels)
        self.state, self.swaps = torch.zeros(0), torch.zeros(())
        path = BoltzmannPath(machine, base, dtype=machine.W.dtype)
        if settings.method == "pcd":
            level = path.start(settings.n_chains, generator)
            self.state = path.draw_hidden(level.x, 1.0, generator)
        elif settings.method == "tempering":
            self.state = path.start(settings.n_chains * settings.n_levels, generator).v

    def rows(self, machine: BoltzmannEnergy, h: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return v of the model and the mean of h given it; "cd" starts at the mean h (batch, hidden) of the data."""
        method, n_gibbs, n_chains = self.settings.method, self.settings.n_gibbs, self.settings.n_chains
        if method == "tempering":
            path = BoltzmannPath(machine, self.base, dtype=machine.W.dtype)
            v, made = exchange(path, self.state, self.betas.to(self.state.device), generator, n_sweeps=n_gibbs)
            self.swaps.copy_(made)
            self.state.copy_(v)
            return v[:n_chains], machine.hidden_mean(v[:n_chains])
        bits, v = self.state if method == "pcd" else bernoulli(h, generator), h
        for _ in range(n_gibbs):
            v = machine.sample_visible(bits, generator)
            h = machine.hidden_mean(v)
            bits = bernoulli(h, generator)
        if method == "pcd":
            self.state.copy_(bits)
        return v, h

    @torch.no_grad()
    def states(self, machine: BoltzmannEnergy, generator: torch.Generator) -> Tensor:
        """Return v (n, visible), roughly distributed as the machine."""
        if self.settings.method == "pcd":
            return machine.sample_visible(self.state, generator)
        if self.settings.method == "tempering":
            return self.state[: self.settings.n_chains].clone()
        return pilot(BoltzmannPath(machine, self.base), _PILOT_CHAINS, generator)[1].to(machine.W.dtype)


class BoltzmannStep(TrainStep):
    """Takes the steps of a machine, or of several side by side.

    Parameters
    ----------
    energy : untrained machine on its device; its biases are set to the base rate of the data.
    settings : how to learn.
    train : rows "x" (n, *event), with "weight" (n,) if there is one.
    """

    def __init__(self, energy: BoltzmannEnergy, settings: Settings, train: Rows) -> None:
        self.settings = settings
        device, is_exact = energy.W.device, settings.method == "exact"
        v, weight = train["x"].flatten(1), train.get("weight")
        self.base = base_rate(v, energy.visible, weight)
        self.mu = (v.mean(0) if weight is None else (weight.to(v.dtype) @ v) / weight.sum()).to(device)
        n_visible, n_hidden = energy.W.shape
        fresh = [child_generator(settings.seed, "restart", k) for k in range(1, settings.n_restarts)]
        self.machines = [energy, *(fresh_energy(n_visible, n_hidden, energy.visible, g).to(device) for g in fresh)]
        with torch.no_grad():  # biases start at the base rate of the data
            mean, log_variance = self.base
            most = math.log(_MOST_ODDS) if log_variance is None else math.inf
            for machine in self.machines:
                machine.visible_bias.copy_(mean.clamp(-most, most))
                if machine.log_variance is not None and log_variance is not None:
                    machine.log_variance.copy_(log_variance.clamp(2 * math.log(NARROWEST), 0.0))
        self.averages = [copy.deepcopy(machine) for machine in self.machines]
        self.sums = StateSum(energy) if is_exact else None
        self.rows = self._different_rows(v, weight) if is_exact and settings.all_rows else None
        betas = (settings.momentum, _NOISY_MEMORY if self.rows is None else _EXACT_MEMORY)
        self._descents = [
            Descent(machine.parameters(), settings.optimizer, learning_rate=settings.learning_rate, betas=betas)
            for machine in self.machines
        ]
        self.compiled = Compiled(self._update, mode=settings.compile, n_calls=settings.max_steps)
        self.offsets = [torch.full_like(machine.hidden_bias, 0.5).detach() for machine in self.machines]
        self.likelihood = torch.zeros(settings.n_restarts, dtype=torch.float64, device=device)
        with torch.no_grad():
            noise = child_generator(settings.seed, "chains", device=device)
            self.chains = ModelChains(settings, self.base, self.machines[0], noise)
        self.farthest, self._largest = torch.zeros((), device=device), float(v.abs().max())
        self.least, self.least_error, self.least_gap = math.inf, 0.0, 0.0

    def train_step(self, batch: Rows, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step of every machine; return what it met, on the device."""
        settings = self.settings
        factor = self.rate_factor * learning_rate_factor(self.step, settings.max_steps, hold=_HOLD, floor=_FLOOR)
        with torch.no_grad():
            scalars = self.compiled((dict(batch), settings.learning_rate * factor), generator)
            self.step += 1
            every = _AVERAGE_EVERY if self.mu.numel() * len(self.offsets[0]) > MANY_WEIGHTS else 1
            if self.step % every == 0:
                decay = ema_decay(self.step // every, settings.ema_decay**every)
                for average, machine in zip(self.averages, self.machines, strict=True):
                    ema_update(list(average.parameters()), list(machine.parameters()), decay=decay)
        return scalars

    def _update(self, inputs: tuple[Rows, float | Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Take a step of every machine at a learning rate, along data minus model."""
        batch, rate = inputs
        if self.rows is not None:
            v, r = self.rows
        else:
            v, weight = batch["x"].flatten(1), batch.get("weight")
            r = torch.full_like(v[:, 0], 1 / len(v)) if weight is None else weight.to(v.dtype) / len(v)
        scalars: dict[str, Tensor] = {}
        for k, machine in enumerate(self.machines):
            h = machine.hidden_mean(v)  # the positive phase: hidden units given the data
            if self.sums is not None:  # the negative phase, summed over all states ...
                model, log_z = exact_gradient(machine, self.sums)
                self.likelihood[k] = -(r.double() @ machine(v).double()) - r.double().sum() * log_z
                gradient = combined([_gradient(machine, v, h, r), model], [1.0, -r.sum()])
            else:  # ... or drawn by chains
                model_v, model_h = self.chains.rows(machine, h, generator)
                r_model = torch.full_like(model_v[:, 0], 1 / len(model_v)) * -r.sum()
                gradient = _gradient(machine, torch.cat([v, model_v]), torch.cat([h, model_h]), torch.cat([r, r_model]))
                scalars["mean_gap"] = (model_v.mean(0) - self.mu).square().mean().sqrt()
                if machine.log_variance is not None:
                    self.farthest.copy_(model_v.abs().max())
            self._move(k, gradient, h, rate)
        if self.sums is not None:
            return {"loss": -self.likelihood.max()}
        scalars["weight"] = self.machines[0].W.square().mean().sqrt()
        return scalars | ({"swaps": self.chains.swaps} if self.settings.method == "tempering" else {})

    def _move(self, k: int, gradient: Gradient, h: Tensor, rate: float | Tensor) -> None:
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

    @property
    def energy(self) -> BoltzmannEnergy:
        """The averaged machine, the one of highest likelihood."""
        return self.averages[int(self.likelihood.argmax())]

    def start_at(self, networks: Mapping[str, nn.Module]) -> None:
        """Take the weights of a fitted machine, for every restart."""
        for machine in (*self.machines, *self.averages):
            machine.load_state_dict(networks["boltzmann"].state_dict())

    def networks(self) -> dict[str, nn.Module]:
        """Return the averaged machine, the one of highest likelihood."""
        return {"boltzmann": self.energy}

    @torch.no_grad()
    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return the held-out loss -log p: of each row where log Z is exact, else its mean with the error of log Z."""
        farthest = float(self.farthest)
        if not farthest <= _FAR * self._largest + 10:
            raise TrainingError(
                f"Training diverges: chains of the machine reach {farthest:.3g}, the data {self._largest:.3g} standard "
                "deviations. Lower the learning rate.",
                step=self.step,
            )
        energy = self.energy
        free = energy(held_out["x"].flatten(1)).double()
        of_train = energy(train["x"].flatten(1)).double()
        mean_free = float(weighted_mean(free, held_out.get("weight")))
        gap = mean_free - float(weighted_mean(of_train, train.get("weight")))
        # summed where it can be: of estimates, states whose log Z came out too low would pass for the best
        if self.sums is not None or max(energy.W.shape) << smaller_layer(energy) <= _SOON_SUMMED:
            log_z = exact_log_partition(energy).value
            scalars = {"free_energy_gap": gap, "log_z": log_z}
            return Observation(self.step, losses=free + log_z, gap=gap, scalars=scalars)
        path = BoltzmannPath(energy, self.base)
        estimate, _ = pilot(path, _CHECK_CHAINS, generator, n_temperatures=_CHECK_TEMPERATURES)
        loss, error = mean_free + estimate.value, estimate.error
        scalars = {"free_energy_gap": gap, "log_z": estimate.value, "held_out_loss": loss, "held_out_error": error}
        if loss < self.least:
            self.least, self.least_error, self.least_gap = loss, error, gap
        excess, signs = loss - self.least, {}
        if excess > max(_OVERFITTED * math.hypot(error, self.least_error), 0.5):
            kind = kind_of_rise(excess, gap, self.least_gap)
            signs[kind] = (f"The held-out loss is {loss:.4g}, {excess:.2g} above its best.", "")
        low, high = _FADED_CHAINS
        n = min(max(low, _FADED_PRODUCTS // path.W.numel()), high)
        v, weight = train["x"][:n].flatten(1), train.get("weight")  # in random order, which held-out rows are not
        of_v = None if weight is None else weight[:n]
        moved = scalars["chain_drift"] = float(chain_drift(path, v, of_v, _FADED_SWEEPS, generator))
        if moved > _FADING:
            signs["chains leave the data"] = (
                f"{_FADED_SWEEPS} sweeps move the means of chains from training events by {moved:.0%} of the variance: "
                "a few per cent at most if the machine were right.",
                "Learn by persistent chains (method='pcd'), or take more sweeps (n_gibbs) or a lower learning rate.",
            )
        return Observation(self.step, scalars=scalars, signs=signs)

    def state_dict(self) -> State:
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

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` returned."""
        self.step, self.rate_factor = state["step"], state["rate_factor"]
        parts = {"machines": self.machines, "averages": self.averages, "descents": self._descents}
        for name in parts:
            for part, stored in zip(parts[name], state[name], strict=True):
                part.load_state_dict(stored)
        for offset, stored in zip(self.offsets, state["offsets"], strict=True):
            offset.copy_(stored)
        self.likelihood.copy_(state["likelihood"])
        self.chains.state.copy_(state["chains"])
        self.least, self.least_error, self.least_gap = state["least"]

    def _different_rows(self, v: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Return the different rows of v and their weights, which add up to one, or None where they are many."""
        rows, index = torch.unique(v, dim=0, return_inverse=True)
        if len(rows) > max(_FEW_ROWS, 1 << smaller_layer(self.machines[0])):
            return None
        each = torch.ones(len(v), dtype=v.dtype) if weight is None else weight.to(v.dtype)
        r = torch.zeros(len(rows), dtype=v.dtype).index_add_(0, index, each) / len(v)
        return rows.to(self.mu.device), r.to(self.mu.device)
