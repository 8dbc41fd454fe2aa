"""What every invertible transform shares: checks, noise, tags of the outputs, state as JSON.

A transform is a change of variables y = T(x) fitted on data, with x = T^-1(y) and

    log_det(x) = 1/2 log det(J^T J),    J = dT/dx,

which is log |dT/dx| where T keeps the dimension. Everything is computed, and returned, in float64.

Discrete values become continuous with uniform noise u in (0, 1). T is then a function T(x, u); u
comes from a `torch.Generator`, row by row, so that one generator gives the same result however
the rows are cut into batches. T^-1 needs no noise.

The inverse is total: a network may emit any finite y, and gets a finite x that keeps every
promise of the column (bounds, integers, levels). |y| beyond 1e30 counts as 1e30. It is differentiable
by y, with finite gradients: 0 where x is cut to a bound or stays at an atom, that of the unrounded
number where x is rounded (straight-through), and none for categories.

To add a transform: subclass `InvertibleTransform` (or `Elementwise`), write the abstract methods,
keep what `fit` learns in attributes that end in "_" (numbers, strings, tensors, lists and
dictionaries of them, other transforms), and add one row to `TRANSFORMS`.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Self

import torch
from torch import Tensor

from reverie.core.checks import check_choice
from reverie.core.clip import clip
from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.core.types import Json

__all__ = [
    "TRANSFORMS",
    "Elementwise",
    "InvertibleTransform",
    "Output",
    "check_within",
    "has_any",
    "noise_grid",
    "straight_through",
    "transform_from_json",
    "unchecked",
]

LARGEST = 1e30  # |y| beyond this is cut, so that no product overflows
TOLERANCE = 1e-6  # bounds may be missed by this fraction of their size: float32 data against float64 bounds
NOISE_BITS = 20

_CHECKED = ContextVar("checked", default=True)

# Only classes in this table are ever built from a file: file below this folder, or the class itself for one of your
# own, which is readable after ``TRANSFORMS["Mine"] = Mine``.
TRANSFORMS: dict[str, "str | type[InvertibleTransform]"] = {
    "Asinh": "continuous",
    "Bits": "discrete",
    "Chain": "composite",
    "Columns": "composite",
    "ConstantCells": "discrete",
    "Dequantise": "discrete",
    "Identity": "continuous",
    "Log": "continuous",
    "Logit": "continuous",
    "ObservableCoordinate": "observable",
    "ObservablesBeside": "kinematic_fit",
    "OneHot": "discrete",
    "Particles": "particles",
    "Periodic": "periodic",
    "PointMass": "discrete",
    "Quantile": "quantile",
    "Rescale": "continuous",
    "Separated": "separated",
    "Standardise": "continuous",
}


@dataclass(frozen=True)
class Output:
    """How a network should emit one output feature of a transform.

    Parameters
    ----------
    kind : "linear" (any real number), "tanh" (within [-1, 1]), "circle" (one of a pair on a circle
        of radius `scale`) or "simplex" (one of a group of probabilities that sum to one).
    group : features of one circle or one simplex share a number; None for the other kinds.
    scale : radius of the circle; 1 for the other kinds.
    """

    kind: str
    group: int | None = None
    scale: float = 1.0


class InvertibleTransform(ABC):
    """Parent of all transforms. The constructor stores the configuration; `fit` learns the rest.

    Attributes
    ----------
    event_shape_ : shape of one x, such as (feature,) or (height, width).
    """

    event_shape_: tuple[int, ...]
    takes_tables_only = False  # rather than events of any shape

    @abstractmethod
    def _fit(self, x: Tensor) -> None: ...

    @abstractmethod
    def _forward(self, x: Tensor, u: Tensor) -> Tensor: ...

    @abstractmethod
    def _inverse(self, y: Tensor) -> Tensor: ...

    @abstractmethod
    def _log_det(self, x: Tensor, u: Tensor) -> Tensor: ...

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one y."""
        return self.event_shape_

    @property
    def n_noise(self) -> int:
        """Number of uniform random numbers that `forward` needs per row."""
        return 0

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One tag per output feature; one for all where an event is an image or lattice, but of angles."""
        n_tags = self.output_shape[0] if len(self.output_shape) == 1 else 1
        return (Output("linear"),) * n_tags

    @property
    def n_outputs(self) -> int:
        """Number of output features, over all axes of the event."""
        return int(torch.Size(self.output_shape).numel())

    def fit(self, x: Tensor) -> Self:
        """Learn from x (batch, *event); what an earlier fit learned is forgotten."""
        x = self._checked(x)
        if not len(x):
            raise InputError("Expected at least one row to fit a transform, got none. Give some data.")
        if self.takes_tables_only and x.ndim != 2:
            kind = type(self).__name__
            raise InputError(f"Expected a table (batch, features) for {kind}, got shape {tuple(x.shape)}. Flatten it.")
        for name in self._learned():
            delattr(self, name)
        self.event_shape_ = tuple(x.shape[1:])
        self._fit(x)
        return self

    def forward(self, x: Tensor, generator: torch.Generator | None = None, *, noise: Tensor | None = None) -> Tensor:
        """Map x (batch, *event) to y (batch, *output_shape), float64.

        Raises `InputError` for values that are not finite, out of bounds, or of another shape than in `fit`.

        Parameters
        ----------
        x : values in original units.
        generator : source of the noise for discrete values; by default one of fixed seed, so that
            the same x gives the same y.
        noise : the noise itself instead, uniform in [0, 1), (batch, n_noise).
        """
        x = self._checked(x, fitted=True)
        return self._forward(x, self._noise(x, generator, noise))

    def inverse(self, y: Tensor) -> Tensor:
        """Map any finite y (batch, *output_shape) to x (batch, *event), float64, in original units."""
        y = torch.as_tensor(y).to(torch.float64)
        self._check_fitted()
        if tuple(y.shape[1:]) != self.output_shape:
            raise InputError(
                f"Expected y of shape (batch, {', '.join(map(str, self.output_shape))}), got {tuple(y.shape)}. "
                f"Give what {type(self).__name__}.forward returns."
            )
        _check_finite(y, "y", "A network that emits such numbers has diverged.")
        return self._inverse(clip(y, -LARGEST, LARGEST))

    def log_det(self, x: Tensor, generator: torch.Generator | None = None, *, noise: Tensor | None = None) -> Tensor:
        """Return 1/2 log det(J^T J) at x, (batch,); the arguments are those of `forward`."""
        x = self._checked(x, fitted=True)
        return self._log_det(x, self._noise(x, generator, noise))

    def to_json(self) -> Json:
        """Return configuration and learned state as dictionaries, lists, numbers and strings."""
        config = {name: _encoded(getattr(self, name)) for name in self._parameters()}
        state = {name: _encoded(getattr(self, name)) for name in self._learned()}
        return {"transform": type(self).__name__, "config": config, "state": state}

    @classmethod
    def from_json(cls, record: Json) -> Self:
        """Return the transform that `to_json` described, bit for bit."""
        made = transform_from_json(record)
        if not isinstance(made, cls):
            raise InputError(
                f"Expected a record of {cls.__name__}, got one of {type(made).__name__}. "
                "Use transform_from_json when the class is not known."
            )
        return made

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has been called."""
        return hasattr(self, "event_shape_")

    def __repr__(self) -> str:
        shown = []
        for name, parameter in self._parameters().items():
            value, default = getattr(self, name), parameter.default
            is_plain = type(value) is type(default) and isinstance(value, (int, float, str, tuple))
            if value is not default and not (is_plain and value == default):
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _noise(self, x: Tensor, generator: torch.Generator | None, noise: Tensor | None) -> Tensor:
        shape = (x.shape[0], self.n_noise)
        if noise is None:
            if not self.n_noise:
                return x.new_zeros(shape)
            generator = child_generator(0, "transform noise") if generator is None else generator
            noise = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
        if tuple(noise.shape) != shape:
            raise InputError(
                f"Expected noise of shape {shape}, got {tuple(noise.shape)}. Draw n_noise uniform numbers per row."
            )
        return noise.to(x.device, torch.float64)

    def _checked(self, x: Tensor, *, fitted: bool = False) -> Tensor:
        x = torch.as_tensor(x).to(torch.float64)
        if x.ndim < 2:
            raise InputError(
                f"Expected x of shape (batch, features) or (batch, *event), got {tuple(x.shape)}. "
                "Rows are samples; reshape one column with x[:, None]."
            )
        if fitted:
            self._check_fitted()
            if tuple(x.shape[1:]) != self.event_shape_:
                raise InputError(
                    f"Expected x of shape (batch, {', '.join(map(str, self.event_shape_))}) as in fit, got "
                    f"{tuple(x.shape)}. Give the same columns, in the same order."
                )
        _check_finite(x, "x", "Drop those rows or fill them in.")
        return x

    def _check_fitted(self) -> None:
        if not self.is_fitted:
            raise InputError(f"Expected a fitted {type(self).__name__}, got one without fit. Call fit(x) first.")

    @classmethod
    def _parameters(cls) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(cls).parameters)

    def _learned(self) -> list[str]:
        return [name for name in vars(self) if name.endswith("_")]

    def _restore(self, state: Json) -> Self:
        for name, value in state.items():
            setattr(self, name, value)
        if self.is_fitted:
            self.event_shape_ = tuple(self.event_shape_)
        return self


class Elementwise(InvertibleTransform):
    """A transform that changes each number by itself, so that J is diagonal."""

    @abstractmethod
    def _log_derivative(self, x: Tensor) -> Tensor: ...

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        return self._log_derivative(x).flatten(1).sum(1)


@contextmanager
def unchecked() -> Iterator[None]:
    """Let transforms take values as they are within this block, without a look at them.

    In a graph that is being traced numbers are symbols, of which nothing can be asked. Values that are not finite
    then stay so, and values out of bounds are cut to them.
    """
    token = _CHECKED.set(False)
    try:
        yield
    finally:
        _CHECKED.reset(token)


def has_any(bad: Tensor) -> bool:
    """Tell whether any entry of `bad` is true; under `unchecked` nobody looks, and the answer is no."""
    return _CHECKED.get() and bool(bad.any())


def check_within(x: Tensor, lower: float | None, upper: float | None) -> Tensor:
    """Return x (any shape) cut to [lower, upper]; None is no bound.

    A value may miss a bound by a rounding error (1e-6 of the size of the bounds), as float32 data do; one that is
    further out is an `InputError`.
    """
    if lower is None and upper is None:
        return x
    if _CHECKED.get() and x.numel():
        slack = TOLERANCE * max(abs(bound) for bound in (lower, upper) if bound is not None)
        low, high = x.detach().amin().item(), x.detach().amax().item()
        if (lower is not None and low < lower - slack) or (upper is not None and high > upper + slack):
            ends = f"[{'-inf' if lower is None else lower:}, {'inf' if upper is None else upper:}]"
            raise InputError(
                f"Expected values within {ends}, got values from {low:.6g} to {high:.6g}. "
                "Widen the bounds of the column, or drop those rows."
            )
    return clip(x, lower, upper)


def noise_grid(u: Tensor) -> Tensor:
    """Return u in [0, 1) moved to the nearest midpoint of 2^20 cells, so that integer + u is exact and never rounds up.

    Holds for integers up to 2^31 in size.
    """
    cells = 2.0**NOISE_BITS
    return (torch.floor(u * cells) + 0.5) / cells


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return the values of `hard`, bit for bit, with the gradient of `soft` (Bengio et al., arXiv:1308.3432)."""
    return hard.detach() + (soft - soft.detach()) if soft.requires_grad else hard


def _check_finite(x: Tensor, name: str, advice: str) -> None:
    if has_any(~torch.isfinite(x)):
        bad = int((~torch.isfinite(x)).sum())
        raise InputError(f"Expected finite numbers in {name}, got {bad} NaN or inf. {advice}")


def _encoded(value: object) -> object:
    if isinstance(value, InvertibleTransform):
        return value.to_json()
    if isinstance(value, Tensor):
        return {"tensor": value.tolist()}
    if isinstance(value, Mapping):
        return {key: _encoded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encoded(item) for item in value]
    return value


def transform_from_json(record: Mapping[str, Any]) -> InvertibleTransform:
    """Return the transform that ``to_json`` described, bit for bit; `InputError` for another or unknown record."""
    if not isinstance(record, Mapping) or not {"transform", "config", "state"} <= set(record):
        raise InputError(
            "Expected a record with the keys 'transform', 'config' and 'state', "
            f"got {type(record).__name__}. Give what to_json() returned."
        )
    name = record["transform"]
    made = check_choice("transform", name, TRANSFORMS)
    if isinstance(made, str):
        made = getattr(import_module(f"reverie.data.transforms.{made}"), name)
    config = {name: _as_tuple(_decoded(value)) for name, value in record["config"].items()}
    state = {name: _decoded(value) for name, value in record["state"].items()}
    unknown = set(config) - set(made._parameters())
    if unknown:
        raise InputError(
            f"Expected the options of {made.__name__}, got also {sorted(unknown)}. The file is of another version."
        )
    return made(**config)._restore(state)


def _decoded(value: object) -> object:
    if isinstance(value, Mapping):
        if "transform" in value:
            return transform_from_json(value)
        if set(value) == {"tensor"}:
            return torch.tensor(value["tensor"], dtype=torch.float64)
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value


def _as_tuple(value: object) -> object:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value
