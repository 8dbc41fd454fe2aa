"""Classifiers that learn to tell two samples apart, one recipe each, by name.

    boosting  histogram gradient boosting, scikit-learn's defaults (100 trees of 31 leaves, learning rate 0.1)
    forest    100 random trees with at least 2 events in a leaf (Breiman 2001)
    mlp       two hidden layers of 64, see `reverie.validation.classifiers.networks`
    cnn       three convolutions, for images and lattices, ditto
    sets      two equivariant layers, for sets of particles, ditto

On CMS dimuon events against three imperfect generators, 2,000 training events per class, smaller boosted trees,
smaller steps and early stopping all found less (AUC 0.571 ± 0.004 against 0.539 to 0.564 for the hardest of the
three).

Each maps the training half to a function of rows that returns log-odds, large for target 1.

Weights in training: both classes are scaled to one total. An event of negative weight counts as an event of
weight |w| of the *other* class. With densities p = p+ - p- and q = q+ - q- the best classifier then is
(p+ + q-)/(p+ + q- + q+ + p-), which exceeds 1/2 exactly where p > q: trees see no negative weight, and the rule they
aim at is 1/2 exactly where the samples agree. (Dropping or clipping negative weights teaches the learner a
difference that is not there.) Tests stay valid whatever the training did: they count only the test half, with the
weights as they are.

More than 64 features are reduced to 63 principal components of the pooled training half and the length of what these
leave out, so that noise in directions which real data do not use is seen too; convolutions and equivariant layers see
all there is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.validation.classifiers.networks import fit_convolutions, fit_perceptron, fit_sets
from reverie.validation.parallel import library_threads

__all__ = [
    "CLASSIFIERS",
    "MAX_FEATURES",
    "Events",
    "Classifier",
    "RowMap",
    "TrainedClassifier",
    "TrainingSet",
    "principal_components",
    "seconds_of_training",
    "train_classifier",
]

MAX_FEATURES = 64
_SMALL_FIT = 1_000_000  # numbers in the training half
_TREES = 100
_EPOCHS = 20  # of the networks, which stop early

RowMap = Callable[[np.ndarray], np.ndarray]  # rows (n, d) -> features (n, k) or log-odds (n,)


@dataclass(frozen=True)
class Events:
    """Rows (n, d) with weights (n,) of any unit and sign, or None."""

    rows: np.ndarray
    weights: np.ndarray | None = None

    def take(self, which: np.ndarray) -> "Events":
        """Return the chosen rows with their weights."""
        return Events(self.rows[which], None if self.weights is None else self.weights[which])

    @property
    def filled(self) -> np.ndarray:
        """Weights (n,), ones where there are none."""
        return np.ones(len(self.rows)) if self.weights is None else np.asarray(self.weights, dtype=float)


class TrainingSet(NamedTuple):
    """What a learner sees of both classes.

    Parameters
    ----------
    rows : (n, d), each class in random order or in the order of time.
    targets : (n,) of zeros and ones.
    weights : (n,) >= 0, with one total in both classes.
    """

    rows: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, negative: Events, positive: Events) -> "TrainingSet":
        """Return the training set of two classes; negative weights change sides."""
        targets = np.repeat([0, 1], [len(negative.rows), len(positive.rows)])
        half = len(targets) / 2
        weights = np.concatenate([w * (half / w.sum()) for w in (negative.filled, positive.filled)])
        targets, weights = np.where(weights < 0, 1 - targets, targets), np.abs(weights)
        share = half / np.bincount(targets, weights=weights, minlength=2)
        return cls(np.concatenate([negative.rows, positive.rows]), targets, weights * share[targets])


@dataclass(frozen=True)
class Classifier:
    """A recipe: how to fit rows, targets and weights, one sentence, and whether pixels keep places, or rows are sets.

    `fit(rows, targets, weights, seed=...)` returns the function of rows that gives log-odds.
    """

    fit: Callable[..., RowMap]
    description: str
    spatial: bool = False
    of_sets: bool = False


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained learner: rows (n, d) -> features (n, k) -> log-odds (n,), large for target 1.

    Parameters
    ----------
    features : the map to what the learner sees: the identity, or principal components.
    names : Names of these features, shape (k,).
    log_odds : The map from these features to log-odds.
    """

    features: RowMap
    names: tuple[str, ...]
    log_odds: RowMap

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Return the log-odds (n,) of rows (n, d)."""
        return self.log_odds(self.features(rows))


def train_classifier(
    name: str,
    negative: Events,
    positive: Events,
    *,
    names: Sequence[str],
    seed: int,
    event_shape: tuple[int, ...] | None = None,
    periodic: bool = False,
) -> TrainedClassifier:
    """Return learner `name`, trained to tell `positive` from `negative`.

    Parameters
    ----------
    name : A key of `CLASSIFIERS`.
    names : d feature names.
    seed : Seed of trees, initial weights and batches.
    event_shape : (height, width) or (channels, height, width) of a flattened row, for "cnn"; (P, F + 1) for "sets".
    periodic : whether opposite edges are neighbours, for "cnn".

    Raises
    ------
    InputError
        For an unknown learner, or an event shape that does not fit.
    """
    learner, training = check_choice("learner", name, CLASSIFIERS), TrainingSet.of(negative, positive)
    n_features, features = training.rows.shape[1], _same
    if learner.of_sets:
        shape = event_shape or (n_features,)
        masks = training.rows.reshape(-1, *shape)[..., -1]
        if len(shape) != 2 or not np.isin(masks, (0, 1)).all():
            raise InputError(
                f"Expected sets of particles, with a mask of 0 and 1 last, for the learner {name!r}, got events of "
                f"shape {shape}. Take another learner, or make sets by particle_sets."
            )
        # no number of a set has a meaning by itself that shuffling it would show
        return TrainedClassifier(features, (), learner.fit(*training, seed=seed, event_shape=shape))
    if learner.spatial:
        if event_shape is None or len(event_shape) not in (2, 3) or int(np.prod(event_shape)) != n_features:
            raise InputError(
                f"Expected event_shape of (height, width) or (channels, height, width) with {n_features} pixels for "
                f"the learner {name!r}, got {event_shape}. Give the shape of one event, or use another learner."
            )
        log_odds = learner.fit(*training, seed=seed, event_shape=(1, *event_shape)[-3:], periodic=periodic)
        return TrainedClassifier(features, tuple(names), log_odds)
    if n_features > MAX_FEATURES:
        features = principal_components(training.rows, seed)
        training = training._replace(rows=features(training.rows))
        names = [*(f"principal component {j + 1}" for j in range(training.rows.shape[1] - 1)), "rest"]
    return TrainedClassifier(features, tuple(names), learner.fit(*training, seed=seed))


def seconds_of_training(name: str, rows: int, n_features: int) -> float:
    """Return the seconds that one fit takes on one core, on half of the rows of both samples together."""
    if name == "cnn":
        return 1 + rows / 2 * _EPOCHS * n_features * 2e-7
    if name == "sets":
        return 1 + rows / 2 * _EPOCHS * n_features * 1e-6
    if name == "mlp":
        return 1 + rows / 2 * _EPOCHS * 3e-5
    k = min(n_features, MAX_FEATURES)
    return 0.5 + 0.04 * k + rows / 2 * (k * 4e-6 + n_features * 1e-7)


def principal_components(rows: np.ndarray, seed: int, *, keep: int = MAX_FEATURES - 1) -> RowMap:
    """Return a function of rows (n, d): the principal components of `rows`, then the length of what they leave out."""
    from sklearn.decomposition import PCA

    pca = PCA(n_components=min(keep, len(rows) - 1, rows.shape[1]), random_state=seed % 2**32).fit(rows)

    def reduced(rows: np.ndarray) -> np.ndarray:
        inside = pca.transform(rows)
        rest = np.square(rows - pca.mean_).sum(1) - np.square(inside).sum(1)
        return np.column_stack([inside, np.sqrt(np.maximum(rest, 0))])

    return reduced


def _same(rows: np.ndarray) -> np.ndarray:
    return rows


def _boosting(rows: np.ndarray, targets: np.ndarray, weights: np.ndarray, *, seed: int) -> RowMap:
    from sklearn.ensemble import HistGradientBoostingClassifier

    leaf, seed = min(20, max(2, len(rows) // 20)), seed % 2**32
    model = HistGradientBoostingClassifier(min_samples_leaf=leaf, random_state=seed).set_params(early_stopping=False)
    # small fits are slower on several threads, much slower where the cores are shared
    is_alone = torch.get_num_threads() == 1 or rows.size < _SMALL_FIT
    threads = partial(library_threads, 1 if is_alone else None, "openmp")
    with threads():  # equal weights are left out: quantiles of rows with weights take ten times as long
        model.fit(rows, targets, sample_weight=weights if np.ptp(weights) > 0 else None)

    def scores(rows: np.ndarray) -> np.ndarray:
        with threads():
            return model.decision_function(rows)

    return scores


def _forest(rows: np.ndarray, targets: np.ndarray, weights: np.ndarray, *, seed: int) -> RowMap:
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(_TREES, min_samples_leaf=2, random_state=seed % 2**32, n_jobs=1)
    model.fit(rows, targets, sample_weight=weights)

    def scores(rows: np.ndarray) -> np.ndarray:
        share = (_TREES * np.asarray(model.predict_proba(rows))[:, 1] + 0.5) / (_TREES + 1)  # finite log-odds
        return np.log(share / (1 - share))

    return scores


_LEARN = "learn to tell real from generated; the area under the ROC curve on events they have not seen."
CLASSIFIERS: dict[str, Classifier] = {
    "boosting": Classifier(_boosting, f"Boosted trees {_LEARN}"),
    "forest": Classifier(_forest, f"Random trees {_LEARN}"),
    "mlp": Classifier(fit_perceptron, f"Two hidden layers {_LEARN}"),
    "cnn": Classifier(fit_convolutions, f"Convolutions {_LEARN}", spatial=True),
    "sets": Classifier(fit_sets, f"Equivariant layers {_LEARN}", of_sets=True),
}
