"""What models of p(x | y) share: the fitted conditions, and how a sample asks for one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_generator, child_seed
from reverie.core.types import RandomState
from reverie.models.base import GenerativeModel
from reverie.models.conditions import Conditions
from reverie.models.preprocessed import Preprocessing

__all__ = ["ConditionalModel", "rows_of_conditions"]


class ConditionalModel(GenerativeModel):
    """Parent of the models that may be given conditions, `fit(X, y)`."""

    _conditions: Conditions | None

    @property
    def conditions_(self):
        """Schema of the conditions: their names, kinds and levels; None for a model of p(x)."""
        return None if self._conditions is None else self._conditions.schema

    def sample(self, n_samples: int = 1, random_state: RandomState = None, *, condition: Any = None, **options: Any):
        """Draw samples in original units, in the container the model was fitted on.

        Parameters
        ----------
        n_samples : how many, at least 1.
        random_state : seed; None draws anew each time. The first k of n samples do not depend on n.
        condition : for a model trained with `y`: one condition for all samples, or one for each; by default
            conditions are drawn from those of the training events (`sample_conditions` gives them).
        options : what the model can be asked besides.

        Returns
        -------
        (n_samples, *event) array, tensor, DataFrame or Dataset.
        """
        return super().sample(n_samples, random_state, condition=condition, **options)

    def sample_conditions(self, n_samples: int, random_state: RandomState = None) -> Any:
        """Return the conditions that ``sample(n_samples, random_state)`` draws for its samples, (n_samples, k)."""
        check_is_fitted(self)
        return self._known_conditions().preprocessing.wrapped(self._condition_values(None, n_samples, random_state))

    def _fitted_conditions(self, y: Any, n_rows: int) -> dict[str, Tensor]:
        """Fit the conditions and return their features as rows; nothing for a model of p(x)."""
        self._conditions = None
        if y is None:
            return {}
        rng = np.random.default_rng(child_seed(self.seed_, "conditions"))
        self._conditions, values = Conditions.fit(y, n_rows, rng)
        return {"condition": self._conditions.features(values)}

    def _condition_values(self, condition: Any, n: int, random_state: RandomState) -> np.ndarray:
        conditions = self._known_conditions()
        if condition is not None:
            return conditions.given(condition, n)
        return conditions.drawn(n, child_generator(as_seed(random_state), "condition"))

    def _condition_features(self, condition: Any, n: int, random_state: RandomState) -> Tensor | None:
        """Return the features (n, ...) of the conditions of `n` samples, or None for a model of p(x)."""
        if self._conditions is None and condition is None:
            return None
        return self._known_conditions().features(self._condition_values(condition, n, random_state))

    def _known_conditions(self) -> Conditions:
        if self._conditions is None:
            raise InputError("Expected a model trained with conditions, got one of p(x). Call fit(X, y) first.")
        return self._conditions

    def _attachments(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        if self._conditions is None:
            return {}, {}
        stock = torch.from_numpy(self._conditions.stock)
        return {"condition": self._conditions.preprocessing.to_json()}, {"condition_stock": stock}

    def _attach(self, texts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._conditions = None
        if "condition" in texts:
            prepared = Preprocessing.from_json(texts["condition"])
            self._conditions = Conditions(prepared, tensors["condition_stock"].numpy())


def rows_of_conditions(features: Tensor, start: int, n: int) -> Tensor:
    """Return the conditions of samples start ... start + n - 1; a block may go on beyond the last one asked for."""
    return features[torch.arange(start, start + n).clamp(max=len(features) - 1)]
