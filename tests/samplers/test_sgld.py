"""SGLD against the variance that theory predicts, with batches, and what goes wrong when a factor is missing.

The conjugate model: rows x ~ N(theta, 1), prior theta ~ N(0, 10). The gradient noise of batches does not depend on
theta, so the chain is autoregressive and sgld_variance is exact. False-alarm rate ALPHA for each comparison.
"""

import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.samplers import SGLD, MinibatchEnergy, run
from reverie.samplers.sgld import constant, polynomial, polynomial_between, sgld_variance

ALPHA = 1e-4
WIDTH = float(stats.norm.isf(ALPHA / 2))
PRIOR = 10.0
N = 100


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def log_prior(theta):
    """theta (chain, 1) -> (chain,)."""
    return -theta.square().sum(1) / (2 * PRIOR)


def log_likelihood(theta, rows):
    """theta (chain, 1), rows (chain, n) -> (chain, n)."""
    return -(rows - theta).square() / 2


DATA = torch.randn(N, generator=_generator(7), dtype=torch.float64) + 0.5
PRECISION = 1 / PRIOR + N
MEAN = float(DATA.sum() / PRECISION)


def _energy(batch_size):
    return MinibatchEnergy(log_prior, log_likelihood, DATA, batch_size)


def _run(kernel, energy, seed=0):
    start = torch.full((500, 1), MEAN, dtype=torch.float64)
    return run(kernel, start, energy, n_steps=200, burn_in=50, generator=_generator(seed))


def _moments(chains):
    return chains.mean(lambda x: x[:, 0]), chains.mean(lambda x: (x[:, 0] - MEAN).square())


@pytest.mark.parametrize(("batch_size", "eta"), [(None, 5e-3), (10, 2e-3), (1, 5e-4)])
def test_mean_and_variance_are_those_of_theory(batch_size, eta):
    energy = _energy(batch_size)
    noise = float(energy.gradient_noise(torch.tensor([MEAN], dtype=torch.float64)))
    mean, variance = _moments(_run(SGLD(eta), energy))
    assert abs(mean.value - MEAN) < WIDTH * mean.error
    assert abs(variance.value - sgld_variance(eta, PRECISION, noise)) < WIDTH * variance.error
    assert abs(variance.value - 1 / PRECISION) > WIDTH * variance.error  # and is not that of the posterior


class _WithoutScale(MinibatchEnergy):
    """The prior and one batch, without N / n."""

    def draw(self, n_chains, generator):
        full = super().draw(n_chains, generator)
        return lambda theta: -log_prior(theta) + (full(theta) + log_prior(theta)) * self.batch_size / N


def test_a_batch_without_the_factor_fails():
    energy = _WithoutScale(log_prior, log_likelihood, DATA, 10)
    noise = float(energy.gradient_noise(torch.tensor([MEAN], dtype=torch.float64)))
    _, variance = _moments(_run(SGLD(2e-3), energy))
    assert abs(variance.value - sgld_variance(2e-3, PRECISION, noise)) > WIDTH * variance.error


def test_a_step_that_is_read_as_half_or_double_fails():
    eta, energy = 2e-3, _energy(10)
    noise = float(energy.gradient_noise(torch.tensor([MEAN], dtype=torch.float64)))
    for wrong in (2 * eta, eta / 2):  # eps read as eta
        _, variance = _moments(_run(SGLD(wrong), energy))
        assert abs(variance.value - sgld_variance(eta, PRECISION, noise)) > WIDTH * variance.error


def test_gradient_noise_is_the_variance_of_the_gradients_of_batches():
    energy, theta = _energy(5), torch.full((20_000, 1), 0.2, dtype=torch.float64, requires_grad=True)
    g = torch.autograd.grad(energy.draw(len(theta), _generator(1))(theta).sum(), theta)[0]
    full = torch.autograd.grad(energy(theta[:1]).sum(), theta)[0][0]
    noise = float(energy.gradient_noise(torch.tensor([0.2], dtype=torch.float64)))
    assert abs(float(g.mean() - full)) < WIDTH * (noise / len(g)) ** 0.5
    assert float(g.var()) == pytest.approx(noise, rel=WIDTH * (2.4 / len(g)) ** 0.5)  # kurtosis below 3.4


def test_chains_draw_their_own_batches():
    energies = _energy(5).draw(4, _generator(2))(torch.zeros(4, 1, dtype=torch.float64))
    assert len(energies.unique()) == 4


def test_all_rows_at_once_are_the_energy_itself():
    energy, theta = _energy(None), torch.randn(3, 1, generator=_generator(3), dtype=torch.float64)
    assert energy.draw(3, _generator(0)) is energy
    plain = [-(log_prior(t[None])[0] + (-(DATA - t).square() / 2).sum()) for t in theta]
    torch.testing.assert_close(energy(theta), torch.stack(plain))
    assert energy.gradient_noise(theta[0]) == 0


def test_data_may_be_several_tensors():
    x, y = torch.randn(12, 2, generator=_generator(4)), torch.arange(12.0)
    seen = []

    def likelihood(theta, x, y):
        seen.append((x.shape, y.shape))
        return -((x * theta[:, None]).sum(2) - y).square()

    energy = MinibatchEnergy(lambda t: -t.square().sum(1), likelihood, (x, y), 4)
    energy.draw(3, _generator(0))(torch.zeros(3, 2))
    energy(torch.zeros(3, 2))
    assert energy.row_gradients(torch.zeros(2)).shape == (12, 2)
    assert seen == [((3, 4, 2), (3, 4)), ((3, 12, 2), (3, 12)), ((12, 1, 2), (12, 1))]
    torch.testing.assert_close(energy.row_gradients(torch.zeros(2)), 2 * y[:, None] * x)


def test_predicted_variance_has_its_limits():
    assert sgld_variance(0.8, 1.0) == pytest.approx(1 / (1 - 0.4))  # ULA
    assert sgld_variance(1e-9, 4.0, 10.0) == pytest.approx(0.25)
    with pytest.raises(InputError, match="step_size < 2"):
        sgld_variance(0.5, 4.0)


def test_schedules():
    assert constant(0.1)(0) == constant(0.1)(10**6) == 0.1
    assert polynomial(2.0, 3.0, 0.6)(5) == pytest.approx(2 * 8**-0.6)
    schedule = polynomial_between(0.01, 0.0001, 1000)
    assert (schedule(0), schedule(1000)) == pytest.approx((0.01, 0.0001))
    for wrong in (lambda: polynomial(1, 1, 0.5), lambda: polynomial(0, 1), lambda: polynomial_between(1, 2, 3)):
        with pytest.raises(InputError):
            wrong()


def test_errors_say_what_to_give():
    with pytest.raises(InputError, match="ULA"):
        SGLD(0.1).init(torch.zeros(1, 1), lambda x: x.sum(1))
    with pytest.raises(InputError, match="equally many rows"):
        MinibatchEnergy(log_prior, log_likelihood, (torch.zeros(3), torch.zeros(4)))
    with pytest.raises(InputError, match="batch_size"):
        MinibatchEnergy(log_prior, log_likelihood, DATA, 0)
    with pytest.raises(InputError, match="not over rows"):
        MinibatchEnergy(log_prior, lambda t, rows: log_likelihood(t, rows).sum(1), DATA)(torch.zeros(2, 1))
