"""A law of every model with a likelihood: probabilities and densities of all events there can be add up to one."""

from typing import Any

import numpy as np
import pytest
from sklearn import base

from reverie.core.errors import InputError
from reverie.data.dataset import Dataset
from reverie.data.transforms import OneHot, Periodic
from reverie.models import EBM, RBM, VAE, Flow, FlowMatching

pytestmark = pytest.mark.usefixtures("global_random_state_untouched")

clone: Any = base.clone  # the type of what comes back is that of what went in
TINY: dict[str, Any] = {"max_steps": 30, "n_checks": 0, "record_every": 50, "random_state": 0, "n_threads": 1}
MODELS = {
    "rbm": RBM(n_hidden=4, n_restarts=1, **TINY),
    "rbm, standardised": RBM(n_hidden=4, n_restarts=1, preprocessing="standardise", **TINY),
    # fewer steps leave it wider than a bounded column can be in float64: its tails then round to the bounds
    "ebm": EBM(energy=(16,), n_sample_steps=5, n_temperatures=20, buffer_size=64, **dict(TINY, max_steps=200)),
    "vae": VAE(encoder=(16,), decoder=(16,), n_draws=50, **TINY),
    "flow": Flow(n_transforms=1, hidden=(16,), n_bins=6, **TINY),
    "flow matching": FlowMatching(width=16, n_blocks=1, n_evaluations=16, **dict(TINY, max_steps=200)),
    "flow, standardised": Flow(n_transforms=1, hidden=(16,), n_bins=6, preprocessing="standardise", **TINY),
}
N, REPEATED = 1000, 400  # events; times that a level is asked for, spread over a cell each time
# The narrow noise of flow matching seldom comes near the edges of a cell, where few steps leave some of the mass.
REPEATED_OF = {"flow matching": 40_000}


def _between(low, high):
    """Return points of an interval and the widths that they stand for, finer towards both ends."""
    edges = low + (high - low) / (1 + np.exp(-np.linspace(-25, 25, 2001)))
    return np.clip((edges[1:] + edges[:-1]) / 2, low + 1e-12, high - 1e-12), np.diff(edges)


def _angle():
    phi = np.mod(np.random.default_rng(0).vonmises(2.5, 2.0, N) + np.pi, 2 * np.pi) - np.pi
    return Dataset(phi[:, None], names=["phi"], kind={"phi": "periodic"}), [_between(-np.pi, np.pi)]


def _category():
    words = np.random.default_rng(1).choice(3, N, p=[0.6, 0.3, 0.1])
    return Dataset(words[:, None], names=["kind"], kind={"kind": "categorical"}), [(np.arange(3.0), 1.0)]


def _atom():
    rng = np.random.default_rng(2)
    deposit = np.where(rng.uniform(size=N) < 0.3, 0.0, rng.gamma(3.0, size=N))
    edges = np.geomspace(1e-6, 60.0, 2001)
    middle = np.sqrt(edges[1:] * edges[:-1])
    return Dataset(deposit[:, None], names=["E"]), [(np.zeros(1), 1.0), (middle, np.diff(edges))]


def _bounded():
    x = np.random.default_rng(3).beta(0.8, 2.0, N)
    schema = Dataset(x[:, None], names=["x"]).schema.edit("x", kind="bounded", lower=0.0, upper=1.0)
    return Dataset(x[:, None], schema=schema), [_between(0.0, 1.0)]


COLUMNS = {"angle": _angle, "category": _category, "atom": _atom, "bounded": _bounded}


def _mass(model, parts, repeated=REPEATED):
    """Return the mass of all events there can be, and the error that the model states for it.

    Levels, whose width is one number, are asked for `repeated` times each.
    """
    parts = [(x, w) if np.ndim(w) else (np.repeat(x, repeated), w / repeated) for x, w in parts]
    found = [(model.log_likelihood(x[:, None]), width) for x, width in parts]
    masses = [np.exp(told.values) * width for told, width in found]
    own = sum(np.square(p * getattr(told, "errors", 0.0)).sum() for p, (told, _) in zip(masses, found, strict=True))
    return sum(p.sum() for p in masses), np.hypot(own**0.5, found[0][0].common_error)


QUICK = {"rbm": COLUMNS, "vae": COLUMNS, "flow": COLUMNS, "ebm": ["bounded"], "flow matching": ["angle"]}
EVERY = [
    pytest.param(name, column, marks=() if column in QUICK.get(name, ()) else pytest.mark.slow)
    for name in MODELS
    for column in COLUMNS
]


@pytest.mark.parametrize(("name", "column"), EVERY)
def test_probabilities_of_all_events_add_up_to_one(name, column):
    """Within four stated errors and 0.02, what noise within cells and the grid leave."""
    X, parts = COLUMNS[column]()
    total, error = _mass(clone(MODELS[name]).fit(X), parts, REPEATED_OF.get(name, REPEATED))
    assert total == pytest.approx(1, abs=0.02 + 4 * error)


@pytest.mark.slow
@pytest.mark.parametrize("column", list(COLUMNS))
@pytest.mark.parametrize("name", list(MODELS))
def test_probabilities_of_trained_models_add_up_to_one(name, column):
    X, parts = COLUMNS[column]()
    total, error = _mass(clone(MODELS[name]).set_params(max_steps=600).fit(X), parts)
    assert total == pytest.approx(1, abs=0.02 + 4 * error)


@pytest.mark.parametrize(
    ("name", "column", "own"),
    [
        ("rbm", "angle", Periodic()),
        ("ebm", "category", OneHot()),
        pytest.param("rbm", "category", OneHot(), marks=pytest.mark.slow),  # each of both stands above
        pytest.param("ebm", "angle", Periodic(), marks=pytest.mark.slow),
    ],
)
def test_features_without_a_density_have_no_likelihood(name, column, own):
    X, parts = COLUMNS[column]()
    model = clone(MODELS[name]).set_params(preprocessing={X.names[0]: own}, max_steps=10).fit(X)
    with pytest.raises(InputError, match=rf"{X.names[0]}.*Flow or a VAE"):
        model.log_likelihood(parts[0][0][:, None])
    assert any("no density" in warning for warning in model.assess(X, X).warnings)
    model._without_likelihood = lambda: ""  # the twin: what would be quoted
    assert abs(_mass(model, parts)[0] - 1) > 0.2
