"""Numbers behind the histograms, against values that can be worked out by hand or by SciPy."""

import numpy as np
import pytest
from scipy import stats

from reverie.plots.binning import bin_columns, chi_square, plot_range, poisson_interval

RNG = np.random.default_rng(0)


def test_garwood_interval_of_zero_and_three():
    low, high = poisson_interval(np.array([0, 3]))
    np.testing.assert_allclose(low, [0.0, 1.367], atol=2e-3)  # tabulated, e.g. PDG statistics review
    np.testing.assert_allclose(high, [1.841, 5.918], atol=2e-3)


def test_no_event_is_lost():
    real, generated = RNG.standard_cauchy(5000), RNG.standard_cauchy(3000)
    b = bin_columns(real, generated)
    assert b.real.sum() + sum(b.outside_real) == b.n_real == 5000
    assert b.generated.sum() + sum(b.outside_generated) == b.n_generated == 3000
    assert min(b.outside_real) > 0


def test_nan_and_inf_are_left_out():
    b = bin_columns(np.array([0.0, 1.0, np.nan, np.inf] * 20), np.array([0.5] * 10))
    assert (b.n_real, b.n_generated) == (40, 10)


def test_integer_bins_are_centred_on_integers():
    b = bin_columns(RNG.poisson(4, 2000), RNG.poisson(4, 2000), kind="integer")
    assert b.discrete
    np.testing.assert_allclose(b.centres, np.round(b.centres))
    assert np.allclose(np.diff(b.edges), 1)


def test_spins_have_two_bins_and_wide_integers_at_most_sixty():
    assert len(bin_columns(RNG.choice([-1, 1], 100), np.empty(0), kind="spin").centres) == 2
    wide = bin_columns(RNG.integers(0, 10_000, 5000), np.empty(0), kind="integer")
    assert len(wide.centres) <= 61
    assert wide.real.sum() + sum(wide.outside_real) == 5000


@pytest.mark.parametrize(("low", "high"), [(-np.pi, np.pi), (0, 2 * np.pi), (0, 360)])
def test_periodic_columns_show_the_full_circle(low, high):
    assert plot_range(RNG.uniform(low + 0.01, high - 0.01, 500), "periodic") == pytest.approx((low, high))


def test_one_event_far_away_does_not_stretch_the_range():
    values = np.append(RNG.normal(size=5000), 1e6)
    assert plot_range(values)[1] < 10
    assert plot_range(values, "bounded")[1] == 1e6


def test_exponential_is_heavy_and_gaussian_is_not():
    nothing = np.empty(0)
    assert bin_columns(RNG.exponential(size=5000), nothing).heavy
    assert not bin_columns(RNG.normal(size=5000), nothing).heavy


@pytest.mark.parametrize("values", [np.full(50, 3.0), np.array([1.0]), np.empty(0)])
@pytest.mark.parametrize("kind", ["continuous", "integer", "periodic", "spin"])
def test_degenerate_columns_have_ascending_edges(values, kind):
    assert (np.diff(bin_columns(values, values, kind=kind).edges) > 0).all()


def test_ratio_is_one_for_the_same_shape_at_another_size():
    real = np.repeat([0.5, 1.5, 2.5], 100)
    b = bin_columns(real, np.tile(real, 4), limits=(0, 3), n_bins=3)
    value, down, up = b.ratio()
    np.testing.assert_allclose(value, 1.0)
    np.testing.assert_allclose(up, (poisson_interval(b.generated)[1] - 400) / 400)
    assert (down < up).all()


def test_chi_square_follows_its_distribution_and_sees_a_shift():
    """400 pairs of equal laws: KS of the p-values against uniform at p > 1e-4; a shift of 0.3 gives p < 1e-4."""

    def p(shift):
        counts = [np.histogram(RNG.normal(s, 1, n), np.linspace(-4, 4, 21))[0] for s, n in ((0, 2000), (shift, 3000))]
        chi2, ndf = chi_square(*counts)
        return stats.chi2.sf(chi2, ndf)

    assert stats.kstest([p(0.0) for _ in range(400)], "uniform").pvalue > 1e-4
    assert p(0.3) < 1e-4
