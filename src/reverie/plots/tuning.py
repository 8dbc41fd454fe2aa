"""A search for good options: the trials in their order, and their scores against one option.

Trials far worse than the others would flatten the picture. The axis reaches from the best trial to the third quartile
and a margin beyond, and holds the default; what lies farther out is a triangle at the edge, and what has no
score is a cross there.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.plots.style import ALERT, CRITIC, DASHED, GENERATED, MUTED, REAL, panel, safe_text

__all__ = ["Trial", "history", "slice_of"]


@dataclass(frozen=True)
class Trial:
    """One trial: its number (0 is the default), score or None, half length of its bar, and whether it is the winner."""

    number: int
    value: float | None
    error: float | None = None
    is_best: bool = False


def history(trials: Sequence[Trial], *, y_label: str, larger_is_better: bool, ax: Axes | None = None) -> Figure:
    """Return the scores of the trials in their order, and the best so far.

    Parameters
    ----------
    trials : Trials in any order.
    y_label : What the score is.
    larger_is_better : Whether a larger score is better.
    """
    scored = sorted((t for t in trials if t.value is not None), key=lambda t: t.number)
    with panel(10.0, 3.1, (0.09, 0.98, 0.15, 0.95), ax) as (figure, ax):
        if scored:
            best = np.maximum if larger_is_better else np.minimum
            numbers, values = [t.number for t in scored], np.array([t.value for t in scored], dtype=float)
            ax.plot(numbers, best.accumulate(values), drawstyle="steps-post", color=CRITIC, lw=1.3, label="best so far")
        _draw_trials(ax, trials, {t.number: t.number for t in trials}, larger_is_better=larger_is_better)
        ax.set_xlabel("trial", labelpad=3)
        ax.set_ylabel(safe_text(y_label, 40))
        ax.set_xlim(-0.6, max((t.number for t in trials), default=0) + 0.6)
        ax.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    return figure


def slice_of(
    trials: Sequence[Trial],
    values: Mapping[int, object],
    *,
    name: str,
    scale: str,
    y_label: str,
    larger_is_better: bool,
    ax: Axes | None = None,
) -> Figure:
    """Return the scores against one option.

    Parameters
    ----------
    trials : Trials in any order.
    values : Values of the option, by the number of the trial.
    name : Name of the option.
    scale : "linear", "log", or "choice" for words, which stand side by side.
    y_label, larger_is_better : As in `history`.
    """
    with panel(4.8, 2.85, (0.18, 0.975, 0.17, 0.95), ax) as (figure, ax):
        places = _places(ax, values, scale)
        _draw_trials(ax, trials, places, larger_is_better=larger_is_better)
        ax.set_xlabel(safe_text(name, 40), labelpad=3)
        ax.set_ylabel(safe_text(y_label, 32))
        ax.yaxis.set_major_locator(MaxNLocator(5))
    return figure


def _places(ax: Axes, values: Mapping[int, object], scale: str) -> dict[int, float]:
    """Return where each trial stands, and dress the axis."""
    if scale == "choice":
        words = list(dict.fromkeys(str(values[k]) for k in sorted(values) if values[k] is not None))
        numbers = {word: re.match(r"[-+]?[\d.]+(e[-+]?\d+)?", word) for word in words}
        # by the number that a word begins with, words without one last
        words.sort(key=lambda word: (1, 0.0, word) if (n := numbers[word]) is None else (0, float(n[0]), word))
        ax.set_xticks(range(len(words)), [safe_text(word, 14) for word in words])
        ax.set_xlim(-0.6, len(words) - 0.4)
        rank = {word: k for k, word in enumerate(words)}
        return {number: rank[str(value)] for number, value in values.items() if value is not None}
    numeric = {k: float(v) for k, v in values.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    if all(float(v).is_integer() for v in numeric.values()) and scale != "log":
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    if scale == "log":
        ax.set_xscale("log")
        return {number: value for number, value in numeric.items() if value > 0}
    return numeric


def _draw_trials(ax: Axes, trials: Sequence[Trial], places: Mapping[int, float], *, larger_is_better: bool) -> None:
    """Draw the trials at their `places`, a line at the default, and the limits that the head of this file describes."""
    values = np.array([t.value for t in trials if t.value is not None], dtype=float)
    low, high = 0.0, 1.0
    if len(values):
        best, far = values.max(), np.quantile(values, 0.25)
        if not larger_is_better:
            best, far = values.min(), np.quantile(values, 0.75)
        shown = [(t.value, t.error or 0.0) for t in trials if t.value is not None and (t.is_best or t.number == 0)]
        edges = [best, far, *(value + sign * error for value, error in shown for sign in (-1, 1))]
        margin = 0.25 * (max(edges) - min(edges)) or 0.05 * abs(max(edges)) or 1.0
        low, high = float(min(edges) - margin), float(max(edges) + margin)
    ax.set_ylim(low, high)
    edge = low + 0.03 * (high - low) if larger_is_better else high - 0.03 * (high - low)
    for trial in trials:
        if trial.number == 0 and trial.value is not None:
            ax.axhline(trial.value, color=MUTED, lw=1.1, ls=DASHED, zorder=1)
        if trial.number not in places:
            continue
        x = places[trial.number]
        if trial.value is None:
            ax.plot(x, edge, "x", color=ALERT, ms=4.5, mew=1.1, zorder=3)
        elif not low <= trial.value <= high:
            ax.plot(x, edge, "v" if larger_is_better else "^", color=MUTED, ms=4.5, zorder=3)
        else:
            marker, fill, color = ("s", "white", REAL) if trial.number == 0 else ("o", GENERATED, GENERATED)
            error = trial.error if trial.error is not None and math.isfinite(trial.error) else None
            ax.errorbar(x, trial.value, yerr=error, fmt=marker, mfc=fill, color=color, ms=4.5, lw=1.1, zorder=4)
            if trial.is_best:
                ax.plot(x, trial.value, "o", mfc="none", color=CRITIC, mew=1.4, ms=10, zorder=5)
