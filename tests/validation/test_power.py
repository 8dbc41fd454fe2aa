"""Planted faults and the power to find them."""

import math
from functools import partial

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from reverie.core.errors import InputError, UnknownNameError
from reverie.validation.classifiers.auc import auc_p_value, effective_sizes
from reverie.validation.power.events_needed import detectable_auc, events_for_auc
from reverie.validation.power.faults import (
    FAULTS,
    Fault,
    contaminate,
    copy_training,
    decorrelate,
    drop_mode,
    shift,
    shrink_tails,
)
from reverie.validation.power.study import classifier_p, power_study

ALPHA = 1e-4  # false-alarm rate of each statistical test in this file


def _correlated(n=2000, seed=0):
    r = np.random.default_rng(seed)
    a, b, c = r.normal(size=(3, n))
    return np.column_stack([a, 0.8 * a + 0.6 * b, np.exp(c)])


PLANTS = {name: fault.plant for name, fault in FAULTS.items()}
PLANTS["copies"] = partial(copy_training, training=_correlated(seed=9))


# laws of all faults


@pytest.mark.parametrize("name", list(PLANTS))
def test_a_fault_leaves_its_input_alone_and_repeats_with_its_seed(name):
    events = _correlated()
    before = events.copy()
    one, two = (PLANTS[name](events, 0.3, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(events, before)
    assert np.array_equal(one, two)
    assert one.shape[1:] == events.shape[1:]
    assert len(one) < len(events) if name == "lost mode" else len(one) == len(events)
    assert not np.array_equal(one, events[: len(one)])


@pytest.mark.parametrize("name", list(PLANTS))
def test_a_fault_of_no_strength_changes_nothing(name):
    events = _correlated(300)
    assert np.allclose(PLANTS[name](events, 0.0, np.random.default_rng(0)), events, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", [name for name in PLANTS if name != "copies"])
def test_faults_take_images(name):
    images = _correlated(120).reshape(40, 3, 3)
    assert PLANTS[name](images, 0.2, np.random.default_rng(0)).shape[1:] == (3, 3)


@pytest.mark.parametrize("name", [name for name in PLANTS if name != "shift"])
def test_strengths_that_are_no_shares_are_refused(name):
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        PLANTS[name](_correlated(50), 1.5, np.random.default_rng(0))


# known answers


def test_a_lost_mode_is_one_cluster():
    r = np.random.default_rng(0)
    centres = np.repeat([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]], 100, axis=0)
    events = centres + r.normal(size=centres.shape)
    kept = drop_mode(events, 0.6, np.random.default_rng(1), n_modes=3)
    assert len(kept) == 240
    counts = [int((np.abs(kept - centre).sum(1) < 10).sum()) for centre in ([0, 0], [20, 0], [0, 20])]
    assert sorted(counts) == [40, 100, 100]
    assert len(drop_mode(events, 1.0, np.random.default_rng(1), n_modes=3)) == 200


@pytest.mark.parametrize("kind", ["uniform", "shuffled"])
def test_contamination_replaces_the_stated_share(kind):
    events = _correlated()
    mixed = contaminate(events, 0.1, np.random.default_rng(0), kind=kind)
    changed = (mixed != events).any(1)
    assert changed.sum() == 200
    assert (mixed >= events.min(0)).all()
    assert (mixed <= events.max(0)).all()
    for j in range(3):
        assert set(mixed[:, j]) <= set(events[:, j]) or kind == "uniform"
    with pytest.raises(UnknownNameError, match="uniform"):
        contaminate(events, 0.1, np.random.default_rng(0), kind="unifrom")


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
def test_decorrelation_keeps_the_values_and_shrinks_correlations_as_stated(strength):
    events = _correlated(20_000)
    mixed = decorrelate(events, strength, np.random.default_rng(0))
    assert np.array_equal(np.sort(mixed, axis=0), np.sort(events, axis=0))
    rho = 0.8 * (1 - strength)
    # standard error of a correlation: (1 - rho^2)/sqrt(n), the noise adds less than as much again
    assert abs(np.corrcoef(mixed.T)[0, 1] - rho) < stats.norm.isf(ALPHA / 2) * math.sqrt(2 / 20_000)


def test_tails_shrink_and_the_rest_stays():
    events = np.linspace(-1, 1, 2001)[:, None]
    shrunk = shrink_tails(events, 0.5, np.random.default_rng(0))
    inside = np.abs(events[:, 0]) < 0.95
    assert np.array_equal(shrunk[inside], events[inside])
    assert shrunk.max() == pytest.approx(0.95 + 0.5 * 0.05)


def test_a_shift_is_in_units_of_the_spread():
    events = _correlated()
    moved = shift(events, 0.3, np.random.default_rng(0), feature=2)
    assert (moved - events).mean(0) == pytest.approx([0, 0, 0.3 * events[:, 2].std()])
    assert shift(events, 0.3, np.random.default_rng(0), feature=None)[0] == pytest.approx(
        events[0] + 0.3 * events.std(0)
    )


def test_copies_are_training_events_used_once():
    events, training = _correlated(), _correlated(400, seed=9)
    copied = copy_training(events, 0.1, np.random.default_rng(0), training=training)
    rows = {tuple(row) for row in training}
    assert sum(tuple(row) in rows for row in copied) == 200
    assert len(np.unique(copied, axis=0)) == 2000
    with pytest.raises(InputError, match="training events to copy"):
        copy_training(events, 0.5, np.random.default_rng(0), training=training)


# closed forms


def test_events_for_an_area():
    assert events_for_auc(0.6) == pytest.approx(103, abs=0.5)
    assert events_for_auc(0.51) == pytest.approx(10_300, abs=10)
    assert events_for_auc(0.502) == pytest.approx(2.6e5, rel=0.01)
    assert events_for_auc(0.51, power=0.5) == pytest.approx(0.451 / 0.01**2, rel=1e-3)
    assert 6 * 0.01**2 * events_for_auc(0.51) / 6 == pytest.approx(1.03, abs=1e-3)


@pytest.mark.parametrize(("n", "resolution"), [(1000, 0.021), (10_000, 0.0067), (100_000, 0.0021)])
def test_the_area_that_can_be_told(n, resolution):
    assert detectable_auc(n, n, power=0.5) - 0.5 == pytest.approx(resolution, rel=0.02)
    assert events_for_auc(detectable_auc(n, n)) == pytest.approx(n)


@pytest.mark.parametrize("auc", [0.5, 0.4, 1.1])
def test_impossible_areas_are_refused(auc):
    with pytest.raises(InputError, match="above 1/2"):
        events_for_auc(auc)


@pytest.mark.parametrize(("n", "m"), [(300, 300), pytest.param(1500, 150, marks=pytest.mark.slow)])
def test_the_area_that_can_be_told_is_rejected_in_four_of_five_runs_at_any_sizes(n, m):
    runs, limits = 200, stats.binom.ppf([ALPHA / 2, 1 - ALPHA / 2], 200, 0.8)

    def found(area):
        r, move = np.random.default_rng(0), math.sqrt(2) * stats.norm.ppf(area)
        return sum(auc_p_value(r.normal(size=n), r.normal(size=m) + move) <= 0.05 for _ in range(runs))

    assert limits[0] <= found(detectable_auc(n, m)) <= limits[1]
    if n != m:  # the twin: the mean of both sizes
        assert found(detectable_auc((n + m) / 2, (n + m) / 2)) < limits[0]


def test_effective_sizes_are_those_of_chains_and_weights():
    # AR(1), rho = 0.9: 2 tau = 19 for a linear function, 14 or so for ranks; 60 chains average the noise of 20 blocks
    def sizes(r):
        chains = (lfilter([math.sqrt(0.19)], [1, -0.9], r.normal(size=4000 + 200))[200:] for _ in range(2))
        return effective_sizes(*chains, block=200)

    r = np.random.default_rng(0)
    found = np.mean([sizes(r) for _ in range(60)])
    assert 4000 / 25 < found < 4000 / 14
    x, y = r.normal(size=(2, 4000))
    w = np.repeat([0.5, 1.5], 2000)  # (sum w)^2 / sum w^2 = 0.8 n, since the weights do not depend on the values
    assert effective_sizes(x, y) == (4000, 4000)
    assert effective_sizes(x, y, (w, None)) == (pytest.approx(3200, rel=0.05), pytest.approx(4000, rel=0.01))


@pytest.mark.slow
def test_the_area_that_can_be_told_from_chains_is_rejected_as_often_as_stated():
    # scores that are AR(1) chains, rho = 0.9, in 20 blocks of each class, which cost a little of the power
    n, block, runs = 4000, 200, 60

    def chain(r):
        return lfilter([math.sqrt(0.19)], [1, -0.9], r.normal(size=n + 200))[200:]

    def found(area):
        r, move = np.random.default_rng(1), math.sqrt(2) * stats.norm.ppf(area)
        options = {"block": block, "n_permutations": 99}
        return sum(auc_p_value(chain(r), chain(r) + move, **options, seed=i) <= 0.05 for i in range(runs))

    r = np.random.default_rng(0)
    sizes = np.mean([effective_sizes(chain(r), chain(r), block=block) for _ in range(20)], axis=0)
    assert stats.binom.ppf(ALPHA / 2, runs, 0.75) <= found(detectable_auc(*sizes)) <= runs
    assert found(detectable_auc(n, n)) < stats.binom.ppf(ALPHA / 2, runs, 0.75)  # the twin: rows as if independent


# the study


def _t_test(real, generated, seed):
    return float(stats.ttest_ind(real[:, 0], generated[:, 0]).pvalue)


def _study(sizes=(100,), strengths=(0.1, 0.2, 0.4, 0.8), n_repeats=80, test=_t_test):
    real = np.random.default_rng(0).normal(size=(20_000, 1))
    fault = Fault(shift, strengths, "a shift of {} sd")
    return power_study(real, sizes=sizes, test=test, faults={"shift": fault}, n_repeats=n_repeats, random_state=1)


def _power(strength, n):
    # of the two-sided test of two means
    delta = strength * math.sqrt(n / 2)
    return stats.norm.cdf(delta - 1.96) + stats.norm.cdf(-delta - 1.96)


def _off(result, n):
    outside = 0
    for point in result.points:
        low, high = stats.binom.ppf([ALPHA / 2, 1 - ALPHA / 2], point.n_repeats, _power(point.strength, n))
        outside += not low <= point.power.value * point.n_repeats <= high
    return outside


@pytest.mark.slow  # one power: test_a_blind_test_is_told_to_be_blind and the classifier's below
def test_powers_are_those_of_the_textbook():
    result = _study()
    assert _off(result, 100) == 0
    # twin: the powers of half as many events
    assert _off(result, 50) > 0
    low, high = stats.binom.ppf([ALPHA / 2, 1 - ALPHA / 2], 80, 0.05)
    assert low <= result.sizes[0].power.value * 80 <= high


@pytest.mark.slow  # quick: the area that can be told
def test_the_smallest_shift_is_that_of_the_textbook_and_told():
    result = _study(sizes=(100, 400))
    for n in (100, 400):
        found = result.smallest("shift", n)
        exact = (1.96 + 0.8416) * math.sqrt(2 / n)
        assert found.low < exact < found.high
        assert found.strength == pytest.approx(exact, rel=0.15)
        assert not found.at_most
    assert f"At 400 events a shift of {found.strength:.2g} sd is found" in result.sentence("shift", 400)
    assert "is found with 80% power" in str(result)


def test_strengths_stop_rising_once_they_are_found():
    result = _study(strengths=(0.8, 1.6, 3.2), n_repeats=40)
    assert len(result.points) == 1
    assert result.smallest("shift", 100).at_most
    assert "0.8 sd or less" in result.sentence("shift", 100)


def test_a_blind_test_is_told_to_be_blind():
    result = _study(n_repeats=20, test=lambda real, generated, seed: 1.0)
    assert result.smallest("shift", 100).strength == math.inf
    assert "even a shift of 0.8 sd is found with less than 80% power" in str(result)


def test_the_same_seed_gives_the_same_study():
    assert _study(n_repeats=5).points == _study(n_repeats=5).points


def test_the_default_test_is_the_classifier():
    real = _correlated(600)
    fault = {"shift": Fault(shift, (2.0,), "{}")}
    result = power_study(real, sizes=[200], faults=fault, n_repeats=2, random_state=0)
    assert result.points[0].power.value == 1
    assert 0 <= classifier_p(real[:200], real[200:400], 0) <= 1


def test_too_few_events_and_unknown_faults_are_told():
    with pytest.raises(InputError, match="at least 2000 real events"):
        power_study(_correlated(1000), sizes=[1000])
    with pytest.raises(InputError, match="of this study"):
        _study(n_repeats=2).smallest("tails", 100)
