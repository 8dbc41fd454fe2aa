"""Features of a large table, computed from its rows when a batch asks for them, and the order of its batches.

`LazyRows` has what batches ask of a tensor: a length, a shape, and rows by their numbers. `Windows` says which rows
a step sees. A fresh permutation of all rows in each epoch, as for a table in memory, would need memory for every row
number and read one row from each of as many places of the disk; so

    block     1024 numbers or one row, about a page of a file, as they stand side by side
    window    1024 blocks, drawn without replacement from all of the file, a megabyte or so of numbers
    batch     rows of one window, which are permuted

The blocks of an epoch start at a random row, and their order is that of `reverie.core.shuffle.shuffled`, which takes
no memory. Successive batches of one window see only its rows, as many as thousands of them: of a file in sorted
order, 1024 places of it. Everything is a pure function of (seed, step), as resuming asks for. The rows that fill no
batch or no window are left out of an epoch, at most a few in a thousand of a large table; the next one has others.

With `resample`, slot i of n holds row ``hashed(i) mod n``: a bootstrap sample, read from all over the file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.core.lazy import LazyTable, is_large, sample_size
from reverie.core.random import child_generator, child_seed
from reverie.core.shuffle import hashed, shuffled

__all__ = [
    "Features",
    "LazyRows",
    "Rows",
    "Windows",
    "divided",
    "is_lazy",
    "lazily",
    "some_rows",
    "whole_rows",
]

Values = np.ndarray | LazyTable

_BLOCK_NUMBERS, _WINDOW_BLOCKS = 1024, 1024
_LEAST_BATCHES = 4  # in a window


class LazyRows:
    """Rows of features (n, *event), float32, that are computed when they are asked for.

    Parameters
    ----------
    values : (n, ...) array or `LazyTable` of values.
    features : values (k, ...) -> features (k, *event); row by row, but for the noise of discrete values.
    """

    def __init__(self, values: Values, features: Callable[[np.ndarray], Tensor]) -> None:
        self._values, self._features = values, features
        first = features(np.asarray(values[:2]))
        self.shape, self.dtype = torch.Size((len(values), *first.shape[1:])), first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        """Return the features of a row, a slice, or rows at a tensor of integers."""
        if isinstance(index, int):
            return self[slice(index, index + 1)][0]
        key = index if isinstance(index, slice) else torch.as_tensor(index).cpu().numpy()
        return self._features(np.asarray(self._values[key]))

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "LazyRows":
        """Return rows of `function` of these features."""
        return LazyRows(self._values, lambda values: function(self._features(values)))

    def without(self, rows: np.ndarray) -> "LazyRows":
        """Return all rows but those of the given numbers."""
        values = self._values if isinstance(self._values, LazyTable) else LazyTable(self._values)
        return LazyRows(values.without(rows), self._features)


Features = Tensor | LazyRows
Rows = Mapping[str, Features]


@dataclass(frozen=True)
class Windows:
    """The order in which batches go through a large table, see the module.

    Parameters
    ----------
    n_rows : Number of rows of the table.
    event_size : Numbers in a row.
    batch_size : Rows of a batch, at most n_rows.
    seed : Root seed of the order.
    resample : Whether rows are those of a bootstrap sample.
    """

    n_rows: int
    event_size: int
    batch_size: int
    seed: int
    resample: bool = False

    @property
    def block(self) -> int:
        """Rows of a block."""
        most = max(1, self.n_rows // (_LEAST_BATCHES * self.batch_size))  # so that a small table has some blocks
        return min(max(1, _BLOCK_NUMBERS // max(1, self.event_size)), most)

    @property
    def blocks(self) -> int:
        """Blocks of a window."""
        wanted = max(_WINDOW_BLOCKS, -(-_LEAST_BATCHES * self.batch_size // self.block))
        n_blocks = self.n_rows // self.block
        return n_blocks // max(1, n_blocks // wanted)

    @property
    def steps_per_window(self) -> int:
        """Batches of a window."""
        return self.blocks * self.block // self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return self.n_rows // self.block // self.blocks * self.steps_per_window

    def place(self, step: int) -> tuple[int, int, slice]:
        """Return epoch and window of the batch of `step`, and which of the window's rows are its own."""
        epoch, step = divmod(step, self.steps_per_epoch)
        window, position = divmod(step, self.steps_per_window)
        return epoch, window, slice(position * self.batch_size, (position + 1) * self.batch_size)

    def rows(self, epoch: int, window: int) -> np.ndarray:
        """Return the row numbers of a window, in the order in which its batches take them."""
        n_blocks = self.n_rows // self.block
        place = np.arange(window * self.blocks, (window + 1) * self.blocks)
        chosen = shuffled(place, n_blocks, child_seed(self.seed, "blocks", epoch))
        rng = np.random.default_rng(child_seed(self.seed, "window", epoch, window))
        start = child_seed(self.seed, "start", epoch) % self.n_rows
        slots = (start + chosen[:, None] * self.block + np.arange(self.block)).ravel() % self.n_rows
        slots = slots[rng.permutation(len(slots))]
        if not self.resample:
            return slots
        drawn = hashed(slots, child_seed(self.seed, "bootstrap")) % np.uint64(self.n_rows)
        return drawn.astype(np.int64)


def lazily(values: Values, features: Callable[[np.ndarray], Tensor], *, lazy: bool | None = None) -> Features:
    """Return the features (n, *event) of values (n, ...) as a tensor, or as `LazyRows` of a large table.

    `lazy` decides where it is not the size of these values that does: all rows of an event are of one sort.
    """
    lazy = is_large(values) if lazy is None else lazy
    return LazyRows(values, features) if lazy else features(np.asarray(values))


def is_lazy(rows: Rows) -> bool:
    """Tell whether any of the rows is computed when it is asked for."""
    return any(isinstance(x, LazyRows) for x in rows.values())


def some_rows(rows: Rows, size: int | None = None, *, seed: int, name: str = "some rows") -> dict[str, Tensor]:
    """Return at most `size` rows in random order, as tensors; without a size all rows, or a sample of a large table.

    Parameters
    ----------
    rows : tensors or `LazyRows` of one length.
    size : how many; None takes all as they stand, of a large table as many as `reverie.core.lazy.sample_size`.
    seed, name : root of the choice.
    """
    n = len(rows["x"])
    if not is_lazy(rows):
        if size is None:
            return {key: x for key, x in rows.items() if isinstance(x, Tensor)}
        index = torch.randperm(n, generator=child_generator(seed, name))[:size]
        return {key: x[index] for key, x in rows.items()}
    size = min(n, sample_size(n, rows["x"].shape[1:]) if size is None else size)
    index = torch.from_numpy(shuffled(np.arange(size), n, child_seed(seed, name)))
    return {key: x[index] for key, x in rows.items()}


def whole_rows(rows: Rows) -> Rows:
    """Return the rows whose features "x" are all there; NaN marks what is missing, of tables in memory."""
    x = rows["x"]
    if isinstance(x, LazyRows) or not bool(x.isnan().any()):
        return rows
    whole = ~x.flatten(1).isnan().any(dim=1)
    return {key: values[whole] for key, values in rows.items() if isinstance(values, Tensor)}


def divided(rows: Rows, out: Tensor) -> tuple[dict[str, Features], dict[str, Tensor]]:
    """Return all rows but those of the numbers `out`, increasing, in their order; and those."""
    rest: dict[str, Features] = {}
    for key, x in rows.items():
        if isinstance(x, LazyRows):
            rest[key] = x.without(out.cpu().numpy())
        else:
            kept = torch.ones(len(x), dtype=torch.bool)
            kept[out] = False
            rest[key] = x[kept]
    return rest, {key: x[out] for key, x in rows.items()}
