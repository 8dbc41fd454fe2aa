"""What an exploration found: components, dimensions, clusters and their tree, t-SNE, and what a forest says."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from reverie.plots.images import as_pictures
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

__all__ = [
    "biplane",
    "cluster_plane",
    "component_images",
    "correlations",
    "criteria",
    "dimension",
    "embedding",
    "feature_importances",
    "hamming",
    "scree",
    "spectrum",
    "tree",
    "tree_correlations",
]

if TYPE_CHECKING:
    from reverie.core.measured import Measured
    from reverie.explore import Biplot, BitwiseDimension, Dendrogram, DimensionScan
    from reverie.explore.cluster import Criterion
    from reverie.explore.forest import TreeCorrelation

SIGNED_MAP = LinearSegmentedColormap.from_list("reverie_signed", [CRITIC, "#f0c9b4", "#ffffff", "#b5dcd8", GENERATED])
MOST_POINTS = 4_000  # of a scatter plot: more hide each other
MOST_ARROWS = 12
FLAT = (4.8, 3.1, (0.13, 0.97, 0.16, 0.89))  # width, height and margins of a panel
SQUARE = (4.8, 4.2, (0.15, 0.97, 0.12, 0.92))
SHOWN = (0.005, 0.995)  # quantiles of the rows that a plane shows
NEAR = 0.06  # of the frame: tips of arrows that are closer share a label


def scree(
    ratio: np.ndarray, error: np.ndarray, *, share: float = 0.9, most: int = 30, ax: Axes | None = None
) -> Figure:
    """Return the share of the variance of each component with its error, and the sum so far.

    Parameters
    ----------
    ratio, error : Falling shares and their standard errors, nan where not known, shape (k,) each.
    share : Where the line is drawn that the sum should reach.
    most : Number of components shown.
    """
    shown = min(most, len(ratio))
    k, total = np.arange(1, shown + 1), np.cumsum(ratio)[:shown]
    with panel(*SQUARE, ax) as (figure, ax):
        ax.bar(k, ratio[:shown], width=0.72, color=GENERATED, alpha=0.25)
        known = np.nan_to_num(error[:shown])
        ax.errorbar(k, ratio[:shown], yerr=known, fmt="o", ms=3.2, lw=1.2, color=GENERATED)
        ax.plot(k, total, "-", color=REAL, lw=1.3, marker=".", ms=4)
        level_line(ax, share)
        ax.set_ylim(0, 1.04)
        ax.set_xlim(0.4, shown + 0.6)
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        ax.set_xlabel("component")
        ax.set_title("Share of the variance")
        _key(ax, [("● each, ± one error", GENERATED), ("● sum so far", REAL)])
    return figure


def biplane(plane: "Biplot", *, with_arrows: bool = True, ax: Axes | None = None) -> Figure:
    """Return the rows as points in the plane of two components, and the longest arrows of the features.

    Two arrows in one direction belong to correlated features; a short arrow to one that this plane does not show.
    """
    with panel(*SQUARE, ax) as (figure, ax):
        x = plane.scores[:MOST_POINTS]
        ax.plot(x[:, 0], x[:, 1], ".", ms=3.2, color=REAL, alpha=opacity(len(x)), mew=0)
        if with_arrows:
            _draw_arrows(ax, plane)
        dress_plane(ax, plane)
        ax.set_title("Rows and columns in the leading plane" if with_arrows else "Rows in the leading plane")
    return figure


def opacity(n_points: int) -> float:
    """Return how opaque points are drawn: few of them fully, thousands so that dense places stand out."""
    return float(np.clip(800 / max(n_points, 1), 0.25, 0.65))


def dress_plane(ax: Axes, plane: "Biplot") -> None:
    """Label the axes with the components and their shares; keep the central 99 % of the rows in sight."""
    for axis, component, share in zip((ax.xaxis, ax.yaxis), plane.components, plane.shares, strict=True):
        axis.set_label_text(f"component {component + 1} ({100 * share:.1f} %)")
        axis.set_major_locator(MaxNLocator(6))
    low, high = np.quantile(plane.scores, SHOWN, axis=0)
    pad = 0.06 * (high - low)
    ax.set_xlim(low[0] - pad[0], high[0] + pad[0])
    ax.set_ylim(low[1] - pad[1], high[1] + pad[1])
    ax.grid(visible=True, axis="both")


def _draw_arrows(ax: Axes, plane: "Biplot") -> None:
    """Draw the longest arrows, all by one factor, so that they end inside the frame; close tips share a label."""
    low, high = np.quantile(plane.scores, SHOWN, axis=0)
    longest = np.argsort(-np.linalg.norm(plane.arrows, axis=1), kind="stable")[:MOST_ARROWS]
    arrows = plane.arrows[longest]
    room = np.where(arrows > 0, high, low) / np.where(arrows == 0, 1e-300, arrows)
    arrows = 0.85 * arrows * np.abs(room).min()
    groups: list[list[int]] = []
    for k, (x, y) in enumerate(arrows):
        ax.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": CRITIC, "lw": 1.2, "shrinkB": 0})
        close = (g for g in groups if np.linalg.norm((arrows[g[0]] - arrows[k]) / (high - low)) < NEAR)
        group = next(close, None)
        if group is None:
            groups.append([k])
        else:
            group.append(k)
    for group in groups:
        x, y = arrows[group[0]]
        ax.annotate(
            ", ".join(safe_text(plane.names[longest[k]], 14) for k in group), (x, y),
            (3 if x >= 0 else -3, 3 if y >= 0 else -3), ha="left" if x >= 0 else "right",
            va="bottom" if y >= 0 else "top", textcoords="offset points", fontsize=8, color=CRITIC,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7},
        )  # fmt: skip


def component_images(
    mean: np.ndarray,
    components: np.ndarray,
    ratio: np.ndarray,
    event_shape: Sequence[int],
    *,
    margin: float = 0.0,
    most: int = 11,
) -> Figure:
    """Return the mean image and the leading components as images: teal adds, orange takes away.

    Parameters
    ----------
    mean, components, ratio : Mean, components and their shares of the variance, shapes (d,), (k, d) and (k,).
    event_shape : Shape of an image, as in `reverie.plots.images.as_pictures`; of three channels the mean is shown.
    margin : Black and white lie this far beyond the mean image, so that one without contrast looks so.
    most : Number of components shown.
    """
    shown, across = min(most, len(components)), 6
    pictures = as_pictures(np.concatenate([mean[None], components[:shown]]).reshape(-1, *event_shape))
    pictures = pictures.mean(-1) if pictures.ndim == 4 else pictures
    down = -(-(shown + 1) // across)
    height = (1.6 * pictures.shape[1] / pictures.shape[2] + 0.3) * down
    margins = (0.01, 0.99, 0.01, 1 - 0.26 / height)
    with panels(down, across, 1.6 * across, height, margins=margins, wspace=0.06, hspace=0.2) as (figure, axes):
        for k, ax in enumerate(axes.ravel()):
            ax.set_axis_off()
            if k > shown:
                continue
            largest = np.abs(pictures[k]).max() or 1.0
            low, high = (pictures[0].min() - margin, pictures[0].max() + margin) if k == 0 else (-largest, largest)
            ax.imshow(pictures[k], cmap="gray" if k == 0 else SIGNED_MAP, vmin=low, vmax=high, interpolation="nearest")
            ax.set_title("mean" if k == 0 else f"{k}: {100 * ratio[k - 1]:.1f} %", fontsize=8.5, pad=3)
    return figure


def dimension(scan: "DimensionScan", n_features: int, *, ax: Axes | None = None) -> Figure:
    """Return the intrinsic dimension with its error against the distance it was looked at."""
    with panel(*FLAT, ax) as (figure, ax):
        ax.errorbar(scan.scale, scan.dimension, yerr=scan.error, fmt="o-", ms=4, lw=1.3, color=GENERATED)
        ax.set_xscale("log")
        wide = scan.scale.max() > 4 * scan.scale.min()
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(5))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}" if x < 1000 else f"{x:,.0f}"))
        top = 1.15 * float((scan.dimension + scan.error).max())
        if n_features <= 1.5 * top:
            top = max(top, 1.08 * n_features)
            level_line(ax, n_features, f"{n_features} features")
        ax.set_ylim(0, top)
        ax.set_xlabel("mean distance to the farther neighbour")
        ax.set_title("Intrinsic dimension against scale")
    return figure


def hamming(bits: "BitwiseDimension", *, ax: Axes | None = None) -> Figure:
    """Return the histogram of Hamming distances and the law fitted to it."""
    with panel(*FLAT, ax) as (figure, ax):
        ax.plot(bits.distance, bits.fitted, "-", color=GENERATED, lw=1.5)
        ax.plot(bits.distance, bits.observed, "o", ms=3, color=REAL)
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.set_xlabel("bits in which two rows differ")
        ax.set_title("Pairs of rows by Hamming distance")
        _key(ax, [("● share of the pairs", REAL), ("▬ law of effective bits", GENERATED)])
    return figure


def spectrum(eigenvalues: np.ndarray, *, tolerance: float, ax: Axes | None = None) -> Figure:
    """Return positive eigenvalues (p,) on a logarithmic scale, relative to the largest, with the line of zero."""
    relative = eigenvalues[eigenvalues > 0] / eigenvalues[0]
    with panel(*SQUARE, ax) as (figure, ax):
        ax.plot(np.arange(1, len(relative) + 1), relative, "o-", ms=3, lw=1, color=GENERATED)
        ax.set_yscale("log")
        if tolerance > 1e-3 * relative[-1]:
            level_line(ax, tolerance, "zero within rounding", drop=-10)
            ax.set_ylim(bottom=0.05 * tolerance)
        ax.set_xlim(0.5, len(relative) + 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.set_xlabel("eigenvector")
        ax.set_title("Eigenvalues over the largest")
    return figure


def correlations(matrix: np.ndarray, names: Sequence[str], *, most_names: int = 25, ax: Axes | None = None) -> Figure:
    """Return a correlation matrix (d, d) as a heat map; names are written if there are few."""
    few = len(names) <= most_names
    with panel(4.8, 4.2, (0.2 if few else 0.1, 0.91, 0.2 if few else 0.08, 0.92), ax) as (figure, ax):
        image = ax.imshow(matrix, cmap=SIGNED_MAP, vmin=-1, vmax=1, interpolation="nearest")
        figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03, ticks=[-1, -0.5, 0, 0.5, 1])
        ax.grid(visible=False)
        if few:
            labels = [safe_text(name, 14) for name in names]
            ax.set_xticks(range(len(names)), labels, rotation=90, fontsize=7)
            ax.set_yticks(range(len(names)), labels, fontsize=7)
        ax.set_title("Correlations")
    return figure


def _key(ax: Axes, entries: Sequence[tuple[str, str]]) -> None:
    """Write what is drawn in its own colour, above the right end of the title line."""
    for k, (text, color) in enumerate(reversed(entries)):
        ax.annotate(text, (1, 1), (0, 4 + 11 * k), xycoords="axes fraction", textcoords="offset points", ha="right",
                    fontsize=8, color=color, annotation_clip=False)  # fmt: skip


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
