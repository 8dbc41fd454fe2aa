"""A look at a training from outside: a logger, a metric or a stopping rule of the user's own, and four ready ones.

    class Patience(reverie.training.Callback):
        def on_check(self, check):
            return check.scalars.get("held_out_loss", 0.0) > 5.0      # True ends training

    model.fit(X, callbacks=[Patience(), reverie.training.TensorBoard("logs/first")])

Callbacks see what training reports and draw no random numbers of its own, so a training takes the same steps with and
without them, unless one ends it. They are not part of a saved state: give them again to a run that is resumed.

`TensorBoard`, `MLflow`, `WandB` and `ProgressBar` take the mean scalars of every window of steps under the names of the
history, alarms as text, and options of the model at the end. The library behind one is imported when it is made.
"""

import html
import sys
import time
from pathlib import Path
from typing import Any

from reverie.core.errors import MissingDependencyError
from reverie.training.loop import Record
from reverie.training.monitor import Check

__all__ = ["Callback", "MLflow", "ProgressBar", "TensorBoard", "WandB"]


class Callback:
    """What is called while a model trains; write those of the three methods that you need."""

    def on_record(self, record: Record) -> bool | None:
        """Look at the mean scalars and the alarms of a window of steps; return True to end training after it."""

    def on_check(self, check: Check) -> bool | None:
        """Look at a check of the model's health on held-out events; return True to end training after it.

        It has scalars and alarms, and says whether the state became the best so far; with replicas, one call for each.
        """

    def on_end(self, model: object) -> None:
        """Look at the model after training; it can be drawn from and saved."""


def _options(model: Any) -> dict[str, str]:
    return {name: str(value) for name, value in model.get_params(deep=False).items()}


class TensorBoard(Callback):
    """Writes scalars into a folder that `tensorboard --logdir FOLDER` shows.

    Parameters
    ----------
    folder : Where the event file is written; each training needs one of its own.

    Raises
    ------
    MissingDependencyError
        Without the package tensorboard.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingDependencyError("tensorboard", "tensorboard", "write TensorBoard events") from None
        self._writer = SummaryWriter(str(folder))

    def on_record(self, record: Record) -> None:
        """Write the scalars of a window, and its alarms as text."""
        for name, value in record.scalars.items():
            self._writer.add_scalar(name, value, record.step)
        for alarm in record.alarms:
            self._writer.add_text("alarms", f"{alarm.kind}: {alarm.evidence} {alarm.remedy}", record.step)
        self._writer.flush()

    def on_end(self, model: object) -> None:
        """Write the options of the model and close the file."""
        self._writer.add_text("options", "\n".join(f"    {k}: {value}" for k, value in _options(model).items()))
        self._writer.close()


class MLflow(Callback):
    """Logs scalars to the active run of MLflow, which is begun where there is none.

    Raises
    ------
    MissingDependencyError
        Without the package mlflow.
    """

    def __init__(self) -> None:
        try:
            import mlflow
        except ImportError:
            raise MissingDependencyError("mlflow", "mlflow", "log to MLflow") from None
        self._mlflow: Any = mlflow

    def on_record(self, record: Record) -> None:
        """Log the scalars of a window, and the kind of its alarms as a tag."""
        self._mlflow.log_metrics({name: float(value) for name, value in record.scalars.items()}, step=record.step)
        for alarm in record.alarms:
            self._mlflow.set_tag(f"alarm at step {alarm.step}", alarm.kind)

    def on_end(self, model: object) -> None:
        """Log the options of the model; the run is left open, for whoever began it to end."""
        self._mlflow.log_params(_options(model))


class WandB(Callback):
    """Logs scalars to a run of Weights & Biases, against the steps of the training.

    Parameters
    ----------
    run : What `wandb.init` returned; by default the active run, or one that is begun.

    Raises
    ------
    MissingDependencyError
        Without the package wandb.
    """

    def __init__(self, run: Any = None) -> None:
        try:
            import wandb
        except ImportError:
            raise MissingDependencyError("wandb", "wandb", "log to Weights & Biases") from None
        self.run: Any = run or wandb.run or wandb.init()
        self.run.define_metric("*", step_metric="step")  # steps go back after a rollback, which those of wandb may not

    def on_record(self, record: Record) -> None:
        """Log the scalars of a window, and its alarms as a summary."""
        self.run.log({"step": record.step, **record.scalars})
        for alarm in record.alarms:
            self.run.summary[f"alarm at step {alarm.step}"] = f"{alarm.kind}: {alarm.evidence}"

    def on_end(self, model: object) -> None:
        """Store the options of the model; the run is left open, for whoever began it to finish."""
        self.run.config.update(_options(model), allow_val_change=True)


class ProgressBar(Callback):
    """Shows how far training is: a bar below the cell of a notebook, elsewhere a line on standard error.

    Parameters
    ----------
    n_steps : Steps of the whole training, `max_steps` of the model.
    shown : Names of scalars that are shown beside it; by default the first three of a record.
    every : Least seconds between two changes of it.
    """

    def __init__(self, n_steps: int, *, shown: tuple[str, ...] = (), every: float = 0.2) -> None:
        self.n_steps, self.shown, self.every = n_steps, shown, every
        self._began = self._last = time.monotonic()
        self._handle: Any = None
        self._alarm = ""
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        self._in_notebook = hasattr(shell, "kernel")

    def on_record(self, record: Record) -> None:
        """Show steps, rate, time left, some scalars and the latest alarm."""
        self._alarm = record.alarms[-1].kind if record.alarms else self._alarm
        now = time.monotonic()
        if now - self._last < self.every and record.step < self.n_steps:
            return
        self._last = now
        rate = record.step / max(record.seconds, 1e-9)
        known = {
            name: record.scalars[name] for name in self.shown or list(record.scalars)[:3] if name in record.scalars
        }
        left = max(self.n_steps - record.step, 0) / max(rate, 1e-9)
        said = f"{record.step:,}/{self.n_steps:,} steps, {rate:,.0f}/s, {left:.0f} s left"
        said = ", ".join([said, *(f"{name} {value:.4g}" for name, value in known.items())])
        self._show(min(record.step / self.n_steps, 1.0), f"{said}, alarm: {self._alarm}" if self._alarm else said)

    def on_end(self, model: object) -> None:
        """Say how long it took."""
        alarms = f", alarm: {self._alarm}" if self._alarm else ""
        self._show(
            1.0, f"{getattr(model, 'n_iter_', self.n_steps):,} steps in {time.monotonic() - self._began:.1f} s{alarms}"
        )
        if not self._in_notebook:
            print(file=sys.stderr)

    def _show(self, fraction: float, said: str) -> None:
        if not self._in_notebook:
            end = "" if sys.stderr.isatty() else "\n"
            print(f"\r\033[K{said}" if sys.stderr.isatty() else said, end=end, file=sys.stderr, flush=True)
            return
        from IPython.display import HTML, display

        bar = HTML(f'<progress value="{fraction:.4f}" style="width:20em"></progress> {html.escape(said)}')
        if self._handle is None:
            self._handle = display(bar, display_id=True)
        else:
            self._handle.update(bar)
