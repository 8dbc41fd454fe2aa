"""Data as the visible units of a Boltzmann machine see them: bits, or standardised real numbers.

Columns with two values each become bits (`reverie.models.binary`). Anything else is real numbers, which Gaussian units
see with mean 0 and standard deviation 1, so that no learning rate depends on units. Columns of a table get features
with a density on the line first (`reverie.models.energy_features`), which p(v) of Gaussian units then is one of.
"""

from typing import Any

import numpy as np
import torch

from reverie.core.errors import InputError
from reverie.data.dataset import Dataset
from reverie.data.schema import Column, Schema
from reverie.data.transforms import Bits, Chain, Identity, Standardise
from reverie.models.energy_features import energy_preprocessing
from reverie.models.preprocessing import Preprocessing, fitted_preprocessing

__all__ = ["plain_units", "prepared_units"]


def prepared_units(dataset: Dataset, container: str, choice: Any, visible: str) -> Preprocessing:
    """Return the fitted way from values to the visible units.

    Parameters
    ----------
    dataset : training data.
    container : see `reverie.models.preprocessing.container_of`.
    choice : preprocessing of real numbers before they are standardised; "auto" adds none that they do not need.
    visible : "binary" or "gaussian".
    """
    if visible == "binary":
        return fitted_preprocessing(dataset, container, Bits())
    if not dataset.schema.is_table:
        first = fitted_preprocessing(dataset, container, choice)
    else:
        columns = dataset.schema.columns if isinstance(choice, str) and choice == "auto" else ()
        free = [c.name for c in columns if c.kind == "continuous" and c.lower is c.upper is c.atom is None]
        first = energy_preprocessing(dataset, container, dict.fromkeys(free, "standardise") or choice)
    steps: list[Any] = [first.transform, Standardise(shared=not dataset.schema.is_table)]
    return fitted_preprocessing(dataset, container, Chain(steps))


def plain_units(event_shape: tuple[int, ...], n_visible: int, visible: str) -> Preprocessing:
    """Return the way from events that are visible units already, 0 and 1 or real numbers.

    Raises
    ------
    InputError
        When the events have another number of values than there are units.
    """
    if int(np.prod(event_shape)) != n_visible:
        raise InputError(f"Expected an event_shape of {n_visible} values, got {event_shape}. Check the rows of W.")
    names = [f"x{i}" for i in range(event_shape[0])] if len(event_shape) == 1 else ["unit"]
    bits = {"kind": "pixel", "lower": 0, "upper": 1, "integral": True, "dtype": "uint8"} if visible == "binary" else {}
    schema = Schema(tuple(Column(name, **bits) for name in names), event_shape)
    transform = Bits() if visible == "binary" else Identity()
    transform.fit(torch.stack([torch.zeros(event_shape), torch.ones(event_shape)]))
    return Preprocessing(schema, transform, "array", "uint8" if visible == "binary" else "float64")
