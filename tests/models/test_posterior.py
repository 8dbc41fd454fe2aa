"""Bayesian learning against posteriors that are known: conjugate regression in closed form, others on a grid.

Means along chains are compared in their own errors, which know the autocorrelation; false-alarm rate ALPHA each.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError, TrainingError
from reverie.models.bayesian.likelihood import logistic_regression, network_regression, two_gaussians
from reverie.models.bayesian.sampling import sample_posterior, stiffness
from reverie.samplers import MinibatchEnergy

ALPHA = 1e-4
WIDTH = float(stats.norm.isf(ALPHA / 2))
NOISE, PRIOR = 0.5, 2.0


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _regression(n=200):
    """Return x (n, 2), y (n,), and the exact mean and covariance of (weights, bias) under N(0, PRIOR^2)."""
    generator = _generator(1)
    x = torch.randn(n, 2, generator=generator)
    y = 1.0 * x[:, 0] - 0.5 * x[:, 1] + 0.3 + NOISE * torch.randn(n, generator=generator)
    design = np.column_stack([x.double().numpy(), np.ones(n)])
    covariance = np.linalg.inv(design.T @ design / NOISE**2 + np.eye(3) / PRIOR**2)
    return x, y, covariance @ design.T @ y.double().numpy() / NOISE**2, covariance


def _linear():
    return network_regression(torch.nn.Linear(2, 1), NOISE, PRIOR)


def _sample(model, data, n_chains=100, **options: Any):
    options = {"n_steps": 200, "burn_in": 90, "random_state": 3} | options
    return sample_posterior(model.log_prior, model.log_likelihood, data, model.draw_prior(n_chains, 2), **options)


def _inside(quantity, exact):
    return abs(quantity.mean.value - exact) < WIDTH * quantity.mean.error


def test_a_linear_network_has_the_posterior_of_regression():
    x, y, mean, covariance = _regression()
    posterior = _sample(_linear(), (x, y), n_chains=60, n_steps=220)
    assert not posterior.warnings
    assert posterior.acceptance == pytest.approx(0.574, abs=0.06)
    for quantity, m, v in zip(posterior.quantities, mean, np.diag(covariance), strict=True):
        assert _inside(quantity, m)
        assert not _inside(quantity, m + 0.5 * math.sqrt(v))
        assert quantity.sd == pytest.approx(math.sqrt(v), rel=0.05)


@pytest.mark.slow  # the means: test_a_linear_network_has_the_posterior_of_regression
def test_variances_and_covariances_too():
    x, y, mean, covariance = _regression(20)
    centre = torch.from_numpy(mean).float()
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    posterior = _sample(_linear(), (x, y), watch=lambda t: torch.outer(t - centre, t - centre)[np.triu_indices(3)])
    assert all(_inside(q, covariance[i, j]) for q, (i, j) in zip(posterior.quantities, pairs, strict=True))
    wrong = _sample(
        _linear(), (x[:18], y[:18]), watch=lambda t: torch.outer(t - centre, t - centre)[np.triu_indices(3)]
    )
    assert not all(_inside(q, covariance[i, j]) for q, (i, j) in zip(wrong.quantities, pairs, strict=True))


@pytest.mark.slow  # quick: a linear network has the posterior of regression
def test_batches_widen_the_posterior_by_no_more_than_was_asked():
    x, y, mean, covariance = _regression()
    posterior = _sample(_linear(), (x, y), batch_size=40, bias=0.2, n_steps=200)
    assert 0.1 < posterior.bias < 0.3
    for i, quantity in enumerate(posterior.quantities):
        assert _inside(quantity, mean[i])
        assert 0.9 < quantity.sd**2 / covariance[i, i] < 1.3
    coarse = _sample(_linear(), (x, y), batch_size=2, step_size=5 * posterior.step_size, n_steps=20, burn_in=0)
    assert "larger batches" in " ".join(coarse.warnings)


def test_stiffness_is_that_of_the_exact_hessian_and_of_the_covariance_of_gradients():
    x, y, mean, covariance = _regression()
    model = _linear()
    parts = torch.func.vmap(model.log_prior), torch.func.vmap(model.log_likelihood)
    theta = torch.from_numpy(mean).float()[None]
    exact = 1 / np.linalg.eigvalsh(covariance)[0]
    assert 0.9 * exact < stiffness(MinibatchEnergy(*parts, (x, y)), theta, _generator(0)) < 1.0001 * exact
    design = torch.cat([x, torch.ones(200, 1)], 1)
    gradients = (y - design @ theta[0])[:, None] * design / NOISE**2
    noise = np.linalg.eigvalsh(np.cov(gradients.T.double().numpy(), bias=True))[-1] * 200**2 / 10
    found = stiffness(MinibatchEnergy(*parts, (x, y), 10), theta, _generator(0)) - exact
    assert found == pytest.approx(noise, rel=0.3)  # of 200 rows drawn with replacement


@pytest.mark.slow  # the sampler: test_a_linear_network_has_the_posterior_of_regression
def test_logistic_regression_against_a_grid():
    generator = _generator(5)
    x = torch.randn(30, 1, generator=generator)
    y = (torch.rand(30, generator=generator) < (0.5 + 1.5 * x[:, 0]).sigmoid()).float()
    model = logistic_regression(1, prior_sd=2.0)
    mean = _grid(model, (x, y), [(-5, 5), (-4, 8)])[1]
    posterior = _sample(model, (x, y))
    assert all(_inside(q, m) for q, m in zip(posterior.quantities, mean, strict=True))


def _grid(model, data, ranges, n=161):
    """Return the weights of a grid of theta (n * n, 2) under the posterior, its mean, and the grid."""
    axes = [torch.linspace(low, high, n) for low, high in ranges]
    theta = torch.cartesian_prod(*axes)
    log = torch.func.vmap(lambda t: model.log_prior(t) + model.log_likelihood(t, *data).sum())(theta)
    weight = torch.softmax(log.double(), 0)
    return weight, (weight @ theta.double()).tolist(), theta


@pytest.mark.slow  # a band: test_a_network_is_uncertain_where_there_are_no_data
def test_the_band_of_a_prediction_is_that_of_the_exact_posterior():
    x, y, mean, covariance = _regression(20)
    model, new = _linear(), torch.tensor([[0.0, 0.0], [3.0, -2.0]])

    def line(theta, v=new):
        return model.predict(theta, v)[:, 0]

    posterior = _sample(model, (x, y), watch=line)
    band = posterior.predict(line, new, level=0.9, n_draws=10**6)
    design = np.column_stack([new.numpy(), np.ones(2)])
    sd = np.sqrt(np.einsum("ri,ij,rj->r", design, covariance, design))
    assert band.mean == pytest.approx([q.mean.value for q in posterior.quantities], rel=1e-5)
    assert all(_inside(q, m) for q, m in zip(posterior.quantities, design @ mean, strict=True))
    assert (band.high - band.low) / (2 * stats.norm.isf(0.05)) == pytest.approx(sd, rel=0.1)  # four errors
    assert band.level == 0.9


@pytest.mark.slow  # quick: a linear network has the posterior of regression
def test_a_network_is_uncertain_where_there_are_no_data():
    x = torch.linspace(-1, 1, 30)[:, None]
    module = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    model = network_regression(module, 0.1)
    at = torch.tensor([[0.0], [4.0]])
    posterior = sample_posterior(
        model.log_prior,
        model.log_likelihood,
        (x, x[:, 0].sin()),
        model.draw_prior(20, 0),
        n_steps=100,
        burn_in=100,
        watch=lambda theta: model.predict(theta, at)[:, 0],
        random_state=1,
    )
    band = posterior.predict(lambda t, v: model.predict(t, v)[:, 0], at)
    width = band.high - band.low
    assert width[0] < 0.15 < width[1]
    assert len(posterior.quantities) == 2


def test_doubts_are_told():
    x, y, *_ = _regression()
    model = _linear()
    short = sample_posterior(
        model.log_prior, model.log_likelihood, (x, y), model.draw_prior(1), step_size=1e-6, n_steps=40, burn_in=0
    )
    text = str(short)
    assert "One chain" in text
    assert "R-hat" in text
    assert "below 400. Take about" in text


def test_same_seed_same_draws():
    x, y, *_ = _regression()
    a, b, c = (
        _sample(_linear(), (x, y), batch_size=10, n_steps=9, burn_in=0, step_size=1e-4, random_state=s).chains.x
        for s in (0, 0, 1)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_draws_are_spread_over_steps():
    x, y, *_ = _regression()
    posterior = _sample(_linear(), (x, y), n_steps=50, burn_in=0, thin=5, step_size=0.01)
    assert posterior.chains.x.shape == (10, 100, 3)
    assert posterior.draws().shape == (1000, 3)
    assert torch.equal(posterior.draws(3)[[0, -1]], posterior.draws()[[0, -1]])


def test_the_prior_is_normalised_and_drawn():
    model = two_gaussians()
    exact = stats.norm.logpdf(1.5, scale=10**0.5) + stats.norm.logpdf(-0.3)
    assert float(model.log_prior(torch.tensor([1.5, -0.3]))) == pytest.approx(exact, abs=1e-5)
    assert model.draw_prior(20_000, 0).std(0).numpy() == pytest.approx([10**0.5, 1], rel=0.03)
    mass = torch.trapezoid(model.predict(torch.tensor([0.3, 1.0]), torch.linspace(-12, 12, 999)), dx=24 / 998)
    assert float(mass) == pytest.approx(1, abs=1e-4)


def test_errors_say_what_to_do():
    model, data = _linear(), _regression()[:2]
    with pytest.raises(InputError, match="several chains"):
        sample_posterior(model.log_prior, model.log_likelihood, data, torch.zeros(3))
    with pytest.raises(InputError, match="bias"):
        _sample(model, data, bias=0.0)
    with pytest.raises(TrainingError, match="Lower step_size"):
        _sample(model, data, batch_size=10, step_size=1.0, n_steps=100)
    with pytest.raises(InputError, match=r"level to be a number in \(0, 1\)"):
        _sample(model, data, n_steps=10, burn_in=0, step_size=0.01).predict(model.predict, data[0], level=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 10])
def test_the_mixture_of_welling_and_teh_gets_both_modes_in_their_proportion(batch_size):
    generator = _generator(11)
    second = torch.rand(100, generator=generator) < 0.5
    data = math.sqrt(2) * torch.randn(100, generator=generator) + second  # theta = (0, 1)
    model = two_gaussians()
    weight, mean, theta = _grid(model, (data,), [(-3, 4), (-5, 5)])
    exact = float(weight[theta[:, 1] > 0].sum())
    posterior = sample_posterior(
        model.log_prior,
        model.log_likelihood,
        data,
        model.draw_prior(100, 1),
        batch_size=batch_size,
        n_steps=1000 if batch_size is None else 12_000,
        thin=1 if batch_size is None else 30,
        watch=lambda t: torch.stack([(t[1] > 0).to(t), t[0], t[1]]),
        random_state=4,
    )
    mass, *means = posterior.quantities
    assert mass.effective_size > 300
    assert _inside(mass, exact)
    assert not _inside(mass, exact - 0.2)
    assert all(_inside(q, m) for q, m in zip(means, mean, strict=True))
