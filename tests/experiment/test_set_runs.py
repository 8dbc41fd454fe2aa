"""Runs on files of sets of particles: conditions, weights, samples in one file or in shards, and what declines."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import reverie
from reverie.core.errors import InputError
from reverie.data import Dataset, open_sink, particle_sets, read
from reverie.experiment.config import RunConfig
from reverie.experiment.datasets import describe_data, open_with_conditions, values_in
from reverie.experiment.folder import RunFolder
from reverie.experiment.inputs import joint_names, joint_rows, load_inputs
from reverie.experiment.run import resume, start
from reverie.experiment.sampling import draw_from, read_samples
from reverie.experiment.sharding import draw_sharded
from reverie.experiment.validate import validate_files

pytest.importorskip("pyarrow", reason="Parquet files need pyarrow")

MODEL = {"name": "flow_matching", "width": 8, "n_blocks": 1, "n_evaluations": 4, "max_steps": 4, "n_checks": 0}
MODEL |= {"batch_size": 32, "compile": False}
BESIDE = ["jet_pt", "jet_class", "w"]


def _written(path: Path, n: int = 120, seed: int = 0) -> Path:
    """Write jets of at most six particles with momentum, class and weight."""
    r = np.random.default_rng(seed)
    kind = r.integers(0, 2, n)
    sizes = 1 + np.minimum(r.poisson(1 + kind), 5)
    jets = [np.column_stack([r.normal(0, 0.1, (k, 2)), r.dirichlet(np.ones(k))]) for k in sizes]
    data = particle_sets(jets, names=["eta_rel", "phi_rel", "pt_rel"])
    beside = np.column_stack([r.normal(1000, 50, n), kind, r.random(n) + 0.5])
    types = ["float32", "int64", "float64"]
    shape = {"names": data.names, "event_shape": data.event_shape, "n_total": n}
    with open_sink(path, **shape, beside=BESIDE, beside_dtype=types) as sink:
        sink.write(data.values, beside)
    return path


@pytest.fixture(scope="module")
def jets(tmp_path_factory) -> Path:
    return _written(tmp_path_factory.mktemp("sets") / "jets.parquet")


def _config(data: Path, **more) -> RunConfig:
    return RunConfig(data=str(data), model=dict(MODEL), seed=1, no_validate=True, **more)


def test_columns_of_the_sets_are_conditions_and_weights(jets):
    events, none = open_with_conditions(str(jets), None)
    assert none is None
    assert events.schema.is_set
    assert events.provenance["columns_of_the_sets"] == "jet_pt, jet_class, w"
    events, conditions = open_with_conditions(str(jets), "jet_pt,jet_class", weights="w", columns="eta_rel,pt_rel")
    assert events.names == ["eta_rel", "pt_rel", "mask"]
    assert events.weights.min() > 0.4
    assert conditions.schema["jet_class"].kind == "categorical"
    np.testing.assert_array_equal(conditions.values, read(jets, columns="jet_pt,jet_class").values)
    inputs = load_inputs(_config(jets, condition="jet_pt"))
    rows = joint_rows(inputs, inputs.held_out)
    assert rows.shape == (len(inputs.held_out), len(joint_names(inputs)))
    assert joint_names(inputs)[0] == "multiplicity"
    assert joint_names(inputs)[-1] == "jet_pt"
    np.testing.assert_array_equal(rows[:, -1], inputs.held_out.conditions.values[:, 0])
    with pytest.raises(InputError, match="features of particles in 'pt_rel'"):
        open_with_conditions(str(jets), "pt_rel")
    with pytest.raises(InputError, match="jet_pt"):
        open_with_conditions(str(jets), "jet_pz")


@pytest.mark.parametrize("suffix", ["parquet", "npy"])
def test_a_run_writes_samples_like_the_data_and_goes_on(jets, tmp_path, suffix, capsys):
    config = _config(jets, condition="jet_pt,jet_class", samples_format=suffix, n_samples=50)
    assert start(config, tmp_path / "run", stages=["fit"]) == 0
    assert "left out are the columns of the sets w" in capsys.readouterr().err
    folder = RunFolder(tmp_path / "run")
    folder.update_status(stages=["fit", "sample"])
    assert resume(folder.path, quiet=True) == 0
    inputs = load_inputs(config)
    part = read_samples(folder, inputs)
    assert part.events.event_shape == inputs.source.events.event_shape
    assert part.events.schema.is_set
    np.testing.assert_allclose(part.conditions.values, inputs.conditions(50).values)
    assert (folder.conditions is None) == (suffix == "parquet")
    if suffix == "parquet":
        assert read(folder.samples).provenance["columns_of_the_sets"] == "jet_pt, jet_class"


def test_shards_are_the_samples_of_one_process(jets, tmp_path):
    events, conditions = open_with_conditions(str(jets), "jet_class")
    options = {key: value for key, value in MODEL.items() if key != "name"}
    model = reverie.FlowMatching(**options, random_state=0).fit(events, conditions).save(tmp_path / "model")
    draw_from(str(model), tmp_path / "one.parquet", 1500, seed=3, condition="jet_class=1", quiet=True)
    with ThreadPoolExecutor(1) as engine:
        options = {"seed": 3, "condition": "jet_class=1", "engine": engine, "quiet": True}
        draw_sharded(str(model), tmp_path / "two.parquet", 1500, **options)
    one, two = read(tmp_path / "one.parquet"), read(tmp_path / "two.parquet")
    np.testing.assert_array_equal(one.values, two.values)
    assert read(tmp_path / "two.parquet", columns="jet_class").values.tolist() == [[1.0]] * 1500


def test_formats_without_lists_are_refused_before_training(jets, tmp_path):
    with pytest.raises(InputError, match="--samples-format npy, parquet, h5 or root"):
        start(_config(jets, samples_format="csv"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_files_of_different_largest_sets_are_compared(jets, tmp_path):
    data = read(jets)
    few = Dataset(data.take(data.values[..., -1].sum(axis=1) <= 4))
    assert values_in(few, data.schema).shape[1:] == data.event_shape
    cut = particle_sets(few.values, names=few.names, max_size=4)
    np.testing.assert_array_equal(values_in(cut, few.schema), few.values)
    with pytest.raises(InputError, match="at most 4 particles"):
        values_in(data, cut.schema)


def test_what_cannot_take_sets_declines(jets, tmp_path):
    with pytest.raises(InputError, match="GAN and FlowMatching"):
        start(RunConfig(data=str(jets), model={"name": "vae", "max_steps": 3}), tmp_path / "run", quiet=True)
    with pytest.raises(InputError, match="Expected other symmetries for sets"):
        reverie.FlowMatching(symmetries=["exchange"], max_steps=2).fit(read(jets))
    from reverie.experiment.explore import explore_data

    with pytest.raises(InputError, match="to explore, got Dataset.120 sets"):
        explore_data(str(jets))
    text = describe_data(str(jets))
    assert text.startswith("120 sets of at most 6 particles, type float32")
    assert "reflect eta_rel: holds" in text


@pytest.mark.slow  # the laws of the verdict on sets are quick tests of reverie.validate
def test_two_files_are_compared_with_a_report(jets, tmp_path):
    other = _written(tmp_path / "other.npz", seed=1)
    result = validate_files(str(jets), str(other), out=str(tmp_path / "out"), quiet=True, classifiers=())
    assert result.p_value > 1e-3  # one law; false-alarm rate 1 in 1000
    assert "multiplicity" in (tmp_path / "out" / "report.html").read_text()
