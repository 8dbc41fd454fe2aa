"""Missing parts of events, drawn by a restricted Boltzmann machine: units that are given are clamped."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.random import as_seed, child_generator
from reverie.core.types import RandomState
from reverie.models.completion import completion_features, given_values, observed_places
from reverie.models.rbm.sampling import completed

__all__ = ["complete"]

_COMPLETED = 1024  # rows completed at once, with noise of their own


def complete(model: Any, X: Any, mask: Any, *, n_draws: int, n_sweeps: int, random_state: RandomState) -> Any:
    """Return events `X` whose unobserved parts are drawn by the fitted `model`; see `reverie.models.rbm.RBM.complete`.

    Raises
    ------
    InputError
        For another shape, a mask that is not boolean, or observed values that are not finite.
    """
    check_positive("n_draws", n_draws, integer=True)
    check_positive("n_sweeps", n_sweeps, integer=True)
    prepared = model.preprocessing_
    given = given_values(prepared.schema, X)
    observed = observed_places(mask, given)
    y, known = completion_features(prepared, given, observed)
    seed = as_seed(random_state)
    draws = []
    for k in range(n_draws):
        noise = [child_generator(seed, "complete", k, i, device=model.device_) for i in range(0, len(y), _COMPLETED)]
        blocks = zip(y.split(_COMPLETED), known.split(_COMPLETED), noise, strict=True)
        values = prepared.values(torch.cat([_completed(model, *block, n_sweeps) for block in blocks]))
        values[observed] = given[observed].astype(values.dtype)
        draws.append(values)
    if n_draws == 1:
        return prepared.wrapped(draws[0])
    listed = prepared.container in ("frame", "dataset")
    return [prepared.wrapped(x) for x in draws] if listed else prepared.wrapped(np.stack(draws))


def _completed(model: Any, y: Tensor, known: Tensor, noise: torch.Generator, n_sweeps: int) -> Tensor:
    """Return features with the unknown ones drawn; chains start at states of the machine elsewhere."""
    energy = model._energy
    states = model._pilot_states()
    index = torch.randint(len(states), (len(y),), generator=noise, device=noise.device)
    v, clamped = y.flatten(1).to(model.device_, energy.W.dtype), known.flatten(1).to(model.device_)
    v = torch.where(clamped, v, states.to(model.device_, energy.W.dtype)[index])
    with torch.no_grad():
        return completed(energy, v, clamped, noise, n_sweeps=n_sweeps).reshape(y.shape)
