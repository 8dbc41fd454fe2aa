r"""log Z of an energy of more than two features, and how well such a model does on events that it does not learn.

log Z is annealed both ways between a normal distribution and E (`reverie.samplers.annealing`). Forward chains are new,
backward ones go on from chains of the model, after some more steps:

    log Z = bridge, or forward where that is more than log 100 above it

The bridge (Bennett) is sharp as long as those chains are samples of E. A model that learns events by heart digs wells
that they do not find, and one forward chain that does shows it: the mean forward weight is Z / Z_0 on average, whatever
the chains do, so by Markov's inequality it is more than a hundred times too large with a probability below 0.01.
Where that happens, the difference of the two is the error.

The held-out loss of a state is <E> + log Z over held-out events: minus the log density of their whitened features in
nats, so it can be compared from check to check. The gap between held-out and training events needs no log Z, which
both share,

    gap = <E>_held-out - <E>_train = <log p>_train - <log p>_held-out,

and is zero, within its error, for a model that knows no event by heart. It is no criterion by itself, for it is least
before the first step, but it tells of overfitting where log Z is too uncertain to.

References
----------
Bennett, J. Comput. Phys. 22, 245 (1976); Grosse, Ghahramani and Adams, arXiv:1511.02543 (bounds from both ways).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.measured import Measured, measured_mean
from reverie.models.ebm.partition_function import EnergyPath
from reverie.samplers.annealing import AnnealedEstimate, anneal, annealed_estimate, bridge, schedule

__all__ = ["TwoWays", "energy_gap", "signs_of_overfitting", "two_ways"]

_SETTLING = 20  # steps of the backward chains before they leave
_RARELY = math.log(100.0)  # a mean weight is so much too large with a probability below 0.01
_VAGUE = 0.5  # nats: a surer log Z needs no warning
_BY_HEART = 4.0  # standard errors of the gap


@dataclass(frozen=True)
class TwoWays:
    """log Z from chains annealed both ways.

    Parameters
    ----------
    value, error : log Z in nats and one standard error; see the module.
    forward, backward : the estimates of either way; too low and too high on average.
    """

    value: float
    error: float
    forward: AnnealedEstimate
    backward: AnnealedEstimate

    @property
    def warning(self) -> str:
        """What is doubtful about it, or nothing."""
        if not math.isfinite(self.value):
            return "Annealing failed: energies are not finite along the way."
        if self.error <= _VAGUE:
            return ""
        return (
            f"log Z is known within {self.error:.2g} nats only: forward chains say {self.forward.value:.4g}, backward "
            f"ones {self.backward.value:.4g}. More temperatures (n_temperatures) help, more chains hardly do."
        )


def two_ways(
    path: EnergyPath, chains: Tensor, *, n_temperatures: int, n_chains: int, generator: torch.Generator
) -> TwoWays:
    """Return log Z of the end of `path`.

    Parameters
    ----------
    path : from a normal distribution to the energy.
    chains : (chain, *event) samples of the energy, at least 2, of which at most `n_chains` are used each way.
    n_temperatures, n_chains : of the annealing, each way.
    generator : all randomness.
    """
    n, betas = min(n_chains, len(chains)), schedule(n_temperatures)
    _, forth = anneal(path, path.start(n, generator), betas, generator)
    rows = torch.randperm(len(chains), generator=generator, device=chains.device)[:n]
    state = path.at(chains[rows])
    for _ in range(_SETTLING):
        state = path.move(state, 1.0, generator)
    _, back = anneal(path, state, betas[::-1], generator)
    forward = annealed_estimate(forth, path.log_z0, n_temperatures)
    backward = annealed_estimate(back, path.log_z0, n_temperatures, backwards=True)
    both = bridge(forth, back, path.log_z0)
    excess = forward.value - both.value
    if excess > _RARELY:
        return TwoWays(forward.value, excess, forward, backward)
    return TwoWays(both.value, both.error, forward, backward)


def energy_gap(
    held_out: Tensor, train: Tensor, weight: Tensor | None = None, train_weight: Tensor | None = None
) -> Measured:
    """Return <E>_held-out - <E>_train with its error, from energies (m,) and (n,) of at least two events each.

    `weight` (m,) and `train_weight` (n,) are their event weights, or None for all alike.
    """
    pairs = ((held_out, weight), (train, train_weight))
    of_held_out, of_train = (measured_mean(e.cpu().numpy(), None if w is None else w.cpu().numpy()) for e, w in pairs)
    return Measured(of_held_out.value - of_train.value, math.hypot(of_held_out.error, of_train.error))


def signs_of_overfitting(gap: Measured, log_z_error: float) -> dict[str, tuple[str, str]]:
    """Return the sign "overfitting" with its evidence where the gap tells it and log Z is too uncertain to."""
    if log_z_error <= _VAGUE or gap.value <= _BY_HEART * gap.error:
        return {}
    said = f"Training events are {gap} nats likelier than held-out ones, and log Z is known within {log_z_error:.2g}."
    return {"overfitting": (said, "")}
