"""Frechet distance: laws, closed forms (validation reference, section 5.3), bias and its removal, errors, weights."""

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from reverie.core.errors import InputError
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.statistics.frechet import frechet_between, frechet_bias, frechet_columns, frechet_distance

ALPHA = 1e-4  # false-alarm rate of each statistical test in this file
Z = stats.norm.isf(ALPHA / 2)


def _normal(seed, n, d, mean=0.0, sd=1.0):
    return torch.from_numpy(mean + sd * np.random.default_rng(seed).normal(size=(n, d)))


def _dense(x, y):
    means, covariances = zip(*[(s.mean(0), np.cov(s, rowvar=False)) for s in (x.numpy(), y.numpy())], strict=True)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    return np.square(means[0] - means[1]).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


def _tensors(*arrays):
    return [torch.tensor(a, dtype=torch.float64) for a in arrays]


def test_distance_of_two_given_gaussians():
    x, p, q, zero = _tensors([1, 0, -1], np.diag([1, 2, 3]), np.diag([2, 2, 1]), [0, 0, 0])
    assert float(frechet_between(x, p, zero, q)) == pytest.approx(2.7074712601160553, abs=1e-13)
    x, p, q, zero = _tensors([0.5, 0], [[2, 0.5], [0.5, 1]], [[1, -0.3], [-0.3, 1.5]], [0, 0])
    assert float(frechet_between(x, p, zero, q)) == pytest.approx(0.713471189606, abs=1e-12)


def test_a_batch_of_pairs_and_singular_covariances():
    mean, p = torch.zeros(2, 3, dtype=torch.float64), torch.diag(torch.tensor([1.0, 4.0, 0.0])).expand(2, 3, 3)
    q = torch.stack([torch.zeros(3, 3), torch.eye(3)])
    assert frechet_between(mean, p, mean, q).tolist() == pytest.approx([5.0, 0 + 1 + 1], abs=1e-14)


def test_plain_form_equals_the_dense_formula():
    x, y = _normal(0, 300, 6), _normal(1, 200, 6, 0.2, 1.3)
    assert frechet_distance(x, y, debias=None).value == pytest.approx(_dense(x, y), abs=1e-12)
    assert frechet_distance(y, x, debias=None).value == pytest.approx(_dense(x, y), abs=1e-12)
    assert frechet_distance(x + 1e4, y + 1e4, debias=None).value == pytest.approx(_dense(x, y), abs=1e-9)


def test_every_labelling_equals_the_plain_form():
    z = torch.cat([_normal(0, 70, 3), _normal(1, 50, 3, 0.3)])
    relabel = relabellings(70, 50, 5, torch.Generator().manual_seed(0))
    computed = frechet_columns(z, relabel)
    plain = [frechet_distance(z[c], z[~c], debias=None).value for c in relabel.labels.T]
    assert computed.values == pytest.approx(plain, abs=1e-12)
    assert computed.shift == pytest.approx(-np.mean(plain[1:]))
    alone = frechet_columns(z, relabellings(70, 50, 0, torch.Generator()))
    assert alone.values == pytest.approx(plain[:1], abs=1e-12)
    assert alone.value == pytest.approx(frechet_distance(z[:70], z[70:]).value)


def test_jackknife_is_that_of_plain_distances():
    x, y = _normal(0, 60, 2), _normal(1, 60, 2, 0.5)
    relabel = relabellings(60, 60, 0, torch.Generator(), n_groups=4)
    computed = frechet_columns(torch.cat([x, y]), relabel)
    of_x, of_y = relabel.groups[:60], relabel.groups[60:] - 4
    halves = [[_dense(x[of_x != j], y) for j in range(4)], [_dense(x, y[of_y != j]) for j in range(4)]]
    assert computed.error == pytest.approx(np.sqrt(sum(3 / 4 * np.square(h - np.mean(h)).sum() for h in halves)))


def test_unit_weights_change_nothing_and_repeated_rows_are_weights():
    x, y = _normal(0, 40, 2), _normal(1, 40, 2, 0.3)
    same = frechet_distance(x, y, weights=torch.full((80,), 2.5))
    assert same.value == pytest.approx(frechet_distance(x, y).value, abs=1e-13)
    w = torch.cat([torch.tensor([2.0, 0.0]).repeat(20), torch.ones(40)])
    weighted = frechet_distance(x, y, weights=w, debias=None).value
    assert weighted == pytest.approx(frechet_distance(x[::2], y, debias=None).value, abs=1e-12)


def test_constant_samples_and_more_features_than_rows():
    ones = torch.ones(10, 2)
    assert frechet_distance(2 * ones, 0 * ones).value == 8
    assert frechet_distance(ones, ones).value == 0
    x, y = _normal(0, 10, 30), _normal(1, 12, 30)
    assert 0 < frechet_distance(x, y, debias=None).value < 120
    assert frechet_distance(x, x, debias=None).value == pytest.approx(0, abs=1e-10)


def test_bias_of_equal_normal_laws():
    assert float(frechet_bias(*_tensors(np.eye(10), np.eye(10), 1e-4, 1e-4))) == pytest.approx(0.0075, abs=1e-15)
    assert float(frechet_bias(*_tensors(np.eye(36), np.eye(36), 2e-5, 2e-5))) == pytest.approx(0.01476, abs=1e-15)


def _null(n, d, debias, runs=60, sd=1.0):
    pairs = [(_normal([s, 0], n, d) * sd, _normal([s, 1], n, d) * sd) for s in range(runs)]
    values = np.array([frechet_distance(x, y, debias=debias, random_state=0).value for x, y in pairs])
    return values.mean(), values.std(ddof=1) / np.sqrt(runs)


def test_plain_distance_of_equal_laws_has_the_known_bias():
    mean, error = _null(1000, 5, None)
    assert abs(mean - 0.025) < Z * error + 0.02 * 0.025  # the formula is of leading order
    assert abs(mean) > Z * error  # the twin: plain FD is not unbiased


@pytest.mark.parametrize("debias", ["analytic", "permutation", pytest.param("extrapolation", marks=pytest.mark.slow)])
@pytest.mark.parametrize("n", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_debiased_distance_of_equal_laws_is_zero_on_average(n, debias):
    scale = torch.tensor([0.5, 1.0, 2.0, 1.0, 3.0])
    mean, error = _null(n, 5, debias, sd=scale, runs=16)
    assert abs(mean) < Z * error
    biased, error = _null(n, 5, None, sd=scale, runs=16)
    assert abs(biased) > Z * error  # the twin: without it the same test fails


@pytest.mark.slow  # mean of 60 samples; one by its definition: test_every_labelling_equals_the_plain_form
def test_permutations_remove_the_bias_of_long_tails_too():
    values = []
    for seed in range(60):
        rows = torch.from_numpy(np.random.default_rng(seed).standard_t(5, size=(1000, 3)))
        relabel = relabellings(500, 500, 30, torch.Generator().manual_seed(seed))
        values.append([frechet_columns(rows, relabel).value, frechet_distance(rows[:500], rows[500:]).value])
    mean, error = np.mean(values, axis=0), np.std(values, axis=0) / np.sqrt(60)
    assert abs(mean[0]) < Z * error[0]
    assert mean[1] > 0.004  # the analytic form takes Gaussian fourth moments


@pytest.mark.slow  # coverage; one error: test_jackknife_is_that_of_plain_distances
def test_errors_cover_the_truth_under_a_shift():
    # FD = 3 (0.5^2 + 0.2^2) exactly; the error holds the fluctuations of both samples
    pulls = []
    for seed in range(150):
        measured = frechet_distance(_normal([seed, 0], 800, 3), _normal([seed, 1], 500, 3, 0.5, 1.2))
        pulls.append((measured.value - 3 * 0.29) / measured.error)
    assert abs(np.mean(pulls)) < Z / np.sqrt(150) + 0.05
    assert stats.binomtest(int(np.sum(np.abs(pulls) < 1)), 150, 0.683).pvalue > ALPHA
    assert stats.binomtest(int(np.sum(np.abs(pulls) < 1 / 3)), 150, 0.683).pvalue < ALPHA  # the twin


def test_sees_what_it_should():
    x, y = _normal(0, 400, 4), _normal(1, 400, 4)
    y[:, 1] = 0.6 * y[:, 0] + 0.8 * y[:, 1]
    values = frechet_columns(torch.cat([x, y]), relabellings(400, 400, 99, torch.Generator().manual_seed(0))).values
    assert values[0] > values[1:].max()
    assert "covariances" in frechet_columns(torch.cat([x, y]), relabellings(400, 400, 0, torch.Generator())).detail


def test_bad_input_is_refused():
    x = _normal(0, 20, 2)
    with pytest.raises(InputError):
        frechet_distance(x, x[:, :1])
    with pytest.raises(InputError):
        frechet_distance(x, x[:1])
    with pytest.raises(InputError):
        frechet_distance(x, x, debias="none")


@pytest.mark.slow
@pytest.mark.parametrize("d", [20, 64])
def test_large_samples_take_seconds(d):
    z = _normal(0, 40_000, d)
    computed = frechet_columns(z, relabellings(20_000, 20_000, 500, torch.Generator().manual_seed(0)))
    assert computed.shift == pytest.approx(-d * (d + 5) / 40_000, rel=0.02)
