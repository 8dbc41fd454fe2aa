"""Seeded batches that any step can ask for: the order is a pure function of (seed, epoch).

There is no iterator whose state would have to be saved: `Batches.at(step)` gathers the batch of
that step, whatever came before, so a resumed run sees exactly the batches of an uninterrupted one.
Each epoch is a fresh permutation; the rows that do not fill a last batch are left out of that
epoch and, permuted anew, come back in the next.

Rows of a large table, which are computed when they are asked for, come in the order of
`reverie.data.lazy.Windows` instead, which needs no memory; the window at hand is kept.

Events may come with companions (conditions, weights, observables): `Batches` then takes a
dictionary of tensors with one row per event and gives back a dictionary with the same keys. Features that move along
the orbits of a symmetry group (`reverie.data.orbits`) are drawn anew in each epoch, or every 128 steps of short ones.
`ReplicaBatches` gives R replicas of a model their own orders, in one batch.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.random import child_seed
from reverie.data.lazy import Features, LazyRows, Windows
from reverie.data.orbits import OrbitRows

__all__ = ["Batches", "ReplicaBatches", "bootstrap_rows"]

Rows = Mapping[str, Features | OrbitRows]
_LEAST_STEPS = 128  # with the same group elements: drawing them for all events costs as much as some steps


class Batches:
    """Batches gathered from rows in memory, on the device of training.

    Raises `InputError` if the batch is larger than the data, or the tensors differ in length.

    Parameters
    ----------
    rows : (n_rows, *event) tensor, `reverie.data.lazy.LazyRows` or `reverie.data.orbits.OrbitRows`, or a dictionary
        of such of n_rows rows each; not copied. They may rest on a memory map.
    batch_size : rows in a batch, at most n_rows.
    seed : root of the order of all epochs.
    device : Device on which the batches are wanted.
    resample : draw the rows of this run once with replacement, n_rows of n_rows: a bootstrap sample.
    """

    def __init__(
        self,
        rows: Features | Rows,
        *,
        batch_size: int,
        seed: int,
        device: str | torch.device = "cpu",
        resample: bool = False,
    ) -> None:
        self._batch_size, self._seed, self._device = batch_size, seed, torch.device(device)
        self._is_single = not isinstance(rows, Mapping)
        self._rows: Rows = rows if isinstance(rows, Mapping) else {"x": rows}
        lengths = {key: len(x) for key, x in self._rows.items()}
        if len(set(lengths.values())) != 1:
            raise InputError(f"Expected one row of everything per event, got {lengths}. Give all the same length.")
        self.n_rows = next(iter(lengths.values()))
        if batch_size > self.n_rows:
            raise InputError(
                f"Expected batch_size of at most the {self.n_rows} training rows, got {batch_size}. "
                "Give a smaller batch_size or more data."
            )
        self._windows = self._drawn = None
        if _is_lazy(self._rows):
            size = max(math.prod(x.shape[1:]) for x in self._rows.values())
            self._windows = Windows(self.n_rows, size, batch_size, seed, resample)
        elif resample:
            self._drawn = bootstrap_rows(self.n_rows, seed)
        self.steps_per_epoch = self.n_rows // batch_size if self._windows is None else self._windows.steps_per_epoch
        self._window, self._window_rows = (-1, -1), np.empty(0, np.int64)
        self._held: dict[str, Tensor] = {}
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)
        self._draw, self._drawn_rows = -1, {}

    def index(self, step: int) -> Tensor:
        """Return the row numbers of the batch of `step` (0, 1, ...), (batch_size,)."""
        if self._windows is not None:
            own = self._moved(self._windows, step)
            return torch.from_numpy(self._window_rows[own])
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng(child_seed(self._seed, "batches", epoch)).permutation(self.n_rows)
            self._epoch, self._order = epoch, torch.from_numpy(order if self._drawn is None else self._drawn[order])
        return self._order[position * self._batch_size : (position + 1) * self._batch_size]

    def rows_at(self, step: int) -> Mapping[str, Features]:
        """Return all rows that `step` takes its batch from; those of orbits are drawn anew now and then."""
        draw = step // max(self.steps_per_epoch, _LEAST_STEPS)
        if draw != self._draw:
            self._drawn_rows = {}  # before the next ones take as much memory
            self._draw = draw
            self._drawn_rows = {k: x.drawn(draw) if isinstance(x, OrbitRows) else x for k, x in self._rows.items()}
        return self._drawn_rows

    def at(self, step: int) -> Tensor | dict[str, Tensor]:
        """Return the batch of `step`: (batch_size, *event), or a dictionary of such."""
        parts = self.parts_at(step)
        return parts["x"] if self._is_single else parts

    def parts_at(self, step: int) -> dict[str, Tensor]:
        """Return the batch of `step` as a dictionary, of "x" where the rows are those of one tensor."""
        if self._windows is None:
            return _gathered(self.rows_at(step), self.index(step), self._device)
        own = self._moved(self._windows, step)
        if not self._held:
            index = torch.from_numpy(self._window_rows)
            self._held = {
                key: x.drawn(*self._window, rows=self._window_rows) if isinstance(x, OrbitRows) else x[index]
                for key, x in self._rows.items()
            }
        return {key: x[own].to(self._device, non_blocking=True) for key, x in self._held.items()}

    def _moved(self, windows: Windows, step: int) -> slice:
        """Go to the window of `step`, and return the place of its batch there."""
        epoch, window, own = windows.place(step)
        if (epoch, window) != self._window:
            self._window, self._window_rows, self._held = (epoch, window), windows.rows(epoch, window), {}
        return own


def bootstrap_rows(n: int, seed: int) -> np.ndarray:
    """Return `n` of `n` row numbers, drawn with replacement: those of the `Batches` of this seed with `resample`."""
    return np.random.default_rng(child_seed(seed, "bootstrap")).integers(n, size=n)


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
        rows: Features | Rows,
        *,
        batch_size: int,
        seeds: Sequence[int],
        device: str | torch.device = "cpu",
        resample: bool = False,
    ) -> None:
        self._is_single, self._device = not isinstance(rows, Mapping), torch.device(device)
        self._rows: Rows = rows if isinstance(rows, Mapping) else {"x": rows}
        self._orders = [
            Batches(self._rows, batch_size=batch_size, seed=s, device=device, resample=resample) for s in seeds
        ]
        self.steps_per_epoch = self._orders[0].steps_per_epoch

    def at(self, step: int) -> Tensor | dict[str, Tensor]:
        """Return the batch of `step`: (batch_size * R, *event), or a dictionary of such."""
        if _is_lazy(self._rows):
            batches = [order.parts_at(step) for order in self._orders]
            part = {key: torch.stack([b[key] for b in batches], dim=1).flatten(0, 1) for key in self._rows}
        else:
            index = torch.stack([order.index(step) for order in self._orders], dim=1).flatten()
            part = _gathered(self._orders[0].rows_at(step), index, self._device)
        return part["x"] if self._is_single else part


def _is_lazy(rows: Rows) -> bool:
    return any(x.is_lazy if isinstance(x, OrbitRows) else isinstance(x, LazyRows) for x in rows.values())


def _gathered(rows: Mapping[str, Features], index: Tensor, device: torch.device) -> dict[str, Tensor]:
    """Return the rows of the given numbers on `device`."""
    parts = {}
    for key, x in rows.items():
        part = x[index] if isinstance(x, LazyRows) else x.index_select(0, index.to(x.device))
        parts[key] = part.to(device, non_blocking=True)
    return parts
