"""A kernel made of kernels, one after the other: what leaves p invariant in each part does so in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reverie.core.arguments import check_fields
from reverie.core.errors import InputError
from reverie.core.protocols import Kernel
from reverie.core.types import Energy

__all__ = ["Cycle"]


@dataclass(frozen=True)
class Cycle:
    """One step is a step of every kernel in turn.

    Parameters
    ----------
    kernels : at least one; they share one sort of state, such as `SwendsenWang` and `Checkerboard`.

    Raises
    ------
    InputError
        Without a kernel.
    """

    kernels: Sequence[Kernel[Any, Any]]

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.kernels:
            raise InputError("Expected at least one kernel, got none. Name the kernels to run in turn.")

    def init(self, x: Tensor, energy: Energy) -> Any:
        """Return the state of chains at x (chain, *event); every kernel may refuse the energy."""
        return [kernel.init(x, energy) for kernel in self.kernels][0]

    def step(self, state: Any, energy: Energy, generator: torch.Generator) -> tuple[Any, Any]:
        """Return the next state and what the last kernel has to say."""
        info = None
        for kernel in self.kernels:
            state, info = kernel.step(state, energy, generator)
        return state, info
