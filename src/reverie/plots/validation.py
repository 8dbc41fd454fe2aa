"""The validation in one look: every statistic in units of its own noise, and the classifier beside chance.

A statistic t has a band [a, b] that holds the central 90 % of its permutations. Drawn is
u = (t - (a + b)/2) / ((b - a)/2), so the band is [-1, 1] for all of them; the axis is linear up to 3 and
logarithmic beyond. Hollow points are the same statistic for real against real at equal size.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.plots.style import ALERT, GENERATED, MUTED, REAL, new_figure, safe_text, style

__all__ = ["auc", "checks_in_noise_units", "choose_checks", "importances", "in_noise_units"]

if TYPE_CHECKING:
    from reverie.validation.results.result import ClassifierResult, TestResult

Row: TypeAlias = tuple["TestResult", float, float]  # the check, its value and real against real in units of its noise


def in_noise_units(value: float, low: float, high: float) -> float:
    """Return u = (value - (low + high)/2) / ((high - low)/2); nan when the band has no width."""
    half = 0.5 * (high - low)
    return (value - 0.5 * (low + high)) / half if half > 0 else float("nan")


def choose_checks(checks: Sequence["TestResult"], most: int = 24) -> list["TestResult"]:
    """Return about `most` checks at most, in their order: all that see every feature, the worst of single features."""
    features = [check for check in checks if check.feature is not None]
    room = max(1, most - (len(checks) - len(features)))
    worst = sorted(features, key=lambda check: (check.p_value, -check.value))[:room]
    return [check for check in checks if check.feature is None or any(check is kept for kept in worst)]


def checks_in_noise_units(checks: Sequence["TestResult"], *, most: int = 24) -> Figure | None:
    """Return the forest-like chart of the checks that `choose_checks` takes, or None without any."""
    rows = [row for row in map(_row, choose_checks(checks, most)) if np.isfinite(row[1])]
    if not rows:
        return None
    with style():
        figure = new_figure(10.0, 0.25 * len(rows) + 1.05)
        ax = figure.subplots()
        height = figure.get_figheight()
        figure.subplots_adjust(left=0.24, right=0.9, top=1 - 0.45 / height, bottom=0.5 / height)
        _draw_rows(ax, rows)
        _dress_rows(ax, rows)
    return figure


def auc(result: "ClassifierResult") -> Figure:
    """Return the classifier's area under the curve with its error, beside real against real and chance at 1/2."""
    rows = [("generated vs real", result.value, result.error, GENERATED, "o")]
    if np.isfinite(result.real_vs_real):
        rows.append(("real vs real", result.real_vs_real, result.real_vs_real_error, REAL, "s"))
    with style():
        figure = new_figure(4.8, 2.0)
        ax = figure.subplots()
        figure.subplots_adjust(left=0.25, right=0.8, top=0.86, bottom=0.24)
        ax.axvline(0.5, color=MUTED, lw=1.1, ls=(0, (5, 3)))
        for k, (_, value, error, color, marker) in enumerate(rows):
            known = error if error is not None and np.isfinite(error) else 0.0
            ax.barh(k, value - 0.5, left=0.5, height=0.52, color=color, alpha=0.16)
            ax.errorbar(value, k, xerr=known, fmt=marker, color=color, ms=5, lw=1.6, capsize=3)
            ax.text(1.02, k, f"{value:.3f} ± {known:.3f}", transform=ax.get_yaxis_transform(), va="center", color=color)
        ax.set_yticks(range(len(rows)), [row[0] for row in rows], color=REAL)
        ax.set_ylim(len(rows) - 0.45, -0.55)
        reach = max(abs(value - 0.5) + 2 * (error or 0.0) for _, value, error, _, _ in rows)
        ax.set_xlim(*_auc_range(reach, min(row[1] for row in rows)))
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.set_title("Can a classifier tell them apart?")
        ax.set_xlabel("area under the ROC curve (0.5: no, 1: always)")
    return figure


def importances(values: Mapping[str, float], *, most: int = 10) -> Figure | None:
    """Return what the classifier looked at, the `most` largest first, or None when nothing is known."""
    ordered = sorted(values.items(), key=lambda item: -item[1])[:most]
    if not ordered:
        return None
    with style():
        height = max(2.0, 0.2 * len(ordered) + 0.76)
        figure = new_figure(4.8, height)
        ax = figure.subplots()
        figure.subplots_adjust(left=0.3, right=0.96, top=1 - 0.28 / height, bottom=0.48 / height)
        ax.barh(range(len(ordered)), [value for _, value in ordered], height=0.62, color=GENERATED, alpha=0.75)
        ax.set_yticks(range(len(ordered)), [safe_text(name, 22) for name, _ in ordered])
        ax.set_ylim(len(ordered) - 0.4, -0.6)
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.set_title("Where it finds its evidence")
        ax.set_xlabel("loss of AUC when the column is shuffled")
    return figure


def _row(check: "TestResult") -> Row:
    band = check.noise_low, check.noise_high
    reference = float("nan") if check.real_vs_real is None else check.real_vs_real
    return check, in_noise_units(check.value, *band), in_noise_units(reference, *band)


def _draw_rows(ax: Axes, rows: Sequence[Row]) -> None:
    ax.axvspan(-1, 1, color=REAL, alpha=0.08, lw=0)
    ax.axvline(0, color="#c3cad3", lw=0.8)
    for k, (check, value, reference) in enumerate(rows):
        alert = check.distinguishes
        color = ALERT if alert else GENERATED
        ax.plot([0, value], [k, k], color=color, lw=1.1, alpha=0.45)
        ax.plot(reference, k, "o", mfc="white", mec=REAL, mew=1.1, ms=4.5, zorder=3)
        ax.plot(value, k, "D" if alert else "o", color=color, ms=5, zorder=4)
        text = f"p = {check.p_adjusted:.2g}" if check.p_adjusted is not None else ""
        ax.text(1.02, k, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=color)


def _dress_rows(ax: Axes, rows: Sequence[Row]) -> None:
    labels = [c.name if not c.feature else f"{c.name} · {c.feature}" for c, _, _ in rows]
    ax.set_yticks(range(len(rows)), [safe_text(label, 36) for label in labels])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xscale("symlog", linthresh=3, linscale=1.6)
    most = max(4.0, *(abs(u) for _, a, b in rows for u in (a, b) if np.isfinite(u)))
    least = min(-1.4, *(u for _, a, b in rows for u in (a, b) if np.isfinite(u)))
    ax.set_xlim(1.25 * least, 1.35 * most)
    ticks = [
        t for t in (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100, 300, 1000, 3000) if 1.25 * least <= t <= 1.35 * most
    ]
    ax.set_xticks(ticks, [f"{t:,}".replace("-", "−") for t in ticks])
    ax.set_xticks([], minor=True)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("distance from the noise, in half widths of its 90 % band")
    at = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 8.5, "annotation_clip": False}
    ax.annotate("● compatible", (0, 1), (0, 8), color=GENERATED, **at)
    ax.annotate("◆ distinguishes", (0.33, 1), (0, 8), color=ALERT, **at)
    ax.annotate("○ real against real", (0.62, 1), (0, 8), color=REAL, **at)


def _auc_range(reach: float, least: float) -> tuple[float, float]:
    high = next((edge for edge in (0.6, 0.7, 0.8, 0.9) if 0.5 + reach < edge - 0.01), 1.0)
    return min(0.48, least - 0.04), high
