"""The latent space of an autoencoder: what each dimension does, what a plane of it holds, where events lie.

The functions take arrays: mean events at latent vectors, as the models give them. Images are drawn as pictures, tables
as a line per column.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reverie.core.errors import InputError
from reverie.plots.images import as_pictures, draw_grid, grey_scale
from reverie.plots.style import COLORS, GENERATED, MUTED, REAL, axis_label, name_left, panel, panels, safe_text

__all__ = ["latent_codes", "latent_manifold", "latent_traversals"]

_MOST_LABELS = 12
_COLUMNS_ACROSS = 5


def latent_traversals(
    events: np.ndarray,
    values: np.ndarray,
    *,
    dimensions: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    kind: str = "pixel",
) -> Figure:
    """Return a row of mean events per latent dimension, that dimension going through its values from left to right.

    Parameters
    ----------
    events : Mean events, images or columns, shape (n_dimensions, n_values, *event).
    values : Values that each dimension goes through, shape (n_values,).
    dimensions : Numbers of the dimensions, for the labels; None counts from 0.
    names : Names of the columns of a table.
    kind : "spin" for two-valued lattices, else "pixel".

    Raises
    ------
    InputError
        When the shapes do not fit.
    """
    events, values = np.asarray(events, dtype=float), np.asarray(values, dtype=float)
    if events.ndim < 3 or events.shape[1] != len(values):
        raise InputError(
            f"Expected events of shape (n_dimensions, {len(values)}, *event), one per value, got {events.shape}. "
            "Stack the traversals of the dimensions."
        )
    labels = [f"$z_{{{j}}}$" for j in (range(len(events)) if dimensions is None else dimensions)]
    if events.ndim == 3:
        return _lines(events, values, labels, names)
    pictures = [as_pictures(row) for row in events]
    scale = grey_scale(np.stack(pictures))
    height, width = pictures[0].shape[1:3]
    tall = (8.6 / len(values) * height / width + 0.06) * len(labels) + 0.3
    margins = (0.07, 0.997, 0.005, 1 - 0.3 / tall)
    with panels(len(labels), 1, 9.4, tall, margins=margins, hspace=0.06) as (figure, axes):
        for ax, row, label in zip(axes[:, 0], pictures, labels, strict=True):
            draw_grid(ax, row, len(values), scale=scale, kind=kind)
            name_left(ax, label, color=GENERATED, fontsize=13)
        axes[0, 0].set_title(f"from {values[0]:.3g} to {values[-1]:.3g}".replace("-", "−"), fontsize=9)
    return figure


def latent_manifold(
    events: np.ndarray, *, dimensions: tuple[int, int] = (0, 1), kind: str = "pixel", ax: Axes | None = None
) -> Figure:
    """Return mean events on a grid of two latent dimensions, as one picture.

    Parameters
    ----------
    events : Mean events, the first dimension growing to the right and the second upwards, shape
        (n_side, n_side, *image).
    dimensions : Numbers of the dimensions, for the labels.
    kind : "spin" for two-valued lattices, else "pixel".

    Raises
    ------
    InputError
        For events that are no images.
    """
    events = np.asarray(events, dtype=float)
    pictures = as_pictures(events.reshape(-1, *events.shape[2:]))
    tall = 4.6 * events.shape[0] * pictures.shape[1] / (events.shape[1] * pictures.shape[2])
    with panel(4.6, tall, (0.07, 0.995, 0.07, 0.995), ax) as (figure, ax):
        draw_grid(ax, pictures, events.shape[1], scale=grey_scale(pictures), kind=kind)
        for k, (x, y) in zip(dimensions, ((0.5, -0.035), (-0.035, 0.5)), strict=True):
            arrow = f"$z_{{{k}}}$ →"
            ax.annotate(arrow, (x, y), xycoords="axes fraction", ha="center", va="center", color=MUTED, fontsize=12,
                        rotation=90 if x < 0 else 0, annotation_clip=False)  # fmt: skip
    return figure


def latent_codes(
    codes: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    dimensions: tuple[int, int] = (0, 1),
    names: Sequence[int] | None = None,
    is_prior: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """Return where events lie in two latent dimensions, by label if there are any.

    Parameters
    ----------
    codes : Posterior means or codes, shape (n, latent).
    labels : Labels of few values, or a number that colours the points, shape (n,).
    dimensions : Which two dimensions are drawn.
    names : What to call them, where `codes` holds some of the dimensions only; None takes `dimensions`.
    is_prior : Whether circles hold 39 % and 86 % of N(0, 1), one and two standard deviations.
    """
    codes = np.asarray(codes, dtype=float)[:, list(dimensions)]
    look = {"s": 5, "lw": 0, "alpha": 0.6, "zorder": 2}
    with panel(4.6, 4.6, (0.125, 0.9, 0.11, 0.88), ax) as (figure, ax):
        if is_prior:
            angle = np.linspace(0, 2 * np.pi, 200)
            for r in (1, 2):
                ax.plot(r * np.cos(angle), r * np.sin(angle), color=MUTED, lw=0.8, ls="--", zorder=1)
        levels = np.unique(labels) if labels is not None else np.empty(0)
        if labels is None:
            ax.scatter(*codes.T, color=GENERATED, **look)
        elif len(levels) > _MOST_LABELS and levels.dtype.kind in "iuf":
            figure.colorbar(ax.scatter(*codes.T, c=labels, cmap="viridis", **look), ax=ax)
        else:
            for k, level in enumerate(levels[:_MOST_LABELS]):
                chosen, marker = np.asarray(labels) == level, "os"[k // len(COLORS) % 2]
                color = COLORS[k % len(COLORS)]
                ax.scatter(*codes[chosen].T, color=color, marker=marker, label=safe_text(level), **look)
            ax.legend(markerscale=2.5, fontsize=8, loc="upper right")
        x_name, y_name = dimensions if names is None else names
        ax.set_xlabel(f"$z_{{{x_name}}}$", fontsize=12)
        ax.set_ylabel(f"$z_{{{y_name}}}$", fontsize=12)
        ax.set_aspect("equal", adjustable="datalim")
    return figure


def _lines(events: np.ndarray, values: np.ndarray, labels: list[str], names: Sequence[str] | None) -> Figure:
    n_columns = events.shape[2]
    names = [f"x{j}" for j in range(n_columns)] if names is None else list(names)
    if len(names) != n_columns:
        raise InputError(f"Expected {n_columns} names, one per column, got {len(names)}. Give as many.")
    across = min(n_columns, _COLUMNS_ACROSS)
    down = -(-n_columns // across)
    width, height = max(2.4 * across, 3.2), 1.75 * down + 0.75
    margins = (0.5 / width, 1 - 0.1 / width, 0.45 / height, 1 - 0.65 / height)
    with panels(down, across, width, height, margins=margins, wspace=0.3, hspace=0.42, sharex=True) as (figure, axes):
        for ax in axes.ravel()[n_columns:]:
            ax.remove()
        for j, (ax, name) in enumerate(zip(axes.ravel(), names, strict=False)):
            for k, label in enumerate(labels):
                dashes = "-" if k < len(COLORS) else "--"
                ax.plot(values, events[k, :, j], color=COLORS[k % len(COLORS)], ls=dashes, lw=1.3, label=label)
            ax.set_title(axis_label(name), fontsize=9, color=REAL)
            if j + across >= n_columns:
                ax.set_xlabel("$z$")
                ax.tick_params(labelbottom=True)
        lines = axes[0, 0].get_legend_handles_labels()
        figure.legend(*lines, ncols=len(labels), fontsize=8, loc="upper left", bbox_to_anchor=(0.0, 1.0))
    return figure
