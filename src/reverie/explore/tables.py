"""The one reader of this folder: arrays, tensors, DataFrames and data sets become a table of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.checks import check_finite, check_table
from reverie.core.containers import as_array, tabular
from reverie.core.errors import InputError
from reverie.core.types import ArrayLike

__all__ = ["Table", "read_table"]


@dataclass(frozen=True)
class Table:
    """Rows of numbers.

    Parameters
    ----------
    values : (n, d) float64, finite; images are flattened.
    names : d feature names; pixel[i,j] for images, x0, x1, ... where none are known.
    event_shape : the shape of one row before it was flattened; (d,) for a table.
    weights : (n,) float64 event weights, or None.
    """

    values: np.ndarray
    names: tuple[str, ...]
    event_shape: tuple[int, ...]
    weights: np.ndarray | None


def read_table(X: ArrayLike, names: Sequence[str] | None = None) -> Table:
    """Return `X`, (n, *event), as a `Table`.

    Parameters
    ----------
    X : array, tensor, DataFrame, or a data set with values, names and weights
        (`reverie.core.protocols.Tabular`). One axis is refused: rows are samples.
    names : d feature names; they override those that `X` brings.

    Raises
    ------
    InputError
        For text, NaN or infinity (with the column), fewer than two axes, no rows, or names or
        weights of a wrong number.
    """
    values, own_names, weights = tabular(X)
    values = np.asarray(values).astype(np.float64, copy=False)
    check_table(values, min_rows=1)
    event_shape = values.shape[1:]
    values = values.reshape(len(values), -1)
    found = _checked_names(names, own_names, event_shape)
    check_finite(values, found)
    return Table(values, found, event_shape, _checked_weights(weights, len(values)))


def _checked_names(
    given: Sequence[str] | None, own: Sequence[Any] | None, event_shape: tuple[int, ...]
) -> tuple[str, ...]:
    d = int(np.prod(event_shape))
    if given is not None and len(given) != d:
        raise InputError(f"Expected one name per feature of X, got {len(given)} names for {d} features. Give them all.")
    found = given if given is not None else own
    if found is not None and len(found) == d:
        return tuple(str(name) for name in found)
    if len(event_shape) == 1:
        return tuple(f"x{j}" for j in range(d))
    return tuple(f"pixel[{','.join(map(str, index))}]" for index in np.ndindex(*event_shape))


def _checked_weights(weights: Any, n: int) -> np.ndarray | None:
    if weights is None:
        return None
    found = as_array(weights, "the weights").astype(np.float64)
    if found.shape != (n,):
        raise InputError(
            f"Expected {n} weights, one per row, got shape {found.shape}. Give one weight per row, or None."
        )
    check_finite(found, name="the weights")  # first, for the sum of finite ones may be beyond all numbers
    if found.min() < 0 or found.sum() <= 0:
        raise InputError(
            f"Expected weights >= 0 with a positive sum, got {int((found < 0).sum())} below 0 and the sum "
            f"{found.sum():.4g}. Explore the rows without weights, or those with positive ones."
        )
    return found
