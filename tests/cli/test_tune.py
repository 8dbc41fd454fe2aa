"""`reverie tune` on a small table."""

import json

import pytest
import yaml

pytest.importorskip("optuna")

TINY = ("--max-steps", "20", "--record-every", "10", "--n-checks", "2")
OPTIONS = ("--trials", "2", "--repeats", "1", "--space", "learning_rate=1e-3:1e-2:log,batch_size=16|32", *TINY)


@pytest.fixture(scope="module")
def study(table, tmp_path_factory):
    """Folder of a study of two tiny trials."""
    from reverie.cli.main import main

    out = tmp_path_factory.mktemp("tunes") / "x"
    assert main(["tune", "rbm", str(table), "--out", str(out), "--quiet", *OPTIONS]) == 0
    return out


def test_it_prints_the_trials_the_winner_and_the_page(call, table, study):
    code, out, err = call("tune", "rbm", table, "--out", study, *OPTIONS)  # complete: nothing to train
    assert code == 0
    assert out.startswith("Trial  log-likelihood")
    assert "Best of 2 trials" in out
    assert out.splitlines()[-2:] == [f"best: {study / 'best.yaml'}", f"page: {study / 'tune.html'}"]
    assert err.startswith(f"joining study in {study}")
    assert json.loads((study / "tune.json").read_text())["model"] == "rbm"


def test_run_takes_the_winner_as_it_stands(call, study, tmp_path):
    code, out, _ = call("run", "--config", study / "best.yaml", "--out", tmp_path / "x", "--print-config")
    assert code == 0
    assert yaml.safe_load(out) == yaml.safe_load((study / "best.yaml").read_text())
    assert call("fit", "--config", study / "best.yaml", "--out", tmp_path / "y", "--quiet")[0] == 0


def test_progress_goes_to_standard_error(call, table, study, tmp_path):
    import shutil

    shutil.copytree(study, tmp_path / "x")
    code, _, err = call("tune", "rbm", table, "--out", tmp_path / "x", *OPTIONS, "--trials", "3")
    assert code == 0
    assert "trial 2: learning_rate" in err
    assert "3 ended" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--space", "learning_rat=1:2"), "Did you mean 'learning_rate'?"),
        (("--trials", "0"), "--trials"),
        (("--workers", "0"), "--workers"),
        (("--by", "auc"), "likelihood"),
        (("--tune-fraction", "2"), "--tune-fraction"),
        (("--trails", "3"), "--trials"),
        (("--tune-fraction", "0.01"), "Give more data"),
        (("--batch-size", "100000", "--space", "n_gibbs=1|2"), "batch_size"),
    ],
)
def test_one_sentence_for_each_mistake(call, table, tmp_path, options, words):
    code, out, err = call("tune", "rbm", table, "--out", tmp_path / "x", "--quiet", *TINY, *options)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_gan_has_no_likelihood(call, table, tmp_path):
    code, _, err = call("tune", "gan", table, "--out", tmp_path / "x", "--by", "likelihood")
    assert code == 2
    assert "--by samples" in err
    assert not (tmp_path / "x").exists()


def test_without_optuna_the_extra_is_named(call, table, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = call("tune", "rbm", table, "--out", tmp_path / "x")
    assert code == 2
    assert "pip install 'reverie[tune]'" in err


def test_the_folder_is_named_after_data_and_model(call, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("tune", "rbm", table, "--quiet", *OPTIONS, "--trials", "1")
    assert code == 0
    assert out.splitlines()[-1].endswith("tunes/events-rbm/tune.html")
