"""A run on a large table, from the file to the report, and its resumption."""

import json

import numpy as np
import pytest

from reverie.core import lazy
from reverie.core.lazy import LazyTable
from reverie.experiment.config import RunConfig
from reverie.experiment.inputs import load_inputs
from reverie.experiment.run import resume, start
from reverie.models.files import load_model


@pytest.fixture(autouse=True)
def _all_is_large(monkeypatch):
    monkeypatch.setenv("REVERIE_LARGE", "3000")
    monkeypatch.setattr(lazy, "SAMPLE_ROWS", 600)


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 3)).astype(np.float32)
    np.save(tmp_path / "big.npy", np.concatenate([x, rng.integers(0, 2, (4000, 1))], axis=1).astype(np.float32))
    return tmp_path / "big.npy"


TINY = {
    "gan": {"generator": [8], "discriminator": [8], "refine": False},
    "vae": {"encoder": [8], "decoder": [8]},
}


def config(file, name="gan", **options):
    model = {"name": name, "max_steps": 30, "record_every": 10, "n_checks": 2, **TINY[name]}
    return RunConfig(data=str(file), model=model, held_out=0.1, **options)


def test_inputs_of_a_large_table_stay_on_disk(file):
    inputs = load_inputs(config(file))
    assert isinstance(inputs.train.events.values, LazyTable)
    assert isinstance(inputs.held_out.events.values, np.ndarray)
    whole = np.load(file)
    assert (len(inputs.train), len(inputs.held_out)) == (3600, 400)
    parts = np.concatenate([np.asarray(inputs.train.values), inputs.held_out.values])
    assert np.array_equal(parts[np.lexsort(parts.T)], whole[np.lexsort(whole.T)])
    assert isinstance(inputs.known.events.values, np.ndarray)
    assert {tuple(row) for row in inputs.known.values} <= {tuple(row) for row in np.asarray(inputs.train.values)}


def test_conditions_and_weights_of_a_large_table_stay_with_their_events(file):
    x = np.load(file)
    x[:, 1], x[:, 2] = x[:, 0] * 2, np.abs(x[:, 0])
    np.save(file, x)
    inputs = load_inputs(config(file, condition="x1", weights="x2", columns="x0,x3"))
    assert isinstance(inputs.train.events.values, LazyTable)
    for part in (inputs.train, inputs.source):
        first = np.asarray(part.events.values[:, 0])
        assert np.array_equal(np.asarray(part.conditions.values[:, 0]), 2 * first)
        assert np.array_equal(np.asarray(part.weights, dtype=np.float32), np.abs(first))
    x[5, 0], x[7, 1] = np.nan, np.inf
    np.save(file, x)
    inputs = load_inputs(config(file, condition="x1", drop_missing=True))
    assert len(inputs.source) == 3998
    assert np.array_equal(np.asarray(inputs.source.values), np.delete(x, [5, 7], axis=0)[:, [0, 2, 3, 1]])


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_a_run_on_a_large_table_goes_to_its_report_and_resumes_exactly(file, tmp_path, name):
    whole = config(file, name, condition="x3", n_samples=60)
    assert start(whole, tmp_path / "whole", quiet=True) == 0
    assert json.loads((tmp_path / "whole" / "validation.json").read_text())["sizes"]["given_real"] == 400
    cut = config(file, name, condition="x3", n_samples=60, max_time="0s")
    start(cut, tmp_path / "cut", quiet=True, stages=("fit",))
    assert json.loads((tmp_path / "cut" / "status.json").read_text())["training"]["step"] < 30
    resume(tmp_path / "cut", max_time="1h", quiet=True)
    models = [load_model(tmp_path / run / "model") for run in ("whole", "cut")]
    samples = [np.asarray(model.sample(20, random_state=0).values) for model in models]
    assert np.array_equal(*samples)
