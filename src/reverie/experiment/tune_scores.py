r"""A held-out score with what each event adds to it, and the difference of two configurations with its error.

Small is good. There are two scores of a trained model on events that it never saw:

    likelihood   -<log p(x)> in nats per event, for models that know log p; conditions are given
    samples      the two-sample score D of `reverie.training.scores`, 0 in expectation for a perfect generator:
                 generated events against real ones, in a change of variables that is fitted once to training events
                 and is the same for all models; beside the columns stand the observables that the model was
                 shown, and the conditions

Both are means over events, up to what does not matter here, with influences h of single events on them:

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
import torch
from torch import Tensor

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import child_seed
from reverie.core.typed_files import read_arrays, rebuilt
from reverie.data import Column, Dataset, Schema
from reverie.data.transforms import auto_transform
from reverie.experiment.config import RunConfig, model_class
from reverie.experiment.inputs import LEAST_ROWS, Inputs, Part, appended, joint_table
from reverie.experiment.sampling import draw_rows
from reverie.experiment.validate import observables_of
from reverie.models.base import GenerativeModel
from reverie.models.likelihood import LikelihoodModel
from reverie.training.checkpoint import atomic_file
from reverie.training.reference import HealthReference

__all__ = [
    "CRITERIA",
    "Difference",
    "HeldOutScore",
    "Scored",
    "average",
    "difference",
    "resolved_criterion",
    "split_off",
]

CRITERIA = ("auto", "likelihood", "samples")
_MOST_ROWS, _MOST_IMAGES, _WIDE = 4000, 1000, 64


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
        with atomic_file(path) as file:
            small = {name: getattr(self, name).astype(np.float32) for name in ("of_real", "of_generated")}
            np.savez(file, numbers=[self.value, self.common], **small)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        remedy = "Restore it from a copy, or begin anew with --overwrite."
        stored = read_arrays(path, ("numbers", "of_real", "of_generated"), remedy=remedy)
        with rebuilt("a score", path, remedy=remedy):
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
    n_trainings : Number of trainings of each configuration.
    """

    gain: float
    error: float
    from_events: float
    from_training: float | None
    p_value: float
    n_trainings: int


def difference(first: Sequence[Scored], second: Sequence[Scored]) -> Difference:
    """Return by how much `first` is better than `second`, trained in pairs of one seed and scored on the same events.

    Both must be as many, at least one, on the same number of events; else an `InputError` is raised.
    """
    from scipy.stats import t

    R = len(first)
    if R < 1 or R != len(second) or len({len(scored.of_real) for scored in (*first, *second)}) > 1:
        raise InputError("Expected as many scores of both configurations, on the same events. Score them again.")
    pairs = list(zip(first, second, strict=True))
    gains = np.array([b.value - a.value for a, b in pairs])
    of_real = np.mean([b.of_real - a.of_real for a, b in pairs], axis=0)
    of_generated = np.mean([b.of_generated - a.of_generated for a, b in pairs], axis=0)
    common = sum(scored.common**2 for scored in (*first, *second)) / R**2
    events = _variance(of_real) + _variance(of_generated) + common
    training = float(gains.var(ddof=1)) / R if R > 1 else 0.0
    gain, total = float(gains.mean()), events + training
    p_value = 1.0 if gain == 0 else 0.0
    if total > 0:  # degrees of freedom after Welch and Satterthwaite
        of_training = training**2 / (R - 1) if R > 1 else 0.0
        dof = total**2 / (events**2 / max(len(of_real) - 1, 1) + of_training)
        p_value = float(2 * t.sf(abs(gain) / math.sqrt(total), dof))
    return Difference(
        gain=gain,
        error=math.sqrt(total),
        from_events=math.sqrt(events),
        from_training=math.sqrt(training) if R > 1 else None,
        p_value=p_value,
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


def split_off(inputs: Inputs, fraction: float, seed: int) -> tuple[Part, Part]:
    """Return the training rows in two parts: those that the trials learn, and `fraction` of them to judge trials by."""
    n = len(inputs.train)
    n_judged = round(fraction * n)
    if min(n_judged, n - n_judged) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} rows to learn and {LEAST_ROWS} to judge trials by, got {n:,} training "
            f"rows and --tune-fraction {fraction:g}. Give more data."
        )
    order = np.random.default_rng(child_seed(seed, "tuning rows")).permutation(n)
    return inputs.train.take(np.sort(order[n_judged:])), inputs.train.take(np.sort(order[:n_judged]))


class HeldOutScore:
    """Judges models of one configuration family by events they never saw.

    Raises `InputError` for a likelihood that the model does not have, and for samples under conditions with negative
    weights.

    Parameters
    ----------
    kind : "likelihood", "samples", or "auto": the first for models that know log p.
    config : Configuration of the run; its observables are part of the score.
    inputs : All data of the run.
    learnt : Rows that the models learn: they set the units, and samples are drawn at their conditions.
    judged : Rows that the models are scored on.
    seed : Seed of the choice of rows, and of the noise of the samples.
    """

    def __init__(self, kind: str, config: RunConfig, inputs: Inputs, learnt: Part, judged: Part, *, seed: int) -> None:
        self.kind, learnt, judged = resolved_criterion(kind, config), learnt.whole(), judged.whole()
        self._inputs, self._seed = inputs, seed
        shape = inputs.source.events.event_shape
        most = _MOST_ROWS if math.prod(shape) <= _WIDE else _MOST_IMAGES
        self._judged = judged.take(slice(0, most))
        if self.kind == "samples":
            self._conditions = _conditions_of(learnt, len(self._judged), seed)
            self._rows = _Rows(config, inputs, learnt)
            weights = None if self._judged.weights is None else torch.from_numpy(np.array(self._judged.weights))
            features = (self._rows.features(part.values, part.conditions) for part in (learnt, self._judged))
            self._reference = HealthReference(*features, seed=seed, weight=weights, max_rows=_MOST_ROWS)

    def of(self, model: GenerativeModel) -> Scored:
        """Return the score of a trained model."""
        if isinstance(model, LikelihoodModel) and self.kind == "likelihood":
            found = model.log_likelihood(self._judged.events, self._judged.conditions, random_state=self._seed)
            log_p = found.values
            w = np.ones(len(log_p)) if found.weights is None else np.asarray(found.weights, dtype=np.float64)
            with np.errstate(invalid="ignore"):
                mean = float(np.average(log_p, weights=w))
                return Scored(-mean, -w * (log_p - mean) / w.mean(), np.empty(0), found.common_error)
        rows = draw_rows(model, len(self._judged), seed=self._seed, conditions=self._conditions)
        features = self._rows.features(rows, self._conditions)
        if not bool(torch.isfinite(features).all()):
            return Scored(math.inf, np.empty(0), np.empty(0))
        score = self._reference.measure(features).score
        return Scored(score.value, score.of_real.double().numpy(), score.of_generated.double().numpy())


def resolved_criterion(kind: str, config: RunConfig) -> str:
    """Return "likelihood" or "samples"."""
    check_choice("criterion", kind, dict.fromkeys(CRITERIA, True))
    made = model_class(config.model_name)
    options = made().get_params() | config.model_options
    is_moved = bool(options.get("observables") and options.get("kinematic_fit"))
    has_likelihood = issubclass(made, LikelihoodModel) and not is_moved and options.get("network") != "trees"
    if kind == "likelihood" and not has_likelihood:
        got = config.model_name + " with a kinematic fit" * is_moved
        raise InputError(f"Expected a model with a likelihood for --by likelihood, got {got}. Use --by samples.")
    return ("likelihood" if has_likelihood else "samples") if kind == "auto" else kind


class _Rows:
    """Events, observables and conditions side by side, in a change of variables fitted to the rows that are learnt."""

    def __init__(self, config: RunConfig, inputs: Inputs, learnt: Part) -> None:
        self._inputs, events = inputs, inputs.source.events.schema
        self._width = events.event_shape[0]
        self._observables = observables_of(events, shown=config.model_options.get("observables") or ())
        self._transform = None
        if events.is_table and (learnt.conditions is None or learnt.is_one_table):
            conditions = inputs.source.conditions
            known = appended(events, None if conditions is None else conditions.schema).columns
            table = self._table(learnt.values)
            observed = (Column(f"observable {j + 1}") for j in range(table.shape[1] - len(known)))
            columns = (*known, *observed)
            self._transform = auto_transform(Schema(columns, (len(columns),), "float64"))
            self._transform.fit(torch.from_numpy(table))

    def features(self, values: np.ndarray, conditions: Dataset | None) -> Tensor:
        """Return the features (n, d) of rows as they are written, with conditions that stand apart, of images."""
        if self._transform is not None:
            return self._transform.forward(torch.from_numpy(self._table(values))).float()
        table = joint_table(self._inputs, values, None if conditions is None else conditions.values)
        return torch.from_numpy(table).float()

    def _table(self, values: np.ndarray) -> np.ndarray:
        """Return rows of a table with their observables as the last columns."""
        rows = np.asarray(values, dtype=np.float64)
        events = torch.from_numpy(np.array(rows[:, : self._width]))
        seen = [np.asarray(f(events), dtype=np.float64).reshape(len(rows), -1) for f in self._observables.values()]
        return np.concatenate([rows, *seen], axis=1)


def _conditions_of(learnt: Part, n: int, seed: int) -> Dataset | None:
    """Return conditions for `n` samples: those of learnt rows, drawn by their weights where they have some."""
    if learnt.conditions is None:
        return None
    rng = np.random.default_rng(child_seed(seed, "conditions"))
    if learnt.weights is None:
        return learnt.conditions.take(rng.permutation(len(learnt))[np.arange(n) % len(learnt)])
    w = np.asarray(learnt.weights, dtype=np.float64)
    if (w < 0).any():
        raise InputError(
            "Expected weights >= 0 to judge samples under conditions, got negative ones. Use a model with a "
            "likelihood, or leave the conditions out."
        )
    return learnt.conditions.take(rng.choice(len(w), size=n, p=w / w.sum()))
