"""Data of two values, as the features -1 and 1: spins, black and white images, yes and no.

Grey values may stand for probabilities: of a value x in [low, high] the bit is 1 with probability
(x - low) / (high - low). That must be said, since a law of bits on the grey values themselves is not normalised.
"""

from typing import Any

import numpy as np
import torch

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.data.dataset import Dataset
from reverie.data.transforms import Rescale

__all__ = ["grey_values", "resolved_likelihood", "two_valued", "values_of_bits"]


def resolved_likelihood(name: str, values: np.ndarray, *, is_told: bool) -> str:
    """Return "bernoulli" or "gaussian" for `name`, "auto" resolved by the data.

    Parameters
    ----------
    name : "auto", "bernoulli" or "gaussian".
    values : of the events.
    is_told : whether grey values are said to be probabilities of bits.

    Raises
    ------
    InputError
        For bits asked of data that have more than two values, and are not said to be probabilities.
    """
    name = check_choice("likelihood", name, {kind: kind for kind in ("auto", "bernoulli", "gaussian")})
    if is_told and name == "gaussian":
        raise InputError(
            "Expected likelihood='bernoulli' with dynamic_binarisation, which draws bits, got 'gaussian'. "
            "Choose one of the two."
        )
    is_binary = is_told or _has_two_values(values)
    if name == "bernoulli" and not is_binary:
        raise grey_values("more than two values")
    return "bernoulli" if is_binary and name != "gaussian" else "gaussian"


def two_valued(dataset: Dataset, *, is_told: bool) -> Rescale:
    """Return the unfitted map onto -1 and 1 of data of two values, or, if told, of grey values within their bounds."""
    low, high = float(dataset.values.min()), float(dataset.values.max())
    column = dataset.schema.columns[0]
    if is_told and len(dataset.schema.event_shape) > 1:
        low = low if column.lower is None else column.lower
        high = high if column.upper is None else column.upper
    elif is_told:
        low, high = min(low, 0.0), max(high, 1.0)
    return Rescale(lower=low, upper=high, step=high - low)


def values_of_bits(transform: Any) -> tuple[float, float]:
    """Return the values that the features -1 and 1 stand for."""
    ends = torch.ones(2, *transform.output_shape)
    ends[0] = -1
    low, high = transform.inverse(ends).flatten(1)[:, 0].tolist()
    return low, high


def grey_values(got: str) -> InputError:
    """Return the error for data that are no bits."""
    return InputError(
        f"Expected two values, bits, for likelihood='bernoulli', got {got}. Binarise the data, set "
        "dynamic_binarisation=True if grey values are probabilities of bits, or use likelihood='gaussian'."
    )


def _has_two_values(values: np.ndarray) -> bool:
    low, high = values.min(), values.max()
    return bool(low < high and ((values == low) | (values == high)).all())
