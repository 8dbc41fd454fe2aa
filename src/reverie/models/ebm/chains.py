r"""Chains of an energy-based model: Langevin steps, and now and then a jump across the space.

Langevin steps follow the force and stay in their mode. Every second step is a jump, accepted by the Metropolis rule, so
that the chains still sample exp(-E) / Z, by turns of two kinds:

    difference   x' = x + a - b for two rows a, b drawn from a stock of events: symmetric, so accepted with
                 min(1, exp(E(x) - E(x'))); differences of events lead from mode to mode (ter Braak, 2006)
    fresh        x' ~ N(0, s^2), accepted with min(1, exp(E(x) - E(x') + (|x'|^2 - |x|^2) / (2 s^2)))

In few dimensions they mix modes that Langevin steps would not; in many hardly any is accepted, which costs half of
the time. Restarting a share of the chains outright, as is common for images, is a fresh jump that is never refused:
chains that have not come back to the data then count as samples, and the energy where they are is raised for ever.

References
----------
ter Braak, Stat. Comput. 16, 239 (2006); Tierney, Ann. Stat. 22, 1701 (1994), independence chains;
Du and Mordatch, arXiv:1903.08689 (restarts).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.types import Energy
from reverie.samplers.chains import Moves
from reverie.samplers.langevin import MALA, Slope, energy_and_gradient

__all__ = ["JUMP_EVERY", "Jumps", "Walkers", "jump"]

JUMP_EVERY = 2


@dataclass(frozen=True, eq=False)
class Walkers:
    """State: x (chain, *event) with E and its gradient, steps taken, accepted Langevin steps and jumps so far."""

    slope: Slope
    accepted: Tensor
    jumped: Tensor

    @property
    def x(self) -> Tensor:
        """Positions (chain, *event)."""
        return self.slope.x


def jump(
    state: Slope, energy: Energy, stock: Tensor, spread: float | None, generator: torch.Generator
) -> tuple[Slope, Tensor]:
    """Return chains after a Metropolis jump, and whether each was accepted, (chain,).

    Parameters
    ----------
    state : of the chains.
    energy : (chain, *event) -> (chain,).
    stock : (row, *event), whose differences are proposed where `spread` is None.
    spread : s of a fresh proposal from N(0, s^2).
    """
    x, device = state.x, state.x.device
    if spread is None:
        rows = torch.randint(len(stock), (2, len(x)), generator=generator, device=device)
        proposal, favour = x + stock[rows[0]] - stock[rows[1]], 0.0
    else:
        proposal = spread * torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype)
        favour = (proposal.square() - x.square()).flatten(1).sum(1) / (2 * spread**2)
    proposed = Slope(proposal, *energy_and_gradient(energy, proposal), state.step + 1)
    uniform = torch.rand(len(x), generator=generator, device=device)
    accepted = uniform.log() < state.energy - proposed.energy + favour
    wide = accepted.reshape(-1, *[1] * (x.ndim - 1))
    kept = Slope(
        torch.where(wide, proposed.x, x),
        torch.where(accepted, proposed.energy, state.energy),
        torch.where(wide, proposed.gradient, state.gradient),
        proposed.step,
    )
    return kept, accepted


@dataclass(frozen=True, eq=False)
class Jumps:
    """Kernel of Langevin steps, of which every second is a jump.

    Parameters
    ----------
    step_size : eta of the Langevin steps, a number or a scalar tensor.
    stock : (row, *event), whose differences are proposed; it must not depend on the chains.
    spread : s of the fresh proposals.
    adjusted : whether Langevin steps are accepted by the Metropolis rule (MALA), else all are taken (ULA).
    temperature : of the noise of unadjusted steps; only at 1 do they sample exp(-E).
    jumps : whether there are jumps.
    """

    step_size: float | Tensor
    stock: Tensor
    spread: float = 1.0
    adjusted: bool = True
    temperature: float = 1.0
    jumps: bool = True

    def init(self, x: Tensor, energy: Energy) -> Walkers:
        """Return the state of chains at x (chain, *event)."""
        zeros = torch.zeros(len(x), device=x.device)
        return Walkers(Slope(x, *energy_and_gradient(energy, x)), zeros, zeros)

    def step(self, state: Walkers, energy: Energy, generator: torch.Generator) -> tuple[Walkers, Moves]:
        """Return the next state and whether each chain moved."""
        turn, is_jump = divmod(state.slope.step, JUMP_EVERY)
        if self.jumps and not is_jump:
            slope, moved = jump(state.slope, energy, self.stock, self.spread if turn % 2 else None, generator)
            return Walkers(slope, state.accepted, state.jumped + moved), Moves(moved.float())
        slope, info = self._langevin(state.slope, energy, generator)
        return Walkers(slope, state.accepted + info.accepted, state.jumped), info

    def _langevin(self, slope: Slope, energy: Energy, generator: torch.Generator) -> tuple[Slope, Moves]:
        if self.adjusted:
            return MALA(self.step_size).step(slope, energy, generator)
        x, eta = slope.x, self.step_size
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        moved = x - eta * slope.gradient + (2 * self.temperature * eta) ** 0.5 * noise
        everywhere = Moves(torch.ones(len(x), device=x.device))
        return Slope(moved, *energy_and_gradient(energy, moved), slope.step + 1), everywhere

    def shares(self, state: Walkers) -> tuple[Tensor, Tensor]:
        """Return the accepted share of the Langevin steps and of the jumps since `init`, scalars on the device."""
        n = state.slope.step
        n_jumps = -(-n // JUMP_EVERY) if self.jumps else 0
        return state.accepted.mean() / max(1, n - n_jumps), state.jumped.mean() / max(1, n_jumps)
