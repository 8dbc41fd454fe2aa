"""The five lectures, reproduced: a script a page, run by `reverie lecture NAME` and by the documentation site.

A page is an ordinary script in one of the folders beside this file. Its docstring says where in the lectures its
figures and numbers stand; cells begin with ``# %%``, as sphinx-gallery wants them; it ends in figures of pyplot and
in lines that put the lecture's number beside ours. It calls nothing but public names of reverie, NumPy, torch and
Matplotlib, so that it can be copied and changed. The functions here are all that pages share.

Pages have a short budget, of less than a minute on one core, which the environment variable ``REVERIE_FAST=1``
chooses, and the full one of the lecture.
"""

import os
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

__all__ = ["LECTURES", "compare", "draw_rows", "is_quick", "mosaic"]

LECTURES = {
    "A": "Hjorth-Jensen, week of April 15-19, 2024: Boltzmann machines, Langevin, VAEs, GANs",
    "B": "Hjorth-Jensen, week of April 8-12, 2024: generative models",
    "C": "Hjorth-Jensen, week of May 12-16, 2025: GANs",
    "D": "Rojo, 2 December 2019: unsupervised learning, ensembles, many dimensions, KL, GANs",
    "E": "The thesis, chapter 3: networks, training, GANs",
}


def is_quick() -> bool:
    """Return whether a page takes its short budget: the environment variable REVERIE_FAST is set, and not to 0."""
    return os.environ.get("REVERIE_FAST", "0") not in ("", "0")


def compare(what: str, lecture: object, here: object) -> None:
    """Print a number of the lecture beside ours, a `Measured` where it has an error."""
    print(f"{what}: lecture {_text(lecture)}, here {_text(here)}")


def mosaic(images: np.ndarray, n_across: int, gap: int = 1) -> np.ndarray:
    """Return images (n, height, width), row by row, as one picture; between them are `gap` pixels of NaN."""
    n, height, width = images.shape
    rows = -(-n // n_across)
    picture = np.full((rows * (height + gap) - gap, n_across * (width + gap) - gap), np.nan)
    for k, image in enumerate(images):
        top, left = (k // n_across) * (height + gap), (k % n_across) * (width + gap)
        picture[top : top + height, left : left + width] = image
    return picture


def draw_rows(ax: Axes, rows: Mapping[str, np.ndarray], *, n_across: int = 12) -> None:
    """Draw a row of the first `n_across` images (n, height, width) for each name, which stands to its left."""
    height = next(iter(rows.values())).shape[1] + 1
    ax.imshow(mosaic(np.concatenate([images[:n_across] for images in rows.values()]), n_across), cmap="gray_r")
    ax.set(xticks=[], yticks=[height * (k + 0.45) for k in range(len(rows))], yticklabels=list(rows))
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)
