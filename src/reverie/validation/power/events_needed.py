"""How many events until the difference shows: the N of every test, and the smallest of them.

N is the number of independent events of weight one, of each class, at which a test at `LEVEL` = 5 % rejects with the
power `TARGET` = 80 %. Each test has its own law. With u = 1/n + 1/m of the samples at hand (for weighted events and
chains the effective numbers, from the permutations), u' = 2/N, z_a = 1.645 and z_p = 0.842:

    quadratic     D, the statistic less its mean mu over the permutations, is what the difference of the laws adds. In
                  units of chance it grows as N, and its variance is that of chance v plus c D. Rejected when

                      D u/u' = G,    G = k + z_p^2 c/2 + z_p sqrt(c k + v + z_p^2 c^2/4),    so N = 2 G / (u D)

                  with k the 95 % quantile of chance less mu, and c the third cumulant of chance over v, which is
                  exact for a noncentral chi-squared (v = 2 d, c = 4), or what the jackknife says if that is more.
                  Distances that are no squares (KS, tails,
                  sliced Wasserstein, correlations) are squared first.
    linear        kNN labels and coverage: D does not depend on N, its spread s goes as 1/sqrt(N),
                  N = (2/u) ((k + z_p s)/D)^2
    likelihood    from Hotelling's D^2, of all features and of each alone: the likelihood-ratio test of two normal laws,
    ratio         which knows the direction, has N = 2 (z_a + z_p)^2 / D^2. For u d subtracted, v = 2 d u^2, c = 4 u.
    scores        a classifier's log-odds on fresh events, of mean difference delta and variances V and W: as
                  statistic their mean has N = (z_a + z_p)^2 (V + W)/delta^2
    area          the rank test of the same scores has N = (z_a + z_p)^2 / (6 (A - 1/2)^2) = 1.03/(A - 1/2)^2, since
                  the null variance of the area is (1/n + 1/m)/12, 1/(6N) for n = m = N
    constraint    what no real event breaks: one event tells, N = log(1 - power)/log(1 - share)

Precision, recall and density have no law of this kind: their balls shrink as events are added.

The smallest N of K columns of tests is too small by selection. Each D, delta, A or share therefore has an interval
that holds with 95 % for all K at once (Bonferroni); the smallest of the lower and the smallest of the upper limits
then hold the smallest of the true N. Quoted is the estimate of the test with the smallest upper limit; where no test
has one, the difference is too close to chance for an estimate. When the global test sees nothing there is none either,
and the smallest of the one-sided 95 % lower limits is what the tests can promise, D being taken as zero where it is
negative.

All of this is a statement on these tests: a better one may need fewer events, and a comparison with a law that is
known exactly needs half as many.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from reverie.core.arguments import checked
from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson
from reverie.validation.comparison import Column
from reverie.validation.permutation.relabelling import Relabellings
from reverie.validation.results.tests import ClassifierResult
from reverie.validation.statistics.constraints import ConstraintResult
from reverie.validation.statistics.registry import CHECKS

__all__ = [
    "LEVEL",
    "TARGET",
    "EventsNeeded",
    "detectable_auc",
    "events_for_auc",
    "events_needed",
    "smallest_need",
    "strongest_needs",
]

LEVEL = 0.05
TARGET = 0.8  # power that is asked for
_FEWEST = 2.0  # events: no test speaks of fewer
_LEAST_PERMUTATIONS = 19
_MOMENTS = "Hotelling T²"


@dataclass(frozen=True)
class EventsNeeded:
    """The events per class that one test needs (see the module).

    Parameters
    ----------
    test : Name of the test, with the feature where it has one.
    events : the estimate; None where the difference is compatible with zero.
    low, high : 95 % limits for all tests at once. Without estimate high is None; low is one-sided where the global
        test sees nothing.
    """

    test: str
    events: float | None
    low: float
    high: float | None


@dataclass(frozen=True)
class _Difference:
    """What one test saw."""

    test: str
    d: float  # what the difference of the laws adds
    v: float  # the variance of d is v + c D at a true difference D
    c: float
    events: Callable[[float], float]  # from a difference > 0 to N

    def need(self, n_tests: int, *, seen: bool) -> EventsNeeded | None:
        """Return the events that the test needs, with limits that hold for `n_tests` at once; None if d is too low."""
        if not seen:
            far = _at(max(self.d, 0.0), float(ndtri(1 - LEVEL / n_tests)), self.v, self.c)
            return EventsNeeded(self.test, None, max(_FEWEST, self.events(far)), None)
        z = float(ndtri(1 - LEVEL / 2 / n_tests))
        far, near = (_at(self.d, sign * z, self.v, self.c) for sign in (1, -1))
        if far <= 0:
            return None
        low = max(_FEWEST, self.events(far))
        if near <= 0:  # compatible with no difference at all
            return EventsNeeded(self.test, None, low, None)
        return EventsNeeded(self.test, max(_FEWEST, self.events(self.d)), low, max(_FEWEST, self.events(near)))


def events_needed(
    groups: Mapping[str, Sequence[Column]],
    classifiers: Sequence[ClassifierResult],
    constraints: Sequence[ConstraintResult],
    columns: Mapping[str, tuple[float, int]],
    relabel: Relabellings,
    *,
    seen: bool,
) -> tuple[EventsNeeded, ...]:
    """Return the events that each test needs, the fewest (by the upper limit) first.

    Parameters
    ----------
    groups : columns of the battery by test (`reverie.validation.statistics.registry`).
    classifiers, constraints : their results.
    columns : Hotelling's D^2 of each column alone and its degrees of freedom (`reverie.validation.statistics.moments`).
    relabel : The relabellings of the battery.
    seen : whether the global test tells the samples apart; else there are lower limits only.
    """
    unit = relabel.unit
    means = groups[_MOMENTS][0] if _MOMENTS in groups else None
    is_permuted = means is not None and means.extra > 0 and len(means.values) > 1
    if means is not None and is_permuted and (relabel.weights is not None or relabel.block > 1):
        # 1/n + 1/m of weighted events and chains is that which the permutations of D^2 show per degree of freedom
        unit = float(np.mean(means.values[1:])) / means.extra
    known = [one for group in groups.values() for column in group if (one := _of_column(column, unit)) is not None]
    for name, (d, dof) in columns.items():
        if dof:
            test = f"Gaussian likelihood ratio of mean and width of {name}"
            known.append(_Difference(test, d - dof * unit, 2 * dof * unit**2, 4 * unit, _of_likelihood_ratio))
    far = _quantiles(TARGET, LEVEL)
    for one in classifiers:
        test = f"classifier AUC ({one.learner})"
        known.append(_Difference(test, one.value - 0.5, one.error**2, 0.0, lambda d: (far / d) ** 2 / 6))
        if one.deflection is not None and one.deflection_error is not None:
            test, v = f"likelihood ratio of the classifier ({one.learner})", one.deflection_error**2
            known.append(_Difference(test, one.deflection, v, 0.0, lambda d: (far / d) ** 2))
    broken = [one for one in constraints if one.p_adjusted <= LEVEL and not one.broken_real]
    n_tests = max(1, len(known) + len(broken))
    needs = [need for one in known if (need := one.need(n_tests, seen=seen)) is not None]
    for one in broken if seen else ():
        n = one.n_generated * min(1.0, relabel.unit / unit)
        limits = clopper_pearson(one.fraction * n, n, 1 - LEVEL / n_tests)
        events, most, fewest = (
            max(1.0, math.log(1 - TARGET) / math.log1p(-min(float(share), 1 - 1e-9)))
            for share in (one.fraction, *limits)
        )
        needs.append(EventsNeeded(f"constraint {one.name}", events, fewest, most))
    return tuple(sorted(needs, key=lambda one: (one.high or math.inf, one.events or math.inf, one.low)))


def smallest_need(needs: Sequence[EventsNeeded]) -> EventsNeeded | None:
    """Return the smallest number of events of all tests: the estimate of the first, limits of all; None of none."""
    if not needs:
        return None
    first = needs[0]
    low = min(one.low for one in needs)
    return EventsNeeded(first.test, None if first.events is None else max(first.events, low), low, first.high)


def strongest_needs(needs: Sequence[EventsNeeded], most: int = 6) -> tuple[EventsNeeded, ...]:
    """Return the first need of each test, all its features taken together, `most` of them."""
    first = {one.test.split(" of ")[0]: one for one in reversed(needs)}
    return tuple(one for one in needs if first[one.test.split(" of ")[0]] is one)[:most]


@checked
def events_for_auc(auc: float, *, power: float = TARGET, alpha: float = LEVEL) -> float:
    """Return the test events per class at which a classifier of area `auc` > 1/2 rejects with that power.

    Raises
    ------
    InputError
        For an area outside (1/2, 1], or power or alpha outside (0, 1).
    """
    if not 0.5 < auc <= 1:
        raise InputError(f"Expected auc above 1/2 and at most 1, got {auc!r}. At 1/2 no number of events is enough.")
    return _quantiles(power, alpha) ** 2 / (6 * (auc - 0.5) ** 2)


@checked
def detectable_auc(n_real: float, n_generated: float, *, power: float = TARGET, alpha: float = LEVEL) -> float:
    """Return the smallest area that is told from 1/2 with that power, at most 1.

    Parameters
    ----------
    n_real, n_generated : test events of both classes; of chains and weighted events the effective numbers.
    power : chance to reject.
    alpha : level of the one-sided rank test.
    """
    check_positive("n_real", n_real)
    check_positive("n_generated", n_generated)
    return min(1.0, 0.5 + _quantiles(power, alpha) * math.sqrt((1 / n_real + 1 / n_generated) / 12))


def _quantiles(power: float, alpha: float) -> float:
    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise InputError(f"Expected {name} between 0 and 1, got {value!r}. Usual values are 0.8 and 0.05.")
    return float(ndtri(1 - alpha) + ndtri(power))


def _of_column(column: Column, unit: float) -> _Difference | None:
    """Return what one column of the battery saw; None where its chance says nothing."""
    name = f"{column.name} of {column.feature}" if column.feature else column.name
    observed, chance = float(column.values[0]), np.asarray(column.values[1:])
    error, growth = column.error, CHECKS[column.name].growth if column.name in CHECKS else "quadratic"
    if growth == "distance":
        observed, chance, error = observed**2, chance**2, 2 * observed * error
    mean, v = (float(chance.mean()), float(chance.var())) if len(chance) >= _LEAST_PERMUTATIONS else (0.0, 0.0)
    if not v > (1e-12 * mean) ** 2 or growth == "none":  # few relabellings can all give one distance
        return None
    d, quantile = observed - mean, float(np.quantile(chance, 1 - LEVEL)) - mean
    if growth == "likelihood":
        words = column.detail.removeprefix("strongest in the ")
        return _Difference(f"Gaussian likelihood ratio of {words}", d, v, 4 * unit, _of_likelihood_ratio)
    if growth == "share":
        error = error if error > 0 else math.sqrt(v)  # nan is no error
        far = quantile + float(ndtri(TARGET)) * error
        return _Difference(name, d, error**2, 0.0, lambda d: 2 / unit * (far / d) ** 2)
    c = max(0.0, float(np.mean((chance - mean) ** 3)) / v)
    if d > 0 and error > 0:
        c = max(c, (error**2 - v) / d)
    enough = _at(quantile, float(ndtri(TARGET)), v, c)
    return _Difference(name, d, v, c, lambda d: 2 * enough / (unit * d))


def _of_likelihood_ratio(d: float) -> float:
    return 2 * _quantiles(TARGET, LEVEL) ** 2 / d


def _at(d: float, z: float, v: float, c: float) -> float:
    """Return the x of which d lies z standard deviations below (above for z < 0), with variance v + c x."""
    half = z * z * c / 2
    return d + half + z * math.sqrt(max(0.0, c * d + v + half * c / 2))
