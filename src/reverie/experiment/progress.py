"""What a person sees while training runs: a bar on a terminal, a plain line now and then elsewhere.

A bar shows steps, rate, time left, the outputs of both players, D(real) and D(fake), or the loss of a model
without an opponent, and the latest alarm; more where the terminal is wide. Where the output is no terminal,
as in the log of a batch job, one line every few seconds says the same. Alarms are told in a sentence of
their own when they are raised. Everything goes to standard error, so that standard output
holds results only. ``NO_COLOR`` is respected by rich.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from reverie.experiment.config import format_duration

__all__ = ["Progress", "StageProgress", "alarm_sentence", "describe_scalars", "say"]

_WIDE = 120  # columns from which the losses have room beside the bar
_SHOWN = (
    ("d_real", "D(real)"), ("d_fake", "D(fake)"), ("loss", "loss"), ("held_out_loss", "held out"), ("d_loss", "loss D"),
    ("g_loss", "loss G"), ("score", "score"),
)  # fmt: skip


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line on standard error unless `quiet`."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


class Progress:
    """Progress of one long task, used as a context manager.

    Parameters
    ----------
    what : the task, such as "training".
    total : number of units, such as steps.
    unit : word for one unit.
    start : units done by an earlier session.
    budget : seconds after which the task ends whatever is left, or None.
    quiet : show nothing.
    every : seconds between plain lines when the output is no terminal.
    """

    def __init__(
        self,
        what: str,
        total: int,
        *,
        unit: str = "steps",
        start: int = 0,
        budget: float | None = None,
        quiet: bool = False,
        every: float = 5.0,
    ) -> None:
        self.what, self.total, self.unit, self.start, self.budget = what, total, unit, start, budget
        self.quiet, self.every = quiet, every
        self._bar: Any = None
        self._known: dict[str, float] = {}
        self._alarm = ""
        self._began = self._last = time.monotonic()
        self._done = start

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            self._bar = _make_bar()
            self._task = self._bar.add_task(
                self.what, total=self.total, completed=self.start, note="", left="", alarm=""
            )
            self._bar.start()
        return self

    def update(
        self, done: int, scalars: Mapping[str, float] | None = None, *, alarm: Mapping[str, Any] | None = None
    ) -> None:
        """Show that `done` units are done, the latest `scalars`, and the latest alarm."""
        self._done = done
        self._known |= scalars or {}
        self._alarm = f"! {alarm['kind']} ({alarm['step']:,})" if alarm else ""
        now = time.monotonic()
        if self._bar is not None:
            shown = _SHOWN if self._bar.console.width >= _WIDE else _SHOWN[:4]
            note, left = self._note(now, shown), self._left(now)
            self._bar.update(self._task, completed=done, note=note, left=left, alarm=self._alarm)
        elif not self.quiet and now - self._last >= self.every:
            self._last = now
            self._line(now)

    def tell(self, sentence: str) -> None:
        """Print a sentence above the bar, or as a line of its own."""
        if self._bar is not None:
            self._bar.console.print(sentence, style="yellow", highlight=False, markup=False)
        else:
            say(sentence, quiet=self.quiet)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elapsed = time.monotonic() - self._began
        if kind is None and self._done > self.start:
            rate = (self._done - self.start) / max(elapsed, 1e-9)
            text = f"{self.what}: {self._done:,} {self.unit} in {format_duration(elapsed)} ({rate:,.0f} {self.unit}/s)"
            say(text, quiet=self.quiet)

    def _line(self, now: float) -> None:
        note = f"{self._note(now, _SHOWN)}  {self._left(now)}  {self._alarm}".rstrip()
        say(f"{self.what}: {self._done:,}/{self.total:,} {self.unit}  {note}")

    def _rate(self, now: float) -> float:
        return (self._done - self.start) / max(now - self._began, 1e-9)

    def _note(self, now: float, shown: Sequence[tuple[str, str]]) -> str:
        return f"{self._rate(now):,.0f}/s  {describe_scalars(self._known, shown)}".rstrip()

    def _left(self, now: float) -> str:
        rate = self._rate(now)
        left = (self.total - self._done) / rate if rate > 0 else float("inf")
        if self.budget is not None:
            left = min(left, max(self.budget - (now - self._began), 0.0))
        return f"{format_duration(left)} left" if left < 1e8 else ""


class StageProgress:
    """Progress of a task that is made of stages with names, used as a context manager.

    Parameters
    ----------
    what : the task, such as "validating".
    budget : seconds that it may take, or None.
    quiet : show nothing.
    every : seconds between plain lines when the output is no terminal.
    """

    def __init__(self, what: str, *, budget: float | None = None, quiet: bool = False, every: float = 5.0) -> None:
        self.what, self.budget, self.quiet, self.every = what, budget, quiet, every
        self._began = self._last = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            self._bar = _make_bar(counts=False)
            self._task = self._bar.add_task(self.what, total=1.0, note="", left="", alarm="")
            self._bar.start()
        return self

    def update(self, fraction: float, stage: str) -> None:
        """Show the fraction that is done and the name of the stage that is being done."""
        now = time.monotonic()
        spent = format_duration(now - self._began)
        spent += "" if self.budget is None else f" of at most {format_duration(self.budget)}"
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, note=f"{100 * fraction:.0f} %  {stage}", left=spent)
        elif not self.quiet and now - self._last >= self.every:
            self._last = now
            say(f"{self.what}: {100 * fraction:.0f} %  {stage}  {spent}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is None:
            say(f"{self.what}: done in {format_duration(time.monotonic() - self._began)}", quiet=self.quiet)


def describe_scalars(scalars: Mapping[str, float], shown: Sequence[tuple[str, str]] = _SHOWN) -> str:
    """Return the `shown` (key, label) of the scalars in one line, as far as they are there."""
    return "  ".join(f"{label} {scalars[key]:.3f}" for key, label in shown if key in scalars)


def alarm_sentence(alarm: Mapping[str, Any]) -> str:
    """Return an alarm (kind, step, evidence, remedy) as a line: what, when, how it is known, what to do."""
    sentences = " ".join(_sentence(alarm[key]) for key in ("evidence", "remedy") if alarm.get(key))
    return f"alarm at step {alarm['step']:,}: {alarm['kind']}. {sentences}".rstrip()


def _sentence(text: str) -> str:
    text = " ".join(str(text).split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _make_bar(*, counts: bool = True) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=5),
        *([MofNCompleteColumn()] if counts else []),
        TextColumn("{task.fields[note]}"),
        TextColumn("[cyan]{task.fields[left]}"),
        TextColumn("[yellow]{task.fields[alarm]}"),
        console=Console(stderr=True),
        transient=True,
        refresh_per_second=8,
    )
