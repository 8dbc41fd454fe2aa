"""Figures of the digit benchmark: the Fréchet distance against exact answers, shares and recognition by hand."""

import numpy as np
import pytest
from benchmarks.quality.mnist import (
    Verdict,
    figures,
    frechet_distance,
    largest_share_error,
    recognised,
    unbiased_frechet_distance,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 6)) @ RNG.normal(size=(6, 6))


def _verdict(classes, features=None):
    classes = np.asarray(classes)
    return Verdict(np.zeros((len(classes), 2)) if features is None else features, classes, np.ones(len(classes)))


def test_frechet_distance_is_a_distance_that_no_rotation_changes():
    y = X[:300] * 1.3 + 0.2
    rotation = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    assert frechet_distance(X, X) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(X, y) == pytest.approx(frechet_distance(y, X))
    assert frechet_distance(X, y) == pytest.approx(frechet_distance(X @ rotation, y @ rotation))


def test_frechet_distance_of_a_stretched_and_moved_copy_is_exact():
    m = np.arange(6.0)
    expected = m @ m + (1 - 1.5) ** 2 * np.trace(np.cov(X.T))  # covariances S and c^2 S: (1 - c)^2 tr S
    centre = X.mean(axis=0)
    assert frechet_distance(X, centre + 1.5 * (X - centre) + m) == pytest.approx(expected)


def test_frechet_distance_needs_the_correlations():
    shuffled = np.column_stack([RNG.permutation(column) for column in X.T])
    assert frechet_distance(X, shuffled) > 0.1 * np.trace(np.cov(X.T))


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="more samples than the 6 features"):
        frechet_distance(X[:6], X)


def test_extrapolation_removes_most_of_the_bias():
    """50 pairs of 200 draws of one law: the plain mean stands many standard errors above 0, the other within 4."""
    pairs = RNG.normal(size=(50, 2, 200, 4))
    plain = np.array([frechet_distance(a, b) for a, b in pairs])
    unbiased = np.array([unbiased_frechet_distance(a, b) for a, b in pairs])
    assert plain.mean() > 10 * plain.std() / np.sqrt(50)
    assert abs(unbiased.mean()) < 4 * unbiased.std() / np.sqrt(50)  # false alarms: 1 in 16,000, at a fixed seed


def test_shares_and_recognition_by_hand():
    verdict = _verdict([0, 0, 0, 1])
    truth = np.array([0.5, 0.5] + [0.0] * 8)
    assert largest_share_error(verdict, truth) == pytest.approx(25)
    assert recognised(verdict, np.array([0, 0, 1, 1])) == (0.75, 0.5)


def test_figures_without_labels_leave_recognition_open():
    half = np.repeat([0, 1], 250)
    row = figures(_verdict(half, X), _verdict(half, X), np.full(10, 0.1), None)
    assert np.isnan(row["recognised"])
    assert row["share error"] == pytest.approx(40)
    assert row["Frechet"] == pytest.approx(0, abs=1e-6)
