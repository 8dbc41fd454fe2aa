"""Bagging: the average of equal models, each trained on rows of its own.

M copies of an estimator are trained on bootstrap samples of the data, or on disjoint parts of it, and
their predictions, or class probabilities, are averaged (Breiman 1996). The mean has the bias of its
members, and less variance the less they are correlated (`reverie.explore.variance`). Bootstrap samples
repeat rows, and disjoint parts are small: either may increase the bias. Bagging pays for unstable
learners, such as deep trees, where a small change of the data changes the prediction much.

A row that a member did not train on is "out of bag" for it (37 % of the rows of a bootstrap sample).
The score of each row by such members alone is an honest estimate without a test set. Its standard error
is that of the number of rows: for an accuracy a, a(1 - a)/n; for R^2 = 1 - A/B, with A the mean squared
error and B the variance of y, the variance of the influence A (y - mean)^2/B^2 - e^2/B over n.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_finite, check_positive
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.tables import read_table

__all__ = ["Bagged", "bagging", "measured_score", "outputs", "read_targets"]

Draws = list[np.ndarray]  # the training rows of each member


@dataclass(frozen=True, eq=False)
class Bagged:
    """An ensemble of equal models, each trained on its own rows.

    Parameters
    ----------
    members : fitted estimators.
    classes : (K,) class labels, None for a regression.
    out_of_bag : accuracy or R^2 of rows by the members that did not see them, with the standard error of
        their number; nan where no row was left out.
    member_score : the mean of the same score over single members.
    names : d feature names.
    settings : n_estimators, how rows were drawn, and the seed.
    warnings : what to keep in mind, in sentences.
    """

    members: tuple[Any, ...]
    classes: np.ndarray | None
    out_of_bag: Measured
    member_score: float
    names: tuple[str, ...]
    settings: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def member_predictions(self, X: ArrayLike) -> np.ndarray:
        """Return the predictions of each member on `X` (n, *event): (M, n), or probabilities (M, n, K)."""
        values = read_table(X).values
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

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write, without the members themselves."""
        return {
            "classes": None if self.classes is None else self.classes.tolist(),
            "out_of_bag": self.out_of_bag.to_json(),
            "member_score": self.member_score if math.isfinite(self.member_score) else None,
            "names": list(self.names),
            "settings": dict(self.settings),
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        score = "R^2" if self.classes is None else "accuracy"
        rows = self.settings["rows"]
        found = (
            f"{len(self.members)} members trained on {rows} reach an out-of-bag {score} of {self.out_of_bag}; "
            f"single members reach {self.member_score:.3g}."
        )
        return " ".join([found, *self.warnings])


@checked
def bagging(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_estimators: int = 25,
    fraction: float | None = None,
    partition: bool = False,
    random_state: RandomState = None,
) -> Bagged:
    """Train copies of `estimator` on bootstrap samples or on disjoint parts, and average them.

    Parameters
    ----------
    estimator : a scikit-learn classifier or regressor; it is cloned, and seeded if it has a random_state.
    X, y : (n, *event) and (n,).
    n_estimators : M, at least 2.
    fraction : size of each bootstrap sample over n, in (0, 1]; None is 1.
    partition : train on M disjoint parts of the rows in place of bootstrap samples.
    random_state : int, generator or None.

    Raises
    ------
    InputError
        For both fraction and partition, or fewer rows than members need.
    """
    from sklearn.base import is_classifier

    table, seed = read_table(X), as_seed(random_state)
    targets = read_targets(y, len(table.values))
    draws = _draws(len(targets), n_estimators, fraction, partition=partition, seed=child_seed(seed, "rows"))
    classes = np.unique(targets) if is_classifier(estimator) else None
    members = _members(estimator, table.values, targets, draws, seed)
    score, single = _out_of_bag(members, draws, table.values, targets, classes)
    left = len(targets) - (score.n or 0)
    return Bagged(
        members=members,
        classes=classes,
        out_of_bag=score,
        member_score=single,
        names=table.names,
        settings={
            "n_estimators": n_estimators,
            "rows": f"{'disjoint parts' if partition else 'bootstrap samples'} of {len(draws[0])} rows",
            "seed": seed,
        },
        warnings=_warnings(left, weighted=table.weights is not None),
    )


def read_targets(y: ArrayLike, n: int) -> np.ndarray:
    """Return `y` as an array (n,), or say what came instead."""
    targets = np.asarray(y)
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
    found = np.zeros((len(values), len(classes)))
    probabilities = getattr(member, "predict_proba", None)
    if probabilities is not None:
        found[:, np.searchsorted(classes, member.classes_)] = probabilities(values)
    else:
        found[np.arange(len(values)), np.searchsorted(classes, member.predict(values))] = 1
    return found


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


def _warnings(left: int, *, weighted: bool) -> tuple[str, ...]:
    found = [f"{left} rows were seen by all members and are not scored."] if left else []
    return tuple(found + (["Event weights are not used: every row counts once."] if weighted else []))


def _draws(n: int, n_estimators: int, fraction: float | None, *, partition: bool, seed: int) -> Draws:
    check_positive("n_estimators", n_estimators, integer=True)
    r = np.random.default_rng(seed)
    if partition and fraction is not None:
        raise InputError("Expected either fraction or partition, got both. Disjoint parts have their own size, n/M.")
    if n < n_estimators:
        raise InputError(f"Expected at least as many rows as members, got {n} and {n_estimators}. Give more rows.")
    if partition:
        return [np.sort(part) for part in np.array_split(r.permutation(n), n_estimators)]
    share = 1.0 if fraction is None else fraction
    check_positive("fraction", share)
    if share > 1:
        raise InputError(f"Expected fraction <= 1, got {share}. It is a share of the rows.")
    return [r.integers(n, size=max(1, round(share * n))) for _ in range(n_estimators)]


def _members(estimator: Any, values: np.ndarray, targets: np.ndarray, draws: Draws, seed: int) -> tuple[Any, ...]:
    return tuple(
        _seeded(estimator, child_seed(seed, "member", i)).fit(values[rows], targets[rows])
        for i, rows in enumerate(draws)
    )


def _seeded(estimator: Any, seed: int) -> Any:
    # every random_state of an estimator, or of the steps of a pipeline, gets a seed of its own
    from sklearn.base import clone

    fresh: Any = clone(estimator)
    keys = sorted(key for key in fresh.get_params() if key == "random_state" or key.endswith("__random_state"))
    return fresh.set_params(**{key: child_seed(seed, key) % 2**32 for key in keys}) if keys else fresh


def _out_of_bag(
    members: tuple[Any, ...], draws: Draws, values: np.ndarray, targets: np.ndarray, classes: np.ndarray | None
) -> tuple[Measured, float]:
    """Return the score of rows by the members that did not see them, and the mean score of single members."""
    total, seen_by, singles = 0.0, np.zeros(len(values)), []
    for member, rows in zip(members, draws, strict=True):
        new = np.ones(len(values), dtype=bool)
        new[rows] = False
        prediction = np.zeros((len(values), 1 if classes is None else len(classes)))
        if new.any():
            found = outputs(member, values[new], classes)
            singles.append(measured_score(found, targets[new], classes).value)
            prediction[new] = found.reshape(len(found), -1)
        total, seen_by = total + prediction, seen_by + new
    scored = seen_by > 0
    mean = (total / np.maximum(seen_by, 1)[:, None])[scored]
    score = measured_score(mean[:, 0] if classes is None else mean, targets[scored], classes)
    return score, float(np.mean(singles)) if singles else math.nan
