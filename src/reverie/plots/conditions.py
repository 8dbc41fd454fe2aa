"""Samples by condition: images label by label, and columns of a table against what they were asked for.

A profile shows, in each bin of the condition, the median and the central 68.3 % of a column for real and for
generated events: where the two part, the model has not understood the condition. The error of a median
of n values is taken as sqrt(pi / 2) sd / sqrt(n), that of a normal law (Kendall and Stuart, volume 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.plots.images import as_pictures, draw_grid, intensity_limits
from reverie.plots.style import (
    GENERATED,
    REAL,
    axis_label,
    divide_ticks,
    new_figure,
    power_of_ten,
    safe_text,
    style,
)

__all__ = ["Condition", "condition_bins", "label_rows", "profile"]

_N_BINS = 8
_MOST_LEVELS, _MOST_ROWS = 12, 12
_LOW, _HIGH = 0.1587, 0.8413  # one standard deviation of a normal law
_FEWEST = 5


@dataclass(frozen=True)
class Condition:
    """One condition of real and of generated events.

    Parameters
    ----------
    name, unit : of the condition.
    real, generated : its values (n,) row by row.
    levels : words by value for a category, or None for a number.
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
    real, generated : stacks as in `reverie.plots.images.as_pictures`, one image per row of `condition`.
    condition : the label of each image.
    n_real, n_generated : images in a row.
    kind : "spin" for two-valued lattices, else "pixel".
    """
    stacks = as_pictures(real), as_pictures(generated)
    limits = intensity_limits(stacks[0] if len(stacks[0]) else stacks[1])
    rows = condition.bins(_MOST_ROWS)
    height, width = stacks[1].shape[1:3]
    with style():
        row_height = (9.0 / (n_real + n_generated + 1)) * height / width + 0.05
        figure = new_figure(10.2, row_height * len(rows) + 0.3)
        axes = figure.subplots(len(rows), 2, squeeze=False, width_ratios=[n_real, n_generated])
        top = 1 - 0.3 / figure.get_figheight()
        figure.subplots_adjust(left=0.1, right=0.997, top=top, bottom=0.005, hspace=0.06, wspace=0.04)
        for row, (label, *masks) in zip(axes, rows, strict=True):
            for ax, stack, mask, across in zip(row, stacks, masks, (n_real, n_generated), strict=True):
                _draw_row(ax, stack[mask][:across], across, limits, kind)
            text = f"{safe_text(condition.name, 12)} {safe_text(label, 12)}"
            row[0].annotate(text, (0, 0.5), (-8, 0), xycoords="axes fraction", textcoords="offset points",
                            ha="right", va="center", fontweight="bold", annotation_clip=False)  # fmt: skip
        for ax, title, color in zip(axes[0], ("real", "generated"), (REAL, GENERATED), strict=True):
            ax.set_title(title, color=color, fontsize=11)
    return figure


def profile(
    real: np.ndarray, generated: np.ndarray, condition: Condition, *, name: str = "x", unit: str = ""
) -> Figure:
    """Return the median and the central 68 % of one column in bins of a condition.

    Parameters
    ----------
    real, generated : the column, (n,) and (m,), row by row with those of `condition`.
    condition : what the events are conditioned on.
    name, unit : of the column.
    """
    bins = condition.bins()
    with style():
        figure = new_figure(3.15, 2.5)
        ax = figure.subplots()
        figure.subplots_adjust(left=0.16, right=0.975, top=0.86, bottom=0.19)
        sides = ((real, 1, REAL, "o", -0.1, "real"), (generated, 2, GENERATED, "s", 0.1, "generated"))
        for values, which, color, marker, shift, label in sides:
            at = [_place(condition, k, part, shift) for k, part in enumerate(bins)]
            numbers = [_summary(values[part[which]]) for part in bins]
            _draw_side(ax, np.array(at), np.array(numbers), color=color, marker=marker, label=label)
        _dress(ax, condition, bins, axis_label(name, unit))
    return figure


def _draw_row(ax: Axes, pictures: np.ndarray, across: int, limits: tuple[float, float], kind: str) -> None:
    if len(pictures):
        blank = np.full((across - len(pictures), *pictures.shape[1:]), np.nan)
        draw_grid(ax, np.concatenate([pictures, blank]), across, limits=limits, kind=kind)
    ax.set_axis_off()


def _place(condition: Condition, k: int, part: tuple[str, np.ndarray, np.ndarray], shift: float) -> float:
    if condition.levels is not None:
        return k + shift
    return float(np.median(condition.real[part[1]])) if part[1].any() else np.nan


def _summary(values: np.ndarray) -> tuple[float, float, float, float]:
    """Return median, its error, and the ends of the central 68 % of values (n,); nan for fewer than 5."""
    if len(values) < _FEWEST:
        return np.nan, np.nan, np.nan, np.nan
    low, median, high = np.quantile(values, [_LOW, 0.5, _HIGH])
    error = np.sqrt(np.pi / 2) * values.std(ddof=1) / np.sqrt(len(values))
    return float(median), float(error), float(low), float(high)


def _draw_side(ax: Axes, at: np.ndarray, numbers: np.ndarray, *, color: str, marker: str, label: str) -> None:
    median, error, low, high = numbers.T
    ax.errorbar(at, median, yerr=error, fmt=marker, ms=3.4, lw=1.4, color=color, label=label, zorder=3)
    ax.plot(at, low, color=color, lw=1.0, ls=(0, (4, 2)), alpha=0.75)
    ax.plot(at, high, color=color, lw=1.0, ls=(0, (4, 2)), alpha=0.75)


def _dress(ax: Axes, condition: Condition, bins: Sequence[tuple], y_label: str) -> None:
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, columnspacing=1.2, borderpad=0.1)
    ax.set_ylabel(y_label, fontweight="bold")
    ax.yaxis.set_major_locator(MaxNLocator(5))
    if condition.levels is not None:
        ax.set_xticks(range(len(bins)), [safe_text(label, 8) for label, *_ in bins])
        ax.set_xlabel(axis_label(condition.name, condition.unit), loc="left", fontweight="bold", labelpad=3)
        return
    power = power_of_ten(float(condition.real.min()), float(condition.real.max()))
    ax.xaxis.set_major_locator(MaxNLocator(6))
    divide_ticks(ax.xaxis, power)
    ax.set_xlabel(axis_label(condition.name, condition.unit, power=power), loc="left", fontweight="bold", labelpad=3)
