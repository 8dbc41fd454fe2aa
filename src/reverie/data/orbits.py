"""Rows of features of events that are moved along their orbits: another group element for each event and each pass.

`OrbitRows` stands where a tensor of features stands among the rows of a training. `Batches` asks it for the rows of a
pass, `drawn(place)`, which are a pure function of the seed and the place: a training that is resumed sees the same.
Features of the transformed values are computed for all events of a pass, or for those of a window of a large table.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from reverie.core.lazy import LazyTable
from reverie.core.random import child_seed
from reverie.data.lazy import LazyRows, Values

__all__ = ["OrbitRows"]

_NUMBERS_AT_ONCE = 4_000_000
Move = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class OrbitRows:
    """Features (n, *event) of events under random elements of a group.

    Parameters
    ----------
    values : (n, ...) array or `LazyTable` of values.
    move : values (k, ...) and a generator -> values under random group elements.
    features : values (k, ...) -> features (k, *event).
    seed : root of the group elements; rows of one seed see the same ones.
    """

    def __init__(self, values: Values, move: Move, features: Callable[[np.ndarray], Tensor], *, seed: int) -> None:
        self._values, self._move, self._features, self._seed = values, move, features, seed
        self.shape = LazyRows(values, features).shape

    def __len__(self) -> int:
        return len(self._values)

    @property
    def is_lazy(self) -> bool:
        """Whether the values are those of a large table, whose features are computed when they are asked for."""
        return isinstance(self._values, LazyTable)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "OrbitRows":
        """Return rows of `function` of these features."""
        return OrbitRows(self._values, self._move, lambda x: function(self._features(x)), seed=self._seed)

    def without(self, rows: np.ndarray) -> "OrbitRows":
        """Return all rows but those of the given numbers."""
        v = self._values
        values = v.without(rows) if isinstance(v, LazyTable) else np.delete(v, rows, axis=0)
        return OrbitRows(values, self._move, self._features, seed=self._seed)

    def __getitem__(self, index: Tensor) -> "OrbitRows":
        """Return the rows at integers or where a mask is true."""
        return OrbitRows(self._values[index.cpu().numpy()], self._move, self._features, seed=self._seed)

    def drawn(self, *place: int | str, rows: np.ndarray | None = None) -> Tensor:
        """Return the features of all events, or of those of the numbers `rows`, under the group elements of a place."""
        generator = np.random.default_rng(child_seed(self._seed, "orbits", *place))
        values = self._values if rows is None else self._values[rows]
        step = max(1, _NUMBERS_AT_ONCE // max(1, int(np.prod(self._values.shape[1:]))))
        parts = (np.asarray(values[start : start + step]) for start in range(0, len(values), step))
        return torch.cat([self._features(self._move(part, generator)) for part in parts])
