"""Arrays, tensors, data frames and columns by name, all made into one array of numbers.

A column of words becomes codes 0, 1, ... in alphabetical order, and its words are kept as labels.
Numbers of different types meet in the smallest floating-point or integer type that holds them all;
the type of each column is remembered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reverie.core.errors import InputError
from reverie.core.lazy import LazyTable

__all__ = ["MAX_WORDS", "Raw", "join_columns", "to_raw"]

MAX_WORDS = 100  # more different words than this are no levels but free text

_COMPLEX = "Complex data not supported: expected real numbers. Give real and imaginary parts as columns."


@dataclass(frozen=True)
class Raw:
    """Numbers as they came in, before a schema is guessed.

    Parameters
    ----------
    values : (n, *event); a `LazyTable` stays one.
    names : one per column, or None where the container had no names.
    dtypes : NumPy name of each column's type ("str" for words), or None for one type.
    labels : the words of the columns that held words.
    """

    values: np.ndarray
    names: list[str] | None = None
    dtypes: list[str] | None = None
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)


def to_raw(data: Any) -> Raw:
    """Return the numbers in an array, list, torch tensor, data frame, or mapping of columns.

    Raises
    ------
    InputError
        If `data` cannot be read as numbers, is complex, or has no axis of events.
    """
    if isinstance(data, Mapping):
        return join_columns(data)
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        names = [str(name) for name in data.columns]
        if len(set(names)) < len(names):
            raise InputError(f"Expected different column names, got {names}. Rename the repeated ones.")
        return join_columns({name: _series(data.iloc[:, j]) for j, name in enumerate(names)})
    if hasattr(data, "detach"):
        data = data.detach().cpu().numpy()
    array = _as_array(data)
    if array.dtype.names is not None:
        return join_columns({name: array[name] for name in array.dtype.names})
    if array.dtype.kind in "OUS":
        array = _from_objects(array)
    if array.dtype.kind == "c":
        raise InputError(_COMPLEX)
    if array.dtype.kind not in "biuf":
        raise InputError(f"Expected real numbers, got the type {array.dtype}. Convert them to numbers.")
    if array.ndim < 2:
        raise InputError(
            "Expected 2D array or more, (n_samples, n_features) or a stack of images, got "
            f"{array.ndim}D array of shape {array.shape}. Reshape your data: rows are samples, "
            "array.reshape(-1, 1) makes one column."
        )
    return Raw(array)


def join_columns(columns: Mapping[str, Any]) -> Raw:
    """Return the table whose columns are given by name; words become codes.

    Raises
    ------
    InputError
        If there is no column, if lengths differ, or if a column is neither numbers nor few words.
    """
    if not columns:
        raise InputError("Expected at least one column, got none. Give columns by name.")
    arrays: dict[str, np.ndarray] = {}
    dtypes, labels = [], {}
    for name, column in columns.items():
        x = _as_array(column)
        if x.ndim != 1:
            raise InputError(f"Expected one number per event in column {name!r}, got shape {x.shape}. Leave it out.")
        dtypes.append(x.dtype.name if x.dtype.kind in "biuf" else "str")
        if x.dtype.kind not in "biuf":
            x, words = _coded(x, str(name))
            if words is not None:
                labels[str(name)] = words
            else:
                dtypes[-1] = "float64"
        arrays[str(name)] = x
    lengths = {name: len(x) for name, x in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"Expected columns of one length, got {_first(lengths)}. Choose columns that belong together.")
    return Raw(_stacked(list(arrays.values())), list(arrays), dtypes, labels)


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    dtype = np.result_type(*arrays)
    out = np.empty((len(arrays[0]), len(arrays)), dtype)
    for j, x in enumerate(arrays):
        out[:, j] = x
    return out


def _as_array(data: Any) -> Any:
    try:
        return data if isinstance(data, (np.ndarray, LazyTable)) else np.asarray(data)
    except ValueError:
        raise InputError(
            "Expected rows of equal length, got an inhomogeneous shape. Pad or cut the events to one shape."
        ) from None


def _series(series: Any) -> np.ndarray:
    kind = getattr(series.dtype, "kind", "O")
    if kind not in "biuf":
        return series.to_numpy(dtype=object)
    if isinstance(series.dtype, np.dtype):
        return series.to_numpy()
    missing = bool(series.isna().any())
    return series.to_numpy(dtype=np.float64, na_value=np.nan) if missing else series.to_numpy(series.dtype.numpy_dtype)


def _from_objects(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "O" and any(isinstance(value, complex) for value in array.flat):
        raise InputError(_COMPLEX)
    try:
        return array.astype(np.float64)
    except TypeError as error:
        raise TypeError(f"Expected numbers, got objects: {error}. argument must be a string or a number.") from None
    except ValueError as error:
        raise InputError(f"Expected numbers, got text: {error}. Give words as a column of a data frame.") from None


def _coded(x: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return codes (NaN where missing) and words; or numbers and None if all objects are numbers."""
    values = x.tolist()
    if any(isinstance(value, complex) for value in values):
        raise InputError(f"Expected real numbers in column {name!r}, got complex ones. Give two columns.")
    missing = np.array([v is None or v != v or type(v).__name__ in ("NAType", "NaTType") for v in values], bool)
    present = [v for v, gone in zip(values, missing, strict=True) if not gone]
    if not any(isinstance(v, (str, bytes)) for v in present):
        return _numbers(values, missing, name), None
    texts = np.array([v.decode() if isinstance(v, bytes) else str(v) for v in present])
    words, codes = np.unique(texts, return_inverse=True)
    if len(words) > MAX_WORDS:
        raise InputError(
            f"Expected numbers or at most {MAX_WORDS} different words in column {name!r}, got {len(words)} words "
            f"such as {str(words[0])!r}. Leave the column out (--columns a,b,c)."
        )
    out = np.full(len(values), np.nan) if missing.any() else np.empty(len(values), np.int64)
    out[~missing] = codes
    return out, tuple(str(word) for word in words)


def _numbers(values: list, missing: np.ndarray, name: str) -> np.ndarray:
    try:
        return np.array([np.nan if gone else float(v) for v, gone in zip(values, missing, strict=True)])
    except (TypeError, ValueError):
        odd = next(type(v).__name__ for v, gone in zip(values, missing, strict=True) if not gone)
        raise InputError(
            f"Expected numbers in column {name!r}, got objects of type {odd}. Leave it out (--columns a,b,c)."
        ) from None


def _first(lengths: Mapping[str, int]) -> str:
    parts = [f"{name}: {n}" for name, n in lengths.items()]
    return ", ".join(parts[:6]) + (", ..." if len(parts) > 6 else "")
