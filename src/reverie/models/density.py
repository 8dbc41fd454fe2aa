r"""Models with a likelihood: log p(x) in nats, in the units of the data.

A model learns features y = f(x) with density q(y); in original units

    log p(x) = log q(f(x)) + log |df/dx|

so likelihoods of models with different preprocessing can be compared. Columns of whole numbers or categories
contribute log-probabilities. Where q is known up to a constant (log Z) or by an estimate of its own, that error is
told apart from the scatter over events: it is common to all of them and does not shrink with their number.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.assessment import Assessment, Quantity
from reverie.core.errors import InputError
from reverie.core.measured import Measured, measured_mean
from reverie.core.random import as_generator
from reverie.core.types import RandomState
from reverie.data.dataset import Dataset
from reverie.models.base import N_SCORED
from reverie.models.trained import TrainedModel

__all__ = ["DensityModel", "LogLikelihood", "first_rows"]

_BY_HEART = 4.0  # standard errors of the gap between training and held-out events


@dataclass(frozen=True, eq=False)
class LogLikelihood:
    """Log-likelihood of events, in nats.

    Parameters
    ----------
    values : (n,) log p of each event, float64.
    common_error : standard error that all values share, such as that of log Z; 0 where log p is exact.
    weights : (n,) event weights, or None.
    """

    values: np.ndarray
    common_error: float = 0.0
    weights: np.ndarray | None = None

    @property
    def mean(self) -> Measured:
        """Mean per event; its error joins the scatter over events and the common error."""
        mean = measured_mean(self.values, self.weights)
        return Measured(mean.value, float(np.hypot(mean.error, self.common_error)), mean.n)

    @property
    def scatter(self) -> float:
        """Standard error of the mean from the scatter over events alone; nan for one event."""
        return measured_mean(self.values, self.weights).error

    def __str__(self) -> str:
        common = f", of which ± {self.common_error:.2g} common to all" if self.common_error > 0 else ""
        return f"{self.mean} nats per event{common}"


class DensityModel(TrainedModel):
    """Parent of the models that know log p(x)."""

    @abstractmethod
    def _log_prob(self, features: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, float]:
        """Return log q of features (n, *latent event), (n,) float64, and the error common to all of them."""

    @checked
    def log_likelihood(self, X: Any, y: Any = None, random_state: RandomState = None) -> LogLikelihood:
        """Return log p of each event in nats, in the units of the data, and its mean with error.

        Parameters
        ----------
        X : (n_samples, *event), as in `fit`.
        y : their conditions, for a model trained with some: log p(x | y).
        random_state : seed of an estimate, where log p needs one; None takes that of the model.

        Raises
        ------
        InputError
            For another shape, conditions that are missing, or features that have no density.
        """
        check_is_fitted(self)
        if self._without_likelihood():
            raise InputError(self._without_likelihood())
        values = self._values(X, reset=False)
        features = self.preprocessing_.features(values)
        generator = as_generator(self.seed_ if random_state is None else random_state, self.device_)
        with torch.no_grad():
            inside, common = self._log_prob(features.to(self.device_), self._given(y, len(values)), generator)
        stretch = self.preprocessing_.transform.log_det(torch.from_numpy(np.array(values, dtype=np.float64)))
        weights = X.weights if isinstance(X, Dataset) else None
        return LogLikelihood((inside.double().cpu() + stretch.double()).numpy(), common, weights)

    @checked
    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """Return log p of each event in nats, (n_samples,); see `log_likelihood`."""
        return self.log_likelihood(X, y).values

    @checked
    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log p per event in nats, higher is better; see `log_likelihood`."""
        return float(self.log_likelihood(X, y).mean.value)

    def assess(self, train: Any, held_out: Any, *, random_state: RandomState = None) -> Assessment:
        """Return log-likelihoods of training and held-out events (at most 2000 each), with errors, and their gap."""
        if self._without_likelihood():
            return Assessment(warnings=(self._without_likelihood(),))
        pairs = [part if isinstance(part, tuple) else (part, None) for part in (train, held_out)]
        few = [(first_rows(X), None if y is None else first_rows(y)) for X, y in pairs]
        of_train, of_held_out = (self.log_likelihood(X, y, random_state) for X, y in few)
        gap = of_train.mean.value - of_held_out.mean.value
        gap_error = float(np.hypot(of_train.scatter, of_held_out.scatter))  # what is common drops out
        numbers = (
            _quantity("log-likelihood of held-out events", of_held_out.mean, "nats per event; higher is better"),
            _quantity("log-likelihood of training events", of_train.mean, "nats per event"),
            Quantity("gap between the two", gap, gap_error, "nats; well above its error: the model is overfitted"),
        )
        return Assessment(numbers, (_overfitted(gap, gap_error),) if gap > _BY_HEART * gap_error else ())

    def _without_likelihood(self) -> str:
        """Return why log p of these data cannot be given, as an error or a warning says it; nothing where it can."""
        return ""

    def _given(self, y: Any, n: int) -> Tensor | None:
        if self._conditions is None:
            return None
        if y is None:
            raise InputError("Expected the conditions y of these events, got none. Give them beside X.")
        return self._conditions.features(self._conditions.given(y, n)).to(self.device_)


def _overfitted(gap: float, error: float) -> str:
    return (
        f"Training events are {gap:.3g} ± {error:.2g} nats likelier than held-out ones: the model knows some by heart. "
        "Use more events, fewer steps or a smaller model."
    )


def first_rows(rows: Any) -> Any:
    """Return at most 2000 of the rows: their mean is known well enough."""
    if isinstance(rows, Dataset):
        return rows.take(slice(0, N_SCORED))
    return rows.iloc[:N_SCORED] if hasattr(rows, "iloc") else rows[:N_SCORED]


def _quantity(name: str, measured: Measured, meaning: str) -> Quantity:
    return Quantity(name, measured.value, measured.error, meaning)
