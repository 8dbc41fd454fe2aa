"""Sets of particles as pictures: the mean of many in the plane of two features, and single ones as discs.

The plane is that of eta and phi where there are such columns, else of the first two; the weight of a particle, the area
of its disc, is its pt where there is one, else 1. Real and generated share one scale.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from reverie.core.jets import jet_columns
from reverie.plots.style import GENERATED, GENERATED_MAP, REAL, REAL_MAP, panels

__all__ = ["mean_images", "set_pictures"]

_CELLS = 40
_DECADES = 4  # of the colour scale, down from the brightest cell


def mean_images(real: np.ndarray, generated: np.ndarray, names: Sequence[str]) -> Figure:
    """Return the mean weight in each cell of the plane, of real sets beside generated ones.

    Parameters
    ----------
    real, generated : Sets, shape (n, P, F + 1), F at least 2; an empty stack is left out.
    names : Names of the columns, the mask last.
    """
    shown = [
        x for x in ((real, "real", REAL, REAL_MAP), (generated, "generated", GENERATED, GENERATED_MAP)) if len(x[0])
    ]
    half, labels = _half_width(shown[0][0], names), [names[j] for j in _axes(names)[:2]]
    edges, images = np.linspace(-half, half, _CELLS + 1), []
    for sets, *_ in shown:
        x, y, weight = _particles(sets, names)
        images.append(np.histogram2d(y, x, bins=[edges, edges], weights=weight)[0] / len(sets))
    brightest = max(float(images[0].max()), 1e-300)
    scale = LogNorm(brightest * 10.0**-_DECADES, brightest, clip=True)
    with panels(1, len(shown), 4.2 * len(shown), 4.1, margins=(0.09, 0.98, 0.12, 0.92), wspace=0.22) as (figure, axes):
        for ax, image, (_, title, color, shades) in zip(axes[0], images, shown, strict=True):
            ax.imshow(image, origin="lower", extent=(-half, half) * 2, cmap=shades, norm=scale, interpolation="nearest")
            ax.set_title(title, color=color, fontsize=11)
            ax.grid(visible=False)
            ax.set_xlabel(labels[0])
            ax.set_ylabel(labels[1])
    return figure


def set_pictures(real: np.ndarray, generated: np.ndarray, names: Sequence[str], *, n_across: int = 6) -> Figure:
    """Return the first `n_across` real sets above as many generated ones, a disc for each particle.

    Parameters
    ----------
    real, generated, names : As in `mean_images`.
    n_across : Number of sets in a row.
    """
    rows = [
        (x[:n_across], label, c)
        for x, label, c in ((real, "real", REAL), (generated, "generated", GENERATED))
        if len(x)
    ]
    half = _half_width(rows[0][0], names)
    largest = max(float(_particles(rows[0][0], names)[2].max(initial=0)), 1e-300)
    tall = 1.7 * len(rows) + 0.1
    margins = (0.03, 0.995, 0.01, 0.99)
    with panels(len(rows), n_across, 10.2, tall, margins=margins, wspace=0.06, hspace=0.06) as (figure, axes):
        for line, (sets, label, color) in zip(axes, rows, strict=True):
            line[0].set_ylabel(label, color=color, fontweight="bold")
            for k, ax in enumerate(line):
                ax.set(xlim=(-half, half), ylim=(-half, half), xticks=[], yticks=[], aspect="equal")
                if k < len(sets):
                    x, y, weight = _particles(sets[k : k + 1], names)
                    ax.scatter(x, y, s=600 * np.maximum(weight, 0) / largest, color=color, alpha=0.45, linewidths=0)
                    ax.scatter(x, y, s=1.5, color=color, linewidths=0)
    return figure


def _axes(names: Sequence[str]) -> tuple[int, int, int | None]:
    """Return the columns of both axes and of the weight."""
    return jet_columns(names) or (0, 1, None)


def _particles(sets: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y and weight of all particles that are there."""
    there, (i, j, k) = sets[sets[..., -1] == 1], _axes(names)
    return there[:, i], there[:, j], np.ones(len(there)) if k is None else there[:, k]


def _half_width(sets: np.ndarray, names: Sequence[str]) -> float:
    """Return the distance from 0 within which 99 % of the particles lie on both axes."""
    x, y, _ = _particles(sets, names)
    return float(np.quantile(np.abs(np.concatenate([x, y])), 0.99)) * 1.05 if len(x) else 1.0
