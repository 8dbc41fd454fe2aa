"""Views of a latent space: its most important dimensions, what each of them does, and a plane of two.

Dimensions are shown in units of their own spread s_j around a middle m_j:

    z_j = m_j + s_j t,    t from -3 to 3,    all others at their middle,

with m = 0 and s = 1 for a prior N(0, 1), and the mean and standard deviation of the codes where there is none. The
plane of the first two takes t at the normal quantiles (i + 1/2) / n, so that equal areas hold equal probability.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from reverie.core.assessment import LatentView
from reverie.core.errors import InputError
from reverie.core.types import ArrayLike

__all__ = ["latent_plane", "latent_vectors", "latent_view"]

_MOST_PICTURES, _MOST_LINES = 8, 6  # dimensions: rows of pictures, lines in a panel of a table
_MOST_CODES = 2000
_N_VALUES, _FARTHEST = 11, 3.0
_N_SIDE = 15


def latent_view(
    codes: np.ndarray,
    importance: np.ndarray,
    decode: Callable[[np.ndarray], np.ndarray],
    *,
    n_shown: int,
    is_prior: bool,
    is_image: bool,
) -> LatentView:
    """Return codes, traversals and a manifold.

    Parameters
    ----------
    codes : (n, n_latent) of events; for a prior, the means of their posteriors.
    importance : (n_latent,) of each dimension: the largest come first.
    decode : latent vectors (m, n_latent) -> mean events (m, *event).
    n_shown : how many dimensions to show; at least one and at most 8 are, 6 of a table.
    is_prior : whether the codes are to follow N(0, 1).
    is_image : whether events are images or lattices, of which a manifold can be drawn.
    """
    most = _MOST_PICTURES if is_image else _MOST_LINES
    dimensions = np.argsort(-importance, kind="stable")[: min(max(n_shown, 1), most)]
    n_latent = codes.shape[1]
    middle = np.zeros(n_latent) if is_prior else codes.mean(axis=0)
    scale = np.ones(n_latent) if is_prior else codes.std(axis=0)
    values = np.linspace(-_FARTHEST, _FARTHEST, _N_VALUES)
    along = np.zeros((len(dimensions), len(values), n_latent))
    for row, j in enumerate(dimensions):
        along[row, :, j] = values

    def events(t: np.ndarray) -> np.ndarray:
        decoded = np.asarray(decode(middle + scale * t.reshape(-1, n_latent)), dtype=np.float32)
        return decoded.reshape(*t.shape[:-1], *decoded.shape[1:])

    has_plane = is_image and len(dimensions) > 1
    return LatentView(
        dimensions=dimensions,
        n_latent=n_latent,
        values=values,
        traversals=events(along),
        manifold=events(latent_plane(n_latent, dimensions, _N_SIDE)) if has_plane else np.empty((0, 0)),
        codes=codes[:_MOST_CODES, dimensions].astype(np.float32),
        is_prior=is_prior,
    )


def latent_vectors(z: ArrayLike, n_latent: int) -> Tensor:
    """Return latent vectors z (n, n_latent) as a float32 tensor; `InputError` for another shape."""
    vectors = torch.from_numpy(np.array(z, dtype=np.float32))
    if vectors.ndim != 2 or vectors.shape[1] != n_latent:
        raise InputError(f"Expected z of shape (n, {n_latent}), got {tuple(vectors.shape)}. Give one row per event.")
    return vectors


def latent_plane(n_latent: int, dimensions: Sequence[int] | np.ndarray, n_side: int) -> np.ndarray:
    """Return t (n_side, n_side, n_latent) at normal quantiles of two dimensions, the first rightwards, the second up.

    The others are zero.
    """
    q = ndtri((np.arange(n_side) + 0.5) / n_side)
    t = np.zeros((n_side, n_side, n_latent))
    t[..., dimensions[0]], t[..., dimensions[1]] = q[None, :], q[::-1, None]
    return t
