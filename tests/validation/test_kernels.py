"""Energy distance and MMD against closed forms (validation reference, sections 5.1 and 5.2) and dense sums."""

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.validation.kernels import (
    energy_distance,
    energy_kernel,
    gaussian_kernel,
    kernel_distances,
    median_distance,
    mmd,
)
from reverie.validation.permutation import random_labels

ALPHA = 1e-4  # false-alarm rate of each statistical test in this file


def _normal(seed, n, d, mean=0.0, sd=1.0):
    x = np.random.default_rng(seed).normal(size=(n, d)) * sd
    x[:, 0] += mean  # a shift of length `mean`
    return torch.from_numpy(x)


def _dense(z, labels, kernel, unbiased):
    K = kernel(torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist").square())
    x, y = labels.bool(), ~labels.bool()
    n, m, k0 = int(x.sum()), int(y.sum()), float(kernel(torch.zeros(1, dtype=z.dtype)))
    cut, a, b = (k0, n - 1, m - 1) if unbiased else (0.0, n, m)
    within = (K[x][:, x].sum() - n * cut) / (n * a) + (K[y][:, y].sum() - m * cut) / (m * b)
    return float(within - 2 * K[x][:, y].mean())


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("block_size", [1, 7, 64, 10_000])
def test_blocks_and_labellings_equal_the_dense_sum(block_size, unbiased):
    z = _normal(0, 83, 3)
    labels = random_labels(30, 53, 4, torch.Generator().manual_seed(0)).double()
    kernels = [energy_kernel, gaussian_kernel(0.7), gaussian_kernel(3.0)]
    values = kernel_distances(z, labels, kernels, unbiased=unbiased, block_size=block_size)
    for k, kernel in enumerate(kernels):
        for b in range(5):
            assert float(values[k, b]) == pytest.approx(_dense(z, labels[:, b], kernel, unbiased), abs=1e-12)


def test_single_precision_products_do_not_depend_on_the_block_size():
    z = _normal(1, 900, 6)
    labels = random_labels(500, 400, 20, torch.Generator().manual_seed(0))
    kernels = [energy_kernel, gaussian_kernel(0.8), gaussian_kernel(13.0)]
    exact = kernel_distances(z, labels.double(), kernels)
    for block_size in (50, 333, 1024):
        single = kernel_distances(z, labels, kernels, block_size=block_size)
        torch.testing.assert_close(single, exact, atol=1e-6, rtol=0)


def test_energy_distance_of_two_sequences_is_the_square_of_scipy():
    x = torch.arange(100.0, dtype=torch.float64)
    value = float(energy_distance(x[:, None], x[:, None] ** 2, unbiased=False))
    assert value == pytest.approx(3146.5236, abs=1e-4)
    assert value == pytest.approx(stats.energy_distance(x.numpy(), x.numpy() ** 2) ** 2, rel=1e-9)


@pytest.mark.parametrize(("shift", "expected"), [(0.5, 0.1395963147), (1.0, 0.5418065793)])
def test_energy_distance_of_shifted_normals(shift, expected):
    grid = torch.from_numpy(stats.norm.ppf((np.arange(3000) + 0.5) / 3000))[:, None]
    assert float(energy_distance(grid, grid + shift, unbiased=False)) == pytest.approx(expected, abs=2e-4)


def _mean_and_limit(values):
    # Student's t over independent repetitions
    limit = stats.t.isf(ALPHA / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values), limit


CASES = {  # name: (statistic, d, shift, sd of the second, closed form)
    "energy D = 2": (energy_distance, 2, 1.0, 1.0, 0.4298213646),
    "energy D = 10": (energy_distance, 10, 1.0, 1.0, 0.2158628765),
    "energy, same law": (energy_distance, 3, 0.0, 1.0, 0.0),
    "mmd shift .5": (lambda x, y: mmd(x, y, bandwidth=1.0), 1, 0.5, 1.0, 0.047123955848),
    "mmd shift 1": (lambda x, y: mmd(x, y, bandwidth=1.0), 1, 1.0, 1.0, 0.177267634920),
    "mmd sd 1.5": (lambda x, y: mmd(x, y, bandwidth=1.0), 1, 0.0, 1.5, 0.033609201756),
    "mmd D = 10": (lambda x, y: mmd(x, y, bandwidth=10**0.5), 10, 1.0, 1.0, 0.032801683779),
    "mmd D = 20": (lambda x, y: mmd(x, y, bandwidth=40**0.5), 20, 0.5, 1.0, 0.003648813082),
    "mmd, same law": (lambda x, y: mmd(x, y, bandwidth=1.0), 3, 0.0, 1.0, 0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_unbiased_distances_have_their_closed_form_mean(case):
    statistic, d, shift, sd, expected = CASES[case]
    values = [float(statistic(_normal(2 * i, 400, d), _normal(2 * i + 1, 300, d, shift, sd))) for i in range(40)]
    mean, limit = _mean_and_limit(values)
    assert abs(mean - expected) < limit


def test_the_biased_form_fails_the_test_of_the_mean():
    values = [float(mmd(_normal(2 * i, 400, 3), _normal(2 * i + 1, 300, 3), unbiased=False)) for i in range(40)]
    mean, limit = _mean_and_limit(values)
    assert abs(mean) > limit


def test_median_distance_survives_copies():
    z = torch.zeros(50, 2)
    assert median_distance(z, torch.Generator().manual_seed(0)) == 1.0
    z[0] = 3.0
    assert median_distance(z, torch.Generator().manual_seed(0)) == pytest.approx(3 * 2**0.5)


def test_a_bandwidth_must_be_positive():
    with pytest.raises(InputError, match="bandwidth"):
        gaussian_kernel(0.0)
