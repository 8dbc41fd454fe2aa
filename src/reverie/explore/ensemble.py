"""Bagging: the average of equal models, each trained on rows of its own, and what averaging does to the variance.

M copies of an estimator are trained on bootstrap samples of the data, or on disjoint parts of it, and their
predictions, or class probabilities, are averaged (Breiman 1996). The mean has the bias of its members, and less
variance the less they are correlated; it pays for unstable learners, such as deep trees. scikit-learn's bagging has no
disjoint parts and no score of single members, so the loop over members is our own.

A row that a member did not train on is "out of bag" for it (37 % of the rows of a bootstrap sample). The score of each
row by such members alone is an honest estimate without a test set. Its standard error is that of the number of rows:
for an accuracy a, a(1 - a)/n; for R^2 = 1 - A/B, with A the mean squared error and B the variance of y, the variance of
the influence A (y - mean)^2/B^2 - e^2/B over n.

Over many training sets let each of n members have variance sigma^2, and let any two have correlation rho. Then

    Var(mean of n) = rho sigma^2 + (1 - rho) sigma^2 / n,

whose first part averaging leaves. (In print it is found as sigma^2/n + (n-1)/n rho sigma; its last factor must be
sigma^2.) sigma^2, rho and Var(mean) are estimated from R independent replicates, each an ensemble of M members trained
on a data set of its own: unbiased sample variances and covariances over replicates, averaged over the points of
prediction. At n = M the formula is an identity of these estimates; at any other n it extrapolates. Errors are those of
a jackknife over replicates. Where the truth f is known,

    bias^2 = mean over points of (average prediction - f)^2 - Var(mean)/R,

the last term for the noise of the average. The estimate has no bias of its own, may come out negative where the bias is
small, and is then stated as an upper limit. Bootstrap samples of one data set are no independent replicates: they all
share its fluctuation, which would be taken for a bias.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias

import numpy as np

from reverie.core.arguments import Count, Interval, checked
from reverie.core.checks import check_finite
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_seed
from reverie.core.tables import as_array, as_column
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.tables import Result, read_like, read_table, sklearn_seed

__all__ = [
    "Bagged",
    "VarianceDecomposition",
    "bagging",
    "decompose",
    "measured_score",
    "outputs",
    "read_targets",
    "variance_decomposition",
]

Fraction: TypeAlias = Annotated[float, Interval(0, 1, ends="right")]
_FEWEST_REPLICATES = 3  # a jackknife of variances leaves two
_MOST_POINTS = 500  # held out where no points of prediction are given


class Predictor(Protocol):
    """What predicts; a classifier has `classes_`, and `predict_proba` where it knows probabilities."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the predictions (n,) of rows (n, d)."""
        ...


class Estimator(Predictor, Protocol):
    """A classifier or regressor of scikit-learn, or one like it."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Predictor:
        """Learn the targets (n,) of rows (n, d)."""
        ...


@dataclass(frozen=True, eq=False)
class Bagged(Result):
    """An ensemble of equal models, each trained on its own rows.

    Parameters
    ----------
    members : Fitted estimators.
    classes : Class labels, shape (K,); None for a regression.
    out_of_bag : Accuracy or R^2 of rows by the members that did not see them, with the standard error of their
        number; nan where no row was left out.
    member_score : Mean of the same score over single members.
    names : Names of the d features.
    settings : n_estimators, how rows were drawn, and the seed.
    warnings : What to keep in mind, in sentences.
    """

    members: tuple[Predictor, ...]
    classes: np.ndarray | None
    out_of_bag: Measured
    member_score: float
    names: tuple[str, ...]
    settings: dict[str, int | str]
    warnings: tuple[str, ...] = ()
    not_in_json: ClassVar = ("members",)

    def member_predictions(self, X: ArrayLike) -> np.ndarray:
        """Return the predictions of each member on `X` (n, *event): (M, n), or probabilities (M, n, K)."""
        values = read_like(X, self.names).values
        return np.stack([outputs(member, values, self.classes) for member in self.members])

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the mean prediction (n,), or the class of the largest mean probability."""
        mean = self.member_predictions(X).mean(axis=0)
        return mean if self.classes is None else self.classes[mean.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the mean probabilities (n, K) of a classification."""
        if self.classes is None:
            raise InputError("Expected a classifier for predict_proba, got a regression. Use predict.")
        return self.member_predictions(X).mean(axis=0)

    def __str__(self) -> str:
        score = "R^2" if self.classes is None else "accuracy"
        sentence = (
            f"{len(self.members)} members trained on {self.settings['rows']} reach an out-of-bag {score} of "
            f"{self.out_of_bag}; single members reach {self.member_score:.3g}."
        )
        return " ".join([sentence, *self.warnings])


@checked
def bagging(
    estimator: Estimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_estimators: Count = 25,
    fraction: Fraction | None = None,
    partition: bool = False,
    random_state: RandomState = None,
) -> Bagged:
    """Train copies of `estimator` on bootstrap samples or on disjoint parts, and average them.

    Parameters
    ----------
    estimator : A scikit-learn classifier or regressor; it is cloned, and seeded if it has a random_state.
    X : Rows, shape (n, *event).
    y : Targets, shape (n,).
    n_estimators : Number M of members, at least 2.
    fraction : Size of each bootstrap sample over n, in (0, 1]; None is 1.
    partition : Train on M disjoint parts of the rows in place of bootstrap samples.
    random_state : Seed or generator, or None.

    Raises
    ------
    InputError
        For both fraction and partition, or fewer rows than members.
    """
    from sklearn.base import clone, is_classifier

    table, seed = read_table(X), as_seed(random_state)
    n, targets = len(table.values), read_targets(y, len(table.values))
    if partition and fraction is not None:
        raise InputError("Expected either fraction or partition, got both. Disjoint parts have their own size, n/M.")
    if n < n_estimators:
        raise InputError(f"Expected at least as many rows as members, got {n} and {n_estimators}. Give more rows.")
    r = np.random.default_rng(child_seed(seed, "rows"))
    if partition:
        draws = [np.sort(part) for part in np.array_split(r.permutation(n), n_estimators)]
    else:
        size = max(1, round((fraction or 1.0) * n))
        draws = [r.integers(n, size=size) for _ in range(n_estimators)]
    classes = np.unique(targets) if is_classifier(estimator) else None
    members, singles = [], []
    total, seen_by = np.zeros((n, 1 if classes is None else len(classes))), np.zeros(n)
    for i, rows in enumerate(draws):
        fresh: Any = clone(estimator)  # every random_state in it, or in the steps of a pipeline, gets its own seed
        keys = [key for key in fresh.get_params() if key == "random_state" or key.endswith("__random_state")]
        fresh.set_params(**{key: sklearn_seed(child_seed(seed, "member", i), key) for key in keys})
        members.append(member := fresh.fit(table.values[rows], targets[rows]))
        new = np.ones(n, dtype=bool)
        new[rows] = False
        if new.any():
            prediction = outputs(member, table.values[new], classes)
            singles.append(measured_score(prediction, targets[new], classes).value)
            total[new] += prediction.reshape(len(prediction), -1)
        seen_by += new
    scored = seen_by > 0
    mean = total[scored] / seen_by[scored, None]
    unscored = f"{n - scored.sum()} rows were seen by all members and are not scored."
    warnings = [] if scored.all() else [unscored]
    warnings += [] if table.weights is None else ["Event weights are not used: every row counts once."]
    return Bagged(
        members=tuple(members),
        classes=classes,
        out_of_bag=measured_score(mean[:, 0] if classes is None else mean, targets[scored], classes),
        member_score=float(np.mean(singles)) if singles else math.nan,
        names=table.names,
        settings={
            "n_estimators": n_estimators,
            "rows": f"{'disjoint parts' if partition else 'bootstrap samples'} of {len(draws[0])} rows",
            "seed": seed,
        },
        warnings=tuple(warnings),
    )


def read_targets(y: ArrayLike, n: int) -> np.ndarray:
    """Return `y` as an array (n,), or say what came instead."""
    targets = as_column(y, "y")
    targets = targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets
    if targets.shape != (n,):
        raise InputError(f"Expected y with shape ({n},), one target per row of X, got {targets.shape}. Reshape y.")
    if targets.dtype.kind == "f":
        check_finite(targets, name="y")
    return targets


def outputs(member: Any, values: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Return the predictions (n,) of a fitted estimator, or its probabilities (n, K) for `classes`.

    A class that the member never saw has probability 0; a classifier without probabilities votes with 0 and 1.
    """
    if classes is None:
        return np.asarray(member.predict(values), dtype=np.float64)
    spread = np.zeros((len(values), len(classes)))
    probabilities = getattr(member, "predict_proba", None)
    if probabilities is not None:
        spread[:, np.searchsorted(classes, member.classes_)] = probabilities(values)
    else:
        spread[np.arange(len(values)), np.searchsorted(classes, member.predict(values))] = 1
    return spread


def measured_score(prediction: np.ndarray, targets: np.ndarray, classes: np.ndarray | None) -> Measured:
    """Return accuracy of probabilities (n, K), or R^2 of predictions (n,), with its standard error; nan for n = 0."""
    n = len(targets)
    if n == 0:
        return Measured(math.nan, math.nan, 0)
    if classes is not None:
        accuracy = float(np.mean(classes[prediction.argmax(axis=1)] == targets))
        return Measured(accuracy, math.sqrt(accuracy * (1 - accuracy) / n), n)
    squared, deviation = np.square(targets - prediction), np.square(targets - targets.mean())
    A, B = float(squared.mean()), float(deviation.mean())
    if B == 0:
        return Measured(math.nan, math.nan, n)
    influence = A * deviation / B**2 - squared / B
    return Measured(1 - A / B, float(influence.std() / math.sqrt(n)), n)


@dataclass(frozen=True)
class VarianceDecomposition(Result):
    """Variance of an ensemble over training sets; one standard error each, from the replicates.

    Parameters
    ----------
    sigma2 : Variance of one member, in squared units of the prediction.
    rho : Correlation of two members.
    var_mean : Variance of the mean of the members.
    predicted : rho sigma^2 + (1 - rho) sigma^2 / n at the given number of members.
    bias2 : Squared bias; None where the truth is not known.
    n_replicates, n_members, n_points : Numbers of replicates, members and points that it was estimated from.
    """

    sigma2: Measured
    rho: Measured
    var_mean: Measured
    predicted: float
    bias2: Measured | None
    n_replicates: int
    n_members: int
    n_points: int

    @checked
    def at(self, n: Count) -> float:
        """Return the variance of the mean of `n` members, rho sigma^2 + (1 - rho) sigma^2 / n."""
        return self.rho.value * self.sigma2.value + (1 - self.rho.value) * self.sigma2.value / n

    def __str__(self) -> str:
        floor, bias = self.rho.value * self.sigma2.value, ""
        if self.bias2 is not None:
            limit = max(self.bias2.value, 0.0) + 1.645 * self.bias2.error
            seen = self.bias2.value >= 1.645 * self.bias2.error
            bias = f" The squared bias is {self.bias2}."
            bias = bias if seen else f" No bias is seen: its square is below {limit:.2g} (95 %)."
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
    predictions : Predictions by replicate, member and point, shape (R, M, P); R >= 3, M >= 2. Replicates are
        independent.
    truth : What an ideal model would predict, shape (P,), or None.

    Raises
    ------
    InputError
        For another shape.
    """
    x = np.asarray(as_array(predictions, "predictions"), dtype=np.float64)
    if x.ndim != 3 or x.shape[0] < _FEWEST_REPLICATES or x.shape[1] < 2 or x.shape[2] < 1:
        raise InputError(
            f"Expected predictions (replicate, member, point) with at least {_FEWEST_REPLICATES} replicates and 2 "
            f"members, got shape {x.shape}. Reshape them, or train more."
        )
    check_finite(x, name="predictions")
    R, M, P = x.shape
    deviations, means = x - x.mean(axis=0), x.mean(axis=1)
    # squared deviations of each replicate; a variance is their sum / (R-1), and without replicate r, exactly,
    # (sum q - q_r R/(R-1)) / (R-2); beneath, the first number is that of all replicates
    q = np.square(deviations).mean(axis=(1, 2))
    q_mean = np.square(deviations.mean(axis=1)).mean(axis=1)
    v, v_mean = (np.append(s.sum() / (R - 1), (s.sum() - s * R / (R - 1)) / (R - 2)) for s in (q, q_mean))
    # M^2 Var(mean) = M sigma^2 + M (M-1) rho sigma^2
    correlation = np.divide(M * v_mean - v, (M - 1) * v, out=np.full_like(v, math.nan), where=v > 0)

    def jackknife(value: float, without: np.ndarray) -> Measured:
        return Measured(float(value), math.sqrt((R - 1) / R * np.square(without - without.mean()).sum()), R)

    sigma2, var_mean, rho = (jackknife(part[0], part[1:]) for part in (v, v_mean, correlation))
    bias2 = None
    if truth is not None:
        f = as_array(truth, "truth").astype(np.float64)
        if f.shape != (P,):
            raise InputError(f"Expected truth with shape {(P,)}, got {f.shape}. Give one number per point.")
        offset = means.mean(axis=0) - f
        without = np.array([np.square(offset + (offset + f - mean) / (R - 1)).mean() for mean in means])
        bias2 = jackknife(np.square(offset).mean() - var_mean.value / R, without)
    predicted = rho.value * sigma2.value + (1 - rho.value) * sigma2.value / M
    return VarianceDecomposition(sigma2, rho, var_mean, predicted, bias2, R, M, P)


@checked
def decompose(
    estimator: Estimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    X_test: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    n_replicates: Annotated[int, Interval(_FEWEST_REPLICATES)] = 20,
    n_estimators: Count = 25,
    fraction: Fraction | None = None,
    disjoint: bool = False,
    random_state: RandomState = None,
) -> VarianceDecomposition:
    """Train ensembles on many data sets and decompose the variance of their predictions.

    Parameters
    ----------
    estimator, X, y, n_estimators, fraction : As for `bagging`; a classifier predicts probabilities, and each class at
        each point counts as a point.
    X_test : Where to predict, shape (P, *event); None holds out a fifth of the rows, at most 500.
    truth : What an ideal model would predict at `X_test`, shape (P,), or (P, K) for a classifier of K classes; needs
        `disjoint`.
    n_replicates : Number R of data sets, at least 3.
    disjoint : The data sets are R disjoint parts of the rows: independent, and R times smaller. Otherwise they are
        bootstrap samples, which share rows with each other: the variance around these data.
    random_state : Seed or generator, or None.

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
    rest = order[n_held:]
    sets = np.array_split(rest, n_replicates) if disjoint else [r.choice(rest, len(rest)) for _ in range(n_replicates)]
    predictions = []
    for i, rows in enumerate(sets):
        x, y_of = table.values[rows], targets[rows]
        draw = child_seed(seed, "replicate", i)
        ensemble = bagging(estimator, x, y_of, n_estimators=n_estimators, fraction=fraction, random_state=draw)
        predictions.append([outputs(member, points, classes).ravel() for member in ensemble.members])
    return variance_decomposition(np.array(predictions), None if truth is None else np.ravel(np.asarray(truth)))
