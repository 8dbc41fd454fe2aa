"""A run that was stopped in the middle of a window ends as an unbroken one does: records, samples, state, files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reverie.cli.main import main
from reverie.core.errors import InputError
from reverie.experiment import training
from reverie.experiment.config import RunConfig
from reverie.experiment.folder import RunFolder
from reverie.experiment.run import resume, start
from reverie.training import CheckpointFolder, load_state

STEPS, EVERY = 60, 20
MODELS = {
    "gan": {"generator": [8], "discriminator": [8], "penalty_every": 4},
    "vae": {"encoder": [8], "decoder": [8]},
}
SETS = {
    "gan of sets": {"name": "gan", "generator": [8], "discriminator": [8]},
    "flow_matching of sets": {"name": "flow_matching", "width": 8, "n_blocks": 1, "n_evaluations": 4},
}


class StopsAt(training.Interrupt):
    """The user presses Ctrl-C after a number of steps; training asks after every step."""

    def __init__(self, n_steps: int) -> None:
        super().__init__()
        self.n_steps, self.n_asked = n_steps, 0

    @property
    def requested(self) -> bool:
        self.n_asked += 1
        return self.n_asked >= self.n_steps

    @requested.setter
    def requested(self, value: bool) -> None:
        pass


def config_of(name: str, data: Path, compile: bool) -> RunConfig:
    model = {"name": name, "max_steps": STEPS, "record_every": EVERY, "n_checks": 3, "batch_size": 16}
    condition = "jet_pt" if name in SETS else None
    options = {**MODELS, **SETS}[name]
    return RunConfig(data=str(data), condition=condition, model=model | options | {"compile": compile}, seed=1)


def written_data(folder: Path, name: str) -> Path:
    """Write the data of a model: points in a plane, or sets of up to five particles with a column of the sets."""
    rng = np.random.default_rng(2)
    if name not in SETS:
        np.save(folder / "points.npy", rng.normal(size=(300, 2)))
        return folder / "points.npy"
    mask = np.arange(5) < rng.integers(1, 6, size=(300, 1))
    np.savez(folder / "jets.npz", particles=rng.random((300, 5, 3)) * mask[..., None], mask=mask, jet_pt=mask.sum(1))
    return folder / "jets.npz"


def leaves(state: Any, name: str = "") -> dict[str, Any]:
    """Return the numbers, texts and tensors of a nested state by their paths."""
    if isinstance(state, dict):
        return {k: x for key, value in state.items() for k, x in leaves(value, f"{name}/{key}").items()}
    if isinstance(state, (list, tuple)):
        return {k: x for i, value in enumerate(state) for k, x in leaves(value, f"{name}/{i}").items()}
    return {name: state}


def assert_same_run(ours: RunFolder, unbroken: RunFolder) -> None:
    histories = [[{**record, "seconds": 0} for record in run.history()] for run in (ours, unbroken)]
    assert histories[0] == histories[1]
    assert list(ours.snapshots()) == list(unbroken.snapshots())
    a, b = (leaves(load_state(CheckpointFolder(run.checkpoints).latest())) for run in (ours, unbroken))
    assert a.keys() == b.keys()
    different = [key for key in a if not same(a[key], b[key])]
    assert not different


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(torch.nan_to_num(a.double()), torch.nan_to_num(b.double()))
    return a == b or (a != a and b != b)


def files(run: RunFolder) -> set[str]:
    found = (path.relative_to(run.path) for path in run.path.rglob("*") if path.is_file())
    return {str(path) for path in found if path.suffix != ".pt"}


WAYS = [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])]  # three compilations


@pytest.mark.parametrize("compile", WAYS)
@pytest.mark.parametrize(  # the step of flow matching is that of the VAE too
    "name", ["gan", "flow_matching of sets", *(pytest.param(n, marks=pytest.mark.slow) for n in ("vae", "gan of sets"))]
)
def test_stopped_within_a_window_and_killed_while_writing(name, compile, tmp_path, monkeypatch, capsys):
    """Ctrl-C after 13 steps, 7 before the first record; then as a kill leaves the folder."""
    data = written_data(tmp_path, name)
    options: Any = {"stages": ["fit"], "quiet": True}
    config = config_of(name, data, compile)
    assert start(config, tmp_path / "unbroken", **options) == 0
    with monkeypatch.context() as patch:
        patch.setattr(training, "Interrupt", lambda: StopsAt(13))
        assert start(config, tmp_path / "stopped", **options) == 130
    assert f"reverie resume {tmp_path / 'stopped'}" in capsys.readouterr().err
    stopped, unbroken = RunFolder(tmp_path / "stopped"), RunFolder(tmp_path / "unbroken")
    assert [record["step"] for record in stopped.history()] == [13]
    mine = stopped / ".notes.tmp"
    left = [stopped.checkpoints / ".step_00000013.pt.4242.tmp", stopped / ".status.json.x1.tmp", mine]
    for path in left:
        path.write_bytes(b"half")
    (stopped / ".model.tmp").mkdir()
    assert resume(stopped.path, quiet=True) == 0
    assert mine.exists()  # it is the user's
    mine.unlink()
    assert_same_run(stopped, unbroken)
    assert files(stopped) == files(unbroken)
    told = stopped.read_json("status.json")["training"]["compiled"]
    assert told == ("compiled" if compile else "not compiled: not asked for")


@pytest.mark.parametrize("name", ["vae", pytest.param("gan", marks=pytest.mark.slow)])
def test_more_steps_than_were_planned(name, tmp_path, monkeypatch, capsys):
    """A run that was stopped early ends as one that was longer from the beginning; one that had ended trains on."""
    data = tmp_path / "points.npy"
    np.save(data, np.random.default_rng(2).normal(size=(300, 2)))
    options: Any = {"stages": ["fit"], "quiet": True}
    short = config_of(name, data, compile=False)
    plain = {"refine": False} if name == "gan" else {}  # how its classifier goes on is asked above
    short = replace(short, model={**short.model, **plain, "n_checks": 0})
    longer = replace(short, model={**short.model, "max_steps": 2 * STEPS})
    assert start(longer, tmp_path / "unbroken", **options) == 0
    with monkeypatch.context() as patch:
        patch.setattr(training, "Interrupt", lambda: StopsAt(13))
        assert start(short, tmp_path / "stopped", **options) == 130
    assert resume(tmp_path / "stopped", max_steps=2 * STEPS, quiet=True) == 0
    stopped, unbroken = RunFolder(tmp_path / "stopped"), RunFolder(tmp_path / "unbroken")
    assert stopped.config().model["max_steps"] == 2 * STEPS
    assert stopped.history()[-1]["step"] == unbroken.history()[-1]["step"] == 2 * STEPS
    a, b = (leaves(load_state(CheckpointFolder(run.checkpoints).latest())) for run in (stopped, unbroken))
    assert not [key for key in a if not same(a[key], b[key])]
    assert start(short, tmp_path / "ended", **options) == 0
    ended = RunFolder(tmp_path / "ended")
    before = ended.history()
    with pytest.raises(InputError, match=f"above the {STEPS} steps that were taken, got {STEPS}"):
        resume(ended.path, max_steps=STEPS)
    assert main(["resume", str(ended.path), "--max-steps", str(2 * STEPS), "--quiet"]) == 0
    assert ended.history()[: len(before)] == before
    assert ended.history()[-1]["step"] == 2 * STEPS
    assert ended.read_json("status.json")["training"]["ended_by"] == "max_steps"


def test_a_spent_budget_is_asked_for_again(tmp_path):
    data = tmp_path / "points.npy"
    np.save(data, np.random.default_rng(2).normal(size=(300, 2)))
    config = replace(config_of("vae", data, compile=False), max_time="0.01s")
    assert start(config, tmp_path / "run", stages=["fit"], quiet=True) == 0
    assert RunFolder(tmp_path / "run").read_json("status.json")["training"]["ended_by"] == "max_time"
    with pytest.raises(InputError, match="--max-time too, since the budget of 0.01s is spent"):
        resume(tmp_path / "run", max_steps=2 * STEPS)
