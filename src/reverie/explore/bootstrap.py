"""The bootstrap: the error of any statistic, from samples drawn with replacement.

With B samples of n rows drawn with replacement from the n rows, and M* the statistic of each,

    Var_B(M) = 1/(B-1) sum_k (M*_k - mean M*)^2

estimates the variance of the statistic (Efron 1979). The percentile interval lies between quantiles of
the M*; BCa corrects it for bias and for a spread that changes with the value, and comes closer to its
level by one order in 1/sqrt(n) (Efron 1987; numerics: `scipy.stats.bootstrap`). BCa leaves out each row once,
n more evaluations.

Rows must be independent; thin a Markov chain first. Statistics that hang on single rows (extremes) or
on ties (numbers of distinct values, distances to the nearest neighbour) are not estimated by it.
"""

import math
import warnings as python_warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState

__all__ = ["Bootstrap", "bootstrap"]

INTERVALS = {"bca": "BCa", "percentile": "percentile"}
_INDICES = 4_000_000  # held at once, 32 MB


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """A statistic with its bootstrap error and interval.

    Parameters
    ----------
    value : of the statistic on the data.
    error : the root of Var_B.
    low, high : ends of the interval of confidence `level`.
    replicates : (B,) the statistic on each bootstrap sample.
    n : rows.
    interval : "BCa" or "percentile".
    seed : the root of all randomness.
    warnings : what to keep in mind, in sentences.
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

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write; what is not finite becomes None."""
        plain = {k: v for k, v in vars(self).items() if k not in ("replicates", "warnings")}
        plain = {k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in plain.items()}
        return plain | {"replicates": self.replicates.tolist(), "warnings": list(self.warnings)}

    def __str__(self) -> str:
        found = (
            f"{Measured(self.value, self.error, self.n)}, {100 * self.level:g} % {self.interval} interval "
            f"[{self.low:.4g}, {self.high:.4g}] from {len(self.replicates)} bootstrap samples."
        )
        return " ".join([found, *self.warnings])


@checked
def bootstrap(
    statistic: Any,  # a function; the body tells one that stands in the place of the rows
    X: ArrayLike,
    *,
    n_resamples: int = 2_000,
    random_state: RandomState = None,
    level: float = 0.95,
    interval: str = "BCa",
    weights: ArrayLike | None = None,
) -> Bootstrap:
    """Estimate the error of ``statistic(rows)``.

    Parameters
    ----------
    statistic : function of rows (n, *event) that returns one number; of rows and weights, if weights are given.
    X : (n,) or (n, *event) array, independent rows.
    n_resamples : B, number of bootstrap samples.
    random_state : int, generator or None.
    level : confidence of the interval.
    interval : "BCa", or "percentile", which evaluates the statistic n times less.
    weights : (n,) event weights, drawn along with their rows.

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
    if not callable(statistic) or callable(X):
        raise InputError(
            f"Expected the statistic first and the rows after it, got {type(statistic).__name__} and "
            f"{type(X).__name__}. Write bootstrap(np.median, values)."
        )
    rows = np.asarray(X)
    if rows.ndim < 1 or len(rows) < 2:
        raise InputError(f"Expected X with at least 2 rows, got shape {rows.shape}. Rows are samples.")
    if not 0 < level < 1:
        raise InputError(f"Expected level between 0 and 1, got {level!r}. Give for instance 0.95.")
    check_positive("n_resamples", n_resamples, integer=True)
    method, seed = check_choice("interval", interval, INTERVALS | {"BCa": "BCa"}), as_seed(random_state)
    parts = [rows] if weights is None else [rows, _weights(weights, len(rows))]

    def of_rows(index: np.ndarray) -> float:
        return _number(statistic(*(part[index.astype(np.intp)] for part in parts)))

    found, warned = _resample(of_rows, len(rows), n_resamples, level, method, child_seed(seed, "bootstrap"))
    if warned:
        method = "percentile"
    return Bootstrap(
        value=of_rows(np.arange(len(rows))),
        error=float(np.std(found.bootstrap_distribution, ddof=1)),
        low=float(found.confidence_interval.low),
        high=float(found.confidence_interval.high),
        replicates=np.asarray(found.bootstrap_distribution),
        n=len(rows),
        level=level,
        interval=method,
        seed=seed,
        warnings=warned,
    )


def _resample(
    of_rows: Callable[[np.ndarray], float], n: int, n_resamples: int, level: float, method: str, seed: int
) -> tuple[Any, tuple[str, ...]]:
    # scipy draws row numbers; the draw is kept when BCa is not defined and percentiles stand in
    from scipy import stats

    options: dict[str, Any] = {"vectorized": False, "batch": max(1, _INDICES // n), "confidence_level": level}
    draw: dict[str, Any] = {"random_state": np.random.default_rng(seed)}
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        python_warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)  # 0/0 in BCa of a constant
        found = stats.bootstrap((np.arange(n),), of_rows, n_resamples=n_resamples, method=method, **draw, **options)
        if method == "percentile" or np.isfinite(found.confidence_interval).all():
            return found, ()
        percentile = stats.bootstrap(
            (np.arange(n),), of_rows, n_resamples=0, method="percentile", bootstrap_result=found, **options
        )
    return percentile, ("The BCa interval is not defined here (a constant statistic); the percentile one is given.",)


def _number(value: Any) -> float:
    number = np.asarray(value, dtype=np.float64)
    if number.size != 1:
        raise InputError(f"Expected a statistic of one number, got shape {number.shape}. Bootstrap one at a time.")
    return float(number.reshape(()))


def _weights(weights: ArrayLike, n: int) -> np.ndarray:
    found = np.asarray(weights, dtype=np.float64)
    if found.shape != (n,):
        raise InputError(f"Expected {n} weights, one per row, got shape {found.shape}. Give one weight per row.")
    return found
