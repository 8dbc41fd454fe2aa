"""Each column by itself: real points with Poisson errors, generated steps with their band, and the ratio below.

Generated counts are scaled to the size of the real sample, so the two shapes lie on each other. In the
ratio panel the grey band is the error of the real counts and the bars are those of the generated ones.
Where several replicas of a model were trained, the hatched band is the 68 % band of their spread in each bin
(`reverie.core.bands`): what another training would have given. Weighted real events are drawn as sums of weights.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

from reverie.plots.binning import Binned, bin_columns, poisson_interval
from reverie.plots.style import (
    GENERATED,
    MUTED,
    REAL,
    REPLICAS,
    axis_label,
    divide_ticks,
    new_figure,
    panels,
    power_of_ten,
    style,
)

__all__ = ["draw_band", "draw_marginal", "draw_ratio", "marginal", "marginals"]

_WIDTH, _HEIGHT = 3.15, 2.95  # inches of one panel with its ratio
_TICK = {0.25: 0.2, 0.5: 0.4, 1.0: 0.5}  # half width of the ratio axis -> distance of its ticks from 1
_MOST_LETTERS = 40  # of all words of a column together, that fit on its axis
_FEWEST = 4  # real counts below which a ratio says nothing: its error is more than half of it


def marginal(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    name: str = "x",
    unit: str = "",
    kind: str = "continuous",
    p_value: float | None = None,
    limits: tuple[float, float] | None = None,
    weights: np.ndarray | None = None,
    replicas: np.ndarray | None = None,
    words: Sequence[str] = (),
) -> Figure:
    """Return one column as a histogram with its ratio panel.

    Parameters
    ----------
    real, generated : Values of the column, shape (n,) each; an empty array leaves that sample out.
    name, unit, kind : Name, unit and kind of the column; the unit stands on the axis.
    p_value : p-value of a Kolmogorov-Smirnov test made elsewhere, printed if given.
    limits : Range to show; None takes the central 99.8 % and notes what lies outside.
    weights : Event weights of `real`, shape (n,).
    replicas : Samples of each replica, shape (replica, n), for the band.
    words : Words behind the codes 0, 1, ... of the column, which stand on the axis where they fit.
    """
    binned = bin_columns(real, generated, kind=kind, limits=limits, weights=weights, replicas=replicas)
    margins, grid = (0.14, 0.975, 0.14, 0.855), {"hspace": 0.08, "sharex": True, "height_ratios": [2.6, 1.0]}
    with panels(2, 1, _WIDTH, _HEIGHT, margins=margins, **grid) as (figure, axes):
        _draw_both(axes[0, 0], axes[1, 0], binned, name=name, unit=unit, p_value=p_value)
        if 0 < len(words) and sum(map(len, words)) <= _MOST_LETTERS:
            axes[1, 0].set_xticks(range(len(words)), words)
    return figure


def marginals(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    names: Sequence[str],
    units: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    p_values: Mapping[str, float] | None = None,
    n_across: int = 3,
    weights: np.ndarray | None = None,
    replicas: np.ndarray | None = None,
) -> Figure:
    """Return all columns of two tables (n, feature) in one figure, `n_across` panels to a row.

    Parameters
    ----------
    real, generated : Rows, shape (n, feature) each.
    names, units, kinds : One per feature.
    p_values : p-values of Kolmogorov-Smirnov tests, by name.
    n_across : Number of panels in a row.
    weights : Event weights of `real`, shape (n,).
    replicas : Samples of each replica, shape (replica, n, feature), for the bands.
    """
    n_columns = len(names)
    n_down = -(-n_columns // n_across)
    across = min(n_across, n_columns)
    with style():
        figure = new_figure(_WIDTH * across, _HEIGHT * n_down)
        outer = figure.add_gridspec(
            n_down, across, left=0.135 / across, right=1 - 0.025 / across, top=1 - 0.14 / n_down,
            bottom=0.135 / n_down, wspace=0.2, hspace=0.42,
        )  # fmt: skip
        for j, name in enumerate(names):
            cell = outer[j // n_across, j % n_across].subgridspec(2, 1, height_ratios=[2.6, 1.0], hspace=0.08)
            upper = figure.add_subplot(cell[0])
            lower = figure.add_subplot(cell[1], sharex=upper)
            column = None if replicas is None else replicas[..., j]
            kind = kinds[j] if kinds else "continuous"
            binned = bin_columns(real[:, j], generated[:, j], kind=kind, weights=weights, replicas=column)
            unit = units[j] if units else ""
            _draw_both(upper, lower, binned, name=name, unit=unit, p_value=(p_values or {}).get(name))
    return figure


def draw_marginal(ax: Axes, binned: Binned, *, p_value: float | None = None) -> None:
    """Draw the counts per bin of both samples on `ax`, with sizes, chi2/ndf and, if given, the KS p-value."""
    if binned.n_generated:
        low, high = poisson_interval(binned.generated)
        s = binned.scale
        ax.stairs(binned.generated * s, binned.edges, fill=True, color=GENERATED, alpha=0.16, lw=0)
        ax.stairs(high * s, binned.edges, baseline=low * s, fill=True, color=GENERATED, alpha=0.30, lw=0)
        ax.stairs(binned.generated * s, binned.edges, color=GENERATED, lw=1.4, label="generated")
    band = binned.replica_band()
    if band is not None:
        draw_band(ax, binned.edges, band)
    if binned.n_real:
        low, high = binned.real_interval()
        seen = binned.real != 0
        errors = np.stack([binned.real - low, high - binned.real])[:, seen]
        ax.errorbar(
            binned.centres[seen], binned.real[seen], yerr=errors, fmt="o", ms=2.6, lw=0.9, color=REAL, label="real"
        )
    heights = [binned.real, binned.generated * binned.scale]
    heights += [] if binned.replicas is None else [binned.replicas.max(axis=0)]
    tallest = max(1.0 if binned.squares is None else 0.0, *(float(np.max(x, initial=0)) for x in heights)) or 1.0
    if binned.heavy:
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_ylim(0.6, tallest * 2.5)
    else:
        lowest = 0.0 if binned.squares is None else min(0.0, float(np.min(binned.real_interval()[0], initial=0)))
        ax.set_ylim(1.1 * lowest, tallest * 1.14)
        ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlim(binned.edges[0], binned.edges[-1])

    at = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False, "fontsize": 8}
    if binned.n_real:
        weighted = "" if binned.squares is None else ", weighted"
        ax.annotate(f"● real {binned.n_real:,.0f}{weighted}", (0, 1), (0, 17), color=REAL, **at)
    if binned.n_generated:
        shaded = "" if binned.replicas is None else ", ▨ 68 %"
        text = f"▬ generated {binned.n_generated:,}{shaded}"
        ax.annotate(text, (1, 1), (0, 17), color=GENERATED, ha="right", **at)
    chi2, ndf = binned.chi_square()
    parts = [f"χ²/ndf = {chi2:.1f}/{ndf}"] if ndf else []
    parts += [f"KS p = {p_value:.3g}"] if p_value is not None else []
    ax.annotate("  ·  ".join(parts), (0, 1), (0, 5), color=MUTED, **at)
    beyond = (binned.n_real, binned.outside_real), (binned.n_generated, binned.outside_generated)
    outside = [sum(counts) for n, counts in beyond if n]
    if any(outside):
        text = "outside " + " | ".join(f"{n:,.0f}" for n in outside)
        ax.annotate(text, (1, 1), (0, 5), color=MUTED, ha="right", **at)


def draw_ratio(ax: Axes, binned: Binned) -> None:
    """Draw generated/real per bin on `ax`: points with the generated error, a band with the real one, a line at 1.

    Bins with fewer than 4 real counts show the band only. A triangle at the edge is a point beyond it.
    """
    low, high = binned.real_interval()
    with np.errstate(divide="ignore", invalid="ignore"):
        band = [np.where(binned.real > 0, edge / binned.real, 1.0) for edge in (low, high)]
    ax.stairs(band[1], binned.edges, baseline=band[0], fill=True, color=REAL, alpha=0.13, lw=0)
    ax.axhline(1.0, color=MUTED, lw=0.9)
    between = binned.replica_band()
    if between is not None:
        safe = np.where(binned.real > 0, binned.real, np.inf)
        known = np.isfinite(safe)
        draw_band(ax, binned.edges, tuple(np.where(known, edge / safe, 1.0) for edge in between))
    value, down, up = binned.ratio()
    # half width of the axis: the least that holds nine of ten well measured bins
    known = np.isfinite(value) & (np.maximum(down, up) < 0.35)
    farthest = float(np.quantile(np.abs(value[known] - 1.0), 0.9)) if known.any() else 1.0
    span = next((span for span in _TICK if farthest <= 0.9 * span), 1.0)
    # bins with enough real events, or with weights of less than half their size in error
    enough = binned.real >= _FEWEST if binned.squares is None else binned.real > 2 * np.sqrt(binned.squares)
    measured = np.isfinite(value) & enough
    inside = measured & (np.abs(value - 1.0) <= span)
    bars = np.stack([down, up])[:, inside]
    ax.errorbar(binned.centres[inside], value[inside], yerr=bars, fmt="o", ms=2.4, lw=0.9, color=GENERATED)
    for beyond, edge, marker in ((value > 1 + span, 1 + span, "^"), (value < 1 - span, 1 - span, "v")):
        x = binned.centres[measured & beyond]
        ax.plot(x, np.full(len(x), 1 + 0.9 * (edge - 1)), marker, ms=3.4, color=GENERATED, alpha=0.75, lw=0)
    ax.set_ylim(1 - span, 1 + span)
    ax.yaxis.set_major_locator(FixedLocator([1 - _TICK[span], 1.0, 1 + _TICK[span]]))


def draw_band(ax: Axes, edges: np.ndarray, band: tuple[np.ndarray, ...]) -> None:
    """Draw the hatched band between `band`, (bin,) each, on `ax`."""
    low, high = band
    ax.stairs(
        high, edges, baseline=low, fill=True, facecolor="none", edgecolor=REPLICAS, hatch="//////", lw=0.6,
        label="replicas", zorder=2,
    )  # fmt: skip


def _draw_both(upper: Axes, lower: Axes, binned: Binned, *, name: str, unit: str, p_value: float | None) -> None:
    draw_marginal(upper, binned, p_value=p_value)
    upper.tick_params(labelbottom=False)
    if binned.n_real and binned.n_generated:
        draw_ratio(lower, binned)
        lower.set_ylabel("gen./real", fontsize=7.5, color=MUTED, labelpad=2)
    else:
        lower.set_yticks([])
    power = power_of_ten(binned.edges[0], binned.edges[-1])
    lower.set_xlabel(axis_label(name, unit, power=power), loc="left", fontweight="bold", labelpad=3)
    few = binned.discrete and len(binned.centres) <= 8
    ticks = FixedLocator(binned.centres.tolist()) if few else MaxNLocator(6, integer=binned.discrete)
    lower.xaxis.set_major_locator(ticks)
    divide_ticks(lower.xaxis, power)
    for ax in (upper, lower):
        ax.yaxis.set_label_coords(-0.105, 0.5)
