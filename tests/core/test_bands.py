"""Bands of replicas against their definition, and what samples are worth against counted events."""

import math

import numpy as np
import pytest

from reverie.core.bands import equivalent_events, equivalent_of_sample, replica_band

Z = 3.9  # two-sided false-alarm rate of 1e-4
N_TRIALS = 20_000


def _coverage(band, R=4, seeds=1 / 3):
    """Return how often a band holds a truth; the events add the variance 1 to a share, seeds add `seeds`."""
    rng = np.random.default_rng(0)
    model = rng.normal(0, 1, N_TRIALS)
    replicas = model + rng.normal(0, np.sqrt(1 + seeds), (R, N_TRIALS))
    middle, half = band(0.02 + 1e-3 * replicas)
    return np.mean(np.abs(middle - 0.02) <= half)


def test_a_band_holds_the_truth_as_often_as_it_says():
    allowed = Z * math.sqrt(0.683 * 0.317 / N_TRIALS)
    assert abs(_coverage(replica_band) - 0.6827) < allowed
    assert abs(_coverage(lambda shares: replica_band(shares, level=0.9)) - 0.9) < allowed
    assert 0.6 < _coverage(replica_band, seeds=0) < 0.6827 - allowed  # what the theory says of the extremes
    assert 0.6827 + allowed < _coverage(replica_band, seeds=1) < 0.8
    # the twin: one standard deviation, as if it were known
    assert abs(_coverage(lambda shares: (shares.mean(0), shares.std(0, ddof=1))) - 0.6827) > allowed


def test_the_noise_of_the_samples_is_no_part_of_the_spread():
    """Replicas of one law, drawn from: the band is the error of all their samples together, t / Z of it."""
    rng = np.random.default_rng(1)
    shares = rng.multinomial(5000, np.full(50, 0.02), size=400) / 5000
    assert np.mean(replica_band(shares, 5000)[1]) < 0.5 * np.mean(replica_band(shares)[1])
    covered = np.abs(shares.mean(axis=0) - 0.02) <= replica_band(shares, 5000)[1]
    assert covered.mean() > 0.68 - Z * math.sqrt(0.683 * 0.317 / 50)


def test_replicas_that_are_samples_of_true_events_are_worth_as_many():
    shares = np.random.default_rng(2).multinomial(1000, np.full(20, 0.05), size=200) / 1000
    found = equivalent_events(shares)
    assert abs(found.value - 1000) < Z * found.error
    assert found.error == pytest.approx(1000 * math.sqrt(2 / (199 * 19)), rel=0.3)  # of a variance in 19 directions
    assert equivalent_events(np.full((3, 4), 0.25)).value == math.inf
    assert math.isnan(equivalent_events(shares[:1]).value)


def test_a_finite_sample_is_worth_less_than_its_size_and_its_model():
    assert equivalent_of_sample(1000, 1000) == 500
    assert equivalent_of_sample(1e12, 300) == pytest.approx(300)
    np.testing.assert_allclose(equivalent_of_sample(np.array([1, 10]), math.inf), [1, 10])
