"""Random forests: trees on bootstrap samples that ask random features, and which features matter.

Each tree is grown on its own bootstrap sample, and each of its questions is the best of max_features
random features (Breiman 2001). The second makes the trees less alike: with PE the mean squared error on
rows that were not trained on, and r_t = target - vote of tree t on them,

    PE(mean of n trees) = rho PE(tree) + (1 - rho) PE(tree)/n,     rho = mean_{s != t} <r_s r_t> / mean_t <r_t^2>,

as exact as any sum of squares; <> averages over rows, and for a classification over the one-hot classes
too (Brier score). rho falls with max_features, PE(tree) rises: the best forest lies between.

The trees, their out-of-bag predictions and the impurities are scikit-learn's. Which features matter, each with a
standard error:

    impurity      the share of the decrease of impurity that the questions on a feature brought; the error is that of
                  the number of trees. It is counted on the training rows, so it rewards features that fit noise, and
                  more so the more distinct values they have (Strobl et al. 2007). For comparison only.
    permutation   the loss of score when the feature is shuffled among held-out rows; the error is that of the number
                  of these rows, where scikit-learn's own function gives the spread over shuffles only. A feature that
                  is of no use has 0 within its error. Correlated features stand in for each other and share it.
"""

import math
import warnings as python_warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from reverie.core.arguments import Count, Interval, checked
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.ensemble import measured_score, outputs, read_targets
from reverie.explore.tables import Result, read_like, read_table, sklearn_seed

__all__ = ["ForestResult", "TreeCorrelation", "forest", "permutation_importance", "tree_correlation"]

KINDS = {name: name for name in ("auto", "classification", "regression")}
_MOST_CLASSES = 20  # whole numbers with more values than this are taken for a regression
_HELD_OUT = 0.25
_MOST_HELD_OUT = 10_000  # rows; more only take time, the error is small
_REPEATS = 3  # shuffles of each feature
_NUMBERS_AT_ONCE = 1_000_000  # of shuffled rows that are predicted in one call, 8 MB
_CURVE_TREES = 50  # of each forest along max_features; rho does not depend on their number


@dataclass(frozen=True)
class TreeCorrelation:
    """How alike the trees of a forest are on held-out rows.

    Parameters
    ----------
    max_features : Number of features that each question may choose from.
    rho : Correlation of the errors of two trees.
    tree_error, forest_error : Mean squared error (Brier score) of one tree and of the forest.
    """

    max_features: int
    rho: float
    tree_error: float
    forest_error: float


@dataclass(frozen=True, eq=False)
class ForestResult(Result):
    """A random forest, its score, and what it says about the features.

    Parameters
    ----------
    estimator : The fitted scikit-learn forest.
    kind : "classification" or "regression".
    classes : Class labels, shape (K,); None for a regression.
    out_of_bag, held_out : Accuracy or R^2 of rows by the trees that did not see them, and of held-out rows.
    chance : Accuracy of always naming the most frequent class; 0 for R^2.
    impurity, permutation : Importance of each feature by name, with standard errors.
    correlation : One `TreeCorrelation` per max_features tried, in increasing order.
    max_features : Number of features that each question of this forest may choose from.
    names : Names of the d features.
    settings : n_estimators, rows trained on and held out, seed.
    warnings : What to keep in mind, in sentences.
    """

    estimator: Any
    kind: str
    classes: np.ndarray | None
    out_of_bag: Measured
    held_out: Measured
    chance: float
    impurity: dict[str, Measured]
    permutation: dict[str, Measured]
    correlation: tuple[TreeCorrelation, ...]
    max_features: int
    names: tuple[str, ...]
    settings: dict[str, int]
    warnings: tuple[str, ...] = ()
    not_in_json: ClassVar = ("estimator",)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the class or the value (n,) of each row of `X` (n, *event)."""
        return self.estimator.predict(read_like(X, self.names).values)

    @property
    def rho(self) -> float:
        """Correlation of the errors of two trees of this forest."""
        return next(c.rho for c in self.correlation if c.max_features == self.max_features)

    def __str__(self) -> str:
        score = "R^2" if self.classes is None else "accuracy"
        best = sorted(self.permutation.items(), key=lambda item: -item[1].value)[:3]
        others = ", ".join(f"{c.rho:.2f} at {c.max_features}" for c in self.correlation if c.rho != self.rho)
        sentences = [
            f"{self.settings['n_estimators']} trees reach an out-of-bag {score} of {self.out_of_bag}; "
            f"chance is {self.chance:.3g}.",
            f"Most is lost when these are shuffled: {', '.join(f'{name} ({m})' for name, m in best)}.",
            f"The errors of two trees have correlation {self.rho:.2f} at {self.max_features} features per question"
            f"{f' ({others})' if others else ''}.",
        ]
        return " ".join([*sentences, *self.warnings])


@checked
def forest(
    X: ArrayLike,
    y: ArrayLike,
    *,
    kind: str = "auto",
    n_estimators: Annotated[int, Interval(2)] = 300,
    max_features: Count | None = None,
    names: Sequence[str] | None = None,
    random_state: RandomState = None,
) -> ForestResult:
    """Grow a random forest and judge its features.

    A random quarter of the rows, at most 10,000, is held out for the permutation importances and the correlation of
    trees; the forest itself is grown on the others.

    Parameters
    ----------
    X : Rows, shape (n, *event). Event weights weigh the training, not the scores.
    y : Targets, shape (n,).
    kind : "classification", "regression" or "auto": a regression for fractional numbers and for more than 20
        different whole numbers.
    n_estimators : Number of trees, at least 2.
    max_features : Number of features each question may choose from, 1 ... d; None is the root of d for a
        classification and d/3 for a regression.
    names : Names of the d features.
    random_state : Seed or generator, or None.

    Raises
    ------
    InputError
        For fewer than 8 rows, or one class alone.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    table, seed = read_table(X, names), as_seed(random_state)
    n, d = table.values.shape
    targets = read_targets(y, n)
    kind, numbers = check_choice("kind", kind, KINDS), targets.dtype.kind in "iuf"
    if kind == "regression" and not numbers:
        raise InputError("Expected numbers in y for a regression, got labels. Leave kind at auto, or encode y.")
    if kind == "auto":
        few = not numbers or bool(np.all(targets == np.round(targets))) and len(np.unique(targets)) <= _MOST_CLASSES
        kind = "classification" if few else "regression"
    classes = np.unique(targets) if kind == "classification" else None
    if n < 8:
        raise InputError(f"Expected at least 8 rows, got {n}. Give more.")
    if classes is not None and len(classes) < 2:
        raise InputError(f"Expected at least two classes in y, got {classes.tolist()}. There is nothing to tell apart.")
    chosen = max(1, d // 3 if classes is None else round(math.sqrt(d))) if max_features is None else max_features
    if chosen > d:
        raise InputError(f"Expected max_features <= {d} features, got {chosen}. Give a smaller number.")
    order = np.random.default_rng(child_seed(seed, "held out")).permutation(n)
    n_held = min(_MOST_HELD_OUT, max(2, int(_HELD_OUT * n)))
    train, held = order[n_held:], order[:n_held]
    weights = None if table.weights is None else table.weights[train]
    if weights is not None and not weights.any():
        raise InputError(
            f"Expected positive weights among the {len(train)} rows of the training, got none. Drop rows of weight 0."
        )
    Forest: Any = RandomForestRegressor if classes is None else RandomForestClassifier
    test, answers = table.values[held], targets[held]
    forests, chosen = {}, int(chosen)
    with python_warnings.catch_warnings():  # rows without out-of-bag trees are left out of the score
        python_warnings.filterwarnings("ignore", message="Some inputs do not have OOB")
        python_warnings.filterwarnings("ignore", message="invalid value encountered in divide")
        for k in sorted({1, d, chosen}):
            trees = n_estimators if k == chosen else min(n_estimators, _CURVE_TREES)
            draw = sklearn_seed(seed, "forest") if k == chosen else sklearn_seed(seed, "curve", k)
            made = Forest(trees, max_features=k, oob_score=k == chosen, random_state=draw)
            forests[k] = made.fit(table.values[train], targets[train], sample_weight=weights)
    grown: Any = forests[chosen]
    shares = np.stack([tree.feature_importances_ for tree in grown.estimators_])
    impurity = zip(table.names, shares.mean(axis=0), shares.std(axis=0, ddof=1) / math.sqrt(len(shares)), strict=True)
    return ForestResult(
        estimator=grown,
        kind=kind,
        classes=classes,
        out_of_bag=_out_of_bag(grown, targets[train], classes),
        held_out=measured_score(outputs(grown, test, classes), answers, classes),
        chance=float(max(np.mean(answers == c) for c in classes)) if classes is not None else 0.0,
        impurity={name: Measured(float(mean), float(error), len(shares)) for name, mean, error in impurity},
        permutation=permutation_importance(grown, test, answers, table.names, child_seed(seed, "permutation")),
        correlation=tuple(tree_correlation(made, test, answers) for made in forests.values()),
        max_features=chosen,
        names=table.names,
        settings={"n_estimators": n_estimators, "n_train": len(train), "n_held_out": len(held), "seed": seed},
        warnings=("Event weights are used in the training, not in the scores.",) if weights is not None else (),
    )


def _out_of_bag(grown: Any, targets: np.ndarray, classes: np.ndarray | None) -> Measured:
    """Return the score of the training rows by the trees that left them out; rows that no tree left out do not count.

    scikit-learn gives zero for these.
    """
    seen = np.zeros(len(targets), dtype=bool)
    for drawn in grown.estimators_samples_:
        seen |= np.bincount(drawn, minlength=len(targets)) == 0
    if not seen.any():
        return Measured(math.nan, math.nan, 0)
    if classes is None:
        return measured_score(grown.oob_prediction_[seen], targets[seen], None)
    spread = np.zeros((int(seen.sum()), len(classes)))  # a class may be missing in the training
    spread[:, np.searchsorted(classes, grown.classes_)] = grown.oob_decision_function_[seen]
    return measured_score(spread, targets[seen], classes)


def permutation_importance(
    fitted: Any, X: np.ndarray, y: np.ndarray, names: Sequence[str], seed: int
) -> dict[str, Measured]:
    """Return the loss of accuracy (of an estimator with `classes_`), or of R^2, when each feature is shuffled.

    `X` (n, d) and `y` (n,) are rows that the estimator was not trained on.
    """
    variance = 1.0 if hasattr(fitted, "classes_") else float(np.var(y)) or 1.0

    def losses(rows: np.ndarray) -> np.ndarray:  # per row, in units in which the mean is 1 - accuracy or 1 - R^2
        answers = np.tile(y, len(rows) // len(y))
        if hasattr(fitted, "classes_"):
            return (fitted.predict(rows) != answers).astype(np.float64)
        return np.square(fitted.predict(rows) - answers) / variance

    r, (n, d), before, importances = np.random.default_rng(seed), X.shape, losses(X), {}
    at_once = max(1, _NUMBERS_AT_ONCE // (_REPEATS * X.size))  # features: a call of a forest costs more than its rows
    for first in range(0, d, at_once):
        features = range(first, min(first + at_once, d))
        shuffled = np.tile(X, (len(features), _REPEATS, 1, 1))
        for k, j in enumerate(features):
            for rows in shuffled[k]:
                rows[:, j] = r.permutation(X[:, j])
        for j, lost in zip(features, losses(shuffled.reshape(-1, d)).reshape(-1, _REPEATS, n), strict=True):
            change = ((lost - before) / _REPEATS).sum(axis=0)
            importances[names[j]] = Measured(float(change.mean()), float(change.std(ddof=1) / math.sqrt(n)), n)
    return importances


def tree_correlation(grown: Any, X: np.ndarray, y: np.ndarray) -> TreeCorrelation:
    """Return how alike the trees of a fitted scikit-learn forest are on rows `X` (n, d) with targets `y` (n,)."""
    classes = getattr(grown, "classes_", None)
    truth = np.asarray(y, dtype=np.float64) if classes is None else (y[:, None] == classes).astype(np.float64)
    total, squares = np.zeros_like(truth), 0.0
    numbered = None if classes is None else np.arange(len(classes), dtype=np.float64)  # trees know classes by number
    for tree in grown.estimators_:
        error = truth - outputs(tree, X, numbered)
        total += error
        squares += float(np.square(error).sum())
    n, rows = len(grown.estimators_), len(truth)
    both = float(np.square(total).sum())
    rho = (both - squares) / ((n - 1) * squares) if squares > 0 else math.nan
    return TreeCorrelation(int(grown.estimators_[0].max_features_), rho, squares / n / rows, both / n**2 / rows)
