"""The verdict on sets of particles: features by hand, what has no influence, planted faults, and the classifier.

Global p-values of equal laws are uniform; their size on sets is measured by benchmarks/quality/sets_power.py.
"""

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError
from reverie.data import particle_sets
from reverie.data.observables import resolve_observables
from reverie.report import build, render
from reverie.validation import validate
from reverie.validation.classifiers.networks import fit_sets
from reverie.validation.inputs.sets import set_features

NAMES = ("eta_rel", "phi_rel", "pt_rel", "mask")
QUICK = {"random_state": 0, "n_permutations": 99, "classifiers": (), "locate": False}


def gas(n: int, seed: int, prongs: float = 0.0) -> np.ndarray:
    """Return sets (n, 8, 4) of 2 to 8 particles, a share of them in two groups, 0.5 apart."""
    rng = np.random.default_rng(seed)
    sets = np.concatenate([rng.normal(0, 0.1, (n, 8, 2)), rng.exponential(0.1, (n, 8, 1)), np.ones((n, 8, 1))], axis=2)
    two = rng.random(n) < prongs
    sets[two, ::2, 0] += 0.25
    sets[two, 1::2, 0] -= 0.25
    return sets * (np.arange(8) < rng.integers(2, 9, n)[:, None])[..., None]


def test_features_of_a_set_by_hand_and_of_an_empty_one() -> None:
    sets = np.zeros((2, 4, 4))
    sets[0, 1], sets[0, 3] = [0.1, 0.0, 0.3, 1], [-0.1, 0.2, 0.7, 1]
    values, names = set_features(sets, NAMES)
    found = dict(zip(names, values.T, strict=True))
    assert values.dtype == np.float32
    np.testing.assert_allclose(found["multiplicity"], [2, 0])
    np.testing.assert_allclose(found["sum pt_rel"], [1, 0])
    np.testing.assert_allclose(found["mean phi_rel"], [0.1, 0], atol=1e-7)
    np.testing.assert_allclose(found["spread eta_rel"], [0.1, 0], atol=1e-7)
    np.testing.assert_allclose([found[f"phi_rel[{k}]"][0] for k in (1, 2, 3)], [0.2, 0, 0], atol=1e-7)
    assert found["mass"][0] == pytest.approx(np.sqrt(2 * 0.3 * 0.7 * (np.cosh(0.2) - np.cos(0.2))), rel=1e-5)
    assert not values[1].any()
    other, plain = set_features(sets[..., [0, 2, 3]], ("x", "energy", "mask"))  # hits: no jets
    assert plain == ("multiplicity", "sum x", "sum energy", "mean x", "mean energy", "spread x", "spread energy",
                     "x[1]", "energy[1]", "x[2]", "energy[2]", "x[3]", "energy[3]")  # fmt: skip
    assert other[0, plain.index("x[1]")] == pytest.approx(-0.1)


def test_order_and_padding_have_no_influence_on_features_and_classifier() -> None:
    sets = gas(100, 0).astype(np.float32)
    rng = np.random.default_rng(1)
    mixed = np.pad(sets, ((0, 0), (0, 3), (0, 0)))[:, rng.permutation(11)]
    np.testing.assert_array_equal(set_features(sets, NAMES)[0], set_features(mixed, NAMES)[0])
    few, targets = mixed[:40], np.arange(40) % 2
    scores = fit_sets(few.reshape(40, -1), targets, np.ones(40), seed=0, event_shape=(11, 4))
    expected = scores(few.reshape(40, -1))
    turned = few[:, rng.permutation(11)]
    np.testing.assert_allclose(scores(turned.reshape(40, -1)), expected, atol=1e-4)
    turned[turned[..., -1] == 0] = [1, 1, 1, 0]  # padding that is not 0
    np.testing.assert_allclose(scores(turned.reshape(40, -1)), expected, atol=1e-4)
    turned[..., -1] = 1  # the twin: the same with a mask of 1
    assert np.abs(scores(turned.reshape(40, -1)) - expected).max() > 1e-2


@pytest.mark.slow  # quick: order and padding have no influence
def test_a_classifier_of_sets_stands_beside_boosting_and_finds_prongs() -> None:
    real, other, wrong = (
        particle_sets(x, names=NAMES[:3]) for x in (gas(300, 0), gas(300, 1), gas(300, 2, prongs=0.6))
    )
    found = validate(real, wrong, calibration=other, **QUICK | {"classifiers": "auto", "tests": ["moments", "sets"]})
    (sets,) = found.classifiers
    assert sets.learner == "sets"
    assert sets.value > 0.6
    assert abs(sets.real_vs_real - 0.5) < 4 * sets.real_vs_real_error


@pytest.mark.slow  # the whole battery; `test_a_classifier_of_sets` runs a part of it
def test_planted_faults_are_found_and_equal_laws_are_not_told_apart() -> None:
    real, other, calibration, wrong = (
        particle_sets(x, names=NAMES[:3]) for x in (gas(600, 0), gas(600, 1), gas(600, 2), gas(600, 1, prongs=0.3))
    )
    assert (
        validate(real, other, calibration=calibration, **QUICK).p_value > 0.01
    )  # false alarm of 1 %, with a fixed seed
    found = validate(real, wrong, calibration=calibration, **QUICK)
    assert found.p_value <= 0.05
    assert found.findings


def test_arrays_columns_sizes_and_observables_of_sets() -> None:
    real, generated = gas(100, 0), np.pad(gas(100, 1), ((0, 0), (0, 2), (0, 0)))
    jets = particle_sets(real, names=NAMES[:3])
    turned = particle_sets(generated[..., [2, 0, 1, 3]], names=["pt_rel", "eta_rel", "phi_rel"])
    seen: list[tuple[int, ...]] = []

    def largest(x: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(x.shape[1:]))
        return x[..., 2].amax(1)

    options = QUICK | {"n_permutations": 19, "calibrate": False, "tests": ["moments"]}
    expected = validate(jets, turned, observables={"largest": largest}, **options)
    assert set(seen) == {(10, 4)}  # the sets, with the columns of the real ones
    plain = validate(real, generated, names=NAMES, observables={"largest": largest}, **options)
    assert plain.p_value == expected.p_value
    mass = resolve_observables("jet_mass", jets.schema)[0]
    assert validate(jets, generated, observables={"mass": mass.function}, train=turned, **options).p_value > 0
    with pytest.raises(InputError, match="generated as sets with the columns eta_rel, phi_rel, pt_rel, mask of real"):
        validate(jets, particle_sets(real, names=["x", "y", "z"]), **options)
    with pytest.raises(InputError, match="sets of particles for the classifier 'sets'"):
        validate(real[:, 0], real[:, 1], classifiers="sets")


@pytest.mark.slow  # draws 50 panels; the quick tests of its pictures are in tests/plots/test_sets.py
def test_a_report_of_sets_shows_pictures_spectra_and_substructure() -> None:
    real, generated = gas(60, 0), np.pad(gas(50, 1), ((0, 0), (0, 2), (0, 0)))
    names, kinds = list(NAMES), ["continuous"] * 3 + ["mask"]
    page = build(real=real, generated=generated, names=names, units=[""] * 4, kinds=kinds, snapshots=[(1, generated)])
    html = render(page)
    for word in ("Particles side by side", "Single sets", "Spectrum of pt_rel", "Distribution of tau21", "EFP 1"):
        assert word in html
    assert "features of a set" in html
    alone = render(build(generated=generated, names=names, units=[""] * 4, kinds=kinds))
    assert "Particles side by side" in alone
