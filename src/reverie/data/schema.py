"""What the columns of a data set are: name, unit, kind, bounds, period, levels, point mass.

kind          meaning                                        properties used
continuous    a real number                                  lower or upper where one end is hard; atom
bounded       a real number with two hard ends               lower, upper; atom
periodic      an angle or phase on a circle                  lower (start of the circle), period
integer       a count or other whole number                  lower, upper where hard
categorical   one of a few unordered levels                  levels, labels
spin          -1 or +1                                       levels
pixel         a cell of an image with a fixed range          lower, upper; integral
mask          1 where a particle of a set is there, else 0   levels; the last column of a set, and nowhere else

A table (n, d) has d columns; images and lattices (n, height, width) or (n, channel, height, width)
have exactly one, shared by all cells. Sets of at most P particles, each of F features, are zero-padded
arrays (n, P, F + 1) with a column for each feature and the mask as the last one (`reverie.core.sets`).
The schema also keeps the type the data came in (`dtype`) and which columns hold whole numbers (`integral`), so that a
model can give back what it was given.
`reverie.data.inference.infer_schema` guesses it; every guess can be edited, in Python or as YAML.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from reverie.core.checks import check_different
from reverie.core.errors import InputError, UnknownNameError

__all__ = ["KIND_NAMES", "Column", "Schema", "in_columns", "split_unit"]

KIND_NAMES = ("continuous", "periodic", "bounded", "integer", "categorical", "spin", "pixel", "mask")


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
        numbers = (self.lower, self.upper, self.period, self.atom)
        lower, upper, period, atom = (None if value is None else float(value) for value in numbers)
        levels = None if self.levels is None else tuple(float(value) for value in self.levels)
        if self.kind == "periodic":
            ends = None if lower is None or upper is None else upper - lower
            period = period or ends or 2 * math.pi
            lower = -period / 2 if lower is None else lower
            upper = lower + period
        if self.kind == "spin":
            lower, upper, levels = -1.0, 1.0, (-1.0, 1.0)
        if self.kind == "mask":
            levels = (0.0, 1.0)
        completed = {"lower": lower, "upper": upper, "period": period, "atom": atom, "levels": levels}
        completed["integral"] = self.integral or self.kind in ("integer", "spin", "mask")
        for key, value in completed.items():
            object.__setattr__(self, key, value)
        if self.kind in ("bounded", "pixel") and (lower is None or upper is None):
            raise InputError(f"Expected lower and upper for the {self.kind} column {self.name!r}. Give both ends.")
        if lower is not None and upper is not None and not lower < upper:
            raise InputError(
                f"Expected lower < upper for column {self.name!r}, got {lower:g} and {upper:g}. Correct one."
            )
        if self.kind == "categorical" and not levels:
            raise InputError(f"Expected levels for the categorical column {self.name!r}, got none. Give levels=(0, 1).")
        if self.labels is not None and len(self.labels) != len(levels or ()):
            raise InputError(f"Expected a label for each level of column {self.name!r}, got {len(self.labels)}.")

    @property
    def title(self) -> str:
        """Name with its unit, for axes: ``pt1 [GeV]``."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    @property
    def notes(self) -> str:
        """Bounds, period, levels and point mass in a few words."""
        parts = []
        if self.kind == "periodic":
            parts.append(f"period {self.period:g} from {self.lower:g}")
        elif self.kind in ("categorical", "spin"):
            shown = self.labels or tuple(f"{value:g}" for value in self.levels or ())
            parts.append(", ".join(shown[:6]) + (f", ... ({len(shown)} levels)" if len(shown) > 6 else ""))
        elif self.lower is not None and self.upper is not None:
            parts.append(f"in [{self.lower:g}, {self.upper:g}]")
        elif self.lower is not None or self.upper is not None:
            parts.append(f">= {self.lower:g}" if self.upper is None else f"<= {self.upper:g}")
        if self.atom is not None:
            parts.append(f"point mass at {self.atom:g}")
        if self.integral and self.kind in ("pixel", "periodic"):
            parts.append("whole numbers")
        return "; ".join(parts)


@dataclass(frozen=True)
class Schema:
    """The columns of a data set and the shape of one event.

    Parameters
    ----------
    columns : d columns for a table, F features and the mask for sets, exactly one for images and lattices.
    event_shape : (d,), (P, F + 1), (height, width) or (channel, height, width).
    dtype : NumPy name of the type of the array that came in.

    Raises
    ------
    InputError
        For another number of columns, two of one name, and a mask anywhere but last in a set.
    """

    columns: tuple[Column, ...]
    event_shape: tuple[int, ...]
    dtype: str = "float64"

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "event_shape", tuple(int(n) for n in self.event_shape))
        masks = [column.name for column in self.columns if column.kind == "mask"]
        if masks and not (self.is_set and len(masks) == 1 and len(self.columns) > 1):
            raise InputError(
                f"Expected a column of kind mask as the last one of sets of shape (P, features + 1), got {masks[0]!r} "
                f"among {len(self.columns)} column(s) of events of shape {self.event_shape}. Give it another kind."
            )
        wanted = self.event_shape[0] if self.is_table else self.event_shape[1] if self.is_set else 1
        if len(self.columns) != wanted:
            raise InputError(
                f"Expected {wanted} column(s) for events of shape {self.event_shape}, got {len(self.columns)}. "
                "A table has one per feature, sets have one more for the mask, images have one in all."
            )
        check_different(self.names)

    @property
    def is_table(self) -> bool:
        """Whether events are rows of a table rather than images, lattices or sets."""
        return len(self.event_shape) == 1

    @property
    def is_set(self) -> bool:
        """Whether events are sets of particles: zero-padded arrays (P, F + 1) whose last column is the mask."""
        return len(self.event_shape) == 2 and bool(self.columns) and self.columns[-1].kind == "mask"

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The words behind the codes of columns of words, by name."""
        return {column.name: column.labels for column in self.columns if column.labels is not None}

    def with_words(self, labels: Mapping[str, Sequence[str]]) -> Self:
        """Return the schema with more words: those of `labels` that a column of words lacks, after its own."""
        columns = []
        for column in self.columns:
            more = [] if column.labels is None else [w for w in labels.get(column.name, ()) if w not in column.labels]
            known = (*(column.labels or ()), *more)
            longer = {"labels": known, "levels": tuple(map(float, range(len(known))))}
            columns.append(replace(column, **longer) if more else column)
        return replace(self, columns=tuple(columns))

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
        return "\n".join(in_columns(rows))

    def index(self, name: str) -> int:
        """Return the position of the column `name`; an unknown one is answered with the nearest."""
        if name not in self.names:
            raise UnknownNameError("column", name, self.names)
        return self.names.index(name)

    def select(self, names: Sequence[str]) -> Self:
        """Return the schema of the columns `names` of a table or of sets, in that order; sets keep their mask."""
        columns = tuple(self[name] for name in names)
        if self.is_set:
            columns = (*(column for column in columns if column.kind != "mask"), self.columns[-1])
        return replace(self, columns=columns, event_shape=(*self.event_shape[:-1], len(columns)))

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
        _check_properties(changes)
        column = self[name]
        if changes.get("kind", column.kind) != column.kind:
            changes = {**dict.fromkeys(("lower", "upper", "period", "levels", "labels", "atom")), **changes}
        return replace(self, columns=tuple(replace(c, **changes) if c is column else c for c in self.columns))

    def to_json(self) -> dict[str, object]:
        """Return a dictionary that `json` can write; empty properties are left out."""
        columns = []
        for column in self.columns:
            kept = {k: v for k, v in asdict(column).items() if v is not None and (k, v) not in _EMPTY}
            columns.append({key: list(value) if isinstance(value, tuple) else value for key, value in kept.items()})
        return {"event_shape": list(self.event_shape), "dtype": self.dtype, "columns": columns}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the schema that `to_json` wrote.

        Raises
        ------
        InputError
            If keys are missing, or unknown (the nearest is named).
        """
        if not isinstance(record, Mapping) or not {"columns", "event_shape"} <= set(record):
            raise InputError("Expected a schema with 'event_shape' and 'columns', got something else. See to_yaml().")
        columns = []
        for entry in record["columns"]:
            _check_properties(entry)
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
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"Expected a schema in YAML, got {reason}. Compare with to_yaml().") from None
        return cls.from_json(record)


def split_unit(header: str) -> tuple[str, str]:
    """Return name and unit of a header such as "pt1 [GeV]" or "t (ns)"; the unit may be empty."""
    header = header.strip()
    match = re.fullmatch(r"(.*\S)\s*(?:\[([^\[\]]*)\]|(?<=\s)\(([^()]*)\))", header)
    if match is None:
        return header, ""
    return match[1].strip(), (match[2] if match[2] is not None else match[3]).strip()


def in_columns(rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> list[str]:
    """Return rows of words as aligned lines; columns whose head, in the first row, is in `right` end on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [">" if head in right else "<" for head in rows[0]]
    return ["  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, sides, widths, strict=True)).rstrip() for row in rows]


_EMPTY = (("unit", ""), ("integral", False))
_PROPERTIES = [field.name for field in fields(Column)]


def _check_properties(given: Mapping[str, object]) -> None:
    for key in given:
        if key not in _PROPERTIES:
            raise UnknownNameError("property of a column", key, _PROPERTIES)
