"""Replica exchange: chains at several temperatures that swap places, so that hot ones carry cold ones over barriers.

Level k has the distribution p_k = exp(-beta_k E) / Z_k, beta_0 = 1 > beta_1 > ... > 0. Positions of two neighbouring
levels are swapped with probability min(1, exp(a)),

    a = log p*_i(x_j) + log p*_j(x_i) - log p*_i(x_i) - log p*_j(x_j)         of any unnormalised p*
      = (beta_i - beta_j) (E_i - E_j)                                          of tempered ones,

the even pairs (0, 1), (2, 3) ... together, then the odd ones. Each leaves the product of all p_k invariant. For a
Boltzmann machine whose *joint* energy is tempered, E is the joint energy of (v, h), which move together; where the
levels are marginals p*_k(v), as on a path from a base rate, `log_swap_acceptance` takes their cross terms. A round
trip is from beta = 1 to the hottest level and back; without any, the hot levels did nothing for the cold one.

References
----------
Swendsen and Wang, Phys. Rev. Lett. 57, 2607 (1986); Hukushima and Nemoto, J. Phys. Soc. Jpn. 65, 1604 (1996);
even and odd pairs in turn: Syed et al., J. R. Stat. Soc. B 84, 321 (2022), arXiv:1905.02939.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.arguments import Count, check_fields
from reverie.core.errors import InputError
from reverie.core.protocols import AnyKernel, ChainState
from reverie.core.types import Energy

__all__ = ["ReplicaExchange", "ReplicaExchangeInfo", "ReplicaExchangeState", "log_swap_acceptance", "reorder", "swap"]


def log_swap_acceptance(own: Tensor, colder: Tensor, hotter: Tensor) -> Tensor:
    """Return a (pair, chain) of every pair of neighbouring levels, for any family of distributions.

    With `own` (level, chain), log p*_k(x_k), and (pair, chain) each, the hotter position seen from the `colder` level,
    log p*_k(x_(k+1)), and the colder one seen from the `hotter` level, log p*_(k+1)(x_k).
    """
    return colder + hotter - own[:-1] - own[1:]


def swap(log_acceptance: Tensor, parity: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return which level each level takes its position from (level, chain), and which swaps were made (pair, chain).

    Of the pairs (0, 1), (1, 2), ..., whose a is `log_acceptance` (pair, chain), those of this parity are tried.
    """
    pairs, chains = log_acceptance.shape
    device = log_acceptance.device
    uniform = torch.rand(pairs, chains, generator=generator, device=device, dtype=torch.float64)
    swapped = uniform.log() < log_acceptance
    swapped[1 - parity :: 2] = False
    order = torch.arange(pairs + 1, device=device)[:, None].repeat(1, chains)
    order[:-1] += swapped.long()
    order[1:] -= swapped.long()
    return order, swapped


def reorder(x: Tensor, order: Tensor) -> Tensor:
    """Return x (level, chain, *event) with the position of every level taken from level `order` (level, chain)."""
    return x[order, torch.arange(x.shape[1], device=x.device)]


@dataclass(frozen=True, eq=False)
class ReplicaExchangeState:
    """State of `ReplicaExchange`: that of all levels.

    Parameters
    ----------
    inner : state of the kernel, of level * chain rows, level by level.
    n_chains : rows of one level.
    returning : (level, chain) bool, whether a replica has been at the hottest level since it was last at beta = 1.
    """

    inner: ChainState
    n_chains: int
    returning: Tensor

    @property
    def x(self) -> Tensor:
        """Positions at beta = 1, (chain, *event)."""
        return self.inner.x[: self.n_chains]


@dataclass(frozen=True, eq=False)
class ReplicaExchangeInfo:
    """Info of one step of `ReplicaExchange`.

    Parameters
    ----------
    accepted : (chain,) share of the swaps tried in each set of replicas that were made.
    swaps : (pair,) share of the chains in which neighbouring levels swapped; a mean below 0.1 asks for more levels.
    round_trips : (chain,) replicas that came back to beta = 1 from the hottest level in this step.
    """

    accepted: Tensor
    swaps: Tensor
    round_trips: Tensor


@dataclass(frozen=True, eq=False)
class ReplicaExchange:
    """Any kernel for functions, at several temperatures at once; `run` keeps the chains at beta = 1.

    All levels are rows of one batch, so the energy is called once for all. Swapping makes the kernel start anew, which
    costs about two calls of the energy beside the `n_steps` of the kernel; a schedule of steps would start anew as
    well. Raises `InputError` for other betas.

    Parameters
    ----------
    kernel : such as `MALA`, `RandomWalk` or `SpinFlip`; lattice and Gibbs kernels need more than a function. The
        Langevin kernels take a step size for each row: ``MALA(0.1 / torch.tensor(betas).repeat_interleave(chains))``.
    betas : inverse temperatures relative to the energy, 1 first and falling, all > 0.
    n_steps : steps of the kernel between swaps.
    """

    kernel: AnyKernel
    betas: Sequence[float]
    n_steps: Count = 1

    def __post_init__(self) -> None:
        check_fields(self)
        falling = all(a > b > 0 for a, b in zip(self.betas, self.betas[1:], strict=False))
        if len(self.betas) < 2 or self.betas[0] != 1 or not falling:
            raise InputError(
                f"Expected betas that fall from 1 and stay above 0, got {list(self.betas)}. Try [1, 0.5, 0.25]."
            )

    def init(self, x: Tensor, energy: Energy) -> ReplicaExchangeState:
        """Return the state of replicas that start at x (chain, *event) at every level."""
        rows, levels = x.repeat(len(self.betas), *[1] * (x.ndim - 1)), len(self.betas)
        returning = torch.zeros(levels, len(x), dtype=torch.bool, device=x.device)
        return ReplicaExchangeState(self.kernel.init(rows, self._tempered(energy)), len(x), returning)

    def step(
        self, state: ReplicaExchangeState, energy: Energy, generator: torch.Generator
    ) -> tuple[ReplicaExchangeState, ReplicaExchangeInfo]:
        """Return the next state, after `n_steps` of the kernel and both rounds of swaps, and the swaps made."""
        tempered, inner = self._tempered(energy), state.inner
        for _ in range(self.n_steps):
            inner, _ = self.kernel.step(inner, tempered, generator)
        with torch.no_grad():
            e = energy(inner.x).double().view(len(self.betas), -1)
        betas = torch.tensor(self.betas, dtype=e.dtype, device=e.device)[:, None]
        order = torch.arange(len(e), device=e.device)[:, None].repeat(1, e.shape[1])
        swapped = torch.zeros(len(e) - 1, e.shape[1], dtype=torch.bool, device=e.device)
        for parity in (0, 1):
            moved, made = swap((betas[:-1] - betas[1:]) * (e[:-1] - e[1:]), parity, generator)
            e, order, swapped = reorder(e, moved), reorder(order, moved), swapped | made
        x = reorder(inner.x.view(*e.shape, *inner.x.shape[1:]), order).flatten(0, 1)
        returning = reorder(state.returning, order)
        returning[-1] = True
        trips = returning[0].clone()
        returning[0] = False
        info = ReplicaExchangeInfo(swapped.float().mean(0), swapped.float().mean(1), trips.float())
        return ReplicaExchangeState(self.kernel.init(x, tempered), state.n_chains, returning), info

    def _tempered(self, energy: Energy) -> Energy:
        """Return beta E of rows level by level."""

        def tempered(x: Tensor) -> Tensor:
            value = energy(x)
            betas = torch.tensor(self.betas, dtype=value.dtype, device=value.device)
            return (value.view(len(betas), -1) * betas[:, None]).flatten()

        return tempered
