"""Which features matter to a forest: two kinds of importance, each with a standard error.

    impurity      the share of the decrease of impurity that the questions on a feature brought. It is
                  counted on the training rows, so it rewards features that fit noise, and more so the more
                  distinct values they have (Strobl et al. 2007). For comparison only.
    permutation   the loss of score when the feature is shuffled among held-out rows. A feature that is of
                  no use has 0 within its error. Correlated features stand in for each other and share it.

The standard error of the permutation importance is that of the number of held-out rows; the one of the
impurity importance is that of the number of trees.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from reverie.core.measured import Measured

__all__ = ["impurity_importance", "permutation_importance"]

_REPEATS = 3  # shuffles of each feature


def impurity_importance(grown: Any, names: Sequence[str]) -> dict[str, Measured]:
    """Return the share of each feature in the decrease of impurity, with the spread over trees as its error."""
    shares = np.stack([tree.feature_importances_ for tree in grown.estimators_])
    n = len(shares)
    means, errors = shares.mean(axis=0), shares.std(axis=0, ddof=1) / math.sqrt(n)
    return {name: Measured(float(m), float(e), n) for name, m, e in zip(names, means, errors, strict=True)}


def permutation_importance(
    fitted: Any, X: np.ndarray, y: np.ndarray, names: Sequence[str], seed: int
) -> dict[str, Measured]:
    """Return the loss of accuracy, or of R^2, when each feature is shuffled.

    Parameters
    ----------
    fitted : an estimator with `predict`; a classifier if it has `classes_`.
    X, y : (n, d) and (n,), rows that it was not trained on.
    names : d feature names.
    seed : of the shuffles.
    """
    r, n = np.random.default_rng(seed), len(X)
    before, found = _losses(fitted, X, y), {}
    for j, name in enumerate(names):
        shuffled, change = X.copy(), np.zeros(n)
        for _ in range(_REPEATS):
            shuffled[:, j] = r.permutation(X[:, j])
            change += (_losses(fitted, shuffled, y) - before) / _REPEATS
        found[name] = Measured(float(change.mean()), float(change.std(ddof=1) / math.sqrt(n)), n)
    return found


def _losses(fitted: Any, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    # per row, in units in which the mean is 1 - accuracy or 1 - R^2
    if getattr(fitted, "classes_", None) is not None:
        return (fitted.predict(X) != y).astype(np.float64)
    variance = float(np.var(y))
    return np.square(fitted.predict(X) - y) / (variance if variance > 0 else 1.0)
