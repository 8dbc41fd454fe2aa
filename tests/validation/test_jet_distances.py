"""W1M, W1P and W1EFP: closed forms of equal jets, padding, real against real, and what is no jet."""

import math

import numpy as np
import pytest

from reverie.core.errors import InputError
from reverie.data import particle_sets
from reverie.validation import fpd_jetnet, jet_efps, w1efp, w1m, w1p

NAMES = ["eta_rel", "phi_rel", "pt_rel"]
SMALL = {"n_batches": 2, "batch_size": 50}


def two_prongs(n: int, scale: float = 1.0) -> np.ndarray:
    """Return n equal jets (n, 4, 4) of two particles, 0.3 apart, in the second and fourth place."""
    jets = np.zeros((n, 4, 4))
    jets[:, 1] = [0.1, 0.0, 0.7 * scale, 1]
    jets[:, 3] = [-0.2, 0.0, 0.3 * scale, 1]
    return jets


def gas(n: int, seed: int) -> np.ndarray:
    """Return jets (n, 6, 4) of up to six independent particles."""
    rng = np.random.default_rng(seed)
    jets = np.concatenate([rng.normal(0, 0.1, (n, 6, 2)), rng.exponential(0.15, (n, 6, 1)), np.ones((n, 6, 1))], axis=2)
    return jets * (np.arange(6) < rng.integers(1, 7, n)[:, None])[..., None]


def test_jets_that_differ_by_a_factor_have_distances_in_closed_form() -> None:
    real, generated = two_prongs(30), two_prongs(40, 1.1)
    mass = math.sqrt(2 * 0.7 * 0.3 * (math.cosh(0.3) - 1))
    found = w1m(real, generated, real, **SMALL)
    assert found.value == pytest.approx(0.1 * mass, rel=1e-6)
    assert (found.real, found.real_error) == (0, 0)
    assert w1p(real, generated, **SMALL).parts == pytest.approx([0, 0, 0.05])  # of pt: the mean of 0.07 and 0.03
    assert w1p(real, generated, **SMALL).value == pytest.approx(0.05 / 3)
    # chains of four edges on two particles, by hand: sum over the ways to put the vertices on them
    z, r = (0.7, 0.3), 0.3**4
    square = sum(
        z[a] * z[b] * z[c] * z[d] for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)
        if a != b and a != c and b != d and c != d
    )  # fmt: skip
    assert w1efp(real, generated, **SMALL).parts[4] == pytest.approx(square * r * (1.1**4 - 1), rel=1e-6)


def test_sets_and_arrays_with_and_without_mask_are_read_alike() -> None:
    real, generated = gas(60, 0), gas(60, 1)
    expected = w1p(real, generated, **SMALL)
    assert w1p(real[..., :3], generated[..., :3], **SMALL) == expected
    order = [2, 0, 1, 3]
    shuffled = [particle_sets(x[..., order], names=[*(NAMES[j] for j in order[:3]), "mask"]) for x in (real, generated)]
    assert w1p(*shuffled, **SMALL) == expected
    twin = np.where(generated[..., 3:] > 0, generated, [0, 0, 1e-9, 1])  # padding taken for particles
    assert w1p(real, twin, **SMALL) != expected


def test_real_against_real_stands_beside_and_equal_laws_are_at_its_level() -> None:
    found = w1m(gas(400, 2), gas(400, 3), gas(400, 4), batch_size=400)
    assert "real against real" in str(found)
    assert 0.3 < found.value / found.real < 3  # of one law: 2,000 seeds gave from 0.32 to 2.85
    wrong = gas(400, 3)
    wrong[..., 2] *= 1.5
    assert w1m(gas(400, 2), wrong, gas(400, 4), batch_size=400).value > 3 * found.real


def test_the_36_polynomials_are_features_of_fpd() -> None:
    efps = jet_efps(gas(60, 0))
    assert efps.shape == (60, 36)
    sizes = {"min_samples": 20, "max_samples": 60, "n_batches": 2}
    assert fpd_jetnet(efps, jet_efps(two_prongs(60)), **sizes).value > fpd_jetnet(efps, efps, **sizes).value


@pytest.mark.parametrize(
    "wrong", [np.zeros((5, 3)), np.zeros((5, 4, 6)), particle_sets(gas(5, 0), names=["x", "y", "z"])]
)
def test_what_is_no_jet_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match="sets of particles with eta, phi and pt"):
        w1m(gas(5, 0), wrong)
