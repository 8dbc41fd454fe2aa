"""The one reader of data from Python: arrays, tensors, frames and columns by name become arrays of real numbers.

Every public function that takes data reads it here, and checks event weights here, so that they all take the same
things, and refuse the others in the same words:

    NumPy        arrays; structured ones by column; what a mask hides becomes NaN
    torch        tensors of any device and precision, with or without gradient
    frames       pandas, polars, Arrow tables and record batches: by column, with their names
    xarray       a Dataset by variable, a DataArray as an array, by column where its last axis has words
    Python       nested lists of equal length, mappings of columns

A column of words becomes codes 0, 1, ... in alphabetical order, and its words are kept as labels.
Numbers of different types meet in the smallest floating-point or integer type that holds them all, but for whole
numbers beyond 2^53 beside others that are not, which lose their last digits with a warning; the type of each column is
remembered. Refused are complex numbers, times, sparse arrays (dense ones may not fit in memory), tensors without
values, and rows of different lengths.

    to_raw         numbers, names and types as they came, before a schema is guessed
    as_array       one array of any shape
    tabular        values, names and weights of a data set, frame or array
    read_table     the same as finite rows (n, d), for statistics
    check_weights  event weights, one per row

Importing this module needs NumPy only: whoever gives a tensor has imported torch.
"""

import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from reverie.core.checks import check_different, check_finite, check_table
from reverie.core.errors import InputError, InputTypeError
from reverie.core.lazy import LazyTable

__all__ = [
    "MAX_COLUMNS",
    "MAX_WORDS",
    "Raw",
    "Table",
    "are_sets",
    "as_array",
    "as_column",
    "axes_of",
    "check_dense",
    "check_weights",
    "check_width",
    "column_order",
    "feature_names",
    "frame_library",
    "join_columns",
    "named_columns",
    "read_table",
    "tabular",
    "to_raw",
]

MAX_WORDS = 100  # more different words than this are no levels but free text
_EXACT = 1 << 53  # whole numbers up to here are floating-point numbers too
MAX_COLUMNS = 10_000  # of a table: each has a schema, a transform and a line of its own in every result

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
    units : the units of the columns that brought one.
    beside : Columns of the sets, one number for each, where the values are sets of particles and there are some.
    """

    values: np.ndarray
    names: list[str] | None = None
    dtypes: list[str] | None = None
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    beside: "Raw | None" = None


def to_raw(data: object, name: str = "X") -> Raw:
    """Return the numbers in `data`, see the module, with what is known of them; `name` is for messages.

    Raises `InputError` if `data` cannot be read as numbers, is complex, has no axis of events, or more columns than
    `MAX_COLUMNS`.
    """
    _refuse_sparse(data, name)
    columns = named_columns(data)
    if columns is not None:
        noted = {str(name): getattr(x, "attrs", None) or {} for name, x in columns.items()}  # of xarray
        units = {name: str(notes["units"]) for name, notes in noted.items() if "units" in notes}
        return replace(join_columns(columns), units=units)
    array = as_array(data, name)
    if array.ndim < 2:
        raise InputError(
            f"Expected 2D array or more for {name}, (n_samples, n_features) or a stack of images, got "
            f"{array.ndim}D array of shape {array.shape}. Reshape your data: rows are samples, "
            "array.reshape(-1, 1) makes one column."
        )
    if array.ndim == 2:
        check_width(array.shape[1], name)
    called = getattr(data, "name", None)
    if array.ndim > 2 and axes_of(data) and called is not None:
        notes = getattr(data, "attrs", None) or {}
        return Raw(array, [str(called)], units={str(called): str(notes["units"])} if "units" in notes else {})
    return Raw(array)


def as_array(data: Any, name: str = "X") -> Any:
    """Return one array of real numbers, of any shape, in its own type; a `LazyTable` stays one.

    Raises `InputError` for what is not made of real numbers, or not one array, and `InputTypeError` for objects where
    numbers belong.

    Parameters
    ----------
    data : array, tensor, nested list, or a frame whose columns are all of numbers.
    name : what it is, for messages.
    """
    if isinstance(data, LazyTable):
        return data
    _refuse_sparse(data, name)
    columns = named_columns(data)
    if columns is not None:
        raw = join_columns(columns)
        if raw.labels:
            raise InputError(f"Expected numbers in {name}, got words in {next(iter(raw.labels))!r}. Leave them out.")
        return raw.values
    if _is(data, "torch", "Tensor"):
        check_dense(data, name)
        torch = sys.modules["torch"]
        plain = data.detach().cpu().dequantize() if data.is_quantized else data.detach().cpu()
        if plain.is_floating_point() and plain.dtype not in (torch.float64, torch.float32, torch.float16):
            plain = plain.to(torch.float32)  # NumPy does not know bfloat16 and its like
        try:
            data = plain.resolve_conj().resolve_neg().numpy()
        except (TypeError, RuntimeError) as error:  # a subclass that hides its values
            reason = _short(error)
            raise InputError(f"Expected a tensor of numbers for {name}, got none ({reason}). Give one.") from None
    if isinstance(data, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(data)
        data = np.where(hidden, np.nan, np.asarray(data.data, dtype=np.float64)) if hidden.any() else data.data
    return _real(_asarray(data, name), name)


def tabular(data: Any, name: str = "X") -> tuple[np.ndarray, tuple[str, ...] | None, object]:
    """Return values (n, *event), names and event weights of a data set, frame or array; None for what it lacks.

    Raises as `to_raw` does, and for columns of words, whose codes in two samples could differ; `in_same_words` makes
    them agree.

    Parameters
    ----------
    data : what `to_raw` takes, or an object with `values`, `names` and `weights` (`reverie.core.protocols.Tabular`).
    name : what it is, for messages.
    """
    is_tabular = hasattr(data, "names") and not hasattr(data, "columns")
    is_tabular = is_tabular and not callable(getattr(data, "values", len))  # tensors of old PyTorch have names too
    weights = getattr(data, "weights", None) if is_tabular else None
    weights = None if callable(weights) else weights  # a method of a foreign container
    raw = to_raw(data.values if is_tabular else data, name)
    if raw.labels:
        raise InputError(
            f"Expected numbers in {name}, got words in the column {next(iter(raw.labels))!r}. Drop or encode it."
        )
    names = data.names if is_tabular and data.names is not None else raw.names
    return raw.values, None if names is None else tuple(str(one) for one in names), weights


def labels_of(sample: Any) -> Mapping[str, Sequence[str]]:
    """Return the words behind the codes 0, 1, ... of the columns of words of a sample, by name; none of an array."""
    labels = getattr(sample, "labels", None)
    return labels if isinstance(labels, Mapping) else {}


@dataclass(frozen=True)
class Table:
    """Finite rows of numbers, as statistics take them.

    Parameters
    ----------
    values : Rows, shape (n, d), float32 where the data came so and float64 otherwise; images are flattened.
    names : One name per feature, or None where the container had none.
    event_shape : Shape of one row before it was flattened; (d,) for a table.
    weights : Event weights as they came, or None.
    columns : Names of the last axis of sets of particles (`reverie.core.sets`), None for all else.
    labels : The words behind the codes of columns of words, by name.
    """

    values: np.ndarray
    names: tuple[str, ...] | None
    event_shape: tuple[int, ...]
    weights: object
    columns: tuple[str, ...] | None = None
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features; x0, x1, ... or pixel[i,j] where there are none."""
        return feature_names(self.event_shape) if self.names is None else self.names


def read_table(data: object, name: str = "X", names: Sequence[str] | None = None) -> Table:
    """Return rows (n, d) of finite numbers, with their names and weights.

    Raises `InputError` for text, NaN or infinity (with the column), fewer than two axes, no rows, or names of a wrong
    number.

    Parameters
    ----------
    data, name : As in `tabular`.
    names : One name per feature, instead of those that `data` brings.
    """
    values, own_names, weights = tabular(data, name)
    values = np.asarray(values)
    values = values.astype(np.float32 if values.dtype == np.float32 else np.float64, copy=False)
    check_table(values, name, min_rows=1)
    event_shape = values.shape[1:]
    values = values.reshape(len(values), -1)
    d = values.shape[1]
    if names is not None and len(names) != d and len(event_shape) == 1:
        raise InputError(
            f"Expected one name per feature of {name}, got {len(names)} names for {d} features. Give them all."
        )
    chosen = own_names if names is None else tuple(str(one) for one in names)
    columns = chosen if are_sets(event_shape, chosen) else None
    if chosen is not None and len(chosen) != d:  # one name for all cells of an image, or for a column of sets
        chosen = None
    called = dict(zip(own_names or (), chosen or (), strict=False))
    labels = {called[own]: words for own, words in labels_of(data).items() if own in called}
    table = Table(values, chosen, event_shape, weights, columns, labels)
    check_finite(values, table.feature_names, name=name)
    return table


def are_sets(event_shape: Sequence[int], names: Sequence[str] | None) -> bool:
    """Tell whether events of this shape are sets of particles: a name for each column, "mask" the last of them."""
    return len(event_shape) == 2 and names is not None and len(names) == event_shape[1] and names[-1] == "mask"


def feature_names(event_shape: Sequence[int]) -> tuple[str, ...]:
    """Return names for features that have none: x0, x1, ... of a table, pixel[i,j] of images."""
    if len(event_shape) == 1:
        return tuple(f"x{j}" for j in range(event_shape[0]))
    return tuple(f"pixel[{','.join(map(str, index))}]" for index in np.ndindex(*event_shape))


def column_order(own: Sequence[str], names: Sequence[str] | None, what: str) -> list[int] | None:
    """Return where the columns `own` stand among `names`; None for as many in this order, or without names.

    Columns called x0, x1, ... are those of an array: they fit all names, by their places.

    Raises
    ------
    InputError
        For other names; `what` is what has them.
    """
    own, names = tuple(own), None if names is None else tuple(names)
    if names is None or names == own:
        return None
    if sorted(names) == sorted(own):
        return [names.index(name) for name in own]
    if any(some == feature_names((len(some),)) for some in (own, names)):
        return None
    raise InputError(
        f"Expected the columns {', '.join(own[:20])} in {what}, got {', '.join(names[:20])}. Select these, or rename "
        "them."
    )


def n_rows(data: Any) -> int:
    """Return the number of rows of whatever holds data, along its first axis."""
    if axes_of(data):
        return int(data.sizes[axes_of(data)[0][0]])
    return len(next(iter(data.values()))) if isinstance(data, Mapping) else len(data)


def take_rows(data: Any, rows: np.ndarray) -> Any:
    """Return the given rows of whatever holds data, in a container of the same kind."""
    if axes_of(data):
        return data.isel({axes_of(data)[0][0]: rows})
    if isinstance(data, Mapping):
        return {name: take_rows(column, rows) for name, column in data.items()}
    if isinstance(data, list | tuple):
        return [data[k] for k in rows]
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    return data.take(rows) if hasattr(data, "schema") and hasattr(data, "take") else data[rows]


def check_weights(
    weights: object, n: int, what: str = "the data", *, negative: bool = True, positive_sum: bool = True
) -> np.ndarray | None:
    """Return event weights, shape (n,), as float64; None where there are none.

    Raises `InputError` for another length, NaN or infinity, and what is not taken.

    Parameters
    ----------
    weights : One number per event: an array, tensor, list or column, or None.
    n : Number of events.
    what : The events, for messages.
    negative : Whether weights below zero are taken.
    positive_sum : Whether the sum has to be above zero.
    """
    if weights is None:
        return None
    w = np.asarray(as_array(weights, f"the weights of {what}")).astype(np.float64)
    if w.shape != (n,):
        raise InputError(
            f"Expected one weight per event of {what}, shape ({n},), got shape {w.shape}. Give as many as events."
        )
    bad = int(np.count_nonzero(~np.isfinite(w)))
    if bad:
        raise InputError(
            f"Expected finite event weights of {what}, got {bad} NaN or inf. Drop or correct those events."
        )
    if not negative:
        check_finite(w, name=f"the weights of {what}")  # first, for the sum of finite ones may be beyond all numbers
    if not negative and ((w < 0).any() or w.sum() <= 0):
        raise InputError(
            f"Expected event weights >= 0 of {what} with a positive sum, got {int((w < 0).sum())} below 0 and the "
            f"sum {w.sum():.4g}. Leave the weights out, or take the events with positive ones."
        )
    if positive_sum and w.sum() <= 0:
        raise InputError(
            f"Expected event weights of {what} with a positive sum, above zero, got the sum {w.sum():.4g}. Negative "
            "ones are welcome as long as the positive ones prevail."
        )
    return w


def check_width(n: int, name: str = "X") -> None:
    """Raise `InputError` for more than `MAX_COLUMNS` columns."""
    if n > MAX_COLUMNS:
        raise InputError(
            f"Expected at most {MAX_COLUMNS:,} columns in {name}, got {n:,}. Choose some (--columns a,b,c), or give "
            "images as a stack (n, height, width), whose cells are one quantity."
        )


def join_columns(columns: Mapping[str, object]) -> Raw:
    """Return the table whose columns are given by name; words become codes.

    Raises `InputError` if there is no column, if lengths differ, or if a column is neither numbers nor few words.
    """
    if not columns:
        raise InputError("Expected at least one column, got none. Give columns by name.")
    check_width(len(columns), "the table")
    check_different([str(name) for name in columns])
    arrays: dict[str, np.ndarray] = {}
    dtypes, labels = [], {}
    for name, column in columns.items():
        x = as_column(column, str(name))
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
        shown = ", ".join([f"{name}: {n}" for name, n in lengths.items()][:6]) + (", ..." if len(lengths) > 6 else "")
        raise InputError(f"Expected columns of one length, got {shown}. Choose columns that belong together.")
    table = np.empty((next(iter(lengths.values())), len(arrays)), np.result_type(*arrays.values()))
    for j, (name, x) in enumerate(arrays.items()):
        table[:, j] = x
        if x.dtype.kind in "iu" and x.dtype.itemsize == 8 and table.dtype.kind == "f" and len(x):
            if max(abs(int(x.min())), abs(int(x.max()))) > _EXACT:
                warnings.warn(
                    f"Expected whole numbers of at most 2^53 in column {name!r}, beside columns of other numbers, got "
                    "larger ones, which lose their last digits. Leave out what numbers the events.",
                    stacklevel=2,
                )
    return Raw(table, list(arrays), dtypes, labels)


def frame_library(data: Any) -> str:
    """Return the library of a table with names, "pandas" (or one like it), "polars", "pyarrow" or "xarray"; else ""."""
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return "pandas"
    if _is(data, "polars", "DataFrame"):
        return "polars"
    if _is(data, "polars", "LazyFrame"):
        raise InputError("Expected a polars frame with values, got a LazyFrame. Give its collect().")
    if _is(data, "pyarrow", "Table") or _is(data, "pyarrow", "RecordBatch"):
        return "pyarrow"
    has_words = _is(data, "xarray", "DataArray") and data.ndim == 2 and axes_of(data)[1][1] is not None
    has_words = has_words and all(isinstance(word, str) for word in axes_of(data)[1][1])
    return "xarray" if has_words or _is(data, "xarray", "Dataset") else ""


def axes_of(data: Any) -> tuple[tuple[str, Any], ...]:
    """Return the axes of what came from xarray, each with its name and a tuple of coordinates or None; else ().

    The first axis is that of the events, whose coordinates do not belong to samples. Coordinates that are neither
    numbers nor words, such as dates, are left out.
    """
    if not (_is(data, "xarray", "DataArray") or _is(data, "xarray", "Dataset")):
        return ()
    axes: dict[str, tuple | None] = dict.fromkeys(map(str, data.sizes))
    for axis, x in data.coords.items():
        if x.dims == (axis,) and axis != next(iter(axes)) and x.dtype.kind in "biufUO":
            values = tuple(x.values.tolist())
            axes[str(axis)] = values if all(isinstance(value, (int, float, str)) for value in values) else None
    return tuple(axes.items())


def named_columns(data: object) -> Mapping[str, Any] | None:
    """Return the columns of a table by name, each as its container gives it; None for what has none."""
    if isinstance(data, Mapping):
        return {str(name): data[name] for name in data} if _is(data, "xarray", "Dataset") else data
    if isinstance(data, np.ndarray) and data.dtype.names is not None:
        return {name: data[name] for name in data.dtype.names}
    frame: Any = data
    library = frame_library(frame)
    if library == "pandas":
        names = [str(name) for name in frame.columns]
        columns = (_series(frame.iloc[:, j]) for j in range(len(names)))
    elif library == "polars":
        names, columns = frame.columns, (_arrow(one) for one in frame.get_columns())
    elif library == "pyarrow":
        names, columns = frame.schema.names, (_arrow(one) for one in frame.columns)
    elif library == "xarray":
        names, columns = axes_of(frame)[1][1], frame.values.T
    else:
        return None
    check_width(len(names), "the table")
    check_different(names)
    return dict(zip(names, columns, strict=True))


def as_column(column: object, name: str) -> np.ndarray:
    """Return a column, or an array of several, as it came: numbers in their type, words and gaps as objects."""
    if hasattr(column, "iloc"):
        return _series(column)
    if _is(column, "torch", "Tensor") or isinstance(column, np.ma.MaskedArray) or hasattr(column, "nnz"):
        return as_array(column, f"column {name!r}")
    x = _asarray(column, f"column {name!r}")
    return _real(x, name) if x.dtype.kind == "f" else x


def _refuse_sparse(data: Any, name: str) -> None:
    """Raise `InputError` for a sparse array; one of them is a mapping too."""
    if hasattr(data, "toarray") and hasattr(data, "nnz"):
        raise InputError(
            f"Expected dense numbers in {name}, got a sparse {type(data).__name__} of shape {data.shape}. "
            f"Give {name}.toarray() if that fits in memory."
        )


def _is(data: object, library: str, kind: str) -> bool:
    """Whether `data` is of a type of a library that may not be there: it then is not."""
    module = sys.modules.get(library)
    return module is not None and isinstance(data, getattr(module, kind))


def check_dense(tensor: Any, name: str) -> None:
    """Raise `InputError` for a tensor without values, or one that is sparse or nested."""
    torch = sys.modules["torch"]
    whole = f"a sparse or nested tensor of layout {tensor.layout}"
    odd = "a tensor on the device 'meta', which has no values" if tensor.is_meta else whole
    if tensor.is_meta or tensor.layout is not torch.strided or tensor.is_nested:
        raise InputError(f"Expected a tensor of numbers for {name}, got {odd}. Give a dense one with values.")


def _real(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array of real numbers; objects and words that spell numbers are turned into such."""
    if array.dtype.kind == "O" and any(isinstance(value, (complex, np.complexfloating)) for value in array.flat):
        raise InputError(_COMPLEX)
    if array.dtype.kind in "OUS":
        try:
            array = array.astype(np.float64)
        except ValueError as error:
            raise InputError(
                f"Expected numbers in {name}, got text or rows of different lengths ({_short(error)}). Drop or encode "
                "words, and give events of one shape."
            ) from None
        except Exception as error:  # objects of the user, whose conversion may raise anything
            raise InputTypeError(
                f"Expected numbers in {name}, got objects: {_short(error)}. argument must be a string or a number."
            ) from None
    if array.dtype.kind == "c":
        raise InputError(_COMPLEX)
    if array.dtype.kind not in "biuf":
        raise InputError(f"Expected real numbers in {name}, got the type {array.dtype}. Convert them to numbers.")
    if array.dtype.itemsize > 8:  # long double: nothing further on computes in it
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    return array


def _asarray(data: object, name: str) -> np.ndarray:
    """Return what NumPy makes of `data`; memory maps stay such."""
    if isinstance(data, np.ndarray) and not isinstance(data, np.matrix):
        return data
    try:
        return np.asarray(data)
    except Exception as error:  # a foreign container may raise anything; the remedy is the same
        reason = _short(error)
    if "inhomogeneous" in reason:
        raise InputError(
            "Expected rows of equal length, got an inhomogeneous shape. Pad or cut the events to one shape."
        )
    what = f"a value of type {type(data).__name__}"
    raise InputError(f"Expected an array of numbers for {name}, got {what} ({reason}). Give a NumPy array.")


def _series(series: Any) -> np.ndarray:
    """Return the values of a pandas series: numbers in their type, all else as objects."""
    kind, dtype = getattr(series.dtype, "kind", "O"), getattr(series.dtype, "numpy_dtype", None)
    if kind not in "biuf" or (dtype is None and not isinstance(series.dtype, np.dtype)):
        return series.to_numpy(dtype=object)
    if isinstance(series.dtype, np.dtype):
        return series.to_numpy()
    missing = bool(series.isna().any())
    return series.to_numpy(dtype=np.float64, na_value=np.nan) if missing else series.to_numpy(dtype)


def _arrow(column: Any) -> np.ndarray:
    """Return the values of a column of Arrow or polars: numbers in their type, NaN where missing, else objects."""
    kind = str(getattr(column, "type", getattr(column, "dtype", ""))).lower()
    n_missing = column.null_count() if callable(column.null_count) else column.null_count
    if re.fullmatch(r"u?int\d+|float\d*|double|halffloat|bool(ean)?", kind) is None or (n_missing and "bool" in kind):
        values = column.to_pylist() if hasattr(column, "to_pylist") else column.to_list()
        return np.array([*values, None], dtype=object)[:-1]  # None: else lists would become a second axis
    return column.to_numpy(zero_copy_only=False) if type(column).__name__.endswith("Array") else column.to_numpy()


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _coded(x: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return codes (NaN where missing) and words; or numbers and None if all objects are numbers."""
    values = x.tolist()
    if any(isinstance(value, (complex, np.complexfloating)) for value in values):
        raise InputError(f"Expected real numbers in column {name!r}, got complex ones. Give two columns.")
    if x.dtype.kind in "mM":
        raise InputError(f"Expected numbers in column {name!r}, got times. Give seconds since some moment instead.")
    gaps = ("NoneType", "NAType", "NaTType")
    is_nan = (isinstance(value, (float, np.floating)) and value != value for value in values)
    missing = np.array([nan or type(v).__name__ in gaps for nan, v in zip(is_nan, values, strict=True)], bool)
    present = [v for v, gone in zip(values, missing, strict=True) if not gone]
    if not any(isinstance(v, (str, bytes)) for v in present):
        try:
            numbers = np.full(len(values), np.nan)
            numbers[~missing] = [float(v) for v in present]
        except Exception:  # objects of the user, whose conversion may raise anything
            raise InputError(
                f"Expected numbers in column {name!r}, got objects of type {type(present[0]).__name__}. Leave it out "
                "(--columns a,b,c)."
            ) from None
        return numbers, None
    texts = np.array([v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in present])
    words, codes = np.unique(texts, return_inverse=True)
    if len(words) > MAX_WORDS:
        raise InputError(
            f"Expected numbers or at most {MAX_WORDS} different words in column {name!r}, got {len(words)} words "
            f"such as {str(words[0])!r}. Leave the column out (--columns a,b,c)."
        )
    out = np.full(len(values), np.nan) if missing.any() else np.empty(len(values), np.int64)
    out[~missing] = codes
    return out, tuple(str(word) for word in words)
