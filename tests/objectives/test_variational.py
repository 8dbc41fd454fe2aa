"""Divergences, bounds and laws against closed forms, Monte Carlo and torch.distributions."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import distributions as D

from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.objectives.reconstruction import (
    bernoulli_log_likelihood,
    categorical_log_likelihood,
    circle_log_likelihood,
    gaussian_log_likelihood,
    kl_sparsity,
    l1_sparsity,
    squared_error,
)
from reverie.objectives.variational import (
    GaussianPosterior,
    active_units,
    diagonal_kl,
    elbo,
    full_kl,
    importance_estimate,
    iwae_bound,
    standard_normal_log_prob,
)

ALPHA = 1e-4
LIMIT = stats.norm.isf(ALPHA / 2)  # of a mean over many draws, in standard errors


def _normal(*shape, seed=0):
    return torch.randn(*shape, generator=child_generator(seed, "test"), dtype=torch.float64)


def _scale(n, d, seed):
    raw = _normal(n, d, d, seed=seed).tril()
    return raw + torch.diag_embed(torch.full((n, d), 2.0, dtype=torch.float64) - raw.diagonal(dim1=1, dim2=2) / 2)


def test_diagonal_divergence_is_that_of_torch():
    m, s, m0, s0 = _normal(7, 3), _normal(7, 3, seed=1), _normal(7, 3, seed=2), _normal(7, 3, seed=3)
    for prior, given in (
        (D.Normal(0.0 * m, 1.0), {}),
        (D.Normal(m0, s0.exp()), {"prior_mean": m0, "prior_log_sd": s0}),
    ):
        expected = D.kl_divergence(D.Normal(m, s.exp()), prior).sum(dim=1)
        torch.testing.assert_close(diagonal_kl(m, s, **given), expected, rtol=1e-12, atol=1e-12)


def test_full_divergence_is_that_of_torch_and_holds_the_diagonal_one():
    m, L, m0, L0 = _normal(5, 4), _scale(5, 4, 1), _normal(5, 4, seed=2), _scale(5, 4, 3)
    standard = D.MultivariateNormal(torch.zeros(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64))
    q = D.MultivariateNormal(m, scale_tril=L)
    torch.testing.assert_close(full_kl(m, L), D.kl_divergence(q, standard), rtol=1e-11, atol=1e-11)
    other = D.MultivariateNormal(m0, scale_tril=L0)
    torch.testing.assert_close(full_kl(m, L, m0, L0), D.kl_divergence(q, other), rtol=1e-10, atol=1e-10)
    log_sd = _normal(5, 4, seed=4)
    torch.testing.assert_close(full_kl(m, torch.diag_embed(log_sd.exp())), diagonal_kl(m, log_sd))


def _z_score(mean, spread, kl):
    """Return (Monte Carlo estimate of E_q[log q - log p] - kl) in standard errors, events together."""
    q = GaussianPosterior(mean, spread)
    noise = _normal(20_000, *mean.shape, seed=9)
    draws = (q.log_prob(noise) - standard_normal_log_prob(q.at(noise))).sum(dim=1)
    return float((draws.mean() - kl.sum()) / (draws.std() / len(draws) ** 0.5))


@pytest.mark.parametrize("is_full", [False, True])
def test_divergence_is_the_mean_of_draws_and_its_mean_over_units_is_not(is_full):
    mean = _normal(3, 4)
    spread = _scale(3, 4, 1) if is_full else _normal(3, 4, seed=1) / 2
    kl = GaussianPosterior(mean, spread).kl()
    assert abs(_z_score(mean, spread, kl)) < LIMIT
    assert abs(_z_score(mean, spread, kl / 4)) > LIMIT  # the twin: a mean over latent dimensions in place of the sum


@pytest.mark.parametrize("is_full", [False, True])
def test_reparametrised_draws_have_the_density_that_is_claimed(is_full):
    mean, noise = _normal(3, 4), _normal(10, 3, 4, seed=2)
    spread = _scale(3, 4, 1) if is_full else _normal(3, 4, seed=1)
    q = GaussianPosterior(mean, spread)
    claimed = D.MultivariateNormal(mean, scale_tril=spread if is_full else torch.diag_embed(spread.exp()))
    torch.testing.assert_close(q.log_prob(noise), claimed.log_prob(q.at(noise)))
    torch.testing.assert_close(q.sd, claimed.stddev)


def test_spreads_of_other_shapes_are_refused():
    with pytest.raises(InputError, match="one for each latent dimension"):
        GaussianPosterior(torch.zeros(3, 4), torch.zeros(3, 3))


# probabilistic principal components: x = W z + mu + e, whose posterior and evidence are known


def _linear(d=5, k=2, sd=0.7):
    W, mu, x = _normal(d, k, seed=3), _normal(d, seed=4), 2 * _normal(40, d, seed=5)
    evidence = D.MultivariateNormal(mu, W @ W.T + sd**2 * torch.eye(d, dtype=torch.float64)).log_prob(x)
    precision = W.T @ W / sd**2 + torch.eye(k, dtype=torch.float64)
    covariance = torch.linalg.inv(precision)
    scale = torch.linalg.cholesky(covariance).expand(len(x), k, k)
    posterior = GaussianPosterior((x - mu) @ W @ covariance / sd**2, scale)
    return W, mu, x, sd, posterior, evidence


def _log_weights(q, n_draws, seed=6):
    W, mu, x, sd, _, _ = _linear()
    noise = _normal(n_draws, *q.mean.shape, seed=seed)
    z = q.at(noise)
    likelihood = gaussian_log_likelihood(x, z @ W.T + mu, torch.full((5,), math.log(sd), dtype=torch.float64))
    return likelihood + standard_normal_log_prob(z) - q.log_prob(noise), likelihood


def test_with_the_exact_posterior_every_weight_is_the_evidence():
    *_, q, evidence = _linear()
    log_w, likelihood = _log_weights(q, 20)
    torch.testing.assert_close(log_w, evidence.expand(20, -1), rtol=1e-11, atol=1e-11)
    value, error = importance_estimate(log_w)
    torch.testing.assert_close(value, evidence)
    assert error.max() < 1e-10
    log_w, likelihood = _log_weights(q, 4000)
    closed = elbo(likelihood.mean(dim=0), q.kl())  # the divergence in closed form: unbiased, but not without variance
    z = (closed - evidence) / (likelihood.std(dim=0) / 4000**0.5)
    assert stats.chi2.sf(float(z.square().sum()), len(z)) > ALPHA


@pytest.mark.slow  # quick: the importance estimate agrees with the evidence
def test_bounds_rise_with_the_number_of_draws_and_stay_below_the_evidence():
    *_, exact, evidence = _linear()
    q = GaussianPosterior(exact.mean + 0.3, exact.sd.log() + 0.2)  # a posterior that is wrong
    log_w, _ = _log_weights(q, 20_000)
    levels = [iwae_bound(log_w.unflatten(0, (-1, k)).transpose(0, 1)).mean(dim=1) for k in (1, 5, 50)]
    spread = [bound.std() / len(bound) ** 0.5 for bound in levels]
    means = [bound.mean() for bound in levels]
    assert means[1] - means[0] > LIMIT * spread[0]
    assert means[2] - means[1] > LIMIT * spread[1]
    assert evidence.mean() - means[2] > 0
    _, likelihood = _log_weights(q, 2000)
    broken = elbo(likelihood.mean(dim=0), q.kl() / 5)  # the twin: a divergence that is a mean is no bound
    assert broken.mean() > evidence.mean()


def test_importance_estimate_agrees_with_the_evidence_within_its_error():
    *_, exact, evidence = _linear()
    q = GaussianPosterior(exact.mean + 0.2, exact.sd.log() + 0.3)
    value, error = importance_estimate(_log_weights(q, 4000)[0])
    pull = (value - evidence) / error
    n = len(pull)
    assert abs(float(pull.mean())) < LIMIT / n**0.5
    assert stats.chi2.sf(float(pull.square().sum()), n) > ALPHA
    assert stats.chi2.cdf(float(pull.square().sum()), n) > ALPHA
    wrong = (value + 5 * error - evidence) / error  # the twin
    assert stats.chi2.sf(float(wrong.square().sum()), n) < ALPHA
    assert importance_estimate(torch.zeros(1, 3))[1].isinf().all()


def test_gradient_of_the_bound_weighs_the_best_draw_most():
    log_w = torch.tensor([[0.0, 1.0], [2.0, -1.0], [1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    iwae_bound(log_w).sum().backward()
    torch.testing.assert_close(log_w.grad, torch.softmax(log_w.detach(), dim=0))
    on_losses = torch.softmax(-log_w.detach(), dim=0)  # the twin: a softmax over losses prefers the worst draw
    assert (log_w.grad.argmax(dim=0) != on_losses.argmax(dim=0)).all()


def test_gradient_of_the_bound_is_that_of_finite_differences_of_its_parameters():
    *_, exact, _ = _linear()

    def bound(shift):
        return iwae_bound(_log_weights(GaussianPosterior(exact.mean + shift, exact.sd.log()), 5)[0]).sum()

    shift = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    bound(shift).backward()
    with torch.no_grad():
        numeric = (bound(shift + 1e-5) - bound(shift - 1e-5)) / 2e-5
    assert float(shift.grad) == pytest.approx(float(numeric), rel=1e-7)


def test_active_units_are_those_whose_mean_varies():
    means = torch.stack([torch.linspace(-1, 1, 50), torch.full((50,), 0.7), 0.05 * torch.linspace(-1, 1, 50)], dim=1)
    assert active_units(means).tolist() == [True, False, False]


# laws of an event


def test_laws_are_those_of_torch():
    logits, bits = _normal(6, 4), (_normal(6, 4, seed=1) > 0).double()
    torch.testing.assert_close(
        bernoulli_log_likelihood(logits, bits), D.Bernoulli(logits=logits).log_prob(bits).sum(dim=1)
    )
    x, m, s = _normal(6, 4, seed=2), _normal(3, 6, 4, seed=3), _normal(4, seed=4)
    torch.testing.assert_close(gaussian_log_likelihood(x, m, s), D.Normal(m, s.exp()).log_prob(x).sum(dim=-1))
    one_hot = torch.nn.functional.one_hot(torch.tensor([0, 3, 1, 1, 2, 0]), 4).double()
    torch.testing.assert_close(
        categorical_log_likelihood(logits, one_hot), D.Categorical(logits=logits).log_prob(one_hot.argmax(dim=1))
    )


def test_bits_have_probabilities_that_sum_to_one_and_grey_values_do_not():
    logits = _normal(1, 3)
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    assert float(bernoulli_log_likelihood(logits, bits).exp().sum()) == pytest.approx(1)
    grey, _ = integrate.quad(lambda x: math.exp(bernoulli_log_likelihood(torch.zeros(1), torch.tensor([x]))), 0, 1)
    assert grey == pytest.approx(0.5)  # and 1 only with the normalisation that a continuous law would need


@pytest.mark.parametrize("mean", [(0.0, 0.0), (0.5, -1.0), (6.0, 2.0), (90.0, -30.0)])
def test_the_law_on_a_circle_is_normalised_and_is_that_of_projected_draws(mean):
    m, r = torch.tensor(mean, dtype=torch.float64), math.sqrt(2)

    towards = math.atan2(mean[1], mean[0])
    turn = torch.linspace(-math.pi, math.pi, 20_001, dtype=torch.float64)
    x = r * torch.stack([(towards + turn).cos(), (towards + turn).sin()], dim=1)
    mass = integrate.cumulative_trapezoid(r * circle_log_likelihood(x, m, radius=r).exp(), turn, initial=0)
    assert mass[-1] == pytest.approx(1, abs=1e-6)
    drawn = m + _normal(4000, 2)
    angles = (torch.atan2(drawn[:, 1], drawn[:, 0]) - towards + math.pi) % (2 * math.pi) - math.pi
    edges = np.quantile(angles, np.linspace(0, 1, 9)[1:-1])
    within = np.interp(edges, turn, mass)
    uniform = np.interp(angles, [-math.pi, *edges, math.pi], [0, *within, 1])
    counts, _ = np.histogram(uniform, bins=[0, *within, 1])
    assert stats.chisquare(counts, 4000 * np.diff([0, *within, 1])).pvalue > ALPHA


def test_the_law_on_a_circle_has_gradients_everywhere():
    t = torch.tensor([[-60.0], [-30.0], [-3.0], [0.0], [1.0], [2.0], [60.0]], dtype=torch.float64)
    mean = torch.cat([t, 0 * t], dim=1).requires_grad_()
    x = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(7, 2)
    torch.autograd.gradcheck(lambda m: circle_log_likelihood(x, m, radius=1.0), mean, atol=1e-5)
    low, high = torch.tensor([[-30.001, 0.0]]).double(), torch.tensor([[-29.999, 0.0]]).double()
    gap = circle_log_likelihood(x[:1], high, radius=1.0) - circle_log_likelihood(x[:1], low, radius=1.0)
    slope = torch.autograd.functional.jacobian(lambda m: circle_log_likelihood(x[:1], m, radius=1.0), high)[0, 0, 0]
    assert float(gap) == pytest.approx(0.002 * float(slope), rel=1e-3)  # no step where the series takes over


def test_penalties_of_sparse_codes_and_the_error_of_a_reconstruction():
    code = torch.tensor([[0.1, -0.4], [0.3, 0.2]])
    torch.testing.assert_close(l1_sparsity(code), torch.tensor([0.5, 0.5]))
    activations = torch.tensor([[0.05, 0.2], [0.05, 0.4]])
    expected = 0.05 * math.log(0.05 / 0.3) + 0.95 * math.log(0.95 / 0.7)
    assert float(kl_sparsity(activations, target=0.05)) == pytest.approx(expected, rel=1e-5)
    assert squared_error(torch.ones(2, 3, 4), torch.zeros(2, 3, 4)).tolist() == [12.0, 12.0]
    with pytest.raises(InputError, match="of one shape"):
        squared_error(torch.ones(2, 3), torch.ones(2, 1))
