"""The bootstrap: the error of any statistic, from samples drawn with replacement, by `scipy.stats.bootstrap`.

With B samples of n rows drawn with replacement from the n rows, and M* the statistic of each,

    Var_B(M) = 1/(B-1) sum_k (M*_k - mean M*)^2

estimates the variance of the statistic (Efron 1979). The percentile interval lies between quantiles of the M*; BCa
corrects it for bias and for a spread that changes with the value, and comes closer to its level by one order in
1/sqrt(n) (Efron 1987). BCa leaves out each row once, n more evaluations.

Rows must be independent; thin a Markov chain first. Statistics that hang on single rows (extremes) or on ties (numbers
of distinct values, distances to the nearest neighbour) are not estimated by it.
"""

import warnings as python_warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.arguments import Count, Level, checked
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_seed
from reverie.core.tables import as_array, check_weights
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.tables import Result

__all__ = ["Bootstrap", "bootstrap"]

INTERVALS = {"bca": "BCa", "BCa": "BCa", "percentile": "percentile"}
_INDICES = 4_000_000  # held at once, 32 MB
_UNDEFINED = "The BCa interval is not defined here (a constant statistic); the percentile one is given."


@dataclass(frozen=True, eq=False)
class Bootstrap(Result):
    """A statistic with its bootstrap error and interval.

    Parameters
    ----------
    value : Statistic of the data.
    error : Standard error, the root of Var_B.
    low, high : Ends of the interval of confidence `level`.
    replicates : Statistic of each bootstrap sample, shape (B,).
    n : Number of rows.
    level : Confidence of the interval, in (0, 1).
    interval : "BCa" or "percentile".
    seed : Root of all randomness.
    warnings : What to keep in mind, in sentences.
    """

    value: float
    error: float
    low: float
    high: float
    replicates: np.ndarray
    n: int
    level: float
    interval: str
    seed: int
    warnings: tuple[str, ...] = ()

    @property
    def bias(self) -> float:
        """Mean of the replicates minus the value: the bootstrap estimate of the bias."""
        return float(self.replicates.mean() - self.value)

    def __str__(self) -> str:
        sentence = (
            f"{Measured(self.value, self.error, self.n)}, {100 * self.level:g} % {self.interval} interval "
            f"[{self.low:.4g}, {self.high:.4g}] from {len(self.replicates)} bootstrap samples."
        )
        return " ".join([sentence, *self.warnings])


@checked
def bootstrap(
    statistic: object,  # a function; the body tells one that stands in the place of the rows
    X: ArrayLike,
    *,
    n_resamples: Count = 2_000,
    random_state: RandomState = None,
    level: Level = 0.95,
    interval: str = "BCa",
    weights: ArrayLike | None = None,
) -> Bootstrap:
    """Estimate the error of ``statistic(rows)``.

    Parameters
    ----------
    statistic : Function of rows (n, *event) that returns one number; of rows and weights, if weights are given.
    X : Independent rows, shape (n,) or (n, *event).
    n_resamples : Number B of bootstrap samples.
    random_state : Seed or generator, or None.
    level : Confidence of the interval, in (0, 1).
    interval : "BCa", or "percentile", which evaluates the statistic n times less.
    weights : Event weights, shape (n,), drawn along with their rows.

    Raises
    ------
    InputError
        For fewer than two rows, a statistic that returns more than one number, or both the wrong way round.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=200)
    >>> median = bootstrap(np.median, values, random_state=0)
    >>> bool(0.05 < median.error < 0.15)
    True
    """
    from scipy import stats

    if not callable(statistic) or callable(X):
        raise InputError(
            f"Expected the statistic first and the rows after it, got {type(statistic).__name__} and "
            f"{type(X).__name__}. Write bootstrap(np.median, values)."
        )
    rows = np.asarray(X if isinstance(X, np.ndarray) else as_array(getattr(X, "values", X), "X"))
    if rows.ndim < 1 or len(rows) < 2:
        raise InputError(f"Expected X with at least 2 rows, got shape {rows.shape}. Rows are samples.")
    method, seed, n = check_choice("interval", interval, INTERVALS), as_seed(random_state), len(rows)
    w = check_weights(weights, n, "X", positive_sum=False)
    parts = [rows] if w is None else [rows, w]

    def of_rows(index: np.ndarray) -> float:
        number = np.asarray(statistic(*(part[index.astype(np.intp)] for part in parts)), dtype=np.float64)
        if number.size != 1:
            raise InputError(f"Expected a statistic of one number, got shape {number.shape}. Bootstrap one at a time.")
        return float(number.reshape(()))

    # SciPy draws row numbers; the draw is kept when BCa is not defined and percentiles stand in
    index = (np.arange(n),)
    options: dict[str, Any] = {"vectorized": False, "batch": max(1, _INDICES // n), "confidence_level": level}
    warnings, options["random_state"] = (), np.random.default_rng(child_seed(seed, "bootstrap"))
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        python_warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)  # 0/0 in BCa of a constant
        result = stats.bootstrap(index, of_rows, n_resamples=n_resamples, method=method, **options)
        if method == "BCa" and not np.isfinite(result.confidence_interval).all():
            method, warnings = "percentile", (_UNDEFINED,)
            result = stats.bootstrap(index, of_rows, n_resamples=0, method=method, bootstrap_result=result, **options)
    replicates = np.asarray(result.bootstrap_distribution)
    return Bootstrap(
        value=of_rows(index[0]),
        error=float(np.std(replicates, ddof=1)),
        low=float(result.confidence_interval.low),
        high=float(result.confidence_interval.high),
        replicates=replicates,
        n=n,
        level=level,
        interval=method,
        seed=seed,
        warnings=warnings,
    )
