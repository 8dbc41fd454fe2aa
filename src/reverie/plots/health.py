"""The health of training: the held-out score with its error, and other signs, over the checks of a run.

The score compares generated samples with events that training never saw; 0 is what a perfect generator has in
expectation, and less is better. Of several replicas the mean is drawn, and the range over them shaded. The error is
that of the comparison, not of another training. What real events score against real ones is drawn where the
history holds it (``score_real``), and the checkpoint that was kept is marked (the last with ``kept`` > 0; the lowest
score where the history does not say).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.plots.style import ALERT, CRITIC, GENERATED, MUTED, REAL, new_figure, style
from reverie.plots.training import History, curve

__all__ = ["best_step", "coverage", "held_out_score"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 0.165, 0.975, 0.83, 0.15


def best_step(history: History) -> int | None:
    """Return the step of the checkpoint that was kept, or None when nothing was checked."""
    steps, scores = curve(history, "score")
    if not len(steps):
        return None
    kept_at, kept = curve(history, "kept")
    if (kept > 0).any():
        return int(kept_at[kept > 0][-1])
    return int(steps[np.argmin(scores)])


def held_out_score(history: History, alarms: Sequence[dict[str, Any]] = ()) -> Figure | None:
    """Return the held-out score with its error against the step, or None when the history has none.

    Parameters
    ----------
    history : records; those of checks hold "score", perhaps "score_error", "score_real" and "kept".
    alarms : each with "step"; drawn as marks on the axis.
    """
    steps, scores = curve(history, "score")
    if not len(steps):
        return None
    with style():
        figure, ax = _panel("Distance from events that training never saw", "held-out score")
        _draw_reference(ax, history)
        _draw_band(ax, history, "score", GENERATED)
        error = _matching(history, "score_error", steps)
        ax.errorbar(steps, scores, yerr=error, fmt="o-", ms=3, lw=1.2, elinewidth=0.9, color=GENERATED, label="score")
        _mark_best(ax, steps, scores, best_step(history))
        _mark_alarms(ax, alarms)
        _choose_scale(ax, scores, 0.0 if error is None else float(np.nanmedian(error)))
        _legend(ax)
    return figure


def coverage(history: History) -> Figure | None:
    """Return how much of the real events is covered, and how many generated ones are plausible, or None."""
    parts = [("coverage", "real events covered", REAL), ("plausible", "generated events near real ones", GENERATED)]
    known = [(curve(history, key), label, color) for key, label, color in parts]
    known = [part for part in known if len(part[0][0])]
    if not known:
        return None
    with style():
        figure, ax = _panel("Is anything missing, is anything invented?", "share, 1 is perfect")
        ax.axhline(1.0, color=MUTED, lw=1.1, ls=(0, (5, 3)), zorder=1)
        for (steps, values), label, color in known:
            ax.plot(steps, values, "o-", ms=2.6, lw=1.3, color=color, label=label)
        for key, _, color in parts:
            _draw_band(ax, history, key, color)
        ax.set_ylim(0, max(1.08, *(float(values.max()) * 1.05 for (_, values), _, _ in known)))
        _legend(ax)
    return figure


def _panel(title: str, y_label: str) -> tuple[Figure, Axes]:
    figure = new_figure(4.8, 2.85)
    ax = figure.subplots()
    figure.subplots_adjust(left=_LEFT, right=_RIGHT, top=_TOP, bottom=_BOTTOM)
    ax.set_title(title, pad=22)
    ax.set_xlabel("training step", labelpad=3)
    ax.set_ylabel(y_label)
    ax.margins(x=0.02)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    return figure, ax


def _draw_reference(ax: Axes, history: History) -> None:
    """Draw what real events score against real ones; zero, the expectation, where that was not measured."""
    _, level = curve(history, "score_real")
    _, width = curve(history, "score_width")
    if len(width):
        ax.axhspan(-2 * float(width[-1]), 2 * float(width[-1]), color=REAL, alpha=0.08, lw=0)
    value = float(level[-1]) if len(level) else 0.0
    label = "real against real" if len(level) else "perfect generator"
    ax.axhline(value, color=MUTED, lw=1.1, ls=(0, (5, 3)), zorder=1, label=label)


def _draw_band(ax: Axes, history: History, key: str, color: str) -> None:
    """Shade the range over replicas, where the history holds it."""
    steps, lowest = curve(history, f"{key}_min")
    _, highest = curve(history, f"{key}_max")
    if len(steps):
        ax.fill_between(steps, lowest, highest, color=color, alpha=0.15, lw=0, zorder=0)


def _matching(history: History, key: str, steps: np.ndarray) -> np.ndarray | None:
    at, values = curve(history, key)
    return values if len(at) == len(steps) and np.array_equal(at, steps) else None


def _mark_best(ax: Axes, steps: np.ndarray, scores: np.ndarray, best: int | None) -> None:
    if best is None:
        return
    value = scores[np.argmin(np.abs(steps - best))]
    ax.plot([best], [value], "D", ms=7, mfc="none", mec=CRITIC, mew=1.6, lw=0, label=f"kept: step {best:,}", zorder=5)


def _mark_alarms(ax: Axes, alarms: Sequence[dict[str, Any]]) -> None:
    if alarms:
        at = [alarm["step"] for alarm in alarms]
        ax.plot(at, [0.03] * len(at), "^", ms=6, color=ALERT, lw=0, transform=ax.get_xaxis_transform(), label="alarm")


def _choose_scale(ax: Axes, scores: np.ndarray, error: float) -> None:
    """Take a scale that is linear where noise rules and logarithmic beyond, when the scores go far beyond."""
    near = max(2 * float(np.quantile(np.abs(scores), 0.25)), 3 * error, 1e-6)
    if float(scores.max()) > 10 * near:
        ax.set_yscale("symlog", linthresh=near, linscale=1.5)


def _legend(ax: Axes) -> None:
    spaces = {"columnspacing": 0.9, "borderpad": 0.1, "handletextpad": 0.4, "handlelength": 1.4}
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, **spaces)
