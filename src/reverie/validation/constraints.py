"""Hard constraints: what holds for every real event and must hold for every generated one.

A constraint is a function of the events that says for each of them whether it holds, or by how much it fails. The
share of events that break it comes with its Clopper-Pearson interval, for generated and real events, and with

    p = P(at least b_G of the b_G + b_R broken events fall among the m generated ones)        (Fisher's exact test)

Constraints are also read off the real events, by rules in `reverie.validation.inferred`: finite numbers, few levels,
integers, hard edges, zero-padding. They are read off every second real event and checked on the others, so that
"none of 2,500 real ones" is a measurement; a rule that more than 0.1 % of those others break is dropped.

Duplicates within the generated sample are counted at the size of the real one (birthday test, Arora and Zhang 2018):
n events of a law with point masses p_i are expected to hold n (n - 1) / 2 sum p_i^2 equal pairs, so a sample with
many more of them than real data has a smaller support.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom
from torch import Tensor

from reverie.core.checks import check_positive, check_table
from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson, percent
from reverie.validation.inferred import inferred_constraints

__all__ = ["Constraint", "ConstraintResult", "breaks", "check_constraints", "conserved", "mass_shell"]

Constraint = Callable[[np.ndarray], np.ndarray]  # events -> booleans (True: holds) or residuals (0: holds)

MAX_BROKEN = 0.001  # share of real events that may break an inferred rule, above which it is none


@dataclass(frozen=True)
class ConstraintResult:
    """How many events break one constraint.

    Parameters
    ----------
    name : in words, such as "charge is -1 or +1".
    fraction, low, high : share of generated events that break it, with its 95 % interval.
    n_generated, n_real : events looked at.
    broken_generated, broken_real : events that break it.
    p_value : Fisher's exact test, one-sided: small if generated events break it more often than real ones.
    inferred : read off the real events, as opposed to given.
    detail : what else there is to say, as the end of a sentence.
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

    @property
    def real_fraction(self) -> float:
        """Share of real events that break it."""
        return self.broken_real / self.n_real if self.n_real else 0.0

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


def check_constraints(
    real: np.ndarray | Tensor,
    generated: np.ndarray | Tensor,
    *,
    names: Sequence[str] | None = None,
    constraints: Mapping[str, Constraint] | None = None,
    infer: bool = True,
    tolerance: float = 1e-6,
) -> tuple[ConstraintResult, ...]:
    """Return how often generated events break each constraint, given and inferred, and real ones beside them.

    Parameters
    ----------
    real, generated : (n, *event) and (m, *event) in one unit; NaN and inf are counted, not refused.
    names : one per feature, flattened; None numbers them.
    constraints : name -> function of events (n, *event) that returns n booleans (True: holds) or residuals
        (n,) or (n, r), which hold where all are within `tolerance` of 0. NaN is broken. Without NaN or inf only.
    infer : whether to add the rules read off the real events.
    tolerance : of residuals; and of levels, integers and edges, in units of the spread of the column.

    Raises
    ------
    InputError
        For other features, fewer than two events, or a constraint that does not return one value per event.
    """
    check_positive("tolerance", tolerance, allow_zero=True)
    x, y = _events(real, "real"), _events(generated, "generated")
    if x.shape[1:] != y.shape[1:]:
        raise InputError(
            f"Expected the features of real, {x.shape[1:]}, in generated, got {y.shape[1:]}. Select the same columns."
        )
    x, y = _one_precision(x, y)
    called = _names(names, int(np.prod(x.shape[1:])))
    whole_x, whole_y = (np.asarray(np.isfinite(part.reshape(len(part), -1)).all(axis=1)) for part in (x, y))
    results = [_result("all numbers are finite", ~whole_x, ~whole_y, inferred=True)]
    x, y = x[whole_x], y[whole_y]
    if not len(x) or not len(y):
        return tuple(results)
    for name, holds in (constraints or {}).items():
        results.append(_result(name, *(breaks(name, holds, part, tolerance) for part in (x, y)), inferred=False))
    if infer:
        results += _inferred(x, y, called, tolerance)
        results.append(_duplicates(x, y))
    return tuple(results)


def conserved(columns: Sequence[int], *, total: float = 0.0, tolerance: float = 1e-4) -> Constraint:
    """Return the constraint that the sum of `columns` is `total`, within `tolerance` times the sum of their sizes."""
    chosen = list(columns)

    def holds(events: np.ndarray) -> np.ndarray:
        parts = events.reshape(len(events), -1)[:, chosen]
        return np.abs(parts.sum(1) - total) <= tolerance * (np.abs(parts).sum(1) + abs(total))

    return holds


def mass_shell(energy: int, momentum: Sequence[int], mass: float, *, tolerance: float = 1e-3) -> Constraint:
    """Return the constraint E^2 - p^2 = m^2, within `tolerance` times E^2.

    Parameters
    ----------
    energy, momentum : the column of E and those of the components of p; c = 1, one unit for all.
    mass : in that unit.
    """
    chosen = list(momentum)

    def holds(events: np.ndarray) -> np.ndarray:
        table = events.reshape(len(events), -1)
        squared = table[:, energy] ** 2
        return np.abs(squared - (table[:, chosen] ** 2).sum(1) - mass**2) <= tolerance * squared

    return holds


def _events(sample: np.ndarray | Tensor, what: str) -> np.ndarray:
    values = sample.detach().cpu().numpy() if isinstance(sample, Tensor) else np.asarray(sample)
    check_table(values, what)
    if values.dtype.kind not in "fiub":
        raise InputError(f"Expected numbers in {what}, got {values.dtype}. Drop or encode the columns with text.")
    return values


def _names(names: Sequence[str] | None, d: int) -> list[str]:
    called = [f"x{j}" for j in range(d)] if names is None else [str(name) for name in names]
    if len(called) != d:
        raise InputError(f"Expected {d} names, one per feature, got {len(called)}.")
    return called


def _one_precision(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # 0.1 in single precision is not 0.1 in double: round both alike, or no level would be met
    if np.float32 in (x.dtype, y.dtype):
        x, y = x.astype(np.float32), y.astype(np.float32)
    return x.astype(np.float64), y.astype(np.float64)


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


def _result(
    name: str, real: np.ndarray, generated: np.ndarray, *, inferred: bool, detail: str = ""
) -> ConstraintResult:
    n, m, b_real, b_generated = len(real), len(generated), int(real.sum()), int(generated.sum())
    low, high = clopper_pearson(b_generated, m)
    return ConstraintResult(
        name=name,
        fraction=b_generated / m,
        low=float(low),
        high=float(high),
        n_generated=m,
        n_real=n,
        broken_generated=b_generated,
        broken_real=b_real,
        p_value=float(hypergeom.sf(b_generated - 1, n + m, b_generated + b_real, m)),
        inferred=inferred,
        detail=detail,
    )


def _inferred(x: np.ndarray, y: np.ndarray, names: list[str], tolerance: float) -> list[ConstraintResult]:
    learn, check = (part.reshape(len(part), -1) for part in (x[::2], x[1::2]))
    table = y.reshape(len(y), -1)
    found = []
    for rule in inferred_constraints(learn, names, tolerance=tolerance, padding=x.ndim == 2):
        broken_real = rule.breaks(check)
        if broken_real.sum() <= MAX_BROKEN * len(check):
            found.append(_result(rule.name, broken_real, rule.breaks(table), inferred=True))
    return found


def _duplicates(x: np.ndarray, y: np.ndarray) -> ConstraintResult:
    size = min(len(x), len(y))
    copies, pairs = zip(*(_equal_rows(part[:size].reshape(size, -1)) for part in (x, y)), strict=True)
    detail = f"{pairs[1]:,} equal pairs where real events of that number have {pairs[0]:,}" if any(pairs) else ""
    return _result("no two events are equal", copies[0], copies[1], inferred=True, detail=detail)


def _equal_rows(table: np.ndarray) -> tuple[np.ndarray, int]:
    # which rows have a twin, and the number of equal pairs
    whole = np.ascontiguousarray(table + 0.0).view(np.dtype((np.void, table.shape[1] * 8))).ravel()  # -0 is 0
    _, inverse, counts = np.unique(whole, return_inverse=True, return_counts=True)
    return counts[inverse] > 1, int((counts * (counts - 1) // 2).sum())
