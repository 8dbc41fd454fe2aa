"""Drawing from a trained restricted Boltzmann machine: exactly, by chains, and with some of the units given.

    exact       a state of the smaller layer by its probability, then the other layer: independent draws
    gibbs       chains that start where the chains of training stood, so that sweeps need not find the modes
    tempering   the same with levels of inverse temperature that swap places, for modes that sweeps do not connect

Units that are given are clamped: the others come from their conditional distribution, p(v_free | v_given).
"""

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

from reverie.core.checks import check_choice, check_positive
from reverie.models.rbm.annealing import BoltzmannPath
from reverie.models.rbm.chains import exchange
from reverie.models.rbm.exact import ExactSum, smaller_layer
from reverie.networks.boltzmann import BoltzmannEnergy
from reverie.samplers.gibbs import BlockGibbs
from reverie.samplers.run import steps

__all__ = ["N_SWEEPS", "SAMPLERS", "completed", "drawer"]

SAMPLERS = ("auto", "exact", "gibbs", "tempering")
N_SWEEPS = 200
_LEVELS = 10
_SOON_EXACT = 14  # units of the smaller layer up to which "auto" draws exactly

Draw = Callable[[int, torch.Generator], Tensor]


def drawer(
    energy: BoltzmannEnergy,
    base: tuple[Tensor, Tensor | None],
    states: Callable[[], Tensor],
    *,
    sampler: str = "auto",
    n_sweeps: int = N_SWEEPS,
) -> Draw:
    """Return the function (n, generator) -> v (n, visible).

    Parameters
    ----------
    energy : the machine.
    base : base rate of the path, for "tempering".
    states : gives states (m, visible) that chains start from.
    sampler : "auto" draws exactly where the smaller layer has at most 14 units, else by "gibbs".
    n_sweeps : Gibbs sweeps of each chain, at least 1.

    Raises
    ------
    InputError
        For another sampler, or exact draws from a machine that is too large.
    """
    check_choice("sampler", sampler, dict.fromkeys(SAMPLERS, True))
    check_positive("n_sweeps", n_sweeps, integer=True)
    if sampler == "exact" or (sampler == "auto" and smaller_layer(energy) <= _SOON_EXACT):
        sums = ExactSum(energy)
        return lambda n, generator: sums.sample(energy, n, generator)
    start, path = states(), BoltzmannPath(energy, base)
    if sampler == "tempering":
        return lambda n, generator: _tempered(path, _picked(start, n, generator), n_sweeps, generator)

    def gibbs(n: int, generator: torch.Generator) -> Tensor:
        level = path.at(_picked(start, n, generator).to(path.W.dtype))
        for _ in range(n_sweeps):
            level = path.move(level, 1.0, generator)
        return level.v

    return gibbs


def completed(
    energy: BoltzmannEnergy, v: Tensor, known: Tensor, generator: torch.Generator, *, n_sweeps: int = N_SWEEPS
) -> Tensor:
    """Return v (batch, visible) with the units that are not `known` (batch, visible) drawn given those that are.

    Chains start at v, whatever stands at the unknown places.
    """
    kernel = BlockGibbs(clamped=known)
    passed = islice(steps(kernel, v, energy, generator=generator), n_sweeps - 1, n_sweeps)
    return next(state.x for state, _ in passed)


def _tempered(path: BoltzmannPath, v: Tensor, n_sweeps: int, generator: torch.Generator) -> Tensor:
    betas = torch.linspace(1, 0, _LEVELS, device=v.device)
    rows = v.to(path.W.dtype).repeat(_LEVELS, 1)
    for _ in range(n_sweeps):
        rows, _ = exchange(path, rows, betas, generator)
    return rows[: len(v)]


def _picked(states: Tensor, n: int, generator: torch.Generator) -> Tensor:
    index = torch.randint(len(states), (n,), generator=generator, device=generator.device)
    return states[index.to(states.device)]
