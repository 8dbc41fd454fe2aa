"""Where two samples differ: shares of events by region, observables in units of their errors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reverie.plots.style import ALERT, GENERATED, MUTED, REAL, new_figure, safe_text, style

if TYPE_CHECKING:
    from reverie.validation.results.result import Located
    from reverie.validation.statistics.observables import ObservableMeans
    from reverie.validation.statistics.occupancy import Occupancy, Region

__all__ = ["log_weights", "observable_means", "region_shares"]


def region_shares(occupancy: "Occupancy", *, most: int = 12) -> Figure | None:
    """Return real and generated shares of the regions that differ most, with 95 % intervals; None without regions."""
    rows = sorted(occupancy.regions, key=lambda region: -abs(region.z))[:most]
    if not rows:
        return None
    rows = sorted(rows, key=lambda region: region.z)
    with style():
        height = 0.27 * len(rows) + 1.0
        figure = new_figure(10.0, height)
        ax = figure.subplots()
        figure.subplots_adjust(left=0.36, right=0.9, top=1 - 0.4 / height, bottom=0.48 / height)
        for k, region in enumerate(rows):
            _draw_region(ax, k, region, alert=region.p_adjusted <= occupancy.alpha)
        ax.set_yticks(range(len(rows)), [safe_text(_short(region.name), 46) for region in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlim(left=0)
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.set_xlabel("share of events in the region, %")
        at = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 8.5, "annotation_clip": False}
        ax.annotate("○ real", (0, 1), (0, 7), color=REAL, **at)
        ax.annotate("● generated", (0.1, 1), (0, 7), color=GENERATED, **at)
        ax.annotate("◆ generated, differs", (0.25, 1), (0, 7), color=ALERT, **at)
    return figure


def _draw_region(ax: Axes, k: int, region: "Region", *, alert: bool) -> None:
    color = ALERT if alert else GENERATED
    pairs = (
        (region.real, region.real_interval, REAL, -0.13, "o", "white"),
        (region.generated, region.generated_interval, color, 0.13, "D" if alert else "o", color),
    )
    for share, interval, hue, offset, marker, face in pairs:
        error = [[100 * (share - interval[0])], [100 * (interval[1] - share)]]
        ax.errorbar(
            100 * share, k + offset, xerr=error, color=hue, marker=marker, mfc=face, ms=4.5, lw=1.3, capsize=2, ls=""
        )
    ax.text(1.02, k, f"z = {region.z:+.1f}", transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=color)


def observable_means(observables: Sequence["ObservableMeans"]) -> Figure | None:
    """Return generated minus real of every component of the observables, in units of the error; None without any."""
    if not observables:
        return None
    with style():
        figure = new_figure(10.0, 2.6)
        ax = figure.subplots()
        figure.subplots_adjust(left=0.08, right=0.98, top=0.86, bottom=0.26)
        ax.axhspan(-1, 1, color=REAL, alpha=0.08, lw=0)
        ax.axhline(0, color=MUTED, lw=0.9)
        start, ticks, labels = 0, [], []
        for one in observables:
            pulls = one.deviations
            x = start + np.arange(len(pulls))
            color = ALERT if one.distinguishes else GENERATED
            ax.plot(x, pulls, "D-" if one.distinguishes else "o-", color=color, ms=4, lw=1.0)
            ticks.append(float(x.mean()))
            labels.append(safe_text(one.name, 24))
            start += len(pulls) + 1
        ax.set_xticks(ticks, labels, rotation=20 if len(ticks) > 6 else 0, ha="right" if len(ticks) > 6 else "center")
        ax.set_xlim(-0.8, start - 0.2)
        reach = max(3.2, *(float(np.abs(one.deviations).max()) * 1.15 for one in observables))
        ax.set_ylim(-reach, reach)
        ax.set_ylabel("generated − real, errors")
        ax.grid(axis="y")
        ax.grid(visible=False, axis="x")
        ax.set_title("Means of observables (components of a spectrum are joined)")
    return figure


def log_weights(located: "Located") -> Figure:
    """Return the shares of real and generated events by log w, w = p_real/p_generated from a calibrated classifier."""
    with style():
        figure = new_figure(10.0, 2.6)
        ax = figure.subplots()
        figure.subplots_adjust(left=0.08, right=0.98, top=0.86, bottom=0.2)
        ax.stairs(located.generated, located.edges, color=GENERATED, fill=True, alpha=0.25)
        ax.stairs(located.generated, located.edges, color=GENERATED, lw=1.2)
        ax.stairs(located.real, located.edges, color=REAL, lw=1.4)
        ax.axvline(0, color=MUTED, lw=0.9, ls=(0, (5, 3)))
        ax.set_xlabel("log w,   w = real density / generated density")
        ax.set_ylabel("share of events")
        ax.set_title("Too many generated events on the left, too few on the right")
        at = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 8.5, "annotation_clip": False}
        ax.annotate("— real", (0.86, 1), (0, 7), color=REAL, **at)
        ax.annotate("■ generated", (0.91, 1), (0, 7), color=GENERATED, **at)
    return figure


def _short(name: str) -> str:
    return name.removeprefix("the region near ")
