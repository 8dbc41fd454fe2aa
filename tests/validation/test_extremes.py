"""One entry far out, and tails without a variance: no statistic is NaN, none is blind without a word."""

import numpy as np
import pytest
import torch

import reverie
from reverie.validation import precision_recall_density_coverage, statistics
from reverie.validation.inputs.samples import gather_samples

QUICK = {"n_permutations": 99, "classifiers": (), "calibrate": False, "random_state": 0}
BY_MOMENTS = {"correlation difference", "Frechet distance", "polynomial MMD"}


def _normal(n, seed, shift=0.0, d=3):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def test_one_huge_entry_hides_a_shift_from_no_distance():
    real, generated, other = _normal(250, 0), _normal(250, 1, shift=0.6), _normal(250, 2)
    generated[7, 1] = 1e12
    found = reverie.validate(real, generated, calibration=other, names=["a", "b", "c"], **QUICK)
    p = {check.name: check.p_value for check in found.checks if check.feature is None}
    assert all(np.isfinite([check.value, check.p_value]).all() for check in found.checks)
    assert max(p[name] for name in ("energy distance", "MMD", "sliced Wasserstein", "kNN labels")) == 0.01
    assert any(note.startswith("b: one event holds more than a third of the variance") for note in found.warnings)
    assert any("logarithmic scale" in note for note in found.warnings)


@pytest.mark.slow  # quick: one huge entry hides a shift from no distance
def test_tails_without_a_variance_leave_every_number_finite():
    r = np.random.default_rng(0)
    real, generated, other = (r.standard_cauchy((250, 3)) for _ in range(3))
    found = reverie.validate(real, generated + 1, calibration=other, **QUICK)
    assert all(np.isfinite([check.value, check.p_value]).all() for check in found.checks)
    p = {check.name: check.p_value for check in found.checks if check.feature is None}
    assert max(p[name] for name in ("energy distance", "MMD")) <= 0.05


def test_ordinary_events_cause_no_word_and_keep_their_scale():
    samples = gather_samples(_normal(300, 0), _normal(300, 1), _normal(300, 2), names=None, seed=0, max_samples=300)
    assert not samples.warnings
    values = samples.reference.values
    np.testing.assert_array_equal(samples.scaled(values), (values - samples.centre) / samples.scale)
    far = np.array([[1e12, -60.0, 3.0]])
    np.testing.assert_allclose(samples.unscaled(samples.scaled(far), range(3)), far)


@pytest.mark.parametrize("name", ["energy_distance", "mmd"])
def test_plain_distances_of_the_other_events_survive_one_huge_entry(name):
    x, y = torch.from_numpy(_normal(200, 0)), torch.from_numpy(_normal(200, 1, shift=1.0))
    both = x.clone(), y.clone()
    for part in both:  # the same row far out in both samples adds next to nothing
        part[0] = 1e8
    distance = getattr(statistics, name)
    assert float(distance(*both, unbiased=False)) == pytest.approx(float(distance(x, y, unbiased=False)), rel=0.1)


def test_balls_about_other_events_do_not_grow_with_one_huge_entry():
    real, generated = torch.from_numpy(_normal(200, 0)), torch.from_numpy(_normal(200, 1, shift=3.0))
    generated[0] = 1e12
    found = precision_recall_density_coverage(real, generated)
    assert found.precision < 0.3
    assert found.coverage < 0.3  # recall is 1 by its definition: the ball about that entry holds everything
