"""A run on a large table, from the file to the report, and its resumption."""

import json

import numpy as np
import pytest

from reverie.core import lazy
from reverie.core.lazy import LazyTable
from reverie.experiment.config import RunConfig
from reverie.experiment.inputs import load_inputs
from reverie.experiment.run import resume, start
from reverie.experiment.validate import validate_files
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gan", "vae"])
def test_a_run_on_a_large_table_goes_to_its_report(file, tmp_path, name):
    asked = config(file, name, condition="x3", n_samples=60)
    assert start(asked, tmp_path / "run", quiet=True) == 0
    assert json.loads((tmp_path / "run" / "validation.json").read_text())["sizes"]["given_real"] == 400
    assert (tmp_path / "run" / "report.html").is_file()
    again = load_model(tmp_path / "run" / "model").sample(5, random_state=0, condition=1.0)
    assert np.asarray(again.values).shape == (5, 3)
    assert resume(tmp_path / "run", quiet=True) == 0  # complete, and the data are what they were


def test_a_packed_table_is_said_to_be_unpacked(tmp_path, monkeypatch, capsys):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    x = np.random.default_rng(0).standard_normal((4000, 2))
    pq.write_table(pa.table({"a": x[:, 0], "b": x[:, 1]}), tmp_path / "big.parquet")
    assert start(config(tmp_path / "big.parquet", "vae"), tmp_path / "run", stages=("fit",)) == 0
    assert f"unpacked once into {tmp_path / 'cache'}" in capsys.readouterr().err


def test_large_files_are_validated_by_a_part_and_a_pass(file, tmp_path, capsys):
    np.save(tmp_path / "fake.npy", np.load(file)[::-1])
    options = {"classifiers": (), "locate": False, "calibrate": False, "n_permutations": 9, "max_samples": 60}
    result = validate_files(str(file), str(tmp_path / "fake.npy"), **options)
    assert (result.streamed.used_real, result.streamed.n_real) == (600, 4000)
    assert result.streamed.features[0].distance == 0
    assert result.streamed.equal_to_real == 1
