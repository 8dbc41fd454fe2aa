"""Adversarial losses: gradients, shape guards, Dirac-GAN and optimal discriminators with known answers."""

import math

import pytest
import torch
from torch.nn.functional import softplus

from reverie.core.errors import InputError
from reverie.objectives import OBJECTIVES, equilibrium_outputs, minimax_discriminator, minimax_generator

NAMES = list(OBJECTIVES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_gradients_agree_with_finite_differences(name, player):
    loss = getattr(OBJECTIVES[name], player)
    logits = torch.randn(2, 6, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    real, fake = (row.clone().requires_grad_() for row in logits)
    assert torch.autograd.gradcheck(loss, (real, fake))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_shapes_that_would_broadcast_are_refused(name, player):
    with pytest.raises(InputError, match=r"\(4, 1\) and \(4,\)"):
        getattr(OBJECTIVES[name], player)(torch.zeros(4, 1), torch.zeros(4))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_loss_does_not_depend_on_the_size_of_the_batch(name, player):
    loss = getattr(OBJECTIVES[name], player)
    real, fake = torch.randn(2, 5, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(loss(real, fake), loss(real.repeat(3, 1), fake.repeat(3, 1)))


def test_minimax_is_a_zero_sum_game():
    real, fake = torch.randn(2, 7, 1, generator=torch.Generator().manual_seed(2))
    value = torch.log(torch.sigmoid(real)).mean() + torch.log(1 - torch.sigmoid(fake)).mean()
    torch.testing.assert_close(-minimax_discriminator(real, fake), value)
    torch.testing.assert_close(minimax_generator(real, fake), torch.log(1 - torch.sigmoid(fake)).mean())


def test_value_at_equality_is_minus_log_4():
    undecided = torch.zeros(5, 1, dtype=torch.float64)
    assert -minimax_discriminator(undecided, undecided).item() == pytest.approx(-math.log(4), abs=1e-12)


def _expected_logit(name, p, q):
    """Minimise the expected discriminator loss at one point of densities p and q by Newton's method."""
    a = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for _ in range(50):
        # the weights p and q of a point enter through its own loss on real and on generated samples
        far = torch.tensor(-60.0, dtype=torch.float64)
        real = OBJECTIVES[name].discriminator(a.reshape(1), far.reshape(1))
        fake = OBJECTIVES[name].discriminator(-far.reshape(1), a.reshape(1))
        loss = p * real + q * fake
        (first,) = torch.autograd.grad(loss, a, create_graph=True)
        (second,) = torch.autograd.grad(first, a)
        with torch.no_grad():
            a -= first / second
    return a.item()


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_optimal_discriminator_is_the_log_density_ratio(name):
    assert _expected_logit(name, 0.3, 0.05) == pytest.approx(math.log(0.3 / 0.05), abs=1e-8)


# Dirac-GAN (Mescheder et al., arXiv:1801.04406): data at 0, generator at theta, D(x) = psi x.
SLOPES = {"non_saturating": 0.5, "relativistic": 0.5, "wasserstein_gp": 1.0, "minimax": 0.5}


def _dirac_field(name, theta, psi, gamma):
    real, fake = (psi * 0.0).reshape(1), (psi * theta).reshape(1)
    objective = OBJECTIVES[name]
    (d_theta,) = torch.autograd.grad(objective.generator(real, fake), theta, retain_graph=True, create_graph=True)
    penalty = 0.5 * gamma * psi**2  # R1: |dD/dx|^2 = psi^2
    (d_psi,) = torch.autograd.grad(objective.discriminator(real, fake) + penalty, psi, create_graph=True)
    return -d_theta, -d_psi


def _dirac_eigenvalues(name, gamma):
    theta = torch.zeros((), dtype=torch.float64, requires_grad=True)
    psi = torch.zeros((), dtype=torch.float64, requires_grad=True)
    rows = [
        [
            g if g is not None else torch.zeros(())
            for g in torch.autograd.grad(v, (theta, psi), retain_graph=True, allow_unused=True)
        ]
        for v in _dirac_field(name, theta, psi, gamma)
    ]
    jacobian = torch.stack([torch.stack([x.double() for x in row]) for row in rows])
    return torch.linalg.eigvals(jacobian)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5])
def test_dirac_gan_eigenvalues(name, gamma):
    """At the equilibrium: -gamma/2 +- sqrt(gamma^2/4 - f'(0)^2)."""
    root = torch.sqrt(torch.tensor(gamma**2 / 4 - SLOPES[name] ** 2, dtype=torch.complex128))
    expected = torch.stack([-gamma / 2 + root, -gamma / 2 - root])
    got = _dirac_eigenvalues(name, gamma)
    order = lambda z: sorted(z.tolist(), key=lambda w: (round(w.real, 9), round(w.imag, 9)))  # noqa: E731
    assert order(got) == pytest.approx(order(expected), abs=1e-7)


@pytest.mark.parametrize(("gamma", "converges"), [(0.0, False), (1.0, True)])
@pytest.mark.parametrize("name", ["non_saturating", "relativistic", "wasserstein_gp"])
def test_dirac_gan_converges_with_r1_and_not_without(name, gamma, converges):
    theta = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    psi = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    for _ in range(2000):
        v_theta, v_psi = _dirac_field(name, theta, psi, gamma)
        with torch.no_grad():
            theta += 0.05 * v_theta
            psi += 0.05 * v_psi
    assert (abs(theta.item()) < 1e-3) is converges


def test_outputs_meet_at_one_half_whatever_the_offset_of_relativistic_logits():
    real = torch.randn(1000, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    d_real, d_fake = equilibrium_outputs(real + 40, real.flip(0) + 40, log_odds=False)
    assert d_real.item() == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(d_real, d_fake)
    d_real, d_fake = equilibrium_outputs(real + 40, real + 40, log_odds=True)
    assert d_real.item() == pytest.approx(1.0)


def test_softplus_losses_stay_finite_for_huge_logits():
    huge = torch.tensor([1e4])
    for objective in OBJECTIVES.values():
        assert torch.isfinite(objective.discriminator(huge, -huge))
        assert torch.isfinite(objective.generator(huge, -huge))
    assert softplus(huge).item() == pytest.approx(1e4)
