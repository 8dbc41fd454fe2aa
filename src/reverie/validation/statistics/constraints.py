"""Hard constraints: what holds for every real event and must hold for every generated one.

A constraint is a function of the events that says for each of them whether it holds, or by how much it fails. The
share of events that break it comes with its Clopper-Pearson interval. The statistic is the generated share minus the
real one, one-sided: large means that generated events break it more often. In a validation it is computed for the
relabellings that all statistics share (`reverie.validation.permutation.relabelling`), with the weights of the events
and the blocks of a chain, and the constraints are one group of the battery. Their p-values are therefore never below
1/(B + 1), however hard the constraint: the counts beside them say how hard. For independent events without weights the
relabellings need not be drawn, and `check_constraints` gives what infinitely many of them would,

    p = P(at least b_G of the b_G + b_R broken events fall among the m generated ones)        (Fisher's exact test)

Constraints are also read off real events, by rules in `reverie.validation.statistics.inferred_constraints`: finite
numbers, few levels, integers, hard edges, zero-padding. They are read off every second event and checked on the
others; a rule that more than 0.1 % of those others break is dropped. A validation reads them off the calibration
sample, which no relabelling touches, and measures them on all events of the reference; `check_constraints`, which has
two samples only, measures them on the second half of the real ones. "None of 2,500 real ones" is a measurement in
both.

That no two events are equal is asked of both samples too (`reverie.validation.permutation.duplicates`), where events
count alike: equal pairs of weighted events say nothing about the law that the weights make of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.stats import hypergeom
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.checks import check_positive, check_table
from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson, percent
from reverie.core.random import as_generator
from reverie.core.tables import tabular
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.inputs.samples import checked_weights, one_precision
from reverie.validation.permutation.duplicates import n_pairs, row_sets, twin_columns
from reverie.validation.permutation.multiple_testing import holm, permutation_p
from reverie.validation.permutation.relabelling import Relabellings, relabellings
from reverie.validation.statistics.inferred_constraints import Rule, inferred_constraints

__all__ = [
    "TWINS",
    "Constraint",
    "ConstraintResult",
    "breaks",
    "check_constraints",
    "conserved",
    "constraint_columns",
    "constraint_result",
    "learnt_rules",
    "mass_shell",
    "twin_result",
]

Constraint = Callable[[np.ndarray], np.ndarray]  # events -> booleans (True: holds) or residuals (0: holds)

MAX_BROKEN = 0.001  # share of real events that may break an inferred rule, above which it is none
TOLERANCE = 1e-6  # of residuals, and of levels, integers and edges in units of the spread of the column
TWINS = "no two events are equal"
_COLUMNS = 64  # labellings at once


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
    (x, own), (y, others) = _events(real, "real"), _events(generated, "generated")
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
            for rule in learnt_rules(x, features, tolerance):
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


def learnt_rules(real: np.ndarray, names: Sequence[str], tolerance: float = TOLERANCE) -> list[Rule]:
    """Return the rules read off every second event of `real` (n, *event) that the others obey too, up to 0.1 %."""
    learn, check = (part.reshape(len(part), -1) for part in (real[::2], real[1::2]))
    rules = inferred_constraints(learn, list(names), tolerance=tolerance, padding=real.ndim == 2)
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
