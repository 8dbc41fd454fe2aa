"""Features that are computed when they are asked for, and the order in which batches go through a large table."""

import sys

import numpy as np
import pytest
import torch

from reverie.core import lazy
from reverie.core.errors import InputError
from reverie.core.lazy import LazyTable
from reverie.data import Dataset, check_trainable, read
from reverie.data.batches import Batches, ReplicaBatches
from reverie.data.lazy import LazyRows, Windows, divided, is_lazy, lazily, some_rows

N = 1003
VALUES = np.stack([np.arange(N, dtype=np.float64), -np.arange(N, dtype=np.float64)], axis=1)


def halved(values):
    return torch.from_numpy(np.array(values, dtype=np.float64)).float() / 2


def lazy_rows():
    return {"x": LazyRows(LazyTable(VALUES), halved), "weight": torch.arange(float(N))}


def numbers(batch):
    return (2 * batch[:, 0]).long()


def test_lazy_rows_are_the_features_of_the_same_rows():
    lazy, eager = lazy_rows()["x"], halved(VALUES)
    assert len(lazy) == N
    assert lazy.shape == eager.shape
    for key in (3, slice(5, 9), torch.tensor([7, 0, 7]), torch.arange(N)):
        assert torch.equal(lazy[key], eager[key])
    assert torch.equal(lazy.mapped(torch.exp)[:3], eager[:3].exp())
    assert torch.equal(lazy.without(np.array([0, 2]))[:2], eager[[1, 3]])


def test_rows_are_divided_alike_lazy_or_not():
    out = torch.tensor([0, 5, 1002])
    train, held_out = divided(lazy_rows(), out)
    plain = divided({"x": halved(VALUES), "weight": torch.arange(float(N))}, out)
    assert is_lazy(train)
    for key in ("x", "weight"):
        assert torch.equal(train[key][torch.arange(N - 3)], plain[0][key])
        assert torch.equal(held_out[key], plain[1][key])


def test_some_rows_are_different_ones_and_companions_stay_together():
    some = some_rows(lazy_rows(), 200, seed=1)
    assert len(set(some["weight"].tolist())) == 200
    assert torch.equal(numbers(some["x"]), some["weight"].long())
    assert not torch.equal(some["x"], some_rows(lazy_rows(), 200, seed=2)["x"])
    assert len(some_rows(lazy_rows(), seed=1)["x"]) == N  # the sample of a large table is not so large


def test_only_large_tables_are_lazy(monkeypatch):
    assert isinstance(lazily(VALUES, halved), torch.Tensor)
    assert isinstance(lazily(VALUES, halved, lazy=True), LazyRows)
    monkeypatch.setenv("REVERIE_LARGE", "100")
    assert isinstance(lazily(Dataset(VALUES).values, halved), LazyRows)


@pytest.mark.parametrize(
    ("n", "size", "batch"), [(1003, 2, 10), (1003, 2, 1003), (5, 1, 1), (50_000, 1, 64), (7, 900, 3)]
)
def test_an_epoch_shows_no_row_twice_and_few_are_left_out(n, size, batch):
    windows = Windows(n, size, batch, seed=0)
    seen, at, rows = [], -1, np.empty(0)
    for step in range(windows.steps_per_epoch):
        epoch, window, own = windows.place(step)
        assert epoch == 0
        if window != at:
            at, rows = window, windows.rows(epoch, window)
        assert len(rows[own]) == batch
        seen.append(rows[own])
    assert windows.place(windows.steps_per_epoch)[0] == 1
    seen = np.concatenate(seen)
    assert len(np.unique(seen)) == len(seen)
    assert 0 <= seen.min() <= seen.max() < n
    assert len(seen) > n - max(batch, 2 * windows.block, n // 4 if n < 100 else n // 50)


def test_windows_of_a_large_table_read_pages_not_rows():
    windows = Windows(10**10, 8, 256, seed=0)
    rows = np.sort(windows.rows(0, 3))
    assert (windows.block, windows.blocks, len(rows)) == (128, 1024, 1 << 17)
    assert (np.diff(rows) == 1).mean() > 0.99
    assert 1 - windows.steps_per_epoch * 256 / 10**10 < 1e-3
    assert not np.array_equal(np.sort(windows.rows(1, 3)), rows)


def test_batches_of_lazy_rows_are_a_function_of_the_step_alone():
    forward = Batches(lazy_rows(), batch_size=20, seed=3)
    straight = [forward.at(k) for k in range(120)]
    for k in (0, 49, 50, 119):
        again = Batches(lazy_rows(), batch_size=20, seed=3)
        batch = again.at(k)
        assert torch.equal(batch["x"], straight[k]["x"])
        assert torch.equal(again.index(k), numbers(batch["x"]))
        assert torch.equal(batch["weight"].long(), numbers(batch["x"]))
    assert not torch.equal(Batches(lazy_rows(), batch_size=20, seed=4).at(0)["x"], straight[0]["x"])
    alone = Batches(lazy_rows()["x"], batch_size=20, seed=3)
    assert torch.equal(alone.at(7), straight[7]["x"])
    epoch = torch.cat([numbers(batch["x"]) for batch in straight[: forward.steps_per_epoch]])
    assert len(set(epoch.tolist())) == len(epoch) > 0.95 * N
    assert set(torch.cat([numbers(batch["x"]) for batch in straight]).tolist()) >= set(range(0, N, 100))


def test_replicas_of_lazy_rows_have_orders_of_their_own_interleaved():
    batch = ReplicaBatches(lazy_rows(), batch_size=10, seeds=[5, 6, 7]).at(4)
    for r, seed in enumerate([5, 6, 7]):
        assert torch.equal(batch["x"][r::3], Batches(lazy_rows(), batch_size=10, seed=seed).at(4)["x"])


def test_a_bootstrap_sample_of_lazy_rows_is_one_sample_that_leaves_a_third_out():
    # Poisson(1): the share of rows that are never drawn is 1/e, its standard deviation 0.31 / sqrt(n); ALPHA 1e-4
    batches = Batches(lazy_rows(), batch_size=N, seed=0, resample=True)
    first, second = batches.at(0), batches.at(1)
    assert abs(len(first["weight"].unique()) / N - (1 - np.exp(-1))) < 3.9 * 0.31 / np.sqrt(N)
    assert torch.equal(first["weight"].sort().values, second["weight"].sort().values)
    assert not torch.equal(first["weight"], second["weight"])


def test_batches_of_a_sorted_file_are_as_mixed_as_a_shuffled_one():
    # the mean of 256 independent uniforms spreads by 1 / sqrt(12 * 256); twin: 256 neighbours by 1 / sqrt(12)
    n, batch = 400_000, 256
    x = np.arange(n, dtype=np.float64)[:, None] / n
    batches = Batches({"x": LazyRows(LazyTable(x), lambda v: torch.from_numpy(np.array(v)))}, batch_size=batch, seed=0)
    means = np.array([float(batches.at(k)["x"].mean()) for k in range(batches.steps_per_epoch)])
    expected = 1 / np.sqrt(12 * batch)
    assert 0.9 * expected < means.std() < 1.15 * expected  # 1,500 batches: 1.8 % error
    assert x[: n // batch * batch].reshape(-1, batch).mean(axis=1).std() > 10 * expected


@pytest.mark.parametrize("limit", ["100", "1e9"])
def test_events_are_held_out_at_random_and_alike_in_memory_or_not(limit, monkeypatch):
    monkeypatch.setenv("REVERIE_LARGE", limit)
    data = Dataset(VALUES, weights=np.arange(N) + 1.0)
    rest, held_out = data.hold_out(40, random_state=1)
    assert isinstance(rest.values, LazyTable) == (limit == "100")
    numbers = np.asarray(rest.values)[:, 0], np.asarray(held_out.values)[:, 0]
    assert sorted(np.concatenate(numbers).tolist()) == list(range(N))
    assert (np.diff(numbers[0]) > 0).all()
    assert (np.diff(numbers[1]) < 0).any()  # in random order
    for part, rows in zip((rest, held_out), numbers, strict=True):
        assert np.array_equal(part.weights, rows + 1)
    monkeypatch.setenv("REVERIE_LARGE", "1e9")
    assert np.array_equal(Dataset(VALUES).hold_out(40, random_state=1)[1].values, np.asarray(held_out.values))
    with pytest.raises(InputError, match="Expected 1 to 1002 events to hold out, got 1003"):
        data.hold_out(N)


def _resident_mib():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssFile")) / 1024


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are counted as Linux counts them")
def test_pages_of_a_file_are_given_back_when_they_have_been_read(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).standard_normal((1 << 19, 8)))  # 32 MiB
    monkeypatch.setattr(lazy, "_BLOCK", 1 << 17)
    monkeypatch.setenv("REVERIE_LARGE", "1e5")
    before = _resident_mib()
    data = read(path)
    check_trainable(data)
    data.fingerprint()
    rest, held_out = data.hold_out(1000, random_state=0)
    assert _resident_mib() - before < 8
    assert (len(rest), len(held_out)) == ((1 << 19) - 1000, 1000)
    plain = np.load(path, mmap_mode="r")  # twin
    before = _resident_mib()
    plain.sum()
    assert _resident_mib() - before > 24
