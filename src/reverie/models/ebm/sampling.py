r"""Chains of an energy-based model, and samples from them: Langevin steps, and now and then a jump across the space.

Langevin steps follow the force and stay in their mode. Every second step is a jump, accepted by the Metropolis rule, so
that the chains still sample exp(-E) / Z, by turns of two kinds:

    difference   x' = x + a - b for two rows a, b drawn from a stock of events: symmetric, so accepted with
                 min(1, exp(E(x) - E(x'))); differences of events lead from mode to mode (ter Braak, 2006)
    fresh        x' ~ N(0, s^2), accepted with min(1, exp(E(x) - E(x') + (|x'|^2 - |x|^2) / (2 s^2)))

In few dimensions they mix modes that Langevin steps would not; in many hardly any is accepted, which costs half of
the time. Restarting a share of the chains outright, as is common for images, is a fresh jump that is never refused:
chains that have not come back to the data then count as samples, and the energy where they are is raised for ever.

After training, chains go on from the store under the weights that are kept. How long they remember is measured: the
integrated autocorrelation time tau of the energy and of every coordinate, at most 64 of them, and R-hat over them.
A sample starts at chains drawn from those and takes 4 tau steps more, within 50 and 1000 (events of more than 32
values: 20 and 1000), so that it no longer knows where it started.

References
----------
ter Braak, Stat. Comput. 16, 239 (2006); Tierney, Ann. Stat. 22, 1701 (1994), independence chains;
Du and Mordatch, arXiv:1903.08689 (restarts).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.series import autocorrelation_time
from reverie.core.types import Energy
from reverie.samplers.chains import rank_normalised_r_hat
from reverie.samplers.langevin import MALA, MALAInfo, MALAState, energy_and_gradient
from reverie.samplers.metropolis import accept
from reverie.samplers.run import run

__all__ = ["JUMP_EVERY", "LARGE", "JumpsState", "Jumps", "Mixing", "jump", "sample_steps", "settled_chains"]

JUMP_EVERY = 2
LARGE = 32  # values of an event beyond which chains are costly
_SETTLING, _MEASURED = 100, 200  # steps under the kept weights: forgotten, looked at; a quarter for large events
_FEWEST, _FEWEST_LARGE, _MOST = 50, 20, 1000  # steps of a sample
_TAUS = 4.0
_LOOKED_AT = 64  # chains, and coordinates of each
_LARGEST_R_HAT = 1.05


@dataclass(frozen=True, eq=False)
class JumpsState:
    """Chains x (chain, *event) with E and its gradient, steps taken, accepted Langevin steps and jumps so far."""

    slope: MALAState
    accepted: Tensor
    jumped: Tensor

    @property
    def x(self) -> Tensor:
        """Positions (chain, *event)."""
        return self.slope.x


def jump(
    state: MALAState, energy: Energy, stock: Tensor, spread: float | None, generator: torch.Generator
) -> tuple[MALAState, Tensor]:
    """Return chains after a Metropolis jump, and whether each was accepted, (chain,).

    Proposals are fresh from N(0, spread^2), or differences of rows of `stock` (row, *event) where `spread` is None.
    """
    x, device = state.x, state.x.device
    if spread is None:
        rows = torch.randint(len(stock), (2, len(x)), generator=generator, device=device)
        proposal, favour = x + stock[rows[0]] - stock[rows[1]], 0.0
    else:
        proposal = spread * torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype)
        favour = (proposal.square() - x.square()).flatten(1).sum(1) / (2 * spread**2)
    proposed = MALAState(proposal, *energy_and_gradient(energy, proposal), state.step + 1)
    uniform = torch.rand(len(x), generator=generator, device=device)
    accepted = uniform.log() < state.energy - proposed.energy + favour
    return accept(accepted, proposed, state), accepted


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

    def init(self, x: Tensor, energy: Energy) -> JumpsState:
        """Return the state of chains at x (chain, *event)."""
        zeros = torch.zeros(len(x), device=x.device)
        return JumpsState(MALAState(x, *energy_and_gradient(energy, x)), zeros, zeros)

    def step(self, state: JumpsState, energy: Energy, generator: torch.Generator) -> tuple[JumpsState, MALAInfo]:
        """Return the next state and whether each chain moved."""
        turn, is_jump = divmod(state.slope.step, JUMP_EVERY)
        if self.jumps and not is_jump:
            slope, moved = jump(state.slope, energy, self.stock, self.spread if turn % 2 else None, generator)
            return JumpsState(slope, state.accepted, state.jumped + moved), MALAInfo(moved.float())
        if self.adjusted:
            slope, info = MALA(self.step_size).step(state.slope, energy, generator)
        else:
            x, eta = state.x, self.step_size
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = x - eta * state.slope.gradient + (2 * self.temperature * eta) ** 0.5 * noise
            slope = MALAState(x, *energy_and_gradient(energy, x), state.slope.step + 1)
            info = MALAInfo(torch.ones(len(x), device=x.device))
        return JumpsState(slope, state.accepted + info.accepted, state.jumped), info

    def shares(self, state: JumpsState) -> tuple[Tensor, Tensor]:
        """Return the accepted share of the Langevin steps and of the jumps since `init`, scalars on the device."""
        n = state.slope.step
        n_jumps = -(-n // JUMP_EVERY) if self.jumps else 0
        return state.accepted.mean() / max(1, n - n_jumps), state.jumped.mean() / max(1, n_jumps)


@dataclass(frozen=True)
class Mixing:
    """How chains of Langevin step size eta mix: the longest autocorrelation time in steps, and the largest R-hat."""

    eta: float
    tau: float
    r_hat: float

    @property
    def warning(self) -> str:
        """What is doubtful about samples, or nothing."""
        if self.r_hat <= _LARGEST_R_HAT and self.tau * _TAUS <= _MOST:
            return ""
        return (
            f"Chains do not mix (R-hat {self.r_hat:.2f}, memory {self.tau:.0f} steps): how samples are shared between "
            "modes is left over from training."
        )


def sample_steps(mixing: Mixing | None, n_values: int) -> int:
    """Return 4 tau within bounds, or the lower bound where tau is not known; see the module."""
    fewest = _FEWEST_LARGE if n_values > LARGE else _FEWEST
    return fewest if mixing is None else int(min(max(_TAUS * mixing.tau, fewest), _MOST))


def settled_chains(kernel: Jumps, energy: Energy, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Mixing]:
    """Return where chains from x (chain, *event) end after some hundreds of steps, and how they mix."""
    share = 4 if x[0].numel() > LARGE else 1
    chains = run(kernel, x, energy, n_steps=_MEASURED // share, burn_in=_SETTLING // share, generator=generator).x
    few = chains[:, :_LOOKED_AT]
    with torch.no_grad():
        energies = torch.stack([energy(at) for at in few])
    series = [energies, *few.flatten(2)[:, :, :_LOOKED_AT].unbind(2)]
    arrays = [s.double().cpu().numpy().T for s in series]
    tau = max(autocorrelation_time(s).value for s in arrays)
    r_hat = max(rank_normalised_r_hat(s) for s in arrays)
    return chains[-1].clone(), Mixing(float(kernel.step_size), tau, r_hat)
