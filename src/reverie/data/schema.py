"""What the columns of a data set are: name, unit, kind, bounds, period, levels, point mass.

kind          meaning                                        properties used
continuous    a real number                                  lower or upper where one end is hard; atom
bounded       a real number with two hard ends               lower, upper; atom
periodic      an angle or phase on a circle                  lower (start of the circle), period
integer       a count or other whole number                  lower, upper where hard
categorical   one of a few unordered levels                  levels, labels
spin          -1 or +1                                       levels
pixel         a cell of an image with a fixed range          lower, upper; integral

A table (n, d) has d columns; images and lattices (n, height, width) or (n, channel, height, width)
have exactly one, shared by all cells. The schema also keeps the type the data came in (`dtype`)
and which columns hold whole numbers (`integral`), so that a model can give back what it was given.
`infer_schema` guesses by the rules in `reverie.data.inference`; every guess can be edited, in
Python or as YAML.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np

from reverie.core.arguments import checked
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.lazy import LazyTable
from reverie.data.inference import MOST_CELLS, MOST_ROWS, circle_around, infer_column, infer_event

__all__ = ["KIND_NAMES", "Column", "Schema", "infer_schema", "split_unit"]

# The same words as `reverie.core.types.KINDS` (a test holds them together), without importing torch.
KIND_NAMES = ("continuous", "periodic", "bounded", "integer", "categorical", "spin", "pixel")


@dataclass(frozen=True)
class Column:
    """One column of a table, or the one quantity in every cell of an image.

    Parameters
    ----------
    name : name without the unit.
    kind : one of `KIND_NAMES`.
    unit : free text such as "GeV"; empty for a pure number.
    lower, upper : hard ends in that unit, or None. For a periodic column `lower` starts the circle.
    period : circumference of a periodic column, default 2 pi.
    levels : the values that a categorical or spin column can take.
    labels : the words behind the levels, where the file had words.
    atom : a value with a point mass, such as exact zeros among continuous values.
    integral : whether all values are whole numbers.
    dtype : NumPy name of the type that the column came in.

    Raises
    ------
    InputError
        For an unknown kind, and for ends, periods or levels that contradict it.
    """

    name: str
    kind: str = "continuous"
    unit: str = ""
    lower: float | None = None
    upper: float | None = None
    period: float | None = None
    levels: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None
    atom: float | None = None
    integral: bool = False
    dtype: str = "float64"

    def __post_init__(self) -> None:
        if self.kind not in KIND_NAMES:
            raise UnknownNameError("kind of column", self.kind, KIND_NAMES)
        for name, value in _completed(self).items():
            object.__setattr__(self, name, value)
        _check(self)

    @property
    def title(self) -> str:
        """Name with its unit, for axes: ``pt1 [GeV]``."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    @property
    def notes(self) -> str:
        """Bounds, period, levels and point mass in a few words."""
        parts = []
        if self.kind == "periodic":
            parts.append(f"period {_number(self.period)} from {_number(self.lower)}")
        elif self.kind in ("categorical", "spin"):
            parts.append(_levels_text(self))
        elif self.lower is not None and self.upper is not None:
            parts.append(f"in [{_number(self.lower)}, {_number(self.upper)}]")
        elif self.lower is not None or self.upper is not None:
            parts.append(f">= {_number(self.lower)}" if self.upper is None else f"<= {_number(self.upper)}")
        if self.atom is not None:
            parts.append(f"point mass at {_number(self.atom)}")
        if self.integral and self.kind in ("pixel", "periodic"):
            parts.append("whole numbers")
        return "; ".join(parts)


@dataclass(frozen=True)
class Schema:
    """The columns of a data set and the shape of one event.

    Parameters
    ----------
    columns : d columns for a table, exactly one for images and lattices.
    event_shape : (d,), (height, width) or (channel, height, width).
    dtype : NumPy name of the type of the array that came in.
    """

    columns: tuple[Column, ...]
    event_shape: tuple[int, ...]
    dtype: str = "float64"

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "event_shape", tuple(int(n) for n in self.event_shape))
        wanted = self.event_shape[0] if self.is_table else 1
        if len(self.columns) != wanted:
            raise InputError(
                f"Expected {wanted} column(s) for events of shape {self.event_shape}, got {len(self.columns)}. "
                "A table has one per feature, images have one in all."
            )
        twice = _first_repeated(self.names)
        if twice is not None:
            raise InputError(f"Expected different column names, got {twice!r} twice. Rename one of them.")

    @property
    def is_table(self) -> bool:
        """Whether events are rows of a table rather than images or lattices."""
        return len(self.event_shape) == 1

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]

    @property
    def integral(self) -> bool:
        """Whether every column holds whole numbers only."""
        return all(column.integral for column in self.columns)

    @property
    def dtypes(self) -> list[str]:
        """The type each column came in."""
        return [column.dtype for column in self.columns]

    def __getitem__(self, name: str) -> Column:
        return self.columns[self.index(name)]

    def __str__(self) -> str:
        rows = [("column", "kind", "unit", "notes"), *((c.name, c.kind, c.unit, c.notes) for c in self.columns)]
        widths = [max(len(row[j]) for row in rows) for j in range(4)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(line.rstrip() for line in lines)

    def index(self, name: str) -> int:
        """Return the position of the column `name`; an unknown one is answered with the nearest."""
        if name not in self.names:
            raise UnknownNameError("column", name, self.names)
        return self.names.index(name)

    def select(self, names: Sequence[str]) -> Self:
        """Return the schema of the columns `names` of a table, in that order."""
        columns = tuple(self[name] for name in names)
        return replace(self, columns=columns, event_shape=(len(columns),))

    def edit(self, name: str, **changes: Any) -> Self:
        """Return a schema with some properties of one column changed.

        A new `kind` forgets the ends, period, levels and point mass that belonged to the old one,
        unless they are given too.

        Examples
        --------
        >>> schema = Schema((Column("phi"), Column("n", "integer", lower=0)), (2,))
        >>> print(schema.edit("phi", kind="periodic", unit="rad"))
        column  kind      unit  notes
        phi     periodic  rad   period 6.28319 from -3.14159
        n       integer         >= 0
        """
        known = [field.name for field in fields(Column)]
        for key in changes:
            if key not in known:
                raise UnknownNameError("property of a column", key, known)
        column = self[name]
        if changes.get("kind", column.kind) != column.kind:
            fresh = dict.fromkeys(("lower", "upper", "period", "levels", "labels", "atom"))
            changes = {**fresh, **changes}
        columns = tuple(replace(c, **changes) if c is column else c for c in self.columns)
        return replace(self, columns=columns)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write; empty properties are left out."""
        columns = [_plain(asdict(column)) for column in self.columns]
        return {"event_shape": list(self.event_shape), "dtype": self.dtype, "columns": columns}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the schema that `to_json` wrote.

        Raises
        ------
        InputError
            If keys are missing, or unknown (the nearest is named).
        """
        known = [field.name for field in fields(Column)]
        if not isinstance(record, Mapping) or not {"columns", "event_shape"} <= set(record):
            raise InputError("Expected a schema with 'event_shape' and 'columns', got something else. See to_yaml().")
        columns = []
        for entry in record["columns"]:
            for key in entry:
                if key not in known:
                    raise UnknownNameError("property of a column", key, known)
            properties: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
            columns.append(Column(**properties))
        return cls(tuple(columns), tuple(record["event_shape"]), record.get("dtype", "float64"))

    def to_yaml(self) -> str:
        """Return the schema as YAML text, one line per column, for editing by hand."""
        import yaml

        return yaml.safe_dump(self.to_json(), sort_keys=False, default_flow_style=None, width=200)

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Return the schema written in YAML `text`."""
        import yaml

        try:
            record = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"Expected a schema in YAML, got {_one_line(error)}. Compare with to_yaml().") from None
        return cls.from_json(record)


@checked
def infer_schema(
    values: np.ndarray,
    names: Sequence[str] | None = None,
    units: Sequence[str] | Mapping[str, str] | None = None,
    kind: str | Sequence[str] | Mapping[str, str] | None = None,
    *,
    dtypes: Sequence[str] | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Schema:
    """Guess the schema of `values` by the rules of `reverie.data.inference`.

    Parameters
    ----------
    values : (n, *event) numbers; of a `LazyTable` every k-th row is looked at, and the extremes of all.
    names : one per column, such as "pt1" or "pt1 [GeV]"; default x0, x1, ... or "pixel".
    units : one per column, or by name; default what brackets in the names say.
    kind : what is known better than guessed: one kind for all, one per column, or by name.
    dtypes : the type each column had before it became part of `values`.
    labels : Words behind the codes 0, 1, ... of the columns that were text, by name.

    Raises
    ------
    InputError
        If the number of names, units or kinds is not that of the columns, or if the values of a
        column contradict the kind it is told to be.
    """
    table, ends = values.ndim == 2, None
    if isinstance(values, LazyTable):
        values, ends = _looked_at(values)
    parts = [values[:, j] for j in range(values.shape[1])] if table else [values]
    default = [f"x{j}" for j in range(len(parts))] if table else ["pixel"]
    pairs = [split_unit(str(name)) for name in _per_column("names", names, default, default)]
    plain = [name for name, _ in pairs]
    given = _per_column("units", units, plain, [unit for _, unit in pairs])
    kinds = _per_column("kind", [kind] * len(parts) if isinstance(kind, str) else kind, plain, [None] * len(parts))
    types = list(dtypes) if dtypes is not None else [values.dtype.name] * len(parts)
    columns = []
    limits = [None] * len(parts) if ends is None else ends
    for x, name, unit, given_kind, dtype, limit in zip(parts, plain, given, kinds, types, limits, strict=True):
        if labels and name in labels:
            words = tuple(labels[name])
            guess = {"kind": "categorical", "levels": tuple(range(len(words))), "labels": words, "integral": True}
        else:
            guess = infer_column(_typed(x, dtype), name, unit, limit) if table else infer_event(x, limit)
        if given_kind is not None and given_kind != guess["kind"]:
            guess = _of_kind(x, name, str(given_kind), guess)
        columns.append(Column(name=name, unit=unit, dtype=dtype, **guess))
    return Schema(tuple(columns), values.shape[1:], values.dtype.name)


def split_unit(header: str) -> tuple[str, str]:
    """Return name and unit of a header such as "pt1 [GeV]" or "t (ns)"; the unit may be empty."""
    header = header.strip()
    match = re.fullmatch(r"(.*\S)\s*(?:\[([^\[\]]*)\]|(?<=\s)\(([^()]*)\))", header)
    if match is None:
        return header, ""
    return match[1].strip(), (match[2] if match[2] is not None else match[3]).strip()


def _per_column(what: str, given: Any, names: Sequence[str], default: Sequence[Any]) -> list[Any]:
    if given is None:
        return list(default)
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                raise UnknownNameError("column", name, names)
        return [given.get(name, other) for name, other in zip(names, default, strict=True)]
    if isinstance(given, str) or len(given) != len(names):
        n = 1 if isinstance(given, str) else len(given)
        raise InputError(f"Expected {what} for {len(names)} column(s), got {n}. Give one per column, as a list.")
    return list(given)


def _looked_at(values: LazyTable) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Return some rows of a large table, and the least and the greatest value of each column in all of it."""
    most = MOST_ROWS if values.ndim == 2 else max(1, MOST_CELLS // math.prod(values.shape[1:]))
    low, high = values.summary.low, values.summary.high
    sample = values[:: max(1, -(-len(values) // most))]
    return sample, [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _typed(x: np.ndarray, dtype: str) -> np.ndarray:
    exact = np.dtype(dtype).kind in "iub" if dtype != "str" else False
    return np.asarray(x).astype(dtype) if exact and bool(np.isfinite(x).all()) else np.asarray(x)


def _of_kind(x: np.ndarray, name: str, kind: str, guess: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a column whose kind the user has given, from what was guessed of it."""
    if kind not in KIND_NAMES:
        raise UnknownNameError("kind of column", kind, KIND_NAMES)
    good = np.asarray(x[np.isfinite(x)])
    known: dict[str, Any] = {"kind": kind, "integral": guess.get("integral", False)}
    if kind in ("spin", "integer") and not _agrees(good, kind):
        wanted = "-1 and +1 only" if kind == "spin" else "whole numbers only"
        raise InputError(f"Expected {wanted} in the {kind} column {name!r}, got other values. Give another kind.")
    if kind == "periodic" and good.size:
        known["lower"], known["upper"] = circle_around(float(good.min()), float(good.max()))
    elif kind == "categorical":
        known["levels"] = tuple(float(v) for v in np.unique(good))
    elif kind in ("bounded", "pixel") and good.size:
        lower, upper = guess.get("lower"), guess.get("upper")
        known["lower"] = float(good.min()) if lower is None else lower
        known["upper"] = float(good.max()) if upper is None else upper
    elif kind in ("continuous", "integer"):
        known |= {"lower": guess.get("lower"), "upper": guess.get("upper")}
    return known


def _agrees(x: np.ndarray, kind: str) -> bool:
    return bool((np.abs(x) == 1).all()) if kind == "spin" else bool((x == np.rint(x)).all())


def _completed(column: Column) -> dict[str, Any]:
    new: dict[str, Any] = {}
    for name in ("lower", "upper", "period", "atom"):
        value = getattr(column, name)
        new[name] = None if value is None else float(value)
    if column.kind == "periodic":
        ends = None if new["lower"] is None or new["upper"] is None else new["upper"] - new["lower"]
        new["period"] = new["period"] or ends or 2 * math.pi
        new["lower"] = -new["period"] / 2 if new["lower"] is None else new["lower"]
        new["upper"] = new["lower"] + new["period"]
    if column.kind == "spin":
        new |= {"lower": -1.0, "upper": 1.0, "levels": (-1.0, 1.0)}
    elif column.levels is not None:
        new["levels"] = tuple(float(v) for v in column.levels)
    if column.kind in ("integer", "spin"):
        new["integral"] = True
    return new


def _check(column: Column) -> None:
    low, high = column.lower, column.upper
    if column.kind in ("bounded", "pixel") and (low is None or high is None):
        raise InputError(f"Expected lower and upper for the {column.kind} column {column.name!r}. Give both ends.")
    if low is not None and high is not None and not low < high:
        raise InputError(f"Expected lower < upper for column {column.name!r}, got {low:g} and {high:g}. Correct one.")
    if column.kind == "categorical" and not column.levels:
        raise InputError(f"Expected levels for the categorical column {column.name!r}, got none. Give levels=(0, 1).")
    if column.labels is not None and len(column.labels) != len(column.levels or ()):
        raise InputError(f"Expected a label for each level of column {column.name!r}, got {len(column.labels)}.")


def _levels_text(column: Column) -> str:
    shown = column.labels or tuple(_number(v) for v in column.levels or ())
    text = ", ".join(shown[:6])
    return f"{text}, ... ({len(shown)} levels)" if len(shown) > 6 else text


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    empty = {"unit": "", "integral": False}
    kept = {key: value for key, value in record.items() if value is not None and value != empty.get(key)}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in kept.items()}


def _first_repeated(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
