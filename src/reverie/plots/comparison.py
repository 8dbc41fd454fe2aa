"""Several runs in one look: a row for each with its value and error, real against real behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.core.measured import Measured
from reverie.plots.style import ALERT, DASHED, GENERATED, MUTED, REAL, key_above, panel, rows_down, safe_text

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


def comparison(bars: Sequence[Bar], *, statistic: str, chance: float | None = None, ax: Axes | None = None) -> Figure:
    """Return the chart of `bars`, the first on top.

    Parameters
    ----------
    bars : Rows in order; those with `is_worse` differ significantly from the first.
    statistic : What the axis shows.
    chance : A value to mark, such as 0.5 for an AUC, or None.
    """
    height = 0.34 * len(bars) + 1.15
    edges = [] if chance is None else [chance]
    with panel(10.0, height, (0.24, 0.84, 0.5 / height, 1 - 0.45 / height), ax) as (figure, ax):
        if chance is not None:
            ax.axvline(chance, color=MUTED, lw=1.1, ls=DASHED)
        for k, bar in enumerate(bars):
            color, marker = (ALERT, "D") if bar.is_worse else (GENERATED, "o")
            edges += [bar.value - (bar.error or 0.0), bar.value + (bar.error or 0.0)]
            if bar.real_vs_real is not None:
                half = bar.real_vs_real_error or 0.0
                edges += [bar.real_vs_real - half, bar.real_vs_real + half]
                ax.barh(k, 2 * half, left=bar.real_vs_real - half, height=0.8, color=REAL, alpha=0.1, lw=0)
                ax.plot(bar.real_vs_real, k, "s", mfc="white", mec=REAL, mew=1.1, ms=4.5, zorder=3)
            ax.errorbar(bar.value, k, xerr=bar.error, fmt=marker, color=color, ms=5, lw=1.6, capsize=3, zorder=4)
            text = str(Measured(bar.value, bar.error or math.nan)).replace("-", "−")
            ax.text(1.02, k, text, transform=ax.get_yaxis_transform(), va="center", color=color)
        rows_down(ax, [bar.name for bar in bars])
        ax.tick_params(axis="y", labelcolor=REAL)
        known = [x for bar in bars for x in (bar.value, bar.real_vs_real) if x is not None]
        if chance is None and min(known) > 0 and max(known) > _WIDE * min(known):
            ax.set_xscale("log")
        else:
            low, high = min(edges), max(edges)
            margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
            ax.set_xlim(low - margin, high + margin)
            ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        ax.set_xlabel(f"{safe_text(statistic)} (small is good)")
        if any(bar.error for bar in bars):
            key_above(ax, [("● not told apart from the best", 0, GENERATED), ("◆ significantly worse", 0.4, ALERT)])
        if any(bar.real_vs_real is not None for bar in bars):
            key_above(ax, [("□ real against real", 0.72, REAL)])
    return figure
