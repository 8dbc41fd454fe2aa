"""Local kernels: propose a small change, accept it with the probability that keeps p = exp(-E) / Z.

    metropolis   min(1, exp(-dE))                  Metropolis et al., J. Chem. Phys. 21, 1087 (1953)
    heat_bath    1 / (1 + exp(dE)), Glauber        Glauber, J. Math. Phys. 4, 294 (1963)

`SpinFlip` and `RandomWalk` know the energy only as a function. The same rules for all spins of an Ising lattice are
`Checkerboard` in `reverie.samplers.lattice`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from reverie.core.checks import check_choice, check_positive
from reverie.core.types import Energy

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["RULES", "MetropolisInfo", "MetropolisState", "RandomWalk", "SpinFlip", "accept"]

S = TypeVar("S", bound="DataclassInstance")

RULES: dict[str, Callable[[Tensor], Tensor]] = {  # change of the energy -> probability of acceptance
    "metropolis": lambda change: torch.exp(-change.clamp(min=0)),
    "heat_bath": lambda change: torch.sigmoid(-change),
}


@dataclass(frozen=True)
class MetropolisState:
    """State of `SpinFlip` and `RandomWalk`: positions x (chain, *event), and their energies (chain,)."""

    x: Tensor
    energy: Tensor


@dataclass(frozen=True)
class MetropolisInfo:
    """Info of one step of a kernel with proposals: whether each chain took its own, (chain,), 0 or 1."""

    accepted: Tensor


def accept(accepted: Tensor, proposed: S, state: S) -> S:
    """Return the state of chains that go to their proposal where it is `accepted` (chain,), bool, and stay elsewhere.

    Every tensor of a state has one row per chain; what is no tensor, such as a number of steps, is that of `proposed`.
    """
    chosen: dict[str, Tensor] = {}
    for field in fields(proposed):
        new, old = getattr(proposed, field.name), getattr(state, field.name)
        if isinstance(new, Tensor):
            chosen[field.name] = torch.where(accepted.reshape(-1, *[1] * (new.ndim - 1)), new, old)
    return replace(proposed, **chosen)


def _propose(
    state: MetropolisState, proposal: Tensor, energy: Energy, rule: str, generator: torch.Generator
) -> tuple[MetropolisState, MetropolisInfo]:
    with torch.no_grad():
        proposed = energy(proposal)
    uniform = torch.rand(proposed.shape, generator=generator, device=proposed.device, dtype=torch.float64)
    accepted = uniform < RULES[rule]((proposed - state.energy).double())
    return accept(accepted, MetropolisState(proposal, proposed), state), MetropolisInfo(accepted.float())


@dataclass(frozen=True)
class SpinFlip:
    """Flip of one spin per chain, chosen at random, for any energy of spins +-1; rule "metropolis" or "heat_bath"."""

    rule: str = "metropolis"

    def init(self, x: Tensor, energy: Energy) -> MetropolisState:
        """Return the state of chains at x (chain, *event)."""
        check_choice("rule", self.rule, RULES)
        with torch.no_grad():
            return MetropolisState(x, energy(x))

    def step(
        self, state: MetropolisState, energy: Energy, generator: torch.Generator
    ) -> tuple[MetropolisState, MetropolisInfo]:
        """Return the next state and whether each chain moved."""
        flat = state.x.flatten(1).clone()
        site = torch.randint(flat.shape[1], (len(flat), 1), generator=generator, device=flat.device)
        flat.scatter_(1, site, -flat.gather(1, site))
        return _propose(state, flat.view_as(state.x), energy, self.rule, generator)


@dataclass(frozen=True)
class RandomWalk:
    """Gaussian steps of all coordinates together, accepted by the Metropolis rule.

    The step size is the standard deviation along each coordinate, in the unit of x, > 0.
    """

    step_size: float

    def init(self, x: Tensor, energy: Energy) -> MetropolisState:
        """Return the state of chains at x (chain, *event)."""
        check_positive("step_size", self.step_size)
        with torch.no_grad():
            return MetropolisState(x, energy(x))

    def step(
        self, state: MetropolisState, energy: Energy, generator: torch.Generator
    ) -> tuple[MetropolisState, MetropolisInfo]:
        """Return the next state and whether each chain moved."""
        x = state.x
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return _propose(state, x + self.step_size * noise, energy, "metropolis", generator)
