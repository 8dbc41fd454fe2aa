"""The energy of a restricted Boltzmann machine against sums over all states and integrals on a grid."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.networks.boltzmann import BoltzmannEnergy, all_states, log_partition, log_partition_of, state_number

ALPHA = 1e-4


def machine(n_visible, n_hidden, visible="binary", seed=0, size=1.0):
    generator = torch.Generator().manual_seed(seed)
    energy = BoltzmannEnergy(n_visible, n_hidden, visible=visible).double()
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return energy.requires_grad_(requires_grad=False)


def joint(energy, n_visible, n_hidden):
    """Return exp(-E) of all pairs of states, (2^n_visible, 2^n_hidden)."""
    v, h = all_states(n_visible), all_states(n_hidden)
    pairs = energy.joint(v.repeat_interleave(len(h), 0), h.repeat(len(v), 1))
    return (-pairs).exp().view(len(v), len(h))


def test_free_energies_and_conditionals_are_those_of_the_joint_energy():
    energy = machine(4, 3)
    table = joint(energy, 4, 3)
    torch.testing.assert_close((-energy(all_states(4))).exp(), table.sum(1))
    torch.testing.assert_close((-energy.hidden_free_energy(all_states(3))).exp(), table.sum(0))
    torch.testing.assert_close(energy.hidden_mean(all_states(4)), table @ all_states(3) / table.sum(1)[:, None])
    torch.testing.assert_close(energy.visible_mean(all_states(3)), table.T @ all_states(4) / table.sum(0)[:, None])


def test_both_layers_sum_to_the_same_constant():
    energy = machine(12, 8)
    by_visible = log_partition_of(energy, 12)
    by_hidden = log_partition_of(energy.hidden_free_energy, 8)
    torch.testing.assert_close(by_visible, by_hidden, rtol=1e-12, atol=0)
    torch.testing.assert_close(log_partition(energy), by_hidden)


def test_a_gaussian_density_integrates_to_one():
    energy = machine(2, 3, "gaussian", size=0.5)
    grid = torch.linspace(-12, 12, 601, dtype=torch.float64)
    v = torch.cartesian_prod(grid, grid)
    p = (-energy(v) - log_partition(energy)).exp()
    assert float(p.sum()) * (24 / 600) ** 2 == pytest.approx(1, abs=1e-10)


def _layers_drawn(n=40_000, noiseless=False):
    """Return a p-value that pairs of layers, drawn in turn from exact visible states, have their joint law."""
    energy, generator = machine(3, 2), torch.Generator().manual_seed(1)
    table = joint(energy, 3, 2)
    start = torch.multinomial(table.sum(1), n, replacement=True, generator=generator)
    h = energy.sample_hidden(all_states(3)[start], generator)
    v = energy.visible_mean(h).round() if noiseless else energy.sample_visible(h, generator)
    cells = state_number(v) * 4 + state_number(h)
    expected = (table / table.sum()).flatten().numpy() * n
    return float(stats.chisquare(np.bincount(cells, minlength=32), expected).pvalue)


def test_a_sweep_keeps_the_joint_law():
    assert _layers_drawn() > ALPHA


def test_visible_means_in_place_of_draws_are_found_out():
    assert _layers_drawn(noiseless=True) < ALPHA


@pytest.mark.parametrize("noise", [True, False])
def test_gaussian_units_are_drawn_with_their_noise(noise):
    """A Kolmogorov-Smirnov test of one unit given h; without noise, the twin, it must fail."""
    energy, generator = machine(2, 3, "gaussian", size=0.5), torch.Generator().manual_seed(2)
    h = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64).repeat(5000, 1)
    v = energy.sample_visible(h, generator) if noise else energy.visible_mean(h)
    mean = float(energy.visible_mean(h[:1])[0, 0])
    assert energy.log_variance is not None
    s = math.exp(float(energy.log_variance[0]) / 2)
    pvalue = stats.kstest(v[:, 0].numpy(), stats.norm(mean, s).cdf).pvalue
    assert (pvalue > ALPHA) == noise


def test_draws_are_bits_of_the_type_of_the_weights():
    energy, generator = machine(4, 3).float(), torch.Generator().manual_seed(0)
    h = energy.sample_hidden(torch.zeros(7, 4), generator)
    assert h.dtype == torch.float32
    assert set(h.unique().tolist()) <= {0.0, 1.0}
