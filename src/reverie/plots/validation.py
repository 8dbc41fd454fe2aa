"""The validation: every statistic in units of its own noise, the classifier beside chance, and where samples differ.

A statistic t has a band [a, b] that holds the central 90 % of its permutations. Drawn is
u = (t - (a + b)/2) / ((b - a)/2), so the band is [-1, 1] for all of them; the axis is linear up to 3 and logarithmic
beyond. Hollow points are the same statistic for real against real at equal size.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.plots.style import ALERT, DASHED, GENERATED, MUTED, REAL, key_above, panel, rows_down, safe_text

__all__ = [
    "auc",
    "checks_in_noise_units",
    "choose_checks",
    "importances",
    "in_noise_units",
    "log_weights",
    "observable_means",
    "region_shares",
]

if TYPE_CHECKING:
    from reverie.validation.classifiers.regions import Located
    from reverie.validation.results.tests import ClassifierResult, TestResult
    from reverie.validation.statistics.observables import ObservableMeans
    from reverie.validation.statistics.occupancy import Occupancy

_TICKS = (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100, 300, 1000, 3000)


def in_noise_units(value: float | None, low: float, high: float) -> float:
    """Return u = (value - (low + high)/2) / ((high - low)/2); nan for no value, or a band without width."""
    half = 0.5 * (high - low)
    return (value - 0.5 * (low + high)) / half if value is not None and half > 0 else float("nan")


def choose_checks(checks: Sequence["TestResult"], most: int = 24) -> list["TestResult"]:
    """Return about `most` checks at most, in their order: all that see every feature, the worst of single features."""
    features = [check for check in checks if check.feature is not None]
    room = max(1, most - (len(checks) - len(features)))
    worst = sorted(features, key=lambda check: (check.p_value, -check.value))[:room]
    return [check for check in checks if check.feature is None or any(check is kept for kept in worst)]


def checks_in_noise_units(checks: Sequence["TestResult"], *, most: int = 24, ax: Axes | None = None) -> Figure | None:
    """Return the forest-like chart of the checks that `choose_checks` takes, or None without any."""
    rows = []
    for check in choose_checks(checks, most):
        value, reference = (
            in_noise_units(t, check.noise_low, check.noise_high) for t in (check.value, check.real_vs_real)
        )
        rows += [(check, value, reference)] if np.isfinite(value) else []
    if not rows:
        return None
    height = 0.25 * len(rows) + 1.05
    with panel(10.0, height, (0.24, 0.9, 0.5 / height, 1 - 0.45 / height), ax) as (figure, ax):
        ax.axvspan(-1, 1, color=REAL, alpha=0.08, lw=0)
        ax.axvline(0, color="#c3cad3", lw=0.8)
        for k, (check, value, reference) in enumerate(rows):
            color, marker = (ALERT, "D") if check.distinguishes else (GENERATED, "o")
            ax.plot([0, value], [k, k], color=color, lw=1.1, alpha=0.45)
            ax.plot(reference, k, "o", mfc="white", mec=REAL, mew=1.1, ms=4.5, zorder=3)
            ax.plot(value, k, marker, color=color, ms=5, zorder=4)
            text = f"p = {check.p_adjusted:.2g}" if check.p_adjusted is not None else ""
            ax.text(1.02, k, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=color)
        rows_down(ax, [c.name if not c.feature else f"{c.name} · {c.feature}" for c, _, _ in rows])
        ax.set_xscale("symlog", linthresh=3, linscale=1.6)
        known = [u for _, value, reference in rows for u in (value, reference) if np.isfinite(u)]
        low, high = 1.25 * min(-1.4, *known), 1.35 * max(4.0, *np.abs(known))
        ax.set_xlim(low, high)
        ticks = [t for t in _TICKS if low <= t <= high]
        ax.set_xticks(ticks, [f"{t:,}".replace("-", "−") for t in ticks])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("distance from the noise, in half widths of its 90 % band")
        entries = [("● compatible", 0, GENERATED), ("◆ distinguishes", 0.33, ALERT)]
        key_above(ax, [*entries, ("○ real against real", 0.62, REAL)])
    return figure


def auc(result: "ClassifierResult", *, ax: Axes | None = None) -> Figure:
    """Return the classifier's area under the curve with its error, beside real against real and chance at 1/2."""
    rows = [("generated vs real", result.value, result.error, GENERATED, "o")]
    if np.isfinite(result.real_vs_real):
        rows.append(("real vs real", result.real_vs_real, result.real_vs_real_error, REAL, "s"))
    with panel(4.8, 2.0, (0.25, 0.8, 0.24, 0.86), ax) as (figure, ax):
        ax.axvline(0.5, color=MUTED, lw=1.1, ls=DASHED)
        for k, (_, value, error, color, marker) in enumerate(rows):
            known = error if error is not None and np.isfinite(error) else 0.0
            ax.barh(k, value - 0.5, left=0.5, height=0.52, color=color, alpha=0.16)
            ax.errorbar(value, k, xerr=known, fmt=marker, color=color, ms=5, lw=1.6, capsize=3)
            ax.text(1.02, k, f"{value:.3f} ± {known:.3f}", transform=ax.get_yaxis_transform(), va="center", color=color)
        rows_down(ax, [row[0] for row in rows], edge=0.45)
        ax.tick_params(axis="y", labelcolor=REAL)
        farthest = max(abs(value - 0.5) + 2 * (error or 0.0) for _, value, error, _, _ in rows)
        high = next((edge for edge in (0.6, 0.7, 0.8, 0.9) if 0.5 + farthest < edge - 0.01), 1.0)
        ax.set_xlim(min(0.48, min(row[1] for row in rows) - 0.04), high)
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.set_title("Can a classifier tell them apart?")
        ax.set_xlabel("area under the ROC curve (0.5: no, 1: always)")
    return figure


def importances(values: Mapping[str, float], *, most: int = 10, ax: Axes | None = None) -> Figure | None:
    """Return what the classifier looked at, the `most` largest first, or None when nothing is known."""
    ordered = sorted(values.items(), key=lambda item: -item[1])[:most]
    if not ordered:
        return None
    height = max(2.0, 0.2 * len(ordered) + 0.76)
    with panel(4.8, height, (0.3, 0.96, 0.48 / height, 1 - 0.28 / height), ax) as (figure, ax):
        ax.barh(range(len(ordered)), [value for _, value in ordered], height=0.62, color=GENERATED, alpha=0.75)
        rows_down(ax, [name for name, _ in ordered], longest=22)
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.set_title("Where it finds its evidence")
        ax.set_xlabel("loss of AUC when the column is shuffled")
    return figure


_FLAT = (10.0, 2.6)


def region_shares(occupancy: "Occupancy", *, most: int = 12, ax: Axes | None = None) -> Figure | None:
    """Return real and generated shares of the regions that differ most, with 95 % intervals; None without regions."""
    rows = sorted(occupancy.regions, key=lambda region: -abs(region.z))[:most]
    if not rows:
        return None
    rows = sorted(rows, key=lambda region: region.z)
    height = 0.27 * len(rows) + 1.0
    with panel(10.0, height, (0.36, 0.9, 0.48 / height, 1 - 0.4 / height), ax) as (figure, ax):
        for k, region in enumerate(rows):
            differs = region.p_adjusted <= occupancy.alpha
            color, marker = (ALERT, "D") if differs else (GENERATED, "o")
            sides = (
                (region.real, region.real_interval, -0.13, REAL, "o", "white"),
                (region.generated, region.generated_interval, 0.13, color, marker, color),
            )
            for share, (low, high), offset, edge, sign, fill in sides:
                error = [[100 * (share - low)], [100 * (high - share)]]
                look = {"color": edge, "marker": sign, "mfc": fill, "ms": 4.5, "lw": 1.3, "capsize": 2, "ls": ""}
                ax.errorbar(100 * share, k + offset, xerr=error, **look)
            at = ax.get_yaxis_transform()
            ax.text(1.02, k, f"z = {region.z:+.1f}", transform=at, va="center", fontsize=8, color=color)
        rows_down(ax, [region.name.removeprefix("the region near ") for region in rows], longest=46)
        ax.set_xlim(left=0)
        ax.set_xlabel("share of events in the region, %")
        names = [("○ real", 0, REAL), ("● generated", 0.1, GENERATED), ("◆ generated, differs", 0.25, ALERT)]
        key_above(ax, names, lift=7)
    return figure


def observable_means(observables: Sequence["ObservableMeans"], *, ax: Axes | None = None) -> Figure | None:
    """Return generated minus real of every component of the observables, in units of the error; None without any."""
    if not observables:
        return None
    with panel(*_FLAT, (0.08, 0.98, 0.26, 0.86), ax) as (figure, ax):
        ax.axhspan(-1, 1, color=REAL, alpha=0.08, lw=0)
        ax.axhline(0, color=MUTED, lw=0.9)
        start, ticks = 0, []
        for one in observables:
            x = start + np.arange(len(one.deviations))
            look, color = ("D-", ALERT) if one.distinguishes else ("o-", GENERATED)
            ax.plot(x, one.deviations, look, color=color, ms=4, lw=1.0)
            ticks.append(float(x.mean()))
            start += len(x) + 1
        slant, place = (20, "right") if len(ticks) > 6 else (0, "center")
        ax.set_xticks(ticks, [safe_text(one.name, 24) for one in observables], rotation=slant, ha=place)
        ax.set_xlim(-0.8, start - 0.2)
        largest = max(3.2, *(float(np.abs(one.deviations).max()) * 1.15 for one in observables))
        ax.set_ylim(-largest, largest)
        ax.set_ylabel("generated − real, errors")
        ax.grid(axis="y")
        ax.grid(visible=False, axis="x")
        ax.set_title("Means of observables (components of a spectrum are joined)")
    return figure


def log_weights(located: "Located", *, ax: Axes | None = None) -> Figure:
    """Return the shares of real and generated events by log w, w = p_real/p_generated from a calibrated classifier."""
    with panel(*_FLAT, (0.08, 0.98, 0.2, 0.86), ax) as (figure, ax):
        ax.stairs(located.generated, located.edges, color=GENERATED, fill=True, alpha=0.25)
        ax.stairs(located.generated, located.edges, color=GENERATED, lw=1.2)
        ax.stairs(located.real, located.edges, color=REAL, lw=1.4)
        ax.axvline(0, color=MUTED, lw=0.9, ls=DASHED)
        ax.set_xlabel("log w,   w = real density / generated density")
        ax.set_ylabel("share of events")
        ax.set_title("Too many generated events on the left, too few on the right")
        key_above(ax, [("— real", 0.86, REAL), ("■ generated", 0.91, GENERATED)], lift=7)
    return figure
