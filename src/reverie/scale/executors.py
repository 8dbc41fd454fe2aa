"""Many processes, on one machine or on several: executors of `concurrent.futures`, by name.

pool    processes of this machine; each starts afresh ("spawn") and computes with one thread
dask    the workers of a Dask cluster, wherever they run; without a scheduler file, a cluster on this machine

Whoever has shards to do takes any such executor and asks nothing about it. The shards carry their own seeds, so
results do not depend on the engine, on the number of workers, or on the order in which they finish.

To add an engine: a context manager (workers, scheduler file) -> Executor, and one row in `ENGINES`.
"""

import logging
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError, MissingDependencyError, WorkerError
from reverie.core.processes import end_with_parent
from reverie.core.streams import print_note

__all__ = ["ENGINES", "InThisProcess", "available_cores", "completed", "open_executor"]

Job = TypeVar("Job")
Result = TypeVar("Result")

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_STOPS = (signal.SIGINT, signal.SIGTERM)
MOST_WORKERS = 1024  # processes; more would take a machine down before the first of them works
_PATIENCE = 30  # seconds for a scheduler to answer


class InThisProcess(Executor):
    """An executor that does each job at once, here: what one worker is, without a second process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Return a future that is done."""
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # it belongs to whoever asks for the result
            future.set_exception(error)
        return future


class _Pool(ProcessPoolExecutor):
    """A pool of ours, which ends with its block and not before.

    Its processes start with the signals that stop them blocked, until `_begin` can hear them: one that is interrupted
    among its imports would look as if it had been killed.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Return the future of a call; the first of them starts the processes."""
        if not hasattr(signal, "pthread_sigmask"):
            return super().submit(fn, *args, **kwargs)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_executor(
    engine: str | Executor = "pool", *, workers: int | None = None, scheduler_file: str | Path | None = None
) -> AbstractContextManager[Executor]:
    """Return a context manager that gives an executor, and ends its processes with the block.

    Raises `InputError` for an unknown engine, no worker, or a scheduler file that is not there; without Dask, if it is
    wanted, `MissingDependencyError`; and `WorkerError` if the scheduler does not answer.

    Parameters
    ----------
    engine : "pool", "dask", or an executor of your own, which stays open.
    workers : Number of processes; None takes one per core. A pool of one is this process.
    scheduler_file : File of a running Dask cluster whose workers are taken, from ``dask scheduler --scheduler-file``.
    """
    if isinstance(engine, Executor):
        return nullcontext(engine)
    open_engine = check_choice("engine", engine, ENGINES)
    if workers is not None:
        check_positive("workers", workers, integer=True)
        if workers > MOST_WORKERS:
            raise InputError(f"Expected at most {MOST_WORKERS:,} workers, got {workers:,}. Leave it out for all cores.")
    if scheduler_file is not None:
        if engine != "dask":
            raise InputError(f"Expected --engine dask with a scheduler file, got {engine}. Add --engine dask.")
        if not Path(scheduler_file).is_file():
            raise InputError(
                f"Expected the file of a running Dask scheduler, got {str(scheduler_file)!r}, which does not exist. "
                f"Start one: dask scheduler --scheduler-file {scheduler_file}"
            )
    return open_engine(available_cores() if workers is None else int(workers), scheduler_file)


def completed(
    executor: Executor, function: Callable[[Job], Result], jobs: Iterable[Job]
) -> Iterator[tuple[Job, Result]]:
    """Do all jobs and yield each with its result, as they finish; the first error ends it and cancels the rest.

    Raises `WorkerError` if a worker died.

    Parameters
    ----------
    executor : Any executor of `concurrent.futures`.
    function : Function of a module, so that other processes find it.
    jobs : Plain data, one for each call.
    """
    if isinstance(executor, InThisProcess):  # one by one, not all before the first is told of
        yield from ((job, function(job)) for job in jobs)
        return
    futures = {executor.submit(_do, function, job): job for job in jobs}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException as error:
        if isinstance(error, BrokenExecutor) or type(error).__module__.startswith("distributed"):
            raise WorkerError(  # the executor is busy with saying so to all futures
                "Expected every worker to finish its jobs, got one that was killed, often by the system for want of "
                "memory. Start the same command again with fewer --workers; what is finished is kept."
            ) from error
        if not isinstance(executor, _Pool):  # which cancels them itself
            for future in futures:
                future.cancel()
        raise


def _do(function: Callable[[Job], Result], job: Job) -> Result:
    """Do one job. A process of ours that is told to stop ends here: its pool would take that for an error and go on."""
    try:
        return function(job)
    except SystemExit:
        if multiprocessing.parent_process() is None:
            raise
        os._exit(1)


@contextmanager
def _pool(workers: int, scheduler_file: str | Path | None) -> Iterator[Executor]:
    if workers == 1:
        yield InThisProcess()
        return
    others = {child.pid for child in multiprocessing.active_children()}
    spawn = multiprocessing.get_context("spawn")
    with _one_thread_each(), _Pool(workers, mp_context=spawn, initializer=_begin) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                if child.pid not in others:
                    child.terminate()  # a shard may take minutes more, and nobody waits for it
            raise


@contextmanager
def _dask(workers: int, scheduler_file: str | Path | None) -> Iterator[Executor]:
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError:
        raise MissingDependencyError("distributed", "dask", "use Dask") from None
    if scheduler_file is None:
        local = {"threads_per_worker": 1, "processes": True, "memory_limit": 0, "dashboard_address": None}
        with (
            _one_thread_each(),
            LocalCluster(n_workers=workers, silence_logs=logging.CRITICAL, **local) as cluster,
            Client(cluster) as client,
        ):
            yield client.get_executor(pure=False)
        return
    try:
        client = Client(scheduler_file=str(scheduler_file), timeout=_PATIENCE)
    except (OSError, TimeoutError):
        raise WorkerError(
            f"Expected the Dask scheduler of {str(scheduler_file)!r} to answer, got nothing for {_PATIENCE} s. "
            "Start it anew, or delete the file of an old one."
        ) from None
    with client:
        yield client.get_executor(pure=False)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start in this block compute with one thread: there is one for each core already."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _begin() -> None:
    """Prepare a process of the pool: told to stop, by Ctrl-C too, it cleans up and ends without a word.

    It ends with the process that started it, however that ended.

    A signal that the whole job was started to ignore (`nohup`, `&` in a script) is ignored here as well: its parent
    does not hear it and would take this process for killed.
    """
    end_with_parent()
    warnings.showwarning = print_note
    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    if hasattr(signal, "pthread_sigmask"):
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)  # one that came before is heard now
        except SystemExit:
            os._exit(1)  # the pool would print the way to here


def _stop(*_: object) -> NoReturn:
    for number in _STOPS:
        signal.signal(number, lambda *_: None)  # a second one would break off the cleaning up
    sys.exit(1)


ENGINES: dict[str, Callable[[int, str | Path | None], AbstractContextManager[Executor]]] = {
    "pool": _pool,
    "dask": _dask,
}
