"""Where two samples differ: shares of events by region, observables in units of their errors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reverie.plots.style import ALERT, DASHED, GENERATED, MUTED, REAL, key_above, panel, rows_down, safe_text

if TYPE_CHECKING:
    from reverie.validation.classifiers.regions import Located
    from reverie.validation.statistics.observables import ObservableMeans
    from reverie.validation.statistics.occupancy import Occupancy

__all__ = ["log_weights", "observable_means", "region_shares"]

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
            sides: tuple[tuple[float, tuple[float, float], float, dict[str, Any]], ...] = (
                (region.real, region.real_interval, -0.13, {"color": REAL, "marker": "o", "mfc": "white"}),
                (region.generated, region.generated_interval, 0.13, {"color": color, "marker": marker, "mfc": color}),
            )
            for share, (low, high), offset, look in sides:
                error = [[100 * (share - low)], [100 * (high - share)]]
                ax.errorbar(100 * share, k + offset, xerr=error, ms=4.5, lw=1.3, capsize=2, ls="", **look)
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
