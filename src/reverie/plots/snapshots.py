"""Samples of a table at selected steps of the training: how the cloud, and each column, took shape."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.core.statistics import ks_distance
from reverie.plots.binning import bin_columns
from reverie.plots.pairs import darkest_shade, draw_contours, draw_density, pair_edges
from reverie.plots.style import (
    GENERATED_MAP,
    MUTED,
    REAL,
    REAL_MAP,
    axis_label,
    divide_ticks,
    legend_above,
    panel,
    panels,
    power_of_ten,
)

__all__ = ["choose_pair", "choose_steps", "evolution", "projections"]

Snapshots = Sequence[tuple[int, np.ndarray]]
_AGES = LinearSegmentedColormap.from_list("reverie_ages", ["#e3b587", "#9fb7a8", "#4aa39d", "#064f4c"])


def choose_steps(snapshots: Snapshots, most: int = 5) -> list[tuple[int, np.ndarray]]:
    """Return at most `most` snapshots in order of step: the first, the last, and in between by powers of the step."""
    ordered = sorted(snapshots, key=lambda pair: pair[0])
    if len(ordered) <= most:
        return ordered
    positions = np.unique(np.round(np.geomspace(1, len(ordered), most)).astype(int) - 1)
    spare = [i for i in range(len(ordered)) if i not in positions]
    chosen = sorted([*positions.tolist(), *spare[:: max(1, len(spare) // max(1, most - len(positions)))]])
    kept = chosen[: most - 1] if len(chosen) > most else chosen[:-1]
    return [ordered[i] for i in kept] + [ordered[-1]]


def choose_pair(real: np.ndarray, last: np.ndarray) -> tuple[int, int]:
    """Return the two columns whose marginals in `last` are farthest from `real` by KS distance, in column order."""
    if real.shape[1] < 2:
        return 0, 0
    distance = np.nan_to_num([ks_distance(real[:, j], last[:, j]) for j in range(real.shape[1])])
    i, j = sorted(np.argsort(-distance, kind="stable")[:2].tolist())
    return i, j


def projections(
    real: np.ndarray,
    snapshots: Snapshots,
    *,
    names: Sequence[str],
    units: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    columns: tuple[int, int] | None = None,
) -> Figure:
    """Return small multiples of two columns: one panel per step with the real contours over it, real data last.

    Parameters
    ----------
    real : Real rows, shape (n, feature).
    snapshots : Pairs (step, samples (n, feature)), at least one; at most five are shown.
    names, units, kinds : One per feature.
    columns : The two features; None takes the two that `choose_pair` finds in the last snapshot.
    """
    shown = choose_steps(snapshots)
    i, j = columns or choose_pair(real, shown[-1][1])
    kind = [kinds[c] if kinds else "continuous" for c in (i, j)]
    edges = pair_edges(real[:, i], kind[0]), pair_edges(real[:, j], kind[1])
    powers = [power_of_ten(*e[[0, -1]]) for e in edges]
    labels = [axis_label(names[c], units[c] if units else "", 16, p) for c, p in zip((i, j), powers, strict=True)]
    darkest = darkest_shade(real[:, [i, j]], edges)
    shades = [(f"step {step:,}", x, GENERATED_MAP) for step, x in shown] + [("real", real, REAL_MAP)]
    margins, shared = (0.06, 0.995, 0.19, 0.88), {"sharex": True, "sharey": True, "wspace": 0.08}
    with panels(1, len(shades), 10.2, 2.55, margins=margins, **shared) as (figure, ((first, *others),)):
        for ax, (title, points, colors) in zip((first, *others), shades, strict=True):
            draw_density(ax, points[:, [i, j]], edges, colors, darkest=darkest)
            draw_contours(ax, real[:, [i, j]], edges, REAL)
            ax.set_title(title, color=REAL if title == "real" else "#064f4c")
            ax.grid(visible=False)
            ax.xaxis.set_major_locator(MaxNLocator(4, prune="both"))
            ax.set_xlabel(labels[0])
        first.set_ylabel(labels[1])
        divide_ticks(first.xaxis, powers[0])
        divide_ticks(first.yaxis, powers[1])
    return figure


def evolution(
    real: np.ndarray,
    snapshots: Snapshots,
    *,
    name: str = "x",
    unit: str = "",
    kind: str = "continuous",
    weights: np.ndarray | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Return one column at the chosen steps as lines from pale to dark, with the real points over them.

    Parameters
    ----------
    real : Real values, shape (n,).
    snapshots : Pairs (step, samples (n,)), at least one.
    name, unit, kind : Name, unit and kind of the column.
    weights : Event weights of `real`, shape (n,).
    """
    shown = choose_steps(snapshots)
    reference = bin_columns(real, real[:0], kind=kind, n_bins=30, weights=weights)
    edges, n_real = reference.edges, reference.n_real or 1
    with panel(4.8, 2.8, (0.115, 0.975, 0.165, 0.84), ax) as (figure, ax):
        for k, (step, values) in enumerate(shown):
            counts = np.histogram(values, bins=edges)[0] * n_real / max(len(values), 1)
            ax.stairs(counts, edges, color=_AGES(k / max(len(shown) - 1, 1)), lw=1.5, label=f"{step:,}")
        low, high = reference.real_interval()
        errors = np.stack([reference.real - low, high - reference.real])
        ax.errorbar(reference.centres, reference.real, yerr=errors, fmt="o", ms=2.4, lw=0.8, color=REAL, label="real")
        if reference.heavy:
            ax.set_yscale("log")
            ax.set_ylim(bottom=0.6)
        else:
            ax.set_ylim(0, 1.6 * (float(reference.real.max(initial=0)) or 1.0))
        ax.set_xlim(edges[0], edges[-1])
        power = power_of_ten(edges[0], edges[-1])
        divide_ticks(ax.xaxis, power)
        ax.set_xlabel(axis_label(name, unit, power=power), fontweight="bold")
        ax.set_ylabel("entries per bin")
        words = {"title": "generated at step", "title_fontproperties": {"size": 8}, "alignment": "left"}
        legend_above(ax, ncols=6, columnspacing=1.1, handlelength=1.1, borderpad=0.4, labelcolor=MUTED, **words)
    return figure
