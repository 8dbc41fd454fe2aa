"""What each stage of a validation takes, in seconds on one core of an ordinary processor of 2024, to a factor of two.

The leading terms of each algorithm, with constants that were measured; `reverie.validation.schedule` corrects them for
the machine while it runs. What grows as the square of the rows has a limit of `MAX_PAIRS` besides, beyond which it is
left out: it would not end.
"""

from reverie.core.statistics import TREE_DIMENSIONS
from reverie.validation.comparison import Bench
from reverie.validation.statistics.kernel_features import n_monomials
from reverie.validation.statistics.kernels import BANDWIDTH_FACTORS
from reverie.validation.statistics.registry import MAX_EXACT, N_DIRECTIONS, N_FREQUENCIES

__all__ = ["MAX_PAIRS", "seconds_of_copies", "seconds_of_learner", "seconds_of_statistic"]

MAX_PAIRS = 5e10  # of rows: 110,000 against 110,000
_PRODUCT = 5e-11  # a multiplication and an addition within a large matrix product in single precision
_STEP = 5e-9  # one element of a cumulative sum, a sort or a gather
_EPOCHS = 20  # of the networks, which stop early
_LEFT_OUT_COLUMNS = 42  # of the jackknife


def seconds_of_statistic(name: str, bench: Bench) -> float | None:
    """Return what the statistic `name` of the battery takes: 0 for nothing to compute, None if it would not end."""
    (rows, k), columns = bench.here.few.shape, bench.here.relabel.labels.shape[1] + _LEFT_OUT_COLUMNS
    cells, pairs = rows * columns, rows**2
    by_pairs = pairs * (columns + k) * _PRODUCT
    if name == "energy distance and MMD":
        of_slices = (2 * N_FREQUENCIES * len(BANDWIDTH_FACTORS) * _PRODUCT + 4 * N_DIRECTIONS * _STEP) * cells
        return of_slices if rows > MAX_EXACT else 3 * by_pairs
    if name == "polynomial MMD":
        monomials = n_monomials(k)
        if monomials < rows / 2:
            return cells * monomials * _PRODUCT
        return by_pairs if pairs <= MAX_PAIRS else None
    if name == "neighbourhoods":
        search = rows * 2e-4 if k <= TREE_DIMENSIONS else pairs * (3e-9 + 1e-10 * k)
        return search + 30 * cells * _STEP if k <= TREE_DIMENSIONS or pairs <= MAX_PAIRS else None
    if (name == "modes" and bench.here.modes is None) or (name == "correlations" and k < 2):
        return 0.0
    linear = {
        "features one by one": bench.here.single.shape[1] * _STEP,
        "moments": k**2 * _PRODUCT,
        "correlations": k**2 * _PRODUCT,
        "sliced Wasserstein": N_DIRECTIONS * _STEP,
        "Frechet distance": k**2 * _PRODUCT + 8e-9 * k**3 / rows,
        "likelihood ratio": 70 * _STEP,
        "hard constraints": (1 + bench.here.broken.shape[1]) * _STEP,
        "observables": sum(v.shape[1] for v in bench.here.observables.values()) * _STEP,
    }
    return cells * linear.get(name, _STEP)


def seconds_of_learner(name: str, rows: int, n_features: int) -> float:
    """Return what one fit of learner `name` takes, on half of the rows of both samples together."""
    if name == "cnn":
        return 1 + rows / 2 * _EPOCHS * n_features * 2e-7
    if name == "mlp":
        return 1 + rows / 2 * _EPOCHS * 3e-5
    k = min(n_features, 64)
    return 0.5 + 0.04 * k + rows / 2 * (k * 4e-6 + n_features * 1e-7)


def seconds_of_copies(train: int, holdout: int, generated: int, n_features: int) -> float | None:
    """Return what the search for copies takes; None if it would not end."""
    k = min(n_features, 64)
    if k <= TREE_DIMENSIONS:
        return 1 + (train + holdout + generated) * 1e-3
    pairs = generated * (2 * train + holdout) + train * (train + holdout)
    return 1 + pairs * (3e-9 + 1e-10 * k) if pairs <= 2.5 * MAX_PAIRS else None
