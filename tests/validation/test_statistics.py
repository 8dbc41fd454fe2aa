"""Distances between distributions against closed forms (validation reference, section 5.1) and SciPy."""

import inspect
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.validation.parallel import shared
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.statistics.correlations import correlation_columns, correlation_difference
from reverie.validation.statistics.kernels import energy_distance
from reverie.validation.statistics.marginal import (
    anderson_darling,
    energy_distance_1d,
    ks_distance,
    marginal_columns,
    wasserstein_1d,
)
from reverie.validation.statistics.sliced import (
    draw_directions,
    sliced_columns,
    sliced_energy_distance,
    sliced_wasserstein,
    sphere_constant,
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

AXIS = torch.ones(1, 1, dtype=torch.float64)  # the one direction of one feature


def _relabel(n, m, n_permutations=0, **settings):
    return relabellings(n, m, n_permutations, torch.Generator().manual_seed(0), **settings)


@pytest.mark.parametrize(("other", "ks", "w1", "w2"), CLOSED_FORMS)
def test_normal_laws_have_their_closed_form_distances(other, ks, w1, w2):
    assert float(ks_distance(GRID[:, None], other[:, None])) == pytest.approx(ks, abs=1e-4)
    assert float(wasserstein_1d(GRID, other)) == pytest.approx(w1, abs=2e-4)
    assert float(wasserstein_1d(GRID, other, p=2)) == pytest.approx(w2, abs=2e-3)


@pytest.mark.parametrize(("shift", "expected"), [(0.5, 0.1395963147), (1.0, 0.5418065793)])
def test_energy_distance_of_shifted_normals(shift, expected):
    assert float(energy_distance_1d(GRID, GRID + shift)) == pytest.approx(expected, abs=2e-4)


def _scholz_stephens(x, y):
    # equation 6 of Scholz and Stephens (1987), term by term
    z, counts = np.unique(np.concatenate([x, y]), return_counts=True)
    N, total = len(x) + len(y), 0.0
    for sample in (x, y):
        for t, count in zip(z[:-1], counts[:-1], strict=True):
            B, M = (np.concatenate([x, y]) <= t).sum(), (sample <= t).sum()
            total += count / N * (N * M - len(sample) * B) ** 2 / (B * (N - B)) / len(sample)
    return total


@pytest.mark.parametrize("levels", [3, 20, 10**9])
def test_marginals_equal_scipy_for_unequal_sizes_and_ties(levels):
    r = np.random.default_rng(levels)
    z = np.concatenate([r.integers(0, levels, 57), r.integers(0, levels, 101)]) / 7
    relabel = _relabel(57, 101, 5)
    ((ks, ad),) = marginal_columns(torch.from_numpy(z)[:, None], relabel)
    w1, energy = sliced_columns(torch.from_numpy(z)[:, None], relabel, AXIS)
    for b, of_x in enumerate(relabel.labels.T.numpy()):
        x, y = z[of_x], z[~of_x]
        assert ks.values[b] == pytest.approx(stats.ks_2samp(x, y).statistic, abs=1e-7)
        assert w1.values[b] == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-5)
        assert energy.values[b] == pytest.approx(stats.energy_distance(x, y) ** 2, rel=1e-5)
        assert ad.values[b] == pytest.approx(_scholz_stephens(x, y), rel=1e-5)


@pytest.mark.filterwarnings("ignore:p-value")
def test_anderson_darling_is_that_of_scipy_up_to_its_standardisation():
    # (A^2 - 1)/sigma, where sigma depends on the sizes alone
    options = inspect.signature(stats.anderson_ksamp).parameters
    right = {"variant": "right"} if "variant" in options else {"midrank": False}
    r, sigma = np.random.default_rng(0), []
    for shift in (0.0, 0.3, 1.0):
        x, y = r.normal(size=40).round(1), (r.normal(size=70) + shift).round(1)
        ours = float(anderson_darling(torch.from_numpy(x)[:, None], torch.from_numpy(y)[:, None]))
        sigma.append((ours - 1) / stats.anderson_ksamp([x, y], **right).statistic)
    np.testing.assert_allclose(sigma, sigma[0], rtol=1e-9)


def test_ks_of_equal_sizes_is_an_exact_fraction():
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(3000, 1)))
    steps = marginal_columns(z, _relabel(1500, 1500, 50))[0][0].values * 1500
    np.testing.assert_allclose(steps, steps.round(), rtol=1e-14)
    assert len(np.unique(steps)) == len(np.unique(steps.round()))  # equal ones are equal to the last digit


def test_equal_values_everywhere_have_no_distance():
    z, relabel = torch.full((8, 1), 3.0), _relabel(4, 4, 2)
    for computed in (*marginal_columns(z, relabel)[0], *sliced_columns(z, relabel, AXIS)):
        assert computed.values.tolist() == [0.0] * 3


def test_long_samples_cross_the_blocks_of_the_running_sum():
    r = np.random.default_rng(0)
    x, y = r.normal(size=1000), r.normal(size=777) + 0.1
    z, relabel = torch.from_numpy(np.concatenate([x, y]))[:, None], _relabel(1000, 777)
    assert marginal_columns(z, relabel)[0][0].value == pytest.approx(stats.ks_2samp(x, y).statistic, abs=1e-9)  # counts
    assert sliced_columns(z, relabel, AXIS)[0].value == pytest.approx(
        stats.wasserstein_distance(x, y), rel=1e-5
    )  # single precision


def test_threads_change_nothing_and_leave_the_setting_alone():
    z, relabel = torch.randn(300, 5, generator=torch.Generator().manual_seed(0)), _relabel(150, 150, 20)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [ad.values for _, ad in marginal_columns(z, relabel)]
        torch.set_num_threads(2)
        together = [ad.values for _, ad in marginal_columns(z, relabel)]
        assert list(shared(lambda _: torch.get_num_threads(), range(4))) == [1] * 4
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(alone, together)


def test_negative_weights_are_part_of_the_measure():
    # a row of weight -1 takes an equal row away
    x, y = torch.tensor([1.0, 2.0, 5.0, 5.0]), torch.tensor([1.0, 3.0, 4.0, 4.0])
    signed = torch.tensor([1.0, 1.0, 1.0, -1.0])
    for distance in (ks_distance, partial(energy_distance, unbiased=False)):
        with_rest = float(distance(x[:, None], y[:, None], signed, signed))
        assert with_rest == pytest.approx(float(distance(x[:2, None], y[:2, None])))
    z, w = (torch.cat([half.repeat(10) for half in pair]) for pair in ((x, y), (signed, signed)))
    relabel = _relabel(40, 40, 20, weights=w)
    assert sliced_columns(z[:, None], relabel, AXIS)[0].values[0] == pytest.approx(
        stats.wasserstein_distance(x[:2], y[:2])
    )
    assert np.isfinite(marginal_columns(z[:, None], relabel)[0][1].values).all()


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


def test_anderson_darling_of_equal_laws_has_mean_one():
    # exactly, without ties (Scholz and Stephens 1987: k - 1); false-alarm rate 1e-4 over 4,000 permutations
    z = torch.randn(60, 1, generator=torch.Generator().manual_seed(0))
    relabel = _relabel(20, 40, 4000)
    values, tied = (marginal_columns(rows, relabel)[0][1].values[1:] for rows in (z, z.sign()))
    limit = stats.norm.isf(0.5e-4) * values.std() / math.sqrt(4000)
    assert abs(values.mean() - 1) < limit
    # twin: two levels are one place, not N - 1
    assert abs(tied.mean() - 1) > limit


def test_directions_are_orthonormal_frames_and_one_axis_in_one_dimension():
    theta = draw_directions(7, 17, torch.Generator().manual_seed(0))
    assert theta.shape == (7, 17)
    for frame in (theta[:, :7], theta[:, 7:14]):
        torch.testing.assert_close(frame.T @ frame, torch.eye(7, dtype=torch.float64))
    torch.testing.assert_close(theta.norm(dim=0), torch.ones(17, dtype=torch.float64))
    assert draw_directions(1, 20, torch.Generator()).tolist() == [[1.0]]


def _mean_direction_error(theta):
    # (mean of the first component) in standard errors: its variance is 1/d
    return float(theta[0].mean().abs()) * math.sqrt(theta.shape[1] * theta.shape[0])


def test_directions_are_uniform_on_the_sphere():
    # one direction of each of 2,000 frames: mean 0 and E|theta_1| = 1/c_D; false-alarm rate 1e-4 each
    generator = torch.Generator().manual_seed(0)
    first = torch.cat([draw_directions(3, 1, generator) for _ in range(2000)], dim=1)
    z = stats.norm.isf(0.5e-4)
    assert _mean_direction_error(first) < z
    assert _mean_direction_error(first.abs()) > z  # twin: the frames of QR without their signs lie in a half space
    spread = math.sqrt((1 / 3 - 1 / sphere_constant(3) ** 2) / 2000)
    assert abs(float(first[0].abs().mean()) - 1 / sphere_constant(3)) < z * spread


@pytest.mark.parametrize("d", [2, 10, 50])
def test_sliced_wasserstein_of_a_shift(d):
    # SW2^2 = |mu|^2 / D, exact over whole frames; SW1 = |mu| / c_D up to the spread over directions, at most
    # that of independent ones; false-alarm rate 1e-4
    generator = torch.Generator().manual_seed(d)
    x = torch.randn(6, d, generator=generator, dtype=torch.float64)
    mu = torch.zeros(d, dtype=torch.float64)
    mu[0] = 1.5
    n, z = 800, stats.norm.isf(0.5e-4)
    w2 = float(sliced_wasserstein(x, x + mu, p=2, n_directions=n, generator=generator)) ** 2
    w1 = float(sliced_wasserstein(x, x + mu, n_directions=n, generator=generator))
    assert w2 == pytest.approx(1.5**2 / d, rel=1e-9)
    assert abs(w1 - 1.5 / sphere_constant(d)) < z * 1.5 * math.sqrt((1 / d - 1 / sphere_constant(d) ** 2) / n)


@pytest.mark.parametrize("m", [40, 55])
def test_sliced_wasserstein_is_the_mean_over_its_directions(m, monkeypatch):
    x, y = (
        torch.randn(40, 3, generator=torch.Generator().manual_seed(1)).double(),
        torch.rand(m, 3, generator=torch.Generator().manual_seed(2)).double(),
    )
    shadows = [
        (t @ x.numpy().T, t @ y.numpy().T) for t in draw_directions(3, 50, torch.Generator().manual_seed(0)).T.numpy()
    ]
    whole = float(sliced_wasserstein(x, y))
    assert whole == pytest.approx(np.mean([stats.wasserstein_distance(*pair) for pair in shadows]), rel=1e-12)
    monkeypatch.setattr("reverie.validation.statistics.sliced._AT_ONCE", 7 * m)
    assert float(sliced_wasserstein(x, y)) == pytest.approx(whole, rel=1e-14)


@pytest.mark.parametrize("d", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_sliced_energy_is_the_energy_distance(d):
    # the identity |x| = c_D E|theta.x| holds for every pair; false-alarm rate 1e-4 over 30 sets of directions
    generator = torch.Generator().manual_seed(d)
    x, y = torch.randn(80, d, generator=generator).double(), torch.randn(60, d, generator=generator).double() + 0.5
    values = [float(sliced_energy_distance(x, y, n_directions=20, generator=generator)) for _ in range(30)]
    limit = stats.t.isf(0.5e-4, 29) * np.std(values, ddof=1) / math.sqrt(30)
    assert abs(np.mean(values) - float(energy_distance(x, y))) < limit
    one = [float(sliced_energy_distance(x, y, n_directions=20, generator=generator)) for _ in range(30)]
    assert abs(np.mean(one) / sphere_constant(d) - float(energy_distance(x, y))) > limit  # twin: without c_D


def test_both_sliced_distances_come_from_the_same_directions():
    x, y = torch.randn(40, 3, generator=torch.Generator().manual_seed(1)).double(), torch.zeros(55, 3).double()
    theta = draw_directions(3, 50, torch.Generator().manual_seed(0))
    w1, energy = sliced_columns(torch.cat([x, y]), _relabel(40, 55), theta)
    assert w1.value == pytest.approx(float(sliced_wasserstein(x, y)), rel=1e-5)
    shadows = [stats.energy_distance(*(s.numpy() @ t for s in (x, y))) ** 2 for t in theta.T.numpy()]
    assert energy.values[0] == pytest.approx(np.mean(shadows), rel=1e-5)


def test_correlations_equal_numpy_for_every_labelling():
    r = np.random.default_rng(0)
    z = r.normal(size=(90, 4)) @ r.normal(size=(4, 4)) + 5
    relabel = _relabel(40, 50, 3)
    values = correlation_columns(torch.from_numpy(z), relabel).values
    for value, of_x in zip(values, relabel.labels.T.numpy(), strict=True):
        assert value == pytest.approx(np.linalg.norm(np.corrcoef(z[of_x].T) - np.corrcoef(z[~of_x].T)), rel=1e-5)


def test_the_pair_that_changed_most_is_named():
    r = np.random.default_rng(0)
    z = r.normal(size=(800, 4))
    z[400:, 2] = 0.6 * z[400:, 1] + 0.8 * z[400:, 2]
    detail = correlation_columns(
        torch.from_numpy(z), _relabel(400, 400, 20), names=["a", "b", "c", "d"], sides=("real", "generated")
    ).detail
    assert detail.startswith("correlation of b with c (")
    assert detail.endswith("in generated)")


def test_a_constant_feature_has_no_correlation_and_no_nan():
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)).double()
    y = x.clone()
    y[:, 2] = 4.0
    assert torch.isfinite(correlation_difference(x, y))
    assert np.isfinite(correlation_columns(torch.cat([x, y]), _relabel(30, 30, 5)).values).all()


def test_samples_that_cannot_be_compared_are_refused():
    with pytest.raises(InputError, match="same features"):
        ks_distance(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(InputError, match="one weight per row"):
        ks_distance(torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(3), torch.ones(4))
    with pytest.raises(InputError, match="at least two features"):
        correlation_columns(torch.zeros(8, 1), _relabel(4, 4))
