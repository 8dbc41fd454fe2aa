"""The table: for each row our time, the peers', the floor and both ratios; and the same as JSON."""

import statistics
from typing import Any

from benchmarks.speed.suite import FLOOR, Measured, Row, ratio

__all__ = ["as_json", "lines_of", "spread"]


def as_json(row: Row, measured: list[Measured]) -> dict[str, Any]:
    """Return a row as it is kept."""
    ours = measured[0]
    sides = [_side(m, ours) for m in measured]
    return {"key": row.key, "what": row.what, "unit": row.unit, "asked": row.asked, "sides": sides}


def _side(m: Measured, ours: Measured) -> dict[str, Any]:
    over = {} if m is ours or m.error or ours.error else _ratios(m, ours)
    return {
        "name": m.name,
        "seconds": m.seconds,
        "first_seconds": m.first,
        "peak_mb": m.peak_mb,
        "wall_over_processor": m.wall_over_processor,
        "error": m.error,
        **over,
    }


def _ratios(m: Measured, ours: Measured) -> dict[str, Any]:
    """Return how many times slower than ours a side is, and than it ours, by the median round and the extreme ones."""
    kinds = (statistics.median, min, max)
    return {"over_ours": [ratio(m, ours, k) for k in kinds], "ours_over": [ratio(ours, m, k) for k in kinds]}


def lines_of(row: dict[str, Any]) -> list[str]:
    """Return the printed lines of a row of `as_json`."""
    ours, *others = row["sides"]
    floor = next((side for side in others if side["name"] == FLOOR), None)
    title = f"{row['key']}: {row['what']}, ms per {row['unit']}" + (f"   asked: {row['asked']}" if row["asked"] else "")
    lines = ["", title, f"  {'':28s}{'ms':>30s}{'x ours':>24s}{'ours x':>8s}{'first':>9s}{'peak':>9s}"]
    for side in [ours, *[side for side in others if side is not floor], *([floor] if floor else [])]:
        lines.append(f"  {side['name']:28s}" + (side["error"] or _figures(side)))
    return lines


def _figures(side: dict[str, Any]) -> str:
    milliseconds = [1e3 * s for s in side["seconds"]]
    text = f"{spread(milliseconds):>30s}"
    if "over_ours" in side:
        text += f"{_range(side['over_ours']):>24s}{side['ours_over'][0]:8.2f}"
    else:
        text += " " * 32
    return text if side["name"] == FLOOR else text + f"{side['first_seconds']:7.1f} s{side['peak_mb']:6.0f} MB"


def _range(values: list[float]) -> str:
    return f"{values[0]:.2f} ({values[1]:.2f} .. {values[2]:.2f})"


def spread(values: list[float]) -> str:
    """Return the median, and the least and the greatest in brackets, to three digits."""
    median, low, high = statistics.median(values), min(values), max(values)
    digits = 3 if median < 1 else 2 if median < 10 else 1 if median < 100 else 0
    return f"{median:.{digits}f} ({low:.{digits}f} .. {high:.{digits}f})"
