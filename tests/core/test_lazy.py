"""Tables that are read a block at a time give the rows that an array would, and orders without memory are orders."""

import pickle

import numpy as np
import pytest
from scipy.stats import chi2

from reverie.core import lazy
from reverie.core.checks import check_finite
from reverie.core.errors import InputError
from reverie.core.lazy import LazyTable, Summary, is_large, row_blocks, sample_rows, sample_size
from reverie.core.shuffle import hashed, shuffled

ALPHA = 1e-4
VALUES = np.random.default_rng(0).standard_normal((101, 5)).astype(np.float32)


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


@pytest.fixture
def pairs(mapped, monkeypatch):
    """Lazy tables, each beside the array that it stands for; blocks are small, so that there are several."""
    monkeypatch.setattr(lazy, "_BLOCK", 70)
    monkeypatch.setattr(lazy, "_SCATTERED", 7)
    out = np.array([0, 1, 40, 41, 60, 100])
    some = LazyTable(mapped).without(out)
    return {
        "whole": (LazyTable(mapped), VALUES),
        "columns": (LazyTable(mapped).select([3, 1]), VALUES[:, [3, 1]]),
        "without": (some, np.delete(VALUES, out, axis=0)),
        "without twice": (some.without([0, 3, 94]), np.delete(np.delete(VALUES, out, axis=0), [0, 3, 94], axis=0)),
        "both": (some.select([4, 0, 2]).select([2, 0]), np.delete(VALUES, out, axis=0)[:, [2, 4]]),
    }


def test_a_lazy_table_is_indexed_like_an_array(pairs):
    for table, array in pairs.values():
        n = len(array)
        assert table.shape == array.shape
        assert len(table) == n
        assert table.dtype == array.dtype
        keys = [0, -1, slice(None), slice(3, 50), slice(50, 3), slice(2, 90, 7), slice(-9, None), [5, 2, 2, -1]]
        for key in [*keys, np.arange(n) % 3 == 0, np.arange(6).reshape(2, 3), (slice(None), 1), (slice(None), [1, 0])]:
            assert np.array_equal(table[key], array[key])
        assert np.array_equal(np.asarray(table), array)
        assert np.array_equal(np.concatenate(list(row_blocks(table))), array)
        assert np.array_equal(table - 1, array - 1)
        assert np.array_equal(2 * table, 2 * array)
        assert np.array_equal(table.T, array.T)
        assert table.astype(float).dtype == np.float64
        assert np.array_equal(pickle.loads(pickle.dumps(table)), array)  # noqa: S301 - our own
    with pytest.raises(IndexError):
        table[[n]]
    with pytest.raises(AttributeError):
        _ = table.columns  # what arrays do not have must not read the file


def test_a_summary_counts_what_is_missing_and_finds_the_extremes(pairs):
    for table, array in pairs.values():
        assert np.array_equal(table.summary.low, array.min(axis=0))
        assert np.array_equal(table.summary.high, array.max(axis=0))
        assert not table.summary.has_missing
    holes = VALUES.copy()
    holes[3, 1], holes[50, 1], holes[99, 2], holes[:, 4] = np.nan, np.inf, -np.inf, np.nan
    found = Summary.of(holes)
    assert found.n_nan.tolist() == [0, 1, 0, 0, 101]
    assert found.n_infinite.tolist() == [0, 1, 1, 0, 0]
    assert found.high[1] == np.nanmax(np.delete(VALUES[:, 1], [3, 50]))
    assert np.isnan(found.low[4])
    with pytest.raises(InputError, match="102 NaN and 2 inf .column b: 2, c: 1, e: 101"):
        check_finite(LazyTable(holes), list("abcde"))
    assert not LazyTable(holes).select([1]).without([3, 50]).summary.has_missing
    images = np.arange(24).reshape(2, 3, 4)
    assert (Summary.of(images).low.tolist(), Summary.of(images).high.tolist()) == ([0], [23])


def test_what_is_written_to_a_copy_on_write_map_is_not_lost(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    private = np.load(tmp_path / "x.npy", mmap_mode="c")
    private[7] = 99.0
    assert sum(len(block) for block in row_blocks(private)) == 101
    assert (LazyTable(private)[[7]] == 99.0).all()
    assert (private[7] == 99.0).all()


def test_a_table_is_large_beyond_a_limit_that_can_be_set(monkeypatch):
    assert not is_large(VALUES)
    assert is_large(LazyTable(VALUES))
    assert is_large(np.broadcast_to(0.0, (lazy.LARGE + 1, 1)))
    assert not is_large(np.broadcast_to(0.0, (lazy.LARGE, 1)))
    monkeypatch.setenv("REVERIE_LARGE", "5e2")
    assert is_large(VALUES)
    assert not is_large(VALUES[:100])
    monkeypatch.setenv("REVERIE_LARGE", "much")
    with pytest.raises(InputError, match="REVERIE_LARGE, got 'much'"):
        is_large(VALUES)


def test_samples_of_a_table_are_different_rows_in_order():
    rows = sample_rows(10**12, 1000, 5)
    assert len(np.unique(rows)) == 1000
    assert (np.diff(rows) > 0).all()
    assert 0 <= rows[0]
    assert rows[-1] < 10**12
    assert sample_rows(7, 100, 5).tolist() == list(range(7))
    assert (sample_size(10**9, (8,)), sample_size(10**9, (28, 28)), sample_size(50, (8,))) == (1 << 18, 21399, 50)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 16, 17, 1000, 4097])
def test_an_order_without_memory_is_a_permutation(n):
    order = shuffled(np.arange(n), n, 3)
    assert sorted(order.tolist()) == list(range(n))
    assert np.array_equal(shuffled(np.arange(n)[::-1], n, 3), order[::-1])
    if n > 10:
        assert not np.array_equal(order, shuffled(np.arange(n), n, 4))


def _pair_chi2(order, cells):
    """Chi-square of (place, number) pairs over cells x cells: whether an order remembers where its numbers stood."""
    n = len(order)
    table = np.histogram2d(np.arange(n), order, bins=cells)[0]
    expected = n / cells**2
    return ((table - expected) ** 2 / expected).sum()


def test_an_order_without_memory_looks_random():
    # false alarms: 20 seeds, two tests each, ALPHA in all; a shift (twin) fails
    limit = chi2.isf(ALPHA / 40, 15**2)
    n, index = 20_000, np.arange(20_000)
    for seed in range(20):
        order = shuffled(index, n, seed)
        assert _pair_chi2(order, 16) < limit
        steps = np.sort(np.diff(order) % n)  # uniform on 1 ... n - 1
        assert np.abs(steps / n - np.arange(1, n) / n).max() < np.sqrt(np.log(2 * 40 / ALPHA) / 2 / n)
    assert _pair_chi2((index + 777) % n, 16) > limit


def test_hashes_differ_by_seed_and_fill_all_bits():
    a, b = hashed(np.arange(10_000), 1), hashed(np.arange(10_000), 2)
    assert len(np.unique(np.concatenate([a, b]))) == 20_000
    shares = [float(((a >> np.uint64(k)) & np.uint64(1)).mean()) for k in range(64)]
    assert max(abs(s - 0.5) for s in shares) < 0.5 * 5.2 / 100  # 64 normal deviates: ALPHA / 64 is 5.0 sigma
