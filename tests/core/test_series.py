"""Autocorrelation times and errors of means: AR(1), whose answer is known, many times over."""

import math

import numpy as np
import pytest
from scipy import signal, stats

from reverie.core.errors import InputError
from reverie.core.series import autocorrelation_time, autocovariance, block_length, mean_with_error

ALPHA = 1e-4  # false-alarm rate of each statistical test


def _ar1(rho: float, shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return stationary chains (chain, step) of mean 0 and variance 1."""
    random = np.random.default_rng(seed)
    noise = math.sqrt(1 - rho**2) * random.normal(size=shape)
    start = rho * random.normal(size=(shape[0], 1))
    return signal.lfilter([1], [1, -rho], noise, zi=start)[0]


def _truth(rho: float) -> float:
    return (1 + rho) / (2 * (1 - rho))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, -0.3])
def test_the_time_of_ar1_is_found_within_its_error(rho):
    limit = stats.norm.isf(ALPHA / 2)
    pooled = autocorrelation_time(_ar1(rho, (50, 8000), seed=1))
    assert abs(pooled.value - _truth(rho)) < limit * pooled.error
    assert pooled.error < 0.03 * pooled.value
    assert pooled.n_eff == pytest.approx(400_000 / (2 * pooled.value))


@pytest.mark.parametrize("rho", [pytest.param(0.5, marks=pytest.mark.slow), 0.9])
def test_the_stated_error_of_the_time_is_its_spread(rho):
    """Errors are good to some 10 % (Wolff); the spread of 200 estimates is within chi-square limits of that."""
    times = [autocorrelation_time(chain) for chain in _ar1(rho, (200, 10_000), seed=2)]
    ratio = np.var([t.value for t in times]) / np.mean([t.error**2 for t in times])
    low, high = stats.chi2(199).ppf([ALPHA / 2, 1 - ALPHA / 2]) / 199
    assert low * 0.8 < ratio < high * 1.2
    assert np.mean([t.value for t in times]) == pytest.approx(_truth(rho), rel=0.03)


def _covered(error) -> bool:
    """Whether the pulls of 400 means of AR(1), rho = 0.9, have the variance 1, by chi-square at ALPHA."""
    chains = _ar1(0.9, (400, 6000), seed=3)
    pulls = [chain.mean() / error(chain) for chain in chains]
    p = stats.chi2(400).cdf(np.sum(np.square(pulls)))
    return ALPHA / 2 < p < 1 - ALPHA / 2


def test_errors_of_means_cover_the_truth():
    assert _covered(lambda chain: mean_with_error(chain).error)


def test_the_naive_error_does_not_and_the_test_sees_it():
    assert not _covered(lambda chain: chain.std() / math.sqrt(len(chain)))


def test_autocovariance_is_the_mean_over_pairs():
    x = _ar1(0.5, (3, 40), seed=4)
    centred = x - x.mean()
    plain = [np.mean(centred[:, : 40 - t] * centred[:, t:]) for t in range(40)]
    np.testing.assert_allclose(autocovariance(x), plain, atol=1e-12)


def test_scale_shift_and_order_of_chains_change_nothing():
    x = _ar1(0.8, (4, 1000), seed=5)
    one, other = autocorrelation_time(x), autocorrelation_time(1e6 - 1e-3 * x[::-1])
    assert other.value == pytest.approx(one.value, rel=1e-4)
    assert other.window == one.window


def test_a_constant_series_shows_no_correlation():
    time = autocorrelation_time(np.full((2, 10), 0.1))
    assert (time.value, time.n, time.n_eff) == (0.5, 20, 20.0)
    assert mean_with_error(np.full(10, 0.1)).error == 0


def test_frozen_chains_count_one_each():
    stuck = np.repeat(np.random.default_rng(0).normal(size=(20, 1)), 100, axis=1)
    assert autocorrelation_time(stuck).n_eff == pytest.approx(20, rel=0.1)


def test_an_alternating_series_keeps_a_finite_size():
    time = autocorrelation_time(np.tile([1.0, -1.0], 500))
    assert 0 < time.n_eff <= 1000 * math.log10(1000)


def test_blocks_are_ten_times_as_long():
    assert block_length(0.5) == 5
    assert block_length(9.51) == 96
    assert block_length(autocorrelation_time(np.zeros(10))) == 5


def test_it_reads_as_a_sentence():
    assert str(autocorrelation_time(np.zeros(10))) == "tau_int = 0.5 (n = 10, n_eff = 10)"


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((2, 2, 9)), np.zeros((0, 9)), np.array([0, 1, np.nan, 2, 3])])
def test_what_is_no_series_is_refused(x):
    with pytest.raises(InputError):
        autocorrelation_time(x)


def test_a_series_that_is_constant_up_to_rounding_has_no_memory():
    x = np.full(1000, 0.1)
    x[500] = np.nextafter(0.1, 1)
    assert autocorrelation_time(x).value == 0.5
