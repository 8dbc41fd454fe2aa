"""The battery as tasks, each of which any process can do.

A task is one statistic of one comparison. Energy distance and MMD, which take most of the time, are cut into shares:
runs of rows whose contributions are added up in a fixed order. Relabellings are drawn once, and travel with the tasks;
what else is random has a seed of its own in each statistic. Tasks therefore give the same bits wherever and in whatever
order they are done, by one thread each.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.validation.comparison import Bench, Comparison
from reverie.validation.costs import seconds_of_statistic
from reverie.validation.schedule import Stage
from reverie.validation.statistics.registry import (
    STATISTICS,
    Groups,
    has_shares,
    kernel_statistics,
    share_of_kernels,
)

__all__ = ["Task", "battery_groups", "battery_stages"]

_N_SHARES = 8
_FIRST = ("features one by one", "hard constraints")  # cheap, and the plainest


@dataclass(frozen=True)
class Task:
    """One statistic of `bench.here`, or a share of it.

    Parameters
    ----------
    bench : with this one comparison.
    row : of `STATISTICS`.
    share : (k, n), share k of n; None for all of it.
    """

    bench: Bench
    row: int
    share: tuple[int, int] | None = None

    def done(self) -> Groups | list[np.ndarray]:
        """Return the groups of the statistic, or what its share adds."""
        if self.share is not None:
            return [part.numpy() for part in share_of_kernels(self.bench, self.bench.here, self.share)]
        return STATISTICS[self.row][1](self.bench, self.bench.here)

    def __reduce__(self) -> Any:
        return _task, (_packed(self.bench), self.row, self.share)


def battery_stages(bench: Bench) -> tuple[list[Stage], list[str]]:
    """Return a stage for each statistic, and the names of those that would not end with so many rows.

    The pieces of a stage are those of generated against real, then those of real against real.
    """
    stages, endless = [], []
    for row, (name, _) in enumerate(STATISTICS):
        seconds = seconds_of_statistic(name, bench)
        if seconds is None:
            endless.append(name)
        elif seconds > 0:
            pieces = tuple(task for c in _comparisons(bench) for task in _tasks(replace(bench, here=c, real=None), row))
            stages.append(Stage(name, seconds, pieces, is_first=name in _FIRST))
    return stages, endless


def battery_groups(bench: Bench, results: Mapping[str, Sequence[Any]]) -> Groups:
    """Return the groups of the statistics that ran, with real against real in each column.

    Parameters
    ----------
    results : name of a statistic -> results of the pieces of its stage.
    """
    groups: Groups = {}
    for row, (name, _) in enumerate(STATISTICS):
        if name not in results:
            continue
        comparisons = _comparisons(bench)
        n = len(results[name]) // len(comparisons)
        parts = [results[name][k * n : (k + 1) * n] for k in range(len(comparisons))]
        here, *beside = [_gathered(bench, c, row, part) for c, part in zip(comparisons, parts, strict=True)]
        for group, columns in here.items():
            real = [column.value for column in beside[0][group]] if beside else [None] * len(columns)
            groups[group] = [replace(column, real=value) for column, value in zip(columns, real, strict=True)]
    return groups


def _comparisons(bench: Bench) -> list[Comparison]:
    return [bench.here] if bench.real is None else [bench.here, bench.real]


def _tasks(bench: Bench, row: int) -> Iterator[Task]:
    """Yield the tasks of one statistic of one comparison."""
    if STATISTICS[row][1] is kernel_statistics and has_shares(bench.here):
        yield from (Task(bench, row, (k, _N_SHARES)) for k in range(_N_SHARES))
    else:
        yield Task(bench, row)


def _gathered(bench: Bench, c: Comparison, row: int, results: Sequence[Any]) -> Groups:
    """Return the groups of one statistic of a comparison, the shares of kernels put together."""
    if STATISTICS[row][1] is not kernel_statistics or not has_shares(c):
        return results[0]
    return kernel_statistics(bench, c, [[torch.from_numpy(part) for part in share] for share in results])


class _Array(NamedTuple):
    """A tensor on its way: its numbers, booleans as bits, and how they lay, on which last bits of sums depend."""

    numbers: np.ndarray
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    is_boolean: bool

    @classmethod
    def of(cls, x: Tensor) -> "_Array":
        boolean = x.dtype == torch.bool
        return cls(np.packbits(x.numpy()) if boolean else x.numpy(), tuple(x.shape), x.stride(), boolean)

    def tensor(self) -> Tensor:
        numbers = self.numbers
        if self.is_boolean:
            numbers = np.unpackbits(numbers, count=math.prod(self.shape)).astype(bool).reshape(self.shape)
        x = torch.from_numpy(numbers)
        return torch.empty_strided(self.shape, self.stride, dtype=x.dtype).copy_(x)


def _packed(x: Any) -> Any:
    """Return `x` with arrays for tensors: torch sends these through shared memory, of which containers have little."""
    if isinstance(x, Tensor):
        return _Array.of(x)
    if isinstance(x, dict):
        return {name: _packed(value) for name, value in x.items()}
    if is_dataclass(x):
        return type(x), {field.name: _packed(getattr(x, field.name)) for field in fields(x)}
    return x


def _unpacked(x: Any) -> Any:
    if isinstance(x, _Array):
        return x.tensor()
    if isinstance(x, dict):
        return {name: _unpacked(value) for name, value in x.items()}
    if isinstance(x, tuple) and x and isinstance(x[0], type):
        return x[0](**_unpacked(x[1]))
    return x


def _task(bench: Any, row: int, share: tuple[int, int] | None) -> Task:
    return Task(_unpacked(bench), row, share)
