"""What `validate` does beyond two plain tables: weights, chains, observables, constraints, modes, copies, findings."""

import json

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from reverie.core.errors import InputError, UnknownNameError
from reverie.data import Dataset
from reverie.validation import ValidationResult, validate
from reverie.validation.statistics.marginal import weighted_quantile

QUICK = {"n_permutations": 99, "classifiers": (), "random_state": 0}
CHEAP = QUICK | {"tests": ("features one by one", "moments", "neighbourhoods", "hard constraints")}  # no pairs of rows
COPIES = {"tests": ("features one by one", "copies of training events")}


def _normal(n, seed, d=2, mean=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + mean


def _chain(n, seed, rho=0.9):
    noise = _normal(n, seed)
    noise[1:] *= np.sqrt(1 - rho**2)
    return lfilter([1], [1, -rho], noise, axis=0)


@pytest.mark.slow  # quick: negative weights take a background away
def test_weights_turn_one_law_into_another():
    # N(0.5, 1) with weights exp(-x/2 + 1/8) is N(0, 1); false alarms at p <= .01 and misses are rarer than 1e-3
    x = _normal(1000, 0, mean=0.5)
    weighted = Dataset(x, names=["a", "b"], weights=np.exp(-0.5 * x.sum(1) + 0.25))
    other = _normal(1000, 2)
    plain = validate(x, _normal(1000, 1), calibration=other, calibrate=False, **CHEAP)
    with_weights = validate(weighted, _normal(1000, 1), calibration=other, **CHEAP)
    assert plain.p_value == pytest.approx(0.01)
    assert with_weights.p_value > 0.01
    assert with_weights.settings["weighted"]
    assert "precision" not in {check.name for check in with_weights.checks}


def test_negative_weights_take_a_background_away():
    signal, background, copy = _normal(1500, 0), _normal(300, 1, mean=2), _normal(300, 2, mean=2)
    rows, weights = np.concatenate([signal, background, copy]), np.repeat([1.0, 1.0, -1.0], [1500, 300, 300])
    order = np.random.default_rng(0).permutation(2100)
    real = Dataset(rows[order], names=["a", "b"], weights=weights[order])
    result = validate(real, _normal(2100, 3), calibration=_normal(2100, 4), **CHEAP)
    assert result.p_value > 0.01


@pytest.mark.slow  # quick: shares with weights and blocks
def test_chains_are_exchanged_in_blocks_and_say_so():
    chains = [_chain(1200, seed) for seed in range(3)]
    result = validate(chains[0], chains[1], calibration=chains[2], **CHEAP)
    ignored = CHEAP | {"correlated": "ignore", "calibrate": False}
    naive = validate(chains[0], chains[1], calibration=chains[2], **ignored)
    assert result.chains.block > 60
    assert result.p_value > naive.p_value  # the same rows taken as independent
    assert any("depend on their neighbours" in warning for warning in result.warnings)
    with pytest.raises(UnknownNameError, match="blocks"):
        validate(chains[0], chains[1], correlated="block")


def test_observables_have_means_with_errors_and_shapes():
    x, y = _normal(800, 0, d=3), _normal(800, 1, d=3)
    y[:, 0] *= 1.3
    functions = {"square": lambda e: e[:, 0].square(), "spectrum": lambda e: e.cumsum(1).square()}
    tests = {"tests": ("features one by one", "observables")}
    result = validate(x, y, calibration=_normal(800, 2, d=3), observables=functions, **QUICK | tests)
    square, spectrum = result.observables
    assert (square.name, square.dof, spectrum.dof) == ("square", 1, 3)
    # E x^2 = 1 and 1.69, each with an error of sqrt(2/800) times that; five standard errors
    assert abs(square.real[0] - 1) < 5 * 0.05
    assert abs(square.generated[0] - 1.69) < 5 * 0.085
    assert 0.5 < square.real_error[0] / 0.05 < 2
    assert square.distinguishes
    assert any(f.kind == "observable" for f in result.findings)
    assert {"square"} <= {check.feature for check in result.checks}
    with pytest.raises(InputError, match="one or several finite numbers per event"):
        validate(x, y, observables={"bad": lambda e: e.mean()}, **QUICK)
    with pytest.raises(InputError, match=r"reverie\.data\.observables"):
        validate(x, y, observables="mass", **QUICK)


def test_a_broken_constraint_is_a_finding_and_decides():
    x, y = np.round(_normal(400, 0) * 3), np.round(_normal(400, 1) * 3)
    y[:40, 0] += 0.5
    constraints = {"small": lambda e: e[:, 0] < 99}
    result = validate(x, y, calibration=np.round(_normal(400, 2) * 3), constraints=constraints, **CHEAP)
    assert result.findings[0].kind == "constraint"
    assert "10 %" in result.findings[0].sentence
    assert result.distinguishes
    assert {"small"} <= {rule.name for rule in result.constraints}


def test_modes_of_the_user_are_compared():
    def mode(events):
        return (events[:, 0] > 0).astype(int)

    x, y = _normal(500, 0), _normal(500, 1)
    y[:, 0] = np.abs(y[:, 0])
    tests = {"tests": ("features one by one", "bins", "modes")}
    result = validate(x, y, calibration=_normal(500, 2), modes=mode, **QUICK | tests)
    check = next(check for check in result.checks if check.name == "modes")
    assert check.distinguishes
    with pytest.raises(InputError, match="one mode per event"):
        validate(x, y, modes=lambda events: events, **QUICK)


def test_copies_of_training_events_are_said_in_the_verdict_and_do_not_make_the_laws_differ():
    train, y = _normal(1000, 0), _normal(1000, 1)
    y[:100] = train[:100] + 1e-3
    result = validate(_normal(1000, 2), y, train=train, **CHEAP | COPIES)
    assert result.memorisation.memorised
    assert "some are copied" in result.verdict
    assert result.settings["calibration"] == "training events"
    honest = validate(_normal(1000, 2), _normal(1000, 1), train=train, **CHEAP | COPIES)
    assert not honest.memorisation.memorised


def test_everything_travels_through_json():
    x, y = _normal(400, 0), _normal(400, 1, mean=0.7)
    tests = (
        "moments",
        "hard constraints",
        "observables",
        "features one by one",
        "boosting",
        "copies of training events",
    )
    options = QUICK | {"classifiers": "boosting", "n_permutations": 19, "tests": tests}
    observables = {"r": lambda e: e.norm(dim=1)}
    result = validate(
        x, y, train=_normal(400, 2), observables=observables, constraints={"a": lambda e: e[:, 0]}, **options
    )
    assert result.located is not None
    assert result.located.boxes
    text = json.dumps(result.to_json(), allow_nan=False)
    assert ValidationResult.from_json(json.loads(text)) == result
    assert str(ValidationResult.from_json(json.loads(text))) == str(result)


def test_without_calibration_there_is_no_second_column():
    options = QUICK | {"classifiers": "boosting", "n_permutations": 19}
    result = validate(_normal(100, 0), _normal(100, 1), calibrate=False, **options)
    assert all(check.real_vs_real is None for check in result.checks)
    assert np.isnan(result.auc.real_vs_real)
    assert "real against real" not in str(result.auc)


def test_the_learners_can_be_chosen():
    images = [torch.randn(40, 3, 3, generator=torch.Generator().manual_seed(s)) for s in range(3)]
    options = QUICK | {"classifiers": ("forest", "mlp"), "n_permutations": 9, "locate": False, "calibrate": False}
    options["tests"] = ("features one by one", "forest", "mlp")
    result = validate(images[0], images[1], calibration=images[2], **options)
    assert [one.learner for one in result.classifiers] == ["forest", "mlp"]
    with pytest.raises(UnknownNameError, match="boosting"):
        validate(images[0], images[1], **options | {"classifiers": "bosting", "tests": None})


def test_quantiles_with_negative_weights_are_those_of_the_signal():
    signal, background = _normal(4000, 0, d=1)[:, 0], _normal(800, 1, d=1, mean=3)[:, 0]
    x, w = np.concatenate([signal, background, background]), np.repeat([1.0, 1.0, -1.0], [4000, 800, 800])
    found = weighted_quantile(x, w, (0.25, 0.5, 0.75))
    np.testing.assert_allclose(found, np.quantile(signal, (0.25, 0.5, 0.75)), atol=2e-3)
