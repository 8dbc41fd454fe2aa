"""Hard constraints: what holds for every real event and must hold for every generated one.

A constraint is a function of the events that says for each of them whether it holds, or by how much it fails. The
share of events that break it comes with its Clopper-Pearson interval. The statistic is the generated share minus the
real one, one-sided: large means that generated events break it more often. In a validation it is computed for the
relabellings that all statistics share (`reverie.validation.permutation.relabelling`), with the weights of the events
and the blocks of a chain, and the constraints are one group of the battery. Their p-values are therefore never below
1/(B + 1), however hard the constraint: the counts beside them say how hard. For independent events without weights the
relabellings need not be drawn, and `check_constraints` gives what infinitely many of them would,

    p = P(at least b_G of the b_G + b_R broken events fall among the m generated ones)        (Fisher's exact test)

Constraints are also read off real events. Extremes of a sample are no rules: the next real event may lie beyond. A rule
needs evidence that the law itself stops there.

    few levels     at most 20 distinct values, each seen at least 10 times: then a level that was never seen has
                   probability below about 3/n, and the generator must use the levels there are
    integers       all values whole, for columns with more levels
    hard edge      an extreme value taken by at least 1 % of the events, 10 or more, and nothing beyond it
    zero bound     all values positive, and the law reaches zero: the fifth smallest is below 1/5, and the smallest
                   below 1/20, of the 5 % quantile. Of 1,000 events of N(3, 1) all are positive and meet this in
                   less than 1 % of cases; exponential, uniform and Rayleigh-like columns do in large samples
    zero-padding   whenever column a is exactly 0, column b is; independent columns would have broken this in at
                   least 20 of the events. At most 256 columns, not for images

They are read off every second event and checked on the others; a rule that more than 0.1 % of those others break is
dropped. A validation reads them off the calibration sample, which no relabelling touches, and measures them on all
events of the reference; `check_constraints`, which has two samples only, measures them on the second half of the real
ones, and asks that all numbers are finite. "None of 2,500 real ones" is a measurement in both.

That no two events are equal is asked of both samples too (`reverie.validation.permutation.duplicates`), where events
count alike: equal pairs of weighted events say nothing about the law that the weights make of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.stats import hypergeom
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.checks import check_positive, check_table
from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson, percent
from reverie.core.random import as_generator
from reverie.core.tables import labels_of, tabular
from reverie.core.types import ArrayLike, RandomState
from reverie.core.words import in_same_words
from reverie.validation.inputs.samples import checked_weights, one_precision
from reverie.validation.permutation.duplicates import n_pairs, row_sets, twin_columns
from reverie.validation.permutation.multiple_testing import holm, permutation_p
from reverie.validation.permutation.relabelling import Relabellings, relabellings

__all__ = [
    "TWINS",
    "Constraint",
    "ConstraintResult",
    "Rule",
    "breaks",
    "check_constraints",
    "conserved",
    "constraint_columns",
    "constraint_result",
    "inferred_constraints",
    "learnt_rules",
    "mass_shell",
    "twin_result",
]

Constraint = Callable[[np.ndarray], np.ndarray]  # events -> booleans (True: holds) or residuals (0: holds)
_Breaks = Callable[[np.ndarray, np.ndarray], np.ndarray]  # values (n, c), slack (c,) -> booleans (n, c)

MAX_BROKEN = 0.001  # share of real events that may break an inferred rule, above which it is none
TOLERANCE = 1e-6  # of residuals, and of levels, integers and edges in units of the spread of the column
TWINS = "no two events are equal"
_COLUMNS = 64  # labellings at once
MAX_LEVELS = 20
MAX_PADDED = 256
_SEEN = 10
_PILE = 0.01
_IMPLIED = 20


@dataclass(frozen=True)
class Rule:
    """A rule in words, and the function that tells which rows of (n, d) break it."""

    name: str
    breaks: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ConstraintResult:
    """How many events break one constraint.

    Parameters
    ----------
    name : The constraint in words, such as "charge is -1 or +1".
    fraction, low, high : share of generated events that break it, by weight where they have one, with its 95 %
        interval.
    n_generated, n_real : events looked at.
    broken_generated, broken_real : number of events that break it.
    p_value : one-sided, small if generated events break it more often than real ones: from relabellings, or of
        Fisher's exact test (see the module).
    inferred : read off the real events, as opposed to given.
    detail : what else there is to say, as the end of a sentence.
    real_fraction : the same share of real events; by default broken_real / n_real, as in files of older versions.
    p_adjusted : corrected for the number of constraints; by default p_value, of one constraint.
    """

    name: str
    fraction: float
    low: float
    high: float
    n_generated: int
    n_real: int
    broken_generated: int
    broken_real: int
    p_value: float
    inferred: bool
    detail: str = ""
    real_fraction: float = math.nan
    p_adjusted: float = math.nan

    def __post_init__(self) -> None:
        if math.isnan(self.real_fraction):
            object.__setattr__(self, "real_fraction", self.broken_real / self.n_real if self.n_real else math.nan)
        if math.isnan(self.p_adjusted):
            object.__setattr__(self, "p_adjusted", self.p_value)

    def broken(self, alpha: float = 0.05) -> bool:
        """Whether generated events break it more often than real ones, at level `alpha`."""
        return self.p_value <= alpha

    def __str__(self) -> str:
        real = f"none of {self.n_real:,} real ones"
        if self.broken_real:
            real = f"{percent(self.real_fraction)} of {self.n_real:,} real ones"
        detail = f"; {self.detail}" if self.detail else ""
        if not self.broken_generated:
            return f"No generated event of {self.n_generated:,} breaks '{self.name}', {real}{detail}."
        interval = f"95 %: {percent(self.low)[:-2]} to {percent(self.high)[:-2]}"
        return f"{percent(self.fraction)} of generated events break '{self.name}' ({interval}), {real}{detail}."


@checked
def check_constraints(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    constraints: Mapping[str, Constraint] | None = None,
    infer: bool = True,
    tolerance: float = TOLERANCE,
    n_permutations: int = 999,
    random_state: RandomState = 0,
) -> tuple[ConstraintResult, ...]:
    """Return how often generated events break each constraint, given and inferred, and real ones beside them.

    Events are taken as independent, and each counts once: `reverie.validate` knows about weights and chains.

    Parameters
    ----------
    real, generated : (n, *event) and (m, *event) in one unit; NaN and inf are counted, not refused.
    names : Names of the features, flattened; None takes those of the data, or numbers them.
    constraints : name -> function of events (n, *event) that returns n booleans (True: holds) or residuals
        (n,) or (n, r), which hold where all are within `tolerance` of 0. NaN is broken. Without NaN or inf only.
    infer : whether to add the rules read off the real events.
    tolerance : Tolerance of residuals; that of levels, integers and edges is in units of the spread of the column.
    n_permutations, random_state : relabellings, and their seed, for the p-value of equal events.

    Raises
    ------
    InputError
        For other features, fewer than two events, or a constraint that does not return one value per event.
    """
    check_positive("tolerance", tolerance, allow_zero=True)
    given = in_same_words({"real": real, "generated": generated})
    (x, own), (y, others) = (_events(sample, what) for what, sample in given.items())
    labels = labels_of(given["real"])
    if own and others and own != others and set(own) == set(others):
        y = y[:, [others.index(name) for name in own]]
    if x.shape[1:] != y.shape[1:]:
        raise InputError(
            f"Expected the features of real, {x.shape[1:]}, in generated, got {y.shape[1:]}. Select the same columns."
        )
    x, y = one_precision(x, y)
    d, called = int(np.prod(x.shape[1:])), own if names is None and x.ndim == 2 else names
    features = [f"x{j}" for j in range(d)] if called is None else [str(name) for name in called]
    if len(features) != d:
        raise InputError(f"Expected {d} names, one per feature, got {len(features)}.")
    whole_x, whole_y = (np.asarray(np.isfinite(part.reshape(len(part), -1)).all(axis=1)) for part in (x, y))
    results = [_exact("all numbers are finite", ~whole_x, ~whole_y, inferred=True)]
    x, y = x[whole_x], y[whole_y]
    if len(x) and len(y):
        for name, holds in (constraints or {}).items():
            results.append(_exact(name, *(breaks(name, holds, part, tolerance) for part in (x, y)), inferred=False))
        if infer:
            check = x[1::2].reshape(len(x[1::2]), -1)
            for rule in learnt_rules(x, features, tolerance, labels=labels):
                broken = rule.breaks(check), rule.breaks(y.reshape(len(y), -1))
                results.append(_exact(rule.name, *broken, inferred=True))
            n, m, p = len(x), len(y), 1.0
            sets = row_sets(np.concatenate([x, y]).reshape(n + m, -1))
            if len(np.unique(sets)) < n + m:
                relabel = relabellings(n, m, n_permutations, as_generator(random_state))
                p = permutation_p(twin_columns(torch.from_numpy(sets), relabel))
            results.append(twin_result(sets[:n], sets[n:], p_value=p))
    adjusted = holm([one.p_value for one in results])
    return tuple(replace(one, p_adjusted=p) for one, p in zip(results, adjusted, strict=True))


@checked
def conserved(columns: Sequence[int], *, total: float = 0.0, tolerance: float = 1e-4) -> Constraint:
    """Return the constraint that the sum of `columns` is `total`, within `tolerance` times the sum of their sizes."""
    chosen = list(columns)

    def holds(events: np.ndarray) -> np.ndarray:
        parts = events.reshape(len(events), -1)[:, chosen]
        return np.abs(parts.sum(1) - total) <= tolerance * (np.abs(parts).sum(1) + abs(total))

    return holds


@checked
def mass_shell(energy: int, momentum: Sequence[int], mass: float, *, tolerance: float = 1e-3) -> Constraint:
    """Return the constraint E^2 - p^2 = m^2, within `tolerance` times E^2.

    Parameters
    ----------
    energy, momentum : the column of E and those of the components of p; c = 1, one unit for all.
    mass : Mass of the particle, in the same unit.
    """
    chosen = list(momentum)

    def holds(events: np.ndarray) -> np.ndarray:
        table = events.reshape(len(events), -1)
        squared = table[:, energy] ** 2
        return np.abs(squared - (table[:, chosen] ** 2).sum(1) - mass**2) <= tolerance * squared

    return holds


def _events(sample: ArrayLike, what: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    values, names, weights = tabular(sample, what)
    values = np.asarray(values)
    check_table(values, what)
    if checked_weights(weights, len(values), what) is not None:
        raise InputError(
            f"Expected {what} events that count alike, got a data set with weights that differ. Pass its values, or "
            "use reverie.validate(..., constraints=...), which honours weights."
        )
    return values, names


def breaks(name: str, holds: Constraint, events: np.ndarray, tolerance: float) -> np.ndarray:
    """Return which events (n, *event) break the constraint `holds`, booleans (n,)."""
    returned = np.asarray(holds(events))
    if returned.ndim == 0 or len(returned) != len(events):
        raise InputError(
            f"Expected the constraint '{name}' to return one value per event, shape ({len(events)},), got "
            f"{returned.shape}. Compute along the axes of one event only."
        )
    returned = returned.reshape(len(events), -1)
    fine = returned if returned.dtype == bool else np.abs(returned) <= tolerance
    return ~np.asarray(fine.all(axis=1))


def learnt_rules(
    real: np.ndarray,
    names: Sequence[str],
    tolerance: float = TOLERANCE,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> list[Rule]:
    """Return the rules read off every second event of `real` (n, *event) that the others obey too, up to 0.1 %.

    `labels` has the words behind the codes of columns of words, by name.
    """
    learn, check = (part.reshape(len(part), -1) for part in (real[::2], real[1::2]))
    how: Any = {"tolerance": tolerance, "padding": real.ndim == 2, "labels": labels}
    rules = inferred_constraints(learn, list(names), **how)
    return [rule for rule in rules if rule.breaks(check).sum() <= MAX_BROKEN * len(check)]


def constraint_columns(broken: Tensor, relabel: Relabellings) -> np.ndarray:
    """Return the share of y that breaks each constraint minus that of x, (K, B + 1), for every labelling.

    `broken` (N, K) says which of the pooled rows, x first, break which constraint.
    """
    rows = torch.nonzero(broken.any(1))[:, 0]
    w = relabel.row_weights
    masses = broken[rows].T * w[rows]
    shares = []
    for labels, of_x in zip(relabel.labels[rows].split(_COLUMNS, 1), relabel.weight_of_x.split(_COLUMNS), strict=True):
        in_x = masses @ labels.double()
        shares.append((masses.sum(1, keepdim=True) - in_x) / (w.sum() - of_x) - in_x / of_x)
    return torch.cat(shares, dim=1).numpy()


def constraint_result(
    name: str,
    real: np.ndarray,
    generated: np.ndarray,
    *,
    p_value: float,
    inferred: bool,
    p_adjusted: float = 1.0,
    weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
    inflation: float = 1.0,
    detail: str = "",
) -> ConstraintResult:
    """Return the counts of one constraint with their interval.

    Parameters
    ----------
    name, p_value, p_adjusted, inferred, detail : Fields of the `ConstraintResult`.
    real, generated : (n,) and (m,) booleans, which events break it.
    weights : those of the real and of the generated events, or None for events that count alike.
    inflation : variance of a mean over that of independent events: twice the autocorrelation time of a chain.
    """
    of_real, w = (np.ones(len(b)) if w is None else w for b, w in zip((real, generated), weights, strict=True))
    real_share, share = float(of_real @ real / of_real.sum()), float(w @ generated / w.sum())
    effective = float(w.sum() ** 2 / np.square(w).sum()) / inflation
    low, high = clopper_pearson(min(max(share, 0.0), 1.0) * effective, effective)
    return ConstraintResult(
        name=name,
        fraction=share,
        low=float(low),
        high=float(high),
        real_fraction=real_share,
        n_generated=len(generated),
        n_real=len(real),
        broken_generated=int(generated.sum()),
        broken_real=int(real.sum()),
        p_value=p_value,
        p_adjusted=p_adjusted,
        inferred=inferred,
        detail=detail,
    )


def twin_result(
    sets_x: np.ndarray, sets_y: np.ndarray, *, p_value: float, p_adjusted: float = 1.0, inflation: float = 1.0
) -> ConstraintResult:
    """Return how many events have a twin in their own sample, in equal numbers of real and generated events.

    `sets_x` (n,) and `sets_y` (m,) are the set of equal rows of each event; the rest is as in `constraint_result`.
    """
    size, twins, pairs = min(len(sets_x), len(sets_y)), [], []
    for sets in (sets_x[:size], sets_y[:size]):
        _, place, counts = np.unique(sets, return_inverse=True, return_counts=True)
        twins.append(counts[place] > 1)
        pairs.append(n_pairs(sets))
    detail = f"{pairs[1]:,} equal pairs where real events of that number have {pairs[0]:,}" if any(pairs) else ""
    more = {"p_value": p_value, "p_adjusted": p_adjusted, "inflation": inflation}
    return constraint_result(TWINS, *twins, inferred=True, detail=detail, **more)


def _exact(name: str, real: np.ndarray, generated: np.ndarray, *, inferred: bool) -> ConstraintResult:
    n, m, b_generated = len(real), len(generated), int(generated.sum())
    p = float(hypergeom.sf(b_generated - 1, n + m, b_generated + int(real.sum()), m))
    return constraint_result(name, real, generated, p_value=p, inferred=inferred)


def inferred_constraints(
    real: np.ndarray,
    names: list[str],
    *,
    tolerance: float = 1e-6,
    padding: bool = True,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> list[Rule]:
    """Return the rules that real (n, d), finite numbers, obeys; features with the same rule share one.

    `tolerance` of levels, integers and edges is in units of the spread of a column; `padding` looks for zero-padding;
    `labels` has the words behind the codes of columns of words, by name, which have no edges.
    """
    labels = labels or {}
    slack = tolerance * np.where(real.std(0) > 0, real.std(0), 1.0)
    shared: dict[str, tuple[_Breaks, list[int]]] = {}
    for j in range(real.shape[1]):
        for words, breaks in _column_rules(real[:, j], labels.get(names[j])):
            shared.setdefault(words, (breaks, []))[1].append(j)
    rules = []
    for words, (breaks, columns) in shared.items():
        called, more = names[columns[0]], ", ..." if len(columns) > 2 else ""
        if len(columns) > 1:
            called = f"each of {called}, {names[columns[1]]}{more} ({len(columns)} features)"
        rules.append(Rule(f"{called} is {words}", partial(_any_breaks, breaks, columns, slack[columns])))
    if padding and 1 < real.shape[1] <= MAX_PADDED:
        rules += _padding(real, names, [labels.get(name, ("0",))[0] for name in names])
    return rules


def _any_breaks(breaks: _Breaks, columns: list[int], slack: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(breaks(rows[:, columns], slack).any(1))


def _column_rules(column: np.ndarray, labels: Sequence[str] | None) -> list[tuple[str, _Breaks]]:
    """Return the rules of one column (n,): its levels, or else, if it has no words, its edges and whole numbers."""
    levels, counts = np.unique(column, return_counts=True)
    if len(levels) <= MAX_LEVELS and counts.min() >= _SEEN:
        return [_levels(levels, labels)]
    if labels is not None:
        return []
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


def _levels(levels: np.ndarray, labels: Sequence[str] | None) -> tuple[str, _Breaks]:
    """Return the rule that values are one of `levels` (K,), which rise, or codes of `labels`."""

    def breaks(values: np.ndarray, slack: np.ndarray) -> np.ndarray:
        above = np.clip(np.searchsorted(levels, values), 0, len(levels) - 1)
        below = np.maximum(above - 1, 0)
        return np.minimum(np.abs(values - levels[above]), np.abs(values - levels[below])) > slack

    shown = [f"{level:+g}" if levels.min() < 0 < level else f"{level:.6g}" for level in levels]
    shown = shown if labels is None else [labels[int(level)] for level in levels]
    if len(levels) > 6:
        return f"one of {len(levels)} levels from {shown[0]} to {shown[-1]}", breaks
    return " or ".join([", ".join(shown[:-1]), shown[-1]]) if len(levels) > 1 else shown[0], breaks


def _beyond(sign: int, bound: float, values: np.ndarray, slack: np.ndarray) -> np.ndarray:
    return sign * (values - bound) < -slack


def _padding(real: np.ndarray, names: list[str], zeros: list[str]) -> list[Rule]:
    """Return the rule that columns are 0 where others are, none if no pair shows it; `zeros` is what 0 is called."""
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
    return [Rule(f"{names[b]} is {zeros[b]} where {names[a]} is {zeros[a]}{also}", breaks)]
