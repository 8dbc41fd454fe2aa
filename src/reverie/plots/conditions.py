"""Samples by condition: images label by label, and columns of a table against the condition they were drawn at.

A profile shows, in each bin of the condition, the median and the central 68.3 % of a column for real and for generated
events: where the two part, the model has not understood the condition. The error of a median of n values is taken as
sqrt(pi / 2) sd / sqrt(n), that of a normal law (Kendall and Stuart, volume 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.plots.images import as_pictures, draw_grid, grey_scale
from reverie.plots.style import (
    GENERATED,
    REAL,
    axis_label,
    divide_ticks,
    legend_above,
    name_left,
    panel,
    panels,
    power_of_ten,
    safe_text,
)

__all__ = ["Condition", "condition_bins", "label_rows", "profile"]

_N_BINS = 8
_MOST_LEVELS, _MOST_ROWS = 12, 12
_CENTRAL = (0.1587, 0.5, 0.8413)  # quantiles at one standard deviation of a normal law
_FEWEST = 5  # values of which a median is drawn


@dataclass(frozen=True)
class Condition:
    """One condition of real and of generated events.

    Parameters
    ----------
    name, unit : Name and unit of the condition.
    real, generated : Its values row by row, shape (n,) each.
    levels : Words by value for a category, or None for a number.
    """

    name: str
    unit: str
    real: np.ndarray
    generated: np.ndarray
    levels: Mapping[float, str] | None = None

    def bins(self, most: int = _N_BINS) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Return (words, rows of real, rows of generated) as masks for each bin: levels, or parts of equal size."""
        if self.levels is not None:
            counts = {value: int((self.real == value).sum()) for value in self.levels}
            shown = sorted(sorted(counts, key=lambda v: -counts[v])[:_MOST_LEVELS])
            return [(str(self.levels[v]), self.real == v, self.generated == v) for v in shown]
        edges = condition_bins(self.real, most)
        parts = []
        for k, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            inside = [
                (x >= low) & ((x < high) | (k == len(edges) - 2)) & (x <= high) for x in (self.real, self.generated)
            ]
            parts.append((f"{low:.3g} … {high:.3g}", inside[0], inside[1]))
        return parts


def condition_bins(values: np.ndarray, most: int = _N_BINS) -> np.ndarray:
    """Return the edges (bin + 1,) of at most `most` bins that hold equal shares of `values` (n,)."""
    return np.unique(np.quantile(values, np.linspace(0, 1, most + 1)))


def label_rows(
    real: np.ndarray, generated: np.ndarray, condition: Condition, *, n_real: int = 6, n_generated: int = 12,
    kind: str = "pixel",
) -> Figure:  # fmt: skip
    """Return a row of images per label: some real ones on the left, generated ones on the right.

    Parameters
    ----------
    real, generated : Stacks as in `reverie.plots.images.as_pictures`, one image per row of `condition`.
    condition : The label of each image.
    n_real, n_generated : Number of images in a row.
    kind : "spin" for two-valued lattices, else "pixel".
    """
    stacks = as_pictures(real), as_pictures(generated)
    scale = grey_scale(stacks[0] if len(stacks[0]) else stacks[1])
    rows, counts = condition.bins(_MOST_ROWS), (n_real, n_generated)
    height, width = stacks[1].shape[1:3]
    tall = ((9.0 / (n_real + n_generated + 1)) * height / width + 0.05) * len(rows) + 0.3
    grid = {"hspace": 0.06, "wspace": 0.04, "width_ratios": counts}
    with panels(len(rows), 2, 10.2, tall, margins=(0.1, 0.997, 0.005, 1 - 0.3 / tall), **grid) as (figure, axes):
        for row, (label, *masks) in zip(axes, rows, strict=True):
            for ax, stack, mask, across in zip(row, stacks, masks, counts, strict=True):
                pictures = stack[mask][:across]
                if len(pictures):
                    blank = np.full((across - len(pictures), *pictures.shape[1:]), np.nan)
                    draw_grid(ax, np.concatenate([pictures, blank]), across, scale=scale, kind=kind)
                ax.set_axis_off()
            name_left(row[0], f"{safe_text(condition.name, 12)} {safe_text(label, 12)}", fontweight="bold")
        for ax, title, color in zip(axes[0], ("real", "generated"), (REAL, GENERATED), strict=True):
            ax.set_title(title, color=color, fontsize=11)
    return figure


def profile(
    real: np.ndarray,
    generated: np.ndarray,
    condition: Condition,
    *,
    name: str = "x",
    unit: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Return the median and the central 68 % of one column in bins of a condition.

    Parameters
    ----------
    real, generated : The column row by row with those of `condition`, shapes (n,) and (m,).
    condition : What the events are conditioned on.
    name, unit : Name and unit of the column.
    """
    bins, is_category = condition.bins(), condition.levels is not None
    with panel(3.15, 2.5, (0.16, 0.975, 0.19, 0.86), ax) as (figure, ax):
        sides = ((real, 1, REAL, "o", -0.1, "real"), (generated, 2, GENERATED, "s", 0.1, "generated"))
        for values, which, color, marker, shift, label in sides:
            points = np.full((len(bins), 5), np.nan)  # place, median, its error, ends of the central 68 %
            for k, part in enumerate(bins):
                column = values[part[which]]
                if len(column) >= _FEWEST:
                    points[k, [3, 1, 4]] = np.quantile(column, _CENTRAL)
                    points[k, 2] = np.sqrt(np.pi / 2) * column.std(ddof=1) / np.sqrt(len(column))
                if is_category or part[1].any():
                    points[k, 0] = k + shift if is_category else np.median(condition.real[part[1]])
            at, median, error, low, high = points.T
            ax.errorbar(at, median, yerr=error, fmt=marker, ms=3.4, lw=1.4, color=color, label=label, zorder=3)
            for edge in (low, high):
                ax.plot(at, edge, color=color, lw=1.0, ls=(0, (4, 2)), alpha=0.75)
        legend_above(ax, ncols=2)
        ax.set_ylabel(axis_label(name, unit), fontweight="bold")
        ax.yaxis.set_major_locator(MaxNLocator(5))
        power = 0 if is_category else power_of_ten(float(condition.real.min()), float(condition.real.max()))
        if is_category:
            ax.set_xticks(range(len(bins)), [safe_text(label, 8) for label, *_ in bins])
        else:
            ax.xaxis.set_major_locator(MaxNLocator(6))
            divide_ticks(ax.xaxis, power)
        x_label = axis_label(condition.name, condition.unit, power=power)
        ax.set_xlabel(x_label, loc="left", fontweight="bold", labelpad=3)
    return figure
