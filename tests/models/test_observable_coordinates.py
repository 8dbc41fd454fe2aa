"""Observables of a flow, flow matching and a VAE: thin peaks come out thin.

Without a kinematic fit each observable is a coordinate, and log p stays exact.
"""

from typing import Any

import numpy as np
import pytest
import torch

import reverie
from reverie.core.errors import CheckpointError, InputError, UnknownNameError
from reverie.data.dataset import Dataset
from reverie.data.transforms import ObservableCoordinate
from reverie.models import VAE, Flow, FlowMatching
from reverie.models.preprocessing import fitted_preprocessing

RADIUS, WIDTH = 5.0, 0.01
TINY: dict[str, Any] = {"max_steps": 60, "n_checks": 0, "random_state": 0, "n_threads": 1}
MODELS = {
    "flow": Flow(n_transforms=2, hidden=(16,), n_bins=6, **TINY),
    "flow matching": FlowMatching(width=16, n_blocks=1, n_evaluations=8, **TINY),
    "vae": VAE(encoder=(16,), decoder=(16,), n_draws=100, **TINY),
}
A_SLOW_ONE = pytest.param("flow", marks=pytest.mark.slow)  # the change of variables is the same for all models
every_model = pytest.mark.parametrize("name", [A_SLOW_ONE, "flow matching", "vae"])
both_ways = pytest.mark.parametrize("kinematic_fit", [True, False], ids=["fit", "coordinate"])
WAYS = [("vae", True), ("flow matching", False)]  # each way by one model, and slow every way by every model
WAYS += [
    pytest.param(name, fit, marks=pytest.mark.slow)
    for name in MODELS
    for fit in (True, False)
    if (name, fit) not in WAYS
]


def radius(x):
    return x.square().sum(dim=1).sqrt()


def shell(n: int = 3000, seed: int = 0) -> Dataset:
    """Return points a, b > 0 of a thin arc of a circle, p = N(r; 5, 0.01) N(angle; pi / 4, 0.2) / r."""
    rng = np.random.default_rng(seed)
    r, angle = rng.normal(RADIUS, WIDTH, n), rng.normal(np.pi / 4, 0.2, n)
    points = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    schema = Dataset(points, names=["a", "b"]).schema.edit("a", lower=0.0).edit("b", lower=0.0)
    return Dataset(points, schema=schema)  # without bounds r would turn round at 0


def made(name: str, **options):
    model = MODELS[name]
    return type(model)(**model.get_params() | options)


class _Trained(dict):
    """A model by its name and by its way to the observables, None for without; trained when first asked for."""

    def __missing__(self, key):
        name, fit = key
        options = {} if fit is None else {"observables": [radius], "kinematic_fit": fit}
        return self.setdefault(key, made(name, **options).fit(shell()))


@pytest.fixture(scope="module")
def trained():
    return _Trained()


def central(r: np.ndarray) -> float:
    """Return half the width of the central 68 %."""
    low, high = np.quantile(r, [0.16, 0.84])
    return float(high - low) / 2


@pytest.mark.parametrize(("name", "kinematic_fit"), WAYS)
def test_a_thin_peak_comes_out_thin(name, kinematic_fit, trained):
    """Its width errs by 2 % of chance in 3000 samples, and by a tenth where the model is hardly trained.

    The twin, without observables, widens it more than threefold.
    """
    r = np.hypot(*trained[name, kinematic_fit].sample(3000, random_state=1).values.T)
    assert np.median(r) == pytest.approx(RADIUS, abs=0.2 * WIDTH)
    assert central(r) == pytest.approx(WIDTH, rel=0.2)
    assert central(np.hypot(*trained[name, None].sample(3000, random_state=1).values.T)) > 3 * WIDTH


@every_model
def test_densities_of_all_points_add_up_to_one(name, trained):
    """Of polar cells around the arc; the estimate of a VAE states its errors, which more cells make smaller."""
    n_r, n_angle = (120, 80) if name == "vae" else (60, 40)
    r = np.linspace(RADIUS - 8 * WIDTH, RADIUS + 8 * WIDTH, n_r + 1)
    angle = np.linspace(1e-3, np.pi / 2 - 1e-3, n_angle + 1)
    at_r, at_angle = (grid.ravel() for grid in np.meshgrid((r[1:] + r[:-1]) / 2, (angle[1:] + angle[:-1]) / 2))
    points = np.stack([at_r * np.cos(at_angle), at_r * np.sin(at_angle)], axis=1)
    found = trained[name, False].log_likelihood(points)
    p = np.exp(found.values) * at_r * np.diff(r)[0] * np.diff(angle)[0]
    error = np.hypot(np.square(p * getattr(found, "errors", 0.0)).sum() ** 0.5, found.common_error)
    assert p.sum() == pytest.approx(1, abs=0.02 + 4 * error)


@every_model
def test_samples_have_the_observables_that_the_model_drew(name, trained):
    """To rounding, wherever the event can be moved there. The twin: before the move they have not."""
    model = trained[name, True]
    transform = model.preprocessing_.transform
    drawn = model._drawer(1000, 0)(0, 1000, model._unit_noise(0, 0)).double()
    asked = transform.map_.inverse(drawn[:, 2:])[:, 0]
    off = (radius(transform.inverse(drawn)) - asked).abs()
    assert (off < 1e-9 * RADIUS).double().mean() > 0.99
    assert (radius(transform.base_.inverse(drawn[:, :2])) - asked).abs().median() > 1e-3
    assert np.array_equal(model.preprocessing_.values(drawn), transform.inverse(drawn).numpy())


@every_model
def test_moved_samples_have_no_likelihood_but_a_score(name, trained):
    model = trained[name, True]
    with pytest.raises(InputError, match="kinematic_fit=False"):
        model.log_likelihood(shell(20))
    assert -0.5 < model.score(shell(500, 1)) < 0.1
    assert "kinematic_fit=False" in model.assess(shell(50), shell(50, 1)).warnings[0]


@pytest.mark.parametrize(("name", "kinematic_fit"), WAYS)
@pytest.mark.usefixtures("small_units")
def test_a_saved_model_draws_the_same_samples(name, kinematic_fit, trained, tmp_path):
    model = trained[name, kinematic_fit]
    folder = model.save(tmp_path / "model")
    loaded = reverie.load(folder, observables=[radius])
    assert np.array_equal(loaded.sample(50, random_state=2).values, model.sample(50, random_state=2).values)
    if not kinematic_fit:
        assert np.array_equal(loaded.score_samples(shell(20, 3)), model.score_samples(shell(20, 3)))
    with pytest.raises(CheckpointError, match="observables="):
        reverie.load(folder)
    with pytest.raises(CheckpointError, match="Expected the observables? '?radius'?"):
        reverie.load(folder, observables=["delta_eta(a, b)"])


@pytest.mark.usefixtures("small_units")
def test_a_model_saved_before_there_was_a_fit_is_as_it_was(trained, tmp_path):
    """Its configuration does not name the option; what its observables are is said by its change of variables."""
    model = trained["flow matching", False]
    config = model.save(tmp_path / "model") / "config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if "kinematic_fit" not in line))
    loaded = reverie.load(tmp_path / "model", observables=[radius])
    assert np.array_equal(loaded.sample(50, random_state=2).values, model.sample(50, random_state=2).values)
    assert np.array_equal(loaded.score_samples(shell(20, 3)), model.score_samples(shell(20, 3)))


def test_a_fit_takes_observables_that_turn_round():
    """A distance from (3, 3), which is no coordinate, and the radius; on the diagonal both change alike.

    The twin: before the move they are off.
    """
    distance = lambda x: (x - 3).square().sum(dim=1)  # noqa: E731
    prepared: Any = fitted_preprocessing(shell(), "array", "quantile", [distance, radius], kinematic_fit=True)
    x = torch.tensor(shell(200, 1).values)
    y = prepared.transform.forward(x)
    y[:, :2] += 0.05 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = prepared.transform.inverse(y)
    before = prepared.transform.base_.inverse(y[:, :2])
    for function in (distance, radius):
        assert (function(moved) - function(x)).abs().median() < 1e-6
        assert (function(before) - function(x)).abs().median() > 1e-3


@pytest.mark.usefixtures("small_units")
def test_a_named_observable_is_loaded_by_its_name(tmp_path):
    rng = np.random.default_rng(0)
    data = Dataset(rng.normal(size=(400, 1)) + rng.normal(size=(400, 2)) * [1, 0.1], names=["eta1", "eta2"])
    for kinematic_fit in (True, False):
        model = made("flow", observables=["delta_eta"], kinematic_fit=kinematic_fit, max_steps=5).fit(data)
        loaded = reverie.load(model.save(tmp_path / f"model {kinematic_fit}"))
        assert np.array_equal(loaded.sample(50, random_state=2).values, model.sample(50, random_state=2).values)


@both_ways
@pytest.mark.usefixtures("small_units")
def test_samples_are_those_of_a_longer_run_bit_for_bit(kinematic_fit, trained):
    model = trained["vae", kinematic_fit]
    blocks = list(model.iter_sample(150, 3, start=200))  # units of 64, so within one and across two
    assert np.array_equal(np.concatenate(blocks), model.sample(350, random_state=3).values[200:])


def test_inverse_has_the_derivative_of_a_root():
    """Of central differences, by the observable and by the other coordinates."""
    transform = fitted_preprocessing(shell(), "array", "quantile", [radius]).transform
    y = transform.forward(torch.tensor(shell(20, 1).values)).requires_grad_()
    weight = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (slope,) = torch.autograd.grad((weight * transform.inverse(y)).sum(), y)
    for j in range(2):
        step = 1e-6 * torch.eye(2, dtype=torch.float64)[j]
        ends = [(weight * transform.inverse((y + sign * step).detach())).sum(1) for sign in (1, -1)]
        torch.testing.assert_close(slope[:, j], (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-6)


@pytest.mark.slow  # quick: those of one observable
def test_two_observables_are_two_coordinates():
    """Both have the values asked for, and the way back is exact."""
    data = shell(80)
    transform = fitted_preprocessing(data, "array", "quantile", [radius, lambda x: x[:, 0] - x[:, 1]]).transform
    x = torch.tensor(data.values)
    y = transform.forward(x)
    assert (transform.inverse(y) - x).abs().max() < 1e-9
    assert isinstance(transform, ObservableCoordinate)
    assert transform.observed == [0, 1]
    for j, values in enumerate((radius(x), x[:, 0] - x[:, 1])):
        assert torch.equal(values.argsort(), y[:, j].argsort())


@pytest.mark.parametrize(
    ("X", "observables", "error", "words"),
    [
        (np.zeros((50, 6, 6)) + np.arange(6), [lambda x: x.flatten(1).sum(1)], InputError, "Expected a table.*a GAN"),
        (shell(), ["mas"], UnknownNameError, "Did you mean 'mass'"),
        (shell(), ["mass"], InputError, "Expected a column 'pt1'"),
        (shell(), [lambda x: (x[:, 0] - 3).square()], InputError, "rises or falls.*train a GAN"),
        (shell(), [lambda x: 0 * x[:, 0]], InputError, "rises or falls"),
        (shell(), [radius, radius], InputError, "rises or falls"),
    ],
    ids=["images", "name", "columns", "turns round", "constant", "twice"],
)
def test_unsuitable_observables_are_refused(X, observables, error, words):
    with pytest.raises(error, match=words):
        made("flow", observables=observables, kinematic_fit=False).fit(X)


def test_bits_have_no_observables():
    bits = np.random.default_rng(0).integers(0, 2, (100, 4))
    with pytest.raises(InputError, match="got bits"):
        made("vae", observables=[radius]).fit(bits)
