"""Where a classifier finds its evidence: calibrated weights of events, and the boxes in which they differ.

w = p_real/p_generated of each test event comes from a calibrated classifier
(`reverie.validation.classifiers.likelihood_ratios`). A shallow tree turns the log-weights into ranges of a few
features, counted on events that it has not seen (`reverie.validation.classifiers.regions`). Asked only when the
classifier tells the samples apart: else there is nothing to locate.
"""

import numpy as np

from reverie.core.random import child_seed
from reverie.validation.classifiers.likelihood_ratios import calibrated_weights
from reverie.validation.classifiers.regions import MIN_EVENTS, Region, worst_regions
from reverie.validation.classifiers.training import MAX_FEATURES
from reverie.validation.classifiers.weights_result import CalibratedWeights
from reverie.validation.inputs.samples import Samples
from reverie.validation.results.result import ClassifierResult, Located

__all__ = ["locate"]


def locate(samples: Samples, best: ClassifierResult | None, seed: int, alpha: float) -> Located | None:
    """Return where `best` finds its evidence; None when it finds none, or for weights that are not all positive."""
    x, y = samples.reference, samples.generated
    positive = all(s.weights is None or (s.weights > 0).all() for s in (x, y))
    if best is None or best.p_value > alpha or not positive or min(len(x.values), len(y.values)) < 2 * MIN_EVENTS:
        return None
    found = calibrated_weights(
        samples.scaled(x.values),
        samples.scaled(y.values),
        names=samples.names,
        seed=child_seed(seed, "classifier"),
        learner=best.learner,
        weights=(x.weights, y.weights),
        block=samples.chains.block,
        event_shape=samples.event_shape,
    )
    return Located(
        sentence=str(found),
        boxes=_boxes(samples, found, seed, alpha),
        edges=tuple(found.histogram.edges.tolist()),
        real=tuple(found.histogram.real.tolist()),
        generated=tuple(found.histogram.generated.tolist()),
        divergence=found.divergence,
        mean_weight=found.mean_weight,
    )


def _boxes(samples: Samples, found: CalibratedWeights, seed: int, alpha: float) -> tuple[Region, ...]:
    x, y = samples.reference.take(found.rows_real), samples.generated.take(found.rows_generated)
    if samples.chains.is_chain or len(samples.names) > MAX_FEATURES or len(samples.event_shape) > 1:
        return ()  # boxes need independent events and features with a name
    weights = None if x.weights is None or y.weights is None else np.concatenate([x.weights, y.weights])
    return worst_regions(
        np.concatenate([x.values, y.values]),
        samples.names,
        np.concatenate([found.log_weights_real, found.log_weights_generated]),
        np.repeat([1, 0], [len(x.values), len(y.values)]),
        weights=weights,
        alpha=alpha,
        seed=child_seed(seed, "boxes") % 2**32,
    )
