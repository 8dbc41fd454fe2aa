"""The configurations that models of lattices are judged by follow the laws that they should."""

import math

import numpy as np
import pytest
from benchmarks.quality import lattices
from scipy.special import iv


def _within(values: np.ndarray, expected: float) -> bool:
    """Whether the mean of independent values is within four standard errors of what is expected (6 in 10^5 are not)."""
    return abs(values.mean() - expected) < 4 * values.std() / len(values) ** 0.5


def test_free_fields_have_the_propagator_of_the_lattice(monkeypatch):
    """Without the quartic term <|phi_k|^2> = 1 / (2 (1 - 2 kappa (cos k_1 + cos k_2))); at another kappa it is not."""
    monkeypatch.setattr(lattices, "LAMBDA", 0.0)
    monkeypatch.setattr(lattices, "_SWEEPS", 200)
    phi = lattices.configurations("phi4", 400, 4, 0.2, seed=0)
    k = 2 * math.pi * np.arange(4) / 4
    both = np.cos(k)[:, None] + np.cos(k)
    square = (phi**2).mean((1, 2))
    assert _within(square, (1 / (2 * (1 - 2 * 0.2 * both))).mean())
    assert not _within(square, (1 / (2 * (1 - 2 * 0.15 * both))).mean())


@pytest.mark.slow  # quick: the propagator of free fields
def test_the_xy_model_at_high_temperature_follows_its_expansion(monkeypatch):
    """<cos> of neighbours is u + 2 u^3 + O(u^5), u = I_1(b) / I_0(b): the bond, and two ways round a plaquette."""
    monkeypatch.setattr(lattices, "_SWEEPS", 100)
    temperature = 4.0
    angles = lattices.configurations("xy", 400, 8, temperature, seed=0)
    assert np.abs(angles).max() <= math.pi
    energy = lattices.seen("xy", angles, temperature)[0]
    u = iv(1, 1 / temperature) / iv(0, 1 / temperature)
    assert _within(energy, -2 * (u + 2 * u**3))
    assert not _within(energy, -2 * (iv(1, 1 / 3) / iv(0, 1 / 3)))


@pytest.mark.parametrize(("centres", "expected"), [([], 0), ([(2.5, 2.5, 1), (5.5, 4.5, -1)], 2)])
def test_vortices_are_counted(centres, expected):
    """A vortex and an antivortex of the plane, alone far from the seam of the torus."""
    row, column = np.mgrid[:9, :9]
    angle = sum((sign * np.arctan2(row - y, column - x) for y, x, sign in centres), np.zeros((9, 9)))
    n = lattices.seen("xy", angle[None], 1.0)[-1] * 81
    assert n == pytest.approx(expected, abs=1e-9)
