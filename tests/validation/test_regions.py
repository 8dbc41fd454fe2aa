"""Calibrated weights and the regions where a generated sample is wrong."""

import math

import numpy as np
import pytest
from scipy import stats

from reverie.core.errors import InputError
from reverie.core.statistics import mean_and_error
from reverie.validation.classifiers.likelihood_ratios import calibrated_weights, share_of
from reverie.validation.classifiers.regions import Condition, worst_regions
from reverie.validation.classifiers.training import Events, train_classifier

ALPHA = 1e-4  # false-alarm rate of each statistical test in this file
Z = stats.norm.isf(ALPHA / 2)


def _normals(n, shift, seed=0, d=2):
    r = np.random.default_rng(seed)
    x, y = r.normal(size=(2, n, d))
    y[:, 0] += shift
    return x, y


def test_weights_of_two_normal_laws():
    # p/q = exp(s^2/2 - s x) for N(0, 1) against N(s, 1); D_JS = .1114214822 for s = 1, section 5.1
    x, y = _normals(1500, 1.0, d=1)
    w = calibrated_weights(x, y, names=["a"], seed=0, learner="mlp")
    truth = 0.5 - y[w.rows_generated, 0]
    assert np.sqrt(np.mean((w.log_weights_generated - truth) ** 2)) < 0.35
    assert np.corrcoef(w.log_weights_generated, truth)[0, 1] > 0.95
    assert abs(w.mean_weight.value - 1) < Z * w.mean_weight.error
    assert w.closure[0].pull_before > 15
    assert abs(w.closure[0].pull) < Z
    # a lower bound, and not a bad one
    assert 0.09 < w.divergence.value < 0.1114214822 + Z * w.divergence.error
    # w > 2 where x < 1/2 - log 2
    assert abs(w.too_few.value - stats.norm.cdf(0.5 - math.log(2))) < 0.1
    assert abs(w.too_many.value - stats.norm.sf(0.5 + math.log(2), loc=1)) < 0.1
    assert w.real.sum() == pytest.approx(1)
    assert "w < 1/2" in str(w)


def test_equal_laws_have_weights_of_one_and_no_divergence():
    x, y = _normals(800, 0.0)
    w = calibrated_weights(x, y, names=["a", "b"], seed=0)
    assert abs(w.mean_weight.value - 1) < Z * w.mean_weight.error
    assert w.divergence.value < Z * w.divergence.error
    assert abs(w.worst_closure.pull) < stats.norm.isf(ALPHA / 4)
    assert w.too_many.high < 0.05


def test_uncalibrated_log_odds_do_not_close():
    # the twin: log-odds of boosted trees as they are, which believe too much
    x, y = _normals(600, 0.0)
    trained = train_classifier("boosting", Events(x[:300]), Events(y[:300]), names=["a", "b"], seed=0)
    mean, error = mean_and_error(np.exp(-trained.scores(y[300:])))
    assert abs(mean - 1) > Z * error


@pytest.mark.slow  # quick: shares with weights and blocks
def test_event_weights_enter_every_number():
    # y of law N(1, 1), weighted back to N(0, 1): no difference is left
    x, y = _normals(800, 1.0, d=1)
    back = np.exp(0.5 - y[:, 0])
    w = calibrated_weights(x, y, names=["a"], seed=0, weights=(None, back))
    assert w.divergence.value < Z * w.divergence.error
    assert abs(w.closure[0].pull_before) < Z
    with pytest.raises(InputError, match="weights >= 0"):
        calibrated_weights(x, y, names=["a"], seed=0, weights=(None, -back))


def test_shares_with_weights_and_blocks():
    inside = np.arange(400) % 4 == 0
    plain = share_of(inside)
    same = share_of(inside, np.full(400, 3.0))
    assert (same.value, same.low, same.high) == pytest.approx((plain.value, plain.low, plain.high))
    runs = np.arange(400) // 20 % 4 == 0  # blocks of 20 rows move together: 20 events, not 400
    alone, together = share_of(runs), share_of(runs, block=20)
    few = share_of(np.arange(20) % 4 == 0)
    assert (together.low, together.high) == pytest.approx((few.low, few.high))
    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert share_of(np.zeros(50, dtype=bool), np.ones(50)).high == pytest.approx(1 - 0.025 ** (1 / 50))


def _planted(n=4000, seed=0):
    # one event in ten of the real sample lies in a box; of the generated one, half of these are moved out
    r = np.random.default_rng(seed)
    real, generated = (np.column_stack([r.uniform(60, 120, n), r.uniform(0, 50, n), r.integers(0, 2, n)]) for _ in "ab")
    box = (generated[:, 0] > 80) & (generated[:, 0] < 90) & (generated[:, 1] > 20)
    gone = box & (r.random(n) < 0.5)
    generated[gone, 0] = r.uniform(90, 120, gone.sum())
    values = np.concatenate([real, generated])
    labels = np.repeat([1, 0], n)
    inside = (values[:, 0] > 80) & (values[:, 0] < 90) & (values[:, 1] > 20)
    return values, np.where(inside, math.log(2), -0.1), labels


def test_a_planted_hole_is_found_with_its_shares_and_told():
    values, log_weights, labels = _planted()
    region = worst_regions(values, ["M", "pt", "charge"], log_weights, labels)[0]
    assert {c.feature for c in region.conditions} == {"M", "pt"}
    m = next(c for c in region.conditions if c.feature == "M")
    assert m.low == pytest.approx(80, abs=1)
    assert m.high == pytest.approx(90, abs=1)
    for share, truth in ((region.share_real, 0.1), (region.share_generated, 0.05)):
        assert abs(share - truth) < 0.01 + Z * math.sqrt(truth * (1 - truth) / 2000)
    assert region.z < 0
    assert " of generated but " in str(region)
    assert "M between " in str(region)
    # the sentence is true to the letter: counting with the printed limits gives the counted numbers
    low, high = (float(word) for word in str(m).removeprefix("M between ").split(" and "))
    assert (low, high) == (m.low, m.high)


def test_discrete_features_are_told_by_their_levels():
    r = np.random.default_rng(0)
    charge = np.concatenate([r.choice([-1, 1], 1000), r.choice([-1, 1], 1000, p=[0.8, 0.2])]).astype(float)
    values = np.column_stack([charge, r.normal(size=2000)])
    labels = np.repeat([1, 0], 1000)
    found = worst_regions(values, ["Q", "x"], -charge, labels)
    assert {str(region.conditions[0]) for region in found} == {"Q = -1", "Q = 1"}
    assert all(region.p_adjusted <= 0.05 for region in found)


def test_conditions_in_words():
    assert str(Condition("M", 88.2, 93.1)) == "M between 88.2 and 93.1"
    assert str(Condition("pt", 24.0, None)) == "pt above 24"
    assert str(Condition("pt", None, 0.0)) == "pt up to 0"
    assert str(Condition("n", 0.5, 2.5, ("1", "2"))) == "n = 1 or 2"


def _false_regions(runs, copies=1):
    found = 0
    for i in range(runs):
        r = np.random.default_rng(i)
        values, labels = r.normal(size=(600, 3)), np.repeat([1, 0], 300)
        log_weights = labels + 0.1 * r.normal(size=600)
        rows = np.tile(np.arange(600), copies)
        found += bool(worst_regions(values[rows], "abc", log_weights[rows], labels[rows], seed=i))
    return found


@pytest.mark.slow  # size over 100 samples
def test_regions_of_equal_laws_are_rarely_found_even_by_log_weights_that_know_the_labels():
    assert _false_regions(100) <= stats.binom.isf(ALPHA, 100, 0.05)


def test_counting_on_the_events_of_the_fit_would_find_them():
    # events that stand in the table ten times are in both halves
    assert _false_regions(30, copies=10) > stats.binom.isf(ALPHA, 30, 0.05)


def test_weights_of_events_scale_nothing_but_their_shares():
    values, log_weights, labels = _planted(1000)
    plain = worst_regions(values, "abc", log_weights, labels)
    scaled = worst_regions(values, "abc", log_weights, labels, weights=np.full(2000, 5.0))
    assert [r.z for r in plain] == pytest.approx([r.z for r in scaled])


def test_wrong_input_is_told():
    values, log_weights, labels = _planted(200)
    for arguments, message in (
        ((values, "ab", log_weights, labels), "one column per name"),
        ((values, "abc", log_weights[1:], labels), "log_weights"),
        ((values, "abc", log_weights, np.ones(400)), "real and"),
    ):
        with pytest.raises(InputError, match=message):
            worst_regions(*arguments)


@pytest.mark.slow
def test_the_whole_chain_from_classifier_to_regions_keeps_its_level():
    found = 0
    for i in range(100):
        x, y = _normals(600, 0.0, seed=i, d=3)
        w = calibrated_weights(x, y, names="abc", seed=i)
        values = np.concatenate([x[w.rows_real], y[w.rows_generated]])
        log_weights = np.concatenate([w.log_weights_real, w.log_weights_generated])
        labels = np.repeat([1, 0], [len(w.rows_real), len(w.rows_generated)])
        found += bool(worst_regions(values, "abc", log_weights, labels, seed=i))
    assert found <= stats.binom.isf(ALPHA, 100, 0.05)
