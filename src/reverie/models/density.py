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

from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_generator
from reverie.core.types import RandomState
from reverie.models.trained import TrainedModel

__all__ = ["DensityModel", "LogLikelihood"]


@dataclass(frozen=True, eq=False)
class LogLikelihood:
    """Log-likelihood of events, in nats.

    Parameters
    ----------
    values : (n,) log p of each event, float64.
    common_error : standard error that all values share, such as that of log Z; 0 where log p is exact.
    """

    values: np.ndarray
    common_error: float = 0.0

    @property
    def mean(self) -> Measured:
        """Mean per event; its error joins the scatter over events and the common error."""
        n = len(self.values)
        scatter = float(self.values.std(ddof=1)) / n**0.5 if n > 1 else float("nan")
        return Measured(float(self.values.mean()), float(np.hypot(scatter, self.common_error)), n)

    def __str__(self) -> str:
        common = f", of which ± {self.common_error:.2g} common to all" if self.common_error > 0 else ""
        return f"{self.mean} nats per event{common}"


class DensityModel(TrainedModel):
    """Parent of the models that know log p(x)."""

    @abstractmethod
    def _log_prob(self, features: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, float]:
        """Return log q of features (n, *latent event), (n,) float64, and the error common to all of them."""

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
            For another shape, or conditions that are missing.
        """
        check_is_fitted(self)
        values = self._values(X, reset=False)
        features = self.preprocessing_.features(values)
        generator = as_generator(self.seed_ if random_state is None else random_state, self.device_)
        with torch.no_grad():
            inside, common = self._log_prob(features.to(self.device_), self._given(y, len(values)), generator)
        stretch = self.preprocessing_.transform.log_det(torch.from_numpy(np.array(values, dtype=np.float64)))
        return LogLikelihood((inside.double().cpu() + stretch.double()).numpy(), common)

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """Return log p of each event in nats, (n_samples,); see `log_likelihood`."""
        return self.log_likelihood(X, y).values

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log p per event in nats, higher is better; see `log_likelihood`."""
        return float(self.log_likelihood(X, y).mean.value)

    def _given(self, y: Any, n: int) -> Tensor | None:
        if self._conditions is None:
            return None
        if y is None:
            raise InputError("Expected the conditions y of these events, got none. Give them beside X.")
        return self._conditions.features(self._conditions.given(y, n)).to(self.device_)
