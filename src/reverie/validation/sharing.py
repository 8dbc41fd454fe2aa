"""Pieces of work that many do: the threads of this process, or any executor of `concurrent.futures`.

A sum over the rows depends in its last bits on how many threads add it up. Every piece is therefore computed by one
thread alone, here as in other processes, so that who did it changes no bit; of the linear algebra behind NumPy and
SciPy too, whose threads would besides wait for each other where another program runs.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from reverie.core.errors import WorkerError

__all__ = ["one_thread", "shared"]

T = TypeVar("T")
R = TypeVar("R")


def shared(function: Callable[[T], R], items: Iterable[T], executor: Executor | None = None) -> Iterator[R]:
    """Yield the function of every item, in order.

    Parameters
    ----------
    function : for other processes one of a module.
    items : for other processes plain data.
    executor : who does it; None takes as many threads as torch uses.

    Raises
    ------
    WorkerError
        If a worker died.
    """
    n_threads = torch.get_num_threads()
    if executor is None and n_threads == 1:
        with threadpool_limits(1, user_api="blas"):
            yield from map(function, items)
        return
    alone = threadpool_limits(1, user_api="blas")
    with alone, one_thread(), ThreadPoolExecutor(n_threads) if executor is None else nullcontext(executor) as workers:
        futures = [workers.submit(_alone, function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        except Exception as error:
            if isinstance(error, BrokenExecutor) or type(error).__module__.startswith("distributed"):
                raise WorkerError(
                    "Expected every worker to finish, got one that was killed, often by the system for want of memory. "
                    "Start again with fewer workers."
                ) from error
            raise
        finally:
            for future in futures:
                future.cancel()


def _alone(function: Callable[[T], R], item: T) -> R:
    with one_thread():
        return function(item)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let this thread, and threads and processes that start now, compute with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
