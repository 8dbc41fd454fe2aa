"""Chains that stand for a restricted Boltzmann machine while it learns.

    cd          k Gibbs sweeps that start at the batch
    pcd         chains of hidden states that go on from update to update, k sweeps each
    tempering   chains of visible states at several inverse temperatures, k sweeps each, which then swap places

A level beta is that of `reverie.models.rbm.annealing`; two levels swap with probability min(1, exp(a)), where a is the
difference of their betas times the difference of the joint weights that beta multiplies (`reverie.samplers.tempering`).
"""

import torch
from torch import Tensor

from reverie.models.rbm.annealing import BoltzmannPath
from reverie.models.rbm.likelihood import pilot
from reverie.networks.boltzmann import BoltzmannEnergy
from reverie.samplers.tempering import reorder, swap

__all__ = ["ModelChains", "exchange"]

_STATES = 256  # that a machine without chains of its own is asked for

Base = tuple[Tensor, Tensor | None]


class ModelChains:
    """The source of the model's rows.

    Parameters
    ----------
    method : "cd", "pcd" or "tempering".
    base : from `reverie.models.rbm.annealing.base_rate`.
    n_gibbs, n_chains, n_levels : sweeps between updates, chains (of each level), levels.

    Attributes
    ----------
    state : what goes on from update to update: h (chain, hidden), v (level * chain, visible), or nothing.
    swaps : share of the swaps of the last update that were made.
    """

    def __init__(self, method: str, base: Base, *, n_gibbs: int, n_chains: int, n_levels: int) -> None:
        self.method, self.base, self.n_gibbs, self.n_chains = method, base, n_gibbs, n_chains
        self.betas = torch.linspace(1, 0, n_levels)
        self.state, self.swaps = torch.zeros(0), torch.zeros(())

    def begin(self, machine: BoltzmannEnergy, generator: torch.Generator) -> None:
        """Start the chains of an untrained machine."""
        path = self._path(machine)
        if self.method == "pcd":
            level = path.start(self.n_chains, generator)
            self.state = path.draw_hidden(level.x, 1.0, generator)
        elif self.method == "tempering":
            self.state = path.start(self.n_chains * len(self.betas), generator).v

    def rows(self, machine: BoltzmannEnergy, h: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return v of the model and the mean of h given it.

        Parameters
        ----------
        machine : as it is now.
        h : (batch, hidden), the mean of the hidden units given the batch, where cd starts.
        generator : all randomness.
        """
        if self.method == "tempering":
            return self._tempered(machine, generator)
        bits, v = self.state if self.method == "pcd" else _bits(h, generator), h
        for _ in range(self.n_gibbs):
            v = machine.sample_visible(bits, generator)
            h = machine.hidden_mean(v)
            bits = _bits(h, generator)
        if self.method == "pcd":
            self.state.copy_(bits)
        return v, h

    def states(self, machine: BoltzmannEnergy, generator: torch.Generator) -> Tensor:
        """Return v (n, visible), roughly distributed as the machine."""
        if self.method == "pcd":
            return machine.sample_visible(self.state, generator)
        if self.method == "tempering":
            return self.state[: self.n_chains].clone()
        return pilot(BoltzmannPath(machine, self.base), _STATES, generator)[1].to(machine.W.dtype)

    def _tempered(self, machine: BoltzmannEnergy, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        path = self._path(machine)
        betas = self.betas.to(self.state.device)
        v, made = exchange(path, self.state, betas, generator, n_sweeps=self.n_gibbs)
        self.swaps.copy_(made)
        self.state.copy_(v)
        return v[: self.n_chains], machine.hidden_mean(v[: self.n_chains])

    def _path(self, machine: BoltzmannEnergy) -> BoltzmannPath:
        return BoltzmannPath(machine, self.base, dtype=machine.W.dtype)


def exchange(
    path: BoltzmannPath, v: Tensor, betas: Tensor, generator: torch.Generator, *, n_sweeps: int = 1
) -> tuple[Tensor, Tensor]:
    """Return chains of all levels after Gibbs sweeps and both rounds of swaps, and the share of swaps made.

    Parameters
    ----------
    path : to the machine.
    v : (level * chain, visible), level by level.
    betas : (level,), falling from 1.
    generator : all randomness.
    n_sweeps : before the swaps.
    """
    n_levels = len(betas)
    each = betas.to(v.dtype).repeat_interleave(len(v) // n_levels)[:, None]
    for _ in range(n_sweeps):
        h = path.draw_hidden(path.at(v).x, each, generator)
        v = path.draw_visible(h, each, generator)
    x = path.at(v).x
    weight = path.scaled_weight(v, x, path.draw_hidden(x, each, generator)).view(n_levels, -1)
    rows, made = v.view(n_levels, -1, v.shape[1]), torch.zeros((), device=v.device)
    steps = (betas[1:] - betas[:-1]).double()[:, None]
    for parity in (0, 1):
        order, swapped = swap(steps * (weight[:-1] - weight[1:]), parity, generator)
        rows, weight, made = reorder(rows, order), reorder(weight, order), made + swapped.float().mean()
    return rows.flatten(0, 1), made


def _bits(p: Tensor, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(p.shape, generator=generator, dtype=p.dtype, device=p.device)
    return torch.lt(uniform, p, out=uniform)
