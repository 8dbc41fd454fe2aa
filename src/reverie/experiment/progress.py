"""What a person sees while training runs: a bar on a terminal, a plain line now and then elsewhere.

A bar shows steps, rate, time left, the outputs of both players, D(real) and D(fake), or the loss of a model
without an opponent, and the latest alarm; more where the terminal is wide. Where the output is no terminal,
as in the log of a batch job, one line every few seconds says the same. Alarms are told in a sentence of
their own when they are raised. Everything goes to standard error, so that standard output
holds results only. ``NO_COLOR`` is respected by rich.
"""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from reverie.experiment.config import format_duration

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

__all__ = ["Progress", "alarm_sentence", "say"]

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
    what : The task, such as "training".
    total : Number of units, such as steps; None for a task made of stages with names, see `stage`.
    unit : Word for one unit.
    start : Units done by an earlier session.
    budget : Seconds after which the task ends whatever is left, or None.
    quiet : Whether to show nothing.
    every : Seconds between plain lines when the output is no terminal.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        *,
        unit: str = "steps",
        start: int = 0,
        budget: float | None = None,
        quiet: bool = False,
        every: float = 5.0,
    ) -> None:
        self.what, self.total, self.unit, self.start, self.budget = what, total, unit, start, budget
        self.quiet, self.every = quiet, every
        self._bar: RichProgress | None = None
        self._known: dict[str, float] = {}
        self._began = self._last = time.monotonic()
        self._done = start
        self._first: tuple[int, float] | None = None  # units done at the first update, and when

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=5),
                *([] if self.total is None else [MofNCompleteColumn()]),
                TextColumn("{task.fields[note]}"),
                TextColumn("[cyan]{task.fields[left]}"),
                TextColumn("[yellow]{task.fields[alarm]}"),
                console=Console(stderr=True),
                transient=True,
                refresh_per_second=8,
            )
            total = 1.0 if self.total is None else self.total
            self._task = self._bar.add_task(self.what, total=total, completed=self.start, note="", left="", alarm="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elapsed = time.monotonic() - self._began
        if kind is None and self.total is None:
            say(f"{self.what}: done in {format_duration(elapsed)}", quiet=self.quiet)
        elif kind is None and self._done > self.start:
            rate = (self._done - self.start) / max(elapsed, 1e-9)
            text = f"{self.what}: {self._done:,} {self.unit} in {format_duration(elapsed)} ({rate:,.0f} {self.unit}/s)"
            say(text, quiet=self.quiet)

    def update(
        self, done: int, scalars: Mapping[str, float] | None = None, *, alarm: Mapping[str, object] | None = None
    ) -> None:
        """Show that `done` units are done, the latest `scalars`, and the latest alarm."""
        self._done = done
        self._known |= scalars or {}
        now, total = time.monotonic(), self.total or 0
        self._first = self._first or (done, now)  # what precedes it, such as compilation, tells nothing of the rate
        rate = (done - self._first[0]) / max(now - self._first[1], 1e-9)
        left = (total - done) / rate if rate > 0 else float("inf")
        if self.budget is not None:
            left = min(left, max(self.budget - (now - self._began), 0.0))
        narrow = self._bar is not None and self._bar.console.width < _WIDE
        shown = [
            f"{label} {self._known[key]:.3f}" for key, label in _SHOWN[: 4 if narrow else None] if key in self._known
        ]
        note = "  ".join([*([f"{rate:,.0f}/s"] if rate > 0 else []), *shown])
        self._show(
            done,
            f"{done:,}/{total:,} {self.unit}",
            note,
            f"{format_duration(left)} left" if left < 1e8 else "",
            f"! {alarm['kind']} ({alarm['step']:,})" if alarm else "",
        )

    def stage(self, fraction: float, name: str) -> None:
        """Show the fraction that is done and the name of the stage that is being done."""
        spent = format_duration(time.monotonic() - self._began)
        spent += "" if self.budget is None else f" of at most {format_duration(self.budget)}"
        self._show(fraction, f"{100 * fraction:.0f} %", name, spent, "")

    def tell(self, sentence: str) -> None:
        """Print a sentence above the bar, or as a line of its own."""
        if self._bar is not None:
            self._bar.console.print(sentence, style="yellow", highlight=False, markup=False)
        else:
            say(sentence, quiet=self.quiet)

    def _show(self, done: float, count: str, note: str, left: str, alarm: str) -> None:
        now = time.monotonic()
        if self._bar is not None:
            note = f"{count}  {note}" if self.total is None else note  # units are counted by a column of their own
            self._bar.update(self._task, completed=done, note=note, left=left, alarm=alarm)
        elif not self.quiet and now - self._last >= self.every:
            self._last = now
            say(f"{self.what}: {count}  {note}  {left}  {alarm}".rstrip())


def alarm_sentence(alarm: Mapping[str, object]) -> str:
    """Return an alarm (kind, step, evidence, remedy) as a line: what, when, how it is known, what to do."""
    texts = [" ".join(str(alarm[key]).split()) for key in ("evidence", "remedy") if alarm.get(key)]
    sentences = " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in texts)
    return f"alarm at step {alarm['step']:,}: {alarm['kind']}. {sentences}".rstrip()
