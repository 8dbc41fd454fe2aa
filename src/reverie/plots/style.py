"""The house style: one ink for real data, one accent for generated data, and nothing else that shouts.

=============  =========  ===========================================================
colour         value      meaning, everywhere
=============  =========  ===========================================================
``REAL``       #1b2733    real data (dark ink, points)
``GENERATED``  #0b7a75    generated data and the generator (deep teal, filled steps)
``CRITIC``     #c2622d    the discriminator (burnt orange)
``REPLICAS``   #3d9c96    the spread between replicas of a generator (pale teal, hatched)
``ALERT``      #b42318    a difference that is statistically significant
``MUTED``      #52606d    notes and reference lines
=============  =========  ===========================================================

Real and generated differ in lightness and in form (points against steps) as well as in hue, so the
figures also read in grey print and with any colour vision. The style is a context manager; the
process-wide settings of matplotlib are left as they were. pyplot is never imported.
"""

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

__all__ = [
    "ALERT",
    "COLORS",
    "CRITIC",
    "DASHED",
    "GENERATED",
    "GENERATED_MAP",
    "GRID",
    "MUTED",
    "REAL",
    "REAL_MAP",
    "REPLICAS",
    "SPIN_MAP",
    "axis_label",
    "divide_ticks",
    "key_above",
    "legend_above",
    "level_line",
    "name_left",
    "new_figure",
    "panel",
    "panels",
    "power_of_ten",
    "rows_down",
    "safe_text",
    "style",
    "to_png",
    "to_svg",
]

REAL = "#1b2733"
GENERATED = "#0b7a75"
CRITIC = "#c2622d"
ALERT = "#b42318"
MUTED = "#52606d"
REPLICAS = "#3d9c96"
GRID = "#e9ecef"

DASHED = (0, (5, 3))  # of lines that mark a level
COLORS = (  # groups that are neither real nor generated: clusters, labels
    GENERATED, CRITIC, "#6b5b95", "#d2a33a", "#2f6da8", "#a63d63", "#6f8f3a", "#8a9199", "#d98e73", REAL,
)  # fmt: skip

REAL_MAP = LinearSegmentedColormap.from_list("reverie_real", ["#ffffff", "#b4bec9", "#5f6f82", REAL])
GENERATED_MAP = LinearSegmentedColormap.from_list("reverie_generated", ["#ffffff", "#b5dcd8", "#4aa39d", "#064f4c"])
SPIN_MAP = ListedColormap(["#f3efe6", GENERATED], name="reverie_spin")

_STYLE_FILE = Path(__file__).with_name("reverie.mplstyle")


@contextmanager
def style() -> Iterator[None]:
    """Draw in the house style inside the ``with`` block; restore every setting of matplotlib after it."""
    with matplotlib.rc_context(_settings()):
        yield


@cache
def _settings() -> matplotlib.RcParams:
    """Return what the house style sets; a report opens it at each of its figures."""
    return matplotlib.rc_params_from_file(_STYLE_FILE, use_default_template=False)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty `Figure` of the given size in inches, outside pyplot. Call it inside `style`."""
    return Figure(figsize=(width, height))


@contextmanager
def panels(
    rows: int, columns: int, width: float, height: float, *, margins: Sequence[float], **grid: Any
) -> Iterator[tuple[Figure, Any]]:
    """Open the house style and yield a new figure with its axes, shape (rows, columns).

    Parameters
    ----------
    rows, columns : Number of panels.
    width, height : Size of the figure in inches.
    margins : Left, right, bottom and top edge of the panels, as shares of the figure.
    grid : wspace and hspace, and what `Figure.subplots` takes.
    """
    spaces = {name: grid.pop(name) for name in ("wspace", "hspace") if name in grid}
    left, right, bottom, top = margins
    with style():
        figure = new_figure(width, height)
        axes = figure.subplots(rows, columns, squeeze=False, **grid)
        figure.subplots_adjust(left=left, right=right, bottom=bottom, top=top, **spaces)
        yield figure, axes


@contextmanager
def panel(
    width: float, height: float, margins: Sequence[float], ax: Axes | None = None
) -> Iterator[tuple[Figure, Axes]]:
    """Open the house style and yield a figure and axes to draw on: those of `ax` if given, else a new one's.

    Parameters
    ----------
    width, height, margins : As for `panels`; they do not matter where `ax` is given.
    ax : Axes of the caller's own figure, or None.
    """
    if ax is not None:
        figure = ax.get_figure(root=True)
        assert figure is not None
        with style():
            yield figure, ax
        return
    with panels(1, 1, width, height, margins=margins) as (figure, axes):
        yield figure, axes[0, 0]


def rows_down(ax: Axes, names: Sequence[object], *, longest: int = 36, edge: float = 0.4) -> None:
    """Name the rows 0, 1, ... of a chart of horizontal bars or points on the y axis, the first on top."""
    ax.set_yticks(range(len(names)), [safe_text(name, longest) for name in names])
    ax.set_ylim(len(names) - edge, edge - 1)
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")


def key_above(ax: Axes, entries: Sequence[tuple[str, float, str]], *, lift: float = 8) -> None:
    """Write what is drawn in its own colour above the frame: (text, place along the axis from 0 to 1, colour)."""
    for text, place, color in entries:
        ax.annotate(
            text, (place, 1), (0, lift), xycoords="axes fraction", textcoords="offset points", fontsize=8.5,
            color=color, annotation_clip=False,
        )  # fmt: skip


def legend_above(ax: Axes, **options: Any) -> None:
    """Put the legend between the title and the frame, in one line."""
    defaults: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": 4, "borderpad": 0.1}
    ax.legend(**(defaults | {"columnspacing": 1.2} | options))


def level_line(ax: Axes, y: float, text: str = "", *, drop: float = 3) -> None:
    """Draw a dashed line across at `y`, and a word at its right end, `drop` points above it."""
    ax.axhline(y, color=MUTED, lw=0.9, ls=DASHED)
    if text:
        ax.annotate(text, (1, y), (-2, drop), xycoords=("axes fraction", "data"), textcoords="offset points",
                    ha="right", fontsize=8, color=MUTED)  # fmt: skip


def name_left(ax: Axes, text: str, **options: Any) -> None:
    """Write `text` to the left of a row of pictures."""
    ax.annotate(text, (0, 0.5), (-8, 0), xycoords="axes fraction", textcoords="offset points", ha="right",
                va="center", annotation_clip=False, **options)  # fmt: skip


def safe_text(text: object, longest: int = 28) -> str:
    """Return `text` fit for a label: one printable line, at most `longest` characters, no broken mathtext.

    A name such as ``$p_T$`` stays mathematics; dollar signs that do not parse are drawn as they are.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    if len(line) > longest:
        line = line[: longest - 1].rstrip() + "…"
    if "$" in line and not _is_mathematics(line):
        line = line.replace("$", r"\$")
    return line


def axis_label(name: object, unit: str = "", longest: int = 28, power: int = 0) -> str:
    """Return ``name (unit)``, with the power of ten that the axis was divided by, if any."""
    label, factor = safe_text(name, longest), rf"$\times 10^{{{power}}}$" if power else ""
    inside = " ".join(filter(None, (factor, safe_text(unit))))
    return f"{label} ({inside})" if inside else label


def power_of_ten(low: float, high: float) -> int:
    """Return the exponent (a multiple of 3) that an axis from `low` to `high` is divided by; 0 for handy numbers."""
    most = max(abs(low), abs(high))
    return 0 if most == 0 or 1e-2 <= most < 1e5 else 3 * math.floor(math.log10(most) / 3)


def divide_ticks(axis: Axis, power: int) -> None:
    """Write the tick labels of `axis` divided by 10 to the `power`."""
    if power:
        axis.set_major_formatter(lambda x, _: f"{x / 10.0**power:.6g}".replace("-", "−"))


def to_svg(figure: Figure) -> bytes:
    """Return the figure as an SVG document: the same bytes for the same figure, without links or dates."""
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    return _saved(figure, format="svg", metadata=nothing)


def to_png(figure: Figure, dpi: int = 170) -> bytes:
    """Return the figure as a PNG document."""
    return _saved(figure, format="png", dpi=dpi)


def _saved(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def _is_mathematics(line: str) -> bool:
    if line.count("$") % 2:
        return False
    try:
        MathTextParser("path").parse(line)
    except (ValueError, RuntimeError):
        return False
    return True
