"""The discriminator that minimises each loss, for two known densities on a grid.

With the real density p and the generated density q on the points x_k, real samples x_k of weight
p_k / q_k stand beside generated samples x_k, so the minimum over a logit at each x_k is the minimum of
p_k l_r(a) + q_k l_f(a): the last column of the table of `reverie.objectives.adversarial`.
"""

import math

import pytest
import torch
from scipy.stats import wasserstein_distance

from reverie.objectives import OBJECTIVES

x = torch.linspace(-3, 4, 29, dtype=torch.float64)
p = torch.exp(-0.5 * x**2)
q = torch.exp(-0.5 * ((x - 1) / 1.3) ** 2) + 0.05
p, q = p / p.sum(), q / q.sum()


def _best_logits(name, ratio, *, low=-8.0, high=8.0, n=16_001):
    """Try every logit at every point: the loss is a mean over points, so each can be searched alone."""
    a = torch.linspace(low, high, n, dtype=torch.float64).reshape(n, 1)
    cost = torch.stack(
        [
            torch.vmap(OBJECTIVES[name].discriminator, in_dims=(0, 0, None))(a, a, torch.as_tensor([r]).double())
            for r in ratio.tolist()
        ]
    )
    return a[cost.argmin(dim=1), 0]


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_optimum_is_the_log_density_ratio(name):
    torch.testing.assert_close(_best_logits(name, p / q), (p / q).log(), atol=1e-3, rtol=0)


def test_optimum_of_least_squares_is_the_posterior_probability():
    torch.testing.assert_close(_best_logits("least_squares", p / q), p / (p + q), atol=1e-3, rtol=0)


def test_optimum_of_hinge_is_the_sign():
    torch.testing.assert_close(_best_logits("hinge", p / q), (p - q).sign(), atol=1e-3, rtol=0)


def test_value_at_the_optimum_is_the_jensen_shannon_divergence():
    m = (p + q) / 2
    divergence = 0.5 * (p * (p / m).log()).sum() + 0.5 * (q * (q / m).log()).sum()
    optimum = torch.sigmoid((p / q).log())
    value = (p * optimum.log()).sum() + (q * (1 - optimum).log()).sum()
    torch.testing.assert_close(value, 2 * divergence - 2 * math.log(2))


def test_negative_weights_move_the_optimum_to_the_weighted_density():
    """Signal and background events of weight +1 among background events of weight -1: D sees the signal alone."""
    signal, background = p, q.flip(0)
    half = torch.cat([(signal + background) / q, -background / q])  # weights of two real events at each point
    for name in ("minimax", "least_squares"):
        together = half[: len(x)] + half[len(x) :]
        torch.testing.assert_close(_best_logits(name, together), _best_logits(name, signal / q), atol=1e-3, rtol=0)
        # the loss of both events at one point is the loss of one event that carries the sum of their weights
        a = torch.linspace(-1, 1, len(x), dtype=torch.float64)
        loss = OBJECTIVES[name].discriminator
        torch.testing.assert_close(2 * loss(a.repeat(2), a.repeat(2), half), loss(a, a, together) + _fake(loss, a))


def _fake(loss, a):
    return loss(a, a, torch.zeros_like(a))


@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_optimum_of_the_relativistic_loss_is_the_log_density_ratio_up_to_a_constant(offset):
    """Newton's method from an arbitrary level: the level stays, the shape is log p/q; each pair weighs p_i q_j."""
    weight = (p[:, None] * q[None, :]).flatten() * len(x) ** 2

    def cost(a):
        return OBJECTIVES["relativistic"].discriminator(
            a[:, None].expand(-1, len(x)).flatten(), a[None, :].expand(len(x), -1).flatten(), weight
        )

    slope_of = torch.func.grad(cost)
    a = torch.full_like(x, offset)
    for _ in range(30):
        slope, curvature = slope_of(a), torch.func.jacrev(slope_of)(a)
        a = a - torch.linalg.lstsq(curvature, slope, driver="gelsd").solution  # no curvature along the constant
    found, expected = a - (p * a).sum(), (p / q).log()
    torch.testing.assert_close(found, expected - (p * expected).sum(), atol=1e-6, rtol=0)
    torch.testing.assert_close(cost(a), cost(a + 100))  # the constant is free


@pytest.mark.parametrize("name", ["wasserstein", "wasserstein_gp"])
def test_the_best_critic_of_slope_one_gives_the_wasserstein_distance(name):
    """The loss is linear in the slopes, so the optimum sits at +-1 against the sign of the gradient."""
    step = x[1] - x[0]

    def cost(slopes):
        a = torch.cat([torch.zeros(1, dtype=torch.float64), (slopes * step).cumsum(0)])
        # generated samples sit evenly on the grid; what q has more or less than that goes to the real weights
        return OBJECTIVES[name].discriminator(a, a, 1 + (p - q) * len(x))

    slopes = -torch.func.grad(cost)(torch.zeros(len(x) - 1, dtype=torch.float64)).sign()
    distance = wasserstein_distance(x.numpy(), x.numpy(), p.numpy(), q.numpy())
    assert -cost(slopes).item() == pytest.approx(distance, rel=1e-9)
