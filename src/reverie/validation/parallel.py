"""Pieces of work that many do: the threads of this process, or any executor of `concurrent.futures`.

A sum over the rows depends in its last bits on how many threads add it up. Every piece is therefore computed by one
thread alone, here as in other processes, so that who did it changes no bit; of the linear algebra behind NumPy and
SciPy too, whose threads would besides wait for each other where another program runs.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from itertools import islice
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

from reverie.core.errors import WorkerError

__all__ = ["library_threads", "one_thread", "shared"]

T = TypeVar("T")
R = TypeVar("R")


def shared(function: Callable[[T], R], items: Iterable[T], executor: Executor | None = None) -> Iterator[R]:
    """Yield the function of every item, in order.

    Parameters
    ----------
    function : What is done to each item; for other processes a function of a module.
    items : The items, for other processes plain data. Threads of this process take one when they are free to do it.
    executor : Who does it; None takes as many threads as torch uses.

    Raises
    ------
    WorkerError
        If a worker died.
    """
    n_threads = torch.get_num_threads()
    if executor is None and n_threads == 1:
        with library_threads(1, "blas"):
            yield from map(function, items)
        return
    todo, futures = iter(items), deque[Future[R]]()
    alone = library_threads(1, "blas")
    with alone, one_thread(), ThreadPoolExecutor(n_threads) if executor is None else nullcontext(executor) as workers:
        try:
            while True:
                running = [future for future in futures if not future.done()] if executor is None else []
                free = n_threads - len(running) if executor is None else None  # an executor has a queue of its own
                new = [workers.submit(_alone, function, item) for item in islice(todo, free)]
                futures.extend(new)
                if not futures:
                    return
                if executor is None and not futures[0].done() and len(new) == free:
                    wait([*running, *new], return_when=FIRST_COMPLETED)
                else:
                    yield futures.popleft().result()
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


def library_threads(limit: int | None, user_api: str) -> AbstractContextManager[object]:
    """Limit the threads of linear algebra ("blas") or of OpenMP ("openmp") in a ``with`` block; None limits nothing."""
    return _libraries(len(sys.modules)).limit(limits=limit, user_api=user_api)


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> ThreadpoolController:  # noqa: ARG001 - an import may have loaded others
    return ThreadpoolController()  # takes milliseconds, which a validation would spend fifty times


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
