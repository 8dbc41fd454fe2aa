"""Tests of the battery shared out: who does them changes no bit of the verdict."""

import os
import pickle
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from threadpoolctl import threadpool_info, threadpool_limits

from reverie.core.errors import WorkerError
from reverie.data import Dataset
from reverie.scale.executors import open_executor
from reverie.validation.battery import BatteryPiece
from reverie.validation.comparison import build_comparisons
from reverie.validation.inputs.samples import gather_samples
from reverie.validation.parallel import shared
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.statistics.kernels import energy_kernel, gaussian_kernel, kernel_columns, kernel_share
from reverie.validation.suite import validate


def _table(k, n=120, d=3):
    return np.random.default_rng(k).normal(size=(n, d)) + 0.03 * k


def _chain(k, n=600):
    return lfilter([1], [1, -0.8], np.random.default_rng(k).normal(size=(n, 2)), axis=0)


def _weighted(k):
    return Dataset(_table(k), weights=np.random.default_rng(k).uniform(0.5, 1.5, 120))


SAMPLES = {
    "table": _table,
    "chain": _chain,
    "weights": _weighted,
    "images": lambda k: np.random.default_rng(k).normal(size=(40, 9, 9)),
}
OPTIONS = {"n_permutations": 9, "classifiers": (), "random_state": 0}


def _verdict(sample, executor=None):
    extra = {"modes": lambda x: x[:, 0] > 0, "observables": {"sum": lambda x: x.flatten(1).sum(1)}}
    found = validate(sample(0), sample(1), calibration=sample(2), executor=executor, **OPTIONS, **extra)
    return found.to_json()


class _Backwards(Executor):
    """Does what it is given when the first result is asked for, the last job first."""

    def __init__(self):
        self.jobs = []

    def submit(self, fn, /, *args, **kwargs):
        owner = self

        class Late(Future):
            def result(self, timeout=None):
                while owner.jobs:
                    future, job = owner.jobs.pop()
                    future.set_result(job())
                return super().result(timeout)

        future = Late()
        self.jobs.append((future, lambda: fn(*args, **kwargs)))
        return future


@pytest.mark.parametrize("name", ["table", *(pytest.param(n, marks=pytest.mark.slow) for n in SAMPLES if n != "table")])
def test_threads_and_their_number_change_no_bit(name):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = _verdict(SAMPLES[name])
        torch.set_num_threads(3)
        assert _verdict(SAMPLES[name]) == alone
        with ThreadPoolExecutor(2) as executor:
            assert _verdict(SAMPLES[name], executor) == alone
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow  # all pairs shared out: the test of threads above
def test_samples_too_large_for_all_pairs_are_shared_out_too(monkeypatch):
    monkeypatch.setattr("reverie.validation.statistics.registry.MAX_EXACT", 120)
    alone = _verdict(_table)
    assert any(check["detail"] == "estimated" for check in alone["checks"])
    with ThreadPoolExecutor(2) as executor:
        assert _verdict(_table, executor) == alone


@pytest.mark.slow  # quick: threads and their number change no bit
def test_the_order_of_the_tasks_changes_no_bit():
    alone = _verdict(_table)
    assert _verdict(_table, _Backwards()) == alone
    assert _verdict(lambda k: _table(k + 1)) != alone  # twin: other samples are told apart


@pytest.mark.slow
def test_processes_and_their_number_change_no_bit():
    alone = {name: _verdict(sample) for name, sample in SAMPLES.items()}
    for workers in (1, 2, 3):
        with open_executor("pool", workers=workers) as executor:
            assert {name: _verdict(sample, executor) for name, sample in SAMPLES.items()} == alone


@pytest.mark.slow
def test_dask_changes_no_bit():
    pytest.importorskip("distributed")
    with open_executor("dask", workers=2) as executor:
        assert _verdict(_table, executor) == _verdict(_table)


@pytest.mark.parametrize("n_shares", [1, 2, 3, 8, 50])
def test_shares_of_the_kernels_add_up_to_the_same_bits(n_shares):
    z = torch.from_numpy(_table(0, 600))
    relabel = relabellings(300, 300, 20, torch.Generator().manual_seed(0))
    kernels = [energy_kernel, gaussian_kernel(1.0)]
    whole = kernel_columns(z, relabel, kernels, block_size=64)
    shares = [kernel_share(z, relabel, kernels, share=(k, n_shares), block_size=64) for k in range(n_shares)]
    for one, other in zip(whole, kernel_columns(z, relabel, kernels, shares=shares), strict=True):
        assert np.array_equal(one.values, other.values)
        assert (one.error, one.shift) == (other.error, other.shift)
    lost = kernel_columns(z, relabel, kernels, shares=[[torch.zeros_like(shares[0][0])], *shares[1:]])
    assert not np.array_equal(lost[0].values, whole[0].values)  # twin: a share that is lost is noticed


def test_a_task_travels_as_plain_arrays_and_arrives_as_it_was():
    samples = gather_samples(*(_weighted(k) for k in range(3)), names=None, seed=0, max_samples=200)
    comparisons = build_comparisons(samples, {}, 19, 0, calibrate=False, modes=lambda x: x[:, 0] > 0)
    task = BatteryPiece(comparisons, 3, (1, 8))
    sent = bytes(ForkingPickler.dumps(task))
    shared_memory = b"torch.multiprocessing"
    assert shared_memory not in sent
    assert shared_memory in bytes(ForkingPickler.dumps(comparisons))  # twin: what torch does with tensors
    relabel = comparisons.generated.relabel
    assert len(sent) < len(pickle.dumps(comparisons)) - relabel.labels.numel() * 0.8  # labels as bits
    again = pickle.loads(sent)
    assert (again.row, again.part, again.shared.names) == (3, (1, 8), comparisons.names)
    for name in ("labels", "weights", "weight_of_x", "groups"):
        assert torch.equal(getattr(again.shared.generated.relabel, name), getattr(relabel, name))
    for name in ("few", "single", "third"):
        assert torch.equal(getattr(again.shared.generated, name), getattr(comparisons.generated, name))
    for modes, expected in (
        (again.shared.generated.modes, comparisons.generated.modes),
        (again.shared.generated.bins, comparisons.generated.bins),
    ):
        assert modes is not None
        assert expected is not None
        assert torch.equal(modes.of_row, expected.of_row)


def test_what_is_shared_out_is_computed_by_one_thread_each_and_errors_arrive():
    before = torch.get_num_threads()
    with ThreadPoolExecutor(2) as executor:
        assert list(shared(lambda _: torch.get_num_threads(), range(4), executor)) == [1] * 4
        with pytest.raises(ZeroDivisionError):
            list(shared(lambda k: 1 / k, [1, 0, 1], executor))
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_a_worker_that_dies_is_an_error_in_words():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        with pytest.raises(WorkerError, match="fewer workers"):
            list(shared(os._exit, [1], executor))


def test_a_piece_has_one_thread_of_linear_algebra_and_all_are_given_back():
    """Of OpenBLAS, which NumPy and SciPy carry, however many torch uses."""

    def counts(_: int) -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before, of_torch = counts(0), torch.get_num_threads()
    with threadpool_limits(3, user_api="blas"):
        given = counts(0)
        assert set(given) == {3}
        try:
            for n in (1, 2):
                torch.set_num_threads(n)
                assert all(set(found) == {1} for found in shared(counts, range(3)))
                assert counts(0) == given
        finally:
            torch.set_num_threads(of_torch)
    assert counts(0) == before
