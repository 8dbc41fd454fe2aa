"""The transform that suits a schema, column by column.

| kind                  | transform (continuous = "quantile" / "standardise" / "asinh")                    |
|-----------------------|----------------------------------------------------------------------------------|
| continuous            | Quantile / Standardise / Asinh then Standardise                                  |
| bounded, or any with bounds | Quantile within the bounds / Logit then Standardise (the same for "asinh")  |
| periodic              | Periodic: cosine and sine                                                        |
| integer, spin         | Dequantise, then as a continuous column                                          |
| categorical           | OneHot                                                                           |
| pixel                 | Rescale to [-1, 1], rounding where the data are integral                         |
| image or lattice      | Rescale to [-1, 1], all sites alike, with a gap above an atom at the lower end;  |
|                       | with a lower bound alone, such as energies or counts: Asinh above it first, for  |
|                       | most of them lie far below the largest; without bounds: Standardise, shared      |
| with an atom          | PointMass around what the column would get otherwise                             |
| sets of particles     | Particles: each column of a particle as that of a table; the mask stays          |
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from reverie.core.checks import check_choice
from reverie.core.errors import InputError, UnknownNameError
from reverie.data.schema import Column, Schema
from reverie.data.transforms.base import InvertibleTransform
from reverie.data.transforms.composite import Chain, Columns
from reverie.data.transforms.continuous import Asinh, Logit, Rescale, Standardise
from reverie.data.transforms.discrete import Dequantise, OneHot, PointMass
from reverie.data.transforms.particles import Particles
from reverie.data.transforms.periodic import Periodic
from reverie.data.transforms.quantile import Quantile

__all__ = ["auto_transform"]

Bound = float | None

ATOM_GAP = 0.1  # of [-1, 1], the range of tanh: wide enough to hit, and little loss of resolution


def auto_transform(
    schema: Schema,
    *,
    continuous: str = "quantile",
    overrides: Mapping[str, str | InvertibleTransform] | None = None,
) -> InvertibleTransform:
    """Return an unfitted transform for data of this schema.

    Raises `UnknownNameError` for an unknown column or word, with the nearest.

    Parameters
    ----------
    schema : columns with their kinds, bounds, periods, levels and atoms, and the shape of an event.
    continuous : Word for continuous, bounded and integer columns: "quantile", "standardise" or "asinh".
    overrides : Another of these words, or a transform of your own, for single columns by name.
    """
    overrides = overrides or {}
    names = [column.name for column in schema.columns]
    for name in overrides:
        if name not in names:
            raise UnknownNameError("column", name, names)
    check_choice("transform", continuous, CONTINUOUS)
    if len(schema.event_shape) > 1 and not schema.is_set:
        return _for_events(schema, overrides)
    columns = schema.columns[:-1] if schema.is_set else schema.columns
    parts = []
    for column in columns:
        choice = overrides.get(column.name, continuous)
        made = choice if isinstance(choice, InvertibleTransform) else _for_column(column, choice)
        parts.append((column.name, made))
    made = Columns(_merged(parts), names=[column.name for column in columns])
    return Particles(made) if schema.is_set else made


def _for_events(schema: Schema, overrides: Mapping[str, str | InvertibleTransform]) -> InvertibleTransform:
    column = schema.columns[0]
    own = overrides.get(column.name)
    if isinstance(own, InvertibleTransform):
        return own
    if own is not None:
        raise InputError(
            f"Expected a transform for the column {column.name!r} of images, got {own!r}. "
            "Give one that keeps the shape, such as Rescale() or Standardise()."
        )
    if column.kind == "continuous" and column.lower is None and column.upper is None:
        return Standardise(shared=True)
    if column.kind == "periodic":
        return _for_column(column, "standardise")
    if column.lower is not None and column.upper is None:
        if column.kind == "continuous":  # energies, intensities
            return Chain([Asinh(centre=column.lower), Rescale(lower=0.0, gap=_gap(column))])
        if column.kind == "integer":  # counts, which need no gap: below 1/2 they are rounded to zero
            return Chain([Asinh(centre=column.lower, step=1.0), Rescale()])
    return _rescale(column)


def _for_column(column: Column, continuous: str) -> InvertibleTransform:
    if column.kind == "periodic":
        period = 2 * math.pi if column.period is None else column.period
        origin = -period / 2 if column.lower is None else column.lower
        angle = Periodic(period=period, origin=origin)
        if not (column.integral and period == round(period) and origin == round(origin)):
            return angle
        return Chain([Dequantise(lower=origin, upper=origin + period), angle])  # whole degrees
    if column.kind == "categorical":
        return OneHot(levels=column.levels)
    if column.kind == "pixel":
        return _rescale(column)
    make = check_choice("transform", continuous, CONTINUOUS)
    if column.kind in ("integer", "spin"):
        short = column.dtype != "str" and np.dtype(column.dtype).kind in "iu" and np.dtype(column.dtype).itemsize <= 4
        ends = (float(np.iinfo(column.dtype).min), float(np.iinfo(column.dtype).max)) if short else None
        whole = Dequantise(lower=column.lower, upper=column.upper, levels=column.levels, ends=ends)
        return Chain([whole, make(None, None)])
    if column.atom is not None:
        return PointMass(column.atom, make(None, None), lower=column.lower, upper=column.upper)
    return make(column.lower, column.upper)


def _rescale(column: Column) -> Rescale:
    if column.levels is not None and len(column.levels) > 1:
        step = min(b - a for a, b in itertools.pairwise(column.levels))
        return Rescale(lower=column.levels[0], upper=column.levels[-1], step=step)
    return Rescale(lower=column.lower, upper=column.upper, step=1.0 if column.integral else None, gap=_gap(column))


def _gap(column: Column) -> float:
    """Return the share of [-1, 1] for the atom at the lower end of an image, 0 where there is none."""
    return ATOM_GAP if column.atom is not None and column.atom == column.lower else 0.0


def _standardise(lower: Bound, upper: Bound, *, first: Sequence[InvertibleTransform]) -> InvertibleTransform:
    """Return a transform to mean 0 and variance 1, after `first`, or after `Logit` where there are bounds."""
    first = first if lower is None and upper is None else (Logit(lower=lower, upper=upper),)
    return Chain([*first, Standardise()]) if first else Standardise()


CONTINUOUS: dict[str, Callable[[Bound, Bound], InvertibleTransform]] = {
    "quantile": lambda lower, upper: Quantile(lower=lower, upper=upper),
    "standardise": lambda lower, upper: _standardise(lower, upper, first=()),
    "asinh": lambda lower, upper: _standardise(lower, upper, first=(Asinh(),)),
}


def _merged(parts: list[tuple[str, InvertibleTransform]]) -> list[tuple[str | list[str], InvertibleTransform]]:
    """Join neighbouring pixel columns of the same range into one part: 784 columns, one call."""
    merged: list[tuple[str | list[str], InvertibleTransform]] = []
    for name, part in parts:
        of_one_range = isinstance(part, Rescale) and part.lower is not None and part.upper is not None
        if merged and of_one_range and repr(part) == repr(merged[-1][1]):
            last = merged[-1][0]
            merged[-1] = ([*([last] if isinstance(last, str) else last), name], part)
        else:
            merged.append((name, part))
    return merged
