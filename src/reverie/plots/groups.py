"""Clusters, the tree of clusters, t-SNE, and what a random forest says of the features."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.plots.exploration import MOST_POINTS, SQUARE, dress_plane, opacity
from reverie.plots.style import (
    COLORS,
    CRITIC,
    DASHED,
    GENERATED,
    MUTED,
    REAL,
    level_line,
    panel,
    panels,
    rows_down,
    safe_text,
)

__all__ = ["cluster_plane", "criteria", "embedding", "feature_importances", "tree", "tree_correlations"]

if TYPE_CHECKING:
    from reverie.core.measured import Measured
    from reverie.explore import Biplot
    from reverie.explore.cluster import Criterion
    from reverie.explore.forest import TreeCorrelation
    from reverie.explore.hierarchy import Dendrogram


def cluster_plane(plane: "Biplot", labels: np.ndarray, *, ax: Axes | None = None) -> Figure:
    """Return the rows in the plane of two components, coloured by cluster (n,); stars are the means of the clusters."""
    sizes = np.bincount(labels)
    names = [f"{k + 1}: {size:,} ({100 * size / len(labels):.1f} %)" for k, size in enumerate(sizes)]
    with panel(*SQUARE, ax) as (figure, ax):
        _points(ax, plane.scores, labels, names)
        for k in np.flatnonzero(sizes):
            mean = plane.scores[labels == k].mean(axis=0)
            ax.plot(*mean, "*", ms=9, mfc=COLORS[k % len(COLORS)], mec=REAL, mew=0.8)
        dress_plane(ax, plane)
        ax.set_title("Clusters in the leading plane (stars: means)")
    return figure


def embedding(
    points: np.ndarray, labels: np.ndarray, names: Sequence[str], *, trust: float, ax: Axes | None = None
) -> Figure:
    """Return a t-SNE picture (m, 2), coloured by labels 0 ... len(names) - 1; its axes mean nothing."""
    with panel(*SQUARE, ax) as (figure, ax):
        _points(ax, points, labels, names)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_title(f"t-SNE, trustworthiness {trust:.3f}")
    return figure


def criteria(rows: Sequence["Criterion"], chosen: Mapping[str, int]) -> Figure:
    """Return gap and silhouette against the number of clusters; diamonds are what each of them would choose."""
    k = [row.n_clusters for row in rows]
    width, height, margins = SQUARE
    with panels(2, 1, width, height, margins=margins, hspace=0.3, sharex=True) as (figure, axes):
        upper, lower = axes[:, 0]
        gaps, errors = [row.gap for row in rows], [row.gap_error for row in rows]
        upper.errorbar(k, gaps, yerr=errors, fmt="o-", ms=3.5, lw=1.2, color=GENERATED)
        known = [row for row in rows if row.silhouette is not None]
        silhouettes = [row.silhouette for row in known]
        lower.plot([row.n_clusters for row in known], silhouettes, "o-", ms=3.5, lw=1.2, color=CRITIC)
        for ax, name, values, color in ((upper, "gap", gaps, GENERATED), (lower, "silhouette", silhouettes, CRITIC)):
            if name in chosen:
                at = (k if name == "gap" else [row.n_clusters for row in known]).index(chosen[name])
                ax.plot(chosen[name], values[at], "D", ms=7, mfc="none", mec=color, mew=1.4)
        upper.set_title("Gap statistic")
        lower.set_title("Mean silhouette")
        lower.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        lower.set_xlabel("number of clusters")
    return figure


def tree(dendrogram: "Dendrogram", *, linkage: str, n_clusters: int, ax: Axes | None = None) -> Figure:
    """Return the last merges of a tree, with the sizes of its leaves and the height where it is cut."""
    heights, merges, cut = np.sort(dendrogram.dcoord.max(axis=1)), n_clusters - 1, None
    if 0 < merges < len(heights):  # else the cut lies below what is drawn
        cut = 0.5 * float(heights[-merges] + heights[-merges - 1])
    with panel(9.8, 3.5, (0.06, 0.99, 0.18, 0.9), ax) as (figure, ax):
        for x, y in zip(dendrogram.icoord, dendrogram.dcoord, strict=True):
            ax.plot(x, y, color=REAL if cut is None or y.max() > cut else GENERATED, lw=1.2)
        if cut is not None:
            level_line(ax, cut, f"{n_clusters} clusters")
        places = 10 * np.arange(len(dendrogram.leaf_sizes)) + 5
        ax.set_xticks(places, [f"{size:,.0f}" for size in dendrogram.leaf_sizes], rotation=90, fontsize=7)
        ax.set_xlim(0, 10 * len(places))
        ax.set_ylim(0, 1.05 * heights[-1])
        ax.set_xlabel("rows under each branch")
        ax.set_title(f"Tree of {linkage} linkage: height of the last {len(heights)} merges")
    return figure


def feature_importances(
    permutation: Mapping[str, "Measured"], impurity: Mapping[str, "Measured"], *, score: str, most: int = 15
) -> Figure:
    """Return what is lost when each column is shuffled, with errors, and the share of impurity for comparison."""
    names = sorted(permutation, key=lambda name: -permutation[name].value)[:most]
    height = 0.24 * len(names) + 1.0
    margins = (0.13, 0.98, 0.5 / height, 1 - 0.32 / height)
    with panels(1, 2, 9.8, height, margins=margins, wspace=0.08, sharey=True) as (figure, ((left, right),)):
        for ax, values, color in zip((left, right), (permutation, impurity), (GENERATED, MUTED), strict=True):
            x, e = [values[name].value for name in names], [values[name].error for name in names]
            ax.barh(range(len(names)), x, height=0.62, color=color, alpha=0.3)
            ax.errorbar(x, range(len(names)), xerr=e, fmt="o", ms=3.5, lw=1.2, color=color)
            rows_down(ax, names, longest=18)
            ax.axvline(0, color=MUTED, lw=0.8)
        left.set_title("Which columns matter")
        left.set_xlabel(f"loss of {score} when the column is shuffled, held-out rows")
        right.set_xlabel("share in the decrease of impurity, training rows")
    return figure


def tree_correlations(rows: Sequence["TreeCorrelation"], chosen: int) -> Figure:
    """Return the correlation of two trees and the errors of tree and forest against the features per question."""
    x = [row.max_features for row in rows]
    margins = (0.065, 0.98, 0.19, 0.88)
    with panels(1, 2, 9.8, 2.7, margins=margins, wspace=0.2) as (figure, ((left, right),)):
        left.plot(x, [row.rho for row in rows], "o-", ms=4.5, lw=1.3, color=GENERATED)
        left.set_title("Correlation of the errors of two trees")
        right.set_title("Mean squared error, held-out rows")
        errors = (("one tree", [row.tree_error for row in rows], MUTED),)
        errors += (("forest", [row.forest_error for row in rows], CRITIC),)
        for name, values, color in errors:
            right.plot(x, values, "o-", ms=4.5, lw=1.3, color=color)
            right.annotate(name, (x[-1], values[-1]), (-4, 6), textcoords="offset points", ha="right", fontsize=8,
                           color=color)  # fmt: skip
        for ax in (left, right):
            ax.set_ylim(0, 1.2 * ax.get_ylim()[1])
            ax.axvline(chosen, color=MUTED, lw=0.9, ls=DASHED)
            ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
            ax.set_xlabel("features that each question may choose from (dashed: this forest)")
    return figure


def _points(ax: Axes, x: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> None:
    x, labels = x[:MOST_POINTS], labels[:MOST_POINTS]
    for k, name in enumerate(names):
        chosen = labels == k
        color = COLORS[k % len(COLORS)]
        ax.plot(x[chosen, 0], x[chosen, 1], ".", ms=3.4, color=color, alpha=1.5 * opacity(len(x)), mew=0)
        ax.plot([], [], "o", ms=4, color=color, label=safe_text(name, 24))
    if len(names) > 1:
        legend = ax.legend(loc="best", fontsize=7.5, handletextpad=0.2, labelspacing=0.25)
        legend.set_frame_on(True)
        legend.get_frame().set(alpha=0.8, linewidth=0)
