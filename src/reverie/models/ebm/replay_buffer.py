"""A store of chains that go on from where they were left.

Persistent contrastive divergence keeps more chains than a step moves: a step draws some slots, moves their chains, and
writes each back to the slot that it was drawn from. Written to other slots, some chains would be kept twice and
others lost, and what is left would not be a sample of anything.

References
----------
Tieleman, ICML 2008; Du and Mordatch, arXiv:1903.08689.
"""

import torch
from torch import Tensor

from reverie.core.errors import InputError

__all__ = ["ReplayBuffer"]


class ReplayBuffer:
    """Chains (slot, *event), of which a step moves some.

    Parameters
    ----------
    x : first positions; a copy is kept.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x.detach().clone()

    def __len__(self) -> int:
        return len(self.x)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return n different slots (n,) and their chains (n, *event).

        Raises
        ------
        InputError
            If there are fewer slots than that.
        """
        if n > len(self.x):
            raise InputError(f"Expected at most {len(self.x)} chains, got {n}. Give a larger buffer_size.")
        slots = torch.randperm(len(self.x), generator=generator, device=self.x.device)[:n]
        return slots, self.x[slots]

    def write(self, slots: Tensor, x: Tensor) -> None:
        """Put chains x (n, *event) into `slots` (n,), those that they were drawn from."""
        self.x[slots] = x.detach()
