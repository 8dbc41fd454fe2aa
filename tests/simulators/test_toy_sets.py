"""Toy sets: moments and pair correlation in closed form, a normalised density, and what has no influence on it.

Means of 20,000 sets are compared within 4.5 standard errors: a false alarm in 150,000.
"""

import numpy as np
import pytest

from reverie.core.errors import InputError
from reverie.simulators import ToySets

TOY = ToySets(mean_size=6.0, max_size=10)


@pytest.fixture(scope="module")
def sets() -> np.ndarray:
    return TOY.sample(20_000, random_state=1).values


def off(values: np.ndarray, expected: float) -> float:
    """Return how many standard errors the mean of independent values lies from what is expected."""
    return abs(values.mean() - expected) / (values.std() / np.sqrt(len(values)))


def test_multiplicity_positions_and_pairs_are_those_of_the_formula(sets: np.ndarray) -> None:
    p, sizes = np.exp(TOY.log_p_size), np.arange(1, 11)
    n = sets[..., -1].sum(axis=1)
    assert p.sum() == pytest.approx(1)
    assert off(n, float(p @ sizes)) < 4.5
    assert off(n, 6.0) > 4.5  # the twin: the truncation is seen
    eta, phi, pt, mask = np.moveaxis(sets, 2, 0)
    assert off(pt[:, 0], 1 / 6) < 4.5
    assert off(eta[:, 0] ** 2, 0.2**2 / 2 + 0.1**2) < 4.5
    # given the direction, two particles have independent eta^2 - phi^2 of mean d^2 cos(2 psi), and <cos^2> = 1/2
    pairs = mask[:, 1] == 1
    q = (eta**2 - phi**2)[pairs]
    assert off(q[:, 0] * q[:, 1], 0.2**4 / 2) < 4.5
    assert off(q[:, 0] * q[:, 1], 0.0) > 4.5  # the twin: independent particles


def test_the_density_is_normalised_and_that_of_the_samples(sets: np.ndarray) -> None:
    """E_p[q / p] = 1 for any law q; and E_p[log p] is greater than E_p[log q]."""
    sets = sets[:5000]
    log_p = TOY.log_prob(sets)
    for other in (ToySets(mean_size=5.5, max_size=10), ToySets(mean_size=6.0, max_size=10, distance=0.19)):
        log_q = other.log_prob(sets)
        assert off(np.exp(log_q - log_p), 1.0) < 4.5
        assert (log_p - log_q).mean() > 0
        assert off(np.exp(log_q - 0.1 * sets[..., -1].sum(axis=1) - log_p), 1.0) > 4.5  # the twin


def test_order_and_padding_do_not_change_the_density_and_impossible_sets_have_none(sets: np.ndarray) -> None:
    few, rng = sets[:50], np.random.default_rng(0)
    mixed = rng.permuted(np.arange(13)[None].repeat(50, 0), axis=1)[..., None]
    wide = np.take_along_axis(np.pad(few, ((0, 0), (0, 3), (0, 0))), mixed, axis=1)
    np.testing.assert_allclose(TOY.log_prob(wide), TOY.log_prob(few), rtol=1e-12)
    empty, many, negative = np.zeros((1, 3, 4)), np.full((1, 11, 4), 0.1), few[:1].copy()
    many[..., 3], negative[0, 0, 2] = 1, -0.1
    assert [TOY.log_prob(x)[0] for x in (empty, many, negative)] == [-np.inf] * 3
    with pytest.raises(InputError, match=r"sets \(n, P, 4\)"):
        TOY.log_prob(np.zeros((3, 4)))


def test_the_same_seed_gives_the_same_sets_and_options_are_checked() -> None:
    first, again, other = (TOY.sample(10, random_state=seed).values for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(InputError, match="mean_size"):
        ToySets(mean_size=0.0)
