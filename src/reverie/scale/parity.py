r"""Whether an exported graph gives the samples that the model gives on the same noise.

For a column of real numbers with values x of the model and y of the graph,

    absolute    max |y - x|
    relative    max |y - x| / max(|x|, s),      s half the width of the central 68 % of x

with differences of angles taken around the circle. The relative difference is held to a tolerance. A column of whole
numbers, levels or categories can differ where a feature lies within rounding of a step: such rows are counted, may be
one in ten thousand, and are left out of the other columns, which depend on them.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reverie.core.errors import ReverieError
from reverie.data.schema import Column, Schema
from reverie.models.one_pass import PhysicalSampler

__all__ = ["TOLERANCE", "ColumnParity", "Parity", "ParityError", "compared"]

TOLERANCE = 1e-5
MOST_DIFFERING = 1e-4  # of the rows
_SIZES = (1, 7, 100, 2000)
_PIXELS = 4_000_000  # in one batch, at most
_DISCRETE = {"integer", "categorical", "spin"}
_TINY = 1e-300

Run = Callable[..., Sequence[np.ndarray]]


class ParityError(ReverieError, ArithmeticError):
    """An exported graph does not give the samples of its model."""


@dataclass(frozen=True)
class ColumnParity:
    """Largest differences of one column over all batches.

    Parameters
    ----------
    name, unit : of the column.
    largest_absolute, largest_relative : of a column of real numbers, else 0.
    n_differing : rows (or cells) of a column of levels that differ, else 0.
    """

    name: str
    unit: str
    largest_absolute: float = 0.0
    largest_relative: float = 0.0
    n_differing: int = 0


@dataclass(frozen=True)
class Parity:
    """The result of comparing a graph with its model.

    Parameters
    ----------
    columns : one for each column, and one for the acceptance of a referee.
    sizes : rows of the batches.
    tolerance : that the largest relative difference is held to.
    n_values : cells per row of a column: 1 for tables, pixels for images.
    """

    columns: tuple[ColumnParity, ...]
    sizes: tuple[int, ...]
    tolerance: float
    n_values: int = 1

    @property
    def largest_relative(self) -> float:
        """Over all columns."""
        return max(column.largest_relative for column in self.columns)

    @property
    def n_differing(self) -> int:
        """Over all columns of levels."""
        return sum(column.n_differing for column in self.columns)

    @property
    def holds(self) -> bool:
        """Whether every column is within tolerance."""
        allowed = max(1, MOST_DIFFERING * sum(self.sizes) * self.n_values)
        small = all(column.largest_relative <= self.tolerance for column in self.columns)  # NaN is not
        return small and all(column.n_differing <= allowed for column in self.columns)

    def __str__(self) -> str:
        differing = f", {self.n_differing} rounded differently" if self.n_differing else ""
        return (
            f"largest relative difference {self.largest_relative:.1e} over {sum(self.sizes)} samples"
            f" (tolerance {self.tolerance:g}){differing}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return asdict(self) | {"holds": self.holds, "n": sum(self.sizes), "most_differing": MOST_DIFFERING}


def compared(sampler: PhysicalSampler, run: Run, schema: Schema, *, tolerance: float = TOLERANCE) -> Parity:
    """Compare a graph with the model it was made of, on random noise and conditions of training events.

    Parameters
    ----------
    sampler : the model.
    run : noise and perhaps conditions, arrays, to the outputs of the graph.
    schema : of the events.
    tolerance : largest relative difference.
    """
    n_values = 1 if schema.is_table else int(np.prod(schema.event_shape))
    sizes = tuple(n for n in _SIZES if n == 1 or n * n_values <= _PIXELS)
    found: list[list[ColumnParity]] = []
    for k, n in enumerate(sizes):
        inputs = sampler.example(n, seed=k)
        expected = [x.numpy() for x in sampler(*inputs)]
        got = run(*(x.numpy() for x in inputs))
        found.append(_of_batch(expected, got, schema))
    return Parity(tuple(map(_joined, zip(*found, strict=True))), sizes, tolerance, n_values)


def _of_batch(expected: Sequence[np.ndarray], got: Sequence[np.ndarray], schema: Schema) -> list[ColumnParity]:
    x, y = (values[0].reshape(len(values[0]), -1) for values in (expected, got))
    columns = list(zip(schema.columns, x.T, y.T, strict=True)) if schema.is_table else [(schema.columns[0], x, y)]
    same = np.ones(len(x), dtype=bool)
    for column, a, b in columns:
        if _is_discrete(column):
            same &= (a == b).reshape(len(x), -1).all(axis=1)
    parities = [_of_column(column, a, b, same) for column, a, b in columns]
    for a, b in zip(expected[1:], got[1:], strict=True):
        absolute = float(np.abs(a - b)[same].max(initial=0.0))
        parities.append(ColumnParity("acceptance", "", absolute, absolute))
    return parities


def _of_column(column: Column, x: np.ndarray, y: np.ndarray, same: np.ndarray) -> ColumnParity:
    if _is_discrete(column):
        return ColumnParity(column.name, column.unit, n_differing=int((x != y).sum()))
    d = np.abs(y - x)
    if column.kind == "periodic" and column.period is not None:
        d = np.minimum(d, np.abs(column.period - d))
    scale = np.maximum(np.abs(x), _spread(x))
    d, scale = d[same], np.maximum(scale[same], _TINY)
    if not d.size:
        return ColumnParity(column.name, column.unit)
    return ColumnParity(column.name, column.unit, float(d.max()), float((d / scale).max()))


def _is_discrete(column: Column) -> bool:
    return column.kind in _DISCRETE or column.integral


def _spread(x: np.ndarray) -> float:
    low, high = np.quantile(x, [0.16, 0.84])
    return float(high - low) / 2


def _joined(parts: Sequence[ColumnParity]) -> ColumnParity:
    """Return the largest differences of several batches; NaN stays NaN."""
    absolute, relative = (
        float(np.max([getattr(p, name) for p in parts])) for name in ("largest_absolute", "largest_relative")
    )
    return ColumnParity(parts[0].name, parts[0].unit, absolute, relative, sum(p.n_differing for p in parts))
