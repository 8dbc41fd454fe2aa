"""Two-sample statistics of others: sliced Wasserstein distance of POT, energy distance of hyppo."""

import warnings
from collections.abc import Callable

import numpy as np

__all__ = ["energy", "energy_test", "sliced"]


def sliced(*, rows: int, features: int, directions: int, p: int = 1) -> Callable[[int], None]:
    """Return the window of `ot.sliced_wasserstein_distance`."""
    import ot

    x, y = _samples(rows, features)

    def window(n: int) -> None:
        for _ in range(n):
            ot.sliced_wasserstein_distance(x, y, n_projections=directions, p=p, seed=0)

    return window


def energy(*, rows: int, features: int) -> Callable[[int], None]:
    """Return the window of the statistic of `hyppo.ksample.Energy`."""
    from hyppo.ksample import Energy

    x, y = _samples(rows, features)

    def window(n: int) -> None:
        for _ in range(n):
            Energy().statistic(x, y)

    return window


def energy_test(*, rows: int, features: int, permutations: int) -> Callable[[int], None]:
    """Return the window of the permutation test of `hyppo.ksample.Energy`."""
    from hyppo.ksample import Energy

    x, y = _samples(rows, features)

    def window(n: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(n):
                Energy().test(x, y, reps=permutations, workers=1, auto=False, random_state=0)

    return window


def _samples(rows: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(rows, features)), random.normal(size=(rows, features))
