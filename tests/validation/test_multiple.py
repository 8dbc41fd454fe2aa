"""Corrections for many tests: known answers, exactness, and wrong forms that fail."""

import numpy as np
import pytest
from scipy import stats

from reverie.validation.permutation.multiple_testing import global_p, holm, min_p, permutation_p, ranked


def test_holm_equals_the_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.slow  # size; the values: test_holm_equals_the_worked_example
def test_holm_keeps_the_chance_of_any_false_alarm_at_its_level():
    # 4,000 families of 10 true hypotheses; limits at a false-alarm rate of 1e-4
    p = np.random.default_rng(0).uniform(size=(4000, 10))
    alarms = sum(min(holm(row)) <= 0.05 for row in p)
    low, high = stats.binom.ppf([0.5e-4, 1 - 0.5e-4], 4000, 1 - 0.995**10)
    assert low <= alarms <= high
    assert sum(row.min() <= 0.05 for row in p) > high  # twin: no correction


@pytest.mark.parametrize(
    ("battery", "classifiers", "found"),
    [
        (0.01, [0.2], (0.0125, 0, 1.25)),
        (0.01, [0.001], (0.005, 1, 5.0)),
        (0.02, [0.5, 0.004], (0.024, 2, 6.0)),
        (0.03, [], (0.03, 0, 1.0)),
        (0.9, [0.9], (1.0, 0, 1.25)),
    ],
)
def test_the_battery_has_the_weight_of_four_classifiers(battery, classifiers, found):
    assert global_p(battery, classifiers) == pytest.approx(found)


@pytest.mark.parametrize("law", ["independent", "equal", "never together"])
def test_the_global_p_keeps_its_level_whatever_the_dependence(law):
    # 20,000 tests at 5 %; limit at a false-alarm rate of 1e-4
    u = np.random.default_rng(0).uniform(size=(20_000, 2))
    other = {"independent": u[:, 1], "equal": u[:, 0], "never together": (u[:, 0] + 0.5) % 1}[law]
    pairs = list(zip(u[:, 0], other, strict=True))
    high = stats.binom.isf(1e-4, 20_000, 0.05)
    assert sum(global_p(p, [q])[0] <= 0.05 for p, q in pairs) <= high
    if law != "equal":
        assert sum(min(p, q) <= 0.05 for p, q in pairs) > high  # twin: no correction


@pytest.mark.parametrize(("larger", "p"), [(0, 0.1), (3, 0.4), (9, 1.0)])
def test_permutation_p_counts_the_observed_one(larger, p):
    values = np.concatenate([[5.0], np.full(larger, 6.0), np.arange(9 - larger) * 0.1])
    assert permutation_p(values) == pytest.approx(p)


def test_equal_values_up_to_rounding_are_ties():
    assert permutation_p(np.array([0.3, 0.1 + 0.2 - 1e-12, 0.3 - 1e-12, 0.0])) == pytest.approx(0.75)


def test_constant_statistics_decide_nothing():
    column = ranked(np.ones(20))
    assert column.observed_p == 1.0
    assert min_p([column, column]).observed_p == 1.0


def _plain_min_p(table):
    smallest = np.min([ranked(column).p for column in table.T], axis=0)
    return np.mean(smallest <= smallest[0])


def test_min_p_reaches_its_smallest_value_among_many_statistics():
    table = np.random.default_rng(0).normal(size=(1000, 128))
    table[0, 5] = 9.0
    assert min_p([ranked(column) for column in table.T]).observed_p == pytest.approx(1 / 1000)
    assert _plain_min_p(table) > 0.05  # twin: without an order among equal p-values it cannot


def test_weights_share_out_the_level_and_keep_it():
    """Of 1,000 null tables a 20th is rejected; with weight 4 the column that differs is seen more often (the twin)."""
    heavy, rejected, seen, seen_without = (4.0, *[1.0] * 9), 0, 0, 0
    for seed in range(1000):
        table = np.random.default_rng(seed).normal(size=(100, 10))
        rejected += min_p([ranked(column) for column in table.T], heavy).observed_p <= 0.05
        table[0, 0] += 2.5
        columns = [ranked(column) for column in table.T]
        seen += min_p(columns, heavy).observed_p <= 0.05
        seen_without += min_p(columns).observed_p <= 0.05
    low, high = stats.binom.ppf([0.5e-4, 1 - 0.5e-4], 1000, 0.05)
    assert low <= rejected <= high
    assert seen > seen_without + 50


def _global_p(combine, seed):
    r = np.random.default_rng(seed)
    common = r.normal(size=(100, 1))
    return combine(np.concatenate([common + r.normal(size=(100, 4)), r.exponential(size=(100, 3))], axis=1))


def test_min_p_of_dependent_statistics_is_uniform():
    # 100 null tables; KS distance from the uniform law on {1/100, ..., 1}; false-alarm rate 1e-4
    def exact(table):
        return min_p([ranked(column) for column in table.T]).observed_p

    def smallest(table):
        return min(permutation_p(column) for column in table.T)

    limit = stats.kstwo.isf(1e-4, 100) + 1 / 100
    uniform = stats.uniform().cdf
    assert stats.kstest([_global_p(exact, i) for i in range(100)], uniform).statistic < limit
    assert stats.kstest([_global_p(smallest, i) for i in range(100)], uniform).statistic > limit  # twin


def test_infinity_is_the_largest_value_and_no_number_the_least():
    values = np.arange(20.0)
    assert permutation_p(np.r_[np.inf, values[1:]]) == pytest.approx(0.05)
    far, farther = (permutation_p(np.r_[10.0, largest, values[:18]]) for largest in (1e3, np.inf))
    assert farther == far
    assert permutation_p(np.r_[np.nan, values[1:]]) == 1.0
    assert permutation_p(np.full(20, np.inf)) == 1.0
    columns = [ranked(np.r_[np.inf, np.inf, values[2:]]), ranked(values)]
    assert min_p(columns).observed_p == min_p([ranked(np.r_[30.0, 30.0, values[2:]]), ranked(values)]).observed_p
