"""Images and lattices as grids: real beside generated, and one row per selected step of the training.

A stack is (n, height, width) or (n, channel, height, width) with one or three channels. Real and generated share one
grey scale, taken from the real stack: from black to white evenly, or, where half of what is lit would be darker than an
eighth of the brightest, as energies in cells are, by the area hyperbolic sine. Spins and other two-valued lattices get
two colours, angles a scale that closes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure

from reverie.core.errors import InputError
from reverie.plots.snapshots import choose_steps
from reverie.plots.style import GENERATED, REAL, SPIN_MAP, name_left, panels

__all__ = ["as_pictures", "draw_grid", "grey_scale", "image_grids", "image_rows", "mosaic", "named_rows"]

_LONG_TAIL = 8.0  # the brightest over the median of what is lit, from which on a straight scale is too dark
_MAPS = {"spin": SPIN_MAP, "periodic": "twilight"}  # of the kinds that are not drawn in grey


def as_pictures(stack: np.ndarray) -> np.ndarray:
    """Return a stack as (n, height, width) or, for colours, (n, height, width, 3), in float64.

    Raises
    ------
    InputError
        For another number of axes, or of channels.
    """
    x = np.asarray(stack, dtype=float)
    if x.ndim == 3:
        return x
    if x.ndim == 4 and x.shape[1] == 1:
        return x[:, 0]
    if x.ndim == 4 and x.shape[1] == 3:
        return np.moveaxis(x, 1, -1)
    raise InputError(
        f"Expected images (n, height, width) or (n, 1 or 3 channels, height, width), got shape {x.shape}. "
        "Put the channels on the second axis."
    )


def grey_scale(pictures: np.ndarray) -> Normalize:
    """Return the scale from black, the least value, to white, the one below which all but 0.05 % lie.

    It is that of arsinh(x / m), with m the median of all values above the least, where no value is negative and the
    largest is more than 8 m.
    """
    finite = pictures[np.isfinite(pictures)]
    if not finite.size:
        return Normalize(0.0, 1.0)
    low, high = float(finite.min()), float(np.quantile(finite, 0.9995))
    if high <= low:
        return Normalize(low - 0.5, low + 0.5)
    middle = float(np.median(finite[finite > low]))
    if low >= 0 and high > _LONG_TAIL * middle:
        return AsinhNorm(middle, low, high)
    return Normalize(low, high)


def mosaic(pictures: np.ndarray, n_across: int, *, gap: int = 1) -> np.ndarray:
    """Return pictures (n, height, width[, 3]) side by side in rows of `n_across`, as one array; gaps are nan."""
    n, height, width = pictures.shape[:3]
    n_down = -(-n // n_across)
    shape = (n_down * (height + gap) - gap, n_across * (width + gap) - gap, *pictures.shape[3:])
    page = np.full(shape, np.nan)
    for k in range(n):
        top, left = (k // n_across) * (height + gap), (k % n_across) * (width + gap)
        page[top : top + height, left : left + width] = pictures[k]
    return page


def draw_grid(ax: Axes, pictures: np.ndarray, n_across: int, *, scale: Normalize, kind: str = "pixel") -> None:
    """Draw a mosaic on `ax` without axes; `scale` is from black to white, `kind` is one of `_MAPS` or another."""
    page = mosaic(pictures, n_across, gap=max(1, pictures.shape[2] // 14))
    if page.ndim == 3:
        page = np.nan_to_num(np.clip(np.asarray(scale(page)), 0, 1), nan=1.0)
    ax.imshow(page, cmap=_MAPS.get(kind, "gray"), norm=None if page.ndim == 3 else scale, interpolation="nearest")
    ax.set_axis_off()


def image_grids(real: np.ndarray, generated: np.ndarray, *, n_side: int = 8, kind: str = "pixel") -> Figure:
    """Return real images beside generated ones, the first `n_side` squared of each.

    Parameters
    ----------
    real, generated : Stacks as in `as_pictures`; an empty one is left out.
    n_side : Number of images along each side.
    kind : "spin" for two-valued lattices, "periodic" for angles, else "pixel".
    """
    stacks = [("real", as_pictures(real), REAL), ("generated", as_pictures(generated), GENERATED)]
    stacks = [(label, x, color) for label, x, color in stacks if len(x)]
    scale = grey_scale(stacks[0][1])
    height, width = stacks[0][1].shape[1:3]
    tall = 5.1 * height / width + 0.35
    margins = (0.005, 0.995, 0.005, 1 - 0.35 / tall)
    with panels(1, len(stacks), 5.1 * len(stacks), tall, margins=margins, wspace=0.04) as (figure, axes):
        for ax, (label, pictures, color) in zip(axes[0], stacks, strict=True):
            draw_grid(ax, pictures[: n_side**2], n_side, scale=scale, kind=kind)
            ax.set_title(label, color=color, fontsize=11)
    return figure


def image_rows(
    snapshots: Sequence[tuple[int, np.ndarray]],
    real: np.ndarray | None = None,
    *,
    n_across: int = 12,
    kind: str = "pixel",
) -> Figure:
    """Return a row of samples per selected step, and a row of real images below if given.

    Parameters
    ----------
    snapshots : Pairs (step, stack), at least one; at most six are shown.
    real : Stack to compare with, or None.
    n_across : Number of images in a row.
    kind : "spin" for two-valued lattices, "periodic" for angles, else "pixel".
    """
    rows = {f"step {step:,}": x[:n_across] for step, x in choose_steps(snapshots, most=6)}
    if real is not None and len(real):
        rows["real"] = real[:n_across]
    return named_rows(rows, kind=kind)


def named_rows(
    rows: Mapping[str, np.ndarray],
    *,
    kind: str = "pixel",
    left: float = 0.1,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Return a row of images for each name, all on one grey scale; the name of a row "real" is written in ink.

    Parameters
    ----------
    rows : Stacks as in `as_pictures`, by the name that stands to their left.
    kind : "spin" for two-valued lattices, "periodic" for angles, else "pixel".
    left : Share of the width that the names take.
    limits : What is drawn black and white; None takes the scale from the last row.
    """
    stacks = {name: as_pictures(stack) for name, stack in rows.items()}
    last = list(stacks.values())[-1]
    scale, (height, width) = Normalize(*limits) if limits else grey_scale(last), last.shape[1:3]
    across = max(len(pictures) for pictures in stacks.values())
    tall = ((1 - left) * 10.1 / across * height / width + 0.05) * len(stacks)
    with panels(len(stacks), 1, 10.2, tall, margins=(left, 0.997, 0.005, 0.995), hspace=0.06) as (figure, axes):
        for ax, (name, pictures) in zip(axes[:, 0], stacks.items(), strict=True):
            draw_grid(ax, pictures, across, scale=scale, kind=kind)
            name_left(ax, name, color=REAL if name == "real" else GENERATED, fontweight="bold")
    return figure
