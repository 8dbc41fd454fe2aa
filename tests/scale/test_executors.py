"""Executors: the same results from all of them, errors that come back, and a worker that dies."""

import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from reverie.core.errors import InputError, MissingDependencyError, TrainingError, UnknownNameError, WorkerError
from reverie.scale.executors import InThisProcess, available_cores, completed, open_executor


def square(x: int) -> int:
    return x * x


def refuse(x: int) -> int:
    raise UnknownNameError("number", x, ["one", "two"])


def die(x: int) -> int:
    if x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def threads(_: int) -> tuple[str | None, int]:
    import torch

    return os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()


@pytest.mark.parametrize("make", [InThisProcess, lambda: ThreadPoolExecutor(2)], ids=["here", "threads"])
def test_every_job_comes_back_with_its_result(make):
    with make() as executor:
        assert dict(completed(executor, square, range(20))) == {x: x * x for x in range(20)}


def test_jobs_done_here_are_told_one_by_one():
    done = []
    for job, _ in completed(InThisProcess(), done.append, range(3)):
        assert done == list(range(job + 1))


def test_an_executor_of_ones_own_stays_open():
    with ThreadPoolExecutor(1) as own:
        with open_executor(own) as executor:
            assert executor is own
        assert own.submit(square, 3).result() == 9


def test_wrong_engines_are_answered(tmp_path):
    with pytest.raises(UnknownNameError, match="pool"):
        open_executor("pol")
    with pytest.raises(InputError, match="workers"):
        open_executor("pool", workers=0)
    with pytest.raises(InputError, match="--engine dask"):
        open_executor("pool", scheduler_file=tmp_path / "f.json")
    with pytest.raises(InputError, match="dask scheduler --scheduler-file"):
        open_executor("dask", scheduler_file=tmp_path / "f.json")


def test_errors_come_back_from_other_processes_as_they_are():
    errors = [
        UnknownNameError("engine", "pol", ["pool", "dask"]),
        MissingDependencyError("distributed", "dask", "use Dask"),
        TrainingError("The loss is not finite.", step=3, checkpoint="here"),
    ]
    for error in errors:
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error)
        assert (str(back), vars(back)) == (str(error), vars(error))


def test_cores_are_counted():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.slow
def test_a_pool_computes_with_one_thread_each_and_gives_back_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with open_executor("pool", workers=2) as pool:
        assert dict(completed(pool, square, range(8))) == {x: x * x for x in range(8)}
        assert {result for _, result in completed(pool, threads, range(4))} == {("1", 1)}
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.slow
def test_an_error_in_a_pool_ends_it_with_its_own_words():
    with pytest.raises(UnknownNameError, match="one, two"), open_executor("pool", workers=2) as pool:
        list(completed(pool, refuse, range(4)))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["pool", "dask"])
def test_a_killed_worker_is_one_sentence(engine):
    if engine == "dask":
        pytest.importorskip("distributed")
    with (
        pytest.raises(WorkerError, match="killed.*what is finished is kept"),
        open_executor(engine, workers=2) as executor,
    ):
        list(completed(executor, die, range(4)))


# Two processes that say who they are and then have work for minutes.
WORKING = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from reverie.core.processes import end_with_parent
from reverie.scale.executors import open_executor

if __name__ == "__main__":
    with {pool} as pool:
        done = [pool.submit(os.write, 1, b"working\\n") for _ in range(2)]
        done += [pool.submit(time.sleep, 120) for _ in range(2)]
        print(*pool._processes, flush=True)
        done[-1].result()
"""
SPAWNED = 'ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer={})'


def _killed_at_work(tmp_path, pool: str) -> tuple[subprocess.Popen, list[int]]:
    """Return a process that was killed while its pool was at work, and the numbers of the processes of that."""
    (tmp_path / "working.py").write_text(WORKING.format(pool=pool))
    process = subprocess.Popen([sys.executable, str(tmp_path / "working.py")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    process.kill()
    return process, [int(word) for word in " ".join(lines).split() if word != "working"]


@pytest.mark.slow
@pytest.mark.parametrize("pool", ['open_executor("pool", workers=2)', SPAWNED.format("end_with_parent")])
def test_no_process_of_a_pool_outlives_a_parent_that_was_killed(tmp_path, pool):
    process, workers = _killed_at_work(tmp_path, pool)
    assert len(workers) == 2
    process.communicate(timeout=30)  # the output of all of them is closed


@pytest.mark.slow
def test_without_the_watch_they_would(tmp_path):
    process, workers = _killed_at_work(tmp_path, SPAWNED.format("None"))
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=3)
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        process.communicate()
