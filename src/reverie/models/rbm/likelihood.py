r"""What a restricted Boltzmann machine's likelihood rests on: log Z, exact or annealed.

    log p(v) = - F(v) - log Z

log Z is the sum over the states of the smaller layer where that has at most 20 units (`reverie.networks.boltzmann`),
and else an annealed estimate (`reverie.samplers.annealing`) on a path of machines at inverse temperature beta, from
independent units to the machine:

    log p*_beta(v) = - B(v) + beta D(v) + sum_j softplus(beta x_j),        D(v) = B(v) - A(v)

Here x is the input of the hidden units, A(v) the visible part of the energy of the machine, and B(v) that of the base:
units without couplings that have the means of the data (the base rate), and with Gaussian units their variances,

                        x                     B(v)                            D(v)
    binary              b + v W               - a0.v                          (a - a0).v
    Gaussian            b + (v / s^2) W       sum (v - a0)^2 / (2 s0^2)       B(v) - sum (v - a)^2 / (2 s^2)

beta = 1 is the machine, and at beta = 0 all units are independent, with

    log Z_0 = sum softplus(a0) + n_hidden log 2        or        sum log(2 pi s0^2) / 2 + n_hidden log 2.

At each beta p*_beta is the marginal of a machine, so a Gibbs sweep leaves it invariant:

    h ~ sigmoid(beta x)
    v ~ sigmoid(a0 + beta (a - a0 + W h))
    v ~ N(m / P, 1 / P),    P = (1 - beta) / s0^2 + beta / s^2,    m = (1 - beta) a0 / s0^2 + beta (a + W h) / s^2

The hidden units see beta x, and the marginal has softplus(beta x): neither is beta times something of beta = 1.
Swaps between levels use the joint weight, whose part that beta multiplies is D(v) + x.h.

Forward chains alone give a value that is too low on average. Backward chains start at states of the machine: training
events or persistent chains, after more Gibbs sweeps. Then log Z is Bennett's value from both, and the two ways bracket
it. Without such states the forward chains' ends, drawn by weight, must do: they share what the forward chains have
missed, so the value stays the forward one.

References
----------
Salakhutdinov and Murray, ICML 2008, doi:10.1145/1390156.1390266; Burda, Grosse and Salakhutdinov, arXiv:1412.8566.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from reverie.core.measured import Measured
from reverie.core.products import product
from reverie.core.types import Json
from reverie.networks.boltzmann import BoltzmannEnergy, bernoulli, log_partition
from reverie.samplers.annealing import AnnealedEstimate, anneal, annealed_estimate, bridge, schedule

__all__ = [
    "BASE_RATE_CLIP",
    "BoltzmannPath",
    "Level",
    "LogPartition",
    "annealed_log_partition",
    "base_rate",
    "exact_log_partition",
    "pilot",
]

BASE_RATE_CLIP = 1e-4  # a pixel that is never on in the data must stay possible
_MORE, _MOST, _SURE = (100, 300, 1000), 3000, 0.1  # temperatures, and the error that is good enough
_LEAST_SWEEPS = 20
_VAGUE = 0.5  # nats: a bridge that is surer than this needs no warning
_SMALL = 1.0  # |change of beta x| up to which float32 holds the short form of a weight

Beta = float | Tensor  # one number, or (chain, 1)
Base = tuple[Tensor, Tensor | None]  # a0 and log s0^2


def base_rate(v: Tensor, visible: str, weight: Tensor | None = None) -> Base:
    """Return a0 (visible,) and log s0^2 (visible,), None for binary units, of data v (batch, visible)."""
    mean = v.mean(0) if weight is None else (weight @ v) / weight.sum()
    if visible == "binary":
        return torch.logit(mean.clamp(BASE_RATE_CLIP, 1 - BASE_RATE_CLIP)), None
    square = (v - mean).square()
    variance = square.mean(0) if weight is None else (weight @ square) / weight.sum()
    floor = 1e-4 * variance.mean().clamp(min=1e-12)  # a constant column has the width of a narrow one
    return mean, variance.clamp(min=float(floor)).log()


@dataclass
class Level:
    """Chains v (chain, visible) on the path, and the inputs x (chain, hidden) of the hidden units at v.

    p(h = 1 | v) at inverse temperature `beta` is kept where a weight has needed it.
    """

    v: Tensor
    x: Tensor
    p: Tensor | None = None
    beta: float = math.nan


class BoltzmannPath:
    """The path to a machine; a `reverie.samplers.annealing.Path`.

    Parameters
    ----------
    energy : the machine at beta = 1.
    base : a0 and log s0^2 (None for binary units), from `base_rate`.
    dtype : type in which chains are moved; weights are summed in float64.
    """

    def __init__(self, energy: BoltzmannEnergy, base: Base, *, dtype: torch.dtype = torch.float32) -> None:
        with torch.no_grad():
            device = energy.W.device
            self.W, self.a, self.b = (p.detach().to(dtype) for p in (energy.W, energy.visible_bias, energy.hidden_bias))
            self.a0 = base[0].to(device, dtype)
            self.precision = None if energy.log_variance is None else (-energy.log_variance.detach()).exp().to(dtype)
            self.precision0 = None if base[1] is None else (-base[1]).exp().to(device, dtype)
            bound = (self.b.abs() + self.W.abs().sum(0)).max() if self.precision is None else math.inf
            self._most_input = float(bound)

    @property
    def log_z0(self) -> float:
        """Log Z at beta = 0."""
        hidden = len(self.b) * math.log(2)
        if self.precision0 is None:
            return float(softplus(self.a0.double()).sum()) + hidden
        return float((math.log(2 * math.pi) - self.precision0.double().log()).sum() / 2) + hidden

    def start(self, n_chains: int, generator: torch.Generator) -> Level:
        """Return independent draws at beta = 0."""
        h = self.b.new_zeros(n_chains, len(self.b))
        return self.at(self.draw_visible(h, 0.0, generator))

    def at(self, v: Tensor) -> Level:
        """Return chains at v (chain, visible)."""
        return Level(v, product(v if self.precision is None else v * self.precision, self.W, self.b))

    def log_weight(self, state: Level, beta: float, to: float) -> Tensor:
        """Return log p*_to(v) - log p*_beta(v), (chain,) float64; keeps p(h | v) at `to` for the move."""
        state.p, state.beta = torch.sigmoid(state.x * to), to
        step = to - beta
        if abs(step) * self._most_input < _SMALL:  # sum softplus(to x) - softplus(beta x): the short form reuses p
            hidden = -torch.expm1(state.x * -step).mul_(state.p).log1p_().sum(1, dtype=torch.float64)
        else:
            x = state.x.double()
            hidden = (softplus(to * x) - softplus(beta * x)).sum(1)
        return step * self.excess(state.v).double() + hidden

    def move(self, state: Level, beta: float, generator: torch.Generator) -> Level:
        """Return chains after a Gibbs sweep at `beta`."""
        p = state.p if state.beta == beta and state.p is not None else torch.sigmoid(state.x * beta)
        return self.at(self.draw_visible(bernoulli(p, generator), beta, generator))

    def draw_hidden(self, x: Tensor, beta: Beta, generator: torch.Generator) -> Tensor:
        """Return h (chain, hidden) drawn at `beta` given the inputs x."""
        return bernoulli(torch.sigmoid(x * beta), generator)

    def draw_visible(self, h: Tensor, beta: Beta, generator: torch.Generator) -> Tensor:
        """Return v (chain, visible) drawn at `beta` given h."""
        drive = product(h, self.W.T)
        if self.precision is None or self.precision0 is None:
            return bernoulli(drive.add_(self.a - self.a0).mul_(beta).add_(self.a0).sigmoid_(), generator)
        own, base = beta * self.precision, (1 - beta) * self.precision0
        total = own + base
        noise = torch.randn(drive.shape, generator=generator, dtype=drive.dtype, device=drive.device)
        return (base * self.a0 + own * (self.a + drive)) / total + noise * total.rsqrt()

    def excess(self, v: Tensor) -> Tensor:
        """Return D(v), (chain,)."""
        if self.precision is None or self.precision0 is None:
            return v @ (self.a - self.a0)
        return ((v - self.a0).square() @ self.precision0 - (v - self.a).square() @ self.precision) / 2

    def scaled_weight(self, v: Tensor, x: Tensor, h: Tensor) -> Tensor:
        """Return the part of the joint log weight of (v, h) that beta multiplies, (chain,) float64."""
        return (self.excess(v) + (x * h).sum(1)).double()


@dataclass(frozen=True)
class LogPartition:
    """log Z of a machine, in nats.

    Parameters
    ----------
    value : log Z.
    error : one standard error; 0 where the sum was exact.
    method : "exact", "ais" (forward chains) or "bridge" (both ways).
    forward, backward : the annealed estimates, which bracket log Z on average; None where there is none.
    warnings : what is doubtful about it.
    """

    value: float
    error: float = 0.0
    method: str = "exact"
    forward: AnnealedEstimate | None = None
    backward: AnnealedEstimate | None = None
    warnings: tuple[str, ...] = ()

    @property
    def ess(self) -> float:
        """Effective number of forward chains; infinite for an exact sum."""
        return math.inf if self.forward is None else self.forward.ess

    def __str__(self) -> str:
        if self.forward is None:
            return f"log Z = {self.value:.6f} (exact)"
        ways = [f"forwards {Measured(self.forward.value, self.forward.error)}, worth {self.ess:.0f} chains"]
        ways += [] if self.backward is None else [f"backwards {Measured(self.backward.value, self.backward.error)}"]
        size = f"{self.forward.n_chains} chains of {self.forward.n_temperatures:,} temperatures"
        return "\n".join([f"log Z = {Measured(self.value, self.error)} ({size}; {'; '.join(ways)})", *self.warnings])

    def to_json(self) -> Json:
        """Return everything as JSON can hold it."""
        return asdict(self) | {"warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, stored: Json) -> "LogPartition":
        """Return what `to_json` described."""
        ways = {k: None if stored[k] is None else AnnealedEstimate(**stored[k]) for k in ("forward", "backward")}
        values: dict[str, Any] = {**stored, **ways, "warnings": tuple(stored["warnings"])}
        return cls(**values)


def exact_log_partition(energy: BoltzmannEnergy) -> LogPartition:
    """Return log Z by the sum over the smaller layer, in float64; `InputError` where that has more than 20 units."""
    with torch.no_grad():
        return LogPartition(float(log_partition(copy.deepcopy(energy).double())))


def annealed_log_partition(
    path: BoltzmannPath,
    *,
    n_temperatures: int | str | Sequence[float] | Tensor = "auto",
    n_chains: int = 100,
    start: Tensor | None = None,
    reverse: bool = True,
    generator: torch.Generator,
) -> LogPartition:
    """Return log Z by annealed importance sampling; the options are those of `reverie.RBM.log_partition`.

    Backward chains begin at `start` (n, visible), states of the machine or near it; None takes the forward ends.
    """
    if isinstance(n_temperatures, str) and n_temperatures == "auto":
        for n in (*_MORE, _MOST):
            estimate = annealed_log_partition(
                path, n_temperatures=n, n_chains=n_chains, start=start, reverse=reverse, generator=generator
            )
            if estimate.error < _SURE or n == _MOST:
                return estimate
    betas = schedule(n_temperatures)
    ends, log_w = anneal(path, path.start(n_chains, generator), betas, generator)
    forward = annealed_estimate(log_w, path.log_z0, len(betas) - 1)
    warnings = (forward.warning,) if forward.warning else ()
    if not reverse:
        return LogPartition(forward.value, forward.error, "ais", forward, None, warnings)
    if start is None:
        start_v = _drawn_by_weight(ends, log_w, generator)
    else:  # each state at most once if there are enough
        order = torch.randperm(len(start), generator=generator, device=generator.device)
        start_v = start[order.repeat(-(-n_chains // len(start)))[:n_chains].to(start.device)]
    state = path.at(start_v)
    for _ in range(max(_LEAST_SWEEPS, len(betas) // 4)):
        state = path.move(state, 1.0, generator)
    _, log_w_back = anneal(path, state, betas[::-1], generator)
    backward = annealed_estimate(log_w_back, path.log_z0, len(betas) - 1, backwards=True)
    gap = backward.value - forward.value
    if gap > 3 * math.hypot(forward.error, backward.error):
        said = f"The backward estimate lies {gap:.2g} nats above the forward one. Take more temperatures."
        warnings = (*warnings, said)
    if start is None:
        return LogPartition(forward.value, forward.error, "ais", forward, backward, warnings)
    both = bridge(log_w, log_w_back, path.log_z0)
    return LogPartition(both.value, both.error, "bridge", forward, backward, warnings if both.error > _VAGUE else ())


def pilot(
    path: BoltzmannPath, n_chains: int, generator: torch.Generator, *, n_temperatures: int = 300
) -> tuple[AnnealedEstimate, Tensor]:
    """Return a quick estimate of log Z and states v (chain, visible), roughly distributed as the machine."""
    betas = schedule(n_temperatures)
    ends, log_w = anneal(path, path.start(n_chains, generator), betas, generator)
    return annealed_estimate(log_w, path.log_z0, len(betas) - 1), _drawn_by_weight(ends, log_w, generator)


def _drawn_by_weight(ends: Level, log_w: Tensor, generator: torch.Generator) -> Tensor:
    index = torch.multinomial(torch.softmax(log_w, 0), len(log_w), replacement=True, generator=generator)
    return ends.v[index]
