"""What averaging does to the variance: how much the correlation of the members costs.

A prediction fluctuates with the training set. Over many training sets let each of n members have
variance sigma^2, and let any two have correlation rho. Then

    Var(mean of n) = rho sigma^2 + (1 - rho) sigma^2 / n.

The second part falls with n, the first does not: correlated members cannot average it away. (The
formula is found in print as sigma^2/n + (n-1)/n rho sigma; its last factor must be sigma^2.)

sigma^2, rho and Var(mean) are estimated from R independent replicates, each an ensemble of M members
trained on a data set of its own: unbiased sample variances and covariances over replicates, averaged
over the points of prediction. At n = M the formula is an identity of these estimates; at any other n it
extrapolates. Errors are those of a jackknife over replicates. Where the truth f is known,

    bias^2 = mean over points of (average prediction - f)^2 - Var(mean)/R,

the last term for the noise of the average. The estimate has no bias of its own and may come out negative where the
bias is small, and is then told as an upper limit. It needs replicates that are independent of each other. Bootstrap
samples of one data set all share its fluctuation, which would be taken for a bias: their average differs from the
truth by about as much as one data set from another.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_finite, check_positive
from reverie.core.containers import as_array
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.ensemble import bagging, outputs, read_targets
from reverie.explore.tables import read_table

__all__ = ["VarianceDecomposition", "decompose", "variance_decomposition"]

_FEWEST_REPLICATES = 3  # a jackknife of variances leaves two
_MOST_POINTS = 500  # held out where no points of prediction are given


@dataclass(frozen=True)
class VarianceDecomposition:
    """Variance of an ensemble over training sets; one standard error each, from the replicates.

    Parameters
    ----------
    sigma2 : variance of one member, in squared units of the prediction.
    rho : correlation of two members.
    var_mean : variance of the mean of the members.
    predicted : rho sigma^2 + (1 - rho) sigma^2 / n at the given number of members.
    bias2 : squared bias, None where the truth is not known.
    n_replicates, n_members, n_points : what it was estimated from.
    """

    sigma2: Measured
    rho: Measured
    var_mean: Measured
    predicted: float
    bias2: Measured | None
    n_replicates: int
    n_members: int
    n_points: int

    def at(self, n: int) -> float:
        """Return the variance of the mean of `n` members, rho sigma^2 + (1 - rho) sigma^2 / n."""
        check_positive("n", n, integer=True)
        return _variance_of_mean(self.sigma2.value, self.rho.value, n)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write."""
        return {k: v.to_json() if isinstance(v, Measured) else v for k, v in vars(self).items()}

    def __str__(self) -> str:
        floor = self.rho.value * self.sigma2.value
        bias = "" if self.bias2 is None else f" {_bias_sentence(self.bias2)}"
        return (
            f"One member has variance {self.sigma2} over {self.n_replicates} training sets, two members have "
            f"correlation {self.rho}, and the mean of {self.n_members} has variance {self.var_mean}. "
            f"More members cannot go below {floor:.3g}.{bias}"
        )


@checked
def variance_decomposition(predictions: ArrayLike, truth: ArrayLike | None = None) -> VarianceDecomposition:
    """Return sigma^2, rho and the variance of the mean of an ensemble, with errors.

    Parameters
    ----------
    predictions : (R, M, P): replicate, member, point; R >= 3, M >= 2. Replicates are independent.
    truth : (P,), what an ideal model would predict, or None.

    Raises
    ------
    InputError
        For another shape, or predictions that are not finite.
    """
    x = np.asarray(as_array(predictions, "predictions"), dtype=np.float64)
    if x.ndim != 3 or x.shape[0] < _FEWEST_REPLICATES or x.shape[1] < 2 or x.shape[2] < 1:
        raise InputError(
            f"Expected predictions (replicate, member, point) with at least {_FEWEST_REPLICATES} replicates and 2 "
            f"members, got shape {x.shape}. Reshape them, or train more."
        )
    check_finite(x, name="predictions")
    R, M, P = x.shape
    deviations = x - x.mean(axis=0)
    q = np.square(deviations).mean(axis=(1, 2))
    q_mean = np.square(deviations.mean(axis=1)).mean(axis=1)

    def rho(q: np.ndarray, q_mean: np.ndarray) -> np.ndarray:  # of M^2 Var(mean) = M sigma^2 + M(M-1) rho sigma^2
        return np.divide(M * q_mean - q, (M - 1) * q, out=np.full_like(q, math.nan), where=q > 0)

    sigma2, var_mean = (_jackknife(lambda v: v, part) for part in (q, q_mean))
    correlation = _jackknife(rho, q, q_mean)
    return VarianceDecomposition(
        sigma2=sigma2,
        rho=correlation,
        var_mean=var_mean,
        predicted=_variance_of_mean(sigma2.value, correlation.value, M),
        bias2=None if truth is None else _bias2(x.mean(axis=1), np.asarray(truth, dtype=np.float64), var_mean.value),
        n_replicates=R,
        n_members=M,
        n_points=P,
    )


@checked
def decompose(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    X_test: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    n_replicates: int = 20,
    n_estimators: int = 25,
    fraction: float | None = None,
    disjoint: bool = False,
    random_state: RandomState = None,
) -> VarianceDecomposition:
    """Train ensembles on many data sets and decompose the variance of their predictions.

    Parameters
    ----------
    estimator, X, y, n_estimators, fraction : as for `bagging`; a classifier predicts probabilities, and each
        class at each point counts as a point.
    X_test : (P, *event), where to predict; None holds out a fifth of the rows, at most 500.
    truth : (P,), or (P, K) for a classifier of K classes, at `X_test`; needs `disjoint`.
    n_replicates : R, number of data sets, at least 3.
    disjoint : the data sets are R disjoint parts of the rows: independent, and R times smaller. Otherwise
        they are bootstrap samples, which share rows with each other: the variance around these data.
    random_state : int, generator or None.

    Raises
    ------
    InputError
        For truth without `X_test` or with data sets that share rows, and as `variance_decomposition`.
    """
    from sklearn.base import is_classifier

    if truth is not None and X_test is None:
        raise InputError("Expected X_test along with truth, got truth alone. Give the points it belongs to.")
    if truth is not None and not disjoint:
        raise InputError(
            "Expected disjoint=True along with truth, got bootstrap samples of one data set. They all share its "
            "fluctuation, which would be taken for a bias. Use disjoint=True, or leave truth out."
        )
    table, seed = read_table(X), as_seed(random_state)
    targets = read_targets(y, len(table.values))
    classes = np.unique(targets) if is_classifier(estimator) else None
    r = np.random.default_rng(child_seed(seed, "replicates"))
    order = r.permutation(len(targets))
    n_held = min(_MOST_POINTS, len(order) // 5) if X_test is None else 0
    points = table.values[order[:n_held]] if X_test is None else read_table(X_test).values
    predictions = []
    for i, rows in enumerate(_data_sets(order[n_held:], n_replicates, r, disjoint=disjoint)):
        options: dict[str, Any] = {"n_estimators": n_estimators, "fraction": fraction}
        draw = child_seed(seed, "replicate", i)
        members = bagging(estimator, table.values[rows], targets[rows], random_state=draw, **options).members
        predictions.append([outputs(member, points, classes).ravel() for member in members])
    return variance_decomposition(np.array(predictions), None if truth is None else np.ravel(np.asarray(truth)))


def _data_sets(rows: np.ndarray, n_replicates: int, r: np.random.Generator, *, disjoint: bool) -> list[np.ndarray]:
    check_positive("n_replicates", n_replicates, integer=True)
    if disjoint:
        return np.array_split(rows, n_replicates)
    return [r.choice(rows, len(rows)) for _ in range(n_replicates)]


def _variance_of_mean(sigma2: float, rho: float, n: int) -> float:
    return rho * sigma2 + (1 - rho) * sigma2 / n


def _jackknife(function: Callable[..., np.ndarray], *q: np.ndarray) -> Measured:
    """Return `function` of variances, with error, from squared deviations (R,) of the replicates.

    The variance is sum q / (R-1). Without replicate r it is (sum q - q_r R/(R-1)) / (R-2), exactly.
    """
    R = len(q[0])
    value = function(*(np.atleast_1d(part.sum() / (R - 1)) for part in q))[0]
    without = function(*((part.sum() - part * R / (R - 1)) / (R - 2) for part in q))
    error = math.sqrt((R - 1) / R * np.square(without - without.mean()).sum())
    return Measured(float(value), error, R)


def _bias_sentence(bias2: Measured) -> str:
    limit = max(bias2.value, 0.0) + 1.645 * bias2.error
    if bias2.value < 1.645 * bias2.error:
        return f"No bias is seen: its square is below {limit:.2g} (95 %)."
    return f"The squared bias is {bias2}."


def _bias2(means: np.ndarray, truth: np.ndarray, var_mean: float) -> Measured:
    R = len(means)
    if truth.shape != means.shape[1:]:
        raise InputError(f"Expected truth with shape {means.shape[1:]}, got {truth.shape}. Give one number per point.")
    offset = means.mean(axis=0) - truth
    without = np.array([np.square(offset + (offset + truth - mean) / (R - 1)).mean() for mean in means])
    error = math.sqrt((R - 1) / R * np.square(without - without.mean()).sum())
    return Measured(float(np.square(offset).mean() - var_mean / R), error, R)
