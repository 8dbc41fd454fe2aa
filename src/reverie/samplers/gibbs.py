"""Block Gibbs sampling of two layers, in which the units of a layer are independent given the other.

    h ~ p(h | v),   v ~ p(v | h)

A sweep is both. It leaves the joint distribution invariant, so v stays in p(v) = exp(-F(v)) / Z. Units of v that
are clamped keep their value, and the others then come from the conditional p(v_free | v_clamped): completion.

References
----------
Geman and Geman, IEEE Trans. PAMI 6, 721 (1984); Hinton, Neural Computation 14, 1771 (2002).
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.types import Energy

__all__ = ["Bipartite", "BlockGibbs", "GibbsInfo", "GibbsState", "as_bipartite"]


@runtime_checkable
class Bipartite(Protocol):
    """An energy of two layers that can draw each given the other; called on v it is the free energy F(v)."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """Return F (chain,) of v (chain, visible)."""
        ...

    def sample_hidden(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """Return h (chain, hidden) drawn given v (chain, visible)."""
        ...

    def sample_visible(self, h: Tensor, generator: torch.Generator) -> Tensor:
        """Return v (chain, visible) drawn given h (chain, hidden)."""
        ...


def as_bipartite(energy: Energy) -> Bipartite:
    """Return `energy` itself when block Gibbs sampling can use it.

    Raises `InputError` for a function that cannot draw its layers.
    """
    if isinstance(energy, Bipartite):
        return energy
    raise InputError(
        f"Expected an energy with sample_hidden and sample_visible, got {type(energy).__name__}. "
        "Give a BoltzmannEnergy, or take SpinFlip or MALA, which need no layers."
    )


@dataclass(frozen=True)
class GibbsState:
    """State of `BlockGibbs`: x (chain, visible), and h (chain, hidden) from which x was drawn, None at the start."""

    x: Tensor
    h: Tensor | None = None


@dataclass(frozen=True)
class GibbsInfo:
    """Info of one step of `BlockGibbs`: the share of the visible units of each chain that changed, (chain,)."""

    accepted: Tensor


@dataclass(frozen=True, eq=False)
class BlockGibbs:
    """All hidden units at once, then all visible ones, in `n_sweeps` sweeps a step.

    Visible units that are clamped, bool (visible,) or (chain, visible), keep the value they start with.
    """

    n_sweeps: int = 1
    clamped: Tensor | None = None

    def init(self, x: Tensor, energy: Energy) -> GibbsState:
        """Return the state of chains at x (chain, visible); `energy` is `Bipartite`."""
        check_positive("n_sweeps", self.n_sweeps, integer=True)
        as_bipartite(energy)
        if self.clamped is not None and self.clamped.shape not in (x.shape, x.shape[1:]):
            raise InputError(
                f"Expected clamped of shape {tuple(x.shape[1:])} or {tuple(x.shape)}, got {tuple(self.clamped.shape)}. "
                "Give one mask for all chains or one for each."
            )
        return GibbsState(x)

    @torch.no_grad()
    def step(self, state: GibbsState, energy: Energy, generator: torch.Generator) -> tuple[GibbsState, GibbsInfo]:
        """Return the next state and the share of visible units that changed."""
        layers, x, h = as_bipartite(energy), state.x, state.h
        for _ in range(self.n_sweeps):
            h = layers.sample_hidden(x, generator)
            drawn = layers.sample_visible(h, generator)
            x = drawn if self.clamped is None else torch.where(self.clamped, x, drawn)
        return GibbsState(x, h), GibbsInfo((x != state.x).float().mean(1))
