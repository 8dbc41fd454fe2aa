r"""A held-out score with what each event adds to it, and the difference of two configurations with its error.

Small is good. Scores (`reverie.experiment.yardstick`) are means over events, up to what does not matter here, with
influences h of single events on them:

    error^2 = <h(x)^2> / m + <h(y)^2> / n + c^2,       likelihood: h(x_i) = -w_i (log p(x_i) - mean) / <w>, no y

with real x_1 ... x_m, generated y_1 ... y_n, and c an error common to all events, such as that of log Z.

Two configurations are compared on the same events, each trained R times, with seeds that both share. With d_r the
difference of the r-th pair,

    d = <d_r>,      error^2 = <(<h - h'>_r)^2> / m + ... + <c^2 + c'^2> / R + var(d_r) / R

the first from differences of influences event by event, the last the scatter from training to training. The noise
of sampling and of log Z enters both, so the error is rather too large than too small. d / error is compared with
Student's t, with degrees of freedom after Welch and Satterthwaite; for R = 1 the last term is not known and is
left out, and what is said holds for those two trainings, not for the configurations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.typed_files import read_arrays, rebuilt
from reverie.experiment.folder import replace_file

__all__ = ["Difference", "Scored", "average", "difference"]


@dataclass(frozen=True, eq=False)
class Scored:
    """A score with what each event adds to it.

    Attributes
    ----------
    value : the score, small is good; not finite where the model has failed.
    of_real, of_generated : influences (m,) and (n,), the second empty for likelihoods.
    common : error that all events share.
    """

    value: float
    of_real: np.ndarray
    of_generated: np.ndarray
    common: float = 0.0

    @property
    def error(self) -> float:
        """Standard error of `value`."""
        return math.sqrt(_variance(self.of_real) + _variance(self.of_generated) + self.common**2)

    def save(self, path: Path) -> None:
        """Write to an .npz file, influences in single precision."""
        with replace_file(path) as temporary, open(temporary, "wb") as file:
            small = {name: getattr(self, name).astype(np.float32) for name in ("of_real", "of_generated")}
            np.savez(file, numbers=[self.value, self.common], **small)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        remedy = "Restore it from a copy, or begin anew with --overwrite."
        stored = read_arrays(path, ("numbers", "of_real", "of_generated"), remedy=remedy)
        with rebuilt("a score", path, remedy=remedy, error=InputError):
            value, common = (float(x) for x in stored["numbers"])
            return cls(value, stored["of_real"].astype(float), stored["of_generated"].astype(float), common)


@dataclass(frozen=True)
class Difference:
    """By how much the first of two configurations is better (positive) or worse, on the same events.

    Attributes
    ----------
    gain, error : the difference and its standard error, parts of which are `from_events` and `from_training` (None
        for one training).
    p_value : two-sided.
    n_trainings : of each configuration.
    """

    gain: float
    error: float
    from_events: float
    from_training: float | None
    p_value: float
    n_trainings: int


def difference(first: Sequence[Scored], second: Sequence[Scored]) -> Difference:
    """Return by how much `first` is better than `second`, trained in pairs of one seed and scored on the same events.

    Raises
    ------
    InputError
        Unless both are as many, at least one, on the same number of events.
    """
    R = len(first)
    if R < 1 or R != len(second) or len({len(scored.of_real) for scored in (*first, *second)}) > 1:
        raise InputError("Expected as many scores of both configurations, on the same events. Score them again.")
    gains = np.array([b.value - a.value for a, b in zip(first, second, strict=True)])
    of_real = np.mean([b.of_real - a.of_real for a, b in zip(first, second, strict=True)], axis=0)
    of_generated = np.mean([b.of_generated - a.of_generated for a, b in zip(first, second, strict=True)], axis=0)
    common = sum(scored.common**2 for scored in (*first, *second)) / R**2
    events = _variance(of_real) + _variance(of_generated) + common
    training = float(gains.var(ddof=1)) / R if R > 1 else None
    error = math.sqrt(events + (training or 0.0))
    p = _p_value(float(gains.mean()), events, len(of_real) - 1, training or 0.0, R - 1)
    return Difference(
        gain=float(gains.mean()),
        error=error,
        from_events=math.sqrt(events),
        from_training=None if training is None else math.sqrt(training),
        p_value=p,
        n_trainings=R,
    )


def average(scores: Sequence[Scored]) -> Measured:
    """Return the mean score of trainings of one configuration, judged by the same events, with its error."""
    values = np.array([scored.value for scored in scores])
    events = _variance(np.mean([scored.of_real for scored in scores], axis=0))
    events += _variance(np.mean([scored.of_generated for scored in scores], axis=0))
    events += sum(scored.common**2 for scored in scores) / len(scores) ** 2
    training = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
    return Measured(float(values.mean()), math.sqrt(events + training), len(scores))


def _variance(influences: np.ndarray) -> float:
    return float(np.square(influences).mean() / len(influences)) if len(influences) else 0.0


def _p_value(gain: float, events: float, events_dof: int, training: float, training_dof: int) -> float:
    """Return the two-sided p-value of a gain with two variances, after Welch and Satterthwaite."""
    from scipy.stats import t

    total = events + training
    if not total > 0:
        return 1.0 if gain == 0 else 0.0
    of_training = training**2 / training_dof if training_dof > 0 else 0.0
    dof = total**2 / (events**2 / max(events_dof, 1) + of_training)
    return float(2 * t.sf(abs(gain) / math.sqrt(total), dof))
