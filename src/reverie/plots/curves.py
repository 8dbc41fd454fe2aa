"""Small figures of lines that a model or a training leaves behind: likelihoods, energies, traces."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL, new_figure, style

__all__ = ["line_figure"]

_COLOURS = (REAL, GENERATED, CRITIC, MUTED)


def line_figure(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, title: str, x_label: str, y_label: str
) -> Figure:
    """Return a figure of named lines; beyond four they share one faint colour and need no legend.

    Parameters
    ----------
    lines : name -> (x, y).
    title, x_label, y_label : texts of the figure.
    """
    few = len(lines) <= len(_COLOURS)
    with style():
        figure = new_figure(4.8, 2.85)
        ax = figure.subplots()
        figure.subplots_adjust(left=0.14, right=0.975, top=0.83 if few else 0.88, bottom=0.15)
        for i, (name, (x, y)) in enumerate(lines.items()):
            look = {"color": _COLOURS[i], "lw": 1.5} if few else {"color": GENERATED, "lw": 0.7, "alpha": 0.5}
            ax.plot(np.asarray(x), np.asarray(y), label=name, **look)
        ax.set_title(title, pad=22 if few and len(lines) > 1 else 8)
        ax.set_xlabel(x_label, labelpad=3)
        ax.set_ylabel(y_label)
        ax.margins(x=0.01)
        ax.xaxis.set_major_locator(MaxNLocator(6))
        if few and len(lines) > 1:
            ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, columnspacing=1.2, borderpad=0.1)
    return figure
