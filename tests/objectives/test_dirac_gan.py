"""The Dirac-GAN: the smallest adversarial game, with known eigenvalues, orbits and verdicts.

Data are a point at 0, the generator a point at theta, and D(x) = level + psi x, whose level is the
logit of an undecided D: 1/2 for least squares, which aims at 0 and 1, and 0 for all others (Mescheder
et al., arXiv:1801.04406). With f'(0) = 1/2 (minimax, non_saturating, least_squares, relativistic) or
1 (hinge, Wasserstein) the flow of (theta, psi) at the equilibrium (0, 0) has the eigenvalues
-g/2 +- sqrt(g^2/4 - f'(0)^2), g = gamma_1 + gamma_2 of R1 and R2.

Without a penalty, to leading order in r^2 = theta^2 + psi^2 (averaged over an orbit; step h):

    minimax                         flow d(r^2)/dt = 0          steps grow by sqrt(1 + h^2 f'(0)^2)
    non_saturating, relativistic    flow d(r^2)/dt = -r^4 / 8   steps settle on r^2 = 2 h
    least_squares                   flow d(r^2)/dt = -r^4 / 2   steps settle on r^2 = h / 2
    wasserstein                     flow d(r^2)/dt = 0          steps grow by sqrt(1 + h^2 f'(0)^2)
    hinge                           the same while |psi theta| < 1; outside of it the orbit shrinks

so none of them reaches the equilibrium.
"""

import math
from typing import Any

import pytest
import torch

from reverie.objectives import OBJECTIVES, PENALTIES, squared_gradient_norm

# the losses of "wasserstein_gp" are those of "wasserstein"; penalty and clipping, which differ, are set by the tests
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name == "wasserstein_gp" else name for name in OBJECTIVES]
SLOPE = {name: 0.5 for name in OBJECTIVES} | dict.fromkeys(("hinge", "wasserstein", "wasserstein_gp"), 1.0)
ZERO_CENTRED = {"none": 0, "r1": 1, "r2": 1, "r1_r2": 2}  # how many times |dD/dx|^2 / 2 = psi^2 / 2 is counted


def _number(value):
    return torch.tensor([[value]], dtype=torch.float64, requires_grad=True)


def _points(where, theta):
    """Where the penalty is taken: at the data, at the generated point, at both or half-way."""
    zero = torch.zeros_like(theta)
    points = {"real": zero, "fake": theta, "both": torch.cat([zero, theta]), "between": theta / 2}[where]
    return points.detach().requires_grad_()


def _field(name, penalty, gamma, theta, psi, *, create_graph=False):
    """Return (d theta/dt, d psi/dt): minus the gradient of each player's loss in its own parameter.

    Several games (n, 1) without a penalty are played side by side: the sum of their losses is n times the mean.
    """
    objective, level = OBJECTIVES[name], 0.5 if OBJECTIVES[name].scale == "probability" else 0.0
    real, fake = level + 0 * psi, level + psi * theta
    cost = objective.discriminator(real, fake) * len(theta)
    if PENALTIES[penalty].points != "none":
        x = _points(PENALTIES[penalty].points, theta)
        cost = cost + PENALTIES[penalty].value(squared_gradient_norm(level + x @ psi, x), gamma)
    options: dict[str, Any] = {"retain_graph": True, "create_graph": create_graph, "materialize_grads": True}
    (d_theta,) = torch.autograd.grad(objective.generator(real, fake) * len(theta), theta, **options)
    (d_psi,) = torch.autograd.grad(cost, psi, **options)
    return -d_theta, -d_psi


def _eigenvalues(name, penalty, gamma):
    theta, psi = _number(0.0), _number(0.0)
    velocity = _field(name, penalty, gamma, theta, psi, create_graph=True)
    rows = [torch.autograd.grad(v, (theta, psi), retain_graph=True, materialize_grads=True) for v in velocity]
    jacobian = torch.stack([torch.cat(row).flatten() for row in rows])
    return sorted(torch.linalg.eigvals(jacobian).tolist(), key=lambda z: (round(z.real, 9), round(z.imag, 9)))


def _radii(name, penalty="none", gamma=0.0, *, h=0.1, steps=200, start=(1.0, 1.0), clip=None, alternating=False):
    """Follow the game in steps of size h from (theta, psi) = start; return r after every step, (step,).

    Of several starts ((theta, ...), (psi, ...)) it is (step, start).
    """
    theta, psi = (torch.tensor(value, dtype=torch.float64).reshape(-1, 1).requires_grad_() for value in start)
    radii = []
    for _ in range(steps):
        d_theta, d_psi = _field(name, penalty, gamma, theta, psi)
        with torch.no_grad():
            psi += h * d_psi
            if clip is not None:
                psi.clamp_(-clip, clip)
        if alternating:
            d_theta, _ = _field(name, penalty, gamma, theta, psi)
        with torch.no_grad():
            theta += h * d_theta
        radii.append(torch.hypot(theta, psi).detach().flatten())
    return torch.stack(radii).squeeze(1).float()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("penalty", list(ZERO_CENTRED))
@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.5])
def test_eigenvalues_at_the_equilibrium(name, penalty, gamma):
    g = gamma * ZERO_CENTRED[penalty]
    root = complex(g**2 / 4 - SLOPE[name] ** 2) ** 0.5
    expected = sorted([-g / 2 + root, -g / 2 - root], key=lambda z: (round(z.real, 9), round(z.imag, 9)))
    assert _eigenvalues(name, penalty, gamma) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("name", "gamma"), [("non_saturating", 1.0), ("relativistic", 1.0), ("wasserstein", 2.0)])
def test_r1_damps_critically_at_twice_the_slope(name, gamma):
    assert _eigenvalues(name, "r1", gamma) == pytest.approx([-gamma / 2, -gamma / 2], abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("penalty", ["r1", *(pytest.param(p, marks=pytest.mark.slow) for p in ("r2", "r1_r2"))])
def test_zero_centred_penalties_make_every_objective_converge(name, penalty):
    assert _radii(name, penalty, 1.0 / ZERO_CENTRED[penalty], h=0.2, steps=125)[-1] < 1e-3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("penalty", ["none", "two_sided", pytest.param("one_sided", marks=pytest.mark.slow)])
def test_without_them_no_objective_converges(name, penalty):
    tail = _radii(name, penalty, 10.0 if penalty != "none" else 0.0, h=0.1, steps=90)[-30:]
    assert tail.min() > 0.05


def test_clipped_wasserstein_does_not_converge():
    tail = _radii("wasserstein", clip=0.2, h=0.1, steps=150)[-50:]
    assert tail.max() > 0.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("h", [0.05, 0.2])
def test_simultaneous_steps_grow_by_a_known_factor_near_the_equilibrium(name, h):
    radii = _radii(name, h=h, steps=10, start=(1e-3, -2e-3))
    torch.testing.assert_close(
        radii[1:] / radii[:-1], torch.full((9,), math.sqrt(1 + (h * SLOPE[name]) ** 2)), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("name", ["minimax", "wasserstein"])
def test_simultaneous_steps_of_these_grow_for_ever(name):
    radii = _radii(name, h=0.1, steps=150)
    assert (radii[1:] > radii[:-1]).all()


@pytest.mark.parametrize(("name", "square"), [("non_saturating", 2.0), ("relativistic", 2.0), ("least_squares", 0.5)])
def test_simultaneous_steps_of_these_are_drawn_to_an_orbit(name, square):
    h, turn = 0.1, 126  # a turn takes 2 pi / (h f'(0)) steps
    starts = [factor * math.sqrt(square * h) for factor in (0.5, 1.0, 1.5)]
    squares = _radii(name, h=h, steps=2 * turn, start=(starts, [0.0] * 3)).square()
    inside, on_it, outside = (squares[-turn:].mean(dim=0) / squares[:turn].mean(dim=0)).tolist()
    assert inside > 1.1
    assert on_it == pytest.approx(1.0, abs=0.02)
    assert outside < 0.9


@pytest.mark.parametrize("name", NAMES)
def test_alternating_steps_stay_on_a_bounded_orbit(name):
    radii = _radii(name, h=0.2, steps=130, start=(0.02, 0.0), alternating=True)  # two turns of the slower games
    assert radii.max() < 0.03
    assert radii[-65:].min() > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_mean_change_of_the_radius_along_the_flow(name):
    """Average d(r^2)/dt = 2 (theta, psi) . v over the circle of radius 1/10."""
    share = {"non_saturating": -1 / 8, "relativistic": -1 / 8, "least_squares": -1 / 2}.get(name, 0.0)
    angle = torch.arange(16, dtype=torch.float64)[:, None] * math.pi / 8
    theta, psi = (0.1 * angle.cos()).requires_grad_(), (0.1 * angle.sin()).requires_grad_()
    d_theta, d_psi = _field(name, "none", 0.0, theta, psi)
    change = 2 * (theta * d_theta + psi * d_psi)
    assert change.mean().item() == pytest.approx(share * 0.1**4, rel=1e-2, abs=1e-12)


def test_relativistic_and_non_saturating_are_one_game_here():
    torch.testing.assert_close(_radii("relativistic", steps=50), _radii("non_saturating", steps=50))


@pytest.mark.slow  # radii of the others: the tests above
def test_hinge_shrinks_orbits_that_reach_its_margin_and_keeps_the_others():
    steps = {"h": 0.02, "steps": 629}  # two turns
    inside, outside = _radii("hinge", start=(1.0, 0.0), **steps), _radii("hinge", start=(3.0, 0.0), **steps)
    growth = (1 + 0.02**2) ** (629 / 2)  # of the Euler steps themselves
    assert inside[-1].item() == pytest.approx(growth, rel=1e-3)
    assert math.sqrt(2) * 0.95 < outside[-1] < 2.9
