"""The classifier test: areas, errors that cover, and where the difference lies."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from reverie.validation.classifier import area_under_curve, area_with_error, classifier_test

ALPHA = 1e-4  # false-alarm rate of each statistical test in this file
GRID = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)

# scores of the likelihood-ratio classifier of N(0, 1) against the other law -> best AUC, section 5.1
BEST = [
    (GRID, GRID + 0.1, 0.52818599),
    (GRID, GRID + 0.5, 0.63816320),
    (GRID, GRID + 1, 0.76024994),
    (GRID, GRID + 2, 0.92135040),
    (abs(GRID), abs(GRID * 1.1), 0.53029234),
    (abs(GRID), abs(GRID * 1.5), 0.62566592),
    (abs(GRID), abs(GRID * 2), 0.70483276),
]


@pytest.mark.parametrize(("negative", "positive", "best"), BEST)
def test_areas_of_the_best_classifiers(negative, positive, best):
    assert area_under_curve(negative, positive) == pytest.approx(best, abs=5e-4)
    assert area_with_error(negative, positive)[0] == pytest.approx(area_under_curve(negative, positive))


def test_the_area_with_ties_equals_scikit_learn():
    r = np.random.default_rng(0)
    x, y = r.integers(0, 6, 70), r.integers(1, 7, 45)
    expected = roc_auc_score(np.repeat([0, 1], [70, 45]), np.concatenate([x, y]))
    assert area_under_curve(x, y) == pytest.approx(expected)
    assert area_with_error(x, y)[0] == pytest.approx(expected)


@pytest.mark.parametrize(("n", "sd"), [(1000, 0.012913), (5000, 0.005774)])
def test_the_error_of_equal_laws_is_that_of_mann_and_whitney(n, sd):
    assert math.sqrt((2 * n + 1) / (12 * n * n)) == pytest.approx(sd, abs=1e-6)
    r = np.random.default_rng(n)
    assert area_with_error(r.normal(size=n), r.normal(size=n))[1] == pytest.approx(sd, rel=0.03)


def test_complete_separation_still_has_an_error():
    area, error = area_with_error(np.arange(50.0), np.arange(50.0) + 100)
    assert area == 1.0
    assert error == pytest.approx(0.01)


def _coverage(shift, truth, runs=500, scale=1.0):
    r = np.random.default_rng(int(shift * 10))
    areas = np.array([area_with_error(r.normal(size=150), r.normal(size=250) + shift) for _ in range(runs)])
    off = np.abs(areas[:, 0] - truth) / (areas[:, 1] * scale)
    return int((off < 1).sum()), int((off < 1.96).sum())


@pytest.mark.parametrize(("shift", "truth"), [(0.0, 0.5), (0.5, 0.63816320), (1.0, 0.76024994)])
def test_errors_cover_at_68_and_95_percent(shift, truth):
    for inside, level in zip(_coverage(shift, truth), (0.6827, 0.95), strict=True):
        low, high = stats.binom.ppf([ALPHA / 2, 1 - ALPHA / 2], 500, level)
        assert low <= inside <= high


def test_an_error_too_small_by_the_fluctuation_of_one_sample_does_not_cover():
    inside = _coverage(0.5, 0.63816320, scale=math.sqrt(0.5))[0]
    assert inside < stats.binom.ppf(ALPHA / 2, 500, 0.6827)


def _normal(n, d, seed, shift=0.0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    x[:, 0] += shift
    return x


def test_a_shift_is_found_with_nearly_the_best_area_and_in_its_feature():
    names = ["a", "b", "c"]
    samples = _normal(3000, 3, 0), _normal(3000, 3, 1, 0.5), _normal(3000, 3, 2)
    result = classifier_test(*samples, names=names, seed=0)
    assert 0.58 < result.value < 0.638 + 4 * result.error
    assert result.p_value < 1e-6
    assert max(result.importances, key=lambda name: result.importances[name]) == "a"
    # real against real: rate 1e-4
    assert abs(result.real_vs_real - 0.5) < stats.norm.isf(ALPHA / 2) * result.real_vs_real_error
    assert result.n_test == result.n_train == 3000


def test_the_same_seed_gives_the_same_result():
    samples = _normal(60, 2, 0), _normal(60, 2, 1), _normal(60, 2, 2)
    assert classifier_test(*samples, names="ab", seed=1) == classifier_test(*samples, names="ab", seed=1)


def test_noise_where_real_images_have_none_is_seen():
    # 4 directions carry the images; noise of a hundredth of that in 176 others is left to the last feature
    r = np.random.default_rng(0)
    basis = np.zeros((4, 180))
    basis[:, :4] = 3 * np.eye(4)
    real, other, fake = (r.normal(size=(150, 4)) @ basis for _ in range(3))
    fake[:, 4:] += 0.03 * r.normal(size=(150, 176))
    result = classifier_test(real, fake, other, names=[str(j) for j in range(180)], seed=0)
    assert result.value > 0.99
    assert len(result.importances) == 64
    assert result.real_vs_real < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_errors_of_trained_classifiers_cover_their_true_area(shift):
    # truth of a trained classifier: its area on 8,000 fresh events per class; the run repeats the split
    from reverie.validation import classifier as module

    inside, runs = 0, 150
    for i in range(runs):
        x, y = _normal(600, 2, 3 * i), _normal(600, 2, 3 * i + 1, shift)
        model = module._trees(600, i).fit(np.concatenate([x[:300], y[:300]]), np.repeat([0, 1], 300))
        area, error = area_with_error(model.decision_function(x[300:]), model.decision_function(y[300:]))
        fresh = _normal(8_000, 2, 10**6 + i), _normal(8_000, 2, 2 * 10**6 + i, shift)
        truth = area_under_curve(*(model.decision_function(f) for f in fresh))
        inside += abs(area - truth) < error
    low, high = stats.binom.ppf([ALPHA / 2, 1 - ALPHA / 2], runs, 0.6827)
    assert low <= inside <= high
