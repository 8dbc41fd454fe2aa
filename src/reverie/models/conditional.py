"""What models of p(x | y) share: the fitted conditions, and how a sample asks for one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_seed
from reverie.core.types import RandomState
from reverie.data.lazy import lazily
from reverie.models.base import GenerativeModel
from reverie.models.conditions import Conditions
from reverie.models.preprocessing import Preprocessing

__all__ = ["ConditionalModel", "DrawnConditions", "rows_of_conditions"]


class ConditionalModel(GenerativeModel):
    """Parent of the models that may be given conditions, `fit(X, y)`."""

    _conditions: Conditions | None

    @property
    def conditions_(self):
        """Schema of the conditions: their names, kinds and levels; None for a model of p(x)."""
        return None if self._conditions is None else self._conditions.schema

    @checked
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

    @checked
    def sample_conditions(self, n_samples: int, random_state: RandomState = None, *, start: int = 0) -> Any:
        """Return the conditions that ``sample(n_samples, random_state)`` draws for its samples, (n_samples, k).

        With `start`, return those that ``iter_sample(n_samples, random_state, start=start)`` draws.
        """
        check_is_fitted(self)
        conditions = self._known_conditions()
        return conditions.preprocessing.wrapped(conditions.drawn(start, n_samples, as_seed(random_state)))

    def _fitted_conditions(self, y: Any, n_rows: int, *, lazy: bool = False) -> dict[str, Any]:
        """Fit the conditions and return their features as rows, lazy as those of a large table; none of p(x)."""
        self._conditions = None
        if y is None:
            return {}
        rng = np.random.default_rng(child_seed(self.seed_, "conditions"))
        self._conditions, values = Conditions.fit(y, n_rows, rng, lazy=lazy)
        return {"condition": lazily(values, self._conditions.features, lazy=lazy)}

    def _condition_values(self, condition: Any, n: int, random_state: RandomState) -> np.ndarray:
        conditions = self._known_conditions()
        if condition is not None:
            return conditions.given(condition, n)
        return conditions.drawn(0, n, as_seed(random_state))

    def _condition_features(self, condition: Any, n: int, random_state: RandomState) -> Tensor | None:
        """Return the features (n, ...) of the conditions of `n` samples, or None for a model of p(x)."""
        if self._conditions is None and condition is None:
            return None
        return self._known_conditions().features(self._condition_values(condition, n, random_state))

    def _asked_conditions(self, condition: Any, n: int, seed: int) -> "Tensor | DrawnConditions | None":
        """Return what `rows_of_conditions` takes the conditions of `n` samples from, or None for a model of p(x)."""
        if self._conditions is None and condition is None:
            return None
        conditions = self._known_conditions()
        if condition is None:
            return DrawnConditions(conditions, seed)
        return conditions.features(conditions.asked(condition, n))

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


@dataclass(frozen=True)
class DrawnConditions:
    """Conditions drawn from those of the training events, made when they are needed: they may be a billion."""

    conditions: Conditions
    seed: int


def rows_of_conditions(asked: Tensor | DrawnConditions, start: int, n: int) -> Tensor:
    """Return the features (n, ...) of the conditions of samples start ... start + n - 1.

    A block may go on beyond the last one asked for; a single condition serves all samples.
    """
    if isinstance(asked, DrawnConditions):
        return asked.conditions.features(asked.conditions.drawn(start, n, asked.seed))
    return asked[torch.arange(start, start + n).clamp(max=len(asked) - 1)]
