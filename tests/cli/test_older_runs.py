"""Run folders of an earlier version, kept in `runs_0_1/`: every verb works on them as on those of today.

They are of version 0.1.0 of 22 November 2026, `reverie run gan ring` with a small network: one that went to its end,
without its report, and one that was stopped after its first step.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from reverie.cli.main import main

KEPT = Path(__file__).parent / "runs_0_1"


@pytest.fixture
def finished(tmp_path):
    return Path(shutil.copytree(KEPT / "finished", tmp_path / "finished"))


def test_a_finished_run_is_reported_sampled_cited_and_compared(finished, tmp_path, capsys):
    assert main(["report", str(finished)]) == 0
    assert "Distinguishable" in (finished / "report.html").read_text(encoding="utf-8")
    assert main(["sample", str(finished), "-n", "200", "--seed", "3", "-o", str(tmp_path / "new.npy"), "--quiet"]) == 0
    assert np.load(tmp_path / "new.npy").shape == np.load(finished / "samples.npy").shape
    assert main(["cite", str(finished)]) == 0
    assert "@" in capsys.readouterr().out
    other = shutil.copytree(finished, tmp_path / "other")
    assert main(["compare", str(finished), str(other)]) == 0
    assert "not told apart" in capsys.readouterr().out


def test_a_finished_run_is_complete_and_can_be_judged_anew(finished):
    before = (finished / "history.jsonl").read_bytes()
    assert main(["resume", str(finished), "--quiet"]) == 0
    assert (finished / "history.jsonl").read_bytes() == before
    (finished / "validation.json").unlink()
    assert main(["validate", str(finished), "--max-time", "0.3s"]) == 0
    assert (finished / "validation.json").is_file()


def test_an_unfinished_run_of_another_training_state_is_refused_and_left_as_it_was(tmp_path, capsys):
    stopped = Path(shutil.copytree(KEPT / "stopped", tmp_path / "stopped"))
    before = {path.relative_to(stopped): path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    assert main(["resume", str(stopped), "--quiet"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    after = {
        path.relative_to(stopped): path.read_bytes()
        for path in stopped.rglob("*")
        if path.name != ".lock" and path.is_file()
    }
    assert after == before
    assert main(["report", str(stopped)]) == 0
