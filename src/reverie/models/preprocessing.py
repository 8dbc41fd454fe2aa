"""Data as they come and as a network sees them, and the way back.

`Preprocessing` remembers how the training data came (array, tensor, DataFrame or Dataset, with
their types and names), the schema, and the fitted transform; it turns values into float32 features
and generated features into values of the same container, in original units.

Transforms of a large table (`reverie.core.lazy`) are fitted on a sample of its rows, 2^18 of up to 64 columns: the
error that this adds to a distribution function, 0.85 / sqrt(2^18) = 0.0017, is less than the distance of the knots.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.lazy import LazyTable, sample_rows, sample_size
from reverie.core.protocols import Transform
from reverie.core.random import child_seed
from reverie.core.tables import axes_of, frame_library
from reverie.core.types import ArrayLike, Json
from reverie.data.dataset import Dataset
from reverie.data.inference import has_periodic_edges, is_homogeneous
from reverie.data.lazy import LazyRows, some_rows
from reverie.data.observables import resolve_observables
from reverie.data.schema import Column, Schema
from reverie.data.transforms import (
    Bits,
    Chain,
    ConstantCells,
    InvertibleTransform,
    ObservableCoordinate,
    ObservablesBeside,
    auto_transform,
    transform_from_json,
)

__all__ = [
    "CONTAINERS",
    "FRAMES",
    "ChangeOfVariables",
    "Observables",
    "Preprocessing",
    "container_of",
    "data_mark",
    "fitted_on",
    "fitted_preprocessing",
    "is_periodic_lattice",
]

# What `preprocessing` of a model may be: a word for all columns, words or transforms for some by name, or a transform.
# The class, not the protocol: whether an object has the properties of that is only known once it is fitted.
ChangeOfVariables: TypeAlias = Mapping[str, InvertibleTransform | str] | InvertibleTransform | str
Observables: TypeAlias = Sequence[str | Callable[[Tensor], Tensor]] | None  # what `observables` of a model may be

CONTAINERS = ("array", "tensor", "frame", "polars", "arrow", "xarray", "xarray array", "dataset")
_MANY = 100  # images from which a cell that never varied is taken to be constant
FRAMES: dict[str, Literal["pandas", "polars", "pyarrow"]] = {"frame": "pandas", "polars": "polars", "arrow": "pyarrow"}


@dataclass(frozen=True)
class Preprocessing:
    """The invertible way from values to features.

    Parameters
    ----------
    schema : names, kinds and types of the values.
    transform : fitted change of variables.
    container : what the user fitted on and gets back, one of `CONTAINERS`.
    dtype : numpy name of the type of the values.
    axes : name and coordinates of each axis, of what came from xarray.
    """

    schema: Schema
    transform: Transform
    container: str
    dtype: str
    axes: tuple[tuple[str, tuple | None], ...] = ()

    def features(self, values: np.ndarray) -> Tensor:
        """Return features (batch, *latent event) in float32 of values (batch, *event)."""
        x = torch.from_numpy(np.array(values, dtype=np.float64))
        return self.transform.forward(x).to(torch.float32)

    def values(self, features: Tensor) -> np.ndarray:
        """Return values (batch, *event) of the original type of generated features."""
        x = self.transform.inverse(features.detach().to("cpu", torch.float64)).numpy()
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iub":
            limits = np.iinfo(dtype) if dtype.kind in "iu" else None
            x = np.rint(x) if limits is None else np.rint(x).clip(limits.min, limits.max)
            return x.astype(dtype)
        return _shortened(x, dtype, self.schema) if dtype.itemsize < x.itemsize else x

    def to_json(self) -> Json:
        """Return everything as JSON can hold it."""
        stored = {"schema": self.schema.to_json(), "transform": self.transform.to_json()}
        return stored | {"container": self.container, "dtype": self.dtype} | ({"axes": self.axes} if self.axes else {})

    @classmethod
    def from_json(cls, stored: Json, observables: Observables = None) -> Self:
        """Return what `to_json` described, with the observables that it was fitted with."""
        schema, transform = Schema.from_json(stored["schema"]), transform_from_json(stored["transform"])
        if isinstance(transform, (ObservableCoordinate, ObservablesBeside)):
            transform.bind(resolve_observables(observables or (), schema))
        axes = tuple((name, None if x is None else tuple(x)) for name, x in stored.get("axes", ()))
        return cls(schema, transform, stored["container"], stored["dtype"], axes)

    def wrapped(self, values: np.ndarray) -> ArrayLike:
        """Return `values` in the container that the model was fitted on."""
        if self.container == "tensor":
            return torch.from_numpy(np.ascontiguousarray(values))
        if self.container in FRAMES:
            return Dataset(values, schema=self.schema).to_frame(FRAMES[self.container])
        if self.container.startswith("xarray"):
            return Dataset(values, schema=self.schema).to_xarray(self.axes, as_array=self.container == "xarray array")
        if self.container == "dataset":
            return Dataset(values, schema=self.schema, provenance={"source": "generated"})
        return values


def fitted_preprocessing(
    dataset: Dataset,
    container: str,
    choice: ChangeOfVariables,
    observables: Observables = None,
    *,
    kinematic_fit: bool = False,
) -> Preprocessing:
    """Return the way from values to features, fitted.

    Cells that have one value in all of at least 100 images have it in samples too; models of bits learn them.

    Parameters
    ----------
    dataset : training data.
    container : what the user gave, see `container_of`.
    choice : "auto", a word for all continuous columns, words or transforms by column, or a transform.
    observables : names and functions of tables, each of which becomes a coordinate of the features.
    kinematic_fit : whether they stand beside the features of the columns instead, to which samples are moved.
    """
    if isinstance(choice, str):
        transform = auto_transform(dataset.schema, continuous="quantile" if choice == "auto" else choice)
    elif isinstance(choice, Mapping):
        transform = auto_transform(dataset.schema, overrides=choice)
    else:
        transform = copy.deepcopy(choice)
    steps = transform.steps if isinstance(transform, Chain) else [transform]
    is_image = not (dataset.schema.is_table or dataset.schema.is_set)
    if is_image and len(dataset) >= _MANY and not any(isinstance(step, (Bits, ConstantCells)) for step in steps):
        varies = (dataset.values != dataset.values[:1]).any(axis=0)
        transform = transform if varies.all() or not varies.any() else Chain([ConstantCells(), *steps])
    resolved = resolve_observables(observables or (), dataset.schema)
    if resolved and not dataset.schema.is_table:
        raise InputError(
            f"Expected a table for observables of this model, got images of shape {dataset.schema.event_shape}. "
            "Leave observables out, or train a GAN, whose discriminator sees those of images."
        )
    own, schema = [o.name if o.named else o for o in resolved], dataset.schema.to_json()
    if kinematic_fit and own:
        transform = ObservablesBeside(base=transform, observables=tuple(own), schema=schema)
    else:
        for observable in own:
            transform = ObservableCoordinate(base=transform, observable=observable, schema=schema)
    transform.fit(torch.from_numpy(dataset.values.astype("float64")))
    return Preprocessing(dataset.schema, transform, container, str(dataset.values.dtype))


def is_periodic_lattice(dataset: Dataset, *, periodic: bool | Literal["auto"]) -> bool:
    """Tell whether events are lattices whose opposite edges touch and whose sites are alike.

    Parameters
    ----------
    dataset : Events; tables and sets are no lattices.
    periodic : What the user says; "auto" takes spins, and images whose edges touch (`has_periodic_edges`), if no site
        is special (`is_homogeneous`).
    """
    schema = dataset.schema
    if schema.is_table or schema.is_set or periodic != "auto":
        return periodic is True and not schema.is_table and not schema.is_set
    column = schema.columns[0]
    circle = None if column.lower is None or column.period is None else (column.lower, column.lower + column.period)
    is_lattice = column.kind == "spin" or has_periodic_edges(dataset.values, circle)
    return is_lattice and is_homogeneous(dataset.values, circle)


def fitted_on(dataset: Dataset, fit: Callable[[Dataset], Preprocessing], *, seed: int) -> Preprocessing:
    """Return what `fit` makes of the data; of a large table, of a sample of its rows.

    A transform that refuses the least and greatest values of the table, since the sample has lesser ones, is
    fitted on these too.
    """
    values: Any = dataset.values
    if not isinstance(values, LazyTable):
        return fit(dataset)
    n = len(values)
    sample = dataset.take(sample_rows(n, sample_size(n, values.shape[1:]), child_seed(seed, "fitted on")))
    prepared, summary = fit(sample), values.summary
    ends = np.stack([np.broadcast_to(end, values.shape[1:]) for end in (summary.low, summary.high)])
    try:
        prepared.features(ends.astype(values.dtype))
    except InputError:
        return fit(Dataset(np.concatenate([sample.values, ends.astype(values.dtype)]), schema=dataset.schema))
    return prepared


def data_mark(rows: Tensor | LazyRows) -> list[float]:
    """Return numbers that tell one set of training rows, in its order, from another; of a large one by a sample."""
    if isinstance(rows, LazyRows):
        return [float(len(rows)), *data_mark(some_rows({"x": rows}, 10_000, seed=0, name="mark")["x"])]
    flat = rows.flatten(1).double().nan_to_num()  # NaN marks what is missing
    order = torch.arange(1, len(flat) + 1, dtype=torch.float64)
    return [float(len(flat)), float(flat.sum()), float(flat.square().sum()), float(order @ flat.sum(dim=1))]


def container_of(X: ArrayLike) -> str:
    """Name the container of `X`, one of `CONTAINERS`: a "frame" is one of pandas."""
    if isinstance(X, Dataset):
        return "dataset"
    if isinstance(X, Tensor):
        return "tensor"
    if axes_of(X):
        return "xarray" if hasattr(X, "data_vars") else "xarray array"
    library = frame_library(X)
    return next((container for container, name in FRAMES.items() if name == library), "array")


def _shortened(x: np.ndarray, dtype: np.dtype, schema: Schema) -> np.ndarray:
    """Return `x` in a shorter floating-point type, within the bounds, which hold exactly in float64.

    Values beyond the type are refused, for infinity would hide them.
    """
    with np.errstate(over="ignore"):
        short = x.astype(dtype)
    beyond = np.isinf(short) & np.isfinite(x)
    if beyond.any():
        raise InputError(
            f"Expected samples of at most {np.finfo(dtype).max:.4g} in size, the largest number of {dtype}, the type "
            f"of the training data, got {x[beyond][0]:.4g}. Train on the same data as float64."
        )
    if not (schema.is_table or schema.is_set):
        return np.clip(short, *_limits(schema.columns[0], dtype))
    for j, column in enumerate(schema.columns[:-1] if schema.is_set else schema.columns):
        short[..., j] = np.clip(short[..., j], *_limits(column, dtype))
    return short * (x[..., -1:] > 0) if schema.is_set else short


def _limits(column: Column, dtype: np.dtype) -> tuple[np.floating, np.floating]:
    """Return the least and the greatest number of a type that lie within the bounds of a column."""
    lower = -np.inf if column.lower is None else column.lower
    upper = np.inf if column.upper is None else column.upper
    with np.errstate(over="ignore"):  # a bound beyond the type is none
        low, high = dtype.type(lower), dtype.type(upper)
    # compared as Python numbers: NumPy would round the bound to the short type first
    low = np.nextafter(low, dtype.type(np.inf)) if float(low) < lower else low
    reaches = float(high) >= upper if column.kind == "periodic" else float(high) > upper
    return low, np.nextafter(high, dtype.type(-np.inf)) if reaches and np.isfinite(upper) else high
