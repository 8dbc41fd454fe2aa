"""How many events show a difference: closed forms, intervals that cover, and a verdict that does not contradict itself.

Statistical tests have a false-alarm rate of 1e-4.
"""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.validation import ValidationResult, validate
from reverie.validation.comparison import Column
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.power.biases import biases
from reverie.validation.power.events_needed import events_for_auc, events_needed, smallest_need
from reverie.validation.statistics.moments import column_distances, hotelling_columns

ALPHA = 1e-4
OPTIMUM = 2 * (stats.norm.isf(0.05) + stats.norm.ppf(0.8)) ** 2  # N of the likelihood-ratio test, times shift^2


def _relabel(n, m, n_permutations=0, **settings):
    return relabellings(n, m, n_permutations, torch.Generator().manual_seed(0), **settings)


def _needs(values, name, n=1000, **more):
    column = Column(name, None, values, float(values[0]), 0.0, 0.0, more.pop("error", math.nan), **more)
    return events_needed({name: [column]}, (), (), {}, _relabel(n, n), seen=True)[0]


@pytest.mark.parametrize("dof", [1, 5, 50])
@pytest.mark.parametrize("name", ["energy distance", "KS"])
def test_a_quadratic_test_needs_what_the_noncentral_chi_squared_says(dof, name):
    chance = stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, dof)
    values = np.concatenate([[dof + 100.0], chance])  # a noncentrality of 100 at 1,000 events
    found = _needs(np.sqrt(values) if name == "KS" else values, name).events  # a distance is squared first
    assert stats.ncx2.sf(stats.chi2.isf(0.05, dof), dof, found / 10) == pytest.approx(0.8, abs=0.02)


def test_a_linear_test_needs_what_the_normal_law_says():
    chance = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    found = _needs(np.concatenate([[5.0], chance]), "kNN labels").events
    assert stats.norm.sf(stats.norm.isf(0.05) - 5 * math.sqrt(found / 1000)) == pytest.approx(0.8, abs=0.002)


@pytest.mark.parametrize("chance", [np.full(99, 0.2), 0.2 + 1e-17 * np.arange(99), 1e-91 * np.arange(99)])
def test_a_statistic_that_all_relabellings_give_alike_says_nothing(chance):  # the last by its underflowing squares
    column = Column("KS", None, np.append(0.3, chance), 0.3, 0.0, 0.0, math.nan)
    assert not events_needed({"KS": [column]}, (), (), {}, _relabel(1000, 1000), seen=True)


def _of_columns(shift, n, seed, *, seen=True, d=3):
    x, y = np.random.default_rng(seed).normal(size=(2, n, d))
    y[:, 0] += shift
    relabel = _relabel(n, n)
    pooled = torch.from_numpy(np.concatenate([x, y]))
    columns = {f"x{j}": one for j, one in enumerate(column_distances(pooled, relabel))}
    return smallest_need(events_needed({}, (), (), columns, relabel, seen=seen))


@pytest.mark.slow  # coverage; one number: test_a_quadratic_test_needs_what_the_noncentral_chi_squared_says
def test_the_interval_holds_the_smallest_n_of_all_tests():
    runs, truth = 100, OPTIMUM / 0.3**2
    found = [_of_columns(0.3, 400, seed) for seed in range(runs)]
    missed = sum(not one.low <= truth <= (one.high or math.inf) for one in found)
    assert missed <= stats.binom.ppf(1 - ALPHA, runs, 0.05)
    assert np.median([one.events or math.inf for one in found]) == pytest.approx(truth, rel=0.2)


def test_noise_is_not_read_as_signal():
    # the mean of D^2 - dof u over the runs is that of the laws, the squared shift; dof u alone is 0.01
    runs, n, shift = 200, 400, 0.1
    x, y = np.random.default_rng(0).normal(size=(2, runs, n, 1))
    relabel = _relabel(n, n)
    pairs = (torch.from_numpy(np.concatenate([a, b + shift])) for a, b in zip(x, y, strict=True))
    found = np.array([column_distances(z, relabel)[0][0] for z in pairs])
    error = found.std() / math.sqrt(runs)
    assert abs((found - 2 * relabel.unit).mean() - shift**2) < stats.norm.isf(ALPHA / 2) * error
    assert abs(found.mean() - shift**2) > stats.norm.isf(ALPHA / 2) * error  # the twin


@pytest.mark.slow  # coverage
def test_the_limit_is_below_the_smallest_n_of_all_tests():
    runs, truth = 100, OPTIMUM / 0.15**2
    limits = np.array([_of_columns(0.15, 400, seed, seen=False).low for seed in range(runs)])
    assert (limits > truth).sum() <= stats.binom.ppf(1 - ALPHA, runs, 0.05)
    assert np.median(limits) > truth / 10  # a promise, though not an empty one


def test_events_of_a_chain_and_of_weights_are_independent_ones():
    # every row three times: 3 n rows in blocks of three are n events
    n, r = 400, np.random.default_rng(0)
    x, y = r.normal(size=(2, n, 2))
    y[:, 0] += 0.4
    z = torch.from_numpy(np.concatenate([x, y]))
    thrice = z.repeat_interleave(3, 0)
    found = {}
    for name, rows, relabel in (
        ("plain", z, _relabel(n, n, 199)),
        ("blocks", thrice, _relabel(3 * n, 3 * n, 199, block=3)),
        ("weights", z, _relabel(n, n, 199, weights=torch.ones(2 * n).double())),
    ):
        columns = [
            Column("Hotelling T²", None, one.values, one.value, 0, 0, one.error, detail=words, extra=dof)
            for words, one, dof in hotelling_columns(rows, relabel)
        ]
        found[name] = smallest_need(events_needed({"Hotelling T²": columns}, (), (), {}, relabel, seen=True))
    assert found["blocks"].events == pytest.approx(found["plain"].events, rel=0.1)
    assert found["blocks"].high == pytest.approx(found["plain"].high, rel=0.25)
    assert found["weights"].events == pytest.approx(found["plain"].events, rel=0.02)


# biases


def _biases(x, y, *, seen=True):
    comparison = SimpleNamespace(
        single=torch.from_numpy(np.concatenate([x, y])), observables={}, relabel=_relabel(len(x), len(y))
    )
    names = [f"x{j}" for j in range(x.shape[1])]
    comparisons = SimpleNamespace(single_names=names, generated=comparison, labels={})
    return {(one.column, one.quantity): one for one in biases(comparisons, seen=seen)}


def test_the_width_of_two_values_is_left_out():
    """Of a bit that is as often -1 as 1 the width has no error, and no difference would be small beside it."""
    x, y = np.tile([-1.0, 1.0], (2, 500)).reshape(2, 1000, 1)
    y[:20] = 1
    found = _biases(x, y)
    assert [quantity for _, quantity in found] == ["mean"]
    assert min(one.low for one in found.values()) > 10


def test_biases_equal_the_statistical_error_where_the_closed_forms_say():
    x, y = np.random.default_rng(0).normal(size=(2, 40_000, 3))
    y[:, 0] += 0.1
    y[:, 1] *= 1.2
    found = _biases(x, y)
    # mean (1/0.1)^2; width s^2 = 1/2, (0.2)^-2 / 2; tails 2 Phi(-2.326/1.2) against 0.02
    tails = 2 * stats.norm.cdf(stats.norm.ppf(0.01) / 1.2) - 0.02
    for key, truth in {("x0", "mean"): 100, ("x1", "width"): 12.5, ("x1", "tails"): 0.02 * 0.98 / tails**2}.items():
        assert found[key].low <= truth <= found[key].high, key
        assert found[key].events == pytest.approx(truth, rel=0.3), key
    assert found[("x2", "mean")].events is None
    assert found[("x2", "mean")].low > 1000


def test_no_bias_is_seen_among_equal_laws_and_limits_hold():
    runs, alarms = 60, 0
    for seed in range(runs):
        x, y = np.random.default_rng(seed).normal(size=(2, 400, 3))
        alarms += any(one.events is not None for one in _biases(x, y).values())
        assert all(one.events is None for one in _biases(x, y, seen=False).values())
    assert alarms <= stats.binom.ppf(1 - ALPHA, runs, 0.08)  # 5 %; shares of eight events have a skewed law


# the verdict


QUICK = {"n_permutations": 99, "classifiers": (), "random_state": 0, "calibrate": False}


def test_the_verdict_quotes_numbers_only_where_the_global_test_sees_something():
    x, y, other = np.random.default_rng(0).normal(size=(3, 300, 2))
    alike = validate(x, y, calibration=other, **QUICK)
    assert not alike.distinguishes
    assert alike.n_distinguish == math.inf
    assert all(one.events is None for one in (*alike.needs, *alike.biases))
    assert "would need more than N = " in alike.verdict
    moved = validate(x, y + [0.5, 0], calibration=other, **QUICK)
    assert moved.n_distinguish_low <= OPTIMUM / 0.25 <= moved.n_distinguish_high
    assert "the mean of x0 is off by the statistical error of an analysis of N = " in moved.verdict
    assert "(min-P of the battery over 99 permutations)" in moved.verdict
    assert "safe" not in str(moved).lower()


def test_results_of_older_versions_still_load_and_speak():
    x, y, other = np.random.default_rng(0).normal(size=(3, 100, 2))
    result = validate(x, y + 0.5, calibration=other, **QUICK | {"classifiers": "boosting", "n_permutations": 19})
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert ValidationResult.from_json(content) == result
    for key in ("needs", "biases", "n_distinguish_test", "n_distinguish_of"):
        del content[key]
    for key in ("n_effective", "deflection", "deflection_error"):
        del content["classifiers"][0][key]
    old = ValidationResult.from_json(content)
    assert "a better test may need fewer" in old.verdict
    assert "safe" not in str(old).lower()


@pytest.mark.parametrize(("auc", "n"), [(0.6, 103), (0.51, 10_300), (0.502, 257_500)])
def test_that_many_events_are_the_published_ones(auc, n):
    assert events_for_auc(auc) == pytest.approx(n, rel=1e-3)  # the published 1.03 has three digits


@pytest.mark.slow
def test_that_many_events_are_rejected_in_four_of_five_runs():
    # N(0,1) against N(.2,1): A = Phi(.2 / sqrt 2); 1.03 / (A - 1/2)^2 events per class give 80 % power
    n, r, runs = round(events_for_auc(stats.norm.cdf(0.2 / math.sqrt(2)))), np.random.default_rng(0), 1000
    p = [
        stats.mannwhitneyu(r.normal(size=n) + 0.2, r.normal(size=n), alternative="greater").pvalue for _ in range(runs)
    ]
    low, high = stats.binom.ppf([ALPHA / 2, 1 - ALPHA / 2], runs, 0.8)
    assert low <= sum(np.array(p) <= 0.05) <= high
