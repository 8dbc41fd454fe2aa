"""Score matching against the closed form for normal distributions, in expectation by quadrature."""

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError
from reverie.objectives.score_matching import denoising_loss

S2, SIGMA = 1.7, 0.6  # variance of the data, blur


def _nodes(n=12):
    """Return nodes and weights of the expectation under N(0, 1), exact for polynomials of degree 2 n - 1."""
    t, w = np.polynomial.hermite_e.hermegauss(n)
    return torch.tensor(t), torch.tensor(w / w.sum())


def _slope(loss_at, variance):
    """Return the derivative of the expected loss of E = x^2 / (2 variance) in the variance."""
    v = torch.tensor(variance, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss_at(lambda x: x.square().sum(1) / (2 * v)), v)
    return float(slope)


def _expected_denoising(energy):
    t, w = _nodes()
    x, noise = torch.cartesian_prod(S2**0.5 * t, t).unbind(1)
    weights = torch.cartesian_prod(w, w).prod(1)
    return weights @ denoising_loss(energy, x[:, None], noise[:, None], SIGMA)


def test_denoising_finds_the_blurred_variance_and_no_other():
    assert _slope(_expected_denoising, S2 + SIGMA**2) == pytest.approx(0, abs=1e-12)
    assert abs(_slope(_expected_denoising, S2)) > 1e-2  # the twin: the variance without the blur


def test_the_least_denoising_loss_is_that_of_noise_that_cannot_be_known():
    """At the optimum J_D = 1/2 Var(xi | x~) = s^2 / (2 (s^2 + sigma^2)) per dimension."""
    total = S2 + SIGMA**2
    least = _expected_denoising(lambda x: x.square().sum(1) / (2 * total))
    assert float(least.detach()) == pytest.approx(0.5 * S2 / total, rel=1e-12)


def test_losses_reach_the_weights_of_a_network_of_images():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 4), torch.nn.SiLU(), torch.nn.Linear(4, 1))
    x, noise = torch.randn(2, 5, 2, 3, generator=torch.Generator().manual_seed(0))
    losses = denoising_loss(lambda y: network(y)[:, 0], x, noise, 0.1)
    assert losses.shape == (5,)
    (gradient,) = torch.autograd.grad(losses.mean(), network[1].weight)
    assert bool((gradient != 0).any())


def test_shapes_and_blur_are_checked():
    x = torch.zeros(3, 2)
    with pytest.raises(InputError, match="one shape"):
        denoising_loss(lambda y: y.sum(1), x, x[:, :1], 0.1)
    with pytest.raises(InputError, match="sigma"):
        denoising_loss(lambda y: y.sum(1), x, x, 0.0)
