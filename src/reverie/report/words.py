"""Numbers as a reader wants them: few digits, errors beside values, nothing that pretends to be exact."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat, TypeAlias

from reverie.core.measured import Measured

__all__ = ["JsonObject", "aligned", "count", "events", "flattened", "measured", "number", "p_value"]

JsonObject: TypeAlias = Mapping[str, Any]  # what a JSON file of reverie holds, or a part of it
_LEAST_QUOTED = 1e-10  # the normal approximation behind a smaller p-value is not to be believed


def number(value: object, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits; "–" for None and nan."""
    if not isinstance(value, SupportsFloat):
        return "–"
    x = float(value)
    if math.isnan(x):
        return "–"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    return f"{x:.{digits}g}".replace("-", "−")


def measured(value: float | None, error: float | None = None) -> str:
    """Return ``value ± error``, or the value alone when the error is not known."""
    if value is None or not math.isfinite(float(value)):
        return number(value)
    return str(Measured(float(value), math.nan if error is None else float(error))).replace("-", "−")


def p_value(p: float | None, n_permutations: int | None = None) -> str:
    """Return a p-value; one equal to the resolution 1/(B + 1) of its permutations is written as a bound."""
    if p is None or math.isnan(float(p)):
        return "–"
    if n_permutations and math.isclose(float(p), 1 / (n_permutations + 1), rel_tol=1e-6):
        return f"≤ {1 / (n_permutations + 1):.2g}"
    if float(p) < _LEAST_QUOTED:
        return f"< {_LEAST_QUOTED:.0e}"
    return f"{float(p):.2g}" if float(p) < 0.1 else f"{float(p):.2f}"


def count(n: object) -> str:
    """Return a number of events, with separators; "∞" when no number suffices; other results speak for themselves."""
    if n is None:
        return "–"
    if isinstance(n, (int, float)):
        if math.isnan(n):
            return "–"
        return "∞" if math.isinf(n) else f"{n:,.0f}"
    return str(n)


def events(n: float | None) -> str:
    """Return an estimated number of events: as `count`, with three significant digits."""
    if n is None or not math.isfinite(n) or n < 1000:
        return count(n)
    return count(round(n, 2 - math.floor(math.log10(n))))


def flattened(values: JsonObject, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested mappings as (dotted name, text) pairs, in their order; lists are joined by commas."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flattened(value, f"{name}.")
        elif isinstance(value, (list, tuple)) and not any(isinstance(v, (Mapping, list, tuple)) for v in value):
            rows.append((name, ", ".join(str(v) for v in value)))
        else:
            rows.append((name, str(value)))
    return rows


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table for a terminal: columns of equal width, two spaces between them."""
    lines = [list(headers), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
