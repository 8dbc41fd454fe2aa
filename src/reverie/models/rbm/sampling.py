"""Drawing from a restricted Boltzmann machine: exactly or by chains, and the missing parts of events.

    exact       a state of the smaller layer by its probability, then the other layer: independent draws
    gibbs       chains that start where the chains of training stood, so that sweeps need not find the modes
    tempering   the same with levels of inverse temperature that swap places, for modes that sweeps do not connect

The states k of the smaller layer have probabilities p_k = exp(-F(k)) / Z, and the mean of the other layer given k is
known, so averages over a small machine are sums over k. A level beta of tempering is that of
`reverie.models.rbm.likelihood`; two levels swap with probability min(1, exp(a)), where a is the difference of their
betas times the difference of the joint weights that beta multiplies (`reverie.samplers.tempering`).

A right machine keeps its own law under sweeps, so chains that start at events keep the means m_j of its units. How far
they move says whether the machine holds what it has learnt, or has probable states away from the data:

    R = sum_j (m'_j - m_j)^2 / sum_j Var(v_j) - 2 / n

with m' after the sweeps, and n = (sum w)^2 / sum w^2 chains of weights w, whose own fluctuations are taken off: of a
right machine R is at most 0 in the mean, below it where chains remember their start.

To complete an event, the units that are given are clamped; the others come from p(v_free | v_given), by Gibbs sweeps
whose chains start at states of the machine.
"""

from collections.abc import Callable
from itertools import islice
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from reverie.core.arguments import Count, checked
from reverie.core.random import child_generator
from reverie.models.rbm.likelihood import Base, BoltzmannPath
from reverie.networks.boltzmann import BoltzmannEnergy, smaller_layer, state_blocks
from reverie.samplers.gibbs import BlockGibbs
from reverie.samplers.run import steps
from reverie.samplers.tempering import reorder, swap

__all__ = [
    "N_SWEEPS",
    "Sampler",
    "StateSum",
    "chain_drift",
    "completed_units",
    "exchange",
    "gibbs_chain",
    "unit_sampler",
]

Sampler: TypeAlias = Literal["auto", "exact", "gibbs", "tempering"]
N_SWEEPS = 200
_LEVELS = 10
_SOON_EXACT = 14  # units of the smaller layer up to which "auto" draws exactly
_ROWS = 1024  # completed at once, with noise of their own


class StateSum:
    """All states of the smaller layer, of at most 20 units, of machines of the shape of `energy`."""

    def __init__(self, energy: BoltzmannEnergy) -> None:
        self.blocks = [b.to(energy.W.device) for b in state_blocks(smaller_layer(energy), dtype=energy.W.dtype)]

    def log_weights(self, energy: BoltzmannEnergy) -> Tensor:
        """Return -F of every state, (state,) float64."""
        free_energy = energy if energy.sums_over_visible else energy.hidden_free_energy
        return torch.cat([-free_energy(block).double() for block in self.blocks])

    def sample(self, energy: BoltzmannEnergy, n: int, generator: torch.Generator) -> Tensor:
        """Return v (n, visible), independent draws of the machine."""
        p = torch.softmax(self.log_weights(energy), 0)
        index = torch.multinomial(p, n, replacement=True, generator=generator)
        states = torch.cat(self.blocks)[index]
        return states if energy.sums_over_visible else energy.sample_visible(states, generator)


def gibbs_chain(path: BoltzmannPath, v: Tensor, n_sweeps: int, generator: torch.Generator) -> Tensor:
    """Return v (chain, visible) after Gibbs sweeps of the machine at the end of `path`."""
    level = path.at(v.to(path.W.dtype))
    for _ in range(n_sweeps):
        level = path.move(level, 1.0, generator)
    return level.v


def chain_drift(
    path: BoltzmannPath, v: Tensor, weight: Tensor | None, n_sweeps: int, generator: torch.Generator
) -> Tensor:
    """Return R, a scalar; see the module.

    Parameters
    ----------
    path : The machine, at its end.
    v : (chain, visible) events at which the chains start.
    weight : (chain,) event weights, of either sign, whose sum is not 0; None for all alike.
    n_sweeps : Gibbs sweeps, at least 1.
    generator : Source of the draws.
    """
    v = v.to(path.W.dtype)
    share = v.new_full((len(v),), 1 / len(v)) if weight is None else (weight / weight.sum()).to(v.dtype)
    mean, moved = share @ v, share @ gibbs_chain(path, v, n_sweeps, generator)
    size = share.abs() / share.abs().sum()  # the variance of signed weights may be negative in few events
    variance = (size @ (v - size @ v).square()).sum().clamp(min=1e-12)
    return (moved - mean).square().sum() / variance - 2 * share.square().sum()


def exchange(
    path: BoltzmannPath, v: Tensor, betas: Tensor, generator: torch.Generator, *, n_sweeps: int = 1
) -> tuple[Tensor, Tensor]:
    """Return chains of all levels after Gibbs sweeps and both rounds of swaps, and the share of swaps made.

    Chains v are (level * chain, visible), level by level; `betas` (level,) fall from 1.
    """
    n_levels = len(betas)
    each = betas.to(v.dtype).repeat_interleave(len(v) // n_levels)[:, None]
    for _ in range(n_sweeps):
        h = path.draw_hidden(path.at(v).x, each, generator)
        v = path.draw_visible(h, each, generator)
    x = path.at(v).x
    weight = path.scaled_weight(v, x, path.draw_hidden(x, each, generator)).view(n_levels, -1)
    rows, made = v.view(n_levels, -1, v.shape[1]), torch.zeros((), device=v.device)
    steps_of_beta = (betas[1:] - betas[:-1]).double()[:, None]
    for parity in (0, 1):
        order, swapped = swap(steps_of_beta * (weight[:-1] - weight[1:]), parity, generator)
        rows, weight, made = reorder(rows, order), reorder(weight, order), made + swapped.float().mean()
    return rows.flatten(0, 1), made


@checked
def unit_sampler(
    energy: BoltzmannEnergy,
    base: Base,
    states: Callable[[], Tensor],
    *,
    sampler: Sampler = "auto",
    n_sweeps: Count = N_SWEEPS,
) -> Callable[[int, torch.Generator], Tensor]:
    """Return the function (n, generator) -> v (n, visible).

    Chains of `n_sweeps` sweeps start at states (m, visible), "tempering" with a path from `base`; "auto" draws exactly
    where the smaller layer has at most 14 units, else by "gibbs".
    """
    if sampler == "exact" or (sampler == "auto" and smaller_layer(energy) <= _SOON_EXACT):
        sums = StateSum(energy)
        return lambda n, generator: sums.sample(energy, n, generator)
    known, path = states(), BoltzmannPath(energy, base)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        index = torch.randint(len(known), (n,), generator=generator, device=generator.device)
        v = known[index.to(known.device)].to(path.W.dtype)
        if sampler != "tempering":
            return gibbs_chain(path, v, n_sweeps, generator)
        betas, rows = torch.linspace(1, 0, _LEVELS, device=v.device), v.repeat(_LEVELS, 1)
        for _ in range(n_sweeps):
            rows, _ = exchange(path, rows, betas, generator)
        return rows[:n]

    return draw


@torch.no_grad()
def completed_units(
    energy: BoltzmannEnergy, states: Tensor, v: Tensor, known: Tensor, *, n_sweeps: int, seed: int, draw: int = 0
) -> Tensor:
    """Return v (batch, visible) with the units that are not known drawn given those that are, float32 or float64.

    Parameters
    ----------
    energy : the machine.
    states : (m, visible) states of the machine, where unknown units start.
    v, known : (batch, visible), units and which of them are known.
    n_sweeps : Gibbs sweeps with the known units clamped.
    seed, draw : root of the noise, and the number of this completion of the same events.
    """
    device, dtype = energy.W.device, energy.W.dtype
    states, completed = states.to(device, dtype), []
    for first in range(0, len(v), _ROWS):
        noise = child_generator(seed, "complete", draw, first, device=device)
        given, clamped = v[first : first + _ROWS].to(device, dtype), known[first : first + _ROWS].to(device)
        index = torch.randint(len(states), (len(given),), generator=noise, device=device)
        chains = steps(BlockGibbs(clamped=clamped), torch.where(clamped, given, states[index]), energy, generator=noise)
        completed += [state.x for state, _ in islice(chains, n_sweeps - 1, n_sweeps)]
    return torch.cat(completed)
