"""Seeded batches that any step can ask for: the order is a pure function of (seed, epoch).

There is no iterator whose state would have to be saved: `Batches.at(step)` gathers the batch of
that step, whatever came before, so a resumed run sees exactly the batches of an uninterrupted one.
Each epoch is a fresh permutation; the rows that do not fill a last batch are left out of that
epoch and, permuted anew, come back in the next.

Rows of a large table, which are computed when they are asked for, come in the order of
`reverie.data.lazy.Windows` instead, which needs no memory; the window at hand is kept.

Events may come with companions (conditions, weights, observables): `Batches` then takes a
dictionary of tensors with one row per event and gives back a dictionary with the same keys.
`ReplicaBatches` gives R replicas of a model their own orders, in one batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.random import child_seed
from reverie.data.lazy import LazyRows, Windows, event_size, is_lazy

__all__ = ["Batches", "ReplicaBatches"]

Rows = Tensor | LazyRows | Mapping[str, Any]


class Batches:
    """Batches gathered from rows in memory, on the device of training.

    Parameters
    ----------
    rows : (n_rows, *event) tensor or `reverie.data.lazy.LazyRows`, or a dictionary of such of n_rows rows each; not
        copied. They may rest on a memory map.
    batch_size : rows in a batch, at most n_rows.
    seed : root of the order of all epochs.
    device : Device on which the batches are wanted.
    resample : draw the rows of this run once with replacement, n_rows of n_rows: a bootstrap sample.

    Raises
    ------
    InputError
        If the batch is larger than the data, or the tensors differ in length.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        batch_size: int,
        seed: int,
        device: str | torch.device = "cpu",
        resample: bool = False,
    ) -> None:
        self._rows, self._batch_size, self._seed, self._device = rows, batch_size, seed, torch.device(device)
        self.n_rows = _common_length(rows)
        if batch_size > self.n_rows:
            raise InputError(
                f"Expected batch_size of at most the {self.n_rows} training rows, got {batch_size}. "
                "Give a smaller batch_size or more data."
            )
        self._windows = _windows(rows, batch_size, seed, resample=resample)
        self._window, self._window_rows = (-1, -1), np.empty(0, np.int64)
        self._held: dict[str, Tensor] = {}
        self.steps_per_epoch = self.n_rows // batch_size if self._windows is None else self._windows.steps_per_epoch
        self._drawn = _bootstrap(self.n_rows, seed) if resample and self._windows is None else None
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def index(self, step: int) -> Tensor:
        """Return the row numbers of the batch of `step` (0, 1, ...), (batch_size,)."""
        if self._windows is not None:
            own = self._moved(self._windows, step)
            return torch.from_numpy(self._window_rows[own])
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._permutation(epoch)
        return self._order[position * self._batch_size : (position + 1) * self._batch_size]

    def at(self, step: int) -> Tensor | dict[str, Tensor]:
        """Return the batch of `step`: (batch_size, *event), or a dictionary of such."""
        if self._windows is None:
            return gather(self._rows, self.index(step), self._device)
        own = self._moved(self._windows, step)
        self._held = self._held or self._read(self._window_rows)
        part = {key: x[own].to(self._device, non_blocking=True) for key, x in self._held.items()}
        return part if isinstance(self._rows, Mapping) else part["x"]

    def _moved(self, windows: Windows, step: int) -> slice:
        """Go to the window of `step`, and return the place of its batch there."""
        epoch, window, own = windows.place(step)
        if (epoch, window) != self._window:
            self._window, self._window_rows, self._held = (epoch, window), windows.rows(epoch, window), {}
        return own

    def _read(self, index: np.ndarray) -> dict[str, Tensor]:
        rows = self._rows if isinstance(self._rows, Mapping) else {"x": self._rows}
        row_numbers = torch.from_numpy(index)
        return {key: x[row_numbers] for key, x in rows.items()}

    def _permutation(self, epoch: int) -> Tensor:
        order = np.random.default_rng(child_seed(self._seed, "batches", epoch)).permutation(self.n_rows)
        return torch.from_numpy(order if self._drawn is None else self._drawn[order])


class ReplicaBatches:
    """Batches of R replicas of a model, each in its own order, as one batch.

    Row i of a batch belongs to replica i mod R, as `reverie.networks.replicas.Stacked` expects.

    Parameters
    ----------
    rows, device, resample : Those of `Batches`.
    batch_size : Rows of one replica in a batch.
    seeds : Root seed of the orders of each replica.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        batch_size: int,
        seeds: Sequence[int],
        device: str | torch.device = "cpu",
        resample: bool = False,
    ) -> None:
        self._rows, self._device = rows, torch.device(device)
        options: dict[str, Any] = {"batch_size": batch_size, "device": device, "resample": resample}
        self._orders = [Batches(rows, seed=s, **options) for s in seeds]
        self.steps_per_epoch = self._orders[0].steps_per_epoch

    def at(self, step: int) -> Tensor | dict[str, Tensor]:
        """Return the batch of `step`: (batch_size * R, *event), or a dictionary of such."""
        if isinstance(self._rows, LazyRows) or (isinstance(self._rows, Mapping) and is_lazy(self._rows)):
            return _interleaved([order.at(step) for order in self._orders])
        index = torch.stack([order.index(step) for order in self._orders], dim=1).flatten()
        return gather(self._rows, index, self._device)


def gather(rows: Rows, index: Tensor, device: torch.device) -> Tensor | dict[str, Tensor]:
    """Return the rows of the given numbers on `device`."""
    if isinstance(rows, LazyRows):
        return rows[index].to(device, non_blocking=True)
    if isinstance(rows, Tensor):
        return rows.index_select(0, index.to(rows.device)).to(device, non_blocking=True)
    return {key: gather(x, index, device) for key, x in rows.items()}  # pyright: ignore[reportReturnType]


def _interleaved(batches: Sequence[Any]) -> Any:
    """Return one batch of those of R replicas, row i that of replica i mod R."""
    if isinstance(batches[0], Mapping):
        return {key: _interleaved([batch[key] for batch in batches]) for key in batches[0]}
    return torch.stack(list(batches), dim=1).flatten(0, 1)


def _windows(rows: Rows, batch_size: int, seed: int, *, resample: bool) -> Windows | None:
    """Return the order of a large table, or None of one in memory."""
    parts = rows if isinstance(rows, Mapping) else {"x": rows}
    if not is_lazy(parts):
        return None
    n_rows = len(next(iter(parts.values())))
    return Windows(n_rows, event_size(list(parts.values())), batch_size, seed, resample)


def _common_length(rows: Rows) -> int:
    if isinstance(rows, (Tensor, LazyRows)):
        return len(rows)
    lengths = {key: len(x) for key, x in rows.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"Expected one row of everything per event, got {lengths}. Give all the same length.")
    return next(iter(lengths.values()))


def _bootstrap(n_rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(child_seed(seed, "bootstrap")).integers(n_rows, size=n_rows)
