"""Training states: exact round trips, atomic writes, refusal of what cannot be trusted."""

import os
import pickle

import pytest
import torch

from reverie.core.errors import CheckpointError
from reverie.training import CheckpointFolder, load_state, save_state
from reverie.training import checkpoint as module

STATE = {"step": 3, "net": {"w": torch.arange(4.0)}, "list": [1, 2.5, "x"], "noise": torch.Generator().get_state()}


def test_round_trip_is_exact(tmp_path):
    save_state(tmp_path / "a.pt", STATE)
    back = load_state(tmp_path / "a.pt")
    assert back["step"] == 3
    assert back["list"] == [1, 2.5, "x"]
    assert torch.equal(back["net"]["w"], STATE["net"]["w"])
    assert torch.equal(back["noise"], STATE["noise"])


class _Evil:
    def __reduce__(self):
        return os.system, ("echo this must never run > /tmp/reverie-was-here",)


def test_pickled_objects_are_refused_and_not_run(tmp_path):
    torch.save({"format": module.FORMAT, "version": 1, "state": _Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="pickled Python objects"):
        load_state(tmp_path / "evil.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(CheckpointError):
        load_state(tmp_path / "plain.pkl")
    assert not os.path.exists("/tmp/reverie-was-here")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 broken archive"])
def test_corrupt_files_are_refused_in_words(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="corrupt"):
        load_state(tmp_path / "a.pt")


def test_truncated_state_is_refused(tmp_path):
    save_state(tmp_path / "a.pt", STATE)
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="corrupt"):
        load_state(tmp_path / "a.pt")


def test_foreign_newer_and_missing_states_are_refused(tmp_path):
    torch.save({"weights": torch.zeros(2)}, tmp_path / "foreign.pt")
    with pytest.raises(CheckpointError, match="foreign"):
        load_state(tmp_path / "foreign.pt")
    torch.save({"format": module.FORMAT, "version": 99, "state": {}}, tmp_path / "newer.pt")
    with pytest.raises(CheckpointError, match="Update reverie"):
        load_state(tmp_path / "newer.pt")
    with pytest.raises(CheckpointError, match="no such file"):
        load_state(tmp_path / "missing.pt")


def test_folder_keeps_the_last_states_and_points_to_the_newest(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=2)
    assert folder.latest() is None
    for step in (100, 200, 300):
        folder.save(step, STATE | {"step": step})
    assert sorted(p.name for p in folder.folder.glob("*.pt")) == ["step_00000200.pt", "step_00000300.pt"]
    assert load_state(folder.latest())["step"] == 300


@pytest.mark.parametrize("moment", ["write", "rename"])
def test_a_crash_while_saving_leaves_the_old_state(tmp_path, monkeypatch, moment):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    folder.save(100, STATE | {"step": 100})

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    if moment == "write":
        monkeypatch.setattr(module.torch, "save", fail)
    else:
        monkeypatch.setattr(module.Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        folder.save(200, STATE | {"step": 200})
    assert load_state(folder.latest())["step"] == 100
    assert not list(folder.folder.glob(".*.tmp"))


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    with module.atomic_file(tmp_path / "a") as one, module.atomic_file(tmp_path / "a") as other:
        one.write(b"one")
        other.write(b"other")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
