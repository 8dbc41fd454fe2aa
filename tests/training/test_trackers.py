"""Trackers write what the history holds: TensorBoard itself, the others against fakes with the same calls."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from reverie.core.errors import MissingDependencyError
from reverie.models import VAE
from reverie.training import MLflow, ProgressBar, Record, TensorBoard, WandB
from reverie.training.alarms import Alarm

ALARM = Record(40, 1.0, {"loss": 2.0}, (Alarm("overfitting", 40, "<Worse>.", "Stop."),))


@pytest.fixture(scope="module")
def events():
    return np.random.default_rng(0).normal(size=(300, 2))


def _model():
    return VAE(encoder=(8,), decoder=(8,), max_steps=30, record_every=10, n_checks=1, random_state=0)


def _history(model):
    skipped = ("step", "seconds", "alarms")
    return [(row["step"], {k: x for k, x in row.items() if k not in skipped}) for row in model.history_]


def test_tensorboard_shows_the_history(events, tmp_path):
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed (extra tensorboard)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = TensorBoard(tmp_path / "log")
    tracker.on_record(ALARM)
    model = _model().fit(events, callbacks=[tracker])
    read = EventAccumulator(str(tmp_path / "log")).Reload()
    rows = _history(model)
    for name in rows[-1][1]:
        written = {one.step: one.value for one in read.Scalars(name) if one.step != 40}
        assert written == pytest.approx({step: float(row[name]) for step, row in rows if name in row}, nan_ok=True)
    texts = {tag: read.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in read.Tags()["tensors"]}
    assert any("max_steps: 30" in text for text in texts.values())
    assert any("overfitting: <Worse>. Stop." in text for text in texts.values())


def test_mlflow_is_given_metrics_alarms_and_options(events, monkeypatch):
    logged, tags, params = [], {}, {}
    fake = SimpleNamespace(
        log_metrics=lambda metrics, step: logged.append((step, metrics)),
        set_tag=tags.__setitem__, log_params=params.update,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    model = _model().fit(events, callbacks=[MLflow()])
    assert logged == _history(model)
    MLflow().on_record(ALARM)
    assert tags == {"alarm at step 40": "overfitting"}
    assert params["max_steps"] == "30"


def test_wandb_is_given_metrics_alarms_and_options(events, monkeypatch):
    begun = []

    class Run:
        def __init__(self):
            self.logged, self.summary, self.axes, self.config = [], {}, [], self
            begun.append(self)

        def define_metric(self, name, step_metric):
            self.axes.append((name, step_metric))

        def log(self, row):
            self.logged.append(row)

        def update(self, options, allow_val_change):
            self.options = options

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=None, init=Run))
    model = _model().fit(events, callbacks=[WandB()])
    (run,) = begun
    assert [(row["step"], {k: x for k, x in row.items() if k != "step"}) for row in run.logged] == _history(model)
    assert run.axes == [("*", "step")]
    assert run.options["max_steps"] == "30"
    WandB(run).on_record(ALARM)
    assert run.summary == {"alarm at step 40": "overfitting: <Worse>."}
    assert len(begun) == 1


@pytest.mark.parametrize(
    ("make", "module"),
    [(lambda: TensorBoard("x"), "torch.utils.tensorboard"), (MLflow, "mlflow"), (WandB, "wandb")],
)
def test_a_library_that_is_missing_is_named_with_its_extra(make, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install .*\[{module.split('.')[-1]}\]"):
        make()


def test_a_line_says_how_far_training_is(events, capsys):
    _model().fit(events, callbacks=[ProgressBar(30, every=0.0, shown=("loss",))])
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["10/30", "20/30", "30/30"]
    assert "steps/s" not in lines[0]
    assert ", loss " in lines[0]
    assert lines[3].startswith("30 steps in ")


def test_a_notebook_has_one_bar_that_is_changed(events, monkeypatch):
    shown = []
    handle = SimpleNamespace(update=shown.append)
    fake = SimpleNamespace(HTML=str, display=lambda bar, display_id: shown.append(bar) or handle)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    bar = ProgressBar(30, every=0.0)
    model = _model().fit(events, callbacks=[bar])
    assert [text.split('"')[1] for text in shown] == ["0.3333", "0.6667", "1.0000", "1.0000"]
    bar.on_record(ALARM)
    assert "alarm: overfitting" in shown[-1]
    same = _model().fit(events)
    np.testing.assert_array_equal(model.sample(5, random_state=0), same.sample(5, random_state=0))
