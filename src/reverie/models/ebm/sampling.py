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

The chains that a finished energy-based model keeps, how long they remember, and what its log Z is.

After training, chains go on from the store under the weights that are kept. How long they remember is measured: the
integrated autocorrelation time tau of the energy and of every coordinate, at most 64 of them, and R-hat over them.
A sample starts at chains drawn from those and takes 4 tau steps more, within 50 and 1000 (events of more than 32
values: 20 and 1000), so that it no longer knows where it started.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from reverie.core.series import autocorrelation_time
from reverie.core.types import Energy
from reverie.models.ebm.likelihood import EnergyPath, grid_log_z, two_ways
from reverie.samplers.diagnostics import rank_normalised_r_hat
from reverie.samplers.langevin import MALA, MALAInfo, MALAState, energy_and_gradient
from reverie.samplers.metropolis import accept
from reverie.samplers.run import run

__all__ = [
    "JUMP_EVERY",
    "Jumps",
    "LARGE",
    "LogZ",
    "Memory",
    "JumpsState",
    "found_log_z",
    "jump",
    "settled",
    "steps_of_a_sample",
]

JUMP_EVERY = 2


@dataclass(frozen=True, eq=False)
class JumpsState:
    """State: x (chain, *event) with E and its gradient, steps taken, accepted Langevin steps and jumps so far."""

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
        slope, info = self._langevin(state.slope, energy, generator)
        return JumpsState(slope, state.accepted + info.accepted, state.jumped), info

    def _langevin(self, slope: MALAState, energy: Energy, generator: torch.Generator) -> tuple[MALAState, MALAInfo]:
        if self.adjusted:
            return MALA(self.step_size).step(slope, energy, generator)
        x, eta = slope.x, self.step_size
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        moved = x - eta * slope.gradient + (2 * self.temperature * eta) ** 0.5 * noise
        everywhere = MALAInfo(torch.ones(len(x), device=x.device))
        return MALAState(moved, *energy_and_gradient(energy, moved), slope.step + 1), everywhere

    def shares(self, state: JumpsState) -> tuple[Tensor, Tensor]:
        """Return the accepted share of the Langevin steps and of the jumps since `init`, scalars on the device."""
        n = state.slope.step
        n_jumps = -(-n // JUMP_EVERY) if self.jumps else 0
        return state.accepted.mean() / max(1, n - n_jumps), state.jumped.mean() / max(1, n_jumps)


LARGE = 32  # values of an event beyond which chains are costly
_SETTLING, _MEASURED = 100, 200  # steps under the kept weights: forgotten, looked at; a quarter for large events
_FEWEST, _FEWEST_LARGE, _MOST = 50, 20, 1000  # steps of a sample
_TAUS = 4.0
_LOOKED_AT = 64  # chains, and coordinates of each
_CELLS = 1000  # per axis of the grid of log Z
_LARGEST_R_HAT = 1.05


@dataclass(frozen=True)
class LogZ:
    """The log of the normalising constant of an energy, over whitened features.

    Parameters
    ----------
    value, error : in nats.
    ess : effective number of forward chains; None where a grid was summed.
    warning : what is doubtful about it, or nothing.
    """

    value: float
    error: float
    ess: float | None = None
    warning: str = ""


@dataclass(frozen=True)
class Memory:
    """How chains mix: step size, the longest autocorrelation time in steps, and the largest R-hat."""

    eta: float
    tau: float
    r_hat: float

    def to_json(self) -> dict[str, float]:
        """Return everything as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        """Return what `to_json` described."""
        return cls(**stored)

    @property
    def warning(self) -> str:
        """What is doubtful about samples, or nothing."""
        if self.r_hat <= _LARGEST_R_HAT and self.tau * _TAUS <= _MOST:
            return ""
        return (
            f"Chains do not mix (R-hat {self.r_hat:.2f}, memory {self.tau:.0f} steps): how samples are shared between "
            "modes is left over from training."
        )


def steps_of_a_sample(memory: Memory | None, n_values: int) -> int:
    """Return 4 tau within bounds, or the lower bound where tau is not known; see the module."""
    fewest = _FEWEST_LARGE if n_values > LARGE else _FEWEST
    return fewest if memory is None else int(min(max(_TAUS * memory.tau, fewest), _MOST))


def settled(kernel: Jumps, energy: Energy, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Memory]:
    """Return where chains from x (chain, *event) end after some hundreds of steps, and how they mix."""
    share = 4 if x[0].numel() > LARGE else 1
    steps: dict[str, Any] = {"n_steps": _MEASURED // share, "burn_in": _SETTLING // share}
    chains = run(kernel, x, energy, generator=generator, **steps).x
    few = chains[:, :_LOOKED_AT]
    with torch.no_grad():
        energies = torch.stack([energy(at) for at in few])
    series = [energies, *few.flatten(2)[:, :, :_LOOKED_AT].unbind(2)]
    looked_at = [s.double().cpu().numpy().T for s in series]
    tau = max(autocorrelation_time(s).value for s in looked_at)
    r_hat = max(rank_normalised_r_hat(s) for s in looked_at)
    return chains[-1].clone(), Memory(float(kernel.step_size), tau, r_hat)


def found_log_z(
    energy: Energy, kernel: Jumps, *, n_temperatures: int, n_chains: int, generator: torch.Generator
) -> LogZ:
    """Return log Z of an energy: on a grid for one or two features, else by annealing both ways.

    Parameters
    ----------
    energy : (batch, *event) -> (batch,).
    kernel : of chains of it; its stock are samples of the energy, its spread is the width of the annealing's start.
    n_temperatures, n_chains : of the annealing, each way.
    generator : of the annealing.
    """
    if kernel.stock[0].numel() <= 2:
        return LogZ(*grid_log_z(energy, kernel.stock, _CELLS))
    shape, eta = tuple(kernel.stock.shape[1:]), float(kernel.step_size)
    path = EnergyPath(energy, shape, step_size=eta, spread=kernel.spread)
    found = two_ways(path, kernel.stock, n_temperatures=n_temperatures, n_chains=n_chains, generator=generator)
    return LogZ(found.value, found.error, found.forward.ess, found.warning)
