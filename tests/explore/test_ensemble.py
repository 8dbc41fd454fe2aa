"""Bagging, the variance of averages, and the bootstrap, against closed forms and known correlations."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from reverie.core.errors import InputError
from reverie.core.random import child_seed
from reverie.explore.bootstrap import bootstrap
from reverie.explore.ensemble import bagging, decompose, measured_score, variance_decomposition

ALPHA = 1e-4
Z = stats.norm.isf(ALPHA / 2)


def members(rho: float, sigma: float, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Gaussian predictions (replicate, member, point): any two members have correlation rho."""
    r = np.random.default_rng(seed)
    R, M, P = shape
    return sigma * (math.sqrt(rho) * r.normal(size=(R, 1, P)) + math.sqrt(1 - rho) * r.normal(size=shape))


def data(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    x = r.uniform(-3, 3, size=(n, 2))
    return x, np.sin(x[:, 0]) + 0.3 * r.normal(size=n)


# --- the variance of an average ---------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
def test_a_known_correlation_is_found(rho):
    found = variance_decomposition(members(rho, 2.0, (200, 5, 20), 0))
    for measured, truth in ((found.sigma2, 4.0), (found.rho, rho), (found.var_mean, 4 * (rho + (1 - rho) / 5))):
        assert abs(measured.value - truth) < Z * measured.error


def test_a_wrong_correlation_fails_that_law():
    found = variance_decomposition(members(0.3, 2.0, (200, 5, 20), 0))
    assert abs(found.rho.value - 0.4) > Z * found.rho.error
    assert abs(found.var_mean.value - 4 / 5) > Z * found.var_mean.error  # sigma^2/n forgets the correlation


def test_equal_members_have_correlation_one():
    one = members(0.0, 1.0, (10, 1, 4), 1)
    found = variance_decomposition(np.repeat(one, 6, axis=1))
    assert found.rho.value == pytest.approx(1)
    assert found.var_mean.value == pytest.approx(found.sigma2.value)
    assert found.at(1000) == pytest.approx(found.sigma2.value)


def test_five_members_foretell_twenty_five():
    x = members(0.3, 2.0, (300, 25, 20), 2)
    few, many = variance_decomposition(x[:, :5]), variance_decomposition(x)
    error = math.hypot(few.var_mean.error, many.var_mean.error)
    assert abs(few.at(25) - many.var_mean.value) < Z * error
    sigma = math.sqrt(few.sigma2.value)
    as_printed = few.sigma2.value / 25 + 24 / 25 * few.rho.value * sigma  # the last factor not squared
    assert abs(as_printed - many.var_mean.value) > Z * error


def test_the_formula_is_an_identity_at_the_number_of_members():
    found = variance_decomposition(members(0.5, 1.0, (7, 3, 2), 3) ** 3)  # of any law
    assert found.predicted == pytest.approx(found.var_mean.value, rel=1e-12)


def test_estimates_and_errors_are_those_of_the_definition():
    x = members(0.5, 1.0, (8, 3, 2), 4)
    covariance = np.mean([np.cov(x[:, :, p], rowvar=False) for p in range(2)], axis=0)
    sigma2, off = np.trace(covariance) / 3, (covariance.sum() - np.trace(covariance)) / 6
    found = variance_decomposition(x, np.zeros(2))
    assert found.sigma2.value == pytest.approx(sigma2)
    assert found.rho.value == pytest.approx(off / sigma2)
    without = [variance_decomposition(np.delete(x, i, axis=0), np.zeros(2)) for i in range(8)]
    for part in ("sigma2", "rho", "var_mean"):
        values = np.array([getattr(w, part).value for w in without])
        assert getattr(found, part).error == pytest.approx(math.sqrt(7 / 8 * np.square(values - values.mean()).sum()))


def test_the_bias_is_found_without_the_noise_of_its_average():
    x = members(0.2, 1.0, (20, 4, 400), 5) + 0.5
    found = variance_decomposition(x, np.zeros(400))
    assert found.bias2 is not None
    assert abs(found.bias2.value - 0.25) < Z * found.bias2.error
    unbiased = variance_decomposition(x - 0.5, np.zeros(400)).bias2
    assert unbiased is not None
    assert abs(unbiased.value) < Z * unbiased.error
    naive = np.square((x - 0.5).mean(axis=(0, 1))).mean()
    assert naive > Z * unbiased.error
    assert "The squared bias is 0.2" in str(found)


def test_a_negative_square_is_told_as_a_limit():
    x = members(0.2, 1.0, (20, 4, 400), 4)
    found = variance_decomposition(x - x.mean(axis=(0, 1)), np.zeros(400))
    assert found.bias2 is not None
    assert found.bias2.value < 0
    assert f"No bias is seen: its square is below {1.645 * found.bias2.error:.2g} (95 %)." in str(found)


def test_the_variance_of_a_least_squares_fit_is_found():
    # slope through the origin at x = 1: sigma^2 / sum x^2 for a fixed design, here about 0.09/(n/3)
    r = np.random.default_rng(6)
    x = r.uniform(-1, 1, size=(24_000, 1))
    y = 2 * x[:, 0] + 0.3 * r.normal(size=len(x))
    model = LinearRegression(fit_intercept=False)
    found = decompose(model, x, y, X_test=[[1.0]], truth=[2.0], n_replicates=60, n_estimators=5, disjoint=True,
                      random_state=0)  # fmt: skip
    # a bootstrap sample adds the variance of one more draw: 2 sigma^2/(n/3) a member, half of it shared
    base = 0.09 / (400 / 3)
    assert abs(found.sigma2.value - 2 * base) < Z * found.sigma2.error
    assert abs(found.rho.value - 0.5) < Z * found.rho.error
    assert found.bias2 is not None
    assert abs(found.bias2.value) < Z * found.bias2.error + base / 10


def test_trees_are_decomposed_and_the_result_speaks():
    x, y = data(300, 7)
    found = decompose(DecisionTreeRegressor(), x, y, n_replicates=5, n_estimators=4, random_state=0)
    assert 0 < found.rho.value < 1
    assert found.var_mean.value < found.sigma2.value
    assert "More members cannot go below" in str(found)
    json.dumps(found.to_json(), allow_nan=False)
    again = decompose(DecisionTreeRegressor(), x, y, n_replicates=5, n_estimators=4, random_state=0)
    assert again == found


def test_probabilities_are_decomposed_though_replicates_miss_a_class():
    x, y = np.arange(90.0)[:, None], np.repeat(["a", "b", "c"], [44, 44, 2])
    found = decompose(DecisionTreeClassifier(), x, y, X_test=x[:5], truth=[[1, 0, 0]] * 5, n_replicates=4,
                      n_estimators=3, disjoint=True, random_state=0)  # fmt: skip
    assert found.n_points == 15


def test_predictions_of_another_shape_are_refused():
    for shape in ((2, 3, 4), (5, 1, 4), (5, 4)):
        with pytest.raises(InputError, match="replicate, member, point"):
            variance_decomposition(np.zeros(shape))
    with pytest.raises(InputError, match="truth"):
        variance_decomposition(np.zeros((5, 2, 3)), np.zeros(4))
    with pytest.raises(InputError, match="X_test"):
        decompose(LinearRegression(), *data(50, 0), truth=[0.0], disjoint=True)
    with pytest.raises(InputError, match="disjoint"):  # the fluctuation of one data set is no bias
        decompose(LinearRegression(), *data(50, 0), X_test=[[0.0, 0.0]], truth=[0.0])


# --- bagging ----------------------------------------------------------------------------------


def test_the_prediction_is_the_mean_of_the_members():
    x, y = data(200, 0)
    found = bagging(DecisionTreeRegressor(), x, y, n_estimators=7, random_state=0)
    np.testing.assert_allclose(found.predict(x), np.mean([m.predict(x) for m in found.members], axis=0))


def test_the_out_of_bag_score_is_that_of_new_rows():
    (x, y), (x_new, y_new) = data(600, 1), data(4000, 2)
    found = bagging(DecisionTreeRegressor(), x, y, n_estimators=60, random_state=0)
    new = measured_score(found.predict(x_new), y_new, None)
    assert abs(found.out_of_bag.value - new.value) < Z * math.hypot(found.out_of_bag.error, new.error)
    on_training = measured_score(found.predict(x), y, None)  # the twin: a score on rows that were seen
    assert abs(on_training.value - new.value) > Z * math.hypot(on_training.error, new.error)
    assert found.member_score < found.out_of_bag.value


def test_disjoint_parts_share_no_row():
    x, y = np.arange(100.0)[:, None], np.arange(100.0)
    found = bagging(DecisionTreeRegressor(), x, y, n_estimators=4, partition=True, random_state=0)
    seen = np.concatenate([member.tree_.value[member.tree_.children_left < 0].ravel() for member in found.members])
    assert sorted(seen) == list(range(100))
    assert found.out_of_bag.n == 100
    assert "disjoint parts of 25 rows" in str(found)


def test_probabilities_are_averaged_though_members_miss_classes():
    x, y = np.arange(60.0)[:, None], np.repeat(["a", "b", "c"], [29, 29, 2])
    found = bagging(DecisionTreeClassifier(), x, y, n_estimators=10, fraction=0.3, random_state=0)
    assert min(len(m.classes_) for m in found.members) == 2
    probabilities = found.predict_proba(x)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert set(found.predict(x)) <= {"a", "b", "c"}
    votes = bagging(RidgeClassifier(), x, y, n_estimators=4, random_state=0).predict_proba(x)
    assert set(np.unique(votes * 4)) <= {0, 1, 2, 3, 4}


def test_the_same_seed_gives_the_same_members():
    x, y = data(100, 3)
    a, b, c = (
        bagging(DecisionTreeRegressor(max_features=1), x, y, n_estimators=3, random_state=s).predict(x)
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_bagging_travels_and_says_what_it_left_out():
    x, y = data(30, 4)
    weighted = SimpleNamespace(values=x, names=("a", "b"), weights=np.ones(30))
    found = bagging(LinearRegression(), weighted, y, n_estimators=2, random_state=0)
    assert "seen by all members" in str(found)
    assert "weights are not used" in str(found)
    json.dumps(found.to_json(), allow_nan=False)
    with pytest.raises(InputError, match="classifier"):
        found.predict_proba(x)
    for arguments in ({"fraction": 0.5, "partition": True}, {"fraction": 2.0}, {"n_estimators": 31}):
        with pytest.raises(InputError, match="Expected"):
            bagging(LinearRegression(), x, y, **arguments)
    with pytest.raises(InputError, match="y with shape"):
        bagging(LinearRegression(), x, y[:-1])


def test_r_squared_and_its_error_by_bootstrap():
    x, y = data(400, 5)
    prediction = np.sin(x[:, 0])
    found = measured_score(prediction, y, None)
    both = np.stack([prediction, y], axis=1)
    drawn = bootstrap(lambda rows: 1 - np.mean((rows[:, 1] - rows[:, 0]) ** 2) / np.var(rows[:, 1]), both,
                      interval="percentile", random_state=0)  # fmt: skip
    assert found.value == pytest.approx(drawn.value)
    assert found.error == pytest.approx(
        drawn.error, rel=Z / math.sqrt(2 * 2000) + 0.03
    )  # 3 %: order 1/n of the linear error


# --- the bootstrap ----------------------------------------------------------------------------


def test_the_error_of_a_mean_is_sigma_over_root_n():
    x = np.random.default_rng(8).normal(size=500)
    found = bootstrap(np.mean, x, n_resamples=2000, random_state=0)
    assert found.error == pytest.approx(x.std() / math.sqrt(500), rel=Z / math.sqrt(2 * 2000))
    assert found.error == pytest.approx(np.std(found.replicates, ddof=1))
    assert abs(found.error / (x.std() / math.sqrt(100)) - 1) > Z / math.sqrt(2 * 2000)  # the twin: another n
    assert abs(found.bias) < Z * found.error / math.sqrt(2000)


def test_weights_go_with_their_rows():
    r = np.random.default_rng(9)
    w = r.uniform(0.5, 2, size=200)
    x = 1 / w  # sum w x = n exactly, whichever rows are drawn
    found = bootstrap(lambda rows, weights: np.sum(rows * weights), x, weights=w, n_resamples=50, random_state=0)
    assert found.value == pytest.approx(200)
    assert found.error < 1e-10


def test_bca_and_percentile_are_those_of_scipy():
    x = np.random.default_rng(10).exponential(size=60)
    for name in ("BCa", "percentile"):
        found = bootstrap(np.var, x, n_resamples=500, interval=name, random_state=0)
        draw = np.random.default_rng(child_seed(0, "bootstrap"))
        expected = stats.bootstrap((x,), np.var, n_resamples=500, method=name, vectorized=False, random_state=draw)
        np.testing.assert_allclose((found.low, found.high), expected.confidence_interval)
        np.testing.assert_allclose(found.replicates, expected.bootstrap_distribution)
    assert found.interval == "percentile"


def test_a_constant_statistic_falls_back_in_words():
    found = bootstrap(np.mean, np.ones(10), n_resamples=50, random_state=0)
    assert (found.low, found.high, found.error) == (1, 1, 0)
    assert "not defined" in str(found)
    json.dumps(found.to_json(), allow_nan=False)


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(InputError, match="one number"):
        bootstrap(lambda rows: rows, np.arange(5.0))
    with pytest.raises(InputError, match="level"):
        bootstrap(np.mean, np.arange(5.0), level=2)
    with pytest.raises(InputError, match="one weight per event"):
        bootstrap(np.average, np.arange(5.0), weights=[1.0])
    with pytest.raises(InputError, match=r"bootstrap\(np.median, values\)"):
        bootstrap(np.arange(5.0), np.median)
    with pytest.raises(InputError, match="at least 2 rows"):
        bootstrap(np.mean, [1.0])


def _misses(level: float, runs: int, n_resamples: int) -> int:
    r, missed = np.random.default_rng(11), 0
    for seed in range(runs):
        found = bootstrap(np.mean, r.exponential(size=50), n_resamples=n_resamples, level=level, random_state=seed)
        missed += int(not found.low <= 1 <= found.high)
    return missed


@pytest.mark.slow
def test_intervals_cover_the_mean_of_a_skewed_law():
    # 93 % is what BCa at 95 % reaches for 50 rows of an exponential law (Efron and Tibshirani 1993, chapter 14)
    assert _misses(0.95, 1000, 1000) <= stats.binom.isf(ALPHA, 1000, 0.07)
    assert _misses(0.80, 1000, 1000) > stats.binom.isf(ALPHA, 1000, 0.07)
