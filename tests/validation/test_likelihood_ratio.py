"""Learned likelihood ratio: against a dense minimisation, known ratios, exact p-values, power against the optimum."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from reverie.core.errors import InputError
from reverie.validation.permutation.multiple_testing import permutation_p
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.statistics.frechet import frechet_columns
from reverie.validation.statistics.kernels import gaussian_kernel, kernel_columns, median_distance
from reverie.validation.statistics.likelihood_ratio import LogRatio, likelihood_ratio_columns, likelihood_ratio_test
from reverie.validation.statistics.marginal import marginal_columns

ALPHA = 1e-4  # false-alarm rate of each statistical test in this file


def _normal(seed, n, d, mean=0.0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    x[:, 0] += mean
    return torch.from_numpy(x)


def _relabel(n, m, n_permutations, seed=0):
    return relabellings(n, m, n_permutations, torch.Generator().manual_seed(seed))


def _dense(x, y, result, ridge):
    # the loss of the module, minimised over kernel coefficients c with |f|^2 = c K c
    kernel = gaussian_kernel(result.bandwidth)
    K, k_x, k_y = (kernel(torch.cdist(s, result.centres).square()).numpy() for s in (result.centres, x, y))
    w = len(y) / len(x)

    values, vectors = np.linalg.eigh(K)
    root = vectors / np.sqrt(values)  # c = root a, so |f|^2 = |a|^2 and the search is well conditioned
    k_x, k_y = k_x @ root, k_y @ root

    def loss(a):
        f_x, f_y = k_x @ a, k_y @ a
        p_x, p_y = 1 / (1 + np.exp(-f_x)), 1 / (1 + np.exp(-f_y))
        value = w * np.logaddexp(0, f_x).sum() + (np.logaddexp(0, f_y) - f_y).sum()
        stiff = ridge * (len(x) + len(y))
        return value + stiff * a @ a, w * k_x.T @ p_x + k_y.T @ (p_y - 1) + 2 * stiff * a

    a = optimize.minimize(loss, np.zeros(len(K)), jac=True, method="BFGS", options={"gtol": 1e-6}).x
    return 2 * ((k_y @ a).sum() - w * np.expm1(k_x @ a).sum())


@pytest.mark.parametrize(("m", "mean"), [(150, 0.5), (400, 0.5), (60, 0.5), (150, 0.0), (150, 4.0)])
def test_fit_is_the_minimum_of_the_loss(m, mean):
    x, y = _normal(0, 150, 2), _normal(1, m, 2, mean)
    result = likelihood_ratio_test(x, y, n_permutations=1, n_centres=15, ridge=1e-3)
    assert result.unconverged == 0
    assert result.value == pytest.approx(_dense(x, y, result.log_ratio, 1e-3), rel=2e-3)


def test_each_labelling_is_fitted_as_if_alone():
    z, relabel = torch.cat([_normal(0, 80, 2), _normal(1, 120, 2, 1.0)]), _relabel(80, 120, 4)
    together = likelihood_ratio_columns(z, relabel, n_centres=20).values
    for b in range(5):
        one = replace(relabel, labels=relabel.labels[:, [b]], weight_of_x=relabel.weight_of_x[[b]])
        assert together[b] == pytest.approx(likelihood_ratio_columns(z, one, n_centres=20).values[0], rel=1e-4)


def test_plain_form_is_the_observed_column():
    x, y = _normal(0, 80, 2), _normal(1, 120, 2, 1.0)
    generator = torch.Generator().manual_seed(3)
    relabel = relabellings(80, 120, 9, generator)
    computed = likelihood_ratio_columns(torch.cat([x, y]), relabel, generator=generator)
    result = likelihood_ratio_test(x, y, n_permutations=9, random_state=torch.Generator().manual_seed(3))
    assert result.value == computed.value
    assert result.p_value == permutation_p(computed.values)
    assert "likelihood ratio" in str(result)


@pytest.mark.parametrize("m", [4000, 12_000])
def test_learns_the_ratio_of_two_normal_laws(m):
    # ln N(x; 1/2, 1)/N(x; 0, 1) = x/2 - 1/8
    x, y = _normal(0, 4000, 1), _normal(1, m, 1, 0.5)
    f = likelihood_ratio_test(x, y, n_permutations=1, n_centres=50, ridge=1e-5).log_ratio
    grid = torch.linspace(-1.5, 2, 15, dtype=torch.float64)[:, None]
    assert isinstance(f, LogRatio)
    assert torch.allclose(f(grid), grid[:, 0] / 2 - 0.125, atol=0.15)


def test_points_at_the_region_where_events_are_missing():
    y = _normal(1, 1500, 2)
    hole = (y - 1).norm(dim=1) < 0.5
    f = likelihood_ratio_test(_normal(0, 1500, 2), y[~hole], n_permutations=1, ridge=1e-5).log_ratio
    grid = torch.cartesian_prod(*[torch.linspace(-2, 2, 21, dtype=torch.float64)] * 2)
    assert (grid[f(grid).argmin()] - 1).norm() < 0.5


def test_samples_far_apart_are_fitted_too():
    result = likelihood_ratio_test(_normal(0, 300, 2), _normal(1, 300, 2, 9.0), n_permutations=19)
    assert result.unconverged == 0
    assert result.p_value == 0.05
    assert float(result.log_ratio(torch.tensor([[9.0, 0.0]]))[0]) > 2


def test_grows_with_the_difference():
    values = [likelihood_ratio_columns(torch.cat([_normal(0, 500, 3), _normal(1, 500, 3, mean)]), _relabel(500, 500, 0))
              for mean in (0.0, 0.3, 0.6, 0.9, 1.2)]  # fmt: skip
    assert np.all(np.diff([computed.value for computed in values]) > 10)


def test_duplicates_and_constant_samples():
    spins = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], size=(200, 4)))
    assert np.isfinite(likelihood_ratio_columns(spins, _relabel(100, 100, 5)).values).all()
    values = likelihood_ratio_columns(torch.ones(40, 2), _relabel(20, 20, 5)).values
    assert values == pytest.approx(0, abs=1e-4)


def test_weights_correct_the_law_of_a_sample():
    # events of N(0, 1) weighted by N(x; 0.4, 1)/N(x; 0, 1) stand for N(0.4, 1)
    x, y = _normal(0, 1000, 1), _normal(1, 1000, 1, 0.4)
    w = torch.cat([torch.exp(0.4 * x[:, 0] - 0.08), torch.ones(1000)])
    assert likelihood_ratio_test(x, y, n_permutations=99).p_value == 0.01
    assert likelihood_ratio_test(x, y, n_permutations=99, weights=w).p_value > 0.1
    plain = likelihood_ratio_test(x, y, n_permutations=1).value
    assert likelihood_ratio_test(x, y, n_permutations=1, weights=torch.full((2000,), 3.0)).value == pytest.approx(plain)


def _p(values, r):
    return ((values > values[0]).sum() + r.uniform() * (values == values[0]).sum()) / len(values)


@pytest.mark.slow  # size; each fit: test_each_labelling_is_fitted_as_if_alone
def test_p_values_are_uniform_under_the_null_and_not_when_the_fits_differ():
    r, honest, broken = np.random.default_rng(0), [], []
    for i in range(60):
        z, relabel = _normal(1000 + i, 45, 2), _relabel(20, 25, 19, seed=i)
        values, stiffer = (
            likelihood_ratio_columns(
                z, relabel, n_centres=10, ridge=ridge, generator=torch.Generator().manual_seed(i)
            ).values.round(6)
            for ridge in (1e-3, 5e-3)
        )
        honest.append(_p(values, r))
        broken.append(_p(np.r_[values[:1], stiffer[1:]], r))  # permutations fitted with a stiffer f
    limit = stats.kstwo.isf(ALPHA, 60)
    assert stats.kstest(honest, stats.uniform().cdf).statistic < limit
    assert stats.kstest(broken, stats.uniform().cdf).statistic > limit


def test_bad_input_is_refused():
    x = _normal(0, 30, 2)
    for bad in ({"n_permutations": 0}, {"ridge": 0.0}, {"n_centres": 0}):
        with pytest.raises(InputError):
            likelihood_ratio_test(x, x, **bad)
    with pytest.raises(InputError):
        likelihood_ratio_test(x, x[:, :1])


def _all_tests(z, relabel):
    kernel = gaussian_kernel(median_distance(z, torch.Generator().manual_seed(0)))
    return {
        "ratio": likelihood_ratio_columns(z, relabel).values,
        "smooth ratio": likelihood_ratio_columns(z, relabel, ridge=1e-2, quantile=0.9).values,
        "rough ratio": likelihood_ratio_columns(z, relabel, ridge=1e-5).values,
        "KS": np.max([ks.values for ks, _ in marginal_columns(z, relabel)], axis=0),
        "MMD": kernel_columns(z, relabel, [kernel])[0].values,
        "FD": frechet_columns(z, relabel).values,
    }


@pytest.mark.slow
def test_power_of_a_small_shift_against_the_optimum():
    # N(0, I_5) against a shift by 0.2: knowing the direction, power = Phi(0.2 sqrt(n/2) - 1.645)
    n, runs, found = 400, 60, {}
    for seed in range(runs):
        z = torch.cat([_normal([seed, 0], n, 5), _normal([seed, 1], n, 5, 0.2)])
        for name, values in _all_tests(z, _relabel(n, n, 99, seed)).items():
            found[name] = found.get(name, 0) + (permutation_p(values) <= 0.05) / runs
    optimum = stats.norm.cdf(0.2 * np.sqrt(n / 2) - stats.norm.isf(0.05))
    print(f"power at 5 %: optimum {optimum:.2f},", ", ".join(f"{k} {v:.2f}" for k, v in found.items()))
    assert found["smooth ratio"] > 0.6 * optimum
    assert found["smooth ratio"] > found["KS"]


@pytest.mark.slow
def test_deformations_of_a_correlated_gaussian():
    # in the spirit of table 4.3 of the validation reference: which test sees which fault, in sd of its permutations
    n, d, runs = 2000, 20, 8
    r = np.random.default_rng(0)
    factor = r.normal(size=(d, d)) / np.sqrt(d)
    covariance = 0.5 * np.eye(d) + factor @ factor.T
    covariance /= np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    weaker = covariance * 0.8 + 0.2 * np.eye(d)
    table = {}
    for fault, (mean, other) in {"none": (0, covariance), "mean": (0.1, covariance), "Sigma_ij": (0, weaker)}.items():
        scores = []
        for seed in range(runs):
            s = np.random.default_rng([seed, 9])
            x, y = s.multivariate_normal(np.zeros(d), covariance, n), s.multivariate_normal(np.full(d, mean), other, n)
            tests = _all_tests(torch.from_numpy(np.concatenate([x, y])), _relabel(n, n, 60, seed))
            scores.append([(v[0] - v[1:].mean()) / v[1:].std() for v in tests.values()])
        table[fault] = dict(zip(tests, np.mean(scores, axis=0), strict=True))
        print(fault, {name: round(float(v), 1) for name, v in table[fault].items()})
    assert table["mean"]["ratio"] > 3
    assert table["Sigma_ij"]["rough ratio"] > 3
    assert abs(table["none"]["ratio"]) < 2
    assert table["Sigma_ij"]["KS"] < 2  # marginals do not see correlations
