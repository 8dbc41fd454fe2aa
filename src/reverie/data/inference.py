r"""What kind of quantity a column is, from its values, its name and its type.

A wrong guess ruins work silently, so every rule asks for evidence, and a column without any is
``continuous`` and unbounded. Whatever is guessed is shown by ``reverie data describe`` and can be
changed with `Schema.edit` or in YAML. NaN and infinite entries take no part. Large columns are
judged on 200,000 evenly spaced rows; extremes are always those of all rows.

Columns of a table, the first rule that applies:

1.  boolean, or text in the file: ``categorical`` (text becomes codes 0, 1, ... with labels).
2.  exactly the two values -1 and +1: ``spin``.
3.  exactly the two values 0 and 1: ``categorical`` with two levels. A flag and a count that never
    passed 1 look alike; both are kept exactly by two levels.
4.  ``periodic`` by name (or unit) *and* by range: a word of the name is phi, azimuth, angle, psi,
    theta, longitude, ra, ... or the unit is rad or deg; all values lie in [-pi, pi], [0, 2 pi],
    [-180, 180] or [0, 360]; and they span at least 3/4 of the period. A polar angle in [0, pi]
    and a folded difference of azimuths therefore stay unperiodic.
5.  integer type, or at least 20 floating-point values that are all whole, and below 2^52 (float32: 2^23), from where
    all are: ``integer``, however few the levels, because counts are ordered. An end is a bound if at least
    0.5 % of the rows (and 3) stand on it, or if it is 0 and no value is negative.
6.  at most 10 different values that are not whole, in at least 100 rows, each met 10 times on
    average: ``categorical`` with these levels.
7.  everything else: ``continuous``, or ``bounded`` if both ends are hard.

Point mass (`atom`) of a continuous column, from 100 rows on: one value in at least 0.5 % of the
rows (and 10), ten times as frequent as the third most frequent value, among at least 20 others.

Hard ends of a continuous column. Let x_(k) be the k-th smallest value and F_k(b) the share of these
k that lies in the half of [b, x_(k)] next to b. A uniform density has F = 1/2, one that falls
linearly to zero 1/4, one that falls quadratically 1/8, a Gaussian tail about 0.1.

* b = 0 (and both ends of [0, 1] and [-1, 1]), from 500 rows on: if nothing lies beyond, and
  F_k(b) >= 0.17 with k = max(100, n / 20) or three values are exactly b;
* a point mass on the smallest value, from 100 rows on;
* a cut at b = the smallest value, from 2000 rows on: if F_k(b) >= 0.4 with k = max(100, n / 50), or
  k values are equal to the smallest. b is moved outward to the roundest number within 8 mean
  spacings, so a window of 60 to 120 is recovered as such.

The upper end mirrors the lower one.

Images and lattices (n, height, width) or (n, channel, height, width) are one column:

1.  exactly -1 and +1: ``spin``.
2.  boolean, or whole with 0 and 1 only: ``pixel`` in [0, 1], integral.
3.  whole numbers of two values, such as 0 and 255: ``pixel`` with these levels; uint8 beyond 16, and whole numbers from
    0 to exactly 255: ``pixel`` in [0, 255]. Others from 0 to 2 ... 16 (the digits of scikit-learn): ``pixel`` up to the
    largest, and from 0 to 200 ... 254 up to 255, if they end without the tail that counts have: of the last shade (of
    255 the last six) there is at least one number in a thousand, ten in all, and 0.7 times as many as of as many
    shades before.
4.  other whole numbers: ``integer`` (counts), bounded by 0 if none is negative. So are those of 3 of which more than
    1 % are 0, and half of the others below a tenth of the upper end: pictures are not so dark.
5.  floats in [0, 1] that come within 0.05 of both ends: ``pixel`` in [0, 1]; in [-1, 1] and on
    one of these ends exactly: [-1, 1]; in [0, 255] with the largest above 200: [0, 255]. Unless they are energies
    that were divided by the largest: more than 1 % exact zeros, and half of the others below a tenth of the largest.
6.  other floats: ``periodic`` if all lie in [-pi, pi], [0, 2 pi], [-180, 180] or [0, 360], with both ends
    within 0.1 % of the period, and the first and the last per cent of the period hold equally many,
    at least 20 each: the angles of an XY model or a phase, whose density knows no end.
7.  everything else: ``continuous`` (a field); with more than 1 % of exact zeros and nothing below,
    bounded by 0 with a point mass there (energy deposits in cells).

Opposite edges of images and lattices touch (`has_periodic_edges`) if the first row differs from the last as two
neighbouring rows do, and the first column from the last as neighbouring columns. With D_r the mean square of the
difference at a distance of r rows within an event, and E that of the first row and the last,

    |mean (E - D_1)| < mean (D_2 - D_1) / 4,   standard error of mean (E - D_1) < mean (D_2 - D_1) / 16,

so rows at twice the distance must differ by more, and there must be events enough to tell.

No site is special (`is_homogeneous`) if the mean over the events is the same at all sites: of the values, their squares
and their products with the neighbours to the right and below, of the last row and column across the edge. Each
is compared with the mean over the sites of its own event, so that a magnetised lattice is as good as another, in units
of its error by the variance of all sites. The largest of these z-values gives p by Bonferroni, and p < 1e-6 says no:
a few flipped spins have longer tails than the normal law, so that lattices of independent configurations are refused
more often than that, but seldom. Digits of two colours are told in some dozens of them.

Sets of particles (n, P, F + 1) are recognised by their last column, which is called or said to be a ``mask``. Their
other columns are judged as those of a table whose rows are the particles that are there.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TypedDict, TypeVar

import numpy as np

from reverie.core.arguments import checked
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.lazy import LazyTable, row_blocks
from reverie.core.sets import real_entries
from reverie.core.tables import as_array
from reverie.data.schema import KIND_NAMES, Column, Schema, split_unit

__all__ = [
    "ANGLE_WORDS",
    "Properties",
    "has_periodic_edges",
    "infer_column",
    "infer_event",
    "infer_schema",
    "is_homogeneous",
]

ANGLE_WORDS = frozenset(
    "phi varphi dphi deltaphi azimuth azimuthal azim azi az angle psi theta longitude lon ra heading direction".split()
)
_DOMAINS = ((-math.pi, math.pi), (0.0, 2 * math.pi), (-180.0, 180.0), (0.0, 360.0))
_SATURATED = 0.7  # of the numbers on the shades before the last, by which those on the last belong to pictures
_SLACK = 1e-3  # of the period: files round pi to 3.14 or 3.142
_MOST_ROWS = 200_000  # that the rules look at, every k-th of all
_MOST_CELLS = 2_000_000  # of images
_INHOMOGENEOUS = 1e-6  # p below which sites of a lattice differ
_LOW = 0.1  # of the largest: grey values lie above, most energies of cells below
_LARGEST = 1e150  # nothing is guessed of larger numbers, whose differences and squares may be no numbers

Ends = tuple[float, float]
T = TypeVar("T")


class Properties(TypedDict, total=False):
    """Keyword arguments of `reverie.data.schema.Column` that values tell, at least ``kind``."""

    kind: str
    lower: float | None
    upper: float | None
    period: float
    levels: tuple[float, ...]
    labels: tuple[str, ...]
    atom: float | None
    integral: bool


_SPIN: Properties = {"kind": "spin", "lower": -1.0, "upper": 1.0, "levels": (-1.0, 1.0), "integral": True}


@checked
def infer_schema(
    values: object,
    names: Sequence[str] | None = None,
    units: Sequence[str] | Mapping[str, str] | None = None,
    kind: str | Sequence[str] | Mapping[str, str] | None = None,
    *,
    dtypes: Sequence[str] | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Schema:
    """Guess the schema of `values` by the rules of the module.

    Parameters
    ----------
    values : (n, *event) numbers; of a `LazyTable` every k-th row is looked at, and the extremes of all.
    names : one per column, such as "pt1" or "pt1 [GeV]"; default x0, x1, ... or "pixel". Where there is one for each
        number on the last axis of (n, P, F + 1) and the last is "mask", the values are sets of particles.
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
    table = as_array(values, "values")
    if table.ndim < 2:
        raise InputError(f"Expected values of shape (n, columns) or (n, *event), got {table.shape}. Reshape them.")
    is_table = table.ndim == 2
    is_set = table.ndim == 3 and _has_mask(names, kind, table.shape[2])
    n_columns = table.shape[1] if is_table else table.shape[2] if is_set else 1
    limits: list[Ends | None] = [None] * n_columns
    if isinstance(table, LazyTable):
        most = _MOST_ROWS if is_table else max(1, _MOST_CELLS // math.prod(table.shape[1:]))
        if is_set:
            blocks = [real_entries(block) for block in row_blocks(table)]
            ends_of = [np.fmin.reduce([x.min(axis=0) for x in blocks]), np.fmax.reduce([x.max(axis=0) for x in blocks])]
            limits = [*zip(*np.asarray(ends_of, dtype=np.float64).tolist(), strict=True), (0.0, 1.0)]
        else:
            limits = [(float(a), float(b)) for a, b in zip(table.summary.low, table.summary.high, strict=True)]
        table = table[:: max(1, -(-len(table) // most))]
    parts = list(table.T) if is_table else [*real_entries(table).T, table[..., -1]] if is_set else [table]
    default = [f"x{j}" for j in range(n_columns)] if is_table or is_set else ["pixel"]
    default[-1] = "mask" if is_set else default[-1]
    pairs = [split_unit(str(name)) for name in _per_column("names", names, default, default)]
    plain = [name for name, _ in pairs]
    given_units = _per_column("units", units, plain, [unit for _, unit in pairs])
    several = [kind] * (n_columns - is_set) + ["mask"] * is_set if isinstance(kind, str) else kind
    none: list[str | None] = [None] * n_columns
    kinds = _per_column("kind", several, plain, none)
    types = list(dtypes) if dtypes is not None else [table.dtype.name] * n_columns
    columns = []
    for x, name, unit, own_kind, dtype, ends in zip(parts, plain, given_units, kinds, types, limits, strict=True):
        if labels and name in labels:
            words = tuple(labels[name])
            levels = tuple(float(k) for k in range(len(words)))
            guess: Properties = {"kind": "categorical", "levels": levels, "labels": words, "integral": True}
        elif is_set and len(columns) == n_columns - 1:
            guess = {"kind": "mask"}
        elif is_table or is_set:
            exact = dtype != "str" and np.dtype(dtype).kind in "iub" and bool(np.isfinite(x).all())
            own = np.asarray(x).astype(dtype) if exact or dtype == "float32" else np.asarray(x)
            guess = infer_column(own, name, unit, ends)
        else:
            guess = infer_event(x, ends)
        if own_kind is not None and own_kind != guess.get("kind"):
            guess = _of_kind(x, name, str(own_kind), guess)
        columns.append(Column(name=name, unit=unit, dtype=dtype, **guess))
    return Schema(tuple(columns), table.shape[1:], table.dtype.name)


def _has_mask(
    names: Sequence[str] | None, kind: str | Sequence[str] | Mapping[str, str] | None, n_columns: int
) -> bool:
    """Whether names or kinds call the last of `n_columns` columns a mask."""
    last = split_unit(str(names[-1]))[0] if names is not None and len(names) == n_columns else ""
    if isinstance(kind, Mapping):
        return kind.get(last or "mask", "mask" if last == "mask" else "") == "mask"
    if kind is None or isinstance(kind, str):
        return last == "mask"
    return len(kind) == n_columns and kind[-1] == "mask"


def infer_column(x: np.ndarray, name: str, unit: str = "", ends: Ends | None = None) -> Properties:
    """Return the properties of one column of a table (see the rules above).

    Parameters
    ----------
    x : (n,) numbers; NaN allowed.
    name, unit : Name and unit of the column, as the user gave them.
    ends : least and greatest finite value, where `x` is only a part of the column.
    """
    if x.dtype.kind == "b":
        return {"kind": "categorical", "levels": (0.0, 1.0), "labels": ("False", "True"), "integral": True}
    whole_type = x.dtype.kind in "iu"
    x = x if whole_type else _finite(x)
    if len(x) == 0:
        return {"kind": "continuous"}
    part = x[:: max(1, -(-len(x) // _MOST_ROWS))]
    low, high = (float(x.min()), float(x.max())) if ends is None else ends
    if max(-low, high) > _LARGEST:
        return {"kind": "continuous"}
    if low == -1 and high == 1 and bool((np.abs(part) == 1).all()):
        return _SPIN
    if low == 0 and high == 1 and bool(((part == 0) | (part == 1)).all()):
        return {"kind": "categorical", "levels": (0.0, 1.0), "integral": True}
    whole = whole_type or (_is_whole(part) and max(-low, high) < _first_whole(part.dtype))
    circle = _circle_of_angle(name, unit, low, high)
    if circle is not None and not (whole and not float(circle[1] - circle[0]).is_integer()):  # the number of a bin
        lower, upper = circle
        return {"kind": "periodic", "lower": lower, "upper": upper, "period": upper - lower, "integral": whole}
    if not whole or max(-low, high) >= 2**53:
        return _continuous(part, low, high)
    if low == high:
        return {"kind": "integer", "integral": True}
    many = max(3, 0.005 * len(part))
    is_cut = low == 0 or np.count_nonzero(part == low) >= many
    lower = low if is_cut else (0.0 if part.dtype.kind == "u" else None)
    upper = high if np.count_nonzero(part == high) >= many else None
    return {"kind": "integer", "integral": True, "lower": lower, "upper": upper}


def infer_event(values: np.ndarray, ends: Ends | None = None) -> Properties:
    """Return the properties shared by all cells of images or lattices (n, *event); `ends` as in `infer_column`."""
    if values.dtype.kind == "b":
        return {"kind": "pixel", "lower": 0.0, "upper": 1.0, "integral": True}
    rows = max(1, _MOST_CELLS // max(1, math.prod(values.shape[1:])))
    part = _finite(np.asarray(values[:: max(1, -(-len(values) // rows))]).ravel())
    if part.size == 0:
        return {"kind": "continuous"}
    low, high = _ends_of(values, part) if ends is None else ends
    if max(-low, high) > _LARGEST:
        return {"kind": "continuous"}
    whole = values.dtype.kind in "iu" or (_is_whole(part) and max(-low, high) < _first_whole(values.dtype))
    has_two = low < high and bool(((part == low) | (part == high)).all())
    if has_two and (low, high) == (-1, 1):
        return _SPIN
    if has_two and whole and (low, high) != (0, 1) and _has_no_other(values, low, high):
        return {"kind": "pixel", "lower": low, "upper": high, "levels": (low, high), "integral": True}
    limits = _range_of_pixels(values.dtype, part, low, high, whole=whole)
    has_empty = low == 0 and np.mean(part == 0) > 0.01
    is_low = 2 * np.sum((part > 0) & (part < _LOW * (limits[1] if whole and limits else high))) > np.sum(part > 0)
    if has_empty and not whole and (limits is None or is_low):
        return {"kind": "continuous", "lower": 0.0, "atom": 0.0}
    if limits is not None and not (whole and has_empty and is_low):
        return {"kind": "pixel", "lower": limits[0], "upper": limits[1], "integral": whole}
    if whole:
        return {"kind": "integer", "integral": True, "lower": 0.0 if low >= 0 else None}
    circle = _filled_circle(part, low, high)
    if circle is not None:
        return {"kind": "periodic", "lower": circle[0], "upper": circle[1], "period": circle[1] - circle[0]}
    return {"kind": "continuous"}


def _has_no_other(values: np.ndarray, low: float, high: float) -> bool:
    """Tell whether all numbers, and not only those that the rules look at, are one of two."""
    return all(bool(((block == low) | (block == high)).all()) for block in row_blocks(values))


def _ends_of(values: np.ndarray, part: np.ndarray) -> Ends:
    """Return the least and the greatest number of all values, or, where they are not finite, of a finite part."""
    ends = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    return ends if all(map(math.isfinite, ends)) else (float(part.min()), float(part.max()))


def has_periodic_edges(values: object, circle: Ends | None = None) -> bool:
    """Tell whether opposite edges of images or lattices touch, by the rule of the module.

    Parameters
    ----------
    values : (n, height, width) or (n, channel, height, width) numbers, lazy ones too. Of more than two million numbers
        every k-th event is looked at. False for sides below 4, NaN or infinite numbers, and a single event.
    circle : Ends between which the values are angles; None for numbers on a line.
    """
    x = _some_events(values)
    if min(x.shape[-2:]) < 4 or len(x) < 2:
        return False
    turns = 0.0 if circle is None else 2 * math.pi / (circle[1] - circle[0])

    def differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the mean square of the difference in each event; of angles by cosine and sine."""
        square = (a - b) ** 2 if circle is None else 2 - 2 * np.cos(turns * (a - b))
        return square.reshape(len(x), -1).mean(axis=1)

    for axis in (-2, -1):
        rows = np.moveaxis(x, axis, -1)
        next_row = differences(rows[..., 1:], rows[..., :-1])
        gap = float((differences(rows[..., 2:], rows[..., :-2]) - next_row).mean())
        excess = differences(rows[..., 0], rows[..., -1]) - next_row
        error = float(excess.std(ddof=1)) / math.sqrt(len(x))
        if not (abs(float(excess.mean())) < gap / 4 and error < gap / 16):
            return False
    return True


def is_homogeneous(values: object, circle: Ends | None = None) -> bool:
    """Tell whether no site of periodic lattices is special, by the rule of the module; see `has_periodic_edges`.

    Parameters
    ----------
    values, circle : As in `has_periodic_edges`. False for sides below 2, NaN or infinite numbers, and a single event.
    """
    x = _some_events(values)
    if min(x.shape[-2:]) < 2 or len(x) < 2 or not np.isfinite(x).all():
        return False
    x = x.reshape(len(x), -1, *x.shape[-2:])
    if circle is not None:
        angle = 2 * math.pi / (circle[1] - circle[0]) * (x - circle[0])
        x = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    largest, n_tests = 0.0, 0
    for quantity in (x, x**2, x * np.roll(x, -1, axis=-1), x * np.roll(x, -1, axis=-2)):
        excess = quantity - quantity.mean(axis=(-2, -1), keepdims=True)
        error = np.sqrt(excess.var(axis=(0, -2, -1), keepdims=True)[0] / len(x))
        z = np.abs(excess.mean(axis=0)) / np.maximum(error, 1e-9 * float(np.abs(quantity).max()) + 1e-30)
        largest, n_tests = max(largest, float(z.max())), n_tests + z.size
    return n_tests * math.erfc(largest / math.sqrt(2)) > _INHOMOGENEOUS


def _some_events(values: object) -> np.ndarray:
    """Return every k-th event of images or lattices, two million numbers at most, as float64."""
    table = as_array(values, "values")
    most = max(1, _MOST_CELLS // math.prod(table.shape[1:]))
    return np.asarray(table[:: max(1, -(-len(table) // most))], dtype=np.float64)


def _per_column(
    what: str, given: Sequence[T] | Mapping[str, T] | None, names: Sequence[str], default: Sequence[T]
) -> list[T]:
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


def _of_kind(x: np.ndarray, name: str, kind: str, guess: Properties) -> Properties:
    """Return the properties of a column whose kind the user has given, from what was guessed of it."""
    if kind not in KIND_NAMES:
        raise UnknownNameError("kind of column", kind, KIND_NAMES)
    good = np.asarray(x[np.isfinite(x)])
    known: Properties = {"kind": kind, "integral": guess.get("integral", False)}
    agrees = np.abs(good) == 1 if kind == "spin" else good == np.rint(good)
    if kind in ("spin", "integer") and not agrees.all():
        wanted = "-1 and +1 only" if kind == "spin" else "whole numbers only"
        raise InputError(f"Expected {wanted} in the {kind} column {name!r}, got other values. Give another kind.")
    if kind == "categorical":
        known["levels"] = tuple(float(v) for v in np.unique(good))
    elif kind in ("continuous", "integer"):
        known["lower"], known["upper"] = guess.get("lower"), guess.get("upper")
    elif kind != "spin" and good.size:
        lower, upper = guess.get("lower"), guess.get("upper")
        low, high = float(good.min()), float(good.max())
        circle = next((circle for circle in _DOMAINS if _lies_on(circle, low, high)), _DOMAINS[0])
        ends = (low if lower is None else lower, high if upper is None else upper)
        known["lower"], known["upper"] = circle if kind == "periodic" else ends
    return known


def _finite(x: np.ndarray) -> np.ndarray:
    good = np.isfinite(x)
    return x if good.all() else x[good]


def _is_whole(x: np.ndarray) -> bool:
    return len(x) >= 20 and bool((x == np.rint(x)).all())


def _first_whole(dtype: np.dtype) -> float:
    """Return the size from which all numbers of a floating-point type are whole, 2^23 of float32: no counts."""
    return 2.0 ** np.finfo(dtype).nmant if dtype.kind == "f" else math.inf


def _lies_on(circle: Ends, low: float, high: float) -> bool:
    slack = _SLACK * (circle[1] - circle[0])
    return circle[0] - slack <= low and high <= circle[1] + slack


def _circle_of_angle(name: str, unit: str, low: float, high: float) -> Ends | None:
    """Return the ends of the circle of a column that is an angle by name or unit, and by its range; else None."""
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)} | {name.lower()}
    in_degrees, in_radians = unit.lower() in {"deg", "degree", "degrees", "°"}, unit.lower() in {"rad", "radian"}
    if not (words & ANGLE_WORDS or in_degrees or in_radians):
        return None
    for lower, upper in _DOMAINS:
        is_excluded = (in_degrees and upper < 7) or (in_radians and upper > 7)
        if _lies_on((lower, upper), low, high) and not is_excluded and high - low >= 0.75 * (upper - lower):
            return lower, upper
    return None


def _filled_circle(x: np.ndarray, low: float, high: float) -> Ends | None:
    """Return the ends of the circle that the numbers x fill, as many beside one end as beside the other; else None."""
    for lower, upper in _DOMAINS:
        hundredth = (upper - lower) / 100
        if _lies_on((lower, upper), low, high) and high - low > (1 - 2 * _SLACK) * (upper - lower):
            first, last = np.count_nonzero(x < lower + hundredth), np.count_nonzero(x > upper - hundredth)
            if min(first, last) >= 20 and abs(first - last) < 5 * math.sqrt(first + last):
                return lower, upper
    return None


def _continuous(x: np.ndarray, low: float, high: float) -> Properties:
    levels, counts = np.unique(x, return_counts=True)
    if 2 <= len(levels) <= 10 and len(x) >= max(100, 10 * len(levels)):
        return {"kind": "categorical", "levels": tuple(float(v) for v in levels)}
    mirrored = _lower_end(-x, -high)
    lower, upper = _lower_end(x, low), None if mirrored is None else 0.0 - mirrored
    for a, b in ((0.0, 1.0), (-1.0, 1.0)):
        if a <= low and high <= b and _touches(x, a) and _touches(-x, -b):
            lower, upper = a, b
    atom = None
    if len(x) >= 100 and len(levels) >= 21:
        top, third = int(np.argmax(counts)), np.partition(counts, -3)[-3]
        atom = float(levels[top]) if counts[top] >= max(10, 0.005 * len(x), 10 * third) else None
    lower, upper = low if atom == low else lower, high if atom == high else upper
    kind = "bounded" if lower is not None and upper is not None else "continuous"
    return {"kind": kind, "lower": lower, "upper": upper, "atom": atom}


def _lower_end(x: np.ndarray, low: float) -> float | None:
    """Return the hard lower end of a column, or None."""
    if x.max() == x.min():
        return None
    if low >= 0 and _touches(x, 0.0):
        return 0.0
    if len(x) < 2000:
        return None
    near = _lowest(x, max(100, len(x) // 50))
    width = near[-1] - near[0]
    if width == 0:
        return low
    if np.mean(near <= near[0] + width / 2) < 0.4:
        return None
    room = 8 * width / len(near)
    first, last = math.ceil(math.log10(abs(low) + room)) + 1, math.floor(math.log10(room)) - 2
    for power in range(first, last, -1):  # the roundest number in [low - room, low]
        for factor in (5, 2, 1):
            step = factor * 10.0**power
            candidate = round(math.floor(low / step) * step, max(0, 2 - power))
            if 0 <= low - candidate <= room:
                return candidate
    return low


def _touches(x: np.ndarray, b: float) -> bool:
    """Whether the lower end of `x` stands on `b`: F(b) >= 0.17, or three values equal to b."""
    if len(x) < 500:
        return False
    near = _lowest(x, max(100, len(x) // 20))
    return bool(np.count_nonzero(near == b) >= 3 or np.mean(near - b <= (near[-1] - b) / 2) >= 0.17)


def _lowest(x: np.ndarray, k: int) -> np.ndarray:
    return np.sort(np.partition(x, k)[:k]).astype(np.float64)


def _range_of_pixels(dtype: np.dtype, part: np.ndarray, low: float, high: float, *, whole: bool) -> Ends | None:
    """Return the ends of a scale of grey on which the numbers `part` are, from `low` to `high`; None of none."""
    if not whole:
        if 0 <= low <= 0.05 and 0.95 <= high <= 1:
            return 0.0, 1.0
        if low >= -1 and high <= 1 and (low == -1 or high == 1):
            return -1.0, 1.0
        return (0.0, 255.0) if low >= 0 and 200 < high <= 255 else None
    if low < 0 or low == high:
        return (0.0, 255.0) if dtype == np.uint8 else None
    if high <= 1:
        return 0.0, 1.0
    if (dtype == np.uint8 and high > 16) or (low == 0 and high == 255):
        return 0.0, 255.0
    for least, most, end, width in ((2, 16, high, 1), (200, 255, 255.0, 6)):  # hard ends have no tail as counts have
        last, before = np.count_nonzero(part > high - width), np.count_nonzero(part > high - 2 * width)
        enough = max(10, 0.001 * len(part), _SATURATED * (before - last))
        if low == 0 and least <= high <= most and last >= enough:
            return 0.0, end
    return None
