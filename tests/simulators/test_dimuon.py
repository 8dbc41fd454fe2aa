"""Events of two muons against the laws they are drawn from, without a detector and with one."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from reverie.core.errors import InputError
from reverie.data.kinematics import invariant_mass, pt_pair, rapidity_pair
from reverie.data.symmetries import resolve_symmetries
from reverie.models.symmetries import symmetry_tests
from reverie.simulators import Dimuon

ALPHA = 1e-4  # false-alarm rate of each test
N = 20_000
NAKED: dict[str, Any] = {"resolution": 0.0, "min_pt": 0.0, "max_eta": 40.0}


@pytest.fixture(scope="module")
def produced() -> torch.Tensor:
    """All events, as they are produced: columns (6, N)."""
    return torch.tensor(Dimuon(continuum=0.0, **NAKED).sample(N, random_state=1).values.T)


def _breit_wigner(m: np.ndarray, mass: float, width: float) -> np.ndarray:
    """Distribution function in the window from 60 to 120 GeV."""

    def phase(x):
        return np.arctan((x**2 - mass**2) / (mass * width))

    return (phase(m) - phase(60.0)) / (phase(120.0) - phase(60.0))


def test_the_mass_has_the_law_of_breit_and_wigner_and_not_one_of_another_width(produced):
    mass = invariant_mass(*produced).numpy()
    assert kstest(mass, lambda m: _breit_wigner(m, 91.1876, 2.4955)).pvalue > ALPHA
    assert kstest(mass, lambda m: _breit_wigner(m, 91.1876, 3.0)).pvalue < ALPHA


def test_the_continuum_falls_with_the_third_power():
    events = Dimuon(continuum=1.0, **NAKED).sample(N, random_state=2).values
    mass = invariant_mass(*torch.tensor(events.T)).numpy()
    assert kstest(mass, lambda m: (60.0**-2 - m**-2) / (60.0**-2 - 120.0**-2)).pvalue > ALPHA


def test_momentum_and_rapidity_of_the_pair_are_those_of_the_boson(produced):
    pt1, eta1, phi1, pt2, eta2, phi2 = produced
    q = pt_pair(pt1, phi1, pt2, phi2).numpy()
    assert kstest(q**2, lambda s: 1 - (1 + s / (2 * 8.0**2)) ** -2.0).pvalue > ALPHA
    y = rapidity_pair(pt1, eta1, pt2, eta2).numpy() / np.log(13_000 / 91.1876)
    assert kstest(y, lambda u: 0.5 + (15 / 16) * (u - 2 * u**3 / 3 + u**5 / 5)).pvalue > ALPHA


def test_the_decay_has_one_plus_the_squared_cosine(produced):
    """Of a boson without transverse momentum, |cos(theta)| = tanh(|eta1 - eta2| / 2)."""
    pt1, eta1, phi1, pt2, eta2, phi2 = produced
    slow = pt_pair(pt1, phi1, pt2, phi2) < 3.0
    cosine = torch.tanh((eta1 - eta2).abs() / 2)[slow].numpy()
    assert kstest(cosine, lambda c: (3 * c + c**3) / 4).pvalue > ALPHA
    assert kstest(cosine, lambda c: c).pvalue < ALPHA


def test_the_detector_cuts_and_keeps_the_symmetries():
    events = Dimuon().sample(1500, random_state=4)
    values = events.values
    assert values[:, [0, 3]].min() > 20
    assert np.abs(values[:, [1, 4]]).max() < 2.4
    mass = invariant_mass(*torch.tensor(values.T)).numpy()
    assert 60 < mass.min() < mass.max() < 120
    for test in symmetry_tests(
        events, resolve_symmetries(["rotate phi", "reflect eta", "exchange"], events.schema), seed=0
    ):
        assert test.p_value > ALPHA


def test_the_mass_of_a_narrow_boson_has_the_error_of_both_momenta():
    """The relative error of m is half of that of pt1 pt2, which is 0.005 (1 + (eta / 2.4)^2) for each."""
    narrow = Dimuon(width=1e-6, continuum=0.0, resolution=0.005, min_pt=0.0).sample(4000, random_state=5)
    eta1, eta2 = narrow.values[:, [1, 4]].T
    error = 0.005 / 2 * np.hypot(1 + (eta1 / 2.4) ** 2, 1 + (eta2 / 2.4) ** 2)
    pull = (invariant_mass(*torch.tensor(narrow.values.T)).numpy() / 91.1876 - 1) / error
    assert kstest(pull, "norm").pvalue > ALPHA
    assert kstest(1.2 * pull, "norm").pvalue < ALPHA


def test_one_seed_one_sample_and_impossible_cuts_are_said():
    a, b, c = (Dimuon().sample(100, random_state=seed).values for seed in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    with pytest.raises(InputError, match="Lower min_pt"):
        Dimuon(min_pt=400.0).sample(10, random_state=0)
    with pytest.raises(InputError, match="window"):
        Dimuon(window=(120.0, 60.0))
