"""Two samples as tensors of rows, whatever container they came in.

Every public function of `reverie.validation` reads its samples here, or through what
`reverie.validation.inputs.samples` has for it, so arrays, tensors, DataFrames, data sets and lists are taken alike:
rows are events, columns of frames with the same names are put in the same order, text and NaN are refused in words.
Tensors stay where they are and keep their graph.
"""

import numpy as np
import torch
from torch import Tensor

from reverie.core.checks import check_finite, check_table
from reverie.core.errors import InputError
from reverie.core.tables import as_array, check_dense
from reverie.core.types import ArrayLike
from reverie.core.words import in_same_words
from reverie.validation.inputs.samples import Sample, aligned, read_sample

__all__ = ["as_events", "as_rows", "as_values", "as_weights"]


def as_rows(**samples: ArrayLike) -> list[Tensor]:
    """Return samples (n, *event), by the name that messages call them, as tensors (n, d) with the columns of the first.

    Raises
    ------
    InputError
        For text, NaN, infinity, fewer than two axes, no rows, other columns, or weights, which are given apart.
    """
    coded = in_same_words(samples)
    read = {what: None if isinstance(s, Tensor) else _unweighted(s, what) for what, s in coded.items()}
    tables = [s for s in read.values() if s is not None]
    first, called = (tables[0] if tables else None), next(iter(samples))
    found = [
        _rows(samples[what], what) if s is None or first is None else _tensor(aligned(first, s, what, called).values)
        for what, s in read.items()
    ]
    if len({x.dtype for x in found}) > 1:  # 0.1 in single precision is not 0.1 in double: round all alike
        single = any(x.dtype == torch.float32 for x in found)
        found = [(x.float() if single else x).double() for x in found]
    if len({x.shape[1] for x in found}) > 1:
        shapes = " and ".join(str(tuple(x.shape)) for x in found)
        raise InputError(
            f"Expected two samples (rows, features) with the same features, got {shapes}. Rows are samples; select the "
            "same columns in all."
        )
    return found


def as_events(sample: ArrayLike, what: str) -> np.ndarray:
    """Return one sample as an array (n, *event) of floats, with the errors of `as_rows`."""
    return _unweighted(sample, what).events


def as_values(values: ArrayLike, what: str) -> Tensor:
    """Return one number per event as a tensor (n,); (n, 1) is taken too, with the errors of `as_rows`."""
    x = values if isinstance(values, Tensor) else _tensor(np.atleast_1d(as_array(values, what).astype(np.float64)))
    if x.ndim == 2 and x.shape[1] == 1:
        x = x[:, 0]
    if x.ndim != 1 or not len(x):
        raise InputError(f"Expected one number per event of {what}, shape (n,), got {tuple(x.shape)}. Select a column.")
    return _rows(x[:, None], what)[:, 0]


def as_weights(weights: ArrayLike | None, n: int, what: str = "weights") -> Tensor | None:
    """Return event weights (n,) as float64, or None."""
    if weights is None:
        return None
    w = as_values(weights, what).double()
    if len(w) != n:
        raise InputError(f"Expected one weight per row, {n:,}, in {what}, got {len(w):,}. Give those of these events.")
    return w


def _unweighted(sample: ArrayLike, what: str) -> Sample:
    found = read_sample(sample, what)
    if found.weights is not None:
        raise InputError(
            f"Expected {what} without weights, got a data set with weights that differ. Pass its values, and the "
            "weights by themselves where the function takes some; reverie.validate reads both."
        )
    return found


def _tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.require(x, requirements=["C", "W"]))  # frames may lend their values for reading only


def _rows(x: Tensor, what: str) -> Tensor:
    check_dense(x, what)
    if x.is_complex():
        raise InputError(f"Expected real numbers in {what}, got {x.dtype}. Give real and imaginary parts as columns.")
    if x.ndim < 2 or 0 in x.shape:
        check_table(x.detach().cpu().numpy(), what, min_rows=1)
    x = x.flatten(1) if x.is_floating_point() else x.flatten(1).double()
    # numbers with a finite sum are finite, and a sum takes a twentieth of the time
    if not (torch.isfinite(x.detach().sum()) or torch.isfinite(x).all()):
        check_finite(x.detach().cpu().float().numpy(), name=what)
    return x
