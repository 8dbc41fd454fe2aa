"""Exact densities against integration, against the points that the toys draw, and against published values.

Statistical tests ask for |z| < 4.9 (false-alarm rate 1e-6 each) at fixed seeds.
"""

import math

import pytest
import torch

from reverie.core.errors import InputError, UnknownNameError
from reverie.data import toys
from reverie.simulators.targets import TARGETS, GaussianMixture, target

Z = 4.9
N = 20_000


def standard_error_away(mixture: GaussianMixture, points: torch.Tensor) -> float:
    """Return the mean log density of the points minus its expectation, in standard errors."""
    scores = mixture.log_prob(points)
    return float((scores.mean() - mixture.expected_log_prob()) / (scores.std() / math.sqrt(len(scores))))


@pytest.mark.parametrize("name", ["broad_ring", "broad_grid", "shifted_grid"])
def test_density_integrates_to_one(name):
    axis = torch.linspace(-6.5, 6.5, 201, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    step = float(axis[1] - axis[0])
    assert float(target(name).log_prob(points).exp().sum()) * step**2 == pytest.approx(1, abs=1e-6)


def test_one_mode_is_the_normal_density():
    mixture = GaussianMixture(torch.zeros(1, 3, dtype=torch.float64), 2.0)
    x = torch.randn(10, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.distributions.Normal(0.0, 2.0).log_prob(x).sum(dim=1)
    torch.testing.assert_close(mixture.log_prob(x), expected)
    assert mixture.expected_log_prob() == pytest.approx(-1.5 * math.log(2 * math.pi * math.e * 4))


@pytest.mark.parametrize(("name", "value"), [("broad_grid", -3.061), ("broad_ring", -1.698)])
def test_optimum_of_the_tabular_benchmark(name, value):
    """Known answers: the log-likelihoods of the data themselves in arXiv:1907.00503, to their digits."""
    assert target(name).expected_log_prob() == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_narrow_modes_have_the_entropy_of_separate_gaussians(name):
    mixture = target(name)
    separate = -math.log(len(mixture.centres)) - math.log(2 * math.pi * math.e * mixture.sd**2)
    assert mixture.expected_log_prob() == pytest.approx(separate, abs=1e-6)


@pytest.mark.parametrize("name", list(TARGETS))
def test_toys_and_samples_follow_the_density(name):
    mixture = target(name)
    assert abs(standard_error_away(mixture, torch.from_numpy(toys.TOYS[name](N, 0)))) < Z
    assert abs(standard_error_away(mixture, mixture.sample(N, 0))) < Z


@pytest.mark.parametrize("name", ["ring", *(pytest.param(n, marks=pytest.mark.slow) for n in TARGETS if n != "ring")])
def test_wrong_widths_are_noticed_on_both_sides(name):
    """Twin: points of modes 5 % too narrow score above the optimum, 5 % too broad below."""
    mixture = target(name)
    for factor, sign in ((0.95, 1), (1.05, -1)):
        wrong = GaussianMixture(mixture.centres, factor * mixture.sd)
        assert sign * standard_error_away(mixture, wrong.sample(N, 0)) > Z


def test_energy_and_its_gradient():
    mixture = GaussianMixture(torch.tensor([[1.0, 2.0]], dtype=torch.float64), 0.5)
    x = torch.tensor([[1.5, 2.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(mixture.energy(x).sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([[2.0, 0.0]], dtype=torch.float64))  # (x - c) / sd^2


def test_far_points_have_finite_density_and_float_stays_float():
    score = target("ring").log_prob(torch.full((1, 2), 50.0))
    assert torch.isfinite(score).all()
    assert score.dtype == torch.float32


def test_seeds():
    assert torch.equal(target("grid").sample(5, 1), target("grid").sample(5, 1))
    assert not torch.equal(target("grid").sample(5, 1), target("grid").sample(5, 2))
    assert target("grid").sample(3).shape == (3, 2)


def test_wrong_input_is_answered_in_a_sentence():
    with pytest.raises(InputError, match=r"samples \(batch, 2\)"):
        target("ring").log_prob(torch.zeros(4, 3))
    with pytest.raises(InputError, match="centres"):
        GaussianMixture(torch.zeros(3), 1.0)
    with pytest.raises(InputError, match="sd"):
        GaussianMixture(torch.zeros(3, 2), 0.0)
    with pytest.raises(UnknownNameError):
        target("rign")


def test_whole_numbers_are_taken_as_floating_point_ones():
    x = torch.tensor([[2, 0], [1, 1]])
    torch.testing.assert_close(target("ring").log_prob(x), target("ring").log_prob(x.double()))
