"""The toys against their definitions.

Statistical tests ask for |z| < 4.9 (false-alarm rate 1e-6 each) at fixed seeds.
"""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from reverie.core.errors import InputError
from reverie.data import toys

Z = 4.9
N = 20_000


def nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distance = np.linalg.norm(points[:, None] - centres, axis=2)
    return distance.argmin(axis=1), distance.min(axis=1)


def within_noise(value: float, expected: float, error: float) -> bool:
    return abs(value - expected) < Z * error


def agrees(points: np.ndarray, centres: np.ndarray, sd: float) -> bool:
    """Equal mode weights (all counts) and the right mean squared distance to the nearest centre."""
    mode, distance = nearest(points, centres)
    k, n = len(centres), len(points)
    counts = np.bincount(mode, minlength=k)
    balanced = all(within_noise(c, n / k, np.sqrt(n / k * (1 - 1 / k))) for c in counts)
    return balanced and within_noise(np.mean(distance**2), 2 * sd**2, 2 * sd**2 / np.sqrt(n))


def test_ring_has_eight_distinct_centres_on_the_circle():
    assert len(np.unique(np.round(toys.RING_CENTRES, 9), axis=0)) == 8
    np.testing.assert_allclose(np.linalg.norm(toys.RING_CENTRES, axis=1), 1)
    gaps = np.linalg.norm(toys.RING_CENTRES - np.roll(toys.RING_CENTRES, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 2 * np.sin(np.pi / 8))


def test_grid_has_25_centres():
    assert {tuple(c) for c in toys.GRID_CENTRES} == {
        (float(a), float(b)) for a in range(-4, 5, 2) for b in range(-4, 5, 2)
    }


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_mixtures(name):
    centres, sd = (toys.RING_CENTRES, toys.RING_SD) if name == "ring" else (toys.GRID_CENTRES, toys.GRID_SD)
    assert agrees(toys.TOYS[name](N, 0), centres, sd)


def test_shifted_grid_stays_within_half_a_unit_of_the_grid():
    shifts = toys.SHIFTED_GRID_CENTRES - toys.GRID_CENTRES
    assert 0.4 < np.abs(shifts).max() <= 0.5
    np.testing.assert_allclose(shifts[0], [0.1369616873, -0.2302132914])  # the draw must never change


@pytest.mark.parametrize(("broad", "narrow"), [("broad_ring", "ring"), ("broad_grid", "grid")])
def test_broad_modes_have_the_variance_and_the_centres_of_the_benchmark(broad, narrow):
    """Per axis the variance of a mixture is that of its centres plus 0.05."""
    centres = {"ring": toys.RING_CENTRES, "grid": toys.GRID_CENTRES}[narrow]
    x = toys.TOYS[broad](N, 0)
    expected = centres.var(axis=0) + 0.05
    spread = np.std((x - x.mean(axis=0)) ** 2, axis=0) / np.sqrt(N)
    assert (np.abs(x.var(axis=0) - expected) < Z * spread).all()


def test_wrong_mixtures_are_noticed():
    points = toys.ring(N, 0)
    assert not agrees(1.05 * (points - points.round()) + points.round(), toys.RING_CENTRES, toys.RING_SD)
    angles = np.linspace(0, 2 * np.pi, 8)[np.random.default_rng(0).integers(8, size=N)]
    twice = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    twice += 0.01 * np.random.default_rng(1).normal(size=twice.shape)
    assert not agrees(twice, toys.RING_CENTRES, toys.RING_SD)


def test_swiss_roll_lies_on_its_spiral():
    points = toys.swiss_roll(N, 0) * toys.SWISS_ROLL_SCALE
    t = np.linspace(1.5 * np.pi, 4.5 * np.pi, 2000)
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    distance = cKDTree(spiral).query(points)[0]
    # Across the arm the noise is one-dimensional; the two loose ends add less than 1 %.
    assert np.mean(distance**2) == pytest.approx(toys.SWISS_ROLL_NOISE_SD**2, rel=0.06)
    radius = np.linalg.norm(points, axis=1)
    assert within_noise(radius.mean(), 3 * np.pi, np.pi * np.sqrt(1 / 3) / np.sqrt(N) * 1.1)


@pytest.mark.parametrize("name", list(toys.TOYS))
def test_seeds(name):
    draw = toys.TOYS[name]
    np.testing.assert_array_equal(draw(50, 1), draw(50, 1))
    np.testing.assert_array_equal(draw(50, np.random.default_rng(1)), draw(50, 1))
    assert not np.array_equal(draw(50, 1), draw(50, 2))
    assert draw(3, None).shape == (3, 2)


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_wrong_n(n):
    with pytest.raises(InputError, match="n to be an integer > 0"):
        toys.ring(n, 0)


def test_constants_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        toys.RING_CENTRES[0] = 0
