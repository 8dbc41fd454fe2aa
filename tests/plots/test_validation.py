"""The chart of the tests: values in units of their noise."""

import math

import numpy as np
import pytest

from reverie.plots.style import ALERT, GENERATED
from reverie.plots.validation import auc, checks_in_noise_units, choose_checks, importances, in_noise_units
from reverie.validation.results.tests import ClassifierResult, TestResult


def check(name="KS", feature="a", value=3.0, p=0.5, real=1.0):
    return TestResult(name, feature, value, 1.0, 2.0, real, p, p, p < 0.05, "", "")


def classifier(value=0.6):
    return ClassifierResult(value, 0.01, 0.5, 0.01, 0.5, 0.01, {"a": 0.1, "b": 0.05}, 100, 100, "", "")


def test_band_is_minus_one_to_one():
    assert [in_noise_units(v, 1.0, 2.0) for v in (1.0, 1.5, 2.0)] == [-1.0, 0.0, 1.0]
    assert math.isnan(in_noise_units(1.0, 2.0, 2.0))


def test_value_reference_and_colour_are_drawn():
    lines = checks_in_noise_units([check(value=3.0), check(value=9.5, p=0.001)]).axes[0].get_lines()
    points = [
        (line.get_xdata()[0], line.get_color())
        for line in lines
        if line.get_marker() in "Do" and len(line.get_xdata()) == 1
    ]
    assert (3.0, GENERATED) in points
    assert (16.0, ALERT) in points
    assert any(x == -1.0 for x, _ in points)


def test_unknown_reference_and_flat_band_are_survived():
    assert checks_in_noise_units([check(real=None)]) is not None
    assert checks_in_noise_units([TestResult("KS", "a", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, False, "", "")]) is None
    assert checks_in_noise_units([]) is None


def test_many_features_keep_the_worst_and_all_joint_statistics():
    checks = [check(feature=f"x{i}", p=(i + 1) / 101) for i in range(100)] + [check("MMD", None, p=0.9)]
    kept = choose_checks(checks, most=11)
    assert [c.feature for c in kept] == [*(f"x{i}" for i in range(10)), None]


def test_auc_and_its_twin():
    ax = auc(classifier()).axes[0]
    assert "0.600 ± 0.010" in [t.get_text() for t in ax.texts]
    assert "0.500 ± 0.010" in [t.get_text() for t in ax.texts]
    assert ax.get_xlim()[0] < 0.5 < 0.6 < ax.get_xlim()[1]
    assert auc(classifier(0.99)).axes[0].get_xlim()[1] == 1.0


def test_importances_are_sorted():
    bars = importances({"a": 0.01, "b": 0.2}).axes[0].patches
    np.testing.assert_allclose([bar.get_width() for bar in bars], [0.2, 0.01])
    assert importances({}) is None


@pytest.mark.parametrize("n", [1, 40])
def test_any_number_of_checks(n):
    assert checks_in_noise_units([check(feature=f"x{i}", value=1.0 + i) for i in range(n)]) is not None
