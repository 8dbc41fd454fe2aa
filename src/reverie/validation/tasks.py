"""The battery as tasks, each of which any process can do.

A task is one statistic of one comparison. Energy distance and MMD, which take most of the time, are cut into shares:
runs of rows whose contributions are added up in a fixed order. Relabellings are drawn once, and travel with the tasks;
what else is random has a seed of its own in each statistic. Tasks therefore give the same bits wherever and in whatever
order they are done, by one thread each.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.validation.battery import (
    STATISTICS,
    Groups,
    Share,
    has_shares,
    kernel_statistics,
    share_of_kernels,
)
from reverie.validation.bench import Bench, Comparison
from reverie.validation.sharing import shared

__all__ = ["Progress", "Task", "run_battery"]

Progress = Callable[[float, str], None]

_N_SHARES = 8


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

    def __reduce__(self) -> Any:
        return _task, (_packed(self.bench), self.row, self.share)


def run_battery(bench: Bench, tell: Progress, executor: Executor | None = None) -> Groups:
    """Return the groups of statistics with real against real in each column.

    Parameters
    ----------
    tell : called with the fraction of the whole validation that is done, and words.
    executor : who does the tasks; None takes as many threads as torch uses.
    """
    comparisons = [bench.here] if bench.real is None else [bench.here, bench.real]
    parts = [list(_tasks(replace(bench, here=c, real=None))) for c in comparisons]
    tasks, done = sum(parts, []), []
    tell(0.0, "statistics")
    for task, result in zip(tasks, shared(_done, tasks, executor), strict=True):
        done.append(result)
        tell(0.7 * len(done) / len(tasks), f"statistics ({STATISTICS[task.row][0]} done)")
    results = iter(done)
    here, *beside = [_gathered(bench, c, part, results) for c, part in zip(comparisons, parts, strict=True)]
    return {
        name: [replace(column, real=beside[0][name][j].value if beside else None) for j, column in enumerate(columns)]
        for name, columns in here.items()
    }


def _tasks(bench: Bench) -> Iterator[Task]:
    """Yield the tasks of one comparison, the longest first."""
    n = _N_SHARES if has_shares(bench.here) else 0
    for row, (_, statistic) in reversed(list(enumerate(STATISTICS))):
        if statistic is kernel_statistics and n:
            yield from (Task(bench, row, (k, n)) for k in range(n))
        else:
            yield Task(bench, row)


def _done(task: Task) -> Groups | list[np.ndarray]:
    if task.share is not None:
        return [part.numpy() for part in share_of_kernels(task.bench, task.bench.here, task.share)]
    return STATISTICS[task.row][1](task.bench, task.bench.here)


def _gathered(bench: Bench, c: Comparison, tasks: list[Task], results: Iterator[Any]) -> Groups:
    """Return the groups of a comparison in the order of `STATISTICS`, the shares of its kernels put together."""
    shares: list[Share] = []
    whole: dict[int, Groups] = {}
    for task, result in zip(tasks, results, strict=False):
        if task.share is None:
            whole[task.row] = result
        else:
            shares.append([torch.from_numpy(part) for part in result])
    groups: Groups = {}
    for row in range(len(STATISTICS)):
        groups |= whole[row] if row in whole else kernel_statistics(bench, c, shares)
    return groups


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
