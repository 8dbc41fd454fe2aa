"""Samples in: every container, the roles, the common scale, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import reverie
from reverie import validate
from reverie.core.errors import InputError, UnknownNameError
from reverie.data import Dataset
from reverie.validation.inputs.samples import gather_samples, read_sample


def _table(n, seed=0, d=3):
    return np.random.default_rng(seed).normal(size=(n, d)) * [1, 10, 0.1][:d] + [0, 100, -1][:d]


def _weighted(n, weights, seed=0):
    return SimpleNamespace(values=_table(n, seed), names=["a", "b", "c"], weights=weights)


def _gather(real, generated, calibration=None, *, names=None, seed=0, max_samples=1000):
    return gather_samples(real, generated, calibration, names=names, seed=seed, max_samples=max_samples)


def test_every_container_gives_the_same_numbers():
    x = _table(5)
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    data_set = SimpleNamespace(values=x, names=["a", "b", "c"], weights=None)
    for sample in (x, torch.from_numpy(x), x.tolist(), frame, data_set):
        np.testing.assert_array_equal(read_sample(sample, "real").values, x)
    assert read_sample(frame, "real").names == read_sample(data_set, "real").names == ("a", "b", "c")


def test_images_are_flattened_and_their_pixels_named():
    images = np.random.default_rng(0).normal(size=(40, 2, 3))
    one_column = SimpleNamespace(values=images, names=["pixel"], weights=None)
    samples = _gather(one_column, torch.from_numpy(images), images)
    assert samples.reference.values.shape == (40, 6)
    assert samples.names[:4] == ("pixel[0,0]", "pixel[0,1]", "pixel[0,2]", "pixel[1,0]")
    assert len(set(samples.scale)) == 1


def test_columns_are_matched_by_name():
    real = pd.DataFrame(_table(40), columns=["a", "b", "c"])
    samples = _gather(real, real[["c", "a", "b"]], real)
    np.testing.assert_array_equal(samples.generated.values, samples.reference.values)


def test_without_calibration_real_is_halved_and_all_sizes_are_equal():
    real = _table(101)
    samples = _gather(real, _table(300, 1))
    assert samples.reference.values.shape[0] == 51
    assert len(samples.generated.values) == len(samples.calibration.values) == 50
    both = np.concatenate([samples.reference.values, samples.calibration.values])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(real, axis=0))
    assert any("halves" in warning for warning in samples.warnings)
    assert samples.sizes["given_generated"] == 300


def test_cuts_are_drawn_at_random_by_seed_and_stated():
    real, fake = _table(200), np.random.default_rng(3).permutation(np.arange(600.0).reshape(200, 3))
    first, again, other = (_gather(real, fake, _table(200, 2), seed=s, max_samples=30) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.generated.values, again.generated.values)
    assert not np.array_equal(first.generated.values, other.generated.values)
    assert first.generated.values.max() > 300  # not simply the first rows
    assert sum("max_samples" in warning for warning in first.warnings) == 3


def test_the_scale_is_real_and_the_same_for_all():
    real, other = _table(500), _table(500, 1)
    wide = _gather(real, 5 * _table(500, 2), other)
    same = _gather(real, _table(500, 2), other)
    np.testing.assert_array_equal(wide.scale, same.scale)
    np.testing.assert_allclose(same.scale, [1, 10, 0.1], rtol=0.2)
    assert wide.scaled(wide.generated.values)[:, 0].std() > 4


def test_a_feature_of_mostly_one_value_keeps_a_positive_scale():
    x = np.zeros((100, 2))
    x[:5, 0] = 3.0
    samples = _gather(x, x, x)
    assert (samples.scale > 0).all()


def test_single_and_double_precision_of_one_number_are_equal():
    levels = np.random.default_rng(0).integers(0, 5, (60, 1)) / 10
    samples = _gather(levels, levels.astype(np.float32), levels)
    assert set(np.unique(samples.generated.values)) == set(np.unique(samples.reference.values))


BAD = {
    "other features": (lambda: _gather(_table(50), _table(50)[:, :2]), "3 features of real, got 2"),
    "NaN": (
        lambda: _gather(pd.DataFrame(_table(50), columns=["a", "b", "c"]), np.where(_table(50) > 101, np.nan, 1.0)),
        "finite numbers in generated.*x1",
    ),
    "named NaN": (lambda: _gather(np.full((50, 2), np.nan), _table(50)[:, :2], names=("pt", "eta")), "pt: 50, eta: 50"),
    "few rows": (lambda: _gather(_table(30), _table(50)), "half of what was given"),
    "few generated": (lambda: _gather(_table(60), _table(5), _table(60)), "20 generated samples"),
    "text": (lambda: _gather(_table(50), np.array([["a", "b", "c"]] * 50)), "numbers in generated"),
    "one axis": (lambda: _gather(np.arange(50.0), _table(50)), "2D array"),
    "wrong names": (lambda: _gather(_table(50), _table(50), names=("a",)), "one name per feature"),
    "max_samples": (lambda: _gather(_table(50), _table(50), max_samples=0), "max_samples"),
    "weights of another length": (lambda: _gather(_weighted(50, np.ones(40)), _table(50)), "one weight per event"),
    "weights that cancel": (lambda: _gather(_weighted(50, np.repeat([1.0, -1.0], 25)), _table(50)), "positive sum"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_what_to_do(case):
    call, message = BAD[case]
    with pytest.raises(InputError, match=message):
        call()


def test_an_unknown_column_is_answered_with_the_nearest_name():
    real = pd.DataFrame(_table(50), columns=["pt1", "eta1", "phi1"])
    with pytest.raises(UnknownNameError, match="Did you mean 'eta1'"):
        _gather(real, real.rename(columns={"eta1": "eta_1"}))


def test_equal_weights_are_no_weights():
    assert read_sample(_weighted(50, np.full(50, 3.0)), "real").weights is None
    assert not _gather(_weighted(50, np.ones(50)), _table(50), _table(50)).is_weighted


def test_weights_stay_with_their_events_and_samples_are_cut_to_one_size():
    weights = np.random.default_rng(3).permutation(np.arange(1.0, 101.0))
    real = _weighted(100, weights)
    real.values[:, 0] = weights
    samples = _gather(real, _table(60, 1), _table(80, 2))
    assert samples.is_weighted
    assert {len(s.values) for s in (samples.reference, samples.generated, samples.calibration)} == {60}
    np.testing.assert_array_equal(samples.reference.weights, samples.reference.values[:, 0])
    np.testing.assert_array_equal(samples.generated.weights, np.ones(60))


def test_rows_of_a_chain_keep_their_order():
    noise = np.random.default_rng(0).normal(size=(3000, 2))
    chain = np.empty_like(noise)
    chain[0] = noise[0]
    for t in range(1, len(chain)):
        chain[t] = 0.8 * chain[t - 1] + 0.6 * noise[t]
    samples = _gather(chain, chain[::-1], max_samples=900)
    block, step = samples.chains.block, samples.chains.block + samples.chains.gap
    assert block > 30
    assert samples.chains.gap == np.floor(0.2 * block)
    for sample, start in ((samples.calibration, 0), (samples.reference, 1500)):
        assert len(sample.values) % block == 0
        np.testing.assert_array_equal(sample.values[:block], chain[start : start + block])
        np.testing.assert_array_equal(sample.values[block : 2 * block], chain[start + step : start + step + block])
    assert any("first and its second half" in warning for warning in samples.warnings)


def test_jackknife_groups_of_a_sorted_table_are_drawn_at_random():
    # the error of a mean is sd / sqrt(n) in any order of independent rows
    rows = np.sort(np.random.default_rng(0).normal(size=(800, 1)), axis=0)
    options = {"n_permutations": 9, "classifiers": (), "calibrate": False, "random_state": 0, "correlated": "ignore"}
    found = reverie.validate(rows[::2], rows[1::2], calibration=rows, observables=lambda x: x[:, 0], **options)
    assert found.observables[0].real_error[0] == pytest.approx(1 / np.sqrt(400), rel=0.5)


def test_events_that_stand_twice_are_taken_once_and_it_is_said():
    real, generated = (np.repeat(_table(150, seed), 2, axis=0) for seed in (0, 1))
    r = np.random.default_rng(0)
    real, generated = real[r.permutation(300)], generated[r.permutation(300)]
    samples = gather_samples(real, generated, None, names=None, seed=0, max_samples=300)
    roles = samples.reference, samples.generated, samples.calibration
    assert [len(sample.values) for sample in roles] == [75, 75, 75]
    assert not samples.is_weighted
    assert "100 % of the real events equal another real one, too evenly for chance" in samples.warnings[0]
    pooled = np.concatenate([sample.values for sample in roles])
    assert len(np.unique(pooled, axis=0)) == len(pooled)


def test_events_that_stand_once_or_twice_are_weighted():
    real = _table(400, 0)
    real = np.concatenate([real, real[:300]])
    samples = gather_samples(real, _table(400, 1), real + 1, names=None, seed=0, max_samples=400)
    assert set(samples.calibration.weights) == {1.0, 2.0}
    assert (samples.generated.weights == 1).all()


def test_repeats_that_chance_makes_are_left_alone():
    r = np.random.default_rng(0)
    discrete = [np.floor(r.exponential(30, (600, 1))) for _ in range(2)]
    assert len(gather_samples(*discrete, None, names=None, seed=0, max_samples=600).generated.values) == 300
    table = np.repeat(_table(300), 2, axis=0)[r.permutation(600)]  # its halves share their events
    samples = gather_samples(table[:300], table[300:], None, names=None, seed=0, max_samples=600)
    assert len(samples.generated.values) == 150
    assert not any("stand" in note for note in samples.warnings)
    drawn = [_table(200, k)[r.integers(0, 200, 300)] for k in range(2)]  # as uneven as chance, but not shared
    assert "leave them out" in gather_samples(*drawn, None, names=None, seed=0, max_samples=300).warnings[0]


def test_events_that_negative_weights_leave_worth_next_to_nothing_are_refused():
    x, w = np.random.default_rng(0).normal(size=(300, 2)), np.ones(300)
    w[:140] = -1.0  # (160 - 140)^2 / 300 = 1.3
    weighted = Dataset(x, weights=w)
    with pytest.raises(InputError, match=r"worth at least 20 equal ones, got 1\.33"):
        validate(weighted, weighted, calibration=weighted, correlated="ignore")
