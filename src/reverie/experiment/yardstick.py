r"""How good a trained model is on events it never saw: one number, small is good, with what each event adds to it.

Two yardsticks.

    likelihood   -<log p(x)> in nats per event, for models that know log p; conditions are given
    samples      the two-sample score D of `reverie.training.scores`, 0 in expectation for a perfect generator:
                 generated events against real ones, in a change of variables that is fitted once to training events
                 and is the same for all models; beside the columns stand the observables that the model was
                 shown, and the conditions

Their errors are told in `reverie.experiment.tune_scores`.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.random import child_seed
from reverie.data import Column, Dataset, Schema
from reverie.data.transforms import auto_transform
from reverie.experiment.config import RunConfig, model_class
from reverie.experiment.inputs import LEAST_ROWS, Inputs, Part, appended, joined
from reverie.experiment.sampling import draw_rows
from reverie.experiment.tune_scores import Scored
from reverie.experiment.validate import observables_of
from reverie.models.base import LikelihoodModel
from reverie.training.reference import HealthReference

__all__ = ["YARDSTICKS", "Yardstick", "resolved_kind", "split_off"]

YARDSTICKS = ("auto", "likelihood", "samples")
_MOST_ROWS, _MOST_IMAGES, _WIDE = 4000, 1000, 64


def split_off(inputs: Inputs, fraction: float, seed: int) -> tuple[Part, Part]:
    """Return the training rows in two parts: those that the trials learn, and `fraction` of them to judge trials by.

    Raises
    ------
    InputError
        When either would have too few rows.
    """
    n = len(inputs.train)
    n_judged = round(fraction * n)
    if min(n_judged, n - n_judged) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} rows to learn and {LEAST_ROWS} to judge trials by, got {n:,} training "
            f"rows and --tune-fraction {fraction:g}. Give more data."
        )
    order = np.random.default_rng(child_seed(seed, "tuning rows")).permutation(n)
    return inputs.train.take(np.sort(order[n_judged:])), inputs.train.take(np.sort(order[:n_judged]))


class Yardstick:
    """Judges models of one configuration family by events they never saw.

    Parameters
    ----------
    kind : "likelihood", "samples", or "auto": the first for models that know log p.
    config : of the run; its observables are looked at.
    inputs : all data.
    learnt : rows that the models learn: they set the units, and samples are asked for at their conditions.
    judged : rows that they are judged by.
    seed : of the choice of rows, and of the noise of the samples.

    Raises
    ------
    InputError
        For a likelihood that the model does not have, and for samples under conditions with negative weights.
    """

    def __init__(self, kind: str, config: RunConfig, inputs: Inputs, learnt: Part, judged: Part, *, seed: int) -> None:
        self.kind = resolved_kind(kind, config.model_name)
        self._inputs, self._seed = inputs, seed
        shape = inputs.source.events.event_shape
        most = _MOST_ROWS if math.prod(shape) <= _WIDE else _MOST_IMAGES
        self._judged = judged.take(slice(0, most))
        if self.kind == "samples":
            self._conditions = _asked_conditions(learnt, len(self._judged), seed)
            self._rows = _Rows(config, inputs, learnt)
            weights = self._judged.weights
            self._reference = HealthReference(
                self._rows.features(learnt),
                self._rows.features(self._judged),
                seed=seed,
                weight=None if weights is None else torch.from_numpy(np.array(weights)),
                max_rows=_MOST_ROWS,
            )

    def __len__(self) -> int:
        return len(self._judged)

    def score(self, model: Any) -> Scored:
        """Return the score of a trained model."""
        return self._likelihood(model) if self.kind == "likelihood" else self._samples(model)

    def _likelihood(self, model: LikelihoodModel) -> Scored:
        part = self._judged
        found = model.log_likelihood(part.events, part.conditions, random_state=self._seed)
        w = np.ones(len(found.values)) if found.weights is None else np.asarray(found.weights, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            mean = float(np.average(found.values, weights=w))
            return Scored(-mean, -w * (found.values - mean) / w.mean(), np.empty(0), found.common_error)

    def _samples(self, model: Any) -> Scored:
        rows = draw_rows(model, len(self._judged), seed=self._seed, conditions=self._conditions)
        features = self._rows.of_values(rows, self._conditions)
        if not bool(torch.isfinite(features).all()):
            return Scored(math.inf, np.empty(0), np.empty(0))
        score = self._reference.measure(features).score
        return Scored(score.value, score.of_real.double().numpy(), score.of_generated.double().numpy())


def resolved_kind(kind: str, model: str) -> str:
    """Return "likelihood" or "samples"."""
    check_choice("yardstick", kind, dict.fromkeys(YARDSTICKS, True))
    has_likelihood = issubclass(model_class(model), LikelihoodModel)
    if kind == "likelihood" and not has_likelihood:
        raise InputError(f"Expected a model with a likelihood for --by likelihood, got {model}. Use --by samples.")
    return ("likelihood" if has_likelihood else "samples") if kind == "auto" else kind


class _Rows:
    """Events, observables and conditions side by side, in a change of variables fitted to the rows that are learnt."""

    def __init__(self, config: RunConfig, inputs: Inputs, learnt: Part) -> None:
        self._inputs, self._schema = inputs, inputs.source.events.schema
        self._observables = observables_of(self._schema, shown=config.model_options.get("observables") or ())
        self._transform: Any = None
        if self._schema.is_table and (learnt.conditions is None or learnt.is_one_table):
            self._transform = auto_transform(self._full_schema(learnt.values))
            self._transform.fit(torch.from_numpy(self._table(learnt.values)))

    def features(self, part: Part) -> Tensor:
        """Return the features (n, d) of real rows."""
        return self.of_values(part.values, part.conditions)

    def of_values(self, values: np.ndarray, conditions: Dataset | None) -> Tensor:
        """Return the features (n, d) of rows as they are written, with conditions that stand apart, of images."""
        if self._transform is not None:
            return self._transform.forward(torch.from_numpy(self._table(values))).float()
        beside = joined(self._inputs, values, None if conditions is None else conditions.values)
        return torch.from_numpy(np.asarray(beside, dtype=np.float64).reshape(len(values), -1)).float()

    def _table(self, values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(values, dtype=np.float64), self._observed(values)], axis=1)

    def _observed(self, values: np.ndarray) -> np.ndarray:
        width = self._schema.event_shape[0]
        events = torch.from_numpy(np.array(values[:, :width], dtype=np.float64))
        seen = [np.asarray(f(events), dtype=np.float64).reshape(len(values), -1) for f in self._observables.values()]
        return np.concatenate(seen, axis=1) if seen else np.empty((len(values), 0))

    def _full_schema(self, values: np.ndarray) -> Schema:
        known = self._inputs.source
        table = appended(self._schema, None if known.conditions is None else known.conditions.schema)
        n = self._observed(values[:2]).shape[1]
        columns = (*table.columns, *(Column(f"observable {j + 1}") for j in range(n)))
        return Schema(columns, (len(columns),), "float64")


def _asked_conditions(learnt: Part, n: int, seed: int) -> Dataset | None:
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
