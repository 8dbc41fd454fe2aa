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
5.  integer type, or at least 20 floating-point values that are all whole, and not beyond 2^53:
    ``integer``, however few the levels, because counts are ordered. An end is a bound if at least
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
3.  uint8: ``pixel`` in [0, 16] if no value passes 16 (the digits of scikit-learn), else [0, 255].
4.  other whole numbers: ``pixel`` in [0, 16] if the largest is 8..16, in [0, 255] if it is
    200..255; otherwise ``integer`` (counts), bounded by 0 if none is negative.
5.  floats in [0, 1] that come within 0.05 of both ends: ``pixel`` in [0, 1]; in [-1, 1] and on
    one of these ends exactly: [-1, 1]; in [0, 255] with the largest above 200: [0, 255].
6.  everything else: ``continuous`` (a field); with more than 1 % of exact zeros and nothing below,
    bounded by 0 with a point mass there (energy deposits in cells).
"""

import math
import re
from typing import Any

import numpy as np

__all__ = ["ANGLE_WORDS", "MOST_CELLS", "MOST_ROWS", "circle_around", "infer_column", "infer_event"]

ANGLE_WORDS = frozenset(
    "phi varphi dphi deltaphi azimuth azimuthal azim azi az angle psi theta longitude lon ra heading direction".split()
)
_DOMAINS = ((-math.pi, math.pi), (0.0, 2 * math.pi), (-180.0, 180.0), (0.0, 360.0))
MOST_ROWS = 200_000  # that the rules look at, every k-th of all
MOST_CELLS = 2_000_000  # of images
_LARGEST = 1e150  # nothing is guessed of larger numbers, whose differences and squares may be no numbers


def infer_column(x: np.ndarray, name: str, unit: str = "", ends: tuple[float, float] | None = None) -> dict[str, Any]:
    """Return the properties of one column of a table (see the rules above).

    Parameters
    ----------
    x : (n,) numbers; NaN allowed.
    name, unit : Name and unit of the column, as the user gave them.
    ends : least and greatest finite value, where `x` is only a part of the column.

    Returns
    -------
    Keyword arguments of `reverie.data.schema.Column`, at least ``kind``.
    """
    if x.dtype.kind == "b":
        return {"kind": "categorical", "levels": (0.0, 1.0), "labels": ("False", "True"), "integral": True}
    whole_type = x.dtype.kind in "iu"
    x = np.asarray(x) if whole_type else _finite(np.asarray(x))
    if len(x) == 0:
        return {"kind": "continuous"}
    part = x[:: max(1, -(-len(x) // MOST_ROWS))]
    low, high = (float(x.min()), float(x.max())) if ends is None else ends
    if max(-low, high) > _LARGEST:
        return {"kind": "continuous"}
    pair = _pair(part, low, high)
    if pair is not None:
        return pair
    whole = whole_type or _is_whole(part)
    domain = _angle_domain(name, unit, low, high)
    if domain is not None:
        lower, upper = domain
        return {"kind": "periodic", "lower": lower, "upper": upper, "period": upper - lower, "integral": whole}
    if whole and max(-low, high) < 2**53:
        return {"kind": "integer", "integral": True, **_integer_bounds(part, low, high)}
    return _continuous(part, low, high)


def infer_event(values: np.ndarray, ends: tuple[float, float] | None = None) -> dict[str, Any]:
    """Return the properties shared by all cells of images or lattices (n, *event); `ends` as in `infer_column`."""
    if values.dtype.kind == "b":
        return {"kind": "pixel", "lower": 0.0, "upper": 1.0, "integral": True}
    rows = max(1, MOST_CELLS // max(1, math.prod(values.shape[1:])))
    part = _finite(np.asarray(values[:: max(1, -(-len(values) // rows))]).ravel())
    if part.size == 0:
        return {"kind": "continuous"}
    low, high = _extremes(values, part) if ends is None else ends
    if max(-low, high) > _LARGEST:
        return {"kind": "continuous"}
    if low == -1 and high == 1 and bool((np.abs(part) == 1).all()):
        return {"kind": "spin", "lower": -1.0, "upper": 1.0, "levels": (-1.0, 1.0), "integral": True}
    whole = values.dtype.kind in "iu" or _is_whole(part)
    limits = _whole_limits(values.dtype, low, high) if whole else _float_limits(low, high)
    if limits is not None:
        return {"kind": "pixel", "lower": limits[0], "upper": limits[1], "integral": whole}
    if whole:
        return {"kind": "integer", "integral": True, "lower": 0.0 if low >= 0 else None}
    if low == 0 and np.mean(part == 0) > 0.01:
        return {"kind": "continuous", "lower": 0.0, "atom": 0.0}
    return {"kind": "continuous"}


def circle_around(low: float, high: float) -> tuple[float, float]:
    """Return the ends of the first usual circle that holds [low, high]; [-pi, pi] if none does."""
    for lower, upper in _DOMAINS:
        slack = 1e-3 * (upper - lower)  # files round pi to 3.14 or 3.142
        if lower - slack <= low and high <= upper + slack:
            return lower, upper
    return _DOMAINS[0]


def _finite(x: np.ndarray) -> np.ndarray:
    good = np.isfinite(x)
    return x if good.all() else x[good]


def _is_whole(x: np.ndarray) -> bool:
    return len(x) >= 20 and bool((x == np.rint(x)).all())


def _pair(x: np.ndarray, low: float, high: float) -> dict[str, Any] | None:
    if low == -1 and high == 1 and bool((np.abs(x) == 1).all()):
        return {"kind": "spin", "lower": -1.0, "upper": 1.0, "levels": (-1.0, 1.0), "integral": True}
    if low == 0 and high == 1 and bool(((x == 0) | (x == 1)).all()):
        return {"kind": "categorical", "levels": (0.0, 1.0), "integral": True}
    return None


def _angle_domain(name: str, unit: str, low: float, high: float) -> tuple[float, float] | None:
    words = {w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    in_degrees, in_radians = unit.lower() in {"deg", "degree", "degrees", "°"}, unit.lower() in {"rad", "radian"}
    if not (words & ANGLE_WORDS or name.lower() in ANGLE_WORDS or in_degrees or in_radians):
        return None
    for lower, upper in _DOMAINS:
        excluded = (in_degrees and upper < 7) or (in_radians and upper > 7)
        slack = 1e-3 * (upper - lower)  # files round pi to 3.14 or 3.142
        inside = lower - slack <= low and high <= upper + slack
        if inside and not excluded and high - low >= 0.75 * (upper - lower):
            return lower, upper
    return None


def _integer_bounds(x: np.ndarray, low: float, high: float) -> dict[str, float | None]:
    many = max(3, 0.005 * len(x))
    at_low, at_high = np.count_nonzero(x == low), np.count_nonzero(x == high)
    if low == high:
        return {}
    lower = low if at_low >= many or (low == 0) else (0.0 if x.dtype.kind == "u" else None)
    return {"lower": lower, "upper": high if at_high >= many else None}


def _continuous(x: np.ndarray, low: float, high: float) -> dict[str, Any]:
    levels, counts = np.unique(x, return_counts=True)
    if 2 <= len(levels) <= 10 and len(x) >= max(100, 10 * len(levels)):
        return {"kind": "categorical", "levels": tuple(float(v) for v in levels)}
    lower, upper = _lower_end(x, low), _negated(_lower_end(-x, -high))
    for a, b in ((0.0, 1.0), (-1.0, 1.0)):
        if a <= low and high <= b and _touches(x, a) and _touches(-x, -b):
            lower, upper = a, b
    atom = _atom(levels, counts, len(x))
    lower, upper = low if atom == low else lower, high if atom == high else upper
    kind = "bounded" if lower is not None and upper is not None else "continuous"
    return {"kind": kind, "lower": lower, "upper": upper, "atom": atom}


def _atom(levels: np.ndarray, counts: np.ndarray, n: int) -> float | None:
    if n < 100 or len(levels) < 21:
        return None
    top = int(np.argmax(counts))
    third = np.partition(counts, -3)[-3]
    return float(levels[top]) if counts[top] >= max(10, 0.005 * n, 10 * third) else None


def _lower_end(x: np.ndarray, low: float) -> float | None:
    if x.max() == x.min():
        return None
    if low >= 0 and _touches(x, 0.0):
        return 0.0
    if len(x) < 2000:
        return None
    near = _lowest(x, max(100, len(x) // 50))
    reach = near[-1] - near[0]
    if reach == 0:
        return low
    share = np.mean(near <= near[0] + reach / 2)
    return _rounded_down(low, 8 * reach / len(near)) if share >= 0.4 else None


def _touches(x: np.ndarray, b: float) -> bool:
    """Whether the lower end of `x` stands on `b`: F(b) >= 0.17, or three values equal to b."""
    if len(x) < 500:
        return False
    near = _lowest(x, max(100, len(x) // 20))
    return bool(np.count_nonzero(near == b) >= 3 or np.mean(near - b <= (near[-1] - b) / 2) >= 0.17)


def _lowest(x: np.ndarray, k: int) -> np.ndarray:
    return np.sort(np.partition(x, k)[:k]).astype(np.float64)


def _rounded_down(value: float, reach: float) -> float:
    """Return the roundest decimal number in [value - reach, value]."""
    for power in range(math.ceil(math.log10(abs(value) + reach)) + 1, -18, -1):
        for factor in (5, 2, 1):
            step = factor * 10.0**power
            candidate = round(math.floor(value / step) * step, max(0, 2 - power))
            if 0 <= value - candidate <= reach:
                return candidate
    return value


def _negated(value: float | None) -> float | None:
    return None if value is None else 0.0 - value


def _extremes(values: np.ndarray, part: np.ndarray) -> tuple[float, float]:
    low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (float(part.min()), float(part.max()))


def _whole_limits(dtype: np.dtype, low: float, high: float) -> tuple[float, float] | None:
    if low < 0 or low == high:
        return (0.0, 255.0) if dtype == np.uint8 else None
    if high <= 1:
        return 0.0, 1.0
    if high <= 16 and (dtype == np.uint8 or high >= 8):
        return 0.0, 16.0
    return (0.0, 255.0) if dtype == np.uint8 or 200 <= high <= 255 else None


def _float_limits(low: float, high: float) -> tuple[float, float] | None:
    if 0 <= low <= 0.05 and 0.95 <= high <= 1:
        return 0.0, 1.0
    if low >= -1 and high <= 1 and (low == -1 or high == 1):
        return -1.0, 1.0
    return (0.0, 255.0) if low >= 0 and 200 < high <= 255 else None
