"""Annealed importance sampling on a path of normal densities, all of whose constants are known."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.samplers.annealing import anneal, annealed_estimate, bridge, schedule

ALPHA = 1e-4
SIGMAS = float(stats.norm.isf(ALPHA / 2))


@dataclass(frozen=True)
class NormalPath:
    """p*_beta = exp(-x^2 P / 2), P = 1 - beta + beta / s^2, in d dimensions; a move is an autoregression."""

    s: float = 0.1
    d: int = 3
    memory: float = 0.5

    @property
    def log_z0(self):
        return self.d * math.log(2 * math.pi) / 2

    @property
    def log_z(self):
        return self.log_z0 + self.d * math.log(self.s)

    def precision(self, beta):
        return 1 - beta + beta / self.s**2

    def start(self, n_chains, generator):
        return torch.randn(n_chains, self.d, generator=generator, dtype=torch.float64)

    def log_weight(self, state, beta, to):
        return -state.square().sum(1) * (self.precision(to) - self.precision(beta)) / 2

    def move(self, state, beta, generator):
        noise = torch.randn(state.shape, generator=generator, dtype=torch.float64)
        spread = math.sqrt((1 - self.memory**2) / self.precision(beta))
        return self.memory * state + spread * noise


def _both_ways(path, n_temperatures, generator, n=100):
    betas = schedule(n_temperatures)
    _, forth = anneal(path, path.start(n, generator), betas, generator)
    _, back = anneal(path, path.s * path.start(n, generator), betas[::-1], generator)
    return forth, back


def _pulls(n_temperatures, estimate, n_runs=100):
    path, generator = NormalPath(), torch.Generator().manual_seed(0)
    runs = [estimate(path, *_both_ways(path, n_temperatures, generator)) for _ in range(n_runs)]
    return np.array([(value - path.log_z) / error for value, error in runs])


def _forward(path, forth, back):
    found = annealed_estimate(forth, path.log_z0, 1)
    return found.value, found.error


def _bridged(path, forth, back):
    found = bridge(forth, back, path.log_z0)
    return found.value, found.error


def _plain(path, forth, back):
    """The twin: a forward estimate whose error is the scatter of the weights that were met."""
    found = annealed_estimate(forth, path.log_z0, 1)
    w = (forth - forth.max()).exp()
    return found.value, float(w.std() / w.mean()) / len(w) ** 0.5


def test_both_ways_and_their_bridge_find_a_known_constant():
    """Twenty times the default sample, three estimates; false-alarm rate ALPHA each."""
    path = NormalPath()
    forth, back = _both_ways(path, 100, torch.Generator().manual_seed(1), n=2000)
    forward = annealed_estimate(forth, path.log_z0, 100)
    backward = annealed_estimate(back, path.log_z0, 100, backwards=True)
    both = bridge(forth, back, path.log_z0)
    for value, error in ((forward.value, forward.error), (backward.value, backward.error), (both.value, both.error)):
        assert abs(value - path.log_z) < SIGMAS * error
    assert both.error < min(forward.error, backward.error)


@pytest.mark.slow  # spread of 100 runs; one run: test_both_ways_and_their_bridge_find_a_known_constant
@pytest.mark.parametrize("n_temperatures", [5, 30])
def test_the_error_of_the_bridge_is_true(n_temperatures):
    """The mean square of 100 pulls is 1 within the quantiles of chi-square at ALPHA, for pulls that are normal."""
    pulls = _pulls(n_temperatures, _bridged)
    low, high = stats.chi2.ppf([ALPHA / 2, 1 - ALPHA / 2], len(pulls)) / len(pulls)
    assert low < np.square(pulls).mean() < high


def test_the_forward_error_is_not_too_small_where_the_plain_one_is():
    """Short schedules: at most a tenth beyond two errors; with the plain error, the twin, more than a fifth."""
    assert (np.abs(_pulls(5, _forward)) > 2).mean() < 0.1
    assert (np.abs(_pulls(5, _plain)) > 2).mean() > 0.2


def test_a_bridge_with_a_backward_weight_of_the_wrong_sign_is_found_out():
    path = NormalPath()
    forth, back = _both_ways(path, 100, torch.Generator().manual_seed(1), n=2000)
    wrong = bridge(forth, -back, path.log_z0)
    assert not abs(wrong.value - path.log_z) < SIGMAS * wrong.error


def test_schedules():
    assert schedule(4) == [0.0, 0.25, 0.5, 0.75, 1.0]
    long = np.array(schedule("long"))
    assert len(long) == 14_501
    assert (np.diff(long) > 0).all()
    np.testing.assert_allclose(np.diff(long)[[0, 499, 500, 4499, 4500, -1]], [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    assert long[-1] == 1
    assert schedule([0, 0.3, 1]) == [0.0, 0.3, 1.0]
    for wrong in (0, "short", [0.1, 1], [0, 0.5, 0.5, 1], [0, 2]):
        with pytest.raises(InputError):
            schedule(wrong)


def test_an_estimate_says_when_few_chains_carry_it():
    few = annealed_estimate(torch.tensor([0.0, 1.0, 20.0] + [0.0] * 97), 5.0, 10)
    assert few.ess < 2
    assert "1.0 effective of 100 chains" in few.warning
    even = annealed_estimate(torch.zeros(100), 5.0, 10)
    assert (even.value, even.error, even.warning) == (5.0, 0.0, "")
    assert "log Z = 5" in str(even)
    with pytest.raises(InputError, match="at least 2"):
        annealed_estimate(torch.zeros(1), 0.0, 1)
    with pytest.raises(InputError, match="as many chains each way"):
        bridge(torch.zeros(3), torch.zeros(2), 0.0)
