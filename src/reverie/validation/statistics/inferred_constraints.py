"""Rules that real events seem to obey without exception, read off a sample of them.

Extremes of a sample are no rules: the next real event may lie beyond. A rule needs evidence that the law itself
stops there.

    few levels     at most 20 distinct values, each seen at least 10 times: then a level that was never seen has
                   probability below about 3/n, and the generator must use the levels there are
    integers       all values whole, for columns with more levels
    hard edge      an extreme value taken by at least 1 % of the events, 10 or more, and nothing beyond it
    zero bound     all values positive, and the law reaches zero: the fifth smallest is below 1/5, and the smallest
                   below 1/20, of the 5 % quantile. Of 1,000 events of N(3, 1) all are positive and meet this in
                   less than 1 % of cases; exponential, uniform and Rayleigh-like columns do in large samples
    zero-padding   whenever column a is exactly 0, column b is; independent columns would have broken this in at
                   least 20 of the events. At most 256 columns, not for images
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

__all__ = ["Rule", "inferred_constraints"]

MAX_LEVELS = 20
MAX_PADDED = 256
_SEEN = 10
_PILE = 0.01
_IMPLIED = 20

_Breaks = Callable[[np.ndarray, np.ndarray], np.ndarray]  # values (n, c), slack (c,) -> booleans (n, c)


@dataclass(frozen=True)
class Rule:
    """A rule in words, and the function that tells which rows of (n, d) break it."""

    name: str
    breaks: Callable[[np.ndarray], np.ndarray]


def inferred_constraints(
    real: np.ndarray, names: list[str], *, tolerance: float = 1e-6, padding: bool = True
) -> list[Rule]:
    """Return the rules that real (n, d), finite numbers, obeys; features with the same rule share one.

    `tolerance` of levels, integers and edges is in units of the spread of a column; `padding` looks for zero-padding.
    """
    slack = tolerance * np.where(real.std(0) > 0, real.std(0), 1.0)
    shared: dict[str, tuple[_Breaks, list[int]]] = {}
    for j in range(real.shape[1]):
        for words, breaks in _column_rules(real[:, j]):
            shared.setdefault(words, (breaks, []))[1].append(j)
    rules = []
    for words, (breaks, columns) in shared.items():
        called, more = names[columns[0]], ", ..." if len(columns) > 2 else ""
        if len(columns) > 1:
            called = f"each of {called}, {names[columns[1]]}{more} ({len(columns)} features)"
        rules.append(Rule(f"{called} is {words}", partial(_any_breaks, breaks, columns, slack[columns])))
    if padding and 1 < real.shape[1] <= MAX_PADDED:
        rules += _padding(real, names)
    return rules


def _any_breaks(breaks: _Breaks, columns: list[int], slack: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(breaks(rows[:, columns], slack).any(1))


def _column_rules(column: np.ndarray) -> list[tuple[str, _Breaks]]:
    """Return the rules of one column (n,): its levels, or else its edges and whole numbers."""
    levels, counts = np.unique(column, return_counts=True)
    if len(levels) <= MAX_LEVELS and counts.min() >= _SEEN:
        return [_levels(levels)]
    rules: list[tuple[str, _Breaks]] = []
    for sign, word, edge, count in ((1, "at least", levels[0], counts[0]), (-1, "at most", levels[-1], counts[-1])):
        values = np.sort(sign * column)
        low = np.quantile(values, 0.05)
        piles_up = count >= max(_SEEN, _PILE * len(column))
        if piles_up or (len(values) > 100 and 0 <= values[0] < low / 20 and values[4] < low / 5):
            bound = float(edge) if piles_up else 0.0
            rules.append((f"{word} {bound:.6g}", partial(_beyond, sign, bound)))
    if np.array_equal(levels, np.round(levels)) and len(levels) > 1:
        rules.append(("whole", lambda values, slack: np.abs(values - np.round(values)) > slack))
    return rules


def _levels(levels: np.ndarray) -> tuple[str, _Breaks]:
    """Return the rule that values are one of `levels` (K,), which rise."""

    def breaks(values: np.ndarray, slack: np.ndarray) -> np.ndarray:
        above = np.clip(np.searchsorted(levels, values), 0, len(levels) - 1)
        below = np.maximum(above - 1, 0)
        return np.minimum(np.abs(values - levels[above]), np.abs(values - levels[below])) > slack

    shown = [f"{level:+g}" if levels.min() < 0 < level else f"{level:.6g}" for level in levels]
    if len(levels) > 6:
        return f"one of {len(levels)} levels from {shown[0]} to {shown[-1]}", breaks
    return " or ".join([", ".join(shown[:-1]), shown[-1]]) if len(levels) > 1 else shown[0], breaks


def _beyond(sign: int, bound: float, values: np.ndarray, slack: np.ndarray) -> np.ndarray:
    return sign * (values - bound) < -slack


def _padding(real: np.ndarray, names: list[str]) -> list[Rule]:
    """Return the rule that columns are 0 where others are, none if no pair of columns shows it."""
    zero = (real == 0).astype(np.float64)
    share = zero.mean(0)
    never = zero.T @ (1 - zero) == 0  # [a, b]: no event has a = 0 and b != 0
    np.fill_diagonal(never, val=False)
    expected = len(real) * share[:, None] * (1 - share)
    implied = (never & (expected >= _IMPLIED)).astype(np.float64)
    if not implied.any():
        return []

    def breaks(rows: np.ndarray) -> np.ndarray:
        empty = (rows == 0).astype(np.float64)
        return ((empty @ implied) * (1 - empty)).any(1)

    a, b = np.unravel_index(int((implied * expected).argmax()), implied.shape)
    more = int(implied.sum()) - 1
    also = f" (and {more} such pairs)" if more else ""
    return [Rule(f"{names[b]} is 0 where {names[a]} is 0{also}", breaks)]
