"""Replica exchange: swaps keep the product of all levels, and chains cross a barrier that MALA alone does not.

False-alarm rate ALPHA for each comparison.
"""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.samplers import MALA, ReplicaExchange, run, steps
from reverie.samplers.tempering import log_swap_acceptance, reorder, swap

ALPHA = 1e-4
WIDTH = float(stats.norm.isf(ALPHA / 2))
RIGHT = 0.7  # mass of the right mode below


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def two_modes(x):
    """Energy of 0.3 N(-4, 0.25) + 0.7 N(4, 0.25), x (chain, 1)."""
    log = torch.stack([-2 * (x[:, 0] + 4).square() + np.log(1 - RIGHT), -2 * (x[:, 0] - 4).square() + np.log(RIGHT)])
    return -torch.logsumexp(log, 0)


BETAS = (1.0, 0.4, 0.15, 0.05)
CHAINS = 100


def _exchange():
    eta = 0.2 / torch.tensor(BETAS).repeat_interleave(CHAINS)
    return ReplicaExchange(MALA(eta), BETAS, n_steps=2)


def _chains(kernel, seed=0, n_steps=120):
    start = torch.full((CHAINS, 1), -4.0)
    return run(kernel, start, two_modes, n_steps=n_steps, burn_in=80, generator=_generator(seed))


@pytest.fixture(scope="module")
def exchanged():
    return _chains(_exchange())


@pytest.mark.slow  # quick: the laws of replica exchange
def test_two_modes_get_their_mass_and_without_exchange_do_not(exchanged):
    chains = exchanged
    right = chains.mean(lambda x: (x[:, 0] > 0).float())
    assert right.n is not None
    assert right.n > 200
    assert abs(right.value - RIGHT) < WIDTH * right.error
    assert chains.info["round_trips"].sum(0).min() > 0
    assert (chains.info["swaps"].mean(0) > 0.1).all()
    assert (_chains(MALA(0.2), n_steps=50).x < 0).all()  # alone it stays where it began


def test_width_within_a_mode_is_exact_as_well(exchanged):
    width = exchanged.mean(lambda x: (x[:, 0].abs() - 4).square())
    assert abs(width.value - 0.25) < WIDTH * width.error


@pytest.mark.parametrize("sign", [1, -1])
def test_swaps_leave_the_product_of_any_family(sign):
    """Levels of unlike distributions over four states; log p* is not beta times anything."""
    log_p = torch.randn(3, 4, generator=_generator(1), dtype=torch.float64)
    p, n, generator = torch.softmax(log_p, 1), 40_000, _generator(2)
    x = torch.multinomial(p, n, replacement=True, generator=generator)  # (level, chain)
    for parity in (0, 1, 0):
        own, colder = log_p.gather(1, x), log_p[:-1].gather(1, x[1:])
        hotter = log_p[1:].gather(1, x[:-1])
        order, swapped = swap(sign * log_swap_acceptance(own, colder, hotter), parity, generator)
        assert swapped[parity].any()
        assert not swapped[1 - parity].any()
        x = reorder(x, order)
    counts = np.bincount((x * torch.tensor([[16], [4], [1]])).sum(0).numpy(), minlength=64)
    expected = n * torch.einsum("i,j,k->ijk", *p).flatten().numpy()
    assert expected.min() > 1
    assert (stats.chisquare(counts, expected).pvalue > ALPHA) == (sign == 1)


def test_a_swap_exchanges_neighbours_of_one_parity():
    always = torch.full((3, 2), torch.inf)
    assert swap(always, 0, _generator(0))[0].T.tolist() == [[1, 0, 3, 2]] * 2
    assert swap(always, 1, _generator(0))[0].T.tolist() == [[0, 2, 1, 3]] * 2
    assert swap(-always, 0, _generator(0))[0].T.tolist() == [[0, 1, 2, 3]] * 2
    x = torch.arange(24).view(4, 2, 3)
    assert torch.equal(reorder(x, swap(always, 0, _generator(0))[0]), x[[1, 0, 3, 2]])


def test_round_trips_are_counted_when_they_end():
    """At equal energies every swap is made: abcd, bdac, dcba, cadb, abcd ... are the replicas by level."""
    kernel, trips = ReplicaExchange(MALA(0.1), (1.0, 0.9, 0.8, 0.7)), []
    passed = steps(kernel, torch.zeros(1, 1), lambda x: 0 * x[:, 0], generator=_generator(0))
    for _, info in itertools.islice(passed, 6):
        assert info.swaps.tolist() == [1, 1, 1]
        trips.append(info.round_trips.item())
    assert trips == [0, 0, 1, 1, 1, 1]  # c was hottest after the first step and is back after the third


def test_the_chains_returned_are_those_at_beta_one():
    kernel = _exchange()
    state, info = next(steps(kernel, torch.zeros(CHAINS, 1), two_modes, generator=_generator(0)))
    assert torch.equal(state.x, state.inner.x[:CHAINS])
    assert state.inner.x.shape == (len(BETAS) * CHAINS, 1)
    assert info.swaps.shape == (3,)
    assert info.round_trips.shape == (CHAINS,)


@pytest.mark.parametrize("betas", [(1.0,), (0.5, 0.2), (1.0, 0.5, 0.5), (1.0, 0.0), (1.0, float("nan"))])
def test_betas_fall_from_one(betas):
    with pytest.raises(InputError, match="fall from 1|each part a finite number"):
        ReplicaExchange(MALA(0.1), betas)
