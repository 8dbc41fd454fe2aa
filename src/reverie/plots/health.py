"""The health of training: the held-out score with its error, and other signs, over the checks of a run.

The score compares generated samples with events that training never saw; 0 is what a perfect generator has in
expectation, and less is better. Of several replicas the mean is drawn, and the range over them shaded. The error is
that of the comparison, not of another training. What real events score against real ones is drawn where the history
holds it (``score_real``), and the checkpoint that was kept is marked (the last with ``kept`` > 0; the lowest score
where the history does not say).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reverie.plots.style import ALERT, CRITIC, DASHED, GENERATED, MUTED, REAL, legend_above, panel
from reverie.plots.training import History, curve, step_axis

__all__ = ["best_step", "coverage", "held_out_score"]

_MARGINS = (0.165, 0.975, 0.15, 0.83)
_LEGEND = {"columnspacing": 0.9, "handletextpad": 0.4, "handlelength": 1.4}


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
    history : Records; those of checks hold "score", perhaps "score_error", "score_real" and "kept".
    alarms : Alarms, each with "step", which are drawn as marks on the axis.
    """
    steps, scores = curve(history, "score")
    if not len(steps):
        return None
    _, level = curve(history, "score_real")
    _, width = curve(history, "score_width")
    error_at, error = curve(history, "score_error")
    error = error if np.array_equal(error_at, steps) else None
    best = best_step(history)
    with panel(4.8, 2.85, _MARGINS) as (figure, ax):
        step_axis(ax, "Distance from events that training never saw", "held-out score", margin=0.02)
        if len(width):
            ax.axhspan(-2 * float(width[-1]), 2 * float(width[-1]), color=REAL, alpha=0.08, lw=0)
        # what real events score against real ones; zero, the expectation, where that was not measured
        value, label = (float(level[-1]), "real against real") if len(level) else (0.0, "perfect generator")
        ax.axhline(value, color=MUTED, lw=1.1, ls=DASHED, zorder=1, label=label)
        _shade_replicas(ax, history, "score", GENERATED)
        ax.errorbar(steps, scores, yerr=error, fmt="o-", ms=3, lw=1.2, elinewidth=0.9, color=GENERATED, label="score")
        if best is not None:
            at, kept = scores[np.argmin(np.abs(steps - best))], f"kept: step {best:,}"
            ax.plot([best], [at], "D", ms=7, mfc="none", mec=CRITIC, mew=1.6, lw=0, label=kept, zorder=5)
        if alarms:
            marks = [alarm["step"] for alarm in alarms], [0.03] * len(alarms)
            ax.plot(*marks, "^", ms=6, color=ALERT, lw=0, transform=ax.get_xaxis_transform(), label="alarm")
        # linear where noise rules and logarithmic beyond, when the scores go far beyond
        noise = 0.0 if error is None else float(np.nanmedian(error))
        near = max(2 * float(np.quantile(np.abs(scores), 0.25)), 3 * noise, 1e-6)
        if float(scores.max()) > 10 * near:
            ax.set_yscale("symlog", linthresh=near, linscale=1.5)
        legend_above(ax, **_LEGEND)
    return figure


def coverage(history: History) -> Figure | None:
    """Return how much of the real events is covered, and how many generated ones are plausible, or None."""
    parts = (("coverage", "real events covered", REAL), ("plausible", "generated events near real ones", GENERATED))
    known = [(*curve(history, key), label, color) for key, label, color in parts]
    known = [part for part in known if len(part[0])]
    if not known:
        return None
    with panel(4.8, 2.85, _MARGINS) as (figure, ax):
        step_axis(ax, "Is anything missing, is anything invented?", "share, 1 is perfect", margin=0.02)
        ax.axhline(1.0, color=MUTED, lw=1.1, ls=DASHED, zorder=1)
        for steps, values, label, color in known:
            ax.plot(steps, values, "o-", ms=2.6, lw=1.3, color=color, label=label)
        for key, _, color in parts:
            _shade_replicas(ax, history, key, color)
        ax.set_ylim(0, max(1.08, *(float(values.max()) * 1.05 for _, values, _, _ in known)))
        legend_above(ax, **_LEGEND)
    return figure


def _shade_replicas(ax: Axes, history: History, key: str, color: str) -> None:
    """Shade the range over replicas, where the history holds it."""
    steps, lowest = curve(history, f"{key}_min")
    _, highest = curve(history, f"{key}_max")
    if len(steps):
        ax.fill_between(steps, lowest, highest, color=color, alpha=0.15, lw=0, zorder=0)
