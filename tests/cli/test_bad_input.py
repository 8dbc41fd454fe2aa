"""Every bad input is answered by one sentence and exit code 2, and leaves nothing behind."""

import errno
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.experiment import folder as folder_module


def refused(call, *argv: str) -> str:
    """Return the sentence that `argv` is refused with."""
    code, _, err = call(*argv)
    assert code == 2, err
    assert "Traceback" not in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1, err
    return err


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


GOOD_ROWS = [f"{i},{i * i % 7}" for i in range(100)]
FILES = {
    "empty file": ("", "empty|no rows|no data"),
    "header only": ("a,b\n", "row"),
    "one row": ("a,b\n1,2\n", "row"),
    "ragged": ("a,b\n" + "\n".join([*GOOD_ROWS, "1,2,3"]), "columns|fields|values"),
    "free text": ("a,b\n" + "\n".join(f"{i},word{i}" for i in range(300)), "numbers|words"),
    "text among numbers": ("a,b\n" + "\n".join([*GOOD_ROWS, "7,seven"]), "seven|text|number"),
    "NaN": ("a,b\n" + "\n".join([*GOOD_ROWS, "nan,1", "2,inf"]), r"--drop-missing"),
    "constant column": ("a,b\n" + "\n".join(f"{i},3" for i in range(100)), "b = 3"),
}


@pytest.mark.parametrize(("text", "words"), FILES.values(), ids=FILES)
def test_bad_tables(call, tmp_path, text, words):
    import re

    path = write(tmp_path / "bad.csv", text)
    assert re.search(words, refused(call, "run", "gan", path, "--out", tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_missing_values_are_named_by_column_and_can_be_dropped(call, tmp_path, tiny):
    path = write(tmp_path / "gaps.csv", "a,b\n" + "\n".join([*GOOD_ROWS, "nan,1", "2,inf", "nan,3"]))
    sentence = refused(call, "fit", "gan", path, "--out", tmp_path / "x")
    assert "a: 2" in sentence
    assert "b: 1" in sentence
    assert call("fit", "gan", path, "--drop-missing", "--out", tmp_path / "x", *tiny)[0] == 0


def test_a_classifier_is_no_model_of_samples(call, tmp_path):
    words = refused(call, "run", "semi_supervised_gan", "digits", "--out", str(tmp_path / "x"))
    assert "SemiSupervisedGAN().fit(X, y)" in words
    assert not (tmp_path / "x").exists()


def test_a_missing_file(call, tmp_path):
    assert "nothere.csv" in refused(call, "run", "gan", tmp_path / "nothere.csv", "--out", tmp_path / "x")


def test_a_folder_instead_of_a_file(call, tmp_path):
    assert "file" in refused(call, "run", "gan", f"{tmp_path}/", "--out", tmp_path / "x")


def test_a_wrong_image_shape(call, tmp_path):
    np.save(tmp_path / "five.npy", np.random.default_rng(0).normal(size=(100, 2, 3, 4, 5)))
    assert "shape" in refused(call, "run", "gan", tmp_path / "five.npy", "--out", tmp_path / "x")
    images = np.random.default_rng(0).normal(size=(100, 8, 9, 3))
    np.save(tmp_path / "last.npy", images)
    words = refused(call, "run", "gan", tmp_path / "last.npy", "--out", tmp_path / "x")
    assert "channels last" in words
    assert not (tmp_path / "x").exists()
    program = words.split('python -c "')[1].split('"')[0]  # what it says to do does that
    subprocess.run([sys.executable, "-c", program], check=True)
    assert np.array_equal(np.load(tmp_path / "last_first.npy"), images.transpose(0, 3, 1, 2))


def test_a_pickle_for_an_array(call, tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}] * 50, dtype=object), allow_pickle=True)
    refused(call, "run", "gan", tmp_path / "objects.npy", "--out", tmp_path / "x")


NAMES = {
    "verb": (("rnu",), "'reverie run'"),
    "model": (("run", "gam", "ring"), "'gan'"),
    "data": (("run", "gan", "rinng"), "'ring'"),
    "column": (("run", "gan", "TABLE", "--columns", "px,pw"), "'p"),
    "option": (("run", "gan", "ring", "--max-tine", "5m"), "--max-time"),
    "auto": (("run", "autoo", "ring"), "'auto'"),
    "model option": (("run", "gan", "ring", "--model.objektive", "minimax"), "--model.objective"),
    "objective": (("run", "gan", "ring", "--model.objective", "relativistc"), "'relativistic'"),
    "action": (("data", "lst"), "'list'"),
    "fetch": (("data", "fetch", "mnistt"), "'mnist'"),
    "format": (("run", "gan", "ring", "--samples-format", "parket"), "'parquet'"),
    "shell": (("--print-completion", "bsh"), "'bash'"),
}


@pytest.mark.parametrize(("argv", "nearest"), NAMES.values(), ids=NAMES)
def test_the_nearest_name_is_suggested(call, table, tmp_path, monkeypatch, argv, nearest):
    monkeypatch.chdir(tmp_path)
    sentence = refused(call, *(str(table) if part == "TABLE" else part for part in argv))
    assert "Did you mean" in sentence
    assert nearest in sentence
    assert not (tmp_path / "runs").exists()


VALUES = {
    "seed": ("--seed", "x", "integer"),
    "negative seed": ("--seed", "-1", "integer"),
    "max time": ("--max-time", "soon", "5m"),
    "held out": ("--held-out", "1.5", "between 0 and 1"),
    "steps": ("--model.max_steps", "many", "integer"),
    "zero steps": ("--model.max_steps", "0", "max_steps"),
    "rate": ("--model.learning_rate", "fast", "number"),
    "batch": ("--model.batch_size", "100000", "batch_size"),
    "no samples": ("--n-samples", "0", "integer > 0"),
    "few samples": ("--n-samples", "10", "at least 20"),
    "doubled column": ("--columns", "px,px", "once"),
    "no value": ("--seed", "", "value"),
}


@pytest.mark.parametrize(("option", "value", "words"), VALUES.values(), ids=VALUES)
def test_bad_values(call, table, tmp_path, option, value, words):
    argv = ["run", "gan", table, "--out", tmp_path / "x", option, *([value] if value else [])]
    assert words in refused(call, *argv)
    assert not (tmp_path / "x").exists()


def test_too_many_and_too_few_words(call, table):
    assert "got 'more'" in refused(call, "run", "gan", table, "more")
    assert "reverie run gan DATA" in refused(call, "run", "gan")
    assert "reverie run gan DATA" in refused(call, "run")
    for verb in ("sample", "resume", "report", "validate"):
        assert f"reverie {verb}" in refused(call, verb)


def test_a_bad_configuration_file(call, tmp_path):
    assert "does not exist" in refused(call, "run", "--config", tmp_path / "no.yaml")
    assert "YAML" in refused(call, "run", "--config", write(tmp_path / "a.yaml", "a: [1"))
    typo = write(tmp_path / "b.yaml", "data: ring\nmodel: {name: gan, objectiv: minimax}\n")
    assert "'model.objective'" in refused(call, "run", "--config", typo)
    typo = write(tmp_path / "c.yaml", "dta: ring\nmodel: {name: gan}\n")
    assert "'data'" in refused(call, "run", "--config", typo)
    wrong = write(tmp_path / "d.yaml", "data: ring\nseed: x\nmodel: {name: gan}\n")
    assert "--seed" in refused(call, "run", "--config", wrong)


def test_an_existing_run_needs_a_decision(call, finished, table):
    before = sorted(p.name for p in finished.iterdir())
    sentence = refused(call, "run", "gan", table, "--out", finished)
    assert "--overwrite" in sentence
    assert "reverie resume" in sentence
    assert sorted(p.name for p in finished.iterdir()) == before


def test_a_bad_option_does_not_cost_the_old_run(call, finished, table, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    refused(call, "run", "gan", table, "--out", folder, "--overwrite", "--model.batch_size", "1000000")
    assert (folder / "report.html").is_file()


def test_a_foreign_folder_is_never_overwritten(call, table, tmp_path):
    write(tmp_path / "thesis.tex", "years of work")
    assert "no run folder" in refused(call, "run", "gan", table, "--out", tmp_path, "--overwrite")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_unwritable_folder(call, table, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module.os, "access", lambda path, mode: False)  # the tests may run as root
    assert "permission" in refused(call, "run", "gan", table, "--out", tmp_path / "x")
    monkeypatch.undo()
    write(tmp_path / "file", "")
    assert "file" in refused(call, "run", "gan", table, "--out", tmp_path / "file")


def test_run_folders_that_are_none(call, tmp_path):
    for verb in ("resume", "report"):
        assert "does not exist" in refused(call, verb, tmp_path / "no")
        assert "config.yaml" in refused(call, verb, tmp_path)
    refused(call, "sample", tmp_path, "-n", 3, "-o", tmp_path / "s.npy")
    assert not (tmp_path / "s.npy").exists()


def unfinished(finished: Path, folder: Path) -> Path:
    """Return a copy of the finished run that looks as if it was killed in training; its last state."""
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "model")
    return folder / "checkpoints" / (folder / "checkpoints" / "latest").read_text().strip()


def test_corrupt_foreign_and_pickled_states(call, finished, tmp_path):
    state = unfinished(finished, tmp_path / "run")
    good = state.read_bytes()
    state.write_bytes(good[: len(good) // 2])
    assert "corrupt" in refused(call, "resume", tmp_path / "run")
    torch.save({"weights": torch.zeros(3)}, state)
    assert "foreign" in refused(call, "resume", tmp_path / "run")
    marker = tmp_path / "was run"

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch '{marker}'",)

    state.write_bytes(pickle.dumps(Payload()))
    refused(call, "resume", tmp_path / "run")
    torch.save({"format": "reverie-training-state", "version": 1, "state": Payload()}, state)
    assert "pickled" in refused(call, "resume", tmp_path / "run")
    assert not marker.exists()


def test_changed_data_are_noticed(call, finished, tmp_path, table):
    unfinished(finished, tmp_path / "run")
    changed = write(tmp_path / "events.csv", table.read_text().replace("1", "2", 1))
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(table), str(changed)))
    assert "sha256" in refused(call, "resume", tmp_path / "run")


def test_a_corrupt_model_is_refused(call, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "model" / "model.safetensors").write_bytes(b"nonsense")
    refused(call, "sample", folder, "-n", 3, "-o", tmp_path / "s.npy")
    assert not (tmp_path / "s.npy").exists()


def test_samples_are_not_overwritten_unasked(call, finished, tmp_path):
    path = write(tmp_path / "s.npy", "mine")
    assert "--overwrite" in refused(call, "sample", finished, "-n", 3, "-o", path)
    assert path.read_text() == "mine"
    refused(call, "sample", finished, "-n", 3, "-o", tmp_path / "s.xyz")
    refused(call, "sample", finished, "-n", "many", "-o", tmp_path / "t.npy")
    refused(call, "sample", finished, "-n", 3, "-o", tmp_path / "no" / "t.npy")


def test_two_files_with_different_columns(call, table, tmp_path):
    other = write(tmp_path / "other.csv", "a,b\n" + "\n".join(GOOD_ROWS))
    refused(call, "validate", table, other)
    refused(call, "validate", table)


def test_a_run_folder_is_judged_as_its_configuration_says(call, finished):
    assert "--permutations" in refused(call, "validate", finished, "--permutations", 19)


def test_a_full_disk_is_one_sentence(call, table, tmp_path, monkeypatch, tiny):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x" / "data.json"))

    monkeypatch.setattr(folder_module.os, "replace", full)
    assert "no space left" in refused(call, "run", "gan", table, "--out", tmp_path / "x", *tiny)
    assert not list((tmp_path / "x").rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits")
def test_a_file_that_cannot_grow_is_one_sentence(finished, tmp_path):
    """The same with a real limit of the system: half a file is not left under its name."""
    path = tmp_path / "s.npy"
    line = f"ulimit -f 512; '{sys.executable}' -m reverie sample '{finished}' -n 200000 -o '{path}' --quiet"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: Expected to write s.npy")
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["--overwrite=false", "--no-validate=false", "--quiet=1"])
def test_a_flag_takes_no_value(flag, call, tmp_path):
    told = refused(call, "run", "vae", "ring", "--max-steps", "1", flag, "--out", tmp_path / "x")
    assert "Expected no value after" in told
    assert not (tmp_path / "x").exists()


def test_choices_are_named_in_words(call, tmp_path):
    told = refused(call, "run", "flow_matching", "ring", "--solver", "foo", "--out", tmp_path / "x")
    assert "typing" not in told
    assert "heun" in told


def test_a_run_without_a_model_is_to_be_carried_on(call, tmp_path):
    for name in ("config.yaml", "status.json", "command.txt"):
        (tmp_path / name).write_text("{}")
    for verb in (["sample", tmp_path, "-o", tmp_path / "x.npy"], ["export", tmp_path]):
        assert "reverie resume" in refused(call, *verb)
