"""The stages of a run, each from and into its folder: fit, sample, validate, report.

Training is driven here and nowhere else. The model yields a record after each window of steps; the
driver appends it to the history, shows it, keeps a state every half minute, draws a few samples at
selected steps with a seed of their own, and ends training when the budget is spent or the user
asks. Between two records the model stands at the boundary of a step, so what is kept there is exact.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np

from reverie.core.errors import InputError, TrainingError
from reverie.core.random import child_seed
from reverie.data import open_sink, read
from reverie.experiment.config import RunConfig, parse_duration, read_yaml
from reverie.experiment.folder import RunFolder, write_json
from reverie.experiment.inputs import Inputs, recoded
from reverie.experiment.progress import Progress
from reverie.models.files import load_model, save_model
from reverie.training import CheckpointFolder, Record
from reverie.validation import ValidationResult, validate

__all__ = ["Interrupt", "Trained", "draw", "draw_from", "drawable", "fit", "report", "sample", "validation"]

N_SNAPSHOTS = 6
_SNAPSHOT_ROWS, _SNAPSHOT_IMAGES = 2000, 64


@dataclass(frozen=True)
class Trained:
    """How training ended: steps, seconds in all sessions, and why: max_steps, max_time or interrupted."""

    step: int
    seconds: float
    ended_by: str


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

    with (
        Interrupt() as interrupt,
        Progress("training", model.max_steps, start=start, budget=left, quiet=quiet) as progress,
    ):
        try:
            for record in model.iter_fit(inputs.train, resume=state, stop=lambda: interrupt.asked or is_over()):
                keeper = keeper or _Keeper(open_folder(), model, config, spent=spent, start=start)
                keeper.take(record)
                progress.update(record.step, record.scalars)
        except TrainingError as error:
            raise _with_checkpoint(error, keeper) from None
    if keeper is None:  # the state was that of the last step
        keeper = _Keeper(open_folder(), model, config, spent=spent, start=start)
    ended_by = "max_steps" if keeper.step >= model.max_steps else "interrupted" if interrupt.asked else "max_time"
    return keeper.finish(ended_by)


class _Keeper:
    """Writes what a training run leaves behind."""

    def __init__(self, folder: RunFolder, model: Any, config: RunConfig, *, spent: float, start: int) -> None:
        self.folder, self.model, self.config = folder, model, config
        self.step, self.seconds = start, spent
        self.checkpoints = CheckpointFolder(folder.checkpoints)
        self._spent, self._saved_at = spent, time.monotonic()
        self._every = parse_duration(config.checkpoint_every) or 30.0
        self._targets = [s for s in snapshot_steps(model.max_steps) if s > start]

    def take(self, record: Record) -> None:
        """Keep one record, and now and then a state and a few samples."""
        self.step, self.seconds = record.step, round(self._spent + record.seconds, 3)
        self.folder.append_history({**record.to_json(), "seconds": self.seconds})
        if self._targets and record.step >= self._targets[0]:
            self._targets = [s for s in self._targets if s > record.step]
            self.snapshot()
        if time.monotonic() - self._saved_at >= self._every:
            self.checkpoint()

    def snapshot(self) -> None:
        """Draw and keep a few samples; their seed is their own, so training goes on as if nothing was drawn."""
        n = _SNAPSHOT_ROWS if len(self.model.schema_.event_shape) == 1 else _SNAPSHOT_IMAGES
        seed = child_seed(self.config.seed, "snapshot")
        blocks = list(self.model.iter_sample(n, random_state=seed))
        self.folder.write_snapshot(self.step, np.concatenate(blocks))

    def checkpoint(self) -> None:
        """Keep the training state."""
        self.checkpoints.save(self.step, self.model.training_state())
        self._saved_at = time.monotonic()

    def finish(self, ended_by: str) -> Trained:
        """Keep the last state and, unless the run was interrupted, the model."""
        self.checkpoint()
        trained = Trained(self.step, self.seconds, ended_by)
        if ended_by != "interrupted":
            if self.step not in self.folder.snapshots():
                self.snapshot()
            save_model(self.model, self.folder / "model")
        self.folder.update_status(training=asdict(trained))
        return trained


def _with_checkpoint(error: TrainingError, keeper: "_Keeper | None") -> TrainingError:
    """Return `error` with the place of the last good state, which `reverie resume` would take up."""
    latest = None if keeper is None else keeper.checkpoints.latest()
    if latest is None:
        return TrainingError(f"{error} No state had been kept yet.", step=error.step)
    return TrainingError(f"{error} Last good state: {latest}.", step=error.step, checkpoint=str(latest))


def snapshot_steps(max_steps: int) -> list[int]:
    """Return about six steps, evenly spaced on a logarithmic scale, the last one `max_steps`."""
    first = max(1.0, max_steps / 300)
    return sorted({round(step) for step in np.geomspace(first, max_steps, N_SNAPSHOTS)})


def draw(model: Any, path: Path, n: int, *, seed: int, quiet: bool = False) -> None:
    """Stream `n` samples of `model` into the file `path`, block by block, in original units."""
    schema = model.schema_
    sink = open_sink(
        path,
        names=schema.names,
        event_shape=schema.event_shape,
        dtype=schema.dtypes,
        n_total=n,
        labels={column.name: column.labels for column in schema.columns if column.labels is not None},
    )
    with sink, Progress("sampling", n, unit="samples", quiet=quiet) as bar:
        done = 0
        for block in model.iter_sample(n, random_state=seed):
            sink.write(block)
            done += len(block)
            bar.update(done)


def draw_from(model: str, path: str | Path, n: int, *, seed: int, quiet: bool = False) -> None:
    """Stream `n` samples of the model saved in a run folder or a model's own folder into the file `path`."""
    draw(load_model(model), Path(path), n, seed=seed, quiet=quiet)


def sample(folder: RunFolder, config: RunConfig, inputs: Inputs, *, quiet: bool = False) -> None:
    """Draw the samples of the run: `n_samples`, or as many as rows were held out."""
    n = config.n_samples or len(inputs.held_out)
    path = folder / f"samples.{config.samples_format}"
    draw(load_model(folder / "model"), path, n, seed=child_seed(config.seed, "samples"), quiet=quiet)


def validation(folder: RunFolder, config: RunConfig, inputs: Inputs) -> ValidationResult:
    """Compare the samples of the run with the held-out data and write `validation.json`."""
    generated = generated_values(folder, inputs)[: len(inputs.held_out)]
    result = validate(
        inputs.held_out,
        generated,
        calibration=inputs.calibration,
        random_state=child_seed(config.seed, "validation") % 2**31,
    )
    write_json(folder / "validation.json", result.to_json())
    return result


def generated_values(folder: RunFolder, inputs: Inputs) -> np.ndarray:
    """Return the samples of the run, (n_samples, *event)."""
    path = folder.samples
    if path is None:
        raise InputError(f"Expected samples in {str(folder.path)!r}, got none. Draw them: reverie resume {folder.path}")
    return recoded(read(path), inputs.source.schema)


def report(folder: RunFolder, config: RunConfig, inputs: Inputs) -> None:
    """Write `report.html` from what the folder holds."""
    from reverie.experiment.cite import references_of
    from reverie.report import write

    saved = folder.read_json("validation.json")
    if saved is None:
        raise InputError(f"Expected validation.json in {str(folder.path)!r}. Make it: reverie resume {folder.path}")
    schema = inputs.source.schema
    write(
        folder / "report.html",
        folder.history(),
        ValidationResult.from_json(saved),
        title=f"{config.model_name.upper()} on {config.data.rsplit('/', 1)[-1]}",
        real=drawable(inputs.held_out.values),
        generated=drawable(generated_values(folder, inputs)),
        names=schema.names,
        units=[column.unit for column in schema.columns],
        kinds=[column.kind for column in schema.columns],
        snapshots=[(step, drawable(values)) for step, values in folder.snapshots().items()],
        provenance=_provenance(folder),
        config=read_yaml(folder / "config.yaml"),
        environment=folder.read_json("environment.json", {}),
        references=references_of(folder),
        command=folder.command,
    )


def drawable(values: np.ndarray) -> np.ndarray:
    """Return images (n, channel, height, width) that are neither grey nor red-green-blue with channels side by side."""
    values = np.asarray(values)
    if values.ndim == 4 and values.shape[1] not in (1, 3):
        return np.concatenate(list(np.moveaxis(values, 1, 0)), axis=-1)
    return values


def _provenance(folder: RunFolder) -> dict[str, Any]:
    """Return what the report says of the data."""
    data = folder.read_json("data.json", {})
    return {key: data[key] for key in data if key != "schema"}
