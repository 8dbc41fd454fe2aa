"""The driver of training: alarms are kept, told once and shown; every way to end has its word."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from reverie.data import load
from reverie.experiment.config import RunConfig
from reverie.experiment.folder import RunFolder
from reverie.experiment.inputs import Inputs, Part
from reverie.experiment.progress import Progress, alarm_sentence
from reverie.experiment.training import TrainingSession, snapshot_steps
from reverie.training import Record

ALARM = {"kind": "mode collapse", "step": 20, "evidence": "2 of 8 regions are empty", "remedy": "Use R1 and R2."}


class Played:
    """A model that plays back records, as far as `end`; alarms by step."""

    def __init__(self, *, end: int, alarms: dict[int, list[dict]] | None = None, on_alarm: str = "warn") -> None:
        self.n_steps, self.end, self.alarms, self.on_alarm = 100, end, alarms or {}, on_alarm
        self.schema_ = load("ring", n=10).schema
        self.step = 0

    def get_params(self) -> dict:
        return {"on_alarm": self.on_alarm}

    def iter_fit(self, X, y=None, *, resume=None, stop=None):
        for step in range(10, self.end + 1, 10):
            self.step = step
            raised = tuple(SimpleNamespace(to_json=lambda a=a: a) for a in self.alarms.get(step, []))
            yield Record(step, step / 100, {"score": 1.0 / step, "score_error": 0.01, "d_loss": 1.4}, raised)
            if stop():
                return

    def iter_sample(self, n, random_state=None):
        yield load("ring", n=n).values

    def training_state(self) -> dict:
        return {"step": self.step}


@pytest.fixture
def trained(tmp_path, monkeypatch, capsys):
    """Train a model in a folder; return how it ended, the folder and what was said."""
    monkeypatch.setattr("reverie.experiment.training.save_model", lambda model, path: path.mkdir())
    part = Part(load("ring", n=100))

    def run(model, **options):
        config = RunConfig(data="ring", model={"name": "gan"}, **options)
        folder = RunFolder.create(tmp_path / "x", held=ExitStack(), config=config.to_yaml(), command="")
        with TrainingSession(model, Inputs(part, part, part, part), config) as session:
            session.begin()
            ended = session.keep_in(folder)
        return ended, folder, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("model", "ended_by"),
    [
        (Played(end=100), "max_steps"),
        (Played(end=60), "equilibrium"),
        (Played(end=60, alarms={60: [ALARM]}, on_alarm="stop"), "alarm"),
        (Played(end=60, alarms={60: [ALARM]}), "equilibrium"),
        (Played(end=60, alarms={20: [ALARM]}, on_alarm="stop"), "equilibrium"),
    ],
)
def test_how_training_ended(trained, model, ended_by):
    ended, folder, _ = trained(model)
    assert (ended.ended_by, ended.step) == (ended_by, model.end)
    assert folder.read_json("status.json")["training"]["ended_by"] == ended_by
    assert (folder / "model").is_dir()
    assert (folder / "checkpoints" / f"step_{model.end:08d}.pt").is_file()


def test_the_budget_ends_it(trained):
    assert trained(Played(end=100), max_time="0.000001s")[0].ended_by == "max_time"


def test_alarms_stand_in_the_history_and_are_told_once(trained):
    _, folder, said = trained(Played(end=60, alarms={20: [ALARM, ALARM], 30: [ALARM], 50: [{**ALARM, "step": 50}]}))
    assert [len(line.get("alarms", [])) for line in folder.history()] == [0, 2, 1, 0, 1, 0]
    lines = [line for line in said.splitlines() if line.startswith("alarm")]
    assert len(lines) == 2  # at step 20, and again at 50 after a check without it
    assert lines[0] == "alarm at step 20: mode collapse. 2 of 8 regions are empty. Use R1 and R2."


def test_the_latest_alarm_stands_in_the_progress_line(capsys):
    with Progress("training", 100, every=0.0) as progress:
        progress.update(20, {"d_real": 0.5}, alarm=ALARM)
        progress.update(30, {"score": 0.25}, alarm=ALARM)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("! mode collapse (20)")
    assert "score 0.250" in lines[1]
    assert "D(real) 0.500" in lines[1]  # what was last known stays


def test_compilation_before_the_first_update_does_not_count_in_the_rate(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("reverie.experiment.progress.time.monotonic", lambda: clock[0])
    with Progress("training", 121, every=0.0) as progress:
        for step, clock[0] in ((1, 100.0), (21, 110.0), (41, 120.0)):
            progress.update(step)
    first, _, last = capsys.readouterr().err.splitlines()[:3]
    assert "left" not in first
    assert "2/s" in last
    assert "40 s left" in last


def test_an_alarm_in_words():
    assert alarm_sentence({"kind": "oscillation", "step": 1200, "evidence": "a", "remedy": ""}) == (
        "alarm at step 1,200: oscillation. a."
    )


def test_snapshot_steps_are_spaced_in_ratio_and_end_at_the_end():
    assert snapshot_steps(30_000) == [100, 313, 979, 3064, 9587, 30_000]
    assert snapshot_steps(1) == [1]
