"""The one call: faults are found by the right test, chance is not, and the result speaks and travels."""

import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.data import Dataset
from reverie.report import build, render
from reverie.validation import REFERENCES, ValidationResult, validate
from reverie.validation.statistics.moments import normal_scores

ALPHA = 1e-4  # false-alarm rate of each statistical test in this file
SIGMA = np.array([[1, 0.6, 0], [0.6, 1, 0], [0, 0, 1]])


def _events(n, seed, sigma=SIGMA, mean=(0, 0, 0)):
    return np.random.default_rng(seed).multivariate_normal(mean, sigma, size=n) * [1, 20, 0.01]


def _check(result, name, feature=None):
    return next(c for c in result.checks if c.name == name and c.feature == feature)


@pytest.fixture(scope="module")
def shifted():
    real, fake, other = _events(800, 10), _events(800, 11, mean=(0.4, 0, 0)), _events(800, 12)
    options = {"calibration": other, "n_permutations": 99, "random_state": 0, "locate": False}
    return validate(real, fake, names=["pt", "eta", "phi"], **options)


@pytest.fixture(scope="module")
def alike():
    return validate(_events(300, 0), _events(300, 1), calibration=_events(300, 2), random_state=0, n_permutations=99)


def test_a_shift_is_told_apart_and_most_of_all_in_its_feature(shifted):
    assert shifted.distinguishes
    assert shifted.battery_p == pytest.approx(0.01)
    assert shifted.p_value == pytest.approx(min(1.25 * 0.01, 5 * shifted.auc.p_value))
    features = {c.feature: c for c in shifted.checks if c.name == "KS"}
    assert features["pt"].distinguishes
    assert features["pt"].value > 2 * max(features["eta"].value, features["phi"].value)
    assert all(_check(shifted, name).distinguishes for name in ("sliced Wasserstein", "energy distance", "MMD"))
    assert not _check(shifted, "correlation difference").distinguishes
    # KS = 2 Phi(.2) - 1; both empirical functions are off by less than 2.2 / sqrt(n) at the rate of 1e-4
    assert abs(_check(shifted, "KS", "pt").value - 0.1585) < 2 * 2.2 / math.sqrt(800)


def test_real_against_real_lies_within_chance(shifted):
    for check in shifted.checks:
        assert check.real_vs_real is not None
        assert check.real_vs_real < check.noise_high * 2 + 1e-3
    assert abs(shifted.auc.real_vs_real - 0.5) < 4 * shifted.auc.real_vs_real_error


def test_the_area_that_would_be_seen_is_that_of_the_global_p(shifted):
    """A rank test of half as many events of each kind, at a fifth of 5 %; at a half of it a smaller area would do."""
    n, z = shifted.auc.n_test / 2, float(stats.norm.isf(0.05 / 5) + stats.norm.isf(0.2))
    area = 0.5 + z * math.sqrt((2 / n) / 12)
    assert f"a classifier of AUC {area:.3f} on its test events makes the global p at most 0.05 with 80 %" in str(
        shifted
    )


def test_the_verdict_comes_first_and_names_the_worst(shifted):
    text = str(shifted)
    assert text.startswith("The generated sample can be told from the real one: global p = 0.0")
    assert "(min-P of the battery over 99 permutations, times 1.25 after Bonferroni), " in text
    # 99 permutations cannot give 2e-6: the rank test of the classifier does
    smaller = replace(shifted, p_value=5e-6, classifiers=(replace(shifted.auc, p_value=1e-6),))
    assert "p = 5e-06 (Mann-Whitney test of the scores of the classifier (boosting), times 5" in smaller.verdict
    assert "classifier AUC 0." in text
    assert "where real against real gives" in text
    assert "tells them apart at 5 % with 80 % power from N = " in shifted.verdict
    assert "a better test may need fewer" in shifted.verdict
    assert "the mean of pt is off by the statistical error of an analysis of N = " in shifted.verdict
    assert "safe" not in text.lower()
    assert "pt differs (KS" in shifted.verdict
    assert "widths higher" in shifted.verdict
    assert "800 real (reference), 800 generated, 800 real (calibration)" in text


def test_equal_laws_are_not_told_apart(alike):
    # one fixed seed; a fault in the p-values shows in the tests of uniformity
    assert not alike.distinguishes
    assert alike.verdict.startswith("No test tells the generated sample from the real one at this size")
    assert alike.n_distinguish == math.inf
    assert 0 < alike.n_distinguish_low < math.inf
    assert "does not mean that there is none" in str(alike)


def test_a_change_of_correlation_alone_is_seen_by_the_correlation_test_and_not_by_ks():
    fake = _events(1000, 1, sigma=np.array([[1, 0.2, 0], [0.2, 1, 0], [0, 0, 1]]))
    tests = ("features one by one", "moments", "correlations", "sliced Wasserstein")
    samples = _events(1000, 0), fake
    result = validate(
        *samples, calibration=_events(1000, 2), calibrate=False, random_state=0, n_permutations=199, classifiers=(),
        tests=tests,
    )  # fmt: skip
    check = _check(result, "correlation difference")
    assert check.distinguishes
    assert result.distinguishes
    assert "x0 with x1" in check.detail
    assert "x0 with x1" in result.verdict
    assert all(c.p_adjusted > 0.01 for c in result.checks if c.feature)
    # Frobenius norm sqrt(2) .4; standard error of a correlation (1 - r^2) / sqrt(n)
    assert abs(check.value - 0.4 * math.sqrt(2)) < 0.2


def test_json_is_plain_and_comes_back_the_same(shifted, alike):
    bare = validate(_events(60, 0), _events(60, 1), random_state=0, n_permutations=19, classifiers=())
    for result in (shifted, alike, bare):
        text = json.dumps(result.to_json(), allow_nan=False)
        assert ValidationResult.from_json(json.loads(text)) == result
    content = alike.to_json()
    assert content["n_distinguish"] is None
    assert content["n_distinguish_is_lower_bound"] is True
    assert content["n_distinguish_low"] > 0
    assert {"p_value", "auc", "n_distinguish", "sizes", "seed", "verdict", "checks"} <= set(content)
    assert {"value", "error", "real_vs_real"} <= set(content["auc"])


def test_a_file_of_the_last_version_still_loads_and_prints():
    # written by 0.1.0, then shortened to few checks and regions: no real_fraction, p_adjusted, expected_different
    content = json.loads((Path(__file__).parent / "data" / "validation_of_version_0.json").read_text())
    result = ValidationResult.from_json(content)
    (one,) = result.constraints
    assert (one.real_fraction, one.p_adjusted) == (one.broken_real / one.n_real, one.p_value)
    text = str(result)
    assert "49 % of generated events break 'energy is positive'" in text
    assert ValidationResult.from_json(result.to_json()) == result
    page = render(build([], result))
    assert "4 differ at 5%; 1 still do after correction" in page


@pytest.mark.parametrize("content", [{}, {"auc": 3}, {"checks": [{}], "auc": None, "n_distinguish": None}])
def test_foreign_json_is_refused(content):
    with pytest.raises(InputError, match="validation.json"):
        ValidationResult.from_json(content)


def test_results_are_frozen_and_cite_known_references(shifted):
    with pytest.raises(dataclasses.FrozenInstanceError):
        shifted.p_value = 1.0
    assert set(shifted.references) <= set(REFERENCES)
    assert {"holm1979", "westfall1993", "lopezpaz2017", "gretton2012"} <= set(shifted.references)
    assert all(text.startswith("@") and key in text for key, text in REFERENCES.items())


def test_the_table_has_one_row_per_check_and_the_classifier(shifted):
    rows = shifted.table()
    assert len(rows) == len(shifted.checks) + 1
    assert rows[-1]["statistic"] == "classifier AUC"
    assert len({tuple(row) for row in rows}) == 1


def test_the_same_seed_gives_the_same_result():
    real, fake = _events(80, 0), _events(90, 1)
    options = {"n_permutations": 19, "tests": ("features one by one", "energy distance and MMD")}
    first, again, other = (validate(real, fake, random_state=s, locate=False, **options) for s in (5, 5, 6))
    assert first == again
    assert first.checks != other.checks


@pytest.mark.usefixtures("global_random_state_untouched")
def test_the_global_generator_is_left_alone():
    validate(_events(60, 0), _events(60, 1), n_permutations=9, classifiers=())


@pytest.mark.slow  # quick: lattice events that equal training events by chance
def test_discrete_events_with_many_ties_are_handled():
    r = np.random.default_rng(0)
    spins, others, hot = (np.sign(r.normal(size=(80, 3, 3)) + m) for m in (0.3, 0.3, 0.0))
    options = {"calibration": others, "calibrate": False, "random_state": 0, "n_permutations": 99, "classifiers": ()}
    result = validate(spins, hot, **options)
    assert result.distinguishes
    assert all(math.isfinite(c.value) and 0 < c.p_value <= 1 for c in result.checks)
    same = validate(spins, spins, **options)
    assert same.p_value > 0.5  # identical samples: no statistic is larger than its permutations


@pytest.mark.slow  # quick: the learners can be chosen
def test_images_have_their_learners_and_with_many_pixels_are_cut_and_say_so():
    r = np.random.default_rng(0)
    images = [torch.from_numpy(r.normal(size=(40, 1, 13, 13)).astype(np.float32)) for _ in range(3)]
    options = {"calibrate": False, "random_state": 0, "n_permutations": 9, "locate": False}
    result = validate(images[0], images[1], calibration=images[2], **options)
    assert sum(c.name == "KS" for c in result.checks) == 32
    assert {one.learner for one in result.classifiers} == {"boosting", "cnn"}
    for words in ("32 of 169 features", "63 principal components"):
        assert any(words in warning for warning in result.warnings)


def test_one_feature_is_enough():
    samples = _events(100, 0)[:, :1], _events(100, 1)[:, :1]
    result = validate(*samples, calibrate=False, random_state=0, n_permutations=49)
    names = {c.name for c in result.checks}
    assert {"KS", "tails", "energy distance", "MMD", "likelihood ratio"} <= names
    assert "correlation difference" not in names


def test_constant_features_are_left_out_unless_only_the_real_ones_are_constant():
    real, fake = _events(100, 0), _events(100, 1)
    real[:, 2] = fake[:, 2] = 3.0
    real[:, 1] = 0.0
    result = validate(real, fake, names=["a", "b", "c"], random_state=0, n_permutations=49, classifiers=())
    assert {c.feature for c in result.checks if c.feature} == {"a", "b"}
    assert _check(result, "KS", "b").distinguishes
    assert any("Constant in the real reference" in warning and "b" in warning for warning in result.warnings)
    with pytest.raises(InputError, match="constant columns only"):
        validate(np.ones((60, 2)), np.ones((60, 2)))


def test_real_samples_that_differ_are_named_before_the_generator_is_blamed():
    drifted, tests = _events(400, 2, mean=(1.5, 0, 0)), ("features one by one", "boosting")
    options = {"random_state": 0, "n_permutations": 49, "tests": tests, "locate": False}
    result = validate(_events(400, 0), _events(400, 1), calibration=drifted, **options)
    assert "The two real samples differ" in result.verdict
    assert any("tells real from real" in warning for warning in result.warnings)


def test_copies_of_the_reference_are_noticed():
    real = _events(300, 0)
    options = {"random_state": 0, "n_permutations": 19, "tests": ("features one by one", "boosting")}
    result = validate(real, real, calibration=_events(300, 1), **options)
    assert any("share events" in warning for warning in result.warnings)


def test_progress_is_told_and_ends_at_one():
    told = []
    validate(
        _events(60, 0),
        _events(60, 1),
        n_permutations=9,
        random_state=0,
        classifiers=(),
        progress=lambda fraction, text: told.append((fraction, text)),
    )
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    assert told[-1][0] == 1.0


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5])
def test_the_level_lies_between_zero_and_one(alpha):
    with pytest.raises(InputError, match="alpha"):
        validate(_events(60, 0), _events(60, 1), alpha=alpha)


def _null_results(runs, n, *, copies=1, permutations=99, **options):
    for i in range(runs):
        real, fake, other = (np.repeat(_events(n // copies, 3 * i + j), copies, axis=0) for j in range(3))
        if copies > 1:  # equal rows would be taken once
            near = np.random.default_rng(i)
            real, fake, other = (x * (1 + 1e-3 * near.normal(size=x.shape)) for x in (real, fake, other))
        yield validate(real, fake, calibration=other, random_state=i, n_permutations=permutations, **options)


@pytest.mark.slow
def test_battery_p_values_are_uniform_when_nothing_is_wrong():
    # 40 runs of 40 events; KS distance from the uniform law on {.02, ..., 1}; false-alarm rate 1e-4
    limit = stats.kstwo.isf(ALPHA, 40) + 0.02
    options = {"classifiers": (), "permutations": 49, "calibrate": False}
    good = [r.battery_p for r in _null_results(40, 40, **options)]
    assert stats.kstest(good, stats.uniform().cdf).statistic < limit
    # twin: every event four times, so that the rows are not independent, and nobody looks for it
    bad = [r.battery_p for r in _null_results(40, 80, copies=4, correlated="ignore", **options)]
    assert stats.kstest(bad, stats.uniform().cdf).statistic > limit


@pytest.mark.slow
def test_every_p_value_keeps_its_size_in_400_null_runs():
    # reference, section 4.4: size within [.03, .07] at 5 %; 400 runs have a standard error of .011
    results = list(_null_results(400, 120, permutations=199))
    rejected = {"global": np.mean([r.p_value <= 0.05 for r in results])}
    rejected |= {"battery": np.mean([r.battery_p <= 0.05 for r in results])}
    rejected |= {"classifier": np.mean([r.auc.p_value <= 0.05 for r in results])}
    for k, check in enumerate(results[0].checks[3:], start=3):
        rejected[check.name] = np.mean([r.checks[k].p_value <= 0.05 for r in results])
    print("\n".join(f"{name:24s} rejects {rate:.3f} at 5 %" for name, rate in rejected.items()))
    low, high = stats.binom.ppf([ALPHA / 2, 1 - ALPHA / 2], 400, 0.05) / 400
    assert all(low <= rate <= high for name, rate in rejected.items() if name not in {"global"})
    assert rejected["global"] <= high  # Bonferroni may be conservative
    limit = stats.kstwo.isf(ALPHA, 400) + 1 / 200
    for p in ([r.battery_p for r in results], [r.auc.p_value for r in results]):
        assert stats.kstest(p, stats.uniform().cdf).statistic < limit


def _fields(seed: int, n: int) -> np.ndarray:
    """Return smooth periodic fields (n, 12, 12) of unit width."""
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(n, 12, 12)))
    f = np.hypot(np.fft.fftfreq(12)[:, None], np.fft.fftfreq(12))
    x = np.fft.ifft2(noise / (1 + 20 * f**2)).real
    return x / x.std()


QUICK_IMAGES = {"classifiers": "none", "n_permutations": 99, "random_state": 0, "calibrate": False}


@pytest.mark.parametrize("fault", ["dead", "shifted", "none"])
def test_a_fault_of_a_single_pixel_is_seen_wherever_it_is(fault):
    """Rows of small variance are not among the pixels looked at one by one, and a dead pixel has less of it."""
    quiet = np.where(np.arange(12) < 3, 0.2, 1.0)[:, None]
    x, y = quiet * _fields(0, 400), quiet * _fields(1, 400)
    y[:, 1, 6] = {"dead": 0.0, "shifted": y[:, 1, 6] + 0.2, "none": y[:, 1, 6]}[fault]
    result = validate(x, y, **QUICK_IMAGES)
    told = [str(one) for one in result.findings]
    assert any("pixel[1,6] is constant" in one or "the mean of pixel[1,6] is" in one for one in told) == (
        fault != "none"
    )
    assert "of the 32 features looked at one by one" in result.verdict or fault != "none"


def test_an_observable_that_is_constant_up_to_rounding_is_left_out_and_said():
    x, y = _fields(0, 60), _fields(1, 60)
    result = validate(x, y, observables={"still": lambda x: x.flatten(1).mean(1) * 1e-20 + 27.6}, **QUICK_IMAGES)
    assert not result.observables
    assert any("observable still is constant" in warning for warning in result.warnings)


def test_events_of_another_shape_are_refused_with_the_way_to_reshape_them():
    x = _fields(0, 60)
    with pytest.raises(InputError, match=r"x\.reshape\(-1, 12, 12\)"):
        validate(x, x[:, None], **QUICK_IMAGES)


def test_negative_weights_of_a_rare_pixel_hide_no_other():
    x, y, z = (_fields(seed, 300) for seed in range(3))
    w = np.where(np.arange(300) < 15, -1.0, 1.0)
    for sample in (x, y, z):
        sample[:, 0, 0] = 0
    x[3, 0, 0], y[:, 11, 11] = 1.0, 0.0
    real, generated, other = (Dataset(sample, weights=w) for sample in (x, y, z))
    result = validate(real, generated, calibration=other, correlated="ignore", **QUICK_IMAGES)
    (check,) = [one for one in result.checks if one.name == "largest change"]
    assert check.p_value == 0.01
    assert check.detail == "pixel[11,11] is constant"


def test_weights_that_leave_little_are_noted_and_taken():
    rng = np.random.default_rng(0)
    x, y, z = (Dataset(rng.normal(size=(40, 2)), weights=rng.lognormal(0, 1.5, 40)) for _ in range(3))
    result = validate(x, y, calibration=z, **QUICK_IMAGES)
    assert any("worth" in warning for warning in result.warnings)


def test_events_of_weight_zero_are_left_out():
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 400, 3))
    w = (np.arange(400) % 2).astype(float)
    quick = {"classifiers": "none", "n_permutations": 99, "random_state": 0, "correlated": "ignore"}
    found = validate(Dataset(x, weights=w), y[:200], calibration=Dataset(z, weights=w), **quick)
    expected = validate(x[1::2], y[:200], calibration=z[1::2], **quick)
    assert found.p_value == expected.p_value
    assert "200 real events of weight 0 were left out." in found.warnings


def test_normal_scores_are_finite_where_the_ends_have_no_weight():
    z, w = torch.arange(20.0)[:, None], torch.ones(20)
    w[[0, 19]] = 0
    assert normal_scores(z, w).isfinite().all()
