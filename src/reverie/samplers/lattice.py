"""Ising lattices: their energy, kernels that flip single spins, and kernels that flip whole clusters.

Spins s_i = +-1 on a side x side square lattice with periodic edges, J = 1 and k_B = 1, have the Hamiltonian

    H = - sum_<ij> s_i s_j - field sum_i s_i,     p(s) = exp(-beta H) / Z,     E(s) = beta H,

where every site is joined to its right and its lower neighbour: 2 side^2 bonds, also on side 2, where two
bonds join the same pair. E follows the sign of `reverie.core.types`: low energy is probable.

`Checkerboard` updates all spins of one colour at once: they are no neighbours, so given the rest they are
independent. One step visits every colour in turn; it leaves p invariant without detailed balance. At beta = 0 the
Metropolis rule flips every spin at every step; the heat bath does not.

Cluster kernels flip clusters of like spins, so that chains forget even at T_c. Two neighbours with beta s_i s_j > 0 are
joined with probability 1 - exp(-2 |beta|), and a spin along beta field with a ghost spin, with probability
1 - exp(-2 |beta field|) (Fortuin and Kasteleyn). Given the bonds, all spins of a cluster turn together, and both of its
states are equally probable, unless it hangs on the ghost.

    Swendsen-Wang   flips every free cluster with probability 1/2        Phys. Rev. Lett. 58, 86 (1987)
    Wolff           flips the cluster of one random site, if it is free   Phys. Rev. Lett. 62, 361 (1989)

Clusters of all chains are found together. As an image of 2 side x 2 side pixels, with spins at even rows and
columns and bonds between them, a lattice is labelled in two passes over memory; bonds across the periodic edges
then join labels. Growing one Wolff cluster in many chains costs as many dense passes as the cluster is wide, so
Wolff labels all clusters too. A step costs the same in both; where clusters are small, in the disordered phase,
one of them per step forgets little, and Swendsen-Wang is by far the better.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import check_fields
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.types import Energy
from reverie.samplers.metropolis import RULES

__all__ = ["Bonds", "Checkerboard", "IsingEnergy", "LatticeInfo", "LatticeState", "SwendsenWang", "Wolff", "colours"]


@dataclass(frozen=True)
class IsingEnergy:
    """E = beta H of spins (batch, side, side), a function that also says its parameters.

    Parameters
    ----------
    beta : inverse temperature in units of 1/J; negative for an antiferromagnet.
    field : external field in units of J.

    Raises
    ------
    InputError
        If a parameter is not finite.
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


def check_spins(x: Tensor) -> None:
    """Raise `InputError` unless `x` holds floating-point spins, (chain, side, side), with a side of at least 2."""
    if x.ndim != 3 or x.shape[1] != x.shape[2] or x.shape[1] < 2 or not x.is_floating_point():
        raise InputError(
            f"Expected spins as floating-point numbers of shape (chain, side, side) with a side of at least 2, got "
            f"{str(x.dtype).removeprefix('torch.')} of shape {tuple(x.shape)}. Give x.float(), with an axis of chains."
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

    The rule is "metropolis" or "heat_bath".
    """

    rule: str = "metropolis"

    def init(self, x: Tensor, energy: Energy) -> LatticeState:
        """Return the state of chains at spins x (chain, side, side) of +-1; `energy` is an `IsingEnergy`."""
        check_choice("rule", self.rule, RULES)
        as_ising(energy)
        check_spins(x)
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


@dataclass(frozen=True)
class Bonds:
    """Which spins are joined, bool (chain, side, side) each: to the neighbour in the next column, and in the next row.

    Bonds with the ghost spin are None without a field.
    """

    right: Tensor
    down: Tensor
    ghost: Tensor | None = None


def draw_bonds(x: Tensor, energy: IsingEnergy, generator: torch.Generator) -> Bonds:
    """Return bonds drawn given the spins x (chain, side, side)."""

    def draw(product: Tensor, strength: float) -> Tensor:
        uniform = torch.rand(x.shape, generator=generator, device=x.device)
        like = product > 0 if strength > 0 else product < 0
        return (uniform < -math.expm1(-2 * abs(strength))).logical_and_(like)

    right = draw(x * x.roll(-1, -1), energy.beta)
    down = draw(x * x.roll(-1, -2), energy.beta)
    pull = energy.beta * energy.field
    return Bonds(right, down, draw(x, pull) if pull else None)


def free_clusters(bonds: Bonds) -> tuple[Tensor, Tensor]:
    """Return the cluster of every site (chain, side, side), int32, and which do not hang on the ghost spin, (cluster,).

    Clusters are counted from 0, and no number is shared between chains.
    """
    from scipy import ndimage
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    right, down = bonds.right.cpu().numpy(), bonds.down.cpu().numpy()
    chains, side, _ = right.shape
    image = np.zeros((chains, 2 * side, 2 * side), dtype=bool)
    image[:, ::2, ::2] = True
    image[:, ::2, 1::2] = right
    image[:, 1::2, ::2] = down
    within = np.zeros((3, 3, 3), dtype=bool)  # pixels touch along rows and columns, never across chains
    within[1] = ndimage.generate_binary_structure(2, 1)
    pixels = np.empty(image.shape, dtype=np.int32)
    ndimage.label(image, structure=within, output=pixels)
    labels = pixels[:, ::2, ::2] - 1  # of the lattices with their periodic edges cut
    across, below = right[:, :, -1], down[:, -1, :]
    one = np.concatenate([labels[:, :, -1][across], labels[:, -1, :][below]])
    other = np.concatenate([labels[:, :, 0][across], labels[:, 0, :][below]])
    size = int(labels.max()) + 1
    edges = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(size, size))
    count, joined = connected_components(edges, directed=False)
    labels = joined.astype(np.int32, copy=False)[labels]
    free = np.ones(int(count), dtype=bool)
    if bonds.ghost is not None:
        free[labels[bonds.ghost.cpu().numpy()]] = False
    device = bonds.right.device
    return torch.from_numpy(labels).to(device), torch.from_numpy(free).to(device)


class _ClusterKernel:
    def init(self, x: Tensor, energy: Energy) -> LatticeState:
        """Return the state of chains at spins x (chain, side, side) of +-1; `energy` is an `IsingEnergy`."""
        as_ising(energy)
        check_spins(x)
        return LatticeState(x)


@dataclass(frozen=True)
class SwendsenWang(_ClusterKernel):
    """Every cluster that is free of the field flips with probability 1/2."""

    def step(self, state: LatticeState, energy: Energy, generator: torch.Generator) -> tuple[LatticeState, LatticeInfo]:
        """Return the next state and the share of spins that flipped."""
        labels, free = free_clusters(draw_bonds(state.x, as_ising(energy), generator))
        heads = torch.rand(len(free), generator=generator, device=free.device) < 0.5
        return _flip(state.x, (heads & free).index_select(0, labels.flatten()).view_as(labels))


@dataclass(frozen=True)
class Wolff(_ClusterKernel):
    """The cluster of one site per chain, chosen at random, flips if it is free of the field."""

    def step(self, state: LatticeState, energy: Energy, generator: torch.Generator) -> tuple[LatticeState, LatticeInfo]:
        """Return the next state and the share of spins that flipped."""
        labels, free = free_clusters(draw_bonds(state.x, as_ising(energy), generator))
        flat = labels.flatten(1)
        site = torch.randint(flat.shape[1], (len(flat), 1), generator=generator, device=flat.device)
        chosen = flat.gather(1, site)
        flips = (flat == chosen) & free[chosen.long()]
        return _flip(state.x, flips.view_as(labels))


def _flip(x: Tensor, flips: Tensor) -> tuple[LatticeState, LatticeInfo]:
    return LatticeState(torch.where(flips, -x, x)), LatticeInfo(flips.flatten(1).float().mean(1))
