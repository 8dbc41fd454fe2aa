"""Drawing from a trained restricted Boltzmann machine: exactly, by chains, and with some of the units given.

    exact       a state of the smaller layer by its probability, then the other layer: independent draws
    gibbs       chains that start where the chains of training stood, so that sweeps need not find the modes
    tempering   the same with levels of inverse temperature that swap places, for modes that sweeps do not connect

Units that are given are clamped: the others come from their conditional distribution, p(v_free | v_given).

Exact averages of a small restricted Boltzmann machine, over all states of its smaller layer.

The states k of that layer have probabilities p_k = exp(-F(k)) / Z, and the mean of the other layer given k is known,
so the model side of the gradient is a sum over k (`reverie.objectives.contrastive`). Of Gaussian units the hidden
states are summed; around its mean given h a unit scatters with variance s^2, which adds 1/2 to < -dE / dlog s^2 >.
Draws are a state k with probability p_k, then the other layer given k: independent, without a chain.
"""

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

from reverie.core.checks import check_choice, check_positive
from reverie.models.rbm.likelihood import BoltzmannPath
from reverie.networks.boltzmann import BoltzmannEnergy, smaller_layer, state_blocks
from reverie.objectives.contrastive import Gradient, combined, likelihood_gradient
from reverie.samplers.gibbs import BlockGibbs
from reverie.samplers.run import steps
from reverie.samplers.tempering import reorder, swap

__all__ = ["ExactSum", "N_SWEEPS", "SAMPLERS", "completed", "drawer", "exchange", "unique_rows"]

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


def exchange(
    path: BoltzmannPath, v: Tensor, betas: Tensor, generator: torch.Generator, *, n_sweeps: int = 1
) -> tuple[Tensor, Tensor]:
    """Return chains of all levels after Gibbs sweeps and both rounds of swaps, and the share of swaps made.

    Parameters
    ----------
    path : to the machine.
    v : (level * chain, visible), level by level.
    betas : (level,), falling from 1.
    generator : all randomness.
    n_sweeps : before the swaps.
    """
    n_levels = len(betas)
    each = betas.to(v.dtype).repeat_interleave(len(v) // n_levels)[:, None]
    for _ in range(n_sweeps):
        h = path.draw_hidden(path.at(v).x, each, generator)
        v = path.draw_visible(h, each, generator)
    x = path.at(v).x
    weight = path.scaled_weight(v, x, path.draw_hidden(x, each, generator)).view(n_levels, -1)
    rows, made = v.view(n_levels, -1, v.shape[1]), torch.zeros((), device=v.device)
    steps = (betas[1:] - betas[:-1]).double()[:, None]
    for parity in (0, 1):
        order, swapped = swap(steps * (weight[:-1] - weight[1:]), parity, generator)
        rows, weight, made = reorder(rows, order), reorder(weight, order), made + swapped.float().mean()
    return rows.flatten(0, 1), made


class ExactSum:
    """All states of the smaller layer of machines of one shape.

    Parameters
    ----------
    energy : a machine of that shape; its parameters may change later.

    Raises
    ------
    InputError
        When that layer has more than 20 units.
    """

    def __init__(self, energy: BoltzmannEnergy) -> None:
        n_visible, n_hidden = energy.W.shape
        self.over_visible = energy.log_variance is None and n_visible < n_hidden
        blocks = state_blocks(smaller_layer(energy), dtype=energy.W.dtype)
        self._blocks = [block.to(energy.W.device) for block in blocks]

    def log_weights(self, energy: BoltzmannEnergy) -> Tensor:
        """Return -F of every state, (state,) float64."""
        free_energy = energy if self.over_visible else energy.hidden_free_energy
        return torch.cat([-free_energy(block).double() for block in self._blocks])

    def gradient(self, energy: BoltzmannEnergy) -> tuple[Gradient, Tensor]:
        """Return < -dE / dtheta > of the model and log Z, a float64 scalar; hand-written, without autograd."""
        log_weights = self.log_weights(energy)
        log_z = torch.logsumexp(log_weights, 0)
        p = (log_weights - log_z).exp().to(energy.W.dtype)
        shares = p.split([len(block) for block in self._blocks])
        parts = [
            gradient_of(energy, *self._layers(energy, states), share)
            for states, share in zip(self._blocks, shares, strict=True)
        ]
        model = combined(parts, [1.0] * len(parts))
        if model.log_variance is not None:
            model.log_variance.add_(0.5)
        return model, log_z

    def sample(self, energy: BoltzmannEnergy, n: int, generator: torch.Generator) -> Tensor:
        """Return v (n, visible), independent draws of the model."""
        p = torch.softmax(self.log_weights(energy), 0)
        index = torch.multinomial(p, n, replacement=True, generator=generator)
        states = torch.cat(self._blocks)[index]
        return states if self.over_visible else energy.sample_visible(states, generator)

    def _layers(self, energy: BoltzmannEnergy, states: Tensor) -> tuple[Tensor, Tensor]:
        if self.over_visible:
            return states, energy.hidden_mean(states)
        return energy.visible_mean(states), states


def gradient_of(energy: BoltzmannEnergy, v: Tensor, h: Tensor, r: Tensor) -> Gradient:
    """Return `likelihood_gradient` of rows at the parameters of `energy`."""
    return likelihood_gradient(v, h, r, W=energy.W, visible_bias=energy.visible_bias, log_variance=energy.log_variance)


def unique_rows(v: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the different rows of v (batch, visible) and their weights, which add up to the mean weight (1)."""
    rows, index = torch.unique(v, dim=0, return_inverse=True)
    each = torch.ones(len(v), dtype=v.dtype) if weight is None else weight.to(v.dtype)
    return rows, torch.zeros(len(rows), dtype=v.dtype).index_add_(0, index, each) / len(v)
