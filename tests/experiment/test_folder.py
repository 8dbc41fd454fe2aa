"""The run folder: nothing half-written, nothing foreign removed, one process at a time."""

import json
import subprocess
import sys
from contextlib import ExitStack

import numpy as np
import pytest

from reverie.core.errors import FolderError, InputError
from reverie.experiment.folder import RunFolder, check_new, write_json, write_text
from reverie.training import truncate_history
from reverie.training.checkpoint import atomic_file


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(
        tmp_path / "runs" / "x", held=ExitStack(), config="data: ring\n", command="reverie run gan ring"
    )


def test_a_new_folder(folder):
    assert folder.command == "reverie run gan ring"
    assert folder.history() == []
    assert folder.samples is None
    assert folder.read_json("status.json", {}) == {}


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def half():
        with atomic_file(path) as file:
            file.write(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_history_survives_a_line_cut_short(folder):
    lines = [json.dumps({"step": step, "d_loss": 1.0}) for step in (10, 20, 30)]
    (folder / "history.jsonl").write_text("\n".join(lines)[:-5])
    assert [r["step"] for r in folder.history()] == [10, 20]
    truncate_history(folder / "history.jsonl", 10)
    assert (folder / "history.jsonl").read_text() == lines[0] + "\n"


def test_status_is_updated_key_by_key(folder):
    folder.update_status(a=1)
    folder.update_status(b=2)
    assert folder.read_json("status.json") == {"a": 1, "b": 2}


def test_snapshots_come_back_in_order(folder):
    for step in (200, 10):
        folder.write_snapshot(step, np.full((3, 2), step))
    assert list(folder.snapshots()) == [10, 200]
    assert folder.snapshots()[200][0, 0] == 200


def test_an_existing_run_is_refused_and_replaced_on_demand(folder):
    with pytest.raises(FolderError, match="--overwrite"):
        check_new(folder.path)
    for name in ("report.html", "resolved.json"):
        write_text(folder / name, "old")
    write_text(folder / "notes.txt", "mine")
    new = RunFolder.create(folder.path, held=ExitStack(), config="data: grid\n", command="reverie", overwrite=True)
    assert not (new / "report.html").exists()
    assert not (new / "resolved.json").exists()
    assert (new / "notes.txt").read_text() == "mine"


def test_an_empty_folder_will_do(tmp_path):
    assert check_new(tmp_path) == tmp_path


def test_other_folders_are_refused_even_with_overwrite(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(FolderError, match="no run folder"):
        check_new(tmp_path, overwrite=True)


def test_no_run_folder(tmp_path, folder):
    with pytest.raises(InputError, match="does not exist"):
        RunFolder(tmp_path / "no")
    with pytest.raises(InputError, match="Runs beside it: x"):
        RunFolder(folder.path.with_name("y"))
    with pytest.raises(InputError, match=r"holds no config\.yaml"):
        RunFolder(tmp_path)


def test_the_lock_keeps_another_process_out_and_dies_with_its_holder(folder):
    code = (
        "import fcntl, sys\nfile = open(sys.argv[1], 'a')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    with folder.lock(), pytest.raises(FolderError, match="in progress"), RunFolder(folder.path).lock():
        pass
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder / ".lock")], **streams)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(FolderError, match="in progress"), folder.lock():
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    if holder.stdin is not None:
        holder.stdin.close()
    with folder.lock():
        pass


def test_a_run_in_progress_is_not_overwritten(folder):
    write_text(folder / "history.jsonl", "{}")
    with folder.lock(), pytest.raises(FolderError, match="in progress"):
        RunFolder.create(folder.path, held=ExitStack(), config="", command="", overwrite=True)
    assert (folder / "history.jsonl").read_text() == "{}"
    with ExitStack() as held:
        RunFolder.create(folder.path, held=held, config="", command="", overwrite=True)
        with pytest.raises(FolderError, match="in progress"), folder.lock():  # it keeps the lock that it took
            pass


def test_a_folder_that_a_kill_left_with_a_lock_alone_will_do(tmp_path):
    (tmp_path / ".lock").write_text("")
    assert check_new(tmp_path) == tmp_path
