"""What a look into a latent space is made of, as small arrays: codes, and mean events along and across it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

__all__ = ["LatentView"]


@dataclass(frozen=True, eq=False)
class LatentView:
    """A latent space as a report shows it.

    Latent vectors are counted in standard deviations from the middle: those of the prior N(0, 1), or of the codes.

    Parameters
    ----------
    dimensions : (d,) the latent dimensions that are shown, the most telling one first.
    n_latent : how many there are.
    values : (v,) of each dimension along its traversal, in standard deviations.
    traversals : (d, v, *event) mean events while one dimension takes its values and the others stay in the middle.
    manifold : (side, side, *event) mean events at normal quantiles of the first two dimensions, to the right and
        upwards; of no rows where there is none to draw.
    codes : (n, d) where events lie in those dimensions.
    is_prior : whether the codes are to follow N(0, 1).
    """

    dimensions: np.ndarray
    n_latent: int
    values: np.ndarray
    traversals: np.ndarray
    manifold: np.ndarray
    codes: np.ndarray
    is_prior: bool

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays by name, as a file holds them."""
        return {name: np.asarray(value) for name, value in asdict(self).items()}

    @classmethod
    def from_arrays(cls, stored: Mapping[str, np.ndarray]) -> Self:
        """Return what `arrays` described."""
        whole = {"n_latent": int(stored["n_latent"]), "is_prior": bool(stored["is_prior"])}
        names = ("dimensions", "values", "traversals", "manifold", "codes")
        return cls(**{name: stored[name] for name in names}, **whole)
