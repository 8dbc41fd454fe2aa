"""What calibrated weights found: the law of log w, its closure checks, and the sentence that tells it."""

import math
from dataclasses import dataclass

import numpy as np

from reverie.core.measured import Measured
from reverie.validation.classifiers.shares import Share

__all__ = ["CalibratedWeights", "Closure", "WeightHistogram"]


@dataclass(frozen=True)
class Closure:
    """The mean of one feature over real events, and over generated ones without and with weights, in its unit.

    Parameters
    ----------
    name : of the feature.
    real, before, after : means with errors of the test half.
    """

    name: str
    real: Measured
    before: Measured
    after: Measured

    @property
    def pull_before(self) -> float:
        """(generated - real)/error without weights."""
        return _pull(self.before, self.real)

    @property
    def pull(self) -> float:
        """(generated - real)/error with weights: within about 3 where the weights close."""
        return _pull(self.after, self.real)


@dataclass(frozen=True)
class WeightHistogram:
    """Shares of test events in bins of log w: edges (k + 1,), real (k,), generated (k,); the end bins hold the rest."""

    edges: np.ndarray
    real: np.ndarray
    generated: np.ndarray


@dataclass(frozen=True)
class CalibratedWeights:
    """Log-weights of the test half, and what they say.

    Parameters
    ----------
    log_weights_real, log_weights_generated : log p_real/p_generated of each test event.
    rows_real, rows_generated : which rows of the samples these are.
    mean_weight : E_G[w] with error, 1 when the weights are calibrated.
    closure : one per feature.
    histogram : of log w.
    low_real, low_generated : shares with w < 1/2, produced too often.
    high_real, high_generated : shares with w > 2, produced too rarely.
    divergence : lower bound of the Jensen-Shannon divergence in nats.
    n_effective : of the weighted generated test events, (sum w)^2 / sum w^2.
    learner, method, seed : what was asked for.
    """

    log_weights_real: np.ndarray
    log_weights_generated: np.ndarray
    rows_real: np.ndarray
    rows_generated: np.ndarray
    mean_weight: Measured
    closure: tuple[Closure, ...]
    histogram: WeightHistogram
    low_real: Share
    low_generated: Share
    high_real: Share
    high_generated: Share
    divergence: Measured
    n_effective: float
    learner: str
    method: str
    seed: int

    @property
    def worst_closure(self) -> Closure:
        """The feature whose weighted mean is furthest off, in errors."""
        return max(self.closure, key=lambda c: abs(c.pull))

    def __str__(self) -> str:
        worst = self.worst_closure
        return (
            f"{self.low_generated} of generated events are in regions produced at least twice too often (w < 1/2), "
            f"{self.high_real} of real events in regions produced at least twice too rarely (w > 2). "
            f"Jensen-Shannon divergence at least {self.divergence} nats. Mean weight {self.mean_weight} (1 if "
            f"calibrated); worst closure of a mean after weighting: {worst.name}, {worst.pull:+.1f} errors "
            f"({worst.pull_before:+.1f} before)."
        )


def _pull(generated: Measured, real: Measured) -> float:
    error = math.hypot(generated.error, real.error)
    return (generated.value - real.value) / error if error > 0 else 0.0
