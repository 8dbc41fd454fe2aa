"""`reverie sample` in shards: part files, tasks of an array, the script of one, and wrong words."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from reverie.data import read


@pytest.fixture
def refused(call):
    """Run a command that cannot be done; return its one sentence."""

    def run(*argv) -> str:
        code, out, err = call(*argv)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return run


def test_a_name_without_suffix_is_a_folder_of_parts(call, finished, tmp_path):
    argv = ("sample", finished, "-n", 3000, "--seed", 1, "--quiet")
    code, out, err = call(*argv, "-o", tmp_path / "s", "--workers", 1)
    assert (code, out, err) == (0, f"samples: {tmp_path / 's'}\n", "")
    call(*argv, "-o", tmp_path / "s.npy")
    parts = [read(file).values for file in sorted((tmp_path / "s").glob("part-*.parquet"))]
    assert [len(part) for part in parts] == [1024, 1024, 952]
    np.testing.assert_array_equal(np.concatenate(parts), np.load(tmp_path / "s.npy"))
    assert json.loads((tmp_path / "s" / "_manifest.json").read_text())["n_done"] == 3


def test_tasks_of_an_array_draw_their_shards_and_a_last_call_joins_them(call, finished, tmp_path):
    argv = ("sample", finished, "-n", 3000, "-o", tmp_path / "s.csv")
    code, out, err = call(*argv, "--shard", "2/2")
    assert (code, out) == (0, f"samples: {tmp_path / 's.csv.parts'}\n")
    assert "1,024 samples" in err
    code, out, err = call(*argv)
    assert (code, out) == (0, f"samples: {tmp_path / 's.csv'}\n")
    assert "1 of 3 shards are there already" in err
    assert not (tmp_path / "s.csv.parts").exists()
    assert call("sample", finished, "-n", 3000, "-o", tmp_path / "t.csv", "--quiet")[0] == 0
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()


def test_the_script_of_an_array_is_printed_and_nothing_drawn(call, finished, tmp_path):
    argv = ("sample", finished, "-n", 3000, "-o", tmp_path / "s", "--engine", "slurm", "--workers", 20)
    code, out, err = call(*argv)
    assert (code, err) == (0, "")
    assert "#SBATCH --array=1-20" in out
    assert f"-o {tmp_path / 's'} " in out
    assert '--shard "$SLURM_ARRAY_TASK_ID/20"' in out
    assert list(tmp_path.iterdir()) == []


def test_wrong_words_are_answered(refused, finished, tmp_path):
    argv = ("sample", finished, "-n", 3000, "-o", tmp_path / "s")
    assert "3/20" in refused(*argv, "--shard", "21/20")
    assert "pool" in refused(*argv, "--engine", "poll")
    assert "--workers" in refused(*argv, "--workers", 0)
    assert "--workers 20" in refused(*argv, "--engine", "slurm")
    assert "--engine dask" in refused(*argv, "--scheduler-file", "f.json")
    assert "dask scheduler" in refused(*argv, "--engine", "dask", "--scheduler-file", tmp_path / "f.json")
    assert "--format" in refused(*argv, "--format", "txt")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    assert "other files" in refused(*argv[:-1], tmp_path / "mine")


def test_shards_of_other_samples_are_not_mixed(call, refused, finished, tmp_path):
    argv = ("sample", finished, "-n", 3000, "-o", tmp_path / "s", "--shard", "1/2", "--quiet")
    assert call(*argv)[0] == 0
    assert "another seed (0, not 1)" in refused(*argv, "--seed", 1)
    assert call(*argv, "--seed", 1, "--overwrite")[0] == 0


def start(words, *, on_sigint) -> subprocess.Popen:
    """Start a command in a group of its own, with SIGINT heard or ignored, however the tests were started."""
    return subprocess.Popen(
        [sys.executable, "-m", "reverie", *map(str, words)],
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, on_sigint),  # noqa: PLW1509
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_keeps_what_is_finished_and_leaves_no_halves(finished, tmp_path):
    """The signal goes to all processes of the group, as from a terminal."""
    out = tmp_path / "s"
    process = start(["sample", finished, "-n", 60_000_000, "-o", out, "--workers", 2], on_sigint=signal.SIG_DFL)
    while not list(out.glob(".part-*.json")) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    printed, said = process.communicate(timeout=120)
    assert (process.returncode, printed) == (130, ""), said
    assert "Traceback" not in said
    assert said.endswith("shards are finished and kept; the same command carries on\nreverie: Stopped.\n")
    assert list(out.glob("*.tmp")) == list(out.glob(".*.tmp")) == []
    manifest = json.loads((out / "_manifest.json").read_text())
    assert 1 <= manifest["n_done"] < manifest["n_shards"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_workers_carry_on_where_the_command_was_started_to_ignore_ctrl_c(finished, tmp_path):
    """A script that starts the command by `&` has it ignore the signal; workers that heard it looked as if killed."""
    out = tmp_path / "s"
    process = start(["sample", finished, "-n", 4_000_000, "-o", out, "--workers", 2], on_sigint=signal.SIG_IGN)
    while not list(out.glob(".part-*.json")) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    printed, said = process.communicate(timeout=120)
    assert (process.returncode, printed) == (0, f"samples: {out}\n"), said
    manifest = json.loads((out / "_manifest.json").read_text())
    assert manifest["n_done"] == manifest["n_shards"]
