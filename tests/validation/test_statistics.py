"""Distances between distributions against closed forms (validation reference, section 5.1) and SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.validation.permutation import random_labels
from reverie.validation.statistics import (
    correlation_change,
    correlation_difference,
    distribution_distances,
    draw_directions,
    ks_distance,
    sliced_wasserstein,
    sliced_wasserstein_labelled,
    sphere_constant,
    wasserstein_1d,
)

GRID = torch.from_numpy(stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000))  # N(0, 1) without noise

# second law, KS, W1, W2 against N(0, 1)
CLOSED_FORMS = [
    (GRID + 0.1, 0.03987761, 0.1, 0.1),
    (GRID + 0.5, 0.19741265, 0.5, 0.5),
    (GRID + 1, 0.38292492, 1.0, 1.0),
    (GRID + 2, 0.68268949, 2.0, 2.0),
    (GRID * 1.1, 0.02304483, 0.07978846, 0.1),
    (GRID * 1.5, 0.09679005, 0.39894228, 0.5),
    (GRID * 2, 0.16133728, 0.79788456, 1.0),
]


@pytest.mark.parametrize(("other", "ks", "w1", "w2"), CLOSED_FORMS)
def test_normal_laws_have_their_closed_form_distances(other, ks, w1, w2):
    assert float(ks_distance(GRID[:, None], other[:, None])) == pytest.approx(ks, abs=1e-4)
    assert float(wasserstein_1d(GRID, other)) == pytest.approx(w1, abs=2e-4)
    assert float(wasserstein_1d(GRID, other, p=2)) == pytest.approx(w2, abs=2e-3)


@pytest.mark.parametrize("levels", [3, 20, 10**9])
def test_ks_and_w1_equal_scipy_for_unequal_sizes_and_ties(levels):
    r = np.random.default_rng(levels)
    x, y = r.integers(0, levels, 57) / 7, r.integers(0, levels, 101) / 7 + 0.0
    values = torch.from_numpy(np.concatenate([x, y]))
    labels = random_labels(57, 101, 5, torch.Generator().manual_seed(0))
    ks, w1 = distribution_distances(values, labels)
    for b in range(6):
        chosen = labels[:, b].bool()
        a, c = values[chosen].numpy(), values[~chosen].numpy()
        assert float(ks[b]) == pytest.approx(stats.ks_2samp(a, c).statistic, abs=1e-6)
        assert float(w1[b]) == pytest.approx(stats.wasserstein_distance(a, c), rel=1e-5)
    assert float(wasserstein_1d(torch.from_numpy(x), torch.from_numpy(y))) == pytest.approx(float(w1[0]), rel=1e-5)


def test_equal_values_everywhere_have_no_distance():
    ks, w1 = distribution_distances(torch.full((8,), 3.0), random_labels(4, 4, 2, torch.Generator().manual_seed(0)))
    assert ks.tolist() == w1.tolist() == [0.0] * 3


def test_long_samples_cross_the_blocks_of_the_running_sum():
    r = np.random.default_rng(0)
    x, y = r.normal(size=1000), r.normal(size=777) + 0.1
    ks, w1 = distribution_distances(
        torch.from_numpy(np.concatenate([x, y])), random_labels(1000, 777, 0, torch.Generator())
    )
    assert float(ks[0]) == pytest.approx(stats.ks_2samp(x, y).statistic, abs=1e-6)
    assert float(w1[0]) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-5)


def _null_w1(n, n_used, runs=60):
    r = np.random.default_rng(3)
    draws = [torch.from_numpy(r.normal(size=(2, n))) for _ in range(runs)]
    return np.array([float(wasserstein_1d(d[0, :n_used], d[1, :n_used])) for d in draws])


def test_w1_of_equal_laws_has_the_mean_of_theory():
    # E[W1 | H0] = 2 J / sqrt(pi n), J = 1.6147438534; false-alarm rate 1e-4
    expected = 2 * 1.6147438534 / math.sqrt(math.pi * 10_000)
    assert expected == pytest.approx(0.018220, abs=1e-6)
    values = _null_w1(10_000, 10_000)
    limit = stats.norm.isf(0.5e-4) * values.std() / math.sqrt(len(values))
    assert abs(values.mean() - expected) < limit
    halves = _null_w1(10_000, 5_000)  # twin: batches half as large show a bias that is not in the data
    assert abs(halves.mean() - expected) > limit


def test_directions_are_unit_vectors_and_one_axis_in_one_dimension():
    theta = draw_directions(7, 20, torch.Generator().manual_seed(0))
    assert theta.shape == (7, 20)
    torch.testing.assert_close(theta.norm(dim=0), torch.ones(20, dtype=torch.float64))
    assert draw_directions(1, 20, torch.Generator()).tolist() == [[1.0]]


@pytest.mark.parametrize("d", [2, 10, 50])
def test_sliced_wasserstein_of_a_shift(d):
    # SW2^2 = |mu|^2 / D and SW1 = |mu| / c_D, up to the spread over directions; false-alarm rate 1e-4 each
    generator = torch.Generator().manual_seed(d)
    x = torch.randn(6, d, generator=generator, dtype=torch.float64)
    mu = torch.zeros(d, dtype=torch.float64)
    mu[0] = 1.5
    n, z = 800, stats.norm.isf(0.5e-4)
    w2 = float(sliced_wasserstein(x, x + mu, p=2, n_directions=n, generator=generator)) ** 2
    w1 = float(sliced_wasserstein(x, x + mu, n_directions=n, generator=generator))
    assert abs(w2 - 1.5**2 / d) < z * 1.5**2 * math.sqrt(2 * (d - 1) / (d**2 * (d + 2)) / n)
    assert abs(w1 - 1.5 / sphere_constant(d)) < z * 1.5 * math.sqrt((1 / d - 1 / sphere_constant(d) ** 2) / n)


def test_labelled_and_plain_sliced_wasserstein_agree():
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(40, 3, generator=generator).double(), torch.randn(55, 3, generator=generator).double()
    theta = draw_directions(3, 50, torch.Generator().manual_seed(0))
    labelled = sliced_wasserstein_labelled(torch.cat([x, y]), random_labels(40, 55, 0, generator), theta)
    assert float(labelled[0]) == pytest.approx(float(sliced_wasserstein(x, y)), rel=1e-5)


def test_correlation_change_equals_numpy_for_every_labelling():
    r = np.random.default_rng(0)
    z = r.normal(size=(90, 4)) @ r.normal(size=(4, 4)) + 5
    labels = random_labels(40, 50, 3, torch.Generator().manual_seed(0))
    norm, r_x, r_y = correlation_change(torch.from_numpy(z), labels)
    above = np.triu_indices(4, 1)
    for b in range(4):
        chosen = labels[:, b].bool().numpy()
        first, second = np.corrcoef(z[chosen].T), np.corrcoef(z[~chosen].T)
        np.testing.assert_allclose(r_x[b], first[above], atol=1e-10)
        np.testing.assert_allclose(r_y[b], second[above], atol=1e-10)
        assert float(norm[b]) == pytest.approx(np.linalg.norm(first - second), rel=1e-9)


def test_a_constant_feature_has_no_correlation_and_no_nan():
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)).double()
    y = x.clone()
    y[:, 2] = 4.0
    assert torch.isfinite(correlation_difference(x, y))


def test_samples_of_other_shapes_are_refused():
    with pytest.raises(InputError, match="same features"):
        ks_distance(torch.zeros(4, 2), torch.zeros(4, 3))
