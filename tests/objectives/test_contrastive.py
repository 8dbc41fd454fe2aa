"""The hand-written gradient of a Boltzmann machine against autograd, plain and centred."""

import math

import pytest
import torch
from torch.nn.functional import softplus

from reverie.networks.boltzmann import BoltzmannEnergy, log_partition
from reverie.objectives.contrastive import Gradient, centred, combined, compensation, likelihood_gradient

KINDS = pytest.mark.parametrize("visible", ["binary", "gaussian"])


def machine(visible, seed=0, n_visible=5, n_hidden=4):
    generator = torch.Generator().manual_seed(seed)
    energy = BoltzmannEnergy(n_visible, n_hidden, visible=visible).double()
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return energy


def rows(visible, n, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    return (x > 0).double() if visible == "binary" else x


def by_hand(energy, v, r):
    with torch.no_grad():
        return likelihood_gradient(
            v, energy.hidden_mean(v), r, W=energy.W, visible_bias=energy.visible_bias, log_variance=energy.log_variance
        )


def parts(gradient):
    found = (gradient.W, gradient.visible_bias, gradient.hidden_bias, gradient.log_variance)
    return [part for part in found if part is not None]


@KINDS
def test_the_contrastive_gradient_is_that_of_free_energies_with_the_chain_detached(visible):
    energy, data, model = machine(visible), rows(visible, 30, 1), rows(visible, 20, 2)
    loss = energy(data).mean() - energy(model.detach()).mean()
    expected = torch.autograd.grad(loss, list(energy.parameters()))
    r = torch.cat([torch.full((30,), 1 / 30, dtype=torch.float64), torch.full((20,), -1 / 20, dtype=torch.float64)])
    for ours, theirs in zip(parts(by_hand(energy, torch.cat([data, model]), r)), expected, strict=True):
        torch.testing.assert_close(ours, -theirs, rtol=1e-9, atol=1e-12)


@KINDS
def test_weighted_rows_and_sums_of_gradients_agree(visible):
    energy, v = machine(visible), rows(visible, 12, 3)
    r = torch.linspace(-1, 2, 12, dtype=torch.float64)
    halves = combined([by_hand(energy, v[:5], r[:5]), by_hand(energy, v[5:], r[5:])], [1.0, 1.0])
    for a, b in zip(parts(by_hand(energy, v, r)), parts(halves), strict=True):
        torch.testing.assert_close(a, b)


def _centred_free_energy(v, W, a, b, mu, lambda_):
    """F of E = -(v - mu).a - (h - lambda).b - (v - mu) W (h - lambda), up to a constant."""
    x = b + (v - mu) @ W
    return -((v - mu) @ a) + lambda_ @ b + ((v - mu) @ W) @ lambda_ - softplus(x).sum(1)


def test_centred_steps_are_gradient_steps_of_the_centred_parameters():
    energy = machine("binary")
    mu, lambda_ = torch.rand(5, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    W = energy.W.detach().clone().requires_grad_()
    a = (energy.visible_bias.detach() + W.detach() @ lambda_).requires_grad_()
    b = (energy.hidden_bias.detach() + mu @ W.detach()).requires_grad_()
    data, model = rows("binary", 30, 1), rows("binary", 20, 2)
    free = (_centred_free_energy(v, W, a, b, mu, lambda_).mean() for v in (model, data))
    dW, da, db = torch.autograd.grad(next(free) - next(free), (W, a, b))
    r = torch.cat([torch.full((30,), 1 / 30, dtype=torch.float64), torch.full((20,), -1 / 20, dtype=torch.float64)])
    step = centred(by_hand(energy, torch.cat([data, model]), r), mu, lambda_)
    torch.testing.assert_close(step.W, dW)
    torch.testing.assert_close(step.visible_bias, da)
    torch.testing.assert_close(step.hidden_bias, db)


def test_a_step_with_its_compensation_is_one_of_the_centred_machine():
    """F of the plain parameters is that of the centred ones, up to a constant, before and after a step in W."""
    energy, v = machine("binary"), rows("binary", 30, 1)
    mu, lambda_ = torch.rand(5, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    a = energy.visible_bias + energy.W @ lambda_
    b = energy.hidden_bias + mu @ energy.W
    step = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = _centred_free_energy(v, energy.W + step, a, b, mu, lambda_).detach()
    with torch.no_grad():
        visible, hidden = compensation(step, mu, lambda_)
        energy.W.add_(step)
        energy.visible_bias.add_(visible)
        energy.hidden_bias.add_(hidden)
        difference = energy(v) - moved
    torch.testing.assert_close(difference, difference[:1].expand(30))


@KINDS
def test_a_centred_step_goes_up(visible):
    """For small steps the likelihood rises by the product of gradient and direction, which is not negative."""
    energy, data = machine(visible), rows(visible, 40, 5)
    mu, lambda_ = data.mean(0), torch.full((4,), 0.5, dtype=torch.float64)

    def mean_log_p():
        return -energy(data).mean() - log_partition(energy)

    exact = Gradient(*torch.autograd.grad(mean_log_p(), list(energy.parameters())))
    step = centred(exact, mu, lambda_, energy.log_variance)
    before = float(mean_log_p().detach())
    with torch.no_grad():
        for parameter, direction in zip(energy.parameters(), parts(step), strict=True):
            parameter.add_(direction, alpha=1e-4)
        a, b = compensation(1e-4 * step.W, mu, lambda_, energy.log_variance)
        energy.visible_bias.add_(a)
        energy.hidden_bias.add_(b)
    assert float(mean_log_p().detach()) > before


def test_gaussian_steps_do_not_depend_on_the_unit_of_the_data():
    """Ten times larger data: W and a step ten times as far, b and log s^2 alike."""
    energy, v = machine("gaussian"), rows("gaussian", 12, 3)
    r = torch.linspace(-1, 1, 12, dtype=torch.float64)
    mu, lambda_ = torch.ones(5, dtype=torch.float64), torch.full((4,), 0.3, dtype=torch.float64)
    step = centred(by_hand(energy, v, r), mu, lambda_, energy.log_variance)
    large = machine("gaussian")
    assert large.log_variance is not None
    with torch.no_grad():
        large.W.mul_(10)
        large.visible_bias.mul_(10)
        large.log_variance.add_(2 * math.log(10))
    scaled = centred(by_hand(large, 10 * v, r), 10 * mu, lambda_, large.log_variance)
    for ours, theirs, factor in zip(parts(scaled), parts(step), (10, 10, 1, 1), strict=True):
        torch.testing.assert_close(ours, factor * theirs)
