r"""What a restricted Boltzmann machine's likelihood rests on: log Z, exact or annealed, and pseudo-likelihood.

    log p(v) = - F(v) - log Z

log Z is the sum over the states of the smaller layer where that has at most 20 units
(`reverie.networks.enumeration`), and else an annealed estimate (`reverie.samplers.annealing`) on the path from
independent units to the machine (`reverie.models.rbm.annealing`). Forward chains alone give a value that is too low on
average. Backward chains start at states of the machine: training events or persistent chains, after more Gibbs
sweeps. Then log Z is Bennett's value from both, and the two ways bracket it. Without such states the forward chains'
ends, drawn by weight, must do: they share what the forward chains have missed, so the value stays the forward one.

The pseudo-likelihood of binary units needs no Z. It is the sum over units of the log-probability of each given all
others, a bound on nothing, but its maximum is where that of the likelihood is:

    sum_i log p(v_i | v_-i) = sum_i log sigmoid(F(v with unit i flipped) - F(v)).

References
----------
Salakhutdinov and Murray, ICML 2008; Burda, Grosse and Salakhutdinov, arXiv:1412.8566; Besag, The Statistician 24,
179 (1975).
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.models.rbm.annealing import BoltzmannPath, Level
from reverie.models.rbm.exact import smaller_layer
from reverie.networks.boltzmann import BoltzmannEnergy
from reverie.networks.enumeration import MOST_UNITS, log_partition
from reverie.samplers.annealing import AnnealedEstimate, anneal, annealed_estimate, bridge, schedule

__all__ = ["METHODS", "LogPartition", "annealed_log_partition", "exact_log_partition", "pilot", "pseudo_log_likelihood"]

METHODS = ("auto", "exact", "ais")
_BLOCK = 1 << 22  # numbers at once
_MORE, _MOST, _SURE = (100, 300, 1000), 3000, 0.1  # temperatures, and the error that is good enough
_LEAST_SWEEPS = 20
_VAGUE = 0.5  # nats: a bridge that is surer than this needs no warning


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

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return asdict(self) | {"warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "LogPartition":
        """Return what `to_json` described."""
        ways = {k: None if stored[k] is None else AnnealedEstimate(**stored[k]) for k in ("forward", "backward")}
        return cls(**{**stored, **ways, "warnings": tuple(stored["warnings"])})


def exact_log_partition(energy: BoltzmannEnergy) -> LogPartition:
    """Return log Z by the sum over the smaller layer, in float64.

    Raises
    ------
    InputError
        When that layer has more than 20 units.
    """
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
    """Return log Z by annealed importance sampling, forwards and backwards.

    Parameters
    ----------
    path : to the machine.
    n_temperatures : steps of the inverse temperature, "long" or the values, as in `schedule`; "auto" takes more and
        more until the error is below 0.1, 3000 at last.
    n_chains : each way, at least 2.
    start : (n, visible) states of the machine, or near it, where backward chains begin; None takes the forward ends.
    reverse : whether chains are run backwards as well, in about twice the time.
    generator : all randomness.
    """
    options: Any = {"n_chains": n_chains, "start": start, "reverse": reverse, "generator": generator}
    if isinstance(n_temperatures, str) and n_temperatures == "auto":
        for n in _MORE:
            found = annealed_log_partition(path, n_temperatures=n, **options)
            if found.error < _SURE:
                return found
        return annealed_log_partition(path, n_temperatures=_MOST, **options)
    betas = schedule(n_temperatures)
    ends, log_w = anneal(path, path.start(n_chains, generator), betas, generator)
    forward = annealed_estimate(log_w, path.log_z0, len(betas) - 1)
    if not reverse:
        return LogPartition(forward.value, forward.error, "ais", forward, None, _doubts(forward, None))
    state = path.at(_drawn_by_weight(ends, log_w, generator) if start is None else _some(start, n_chains, generator))
    for _ in range(max(_LEAST_SWEEPS, len(betas) // 4)):
        state = path.move(state, 1.0, generator)
    _, log_w_back = anneal(path, state, betas[::-1], generator)
    backward = annealed_estimate(log_w_back, path.log_z0, len(betas) - 1, backwards=True)
    doubts = _doubts(forward, backward)
    if start is None:
        return LogPartition(forward.value, forward.error, "ais", forward, backward, doubts)
    both = bridge(log_w, log_w_back, path.log_z0)
    return LogPartition(both.value, both.error, "bridge", forward, backward, doubts if both.error > _VAGUE else ())


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


def _some(v: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return `n` of the states v, each at most once if there are enough."""
    order = torch.randperm(len(v), generator=generator, device=generator.device)
    return v[order.repeat(-(-n // len(v)))[:n].to(v.device)]


def _doubts(forward: AnnealedEstimate, backward: AnnealedEstimate | None) -> tuple[str, ...]:
    doubts = [forward.warning] if forward.warning else []
    if backward is not None:
        gap = backward.value - forward.value
        if gap > 3 * math.hypot(forward.error, backward.error):
            doubts.append(f"The backward estimate lies {gap:.2g} nats above the forward one. Take more temperatures.")
    return tuple(doubts)


def chosen_method(method: str, energy: BoltzmannEnergy) -> str:
    """Return "exact" or "ais" for a method that may be "auto"."""
    check_choice("method", method, dict.fromkeys(METHODS, True))
    if method != "auto":
        return method
    return "exact" if smaller_layer(energy) <= MOST_UNITS else "ais"


def pseudo_log_likelihood(energy: BoltzmannEnergy, v: Tensor) -> Tensor:
    """Return sum_i log p(v_i | v_-i) of v (batch, visible), (batch,) float64, over all units exactly.

    Raises
    ------
    InputError
        For Gaussian units, whose conditional densities are no logistic function.
    """
    if energy.log_variance is not None:
        raise InputError("Expected binary units for a pseudo-likelihood, got Gaussian ones. Take score_samples.")
    rows = max(1, _BLOCK // energy.W.numel())
    return torch.cat([_pseudo(energy, block) for block in v.split(rows)])


@torch.no_grad()
def _pseudo(energy: BoltzmannEnergy, v: Tensor) -> Tensor:
    step = (1 - 2 * v)[:, :, None]  # of each unit when it is flipped, (batch, visible, 1)
    x = energy.hidden_input(v)[:, None, :]
    change = softplus(x + step * energy.W).sum(2) - softplus(x).sum(2)  # of log p*, but for the visible bias
    change = change + step[:, :, 0] * energy.visible_bias
    return logsigmoid(-change.double()).sum(1)
