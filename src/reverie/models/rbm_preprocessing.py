"""Data as the visible units of a Boltzmann machine see them: bits, or standardised real numbers.

Columns with two values each, whatever they are (0 and 1, False and True, spins -1 and +1, codes of two classes),
become bits, and come back exactly; a lattice or an image has one pair of values for all its cells. Anything else is
real numbers, which Gaussian units see with mean 0 and standard deviation 1, so that no learning rate depends on units.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.data.dataset import Dataset
from reverie.data.schema import Column, Schema
from reverie.data.transforms import TRANSFORMS, Chain, Elementwise, Identity, Standardise
from reverie.data.transforms.base import TOLERANCE
from reverie.models.preprocessed import Preprocessing, fitted_preprocessing

__all__ = ["Bits", "has_two_values", "plain_units", "prepared_units"]


class Bits(Elementwise):
    """The smaller of two values becomes 0 and the larger 1; the inverse takes the nearer one.

    Features are judged one by one in a table, and together in events of more axes. Probabilities of states are not
    changed, so `log_det` is 0.
    """

    def __init__(self) -> None: ...

    def _fit(self, x: Tensor) -> None:
        ends = (lambda f: f(x, 0)) if x.ndim == 2 else (lambda f: f(x.flatten(), 0).reshape((1,) * (x.ndim - 1)))
        self.low_, self.high_ = ends(torch.amin), ends(torch.amax)
        self._bits(x)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return self._bits(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.where(y > 0.5, self.high_.to(y.device), self.low_.to(y.device))

    def _log_derivative(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def _bits(self, x: Tensor) -> Tensor:
        low, high = self.low_.to(x.device), self.high_.to(x.device)
        bits = (x > (low + high) / 2).to(x.dtype)
        off = (x - torch.where(bits > 0, high, low)).abs() > TOLERANCE * torch.maximum(low.abs(), high.abs())
        if off.any():
            raise InputError(
                f"Expected two values per column for binary units, got {int(off.sum())} others, such as "
                f"{x[off][0].item():.6g}. Take visible='gaussian', or make two values of them, as X > threshold does."
            )
        return bits


TRANSFORMS["Bits"] = Bits  # so that a saved model finds it


def has_two_values(values: np.ndarray) -> bool:
    """Return whether each column of a table (n, d), or a stack (n, *event) as a whole, has at most two values."""
    columns = values if values.ndim == 2 else values.reshape(-1, 1)
    low, high = columns.min(axis=0), columns.max(axis=0)
    return bool(((columns == low) | (columns == high)).all())


def prepared_units(dataset: Dataset, container: str, choice: Any, visible: str) -> Preprocessing:
    """Return the fitted way from values to the visible units.

    Parameters
    ----------
    dataset : training data.
    container : see `reverie.models.preprocessed.container_of`.
    choice : preprocessing of real numbers before they are standardised; "auto" adds none that they do not need.
    visible : "binary" or "gaussian".
    """
    if visible == "binary":
        return fitted_preprocessing(dataset, container, Bits())
    word = "standardise" if isinstance(choice, str) and choice == "auto" and dataset.schema.is_table else choice
    first = fitted_preprocessing(dataset, container, word)
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
