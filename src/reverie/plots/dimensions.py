"""The lecture's figures: many dimensions are strange, and averages of correlated models keep a floor."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reverie.plots.style import CRITIC, DASHED, GENERATED, MUTED, REAL, panel, panels

__all__ = ["averaging", "crowding", "cube", "distances"]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reverie.core.measured import Measured
    from reverie.explore import VarianceDecomposition
    from reverie.explore.crowding import CrowdedNeighbours, CubeShares, DistanceConcentration

LEAST_SHARE = 1e-9  # a smaller share of a cube is not drawn: at 100 dimensions it is 10^-70


def cube(ball: "CubeShares", surface: "CubeShares") -> Figure:
    """Return the share of a cube in its inscribed ball, and within a distance of its surface, by dimension."""
    with _by_dimension() as (figure, left, right):
        _compared(left, ball.dimensions, ball.exact, ball.simulated, GENERATED)
        _logarithmic(left.yaxis)
        shown = ball.dimensions[ball.exact > LEAST_SHARE]
        left.set_xlim(0.9 * shown.min(), 1.3 * shown.max())
        left.set_ylim(LEAST_SHARE, 2)
        left.set_ylabel("share of the volume")
        left.set_title("Share of a cube in its inscribed ball")
        _compared(right, surface.dimensions, surface.exact, surface.simulated, CRITIC)
        right.set_ylim(0, 1.05)
        right.set_ylabel("share of the volume")
        right.set_title(f"Share within {surface.eps:g} edges of the surface")
    return figure


def distances(spread: "DistanceConcentration") -> Figure:
    """Return the relative spread of distances, and how much farther the farthest point is than the nearest."""
    with _by_dimension() as (figure, left, right):
        _compared(left, spread.dimensions, spread.limit, spread.spread, GENERATED)
        _logarithmic(left.yaxis, fine=True)
        left.set_ylabel("standard deviation / mean")
        left.set_title("Spread of distances over their mean")
        right.plot(spread.dimensions, spread.contrast, "o-", ms=4, lw=1.2, color=CRITIC)
        _logarithmic(right.yaxis)
        right.set_ylabel("contrast")
        right.set_title(f"(farthest − nearest)/nearest of {spread.n_points:,} points")
    return figure


def crowding(crowd: "CrowdedNeighbours") -> Figure:
    """Return what fits at one distance in D dimensions, and how large a picture would have to be to hold it."""
    with _by_dimension() as (figure, left, right):
        left.plot(crowd.dimensions, crowd.equidistant, "o-", ms=4, lw=1.2, color=GENERATED)
        left.axhline(crowd.picture_equidistant, color=MUTED, lw=0.9, ls=DASHED)
        _logarithmic(left.yaxis, fine=True)
        left.set_ylabel("points")
        left.set_title(f"Points equally far from each other (dashed: {crowd.picture_equidistant} in the plane)")
        right.plot(crowd.dimensions, crowd.needed_radius, "o-", ms=4, lw=1.2, color=CRITIC)
        _logarithmic(right.yaxis)
        right.set_ylabel("times the radius 2 r")
        right.set_title("How many times larger a picture would have to be")
    return figure


def averaging(whole: "VarianceDecomposition", measured: "Mapping[int, Measured]", *, ax: Axes | None = None) -> Figure:
    """Return the variance of the mean of n models: measured, predicted, and what uncorrelated models would have."""
    n = np.geomspace(1, 100, 200)
    sigma2, rho = whole.sigma2.value, whole.rho.value
    with panel(4.8, 3.4, (0.15, 0.97, 0.15, 0.9), ax) as (figure, ax):
        ax.plot(n, rho * sigma2 + (1 - rho) * sigma2 / n, "-", color=GENERATED, lw=1.5)
        ax.plot(n, sigma2 / n, ":", color=MUTED, lw=1.3)
        ax.axhline(rho * sigma2, color=CRITIC, lw=1, ls=DASHED)
        x, values = list(measured), list(measured.values())
        ax.errorbar(x, [v.value for v in values], yerr=[v.error for v in values], fmt="o", ms=4, lw=1.2, color=REAL)
        _logarithmic(ax.xaxis)
        _logarithmic(ax.yaxis, fine=True)
        ax.set_ylim(0.3 * rho * sigma2, 2 * sigma2)
        ax.set_xlabel("models averaged")
        ax.set_title("Variance of the mean of n trees")
        marks = [("● measured", REAL), ("ρσ² + (1 − ρ)σ²/n", GENERATED)]
        marks += [("σ²/n, uncorrelated", MUTED), ("ρσ², the floor", CRITIC)]
        for k, (text, color) in enumerate(marks):
            ax.text(0.98, 0.96 - 0.07 * k, text, transform=ax.transAxes, ha="right", color=color, fontsize=8.5)
    return figure


def _logarithmic(axis: Axis, *, fine: bool = False) -> None:
    """Let `axis` be logarithmic with plain numbers at the powers of ten; `fine`: at 1, 2 and 5 times them."""
    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if fine else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}" if 1e-5 <= v <= 1e5 else f"{v:.0e}"))
    axis.set_minor_formatter(NullFormatter())


@contextmanager
def _by_dimension() -> Iterator[tuple[Figure, Axes, Axes]]:
    with panels(1, 2, 9.8, 3.1, margins=(0.085, 0.985, 0.16, 0.89), wspace=0.24) as (figure, axes):
        for ax in axes[0]:
            _logarithmic(ax.xaxis)
            ax.set_xlabel("dimension D")
        yield figure, axes[0, 0], axes[0, 1]


def _compared(ax: Axes, x: np.ndarray, exact: np.ndarray, simulated: "Sequence[Measured]", color: str) -> None:
    """Draw the formula as a line and the simulation as points with errors; what hit nothing is not drawn."""
    ax.plot(x, exact, "-", color=color, lw=1.4)
    seen = [k for k, m in enumerate(simulated) if m.value > 0]
    values, errors = [simulated[k].value for k in seen], [simulated[k].error for k in seen]
    ax.errorbar(x[seen], values, yerr=errors, fmt="o", ms=4, lw=1.2, color=REAL)
