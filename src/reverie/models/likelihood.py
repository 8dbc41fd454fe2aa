r"""The parent of models that know log p(x), in nats and in the units of the data.

They learn features y = f(x) with density q(y); in original units

    log p(x) = log q(f(x)) + log |df/dx|

so likelihoods of models with different preprocessing can be compared. Columns of whole numbers or categories
contribute log-probabilities. Where q is known up to a constant (log Z) or by an estimate of its own, the error of that
is told apart from the scatter over events: it is common to all of them and does not shrink with their number.
"""

from abc import abstractmethod

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.assessment import Assessment, LogLikelihood, Quantity
from reverie.core.errors import InputError
from reverie.core.random import as_generator
from reverie.core.types import ArrayLike, RandomState
from reverie.data.dataset import Dataset
from reverie.data.transforms import ObservablesBeside
from reverie.models.base import N_SCORED, GenerativeModel
from reverie.models.density_features import repeated_values

__all__ = ["LikelihoodModel", "LogLikelihood"]

_BY_HEART = 4.0  # standard errors of the gap between training and held-out events from which it is overfitting


class LikelihoodModel(GenerativeModel):
    """Parent of the models that know log p(x)."""

    @abstractmethod
    def _log_prob(self, features: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, float]:
        """Return log q of features (n, *latent event), (n,) float64, and the error common to all of them."""

    @checked
    def log_likelihood(self, X: ArrayLike, y: ArrayLike = None, random_state: RandomState = None) -> LogLikelihood:
        """Return log p of each event in nats, in the units of the data, and its mean with error.

        Another shape, conditions that are missing and features that have no density raise `InputError`.

        Parameters
        ----------
        X : (n_samples, *event), as in `fit`.
        y : their conditions, for a model trained with some: log p(x | y).
        random_state : seed of an estimate, where log p needs one; None takes that of the model.
        """
        check_is_fitted(self)
        self._check_has_likelihood()
        if self.replicas_:
            return LogLikelihood.of_mixture([one.log_likelihood(X, y, random_state) for one in self.replicas_])
        values = self._values(X, reset=False)
        features = self.preprocessing_.features(values)
        generator = as_generator(self.seed_ if random_state is None else random_state, self.device_)
        with torch.no_grad():
            inside, common = self._log_prob(features.to(self.device_), self._given(y, len(values)), generator)
        stretch = self.preprocessing_.transform.log_det(torch.from_numpy(np.array(values, dtype=np.float64)))
        weights = X.weights if isinstance(X, Dataset) else None
        return LogLikelihood((inside.double().cpu() + stretch.double()).numpy(), common, weights)

    @checked
    def score_samples(self, X: ArrayLike, y: ArrayLike = None) -> np.ndarray:
        """Return log p of each event in nats, (n_samples,); see `log_likelihood`."""
        return self.log_likelihood(X, y).values

    @checked
    def score(self, X: ArrayLike, y: ArrayLike = None) -> float:
        """Return the mean log p per event in nats, or where there is none minus the energy distance, as a `GAN` does.

        Higher is better; see `log_likelihood`. There is none, for example, where a kinematic fit moves samples.
        """
        check_is_fitted(self)
        if self._without_likelihood():
            return super().score(X, y)
        return float(self.log_likelihood(X, y).mean.value)

    def assess(self, train: ArrayLike, held_out: ArrayLike, *, random_state: RandomState = None) -> Assessment:
        """Return log-likelihoods of some training and held-out events, 2000 or fewer, their gap, and warnings."""
        if why := self._without_likelihood():
            return Assessment(warnings=(f"There is no log p: {why}",))
        events = train[0] if isinstance(train, tuple) else train
        warnings = repeated_values(self._values(events, reset=False), self.schema_)
        pairs = [part if isinstance(part, tuple) else (part, None) for part in (train, held_out)]
        n = self._n_assessed
        few = [(self._some_rows(X, n), None if y is None else self._some_rows(y, n)) for X, y in pairs]
        of_train, of_held_out = (self.log_likelihood(X, y, random_state) for X, y in few)
        held, trained = of_held_out.mean, of_train.mean
        gap = trained.value - held.value
        error = float(np.hypot(of_train.scatter, of_held_out.scatter))  # what is common drops out
        numbers = (
            Quantity("log-likelihood of held-out events", held.value, held.error, "nats per event; higher is better"),
            Quantity("log-likelihood of training events", trained.value, trained.error, "nats per event"),
            Quantity("gap between the two", gap, error, "nats; a gap well above its error means overfitting"),
        )
        if gap > _BY_HEART * error:
            warnings.append(
                f"Training events are {gap:.3g} ± {error:.2g} nats likelier than held-out ones: the model knows some "
                "by heart. Use more events, fewer steps or a smaller model."
            )
        return Assessment(numbers, tuple(warnings))

    @property
    def _n_assessed(self) -> int:
        """Number of events whose likelihood `assess` looks at; fewer where one takes long."""
        return N_SCORED

    def _without_likelihood(self) -> str:
        """Return why there is no log p and what to do, to be read after a colon; nothing where there is one."""
        if not isinstance(self.preprocessing_.transform, ObservablesBeside):
            return ""
        return "a kinematic fit moves samples to their observables. kinematic_fit=False keeps log p."

    def _check_has_likelihood(self) -> None:
        if why := self._without_likelihood():
            raise InputError(f"Expected a model that gives log p of its data, got one that does not: {why}")

    def _given(self, y: ArrayLike, n: int) -> Tensor | None:
        if self._conditions is None:
            return None
        if y is None:
            raise InputError("Expected the conditions y of these events, got none. Give them beside X.")
        return self._conditions.given(y, n).to(self.device_)
