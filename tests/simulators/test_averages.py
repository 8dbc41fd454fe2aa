"""Averages of lattices: exact values of enumerated lattices, errors that cover, plain loops."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.samplers import Checkerboard, IsingEnergy, run
from reverie.simulators import Ising, correlation_function, enumerate_ising, lattice_averages
from reverie.simulators.averages import LatticeAverages, jackknife

ALPHA = 1e-4  # false-alarm rate of each statistical test
BETA = 0.4


def _exact(side: int, beta: float) -> dict[str, float]:
    exact, n = enumerate_ising(side, beta), side**2
    return {
        "energy": exact.energy,
        "specific_heat": exact.specific_heat,
        "abs_m": exact.abs_m,
        "m2": exact.m2,
        "susceptibility": beta * n * (exact.m2 - exact.abs_m**2),
        "binder": exact.binder,
    }


@pytest.fixture(scope="module")
def chains() -> torch.Tensor:
    """Metropolis on 4 x 4, (step, chain, side, side): 100 equilibrated and correlated chains."""
    start = Ising(side=4, beta=BETA).sample(100, 0)
    generator = torch.Generator().manual_seed(1)
    return run(Checkerboard(), start, IsingEnergy(BETA), n_steps=600, generator=generator).x


@pytest.fixture(scope="module")
def averages(chains) -> LatticeAverages:
    return lattice_averages(chains, BETA)


@pytest.mark.parametrize("name", _exact(4, BETA))
def test_averages_of_correlated_chains_are_right(averages, name):
    measured = getattr(averages, name)
    limit = stats.norm.isf(ALPHA / 12)  # six quantities, two sides
    assert abs(measured.value - _exact(4, BETA)[name]) < limit * measured.error
    assert abs(measured.value - _exact(4, 0.9 * BETA)[name]) > limit * measured.error


@pytest.fixture(scope="module")
def averages_by_chain(chains) -> list[list[LatticeAverages]]:
    """Averages of each chain by itself, in its order and in one without correlation."""
    order = torch.randperm(len(chains), generator=torch.Generator().manual_seed(0))
    return [[lattice_averages(x[:, i], BETA) for i in range(0, x.shape[1], 2)] for x in (chains, chains[order])]


@pytest.mark.parametrize("name", ["energy", "abs_m", "susceptibility"])
def test_errors_cover_the_truth_and_naive_ones_do_not(averages_by_chain, name):
    """Pulls of 50 chains have the variance 1, by chi-square; the twin forgets their order, thus the correlation."""
    truth, covered = _exact(4, BETA)[name], []
    for averages in averages_by_chain:
        measured = [getattr(one, name) for one in averages]
        p = stats.chi2(len(measured)).cdf(sum(((m.value - truth) / m.error) ** 2 for m in measured))
        covered.append(ALPHA / 2 < p < 1 - ALPHA / 2)
    assert covered == [True, False]


def _plain_correlation(x: torch.Tensor, r: int) -> float:
    return float((x * x.roll(r, 1) + x * x.roll(r, 2)).mean() / 2)


def test_correlation_function_is_that_of_a_loop_with_a_covariance(chains):
    result = correlation_function(chains)
    pooled = chains[len(chains) % result.blocks.length :].flatten(0, 1)  # whole blocks only
    np.testing.assert_allclose(result.value, [_plain_correlation(pooled, r) for r in range(3)], atol=1e-6)
    assert result.covariance.shape == (3, 3)
    assert result.error[0] < 1e-12
    z = (-2 * result.value[1] - enumerate_ising(4, BETA).energy) / (2 * result.error[1])
    assert abs(z) < stats.norm.isf(ALPHA / 2)


def test_covariance_of_the_correlation_function_is_the_spread_of_chains(chains):
    """Ten times ten chains: the variance of G(2) and its stated value agree within chi-square limits."""
    parts = [correlation_function(chains[:, i : i + 10]) for i in range(0, 100, 10)]
    ratio = np.var([p.value[2] for p in parts], ddof=1) / np.mean([p.covariance[2, 2] for p in parts])
    low, high = stats.chi2(9).ppf([ALPHA / 2, 1 - ALPHA / 2]) / 9
    assert low < ratio < high


def test_correlation_length_is_that_of_its_definition():
    side, spins = 12, Ising(side=12, beta=0.3).sample(400, 0)
    i = torch.arange(side)
    waves = [torch.exp(2j * math.pi * k / side) for k in (i[:, None].expand(side, side), i.expand(side, side))]
    s0 = spins.sum((1, 2)).square().mean()
    s1 = sum((spins * wave).sum((1, 2)).abs().square().mean() for wave in waves) / 2
    plain = math.sqrt(s0 / s1 - 1) / (2 * math.sin(math.pi / side))
    measured = lattice_averages(spins, 0.3).correlation_length
    assert measured.value == pytest.approx(plain, abs=0.5 * measured.error)  # up to the jackknife's bias
    assert 0.02 < measured.error < 0.3


def test_the_jackknife_of_a_mean_is_the_standard_error_and_a_square_loses_its_bias():
    x = np.random.default_rng(0).normal(size=(50, 1)) + 1
    mean = jackknife(lambda a: a[..., 0], x)
    assert (mean.value, mean.error) == pytest.approx((x.mean(), x.std(ddof=1) / math.sqrt(50)))
    assert jackknife(lambda a: a[..., 0] ** 2, x).value == pytest.approx(x.mean() ** 2 - x.var(ddof=1) / 50)


def test_one_chain_and_chains_of_one_are_the_same(chains):
    assert lattice_averages(chains[:, 0], BETA) == lattice_averages(chains[:, :1], BETA)


def test_blocks_are_ten_times_tau_and_short_chains_are_told(chains, averages):
    blocks = averages.blocks
    assert blocks.length == math.ceil(10 * blocks.tau)
    assert not blocks.warning
    short = lattice_averages(chains[:60, 0], BETA)
    assert "more configurations" in short.blocks.warning
    assert short.blocks.warning in str(short)


def test_frozen_lattices_have_no_error():
    averages = lattice_averages(torch.ones(100, 4, 4), 10.0)
    assert (averages.energy.value, averages.energy.error) == (-2, 0)
    assert averages.binder.value == pytest.approx(2 / 3)


@pytest.mark.parametrize("spins", [torch.ones(9, 4), torch.ones(9, 4, 5), torch.ones(3, 4, 4)])
def test_other_shapes_are_refused(spins):
    with pytest.raises(InputError):
        lattice_averages(spins, BETA)


def test_arrays_of_whole_numbers_are_taken_and_bits_refused():
    spins = Ising(side=4, beta=0.3).sample(100, random_state=0)
    assert lattice_averages(spins.numpy().astype("int8"), 0.3) == lattice_averages(spins, 0.3)
    with pytest.raises(InputError, match="2 x - 1"):
        lattice_averages((spins + 1) / 2, 0.3)


def test_lattices_of_spins_that_are_all_alike_have_no_correlation_length():
    assert math.isnan(lattice_averages(torch.ones(100, 5, 5), 2.0).correlation_length.value)
