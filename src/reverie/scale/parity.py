r"""Whether an exported graph gives the samples that the model gives on the same noise.

For a column of real numbers with values x of the model and y of the graph,

    absolute    max |y - x|
    relative    max |y - x| / max(|x|, s),      s half the width of the central 68 % of x

with differences of angles taken around the circle. A value is beyond the tolerance t where

    |y - x| > t max(|x|, s) + 30 |x' - x|

with x' the model's value when its float32 noise moves to the next number, up or down: what a model itself turns such a
step into, as for the angle of a point near the origin, nobody can undercut. No value may be beyond. A column of whole
numbers, levels or categories can differ where a feature lies within rounding of a step: such values are counted,
may be one in ten thousand, and their rows are left out of the other columns, which depend on them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from reverie.core.errors import ReverieError
from reverie.data.schema import Column, Schema
from reverie.models.one_pass import PhysicalSampler

__all__ = ["TOLERANCE", "ColumnParity", "Parity", "ParityError", "compared"]

TOLERANCE = 1e-5
MOST_DIFFERING = 1e-4
_ROUNDINGS = 30.0
_SIZES = (1, 7, 100, 2000)
_PIXELS = 2_000_000  # in one batch, at most
_DISCRETE = {"integer", "categorical", "spin"}
_ACCEPTANCE = Column("acceptance", "bounded", lower=0.0, upper=1.0)
_TINY = 1e-300

Run = Callable[..., Sequence[np.ndarray]]


class ParityError(ReverieError, ArithmeticError):
    """An exported graph does not give the samples of its model."""


@dataclass(frozen=True)
class ColumnParity:
    """Largest differences of one column.

    Parameters
    ----------
    name, unit : Name and unit of the column.
    largest_absolute, largest_relative : Largest differences in a column of real numbers, else 0.
    n_beyond : Number of its values that are beyond tolerance.
    n_differing : Number of values of a column of levels that differ, else 0.
    """

    name: str
    unit: str
    largest_absolute: float = 0.0
    largest_relative: float = 0.0
    n_beyond: int = 0
    n_differing: int = 0


@dataclass(frozen=True)
class Parity:
    """The result of comparing a graph with its model.

    Parameters
    ----------
    columns : One for each column, and one for the acceptance of a referee.
    sizes : Rows of the batches.
    tolerance : t of the module docstring.
    n_values : Cells per row of a column: 1 for tables, pixels for images.
    """

    columns: tuple[ColumnParity, ...]
    sizes: tuple[int, ...]
    tolerance: float
    n_values: int = 1

    @property
    def largest_relative(self) -> float:
        """Over all columns of real numbers."""
        return float(np.max([column.largest_relative for column in self.columns]))  # NaN stays NaN

    @property
    def n_beyond(self) -> int:
        """Values beyond tolerance, over all columns of real numbers."""
        return sum(column.n_beyond for column in self.columns)

    @property
    def n_differing(self) -> int:
        """Values that differ, over all columns of levels."""
        return sum(column.n_differing for column in self.columns)

    @property
    def holds(self) -> bool:
        """Whether every column is within tolerance."""
        allowed = max(1, MOST_DIFFERING * sum(self.sizes) * self.n_values)
        return self.n_beyond == 0 and all(column.n_differing <= allowed for column in self.columns)

    def __str__(self) -> str:
        beyond = f"{self.n_beyond:,} values" if self.n_beyond else "none"
        differing = f", {self.n_differing} rounded differently" if self.n_differing else ""
        return (
            f"largest relative difference {self.largest_relative:.1e} over {sum(self.sizes)} samples, {beyond} beyond "
            f"{self.tolerance:g} and rounding{differing}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it; infinite numbers and NaN are texts."""
        columns = [
            {name: str(x) if isinstance(x, float) and not math.isfinite(x) else x for name, x in asdict(column).items()}
            for column in self.columns
        ]
        summary = {"holds": self.holds, "n": sum(self.sizes), "most_differing": MOST_DIFFERING}
        return summary | asdict(self) | {"columns": columns}


def compared(sampler: PhysicalSampler, run: Run, schema: Schema, *, tolerance: float = TOLERANCE) -> Parity:
    """Compare a graph with the model it was made of, on random noise and conditions of training events.

    Parameters
    ----------
    sampler : The model as a sampler.
    run : Noise and perhaps conditions, arrays, to the outputs of the graph.
    schema : Schema of the events.
    tolerance : t of the module docstring.
    """
    n_values = 1 if schema.is_table else math.prod(schema.event_shape)
    sizes = tuple(n for n in _SIZES if n == 1 or n * n_values <= _PIXELS)
    batches = []  # each output (four, n, ...): of the model, of the graph, of the model on the noise above and below
    for seed, n in enumerate(sizes):
        noise, *conditions = sampler.example(n, seed=seed)
        above, below = (torch.nextafter(noise, torch.full_like(noise, end)) for end in (math.inf, -math.inf))
        model, higher, lower = (sampler(z, *conditions) for z in (noise, above, below))
        graph = run(*(x.numpy() for x in (noise, *conditions)))
        batches.append([np.stack(four) for four in zip(model, graph, higher, lower, strict=True)])
    values, *beside = (np.concatenate(parts, axis=1) for parts in zip(*batches, strict=True))
    if schema.is_table or schema.is_set:  # (four, row) of a column, of sets (four, row, particle)
        columns = [(column, values[..., j]) for j, column in enumerate(schema.columns)]
    else:
        columns = [(schema.columns[0], values.reshape(*values.shape[:2], -1))]
    same = np.ones(values.shape[1], dtype=bool)
    for column, x in columns:
        if _is_discrete(column):
            same &= (x[0] == x[1]).reshape(len(same), -1).all(axis=1)
    columns += [(_ACCEPTANCE, x) for x in beside]
    return Parity(tuple(_of_column(c, x, same, tolerance) for c, x in columns), sizes, tolerance, n_values)


def _of_column(column: Column, values: np.ndarray, same: np.ndarray, tolerance: float) -> ColumnParity:
    if _is_discrete(column):
        return ColumnParity(column.name, column.unit, n_differing=int((values[0] != values[1]).sum()))
    x, y, above, below = values[:, same]
    if not x.size:
        return ColumnParity(column.name, column.unit)
    low, high = np.quantile(x, [0.16, 0.84])
    scale = np.maximum(np.maximum(np.abs(x), (high - low) / 2), _TINY)
    d = _distance(column, x, y)
    rounding = np.maximum(_distance(column, x, above), _distance(column, x, below))
    n_beyond = int((~(d <= tolerance * scale + _ROUNDINGS * rounding)).sum())  # NaN is beyond
    return ColumnParity(column.name, column.unit, float(d.max()), float((d / scale).max()), n_beyond)


def _distance(column: Column, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    d = np.abs(y - x)
    if column.kind != "periodic" or column.period is None:
        return d
    return np.minimum(d, np.abs(column.period - d))


def _is_discrete(column: Column) -> bool:
    return column.kind in _DISCRETE or column.integral
