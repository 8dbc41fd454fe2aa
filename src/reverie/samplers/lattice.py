"""The energy of Ising lattices, with all that lattice kernels need of it, and the local one of them.

Spins s_i = +-1 on a side x side square lattice with periodic edges, J = 1 and k_B = 1, have the Hamiltonian

    H = - sum_<ij> s_i s_j - field sum_i s_i,     p(s) = exp(-beta H) / Z,     E(s) = beta H,

where every site is joined to its right and its lower neighbour: 2 side^2 bonds, also on side 2, where two
bonds join the same pair. E follows the sign of `reverie.core.types`: low energy is probable.

`Checkerboard` updates all spins of one colour at once: they are no neighbours, so given the rest they are
independent. One step visits every colour in turn; it leaves p invariant without detailed balance. At beta = 0 the
Metropolis rule flips every spin at every step; the heat bath does not. Whole clusters: `reverie.samplers.cluster`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.arguments import check_fields
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.types import Energy
from reverie.samplers.metropolis import RULES

__all__ = ["Checkerboard", "IsingEnergy", "LatticeInfo", "LatticeState", "as_ising", "colours", "flip_probability"]


@dataclass(frozen=True)
class IsingEnergy:
    """E = beta H of spins (batch, side, side), a function that also says its parameters.

    Raises `InputError` if a parameter is not finite.

    Parameters
    ----------
    beta : inverse temperature in units of 1/J; negative for an antiferromagnet.
    field : external field in units of J.
    """

    beta: float
    field: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, x: Tensor) -> Tensor:
        """Return E (batch,), float64 and exact to rounding, of spins x (batch, side, side)."""
        bonds = (x * (x.roll(-1, -1) + x.roll(-1, -2))).sum((-2, -1), dtype=torch.float64)
        return -self.beta * (bonds + self.field * x.sum((-2, -1), dtype=torch.float64))

    def local_field(self, x: Tensor) -> Tensor:
        """Return b, the sum of the neighbours plus the field, at every site (batch, side, side).

        Flipping s_i alone changes E by 2 beta s_i b_i.
        """
        neighbours = x.roll(1, -1) + x.roll(-1, -1) + x.roll(1, -2) + x.roll(-1, -2)
        return neighbours + self.field if self.field else neighbours


def as_ising(energy: Energy) -> IsingEnergy:
    """Return `energy` itself when a lattice kernel can use it.

    Raises `InputError` for any other function: these kernels rest on bonds between neighbours, which a function does
    not show.
    """
    if isinstance(energy, IsingEnergy):
        return energy
    raise InputError(
        f"Expected an IsingEnergy for a lattice kernel, got {type(energy).__name__}. "
        "For other energies of spins take SpinFlip, for continuous variables RandomWalk."
    )


def colours(side: int) -> Tensor:
    """Return a colouring (side, side) of the periodic lattice in which no two neighbours are alike.

    Two colours, a checkerboard, for an even side; three for an odd one, whose edges do not fit a checkerboard.
    """
    along = torch.arange(side) % 2
    if side % 2:
        along[-1] = 2
    return (along[:, None] + along) % (2 + side % 2)


@dataclass(frozen=True)
class LatticeState:
    """State of all lattice kernels, which can therefore take turns: spins x (chain, side, side) of +-1."""

    x: Tensor


@dataclass(frozen=True)
class LatticeInfo:
    """Info of one step of a lattice kernel: the share of the spins of each chain that flipped, (chain,)."""

    accepted: Tensor


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

    def init(self, x: Tensor, energy: Energy) -> LatticeState:
        """Return the state of chains at spins x (chain, side, side) of +-1; `energy` is an `IsingEnergy`."""
        check_choice("rule", self.rule, RULES)
        as_ising(energy)
        return LatticeState(x)

    def step(self, state: LatticeState, energy: Energy, generator: torch.Generator) -> tuple[LatticeState, LatticeInfo]:
        """Return the next state and the share of spins that flipped."""
        ising, x = as_ising(energy), state.x.clone()
        uniform = torch.rand(x.shape, generator=generator, device=x.device)
        colour = colours(x.shape[-1]).to(x.device)
        for c in range(int(colour.max()) + 1):
            flips = (uniform < flip_probability(x, ising, self.rule)) & (colour == c)
            x = torch.where(flips, -x, x)
        return LatticeState(x), LatticeInfo((x != state.x).flatten(1).float().mean(1))
