r"""Chains of states of a wave function: block Gibbs sweeps, each with an offer to turn all units around.

    h ~ p(h | s),     s ~ p(s | h),     s -> 1 - s with probability min(1, exp(F(s) - F(1 - s)))

States of a magnet that differ by their sign alone are far apart for single units. With u = b + s W the log odds of the
hidden units, those of the state turned around are u' = 2 b + sum_i W_i - u, and with q = sigmoid(-u) and
q' = sigmoid(-u'), the probabilities that hidden units are off,

    F(s) - F(1 - s) = sum_j log(q_j / q'_j) + sum_i a_i (1 - 2 s_i),

so that the offer takes no product of its own, and the next sweep starts from q or q'.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.random import child_generator
from reverie.core.types import Energy
from reverie.networks.boltzmann import BoltzmannEnergy
from reverie.samplers.chains import Chains
from reverie.samplers.gibbs import GibbsInfo, GibbsState, as_bipartite
from reverie.samplers.run import run

__all__ = ["TurningGibbs", "gibbs_chains"]

_BURN_IN = 200  # sweeps before a chain is believed
_AT_ONCE = 16  # sweeps whose random numbers are drawn together: the calls are few, and the memory is bounded


@dataclass(frozen=True)
class TurningGibbs:
    """Sweeps of binary units, each with an offer to turn around.

    Parameters
    ----------
    n_sweeps : sweeps in one step, at least 1; their random numbers are drawn together, up to 16 sweeps.
    """

    n_sweeps: int = 1

    def init(self, x: Tensor, energy: Energy) -> GibbsState:
        """Return the state of chains at x (chain, n_sites) of bits; `energy` is a binary `BoltzmannEnergy`."""
        check_positive("n_sweeps", self.n_sweeps, integer=True)
        as_bipartite(energy)
        return GibbsState(x)

    @torch.no_grad()
    def step(self, state: GibbsState, energy: Energy, generator: torch.Generator) -> tuple[GibbsState, GibbsInfo]:
        """Return the next state, and which chains turned around in the last sweep."""
        machine: Any = energy
        W, a, b = machine.W, machine.visible_bias, machine.hidden_bias
        back, minus_W, minus_b, twice_a, x = W.T.contiguous(), -W, -b, 2 * a[:, None], state.x
        both = 2 * minus_b - W.sum(0)
        off, turned = torch.addmm(minus_b, x, minus_W).sigmoid_(), torch.zeros_like(x[:, :1], dtype=torch.bool)
        for for_h, for_x, least in _noise(machine, len(x), self.n_sweeps, generator):
            h = torch.ge(for_h, off, out=for_h)
            x = torch.lt(for_x, torch.addmm(a, h, back).sigmoid_(), out=for_x)
            minus_u = torch.addmm(minus_b, x, minus_W)
            off, off_turned = minus_u.sigmoid(), (both - minus_u).sigmoid_()
            turned = least < (off / off_turned).log_().sum(1, keepdim=True) - x @ twice_a
            off = torch.where(turned, off_turned, off)
        return GibbsState(torch.where(turned, 1 - x, x)), GibbsInfo(turned[:, 0].double())


def gibbs_chains(energy: BoltzmannEnergy, *, n_chains: int, n_kept: int, n_gibbs: int, seed: int) -> Chains:
    """Return block Gibbs chains from random bits, after 200 sweeps, `n_gibbs` sweeps between kept positions."""
    generator = child_generator(seed, "chains")
    s = torch.randint(2, (n_chains, energy.W.shape[0]), generator=generator).to(energy.W.dtype)
    return run(TurningGibbs(), s, energy, n_steps=n_kept * n_gibbs, thin=n_gibbs, burn_in=_BURN_IN, generator=generator)


def _noise(
    machine: BoltzmannEnergy, n_chains: int, n_sweeps: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield for each sweep uniform numbers for hidden and for visible units, and the least gain that turns a chain.

    The gain is F(s) - F(1 - s) but for the sum of the visible biases, which is the same in all sweeps.
    """
    like: dict[str, Any] = {"generator": generator, "dtype": machine.W.dtype, "device": machine.W.device}
    n_visible, n_hidden = machine.W.shape
    for first in range(0, n_sweeps, _AT_ONCE):
        rows = (min(_AT_ONCE, n_sweeps - first), n_chains)
        units = torch.rand(*rows, n_hidden, **like), torch.rand(*rows, n_visible, **like)
        least = torch.rand(*rows, 1, **like).log_() - machine.visible_bias.sum()
        yield from zip(*units, least, strict=True)
