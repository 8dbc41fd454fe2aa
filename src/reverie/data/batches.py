"""Seeded batches that any step can ask for: the order is a pure function of (seed, epoch).

There is no iterator whose state would have to be saved: `Batches.at(step)` gathers the batch of
that step, whatever came before, so a resumed run sees exactly the batches of an uninterrupted one.
Each epoch is a fresh permutation; the rows that do not fill a last batch are left out of that
epoch and, permuted anew, come back in the next.
"""

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.random import child_seed

__all__ = ["Batches"]


class Batches:
    """Batches gathered from rows in memory, on the device of training.

    Parameters
    ----------
    x : (n_rows, *event) tensor; not copied. It may rest on a memory map.
    batch_size : rows in a batch, at most n_rows.
    seed : root of the order of all epochs.
    device : where the batches are wanted.

    Raises
    ------
    InputError
        If the batch is larger than the data.
    """

    def __init__(self, x: Tensor, *, batch_size: int, seed: int, device: str | torch.device = "cpu") -> None:
        if batch_size > len(x):
            raise InputError(
                f"Expected batch_size of at most the {len(x)} training rows, got {batch_size}. "
                "Give a smaller batch_size or more data."
            )
        self._x, self._batch_size, self._seed, self._device = x, batch_size, seed, torch.device(device)
        self.steps_per_epoch = len(x) // batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def at(self, step: int) -> Tensor:
        """Return the batch of `step` (0, 1, ...), shape (batch_size, *event)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._permutation(epoch)
        rows = self._order[position * self._batch_size : (position + 1) * self._batch_size]
        return self._x.index_select(0, rows).to(self._device, non_blocking=True)

    def _permutation(self, epoch: int) -> Tensor:
        rng = np.random.default_rng(child_seed(self._seed, "batches", epoch))
        return torch.from_numpy(rng.permutation(len(self._x))).to(self._x.device)
