"""Several runs in one look: a row for each with its value and error, real against real behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.core.measured import Measured
from reverie.plots.style import ALERT, GENERATED, MUTED, REAL, new_figure, safe_text, style

__all__ = ["Bar", "comparison"]

_WIDE = 30.0  # largest over smallest value from which on the axis is logarithmic


@dataclass(frozen=True)
class Bar:
    """One row: a name, a value and real against real, each with its error or None, and whether it is worse."""

    name: str
    value: float
    error: float | None = None
    real_vs_real: float | None = None
    real_vs_real_error: float | None = None
    is_worse: bool = False


def comparison(bars: Sequence[Bar], *, statistic: str, chance: float | None = None) -> Figure:
    """Return the chart of `bars`, the first on top.

    Parameters
    ----------
    bars : rows in order; those with `is_worse` differ significantly from the first.
    statistic : what the axis shows.
    chance : a value to mark, such as 0.5 for an AUC, or None.
    """
    with style():
        figure = new_figure(10.0, 0.34 * len(bars) + 1.15)
        ax = figure.subplots()
        height = figure.get_figheight()
        figure.subplots_adjust(left=0.24, right=0.84, top=1 - 0.45 / height, bottom=0.5 / height)
        if chance is not None:
            ax.axvline(chance, color=MUTED, lw=1.1, ls=(0, (5, 3)))
        for k, bar in enumerate(bars):
            _draw_row(ax, k, bar)
        _dress(ax, bars, statistic, chance)
    return figure


def _draw_row(ax: Axes, k: int, bar: Bar) -> None:
    color, marker = (ALERT, "D") if bar.is_worse else (GENERATED, "o")
    if bar.real_vs_real is not None:
        half = bar.real_vs_real_error or 0.0
        ax.barh(k, 2 * half, left=bar.real_vs_real - half, height=0.8, color=REAL, alpha=0.1, lw=0)
        ax.plot(bar.real_vs_real, k, "s", mfc="white", mec=REAL, mew=1.1, ms=4.5, zorder=3)
    ax.errorbar(bar.value, k, xerr=bar.error, fmt=marker, color=color, ms=5, lw=1.6, capsize=3, zorder=4)
    text = str(Measured(bar.value, bar.error or math.nan)).replace("-", "−")
    ax.text(1.02, k, text, transform=ax.get_yaxis_transform(), va="center", color=color)


def _dress(ax: Axes, bars: Sequence[Bar], statistic: str, chance: float | None) -> None:
    ax.set_yticks(range(len(bars)), [safe_text(bar.name, 36) for bar in bars], color=REAL)
    ax.set_ylim(len(bars) - 0.4, -0.6)
    known = [x for bar in bars for x in (bar.value, bar.real_vs_real) if x is not None]
    if chance is None and min(known) > 0 and max(known) > _WIDE * min(known):
        ax.set_xscale("log")
    else:
        ax.set_xlim(*_limits(bars, chance))
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(f"{safe_text(statistic)} (small is good)")
    at = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 8.5, "annotation_clip": False}
    if any(bar.error for bar in bars):
        ax.annotate("● not told apart from the best", (0, 1), (0, 8), color=GENERATED, **at)
        ax.annotate("◆ significantly worse", (0.4, 1), (0, 8), color=ALERT, **at)
    if any(bar.real_vs_real is not None for bar in bars):
        ax.annotate("□ real against real", (0.72, 1), (0, 8), color=REAL, **at)


def _limits(bars: Sequence[Bar], chance: float | None) -> tuple[float, float]:
    """Return the range of all values with their errors, and a margin."""
    edges = [] if chance is None else [chance]
    for bar in bars:
        edges += [bar.value - (bar.error or 0.0), bar.value + (bar.error or 0.0)]
        if bar.real_vs_real is not None:
            half = bar.real_vs_real_error or 0.0
            edges += [bar.real_vs_real - half, bar.real_vs_real + half]
    low, high = min(edges), max(edges)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin
