"""A validation in stages, within a time.

A stage is one test with everything that belongs to it, cut into pieces that any thread or process can do. What it is
expected to take on one core follows from the sizes of the samples. Without a limit all
stages run, the longest first. With one, the cheapest come first, and a stage begins only if it is expected to end in
time; what the stages that are done took, against what was expected of them, corrects the expectation of the others.

Whether a stage runs depends on sizes and on the clock, never on the result of any test: the p-values of those that ran
are then as good as if nothing else had been thought of. A stage draws from seeds of its own, so its result does not
depend on which others ran, or when.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeAlias

import torch

from reverie.validation.parallel import shared

__all__ = [
    "MAX_PAIRS",
    "SECONDS_PER_ELEMENT",
    "SECONDS_PER_PRODUCT",
    "Budget",
    "Piece",
    "Progress",
    "Stage",
    "n_workers",
    "run_stages",
]

MAX_PAIRS = 5e10  # of rows: 110,000 against 110,000; what takes all pairs of more rows would not end
SECONDS_PER_PRODUCT = 5e-11  # a multiplication and an addition within a large matrix product in single precision
SECONDS_PER_ELEMENT = 5e-9  # one element of a cumulative sum, a sort or a gather

Piece: TypeAlias = Callable[[], object]  # for other processes with arguments that can be pickled
Progress: TypeAlias = Callable[[float, str], None]


@dataclass(frozen=True)
class Stage:
    """One test, or a few that share their work.

    Parameters
    ----------
    name : The name of the test, in words.
    seconds : The time that it is expected to take on one core.
    pieces : The pieces that the work is cut into.
    is_first : Whether it runs first, however little time there is.
    """

    name: str
    seconds: float
    pieces: tuple[Piece, ...]
    is_first: bool = False


class Budget:
    """The time there is for a validation, and how fast this machine is.

    Parameters
    ----------
    max_time : Seconds from now on; None for no limit.
    n_workers : How many pieces are done at a time.
    """

    def __init__(self, max_time: float | None, n_workers: int = 1) -> None:
        self.max_time, self.n_workers = max_time, n_workers
        self._began = time.monotonic()
        self._expected, self._took = 1.0, 1.0  # of what is done: a second to begin with, so that none rules alone
        self._open = 0.0  # expected of what has begun

    def has_time_for(self, seconds: float, n_pieces: int = 1) -> bool:
        """Tell whether work of so many seconds on one core, in so many pieces, is expected to end in time."""
        if self.max_time is None:
            return True
        left = self.max_time - (time.monotonic() - self._began)
        alone = seconds / min(n_pieces, self.n_workers)
        return max(alone, (self._open + seconds) / self.n_workers) * self._took / self._expected <= left

    def begin(self, seconds: float) -> None:
        """Count work as begun."""
        self._open += seconds

    def end(self, expected: float, took: float) -> None:
        """Count work as done, and what it took."""
        self._open -= expected
        self._expected, self._took = self._expected + expected, self._took + took


def run_stages(
    stages: Sequence[Stage], budget: Budget, progress: Progress, executor: Executor | None = None
) -> dict[str, list[object]]:
    """Return the results of the pieces of each stage that ran, by the name of the stage.

    Parameters
    ----------
    budget : The time that is left; with an executor the stages are chosen before the first one begins.
    progress : Called with the fraction that is done, and the stage that comes next.
    executor : Does the pieces; None takes as many threads as torch uses.
    """
    order = sorted(stages, key=lambda stage: stage.seconds, reverse=budget.max_time is None)
    order.sort(key=lambda stage: not stage.is_first)  # stable
    chosen: list[tuple[Stage, float]] = []

    def pieces() -> Iterator[Piece]:
        for stage in order:
            if stage.is_first or budget.has_time_for(stage.seconds, len(stage.pieces)):
                each = stage.seconds / len(stage.pieces)
                for piece in stage.pieces:
                    budget.begin(each)
                    chosen.append((stage, each))
                    yield piece

    results: dict[str, list[object]] = {}
    whole, so_far = sum(stage.seconds for stage in order), 0.0
    progress(0.0, order[0].name)
    for k, (took, result) in enumerate(shared(_timed, pieces(), executor)):
        stage, each = chosen[k]
        budget.end(each, took)
        results.setdefault(stage.name, []).append(result)
        so_far += each
        progress(min(1.0, so_far / whole), chosen[min(k + 1, len(chosen) - 1)][0].name)
    return results


def _timed(piece: Piece) -> tuple[float, object]:
    began = time.perf_counter()
    result = piece()
    return time.perf_counter() - began, result


def n_workers(executor: Executor | None) -> int:
    """Return how many pieces are done at a time."""
    return torch.get_num_threads() if executor is None else getattr(executor, "_max_workers", 1)
