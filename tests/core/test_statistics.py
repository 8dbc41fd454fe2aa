"""Statistics that several rooms share: against SciPy and scikit-learn, closed forms, and weights as repeated rows."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from reverie.core.statistics import (
    NeighbourSearch,
    auc,
    effective_size,
    expected_coverage,
    ks_distance,
    mean_and_error,
    weighted_mean,
)

RNG = np.random.default_rng(0)


def test_auc_agrees_with_scikit_learn_and_counts_ties_half():
    a, b = np.array([1.0, 2.0, -1.0]), np.array([0.0, 1.0, 1.0, 3.0])
    assert auc(a, b) == pytest.approx(roc_auc_score([0] * 3 + [1] * 4, np.concatenate([a, b])))
    assert auc(b, b) == 0.5
    assert auc(a, b, (np.array([1, 2, 3]), None)) == pytest.approx(auc(np.repeat(a, [1, 2, 3]), b))


def test_ks_distance_is_that_of_scipy():
    a, b = RNG.normal(size=300), RNG.normal(0.2, 1, 200)
    assert ks_distance(a, b) == pytest.approx(stats.ks_2samp(a, b).statistic)
    assert np.isnan(ks_distance(a, b[:0]))


def test_weights_are_repeated_rows_and_blocks_are_summed():
    x, w = RNG.normal(size=(50, 2)), RNG.integers(1, 4, 50)
    mean = weighted_mean(torch.from_numpy(x), torch.from_numpy(w))
    np.testing.assert_allclose(mean, np.repeat(x, w, axis=0).mean(0))
    assert mean_and_error(x[:, 0], w.astype(float))[0] == pytest.approx(float(mean[0]))
    assert mean_and_error(x[:, 0])[1] == pytest.approx(x[:, 0].std(ddof=1) / 50**0.5)
    assert effective_size(np.ones(30), 3) == pytest.approx(10)
    assert effective_size(np.array([3.0, 1.0])) == pytest.approx(1.6)


@pytest.mark.parametrize("d", [2, 9])
def test_the_nearest_rows_are_those_of_all_distances(d):
    x, y = RNG.normal(size=(40, d)), RNG.normal(size=(12, d))
    distances = np.linalg.norm(y[:, None] - x, axis=2)
    squared, rows = NeighbourSearch(x).nearest(3, y)
    np.testing.assert_array_equal(rows, np.argsort(distances, axis=1)[:, :3])
    np.testing.assert_allclose(np.sqrt(squared), np.sort(distances, axis=1)[:, :3])
    among = np.linalg.norm(x[:, None] - x, axis=2)
    np.testing.assert_array_equal(NeighbourSearch(x).nearest(2)[1], np.argsort(among, axis=1)[:, 1:3])


def test_coverage_of_equal_laws_is_that_of_counting():
    assert expected_coverage(1000, 1000, 5) == pytest.approx(0.96898414, abs=1e-8)
    assert expected_coverage(2, 2, 5) == 1.0
