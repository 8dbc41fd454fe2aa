"""Training as a stage of a run: the model plays, the driver keeps what it leaves behind.

Training is driven here and nowhere else. The model yields a record after each window of steps; the
driver appends it to the history, shows it, tells alarms, keeps a state every half minute, draws a few
samples at selected steps with a seed of their own, and ends training when the budget is spent or the
user asks. Between two records the model stands at the boundary of a step, so what is kept there is exact.

How training ends: "max_steps", "max_time", "interrupted" (by the user), "equilibrium" (the model says
that there is nothing more to gain) or "alarm" (with on_alarm="stop").
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np

from reverie.core.errors import TrainingError
from reverie.core.protocols import Runtime
from reverie.core.random import child_seed
from reverie.data import Dataset
from reverie.experiment.config import RunConfig, parse_duration
from reverie.experiment.drawing import drawn_rows, one_of_each_in_turn
from reverie.experiment.folder import RunFolder
from reverie.experiment.inputs import Inputs
from reverie.experiment.progress import Progress, alarm_sentence
from reverie.models.files import save_model
from reverie.training import CheckpointFolder, Record

__all__ = ["Interrupt", "Trained", "fit", "help_to_fit", "n_open_steps", "snapshot_steps"]

N_SNAPSHOTS = 6
_SNAPSHOT_ROWS, _SNAPSHOT_IMAGES = 2000, 64


@dataclass(frozen=True)
class Trained:
    """How training ended: steps, seconds in all sessions, and why (see the module docstring).

    `compiled` says whether steps were compiled, and if not why; "" in runs of earlier versions.
    """

    step: int
    seconds: float
    ended_by: str
    compiled: str = ""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return what status.json holds under "training"."""
        return cls(**{field.name: stored[field.name] for field in fields(cls) if field.name in stored})


class Interrupt:
    """Turns the first Ctrl-C (or SIGTERM) into a wish to stop, and the second into a stop at once."""

    def __init__(self) -> None:
        self.asked = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        with suppress(OSError):  # nobody may read it any more
            os.write(2, b"\nStopping after this step; Ctrl-C again quits at once.\n")


def fit(
    model: Any,
    inputs: Inputs,
    config: RunConfig,
    open_folder: Callable[[], RunFolder],
    *,
    state: dict[str, Any] | None = None,
    spent: float = 0.0,
    quiet: bool = False,
    runtime: Runtime | None = None,
) -> Trained:
    """Train `model` and keep the run in the folder that `open_folder` gives.

    The folder is asked for after the first window of steps, so input that the model refuses leaves no trace.

    Parameters
    ----------
    model : unfitted model.
    inputs : the data.
    config : budget and seed.
    open_folder : makes or opens the run folder; called once.
    state : training state to carry on from.
    spent : seconds of training in earlier sessions.
    quiet : show no progress.
    runtime : the processes that share the training, of which this is the first; None for one.

    Raises
    ------
    TrainingError
        When a loss stops being finite; names the last good checkpoint.
    """
    budget, began = parse_duration(config.max_time), time.monotonic()
    left = None if budget is None else max(budget - spent, 0.0)
    keeper: _Keeper | None = None
    start = 0 if state is None else int(state["step"])

    def is_over() -> bool:
        return left is not None and time.monotonic() - began >= left

    def new_keeper() -> _Keeper:
        return _Keeper(open_folder(), model, inputs, config, spent=spent, start=start, n_open=n_open_steps(state))

    with (
        Interrupt() as interrupt,
        Progress("training", model.max_steps, start=start, budget=left, quiet=quiet) as progress,
    ):
        train, stopped = inputs.train, False
        try:
            options = _shared(runtime) | {"resume": state, "stop": lambda: interrupt.asked or is_over()}
            for record in model.iter_fit(train.events, train.conditions, **options):
                if keeper is None:
                    keeper = new_keeper()
                    progress.tell(f"steps {getattr(model, 'compiled_', 'not compiled: the model knows no way')}")
                for alarm in keeper.take(record):
                    progress.tell(alarm_sentence(alarm))
                progress.update(record.step, record.scalars, alarm=keeper.alarm)
                stopped = interrupt.asked or is_over()  # asked here: what the model does at its end takes time too
        except TrainingError as error:
            raise _with_checkpoint(error, keeper) from None
    keeper = keeper or new_keeper()  # without a record, the state was that of the last step
    return keeper.finish(_ended_by(model, keeper, stopped=stopped, interrupted=interrupt.asked))


def help_to_fit(model: Any, inputs: Inputs, runtime: Runtime, state: dict[str, Any] | None = None) -> None:
    """Train `model` as one of the processes that keep nothing: the first one does."""
    with Interrupt() as interrupt:
        train = inputs.train
        options = _shared(runtime) | {"resume": state, "stop": lambda: interrupt.asked}
        for _ in model.iter_fit(train.events, train.conditions, **options):
            pass


def _shared(runtime: Runtime | None) -> dict[str, Any]:
    return {} if runtime is None else {"runtime": runtime}


def _ended_by(model: Any, keeper: "_Keeper", *, stopped: bool, interrupted: bool) -> str:
    if keeper.step >= model.max_steps:
        return "max_steps"
    if stopped:
        return "interrupted" if interrupted else "max_time"
    stops_on_alarm = model.get_params().get("on_alarm") == "stop"
    return "alarm" if stops_on_alarm and keeper.last_alarms() else "equilibrium"


class _Keeper:
    """Writes what a training run leaves behind."""

    def __init__(
        self,
        folder: RunFolder,
        model: Any,
        inputs: Inputs,
        config: RunConfig,
        *,
        spent: float,
        start: int,
        n_open: int,
    ) -> None:
        self.folder, self.model, self.config = folder, model, config
        self.step, self.seconds = start, spent
        self.alarm: Mapping[str, Any] | None = None
        self.checkpoints = CheckpointFolder(folder.checkpoints)
        self._standing: set[str] = set()
        self._spent, self._saved_at = spent, time.monotonic()
        self._every = parse_duration(config.checkpoint_every) or 30.0
        self._targets = [s for s in snapshot_steps(model.max_steps) if s > start - n_open]
        self._conditions = _snapshot_conditions(inputs)

    def take(self, record: Record) -> Sequence[Mapping[str, Any]]:
        """Keep one record, and now and then a state and a few samples; return the alarms that are news."""
        self.step, self.seconds = record.step, round(self._spent + record.seconds, 3)
        line = {**record.to_json(), "seconds": self.seconds}
        self.folder.append_history(line)
        if self._targets and record.step >= self._targets[0] and not record.window:
            self._targets = [s for s in self._targets if s > record.step]
            self.snapshot()
        if time.monotonic() - self._saved_at >= self._every:
            self.checkpoint()
        return self._news(line)

    def _news(self, line: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the alarms that the last check did not raise already."""
        alarms = line.get("alarms", [])
        if not alarms and "score" not in line:  # nothing was checked
            return []
        first = {alarm["kind"]: alarm for alarm in reversed(alarms)}  # several replicas may raise one kind
        news = [alarm for kind, alarm in first.items() if kind not in self._standing]
        self._standing = {alarm["kind"] for alarm in alarms}
        self.alarm = alarms[-1] if alarms else self.alarm
        return news

    def last_alarms(self) -> Sequence[Mapping[str, Any]]:
        """Return the alarms of the last record of the run."""
        history: list[Any] = self.folder.history()
        return history[-1].get("alarms", []) if history else []

    def snapshot(self) -> None:
        """Draw and keep a few samples; their seed is their own, so training goes on as if nothing was drawn."""
        n = _SNAPSHOT_ROWS if len(self.model.schema_.event_shape) == 1 else _SNAPSHOT_IMAGES
        seed = child_seed(self.config.seed, "snapshot")
        conditions = None if self._conditions is None else self._conditions.take(slice(0, n))
        self.folder.write_snapshot(self.step, drawn_rows(self.model, n, seed=seed, conditions=conditions))

    def checkpoint(self) -> None:
        """Keep the training state."""
        self.checkpoints.save(self.step, self.model.training_state())
        self._saved_at = time.monotonic()

    def finish(self, ended_by: str) -> Trained:
        """Keep the last state and, unless the run was interrupted, the model."""
        self.checkpoint()
        trained = Trained(self.step, self.seconds, ended_by, getattr(self.model, "compiled_", ""))
        if ended_by != "interrupted":
            if self.step not in self.folder.snapshot_files():
                self.snapshot()
            save_model(self.model, self.folder / "model")
        self.folder.update_status(training=asdict(trained))
        return trained


def n_open_steps(state: Mapping[str, Any] | None) -> int:
    """Return how many steps a stop left in an open window; the record of them is of no run without a break."""
    return 0 if state is None else len(state.get("window", ()))


def snapshot_steps(max_steps: int) -> list[int]:
    """Return about six steps, evenly spaced on a logarithmic scale, the last one `max_steps`."""
    first = max(1.0, max_steps / 300)
    return sorted({round(step) for step in np.geomspace(first, max_steps, N_SNAPSHOTS)})


def _snapshot_conditions(inputs: Inputs) -> Dataset | None:
    """Return the conditions of the snapshots, the same at every step: for labelled images, each label in turn."""
    conditions = inputs.conditions(_SNAPSHOT_ROWS)
    if conditions is None or inputs.source.is_one_table:
        return conditions
    return conditions.take(one_of_each_in_turn(conditions))


def _with_checkpoint(error: TrainingError, keeper: _Keeper | None) -> TrainingError:
    """Return `error` with the place of the last good state, which `reverie resume` would take up."""
    latest = None if keeper is None else keeper.checkpoints.latest()
    if latest is None:
        return TrainingError(f"{error} No state had been kept yet.", step=error.step)
    return TrainingError(f"{error} Last good state: {latest}.", step=error.step, checkpoint=str(latest))
