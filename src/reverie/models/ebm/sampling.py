"""The chains that a finished energy-based model keeps, how long they remember, and what its log Z is.

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
from reverie.models.ebm.chains import Jumps
from reverie.models.ebm.likelihood import two_ways
from reverie.models.ebm.partition_function import EnergyPath, grid_log_z
from reverie.samplers.diagnostics import rank_normalised_r_hat
from reverie.samplers.run import run

__all__ = ["LARGE", "LogZ", "Memory", "found_log_z", "settled", "steps_of_a_sample"]

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
