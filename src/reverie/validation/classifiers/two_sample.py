"""The classifier two-sample test (C2ST): if a classifier cannot tell two samples apart, they are alike.

Both samples are split once into a half for training and a half for testing. A learner
(`reverie.validation.classifiers.training`) learns to tell them apart on the first half; on the second, which it has
not seen,

    AUC = P(f(generated) > f(real)) + P(equal) / 2,     1/2 if both have one law   (Lopez-Paz, Oquab 2017)

p-value: given the training half, the scores of the test events are independent and, under the null
hypothesis, of one law, so the AUC is exactly the Mann-Whitney statistic; one-sided, with ties.
Error: the standard error of DeLong et al. (1988), from the placements of each test event among the
events of the other class, so it holds for unequal laws too and covers the fluctuation of both test
samples. It is the error of the AUC *of this trained classifier*. Weights, and the blocks of correlated rows,
change both as `reverie.validation.classifiers.auc` says.

Why one split and no cross-validation: under the null hypothesis the AUCs of exchanged halves are
strongly correlated (both measure how the fluctuations of the two halves align), so pooling them
gains little and breaks both the error and the p-value.

The split depends on `seed` and sizes alone, so all learners see the same one. Plain rows are split at random.
Rows of a Markov chain (`block` > 1) are split in time, the first half for training, the second for testing, with
a gap of one block between them: a random split would put neighbours on both sides.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.random import child_seed
from reverie.core.statistics import auc, effective_size
from reverie.validation.classifiers.auc import Weights, auc_p_value, auc_with_error, deflection, effective_sizes
from reverie.validation.classifiers.training import (
    CLASSIFIERS,
    MAX_FEATURES,
    Events,
    TrainedClassifier,
    train_classifier,
)
from reverie.validation.results.tests import ClassifierResult

__all__ = ["Halves", "beside", "classifier_test", "halves", "separate"]

MIN_BLOCKS = 5  # of each class in the test half: 252 labellings, so p can reach 0.004
MIN_EFFECTIVE = 10  # weighted events of each class in the test half


@dataclass(frozen=True)
class Halves:
    """Rows of both samples for training and for testing: integers, the real sample first."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def classifier_test(
    reference: np.ndarray,
    generated: np.ndarray,
    calibration: np.ndarray | None,
    *,
    weights: tuple[Weights, Weights, Weights] = (None, None, None),
    **options: Any,
) -> ClassifierResult:
    """Tell `generated` from `reference`, and `calibration` from `reference`, with the same recipe.

    Parameters
    ----------
    reference, generated, calibration : (rows, d), on one common scale; the last two of equal size. Without
        calibration real against real is nan.
    weights : Event weights of the three samples in this order, shape (rows,) each, of any unit and sign, or None.
    options : Those of `separate`: names, seed, learner, block, event_shape, periodic.

    Raises
    ------
    InputError
        For an unknown learner, a wrong event shape, or too few blocks or effective events.
    """
    of_real, of_generated, of_calibration = weights
    here = separate(reference, generated, weights=(of_real, of_generated), explain=True, **options)
    if calibration is None:
        return here
    return beside(here, separate(reference, calibration, weights=(of_real, of_calibration), **options))


def beside(here: ClassifierResult, real: ClassifierResult) -> ClassifierResult:
    """Return the result of generated against real beside that of real against real."""
    return replace(here, real_vs_real=real.value, real_vs_real_error=real.error, real_vs_real_p=real.p_value)


def separate(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    names: Sequence[str],
    seed: int,
    learner: str = "boosting",
    weights: tuple[Weights, Weights] = (None, None),
    block: int = 1,
    event_shape: tuple[int, ...] | None = None,
    periodic: bool = False,
    explain: bool = False,
) -> ClassifierResult:
    """Train a learner on one half of both samples and count on the other; real against real is left unknown.

    Parameters
    ----------
    real, generated : (rows, d), on one common scale.
    names : d feature names.
    seed : Seed of the split and the classifier.
    learner : "boosting", "forest", "mlp", "cnn" or "sets".
    weights : Event weights of both samples, shape (rows,) each, of any unit and sign, or None.
    block : number of neighbouring rows that belong together; 1 for independent rows.
    event_shape, periodic : Shape of one event, for "cnn" and "sets", and whether opposite edges are neighbours.
    explain : Whether to compute the importances, d more passes over the test half.
    """
    events = Events(real, weights[0]), Events(generated, weights[1])
    split = halves(*events, seed=seed, block=block)
    x, y = (sample.take(rows) for sample, rows in zip(events, split.test, strict=True))
    train = [sample.take(rows) for sample, rows in zip(events, split.train, strict=True)]
    trained = train_classifier(learner, *train, names=names, seed=seed, event_shape=event_shape, periodic=periodic)
    scores, of_test = (trained.scores(x.rows), trained.scores(y.rows)), (x.weights, y.weights)
    value, error = auc_with_error(*scores, of_test, block=block)
    difference, its_error = deflection(*scores, of_test, block=block)
    return ClassifierResult(
        value=value,
        error=error,
        real_vs_real=math.nan,
        real_vs_real_error=math.nan,
        real_vs_real_p=1.0,
        p_value=auc_p_value(*scores, of_test, block=block, seed=child_seed(seed, "permutations")),
        importances=_importances(trained, x, y, seed) if explain and len(trained.names) <= MAX_FEATURES else {},
        n_train=sum(len(sample.rows) for sample in train),
        n_test=len(x.rows) + len(y.rows),
        description=CLASSIFIERS[learner].description,
        reference="lopezpaz2017",
        learner=learner,
        n_effective=effective_sizes(*scores, of_test, block=block),
        deflection=difference,
        deflection_error=its_error,
    )


def halves(real: Events, generated: Events, *, seed: int, block: int = 1) -> Halves:
    """Return the rows of both samples that train and those that test.

    At random for block 1; else in time, with a gap of one block between, and whole blocks in the test half.

    Raises
    ------
    InputError
        For fewer than 5 test blocks in a sample, weights of another length, or fewer than 10 effective test events.
    """
    check_positive("block", block, integer=True)
    rng, train, test = np.random.default_rng(seed), [], []
    for sample, what in ((real, "real"), (generated, "generated")):
        n = len(sample.rows)
        if block == 1:
            order = rng.permutation(n)
            train.append(order[n // 2 :])
            test.append(order[: n // 2])
        else:
            blocks = (n - block) // 2 // block
            if blocks < MIN_BLOCKS:
                raise InputError(
                    f"Expected at least {(2 * MIN_BLOCKS + 1) * block} rows for blocks of {block} ({MIN_BLOCKS} blocks "
                    f"to test on, as many rows to train on, and a gap of one), got {n}. Give more rows, or thin them "
                    "and use smaller blocks."
                )
            train.append(np.arange(n - (blocks + 1) * block))
            test.append(np.arange(n - blocks * block, n))
        if sample.weights is None:
            continue
        if np.shape(sample.weights) != (n,):
            raise InputError(
                f"Expected one weight for each of the {n} {what} events, got shape {np.shape(sample.weights)}. Give an "
                "array (n_events,), or None for equal weights."
            )
        weights = sample.filled[test[-1]]
        effective, enough = effective_size(weights, block), min(MIN_EFFECTIVE, len(weights) // block / 2)
        if not weights.sum() > 0 or effective < enough:
            raise InputError(
                f"Expected {what} weights with a positive sum and at least {enough:g} effective events in the test "
                f"half, got sum {weights.sum():.4g} and (sum w)^2 / sum w^2 = {effective:.3g}. Give more events, or "
                "weights of less spread."
            )
    return Halves((train[0], train[1]), (test[0], test[1]))


def _importances(trained: TrainedClassifier, x: Events, y: Events, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(child_seed(seed, "importances"))
    rows = trained.features(np.concatenate([x.rows, y.rows]))
    split, weights = len(x.rows), (x.weights, y.weights)

    def area(rows: np.ndarray) -> float:
        scores = trained.log_odds(rows)
        return auc(scores[:split], scores[split:], weights)

    value, losses = area(rows), {}
    for j, name in enumerate(trained.names):
        shuffled = rows.copy()
        shuffled[:, j] = rng.permutation(shuffled[:, j])
        losses[name] = value - area(shuffled)
    return losses
