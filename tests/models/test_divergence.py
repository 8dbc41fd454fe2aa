"""Jensen-Shannon by a trained discriminator: known densities, equality, weights, and a twin that judges itself.

Statistical tests accept 4 standard errors, a false-alarm rate of 6e-5 each (one-sided bias apart).
"""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from reverie.core.errors import InputError, UnknownNameError
from reverie.data import Dataset
from reverie.models.gan import divergence
from reverie.models.gan.divergence import fit_discriminator, jensen_shannon

SIGMAS = 4
QUICK = {"random_state": 0, "hidden": (32,), "max_steps": 200}


def _normal(n, d=1, mean=0.0, seed=0):
    return mean + np.random.default_rng([seed, n]).normal(size=(n, d))


def _exact(p, q):
    """Return JS(p, q) in nats of two frozen laws, by quadrature."""

    def integrand(x):
        a, b = p.logpdf(x), q.logpdf(x)
        m = np.logaddexp(a, b) - math.log(2)
        return 0.5 * math.exp(a) * (a - m) + 0.5 * math.exp(b) * (b - m)

    return quad(integrand, -30, 30, points=[0, 1], limit=200)[0]


def test_value_is_the_divergence_and_d_the_posterior_of_two_known_densities():
    p, q = norm(0, 1), norm(1, 1)
    measured = jensen_shannon(_normal(2000, seed=1), _normal(2000, mean=1, seed=2), **QUICK)
    expected = _exact(p, q)
    assert expected == pytest.approx(0.1114, abs=1e-4)
    assert abs(measured.value - expected) < SIGMAS * measured.error
    assert measured.error < 0.01
    assert measured.n == 4000
    D = fit_discriminator(_normal(2000, seed=1), _normal(2000, mean=1, seed=2), **QUICK)
    x = np.concatenate([p.rvs(500, random_state=3), q.rvs(500, random_state=4)])
    # 2,000 events of each determine a logistic law of two parameters to about 0.01; a constant is off by 0.2
    assert np.abs(D(x[:, None]) - p.pdf(x) / (p.pdf(x) + q.pdf(x))).mean() < 0.03
    assert np.abs(0.5 - p.pdf(x) / (p.pdf(x) + q.pdf(x))).mean() > 0.15
    np.testing.assert_allclose(D(x[:, None]), 1 / (1 + np.exp(-D.logits(x[:, None]))))


@pytest.mark.parametrize("d", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_value_of_the_game_at_equality_is_minus_log_4(d):
    measured = jensen_shannon(_normal(1000, d, seed=1), _normal(1500, d, seed=2), **QUICK)
    value, error = 2 * measured.value - math.log(4), 2 * measured.error
    assert abs(value + math.log(4)) < SIGMAS * error
    assert error < 0.01


@pytest.mark.slow  # twin; equality: test_value_of_the_game_at_equality_is_minus_log_4
def test_judging_the_events_that_trained_d_would_be_seen(monkeypatch):
    """The twin of the law above: without cross-fitting and early stopping, fluctuations count as a difference."""
    x, y = _normal(300, 20, seed=1), _normal(300, 20, seed=2)
    honest = jensen_shannon(x, y, **QUICK)
    assert abs(honest.value) < SIGMAS * honest.error

    def judges_itself(fold, generator):
        rows = [torch.nonzero(fold == k)[:, 0] for k in range(2)]
        return torch.stack([rows[0], rows[0], rows[1], rows[1]])

    monkeypatch.setattr(divergence, "_halves", judges_itself)
    flattered = jensen_shannon(x, y, **QUICK)
    assert flattered.value > SIGMAS * flattered.error


def test_disjoint_samples_are_log_2_apart():
    measured = jensen_shannon(_normal(300), _normal(300, mean=30), **QUICK)
    assert abs(measured.value - math.log(2)) < SIGMAS * measured.error
    assert measured.value <= math.log(2)


@pytest.mark.usefixtures("global_random_state_untouched")
def test_units_and_containers_do_not_matter_and_the_seed_decides():
    x, y = _normal(200, 2, seed=1).astype(np.float32), _normal(200, 2, mean=0.5, seed=2).astype(np.float32)
    settings = {"random_state": 3, "max_steps": 50, "hidden": (16,)}
    expected = jensen_shannon(x, y, **settings)
    assert jensen_shannon(4 * x, 4 * y, **settings) == expected
    assert jensen_shannon(torch.as_tensor(x), Dataset(y), **settings) == expected
    frame = pd.DataFrame(y, columns=["a", "b"])
    assert jensen_shannon(Dataset(x, names=["a", "b"]), frame[["b", "a"]], **settings) == expected
    assert jensen_shannon(x.reshape(-1, 1, 2), y.reshape(-1, 1, 2), **settings) == expected
    assert jensen_shannon(x, y, **settings | {"random_state": 4}) != expected


@pytest.mark.slow  # quick: the value and the posterior of two known densities
def test_weights_of_real_events_count():
    """Events of N(0, 1) with weights exp(x - 1/2) follow N(1, 1); unweighted they do not."""
    x, y = _normal(2000, seed=5), _normal(2000, mean=1, seed=6)
    weighted = jensen_shannon(Dataset(x, weights=np.exp(x[:, 0] - 0.5)), y, **QUICK)
    assert abs(weighted.value) < SIGMAS * weighted.error < 0.05
    unweighted = jensen_shannon(x, y, **QUICK)
    assert unweighted.value > SIGMAS * unweighted.error


@pytest.mark.slow  # weights: test_weights_of_real_events_count
def test_negative_weights_take_a_background_away():
    signal, background, copy = _normal(2000, seed=7), _normal(500, mean=3, seed=8), _normal(500, mean=3, seed=9)
    real = Dataset(np.concatenate([signal, background, copy]), weights=np.repeat([1.0, 1.0, -1.0], [2000, 500, 500]))
    y = _normal(2000, seed=10)
    measured = jensen_shannon(real, y, **QUICK)
    assert abs(measured.value) < SIGMAS * measured.error < 0.1
    with_background = jensen_shannon(np.concatenate([signal, background]), y, **QUICK)
    assert with_background.value > SIGMAS * with_background.error


def test_what_cannot_be_compared_is_refused():
    x = _normal(50, 2)
    with pytest.raises(InputError, match="2 features of real, got 3"):
        jensen_shannon(x, _normal(50, 3))
    with pytest.raises(UnknownNameError, match="column of generated 'c'"):
        jensen_shannon(pd.DataFrame(x, columns=["a", "b"]), pd.DataFrame(x, columns=["a", "c"]))
    with pytest.raises(InputError, match="n_folds >= 2"):
        jensen_shannon(x, x, n_folds=1)
    with pytest.raises(InputError, match="at least 20 events"):
        jensen_shannon(x, x[:30])
    with pytest.raises(InputError, match="event weights"):
        jensen_shannon(x, Dataset(x, weights=np.linspace(0.5, 1.5, 50)))
    with pytest.raises(InputError, match="positive sum, above zero, got the sum -50"):
        jensen_shannon(Dataset(x, weights=np.full(50, -1.0)), x)
    with pytest.raises(InputError, match="NaN"):
        jensen_shannon(x, np.where(x > 1, np.nan, x))
    with pytest.raises(InputError, match="2 features, got 1"):
        fit_discriminator(x, x, random_state=0, max_steps=1)(x[:, :1])


@pytest.mark.slow
def test_pulls_at_equality_and_apart_are_of_unit_size():
    """Over 20 pairs each: the mean pull within 4 / sqrt(20) of 0 and its spread below 1.7 (rate below 1e-4)."""
    for mean in (0.0, 0.5):
        expected = _exact(norm(0, 1), norm(mean, 1))
        pulls = []
        for seed in range(20):
            x, y = _normal(1000, seed=2 * seed), _normal(1000, mean=mean, seed=2 * seed + 1)
            measured = jensen_shannon(x, y, random_state=seed)
            pulls.append((measured.value - expected) / measured.error)
        assert abs(np.mean(pulls)) < 4 / math.sqrt(20)
        assert np.std(pulls) < 1.7
