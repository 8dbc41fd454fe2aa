"""`reverie export`: a graph and the comparison with the model, from a run folder."""

import json

import pytest
import torch

from reverie.cli.main import main


@pytest.fixture(scope="module")
def graph(finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "x.pt2"
    assert main(["export", str(finished), "-o", str(path)]) == 0
    return path


def test_a_run_becomes_a_graph_with_its_comparison_beside(graph):
    extra = {"reverie.json": ""}
    torch.export.load(graph, extra_files=extra)
    metadata = json.loads(extra["reverie.json"])
    assert metadata["names"] == "px\npy\npz"
    assert metadata["model"] == "GAN"
    written = json.loads((graph.parent / "x.pt2.parity.json").read_text())
    assert written["holds"]
    assert written["columns"][0]["largest_relative"] < 1e-5


def test_it_says_what_it_wrote_and_replaces_nothing_unasked(call, graph, finished):
    code, _, err = call("export", finished, "-o", graph)
    assert code == 2
    assert "exists" in err
    assert "--overwrite" in err


@pytest.mark.slow
def test_by_default_it_goes_into_the_run_folder(call, finished):
    import onnx

    code, out, err = call("export", finished)
    assert code == 0
    assert err == ""
    assert {entry.key for entry in onnx.load(finished / "model.onnx").metadata_props} > {"names", "model", "noise"}
    assert f"graph: {finished / 'model.onnx'}" in out
    assert "largest relative difference" in out
    assert call("export", finished, "--to", "onnx", "--overwrite")[0] == 0


@pytest.mark.slow
def test_a_graph_beyond_tolerance_is_an_error(call, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("reverie.scale.parity._ROUNDINGS", 0.0)
    code, _, err = call("export", finished, "-o", tmp_path / "x.onnx", "--tolerance", "1e-30")
    assert code == 2
    assert "Expected a graph that gives the samples of the model" in err
    assert not (tmp_path / "x.onnx").exists()
    assert (tmp_path / "x.onnx.parity.json").exists()


def test_wrong_words_are_answered(call, finished, tmp_path):
    assert "onnx" in call("export", finished, "--to", "onx")[2]
    assert "onnx" in call("export", finished, "-o", tmp_path / "x.h5")[2]
    assert "run folder" in call("export")[2]
    assert "does not exist" in call("export", tmp_path / "nowhere")[2]
    assert "--tolerance" in call("export", finished, "--tolerance", "-1")[2]
    code, _, err = call("export", tmp_path)
    assert code == 2
    assert "saved model" in err


@pytest.mark.slow
def test_a_model_of_chains_is_refused_in_one_sentence(call, tmp_path):
    spins = tmp_path / "spins.npy"
    assert call("simulate", "ising", "--side", 3, "--beta", 0.3, "-n", 200, "-o", spins)[0] == 0
    assert call("fit", "rbm", spins, "--out", tmp_path / "r", "--max-steps", 20, "--quiet")[0] == 0
    code, _, err = call("export", tmp_path / "r")
    assert code == 2
    assert "Markov chains" in err
    assert len(err.strip().splitlines()) == 1
