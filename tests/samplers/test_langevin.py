"""Langevin kernels: the bias that theory predicts of ULA, none in MALA, and the step size that is found.

Means along chains are compared in their own errors, which know the autocorrelation; false-alarm rate ALPHA each.
"""

import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.samplers import MALA, ULA, Chains, RandomWalk, run, steps, tuned_step_size
from reverie.samplers.langevin import energy_and_gradient
from reverie.simulators.targets import target

ALPHA = 1e-4
WIDTH = float(stats.norm.isf(ALPHA / 2))


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _normal(variance=1.0):
    return lambda x: x.square().sum(1) / (2 * variance)


def _variance(kernel, energy=None, n_steps=200):
    """Return <x^2> of 1,000 chains that start from N(0, 1)."""
    generator = _generator(0)
    start = torch.randn(1000, 1, generator=generator)
    chains = run(kernel, start, energy or _normal(), n_steps=n_steps, burn_in=40, generator=generator)
    return chains.mean(lambda x: x[:, 0].square()), chains


@pytest.mark.parametrize(("eta", "variance"), [(0.8, 1.0), (0.3, 1.0), (0.5, 4.0), (1.5, 1.0)])
def test_ula_has_the_variance_that_theory_predicts(eta, variance):
    found, _ = _variance(ULA(eta), _normal(variance))
    predicted = variance / (1 - eta / (2 * variance))
    assert abs(found.value - predicted) < WIDTH * found.error
    if eta > 0.3:
        assert abs(found.value - variance) > WIDTH * found.error  # the bias is seen


def test_mala_has_none_and_the_known_acceptance():
    found, chains = _variance(MALA(0.8))
    assert abs(found.value - 1) < WIDTH * found.error
    assert chains.info["accepted"].mean() == pytest.approx(0.843, abs=0.01)  # 0.84, in one dimension
    biased, _ = _variance(ULA(0.8))
    assert abs(biased.value - 1) > WIDTH * biased.error  # what MALA without its acceptance would give


def test_temperature_scales_the_variance_and_zero_descends():
    found, _ = _variance(ULA(0.2, temperature=0.5))
    assert abs(found.value - 0.5 / (1 - 0.1)) < WIDTH * found.error
    x = run(ULA(0.2, temperature=0.0), torch.ones(1, 1), _normal(), n_steps=3, generator=_generator(0)).x
    torch.testing.assert_close(x[:, 0, 0], 0.8 ** torch.arange(1.0, 4.0))


def test_each_chain_may_have_its_own_step_size():
    eta = torch.tensor([0.2, 1.0]).repeat_interleave(500)
    _, chains = _variance(ULA(eta))
    for rows, step in ((slice(None, 500), 0.2), (slice(500, None), 1.0)):
        half = Chains(chains.x[:, rows]).mean(lambda x: x[:, 0].square())
        assert abs(half.value - 1 / (1 - step / 2)) < WIDTH * half.error
    found, _ = _variance(MALA(eta))
    assert abs(found.value - 1) < WIDTH * found.error


def test_a_schedule_is_asked_with_the_number_of_the_step():
    asked = []

    def schedule(step):
        asked.append(step)
        return 0.1

    run(MALA(schedule), torch.zeros(2, 1), _normal(), n_steps=4, generator=_generator(0))
    run(ULA(schedule), torch.zeros(2, 1), _normal(), n_steps=3, generator=_generator(0))
    assert asked == [0, 1, 2, 3, 0, 1, 2]


def test_mala_on_eight_modes_stays_in_the_exact_mean_energy():
    """Chains start from exact draws of the ring; its entropy by quadrature is the mean energy."""
    ring = target("ring")
    start = ring.sample(400, 1).float()
    eta = 0.5 * ring.sd**2
    chains = run(MALA(eta), start, ring.energy, n_steps=200, generator=_generator(2))
    found, exact = chains.mean(ring.energy), -ring.expected_log_prob()
    assert abs(found.value - exact) < WIDTH * found.error
    wrong = run(ULA(eta), start, ring.energy, n_steps=200, generator=_generator(2)).mean(ring.energy)
    assert abs(wrong.value - exact) > WIDTH * wrong.error


def test_steep_energies_need_a_bound_on_the_gradient():
    steep = lambda x: x.square().square().sum(1)  # noqa: E731
    start = torch.full((10, 2), 5.0)
    free = run(ULA(0.05), start, steep, n_steps=50, generator=_generator(1)).x
    bound = run(ULA(0.05, clip=5.0), start, steep, n_steps=200, generator=_generator(1)).x
    assert not free.isfinite().all()
    assert bound.isfinite().all()
    assert bound[-1].abs().max() < 3


def test_a_bound_that_is_never_reached_changes_nothing():
    a, b = (run(ULA(0.1, clip=c), torch.ones(5, 2), _normal(), n_steps=9, generator=_generator(2)) for c in (None, 1e3))
    torch.testing.assert_close(a.x, b.x)


def test_mala_refuses_what_is_not_finite():
    walled = lambda x: torch.where(x[:, 0] > 0, x[:, 0], torch.inf)  # noqa: E731
    chains = run(MALA(0.5), torch.ones(50, 1), walled, n_steps=300, burn_in=50, generator=_generator(3))
    assert (chains.x > 0).all()
    assert abs(chains.mean(lambda x: x[:, 0]).value - 1) < 0.1


def test_gradients_reach_positions_and_not_parameters():
    weight = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        value, gradient = energy_and_gradient(lambda x: (x * weight).sum(1), torch.zeros(3, 2))
    assert torch.equal(gradient, torch.ones(3, 2))
    assert weight.grad is None
    assert not value.requires_grad


@pytest.mark.parametrize(
    ("kernel", "target", "scale"),
    [
        (MALA, 0.574, 1e-3),
        pytest.param(MALA, 0.574, 1.0, marks=pytest.mark.slow),
        pytest.param(MALA, 0.574, 1e3, marks=pytest.mark.slow),
        pytest.param(RandomWalk, 0.234, 1e-3, marks=pytest.mark.slow),
        pytest.param(RandomWalk, 0.234, 1.0, marks=pytest.mark.slow),
        (RandomWalk, 0.234, 1e3),
    ],
)
def test_the_step_size_found_gives_the_acceptance_asked_for(kernel, target, scale):
    energy, start = _normal(scale**2), torch.zeros(40, 10)
    tuned = tuned_step_size(kernel, energy, start, _generator(4), target_acceptance=target)
    chains = run(kernel(tuned.step_size), tuned.x, energy, n_steps=200, burn_in=100, generator=_generator(5))
    assert chains.info["accepted"].mean() == pytest.approx(target, abs=0.04)
    assert tuned.acceptance == pytest.approx(target, abs=0.04)


def test_one_step_passes_the_same_numbers_as_the_formula():
    x, eta = torch.tensor([[0.3, -1.0]]), 0.4
    state, _ = next(steps(ULA(eta), x, _normal(), generator=_generator(6)))
    noise = torch.randn(1, 2, generator=_generator(6))
    torch.testing.assert_close(state.x, x - eta * x + (2 * eta) ** 0.5 * noise)


@pytest.mark.parametrize("kernel", [ULA, MALA])
@pytest.mark.parametrize("step_size", [0.0, -1.0, torch.ones(3), torch.tensor([1.0, 0.0])])
def test_step_sizes_are_positive_and_one_per_chain(kernel, step_size):
    with pytest.raises(InputError, match="step"):
        kernel(step_size).init(torch.zeros(2, 1), _normal())


def test_other_numbers_out_of_range():
    with pytest.raises(InputError, match="temperature"):
        ULA(0.1, temperature=-1).init(torch.zeros(1, 1), _normal())
    with pytest.raises(InputError, match="clip"):
        ULA(0.1, clip=0.0).init(torch.zeros(1, 1), _normal())
    with pytest.raises(InputError, match=r"target_acceptance to be a number in \(0, 1\)"):
        tuned_step_size(MALA, _normal(), torch.zeros(1, 1), _generator(0), target_acceptance=1.0)
