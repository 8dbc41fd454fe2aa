"""Cluster kernels for Ising lattices: whole clusters of like spins flip, so that chains forget even at T_c.

Two neighbours with beta s_i s_j > 0 are joined with probability 1 - exp(-2 |beta|), and a spin along beta
field with a ghost spin, with probability 1 - exp(-2 |beta field|) (Fortuin and Kasteleyn). Given the bonds, all
spins of a cluster turn together, and both of its states are equally probable, unless it hangs on the ghost.

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

from reverie.core.types import Energy
from reverie.samplers.lattice import IsingEnergy, LatticeInfo, LatticeState, as_ising

__all__ = ["Bonds", "SwendsenWang", "Wolff", "draw_bonds", "free_clusters"]


@dataclass(frozen=True)
class Bonds:
    """Which spins are joined, bool (chain, side, side) each.

    Parameters
    ----------
    right, down : Bonds with the neighbour in the next column, and in the next row.
    ghost : Bonds with the ghost spin; None without a field.
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
    """Return the cluster of every site and which clusters are free.

    Returns
    -------
    labels : (chain, side, side) int32, 0 ... n_clusters - 1; no label is shared between chains.
    free : (n_clusters,) bool, whether the cluster does not hang on the ghost spin.
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
    """What both kernels share: the start."""

    def init(self, x: Tensor, energy: Energy) -> LatticeState:
        """Return the state of chains at spins x (chain, side, side) of +-1; `energy` is an `IsingEnergy`."""
        as_ising(energy)
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
