"""Checks of arguments, with one wording for all: expected, got, what to do."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from reverie.core.arguments import shown
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.lazy import LazyTable, Summary, is_large

if TYPE_CHECKING:  # tables of the catalogue are listed without torch
    from torch import Tensor

__all__ = ["check_choice", "check_different", "check_finite", "check_positive", "check_same_shape", "check_table"]

T = TypeVar("T")

_LARGEST = 1e70  # squares of squares, and sums of a billion of these, stay below the largest double, 1.8e308


def check_choice(what: str, name: str, choices: dict[str, T]) -> T:
    """Return ``choices[name]``, in any case and with - for _; an `UnknownNameError` names the nearest choice."""
    if isinstance(name, str):
        for candidate in (name, name.lower().replace("-", "_").replace(" ", "_")):
            if candidate in choices:
                return choices[candidate]
    raise UnknownNameError(what, name, choices)


def check_different(names: Sequence[str], where: str = "") -> None:
    """Raise `InputError` for a name of a column that comes twice; `where` follows in the message, as " in x.csv"."""
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise InputError(f"Expected different column names{where}, got {twice!r} twice. Rename one of them.")


def check_positive(name: str, value: float, *, integer: bool = False, allow_zero: bool = False) -> None:
    """Raise `InputError` unless `value` is a positive (integer) number."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    whole = number and (not integer or float(value).is_integer())
    if number and whole and (value > 0 or (allow_zero and value == 0)):
        return
    kind = ("an integer" if integer else "a number") + (" >= 0" if allow_zero else " > 0")
    raise InputError(f"Expected {name} to be {kind}, got {shown(value)}. Give {name} such a value.")


def check_same_shape(a: "Tensor", b: "Tensor", names: tuple[str, str]) -> None:
    """Raise `InputError` unless both tensors have one shape: (n,) against (n, 1) would broadcast silently."""
    if a.shape != b.shape:
        raise InputError(
            f"Expected {names[0]} and {names[1]} of one shape, got {tuple(a.shape)} and {tuple(b.shape)}. "
            "Reshape one of them."
        )


def check_table(x: np.ndarray | LazyTable, name: str = "X", *, min_rows: int = 2) -> None:
    """Raise `InputError` unless `x` is (batch, *event) with enough rows and at least one feature."""
    if x.ndim < 2:
        raise InputError(
            f"Expected 2D array or more for {name}, (n_samples, n_features) or a stack of images, "
            f"got shape {x.shape}. Reshape your data: rows are samples."
        )
    if any(size == 0 for size in x.shape[1:]):
        raise InputError(f"Found array with 0 feature(s) (shape={x.shape}) while a minimum of 1 is required.")
    if x.shape[0] < min_rows:
        raise InputError(
            f"Expected {name} with at least {min_rows} rows, got n_samples = {x.shape[0]}, shape {x.shape}. "
            "Give more samples; rows are samples."
        )


def check_finite(
    x: np.ndarray | LazyTable, names: Iterable[str] | None = None, *, name: str = "X", allow_nan: bool = False
) -> None:
    """Raise `InputError` for numbers that cannot be computed with, per named column, in `x` (batch, *event).

    These are NaN and infinite entries, which are counted, and columns whose largest entry is above 1e70 in size or
    below 1e-70: fourth powers of such numbers, and sums of them, are no longer numbers of double precision. With
    `allow_nan` an array may have NaN, which are cells that are missing.
    """
    if x.dtype.kind != "f":
        return
    if allow_nan and isinstance(x, np.ndarray):
        x = np.where(np.isnan(x), 0, x)
    found = x.summary if isinstance(x, LazyTable) else None
    if found is None and not is_large(x) and np.isfinite(x).all():
        size = np.abs(x).max(axis=0 if x.ndim == 2 else None, initial=0.0)
    else:
        found = Summary.of(x) if found is None else found
        size = np.fmax(np.abs(found.low), np.abs(found.high))
    called = [] if names is None else list(names)
    if found is None or not found.has_missing:
        size = np.atleast_1d(np.asarray(size, dtype=np.float64))
        odd = np.flatnonzero((size > _LARGEST) | ((size > 0) & (size < 1 / _LARGEST)))
        if len(odd):
            where = f"the column {called[odd[0]]}" if len(called) == len(size) else name
            raise InputError(
                f"Expected numbers in {name} of at most {_LARGEST:g} in size that reach {1 / _LARGEST:g}, got a "
                f"largest one of {size[odd[0]]:g} in {where}. Use another unit, such as a power of ten."
            )
        return
    counts = found.n_nan + found.n_infinite
    bad = [f"{called[j]}: {int(counts[j])}" for j in np.flatnonzero(counts)] if called and x.ndim == 2 else []
    where = f" (column {', '.join(bad[:8])}{', ...' if len(bad) > 8 else ''})" if bad else ""
    raise InputError(
        f"Expected finite numbers in {name}, got {int(found.n_nan.sum())} NaN and {int(found.n_infinite.sum())} inf"
        f"{where}. Drop those rows (--drop-missing, or Dataset.drop_missing()) or fill them in."
    )
