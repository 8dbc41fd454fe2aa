"""`reverie doctor` says what is wrong, and its exit code whether anything must be done."""

import importlib.metadata
import shutil
from functools import partial

import pytest

from reverie.experiment import info


def _states(out):
    return {
        line.split()[1]: line.split()[0] for line in out.splitlines() if line[:1] not in ("", " ") and len(line) > 20
    }


def test_all_is_well_here(call, monkeypatch, tmp_path):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr(info, "self_test", partial(info.self_test, 0.2))  # seconds
    code, out, _ = call("doctor")
    states = _states(out)
    assert code == 0
    assert out.endswith("All is well.\n")
    assert {"packages", "threads", "compiler", "GPU", "data", "cache", "folder", "training"} <= set(states)
    assert "FAULT" not in states.values()
    assert not (tmp_path / "not").exists()


def test_faults_are_named_with_a_remedy(call, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("REVERIE_DATA", str(tmp_path / "none"))
    wanted = ["torch<2", "nothing-like-it>=1", "numpy>=1", 'polars>=99; extra == "frames"', 'absent; extra == "io"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    code, out, _ = call("doctor", "--no-test")
    assert code == 1
    assert "is not <2; nothing-like-it is not installed" in out
    assert "io (absent)" in out
    assert "REVERIE_DATA names" in out
    assert "which is no folder" in out
    assert "cannot be written" in out
    assert out.endswith("3 faults; see above.\n")


@pytest.mark.parametrize(("found", "words"), [(None, "No C++ compiler"), ("/bin/false", "does not run")])
def test_a_missing_compiler_is_a_note(monkeypatch, found, words):
    monkeypatch.setattr(shutil, "which", lambda name: found)
    one = info._compiler()
    assert one.state == "note"
    assert words in one.sentence


def test_more_threads_than_cores_and_a_driver_without_cuda_are_notes(monkeypatch):
    monkeypatch.setattr(info, "available_cores", lambda: 0)
    assert info._threads().state == "note"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert "Install a build of torch with CUDA" in info._gpu().sentence
