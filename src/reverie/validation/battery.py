"""The battery as pieces of work, each of which any process can do.

A piece is one statistic of one comparison. Energy distance and MMD, which take most of the time, are divided: parts are
runs of rows whose contributions are added up in a fixed order. Relabellings are drawn once, and travel with the pieces;
what else is random has a seed of its own in each statistic. Pieces therefore give the same bits wherever and in
whatever order they are done, by one thread each.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from reverie.validation.comparison import Comparisons, Groups
from reverie.validation.schedule import Stage
from reverie.validation.statistics.registry import STATISTICS, Work

__all__ = ["BatteryPiece", "battery_groups", "battery_stages"]

_N_PARTS = 8
_FIRST = ("features one by one", "hard constraints")  # cheap, and the plainest


@dataclass(frozen=True)
class BatteryPiece:
    """One statistic of one comparison, or a part of it.

    Parameters
    ----------
    shared : What all statistics share, with the one comparison of generated against real.
    row : The number of the row of `STATISTICS`.
    part : (k, n) for part k of n; None for all of it.
    """

    shared: Comparisons
    row: int
    part: tuple[int, int] | None = None

    def __call__(self) -> Groups | list[np.ndarray]:
        """Return the groups of the statistic, or what its part adds."""
        statistic = STATISTICS[self.row]
        if self.part is None or statistic.part is None:
            return statistic.compute(self.shared, self.shared.generated)
        return [part.numpy() for part in statistic.part(self.shared, self.shared.generated, self.part)]

    def __reduce__(self) -> tuple[object, ...]:
        # as arrays: torch sends tensors to other processes through shared memory, of which containers have little
        return _unpacked, (_changed(self.shared, Tensor, _Array.of), self.row, self.part)


class _Array(NamedTuple):
    """A tensor on its way: its numbers, booleans as bits, and how they lay, on which last bits of sums depend."""

    numbers: np.ndarray
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    is_boolean: bool

    @classmethod
    def of(cls, x: Tensor) -> "_Array":
        is_boolean = x.dtype == torch.bool
        return cls(np.packbits(x.numpy()) if is_boolean else x.numpy(), tuple(x.shape), x.stride(), is_boolean)

    def tensor(self) -> Tensor:
        numbers = self.numbers
        if self.is_boolean:
            numbers = np.unpackbits(numbers, count=math.prod(self.shape)).view(bool).reshape(self.shape)
        x = torch.from_numpy(numbers)
        return torch.empty_strided(self.shape, self.stride, dtype=x.dtype).copy_(x)


def _changed(x: Any, kind: type, change: Callable[[Any], object]) -> Any:
    """Return `x` with every object of one type in its fields and entries changed."""
    if isinstance(x, kind):
        return change(x)
    if isinstance(x, dict):
        return {name: _changed(value, kind, change) for name, value in x.items()}
    if is_dataclass(x) and not isinstance(x, type):
        return replace(x, **{field.name: _changed(getattr(x, field.name), kind, change) for field in fields(x)})
    return x


def _unpacked(shared: Comparisons, row: int, part: tuple[int, int] | None) -> BatteryPiece:
    return BatteryPiece(_changed(shared, _Array, _Array.tensor), row, part)


def battery_stages(comparisons: Comparisons) -> tuple[list[Stage], list[str]]:
    """Return a stage for each statistic, and the names of those that would not end with so many rows.

    The pieces of a stage are those of generated against real, then those of real against real.
    """
    stages, endless = [], []
    for row, statistic in enumerate(STATISTICS):
        seconds = statistic.seconds(Work.of(comparisons.generated))
        if seconds is None:
            endless.append(statistic.name)
        elif seconds > 0:
            pieces: list[BatteryPiece] = []
            for c in comparisons.both:
                parts = [(k, _N_PARTS) for k in range(_N_PARTS)] if statistic.is_divided(c) else [None]
                pieces += [BatteryPiece(comparisons.only(c), row, part) for part in parts]
            stages.append(Stage(statistic.name, seconds, tuple(pieces), is_first=statistic.name in _FIRST))
    return stages, endless


def battery_groups(comparisons: Comparisons, results: Mapping[str, Sequence[object]]) -> Groups:
    """Return the groups of the statistics that ran, with real against real in each column.

    Parameters
    ----------
    results : The results of the pieces of each stage, by the name of its statistic.
    """
    groups: Groups = {}
    for statistic in STATISTICS:
        if statistic.name not in results:
            continue
        pieces, both = results[statistic.name], comparisons.both
        n = len(pieces) // len(both)
        computed: list[Groups] = []
        for k, c in enumerate(both):
            parts = cast(Sequence[Groups | list[np.ndarray]], pieces[k * n : (k + 1) * n])
            if isinstance(parts[0], dict):
                computed.append(parts[0])
            else:
                tensors = [[torch.from_numpy(sums) for sums in part] for part in parts]
                computed.append(statistic.compute(comparisons, c, tensors))
        for name, columns in computed[0].items():
            real = [column.value for column in computed[1][name]] if len(both) > 1 else [None] * len(columns)
            groups[name] = [replace(column, real=value) for column, value in zip(columns, real, strict=True)]
    return groups
