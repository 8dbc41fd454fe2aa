"""Block Gibbs sampling against the enumerated distribution, and completion against the exact conditional.

Chains are many and only their last states are counted: multinomial counts. False-alarm rate ALPHA for each test.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.networks.boltzmann import BoltzmannEnergy, all_states, log_partition, state_number
from reverie.samplers import BlockGibbs, run

ALPHA = 1e-4
N_CHAINS = 10_000


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _machine(n_visible=8, n_hidden=6, scale=0.8):
    energy = BoltzmannEnergy(n_visible, n_hidden)
    with torch.no_grad():
        for p in energy.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=_generator(1)))
    return energy.requires_grad_(requires_grad=False)


def _p_value(x, probabilities):
    counts = np.bincount(state_number(x).numpy(), minlength=len(probabilities))
    expected = len(x) * probabilities
    small = expected < 10
    counts, expected = (np.append(v[~small], v[small].sum()) for v in (counts, expected))
    keep = expected > 0
    share = expected[keep] / expected[keep].sum()  # SciPy asks for equal sums
    return stats.chisquare(counts[keep], share * counts[keep].sum()).pvalue


def _exact(energy):
    states = all_states(8, dtype=torch.float32)
    return states, (-energy(states).double() - log_partition(energy)).exp().numpy()


def test_a_machine_of_8_by_6_units_is_sampled_as_enumerated():
    energy = _machine()
    _, p = _exact(energy)
    assert p.sum() == pytest.approx(1, abs=1e-5)
    x = run(BlockGibbs(), torch.zeros(N_CHAINS, 8), energy, n_steps=40, thin=40, generator=_generator(2)).x[-1]
    assert _p_value(x, p) > ALPHA
    _, other = _exact(_machine(scale=0.7))
    assert _p_value(x, other / other.sum()) < ALPHA


def test_mean_energies_of_chains_are_exact_within_their_errors():
    energy = _machine()
    states, p = _exact(energy)
    chains = run(BlockGibbs(), torch.zeros(400, 8), energy, n_steps=150, burn_in=50, generator=_generator(3))
    found, exact = chains.mean(energy), float(p @ energy(states).double().numpy())
    assert abs(found.value - exact) < stats.norm.isf(ALPHA / 2) * found.error
    assert abs(found.value - 1.05 * exact) > stats.norm.isf(ALPHA / 2) * found.error


def test_clamped_units_stay_and_the_others_follow_the_conditional():
    energy = _machine()
    states, p = _exact(energy)
    clamped = torch.tensor([1, 1, 1, 0, 0, 0, 0, 0], dtype=torch.bool)
    start = torch.zeros(N_CHAINS, 8)
    start[:, 1] = 1
    kernel = BlockGibbs(clamped=clamped)
    x = run(kernel, start, energy, n_steps=40, thin=40, generator=_generator(4)).x[-1]
    assert torch.equal(x[:, clamped], start[:, clamped])
    fits = (states[:, clamped] == start[0, clamped]).all(1).numpy()
    assert _p_value(x, np.where(fits, p, 0) / p[fits].sum()) > ALPHA
    free = np.bincount(state_number(states[:, ~clamped]).numpy(), weights=p)  # not conditioned: a wrong answer
    assert _p_value(x[:, ~clamped], free / free.sum()) < ALPHA


def test_each_chain_may_have_its_own_mask():
    energy, generator = _machine(), _generator(5)
    start = (torch.rand(20, 8, generator=generator) < 0.5).float()
    mask = torch.rand(20, 8, generator=generator) < 0.5
    x = run(BlockGibbs(clamped=mask), start, energy, n_steps=10, generator=generator).x
    assert (x[:, mask] == start[mask]).all()
    assert (x[:, ~mask] != start[~mask]).any()


def test_the_state_is_a_joint_draw():
    energy = _machine(5, 3)
    kernel = BlockGibbs()
    state = kernel.init(torch.zeros(N_CHAINS, 5), energy)
    assert state.h is None
    generator = _generator(6)
    for _ in range(30):
        state, _ = kernel.step(state, energy, generator)
    assert state.h is not None
    both = all_states(8, dtype=torch.float32)
    joint = torch.softmax(-energy.joint(both[:, :5], both[:, 5:]).double(), 0).numpy()
    assert _p_value(torch.cat([state.x, state.h], 1), joint) > ALPHA


def test_gaussian_visible_units_are_drawn_not_averaged():
    energy = BoltzmannEnergy(2, 2, visible="gaussian")
    x = run(BlockGibbs(), torch.zeros(20_000, 2), energy, n_steps=2, generator=_generator(7)).x[-1]
    variance = x.square().mean()  # all parameters are zero: N(0, 1); relative error sqrt(2 / 40,000)
    assert abs(variance - 1) < stats.norm.isf(ALPHA / 2) * (2 / 40_000) ** 0.5


def test_errors_say_what_to_give():
    with pytest.raises(InputError, match="BoltzmannEnergy"):
        BlockGibbs().init(torch.zeros(1, 3), lambda x: x.sum(1))
    with pytest.raises(InputError, match="mask"):
        BlockGibbs(clamped=torch.ones(4, dtype=torch.bool)).init(torch.zeros(1, 8), _machine())
    with pytest.raises(InputError, match="n_sweeps"):
        BlockGibbs(n_sweeps=0).init(torch.zeros(1, 8), _machine())
