"""Calibrated weights: by how much each event is over- or underproduced, and how far that can be trusted.

With C(x) = P(real | x) for equally many real and generated events,

    w(x) = C/(1 - C) = p_real(x) / p_generated(x)

is the weight that turns the generated law into the real one. The whole law of log w says more than one AUC: events
with w > 2 are produced too rarely by a factor of two, events with w < 1/2 too often (Das et al. 2023).

Recipe. The split is that of the classifier test. The training half of both samples is cut into four parts; a
learner is trained on three and calibrated on the fourth, in turn, and each test event gets the mean of its four
log-weights. Calibration and training see no test event, so every number below is a count on fresh events.

    Platt (1999)   log w = a + b s, s the log-odds of the learner: two numbers, little noise; the default
    isotonic       any rising map; steps hold r real and g generated calibration events, C = (r + 1/2)/(r + g + 1)

Mean over four log-weights: on normal samples (d = 3, 1,000 and 4,000 events, shifts 0 to 2) it came closer to
the true log w than one learner calibrated on out-of-fold scores, than halves of the test sample that calibrate
each other, and than the mean of the weights themselves, in nearly all cases.

Checks. E_G[w] = 1: its error has the fluctuation of the test half and of the equally large one that was
calibrated on. Closure: the mean of each feature over generated events with weights w against that over real events.
Where it stays off, the learner has not found the difference: try another one.

Jensen-Shannon divergence: with the binary cross-entropy BCE = -(E_R[log C] + E_G[log(1 - C)])/2 on fresh events,

    D_JS >= ln 2 - BCE        in nats, between 0 (equal laws) and ln 2; a lower bound, equal for the true C

References
----------
Das et al. (2023), arXiv:2305.16774. Platt (1999), "Probabilistic outputs for support vector machines". Zadrozny and
Elkan (2002), "Transforming classifier scores into accurate multiclass probability estimates".
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.statistics import effective_size, mean_and_error
from reverie.validation.classifiers.shares import share_of
from reverie.validation.classifiers.training import Events, train_learner
from reverie.validation.classifiers.two_sample import halves
from reverie.validation.classifiers.weights_result import CalibratedWeights, Closure, WeightHistogram

__all__ = ["METHODS", "calibrated_weights"]

N_FOLDS = 4
_BINS = 40
Weights = np.ndarray | None
Pair = tuple[np.ndarray, np.ndarray]  # of real and of generated events


def calibrated_weights(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    names: Sequence[str],
    seed: int,
    learner: str = "boosting",
    method: str = "platt",
    weights: tuple[Weights, Weights] = (None, None),
    block: int = 1,
    event_shape: tuple[int, ...] | None = None,
    periodic: bool = False,
) -> CalibratedWeights:
    """Return the calibrated weights of the test half of both samples.

    Parameters
    ----------
    real, generated : (rows, d), in one unit; at least about 100 rows.
    names : d feature names.
    seed : of the split and the learners; the split is that of `classifier_test` with this seed.
    learner : "boosting", "forest", "mlp" or "cnn".
    method : "platt" or "isotonic".
    weights : of both samples, (rows,) >= 0 each, or None.
    block : number of neighbouring rows that belong together; 1 for independent rows.
    event_shape, periodic : of images and lattices, for "cnn".

    Raises
    ------
    InputError
        For unknown names, too few rows, or negative weights: their ratio of densities cannot be learned by counting.
    """
    calibrate = check_choice("method of calibration", method, METHODS)
    events = Events(real, weights[0]), Events(generated, weights[1])
    _check_positive(events)
    split = halves(*events, seed=seed, block=block)
    train = [sample.take(rows) for sample, rows in zip(events, split.train, strict=True)]
    test = [sample.take(rows) for sample, rows in zip(events, split.test, strict=True)]
    options = {"names": names, "seed": seed, "event_shape": event_shape, "periodic": periodic}
    log_w = _log_weights(train, test, learner, calibrate, options)
    return _summary(log_w, test, split.test, names, block, (learner, method, seed), len(train[1].rows))


def _log_weights(
    train: list[Events], test: list[Events], learner: str, calibrate: "Calibration", options: dict
) -> Pair:
    folds = [np.arange(len(sample.rows)) * N_FOLDS // len(sample.rows) for sample in train]
    total = [np.zeros(len(sample.rows)) for sample in test]
    for k in range(N_FOLDS):
        fit = [sample.take(fold != k) for sample, fold in zip(train, folds, strict=True)]
        rest = [sample.take(fold == k) for sample, fold in zip(train, folds, strict=True)]
        trained = train_learner(learner, *fit, **options)
        log_odds = np.concatenate([-trained.scores(sample.rows) for sample in rest])  # for real
        is_real = np.repeat([1, 0], [len(sample.rows) for sample in rest])
        to_log_w = calibrate(log_odds, is_real, _equal_totals([sample.filled for sample in rest]))
        for sums, sample in zip(total, test, strict=True):
            sums += to_log_w(-trained.scores(sample.rows)) / N_FOLDS
    return total[0], total[1]


def _equal_totals(weights: list[np.ndarray]) -> np.ndarray:
    half = sum(len(w) for w in weights) / 2
    return np.concatenate([w * (half / w.sum()) for w in weights])


Calibration = Callable[[np.ndarray, np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


def _platt(log_odds: np.ndarray, is_real: np.ndarray, weights: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    scale = log_odds.std() or 1.0
    # the weak penalty keeps the slope finite for samples that do not overlap
    model = LogisticRegression(C=100.0).fit(log_odds[:, None] / scale, is_real, sample_weight=weights)
    return lambda new: model.decision_function(new[:, None] / scale)


def _isotonic(log_odds: np.ndarray, is_real: np.ndarray, weights: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(out_of_bounds="clip").fit(log_odds, is_real, sample_weight=weights)
    steps, step = np.unique(model.predict(log_odds), return_inverse=True)
    r, g = (np.bincount(step, weights * of_class) for of_class in (is_real, 1 - is_real))
    log_w = np.log((r + 0.5) / (g + 0.5))
    return lambda new: np.interp(model.predict(new), steps, np.maximum.accumulate(log_w))


METHODS: dict[str, Calibration] = {"platt": _platt, "isotonic": _isotonic}


def _summary(
    log_w: Pair,
    test: list[Events],
    rows: Pair,
    names: Sequence[str],
    block: int,
    asked: tuple[str, str, int],
    n_calibrated: int,
) -> CalibratedWeights:
    (of_real, of_generated), (x, y) = log_w, test
    w = np.exp(of_generated)
    mean, error = mean_and_error(w, y.weights, block=block)
    shares = [
        share_of(inside, sample.weights, block=block)
        for cut in (lambda v: v < -math.log(2), lambda v: v > math.log(2))
        for inside, sample in ((cut(of_real), x), (cut(of_generated), y))
    ]
    learner, method, seed = asked
    return CalibratedWeights(
        log_weights_real=of_real,
        log_weights_generated=of_generated,
        rows_real=rows[0],
        rows_generated=rows[1],
        mean_weight=Measured(mean, error * math.sqrt(1 + len(w) / n_calibrated), len(w)),
        closure=tuple(_closure(name, j, x, y, w, block) for j, name in enumerate(names)),
        histogram=_histogram(log_w, x, y),
        low_real=shares[0],
        low_generated=shares[1],
        high_real=shares[2],
        high_generated=shares[3],
        divergence=_divergence(log_w, x, y, block),
        n_effective=effective_size(w * y.filled, block),
        learner=learner,
        method=method,
        seed=seed,
    )


def _closure(name: str, j: int, x: Events, y: Events, w: np.ndarray, block: int) -> Closure:
    means = [
        Measured(*mean_and_error(sample.rows[:, j], weights, block=block))
        for sample, weights in ((x, x.weights), (y, y.weights), (y, w * y.filled))
    ]
    return Closure(str(name), *means)


def _histogram(log_w: Pair, x: Events, y: Events) -> WeightHistogram:
    reach = max(math.log(2), float(np.quantile(np.abs(np.concatenate(log_w)), 0.995)))
    edges = np.linspace(-reach, reach, _BINS + 1)
    counts = [
        np.histogram(np.clip(values, -reach, reach), edges, weights=sample.filled / sample.filled.sum())[0]
        for values, sample in zip(log_w, (x, y), strict=True)
    ]
    return WeightHistogram(edges, *counts)


def _divergence(log_w: Pair, x: Events, y: Events, block: int) -> Measured:
    # -log C = log(1 + 1/w) for real events, -log(1 - C) = log(1 + w) for generated ones
    real, generated = np.logaddexp(0, -log_w[0]), np.logaddexp(0, log_w[1])
    (a, error_a), (b, error_b) = (mean_and_error(v, s.weights, block=block) for v, s in ((real, x), (generated, y)))
    return Measured(math.log(2) - (a + b) / 2, math.hypot(error_a, error_b) / 2, len(x.rows) + len(y.rows))


def _check_positive(events: tuple[Events, Events]) -> None:
    for sample, what in zip(events, ("real", "generated"), strict=True):
        if sample.weights is not None and np.min(sample.weights) < 0:
            raise InputError(
                f"Expected {what} weights >= 0 for calibrated weights, got a smallest of {np.min(sample.weights):.4g}. "
                "Use the classifier test, which takes negative weights, or events without them."
            )
