"""Training as a stage of a run: the session that drives the model, and what it leaves in the run folder.

Training is driven here and nowhere else. The model yields a record after each window of steps. It is appended to the
history and shown, alarms are printed, a state is kept every half minute, a few samples are drawn at selected steps
with a seed of their own, and training ends when the budget is spent or the user wants to stop. Between two records the
model stands at the boundary of a step, so what is kept there is exact.

How training ends: "max_steps", "max_time", "interrupted" (by the user), "equilibrium" (the model says
that there is nothing more to gain), "overfitting" (of few events the model has long known them by heart) or "alarm"
(with on_alarm="stop").
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from itertools import chain
from types import FrameType
from typing import Any, Self

import numpy as np

from reverie.core.errors import TrainingError
from reverie.core.protocols import Runtime
from reverie.core.random import child_seed
from reverie.core.types import State
from reverie.data import Dataset
from reverie.experiment.config import RunConfig, parse_duration
from reverie.experiment.folder import RunFolder
from reverie.experiment.inputs import Inputs
from reverie.experiment.progress import Progress, alarm_sentence
from reverie.experiment.records import TrainingEnd
from reverie.experiment.sampling import draw_rows, load_generator
from reverie.models.base import GenerativeModel
from reverie.models.files import save_model
from reverie.models.gan.augmentation import augmentation_sentence
from reverie.training import CheckpointFolder, Record, append_record

__all__ = ["Interrupt", "TrainingSession", "n_open_steps", "snapshot_steps", "start_of", "train_as_helper"]

N_SNAPSHOTS = 6
_SNAPSHOT_ROWS, _SNAPSHOT_IMAGES = 2000, 64


class Interrupt:
    """Turns the first Ctrl-C (or SIGTERM) into a wish to stop, and the second into a stop at once."""

    def __init__(self) -> None:
        self.requested = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        with suppress(OSError):  # nobody may read it any more
            os.write(2, b"\nStopping after this step; Ctrl-C again quits at once.\n")


class TrainingSession:
    """One session of training, used as a context manager: `begin`, then `keep_in` a run folder.

    The first window of steps is trained before there is a folder, so input that the model refuses leaves no trace.

    Parameters
    ----------
    model : The unfitted model.
    inputs : The data.
    config : The configuration of the run: budget, seed, time between two kept states.
    state : Training state to carry on from, or None.
    seconds_before : Seconds of training in earlier sessions.
    quiet : Whether to show no progress.
    runtime : The processes that share the training, of which this is the first; None for one.
    """

    def __init__(
        self,
        model: GenerativeModel,
        inputs: Inputs,
        config: RunConfig,
        *,
        state: State | None = None,
        seconds_before: float = 0.0,
        quiet: bool = False,
        runtime: Runtime | None = None,
    ) -> None:
        self.model, self.inputs, self.config, self.seconds_before = model, inputs, config, seconds_before
        self.step, self.seconds = 0 if state is None else int(state["step"]), seconds_before
        budget, self._began = parse_duration(config.max_time), time.monotonic()
        self._seconds_left = None if budget is None else max(budget - seconds_before, 0.0)
        self._interrupt = Interrupt()
        budget = self._seconds_left
        self._progress = Progress("training", model.n_steps, start=self.step, budget=budget, quiet=quiet)
        self._records = _records(model, inputs, state, runtime, self._stops, config.start)
        self._first: Record | None = None
        self._first_new = self.step - n_open_steps(state)  # the step after which records are of this session
        self._alarm: Mapping[str, object] | None = None  # the latest
        self._alarm_kinds: set[str] = set()  # those of the latest check

    def __enter__(self) -> Self:
        with ExitStack() as entered:
            entered.enter_context(self._interrupt)
            entered.enter_context(self._progress)
            self._entered = entered.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.__exit__(*error)

    def begin(self) -> None:
        """Train the first window of steps: what the model refuses, it refuses here."""
        try:
            self._first = next(self._records, None)  # None: the state was that of the last step
        except TrainingError as error:
            raise TrainingError(f"{error} No state had been kept yet.", step=error.step) from None
        for test in getattr(self.model, "symmetries_", ()):
            self._progress.tell(f"symmetry {test}")

    def keep_in(self, folder: RunFolder) -> TrainingEnd:
        """Train to the end; keep records, states, snapshots and the model in the run folder.

        Raises `TrainingError` when a loss stops being finite; names the last good checkpoint.
        """
        checkpoints, every = CheckpointFolder(folder.checkpoints), parse_duration(self.config.checkpoint_every) or 30.0
        stopped, saved_at = False, time.monotonic()
        self._snapshot_steps = [step for step in snapshot_steps(self.model.n_steps) if step > self._first_new]
        self._conditions = _snapshot_conditions(self.inputs)
        if self._first is not None:
            self._progress.tell(f"steps {getattr(self.model, 'compiled_', 'not compiled: the model knows no way')}")
        try:
            for record in chain([] if self._first is None else [self._first], self._records):
                for alarm in self._keep(record, folder):
                    self._progress.tell(alarm_sentence(alarm))
                if time.monotonic() - saved_at >= every:
                    checkpoints.save(self.step, self.model.training_state())
                    saved_at = time.monotonic()
                self._progress.update(record.step, record.scalars, alarm=self._alarm)
                stopped = self._stops()  # here: what the model does at its end takes time too
        except TrainingError as error:
            latest = checkpoints.latest()
            last = "No state had been kept yet." if latest is None else f"Last good state: {latest}."
            place = None if latest is None else str(latest)
            raise TrainingError(f"{error} {last}", step=error.step, checkpoint=place) from None
        if self.step >= self.model.n_steps:
            ended_by = "max_steps"
        elif stopped:
            ended_by = "interrupted" if self._interrupt.requested else "max_time"
        else:
            ends_on_alarm, history = self.model.get_params().get("on_alarm") == "stop", folder.history()
            stops = ends_on_alarm and history and history[-1].get("alarms")
            ended_by = "alarm" if stops else "equilibrium" if history and "d_loss" in history[-1] else "overfitting"
        checkpoints.save(self.step, self.model.training_state())
        compiled, augmentation = getattr(self.model, "compiled_", ""), augmentation_sentence(folder.history())
        end = TrainingEnd(self.step, self.seconds, ended_by, compiled, augmentation)
        if ended_by != "interrupted":
            if self.step not in folder.snapshot_files():
                self._write_snapshot(folder)
            save_model(self.model, folder / "model")
        folder.update_status(training=asdict(end))
        return end

    def _stops(self) -> bool:
        """Tell whether the user wants to stop or the budget is spent; training asks after every step."""
        if self._interrupt.requested:
            return True
        return self._seconds_left is not None and time.monotonic() - self._began >= self._seconds_left

    def _keep(self, record: Record, folder: RunFolder) -> Sequence[Mapping[str, object]]:
        """Write one record down, and now and then a few samples; return the alarms that are new."""
        self.step, self.seconds = record.step, round(self.seconds_before + record.seconds, 3)
        line: dict[str, Any] = {**record.to_json(), "seconds": self.seconds}
        append_record(folder / "history.jsonl", line)
        if self._snapshot_steps and record.step >= self._snapshot_steps[0] and not record.window:
            self._snapshot_steps = [step for step in self._snapshot_steps if step > record.step]
            self._write_snapshot(folder)
        alarms = line.get("alarms", [])
        if not alarms and "score" not in line:  # nothing was checked
            return []
        first = {alarm["kind"]: alarm for alarm in reversed(alarms)}  # several replicas may raise one kind
        new = [alarm for kind, alarm in first.items() if kind not in self._alarm_kinds]
        self._alarm_kinds = set(first)
        self._alarm = alarms[-1] if alarms else self._alarm
        return new

    def _write_snapshot(self, folder: RunFolder) -> None:
        """Draw and keep a few samples; their seed is their own, so training goes on as if nothing was drawn."""
        n = _SNAPSHOT_ROWS if len(self.model.schema_.event_shape) == 1 else _SNAPSHOT_IMAGES
        seed = child_seed(self.config.seed, "snapshot")
        conditions = None if self._conditions is None else self._conditions.take(slice(0, n))
        folder.write_snapshot(self.step, draw_rows(self.model, n, seed=seed, conditions=conditions))


def train_as_helper(
    model: GenerativeModel, inputs: Inputs, config: RunConfig, runtime: Runtime, state: State | None = None
) -> None:
    """Train `model` as one of the processes that keep nothing: the first one does."""
    with Interrupt() as interrupt:
        for _ in _records(model, inputs, state, runtime, lambda: interrupt.requested, config.start):
            pass


def start_of(folder: str | None) -> dict[str, Any]:
    """Return the argument of `iter_fit` for a training that starts at the model in `folder`; none without one."""
    return {} if folder is None else {"start": load_generator(folder)}


def _records(
    model: GenerativeModel,
    inputs: Inputs,
    state: State | None,
    runtime: Runtime | None,
    stop: Callable[[], bool],
    start: str | None,
) -> Iterator[Record]:
    shared: Any = ({} if runtime is None else {"runtime": runtime}) | start_of(start)  # not every model takes them
    return model.iter_fit(inputs.train.events, inputs.train.conditions, resume=state, stop=stop, **shared)


def n_open_steps(state: State | None) -> int:
    """Return how many steps a stop left in an open window; the record of them is of no run without a break."""
    return 0 if state is None else len(state.get("window", ()))


def snapshot_steps(max_steps: int) -> list[int]:
    """Return about six steps, evenly spaced on a logarithmic scale, the last one `max_steps`."""
    first = max(1.0, max_steps / 300)
    return sorted({round(step) for step in np.geomspace(first, max_steps, N_SNAPSHOTS)})


def _snapshot_conditions(inputs: Inputs) -> Dataset | None:
    """Return the conditions of the snapshots, the same at every step.

    For labelled images they go round the levels of the first categorical condition, each label in turn.
    """
    conditions = inputs.conditions(_SNAPSHOT_ROWS)
    if conditions is None or inputs.source.is_one_table:
        return conditions
    columns = conditions.schema.columns if conditions.schema.is_table else ()
    labelled = next((j for j, column in enumerate(columns) if column.levels is not None), None)
    if labelled is None:
        return conditions
    x = np.asarray(conditions.values[:, labelled])
    turn = np.empty(len(x), dtype=np.int64)
    for level in np.unique(x):
        rows = np.flatnonzero(x == level)
        turn[rows] = np.arange(len(rows))
    return conditions.take(np.lexsort((x, turn)))
