"""Local kernels: propose a small change, accept it with the probability that keeps p = exp(-E) / Z.

    metropolis   min(1, exp(-dE))                  Metropolis et al., J. Chem. Phys. 21, 1087 (1953)
    heat_bath    1 / (1 + exp(dE)), Glauber        Glauber, J. Math. Phys. 4, 294 (1963)

`Checkerboard` updates all spins of one colour of an Ising lattice at once: they are no neighbours, so given the
rest they are independent. One step visits every colour in turn; it leaves p invariant without detailed balance.
At beta = 0 the Metropolis rule flips every spin at every step; the heat bath does not.
`SpinFlip` and `RandomWalk` know the energy only as a function.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.checks import check_choice, check_positive
from reverie.core.types import Energy
from reverie.samplers.chains import Moves, Positions
from reverie.samplers.lattice import IsingEnergy, as_ising, colours

__all__ = ["RULES", "Checkerboard", "RandomWalk", "SpinFlip", "Walk", "flip_probability"]

RULES: dict[str, Callable[[Tensor], Tensor]] = {  # change of the energy -> probability of acceptance
    "metropolis": lambda change: torch.exp(-change.clamp(min=0)),
    "heat_bath": lambda change: torch.sigmoid(-change),
}


def flip_probability(x: Tensor, energy: IsingEnergy, rule: str = "metropolis") -> Tensor:
    """Return the probability to accept the flip of each spin alone, of x (chain, side, side), same shape."""
    change = energy.local_field(x).mul_(x).mul_(2 * energy.beta)
    return check_choice("rule", rule, RULES)(change)


@dataclass(frozen=True)
class Checkerboard:
    """Single-spin flips on an Ising lattice, one colour after the other; one step offers a flip to every spin.

    Parameters
    ----------
    rule : "metropolis" or "heat_bath".
    """

    rule: str = "metropolis"

    def init(self, x: Tensor, energy: Energy) -> Positions:
        """Return the state of chains at spins x (chain, side, side) of +-1; `energy` is an `IsingEnergy`."""
        check_choice("rule", self.rule, RULES)
        as_ising(energy)
        return Positions(x)

    def step(self, state: Positions, energy: Energy, generator: torch.Generator) -> tuple[Positions, Moves]:
        """Return the next state and the share of spins that flipped."""
        ising, x = as_ising(energy), state.x.clone()
        uniform = torch.rand(x.shape, generator=generator, device=x.device)
        colour = colours(x.shape[-1]).to(x.device)
        for c in range(int(colour.max()) + 1):
            flips = (uniform < flip_probability(x, ising, self.rule)) & (colour == c)
            x = torch.where(flips, -x, x)
        return Positions(x), Moves((x != state.x).flatten(1).float().mean(1))


@dataclass(frozen=True)
class Walk:
    """State of a kernel that compares energies: x (chain, *event) and its energy (chain,)."""

    x: Tensor
    energy: Tensor


def _propose(
    state: Walk, proposal: Tensor, energy: Energy, rule: str, generator: torch.Generator
) -> tuple[Walk, Moves]:
    with torch.no_grad():
        proposed = energy(proposal)
    uniform = torch.rand(proposed.shape, generator=generator, device=proposed.device, dtype=torch.float64)
    accepted = uniform < RULES[rule]((proposed - state.energy).double())
    wide = accepted.reshape(-1, *[1] * (proposal.ndim - 1))
    walk = Walk(torch.where(wide, proposal, state.x), torch.where(accepted, proposed, state.energy))
    return walk, Moves(accepted.float())


@dataclass(frozen=True)
class SpinFlip:
    """Flip of one spin per chain, chosen at random, for any energy of spins +-1.

    Parameters
    ----------
    rule : "metropolis" or "heat_bath".
    """

    rule: str = "metropolis"

    def init(self, x: Tensor, energy: Energy) -> Walk:
        """Return the state of chains at x (chain, *event)."""
        check_choice("rule", self.rule, RULES)
        with torch.no_grad():
            return Walk(x, energy(x))

    def step(self, state: Walk, energy: Energy, generator: torch.Generator) -> tuple[Walk, Moves]:
        """Return the next state and whether each chain moved."""
        flat = state.x.flatten(1).clone()
        site = torch.randint(flat.shape[1], (len(flat), 1), generator=generator, device=flat.device)
        flat.scatter_(1, site, -flat.gather(1, site))
        return _propose(state, flat.view_as(state.x), energy, self.rule, generator)


@dataclass(frozen=True)
class RandomWalk:
    """Gaussian steps of all coordinates together, accepted by the Metropolis rule.

    Parameters
    ----------
    step_size : standard deviation of a step along each coordinate, in the unit of x, > 0.
    """

    step_size: float

    def init(self, x: Tensor, energy: Energy) -> Walk:
        """Return the state of chains at x (chain, *event)."""
        check_positive("step_size", self.step_size)
        with torch.no_grad():
            return Walk(x, energy(x))

    def step(self, state: Walk, energy: Energy, generator: torch.Generator) -> tuple[Walk, Moves]:
        """Return the next state and whether each chain moved."""
        x = state.x
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return _propose(state, x + self.step_size * noise, energy, "metropolis", generator)
