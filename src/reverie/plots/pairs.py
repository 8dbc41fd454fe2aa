"""Pairs of columns: real densities below the diagonal, generated above, both marginals on it.

Over each generated density lie the contours that hold 39 % and 86 % of the real data (one and two
standard deviations of a Gaussian in two dimensions): where ink and teal part, the dependence is wrong.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter

from reverie.core.bands import replica_band
from reverie.core.statistics import ks_distance
from reverie.plots.binning import bin_columns
from reverie.plots.marginals import draw_band
from reverie.plots.style import (
    GENERATED,
    GENERATED_MAP,
    REAL,
    REAL_MAP,
    axis_label,
    divide_ticks,
    panels,
    power_of_ten,
)

__all__ = ["choose_columns", "darkest_shade", "density", "draw_contours", "draw_density", "pair_edges", "pairs"]

Edges: TypeAlias = tuple[np.ndarray, np.ndarray]

_LEVELS = (0.3935, 0.8647)  # 1 - exp(-k^2 / 2) for k = 1, 2
_MOST_ROWS = 200_000


def choose_columns(real: np.ndarray, generated: np.ndarray, most: int = 6) -> list[int]:
    """Return at most `most` column numbers, ascending: all, or those with the largest KS distance.

    Parameters
    ----------
    real, generated : Rows, shape (n, feature) each; a column of one value is left out while others remain.
    most : Largest number of columns.
    """
    columns = [j for j in range(real.shape[1]) if len(np.unique(real[:1000, j])) > 1] or list(range(real.shape[1]))
    if len(columns) <= most:
        return columns
    distance = [ks_distance(real[:, j], generated[:, j]) if len(generated) else 0.0 for j in columns]
    worst = np.argsort(-np.nan_to_num(np.array(distance)), kind="stable")[:most]
    return sorted(columns[k] for k in worst)


def pair_edges(real: np.ndarray, kind: str = "continuous") -> np.ndarray:
    """Return the edges (bin + 1,) of one column (n,) in density panels: 26 to 40 bins, or one per level."""
    binned = bin_columns(real, real[:0], kind=kind)
    if binned.discrete:
        return binned.edges
    n_bins = 40 if len(real) >= 10_000 else 32 if len(real) >= 3000 else 26
    return np.linspace(binned.edges[0], binned.edges[-1], n_bins + 1)


def pairs(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    names: Sequence[str],
    units: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    columns: Sequence[int] | None = None,
    replicas: np.ndarray | None = None,
) -> Figure:
    """Return the pair plot of two tables (n, feature).

    Parameters
    ----------
    real, generated : Rows of the same features, shape (n, feature) each.
    names, units, kinds : One per feature.
    columns : Which features to show; None lets `choose_columns` take at most six.
    replicas : Samples of each replica, shape (replica, n, feature): their 68 % band on the diagonal.
    """
    chosen = list(columns) if columns is not None else choose_columns(real, generated)
    real, generated = real[:_MOST_ROWS], generated[:_MOST_ROWS]
    kind = [kinds[j] if kinds else "continuous" for j in chosen]
    edges = [pair_edges(real[:, j], k) for j, k in zip(chosen, kind, strict=True)]
    powers = [power_of_ten(e[0], e[-1]) for e in edges]
    labels = [axis_label(names[j], units[j] if units else "", 14, p) for j, p in zip(chosen, powers, strict=True)]
    size = len(chosen)
    side = 9.6 if size > 2 else 3.0 * size + 0.6
    margins = (0.075, 0.99, 0.075, 0.955)
    with panels(size, size, side, side, margins=margins, wspace=0.07, hspace=0.07) as (figure, axes):
        for (row, column), ax in np.ndenumerate(axes):
            i, j = chosen[row], chosen[column]
            pair, of_real, of_generated = (edges[column], edges[row]), real[:, [j, i]], generated[:, [j, i]]
            if row == column:
                band = None if replicas is None else replicas[..., i]
                _draw_diagonal(ax, real[:, i], generated[:, i], edges[row], band)
            elif row > column:
                draw_density(ax, of_real, pair, REAL_MAP, darkest=darkest_shade(of_real, pair))
            else:
                draw_density(ax, of_generated, pair, GENERATED_MAP, darkest=darkest_shade(of_real, pair))
                draw_contours(ax, of_real, pair, REAL)
            _dress(ax, row, column, size, labels)
            divide_ticks(ax.xaxis, powers[column])
            divide_ticks(ax.yaxis, powers[row])
        figure.text(0.075, 0.972, "■ real (below the diagonal; lines above it)", color=REAL, fontsize=9)
        figure.text(0.99, 0.972, "■ generated (above the diagonal)", color=GENERATED, fontsize=9, ha="right")
    return figure


def density(points: np.ndarray, edges: Edges) -> np.ndarray:
    """Return the fraction of `points` (n, 2) in each bin of the given edges, (bin, bin)."""
    return np.histogram2d(points[:, 0], points[:, 1], bins=list(edges))[0] / max(len(points), 1)


def draw_density(ax: Axes, points: np.ndarray, edges: Edges, colors: Colormap, *, darkest: float) -> None:
    """Draw the density of `points` (n, 2) as one pixel layer; `darkest` is the fraction per bin that is full colour.

    The shade follows the square root of the density, so that faint regions stay visible.
    """
    norm = PowerNorm(0.5, vmin=0, vmax=darkest, clip=True)
    ax.pcolormesh(edges[0], edges[1], density(points, edges).T, cmap=colors, norm=norm, rasterized=True)
    ax.set_xlim(edges[0][0], edges[0][-1])
    ax.set_ylim(edges[1][0], edges[1][-1])


def darkest_shade(real: np.ndarray, edges: Edges) -> float:
    """Return the density of `real` (n, 2) that is drawn in full colour, the same for real and generated panels."""
    filled = density(real, edges)
    filled = filled[filled > 0]
    return float(np.quantile(filled, 0.99)) if filled.size else 1.0


def draw_contours(ax: Axes, points: np.ndarray, edges: Edges, color: str) -> None:
    """Draw the contours that hold 39 % and 86 % of `points` (n, 2), from a histogram smoothed over a bin or two.

    A pair with a column of fewer than 8 bins has no contours.
    """
    if min(len(e) for e in edges) <= 8:
        return
    smooth = gaussian_filter(density(points, edges), 1.2 if len(points) > 20_000 else 1.6)
    ordered = np.sort(smooth.ravel())[::-1]
    held = np.cumsum(ordered) / max(ordered.sum(), 1e-300)
    levels = sorted({float(ordered[np.searchsorted(held, level).clip(max=len(held) - 1)]) for level in _LEVELS})
    levels = [level for level in levels if 0 < level < ordered[0]]
    if levels:
        x, y = ((e[1:] + e[:-1]) / 2 for e in edges)
        ax.contour(x, y, smooth.T, levels=levels, colors=color, linewidths=0.8, alpha=0.9)


def _draw_diagonal(
    ax: Axes, real: np.ndarray, generated: np.ndarray, edges: np.ndarray, replicas: np.ndarray | None
) -> None:
    if replicas is not None and len(replicas) > 1:
        heights = np.stack([np.histogram(x, bins=edges)[0] / max(len(x), 1) for x in replicas])
        middle, half = replica_band(heights, float(np.mean([len(x) for x in replicas])))
        draw_band(ax, edges, (np.maximum(middle - half, 0.0), middle + half))
    for values, color, filled in ((generated, GENERATED, True), (real, REAL, False)):
        counts = np.histogram(values, bins=edges)[0] / max(len(values), 1)
        if filled:
            ax.stairs(counts, edges, fill=True, color=color, alpha=0.22, lw=0)
        ax.stairs(counts, edges, color=color, lw=1.2)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(bottom=0)
    ax.grid(visible=False)


def _dress(ax: Axes, row: int, column: int, size: int, labels: Sequence[str]) -> None:
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color("#d3d9e0")
    ax.xaxis.set_major_locator(MaxNLocator(3 if size > 3 else 4, prune="both"))
    ax.yaxis.set_major_locator(MaxNLocator(3 if size > 3 else 4, prune="both"))
    ax.tick_params(labelsize=7.5, labelbottom=row == size - 1, labelleft=column == 0 and row > 0)
    if row == column:
        ax.tick_params(left=False, labelleft=False)
    if row == size - 1:
        ax.set_xlabel(labels[column], fontweight="bold")
    if column == 0:
        ax.set_ylabel(labels[row], fontweight="bold")
        ax.yaxis.set_label_coords(-0.34 if size > 3 else -0.2, 0.5)
