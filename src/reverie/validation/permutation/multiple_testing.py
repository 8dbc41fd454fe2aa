"""Many tests at once: one global p-value from shared permutations, Holm's correction, false discoveries.

Row b = 0 of a table of statistics (B + 1, K) holds the observed values, row b > 0 those of the b-th
permutation, the same permutation for all K statistics. Within each column every row has a p-value

    p_b = #{b' : s_b' >= s_b} / (B + 1),      p_0 = (1 + k) / (B + 1)      (Phipson and Smyth 2010)

with k the number of permutations at least as large as the observed value. The smallest p of a row,
m_b = min_k p_b, is itself a statistic, and its own p-value against the other rows is the global one
(Westfall and Young 1993): exact, whatever the dependence among the K statistics. Statistics can have weights w_k that
do not depend on the data, and then m_b = min_k p_b / w_k: equally exact, with more of the level for those that usually
see a difference first.

m_b takes few values: among K columns about K rows share the smallest, so the plain form cannot go
below about K / (B + 1). Rows with equal m_b are therefore ordered by their largest standardised
value t_b = max_k (s_b - median) / (q95 - median), the quantiles being those of the column with all
its rows. This treats all rows alike, so the test stays exact, and reaches 1 / (B + 1).

Adjusted p-values of the single statistics come from the same table by steps: the smallest p is judged against
the smallest of all K, the next against the smallest of the K - 1 that remain, and so on, never less than
the one before (Westfall and Young 1993, step-down). They control the chance of any false alarm as Holm's do, and
use what the statistics have in common instead of assuming the worst.

Tests without shared permutations, of which one p-value is the battery's and each other a classifier's, are joined by
Bonferroni's rule with weights too,

    p = min(1, min_k p_k sum_j w_j / w_k),

which is valid for weights that do not depend on the data, whatever the dependence among the tests (Genovese, Roeder
and Wasserman, Biometrika 93 (2006) 509): the level of the test is shared out by weight. The battery holds some twenty
tests and one of them is usually the first to see a difference, so it has the weight of four classifiers
(`python -m benchmarks.quality.power`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control

from reverie.core.arguments import checked
from reverie.core.errors import InputError

__all__ = [
    "Ranked",
    "benjamini_hochberg",
    "bonferroni_factors",
    "global_p",
    "holm",
    "min_p",
    "permutation_p",
    "ranked",
    "step_down",
]

_BATTERY = 4.0  # weight of the battery beside 1 of each classifier


@dataclass(frozen=True)
class Ranked:
    """One statistic over all rows: observed first, then the permutations.

    Parameters
    ----------
    p : (B + 1,), the p-value of each row among all rows.
    excess : (B + 1,), the standardised value, which orders rows of equal p.
    """

    p: np.ndarray
    excess: np.ndarray

    @property
    def observed_p(self) -> float:
        """The p-value of the observed row."""
        return float(self.p[0])


def ranked(values: np.ndarray) -> Ranked:
    """Return the p-values and standardised values of every row of one statistic (B + 1,), large is extreme.

    Infinity is larger than every number. A row without a number, NaN, says nothing: it is the least extreme, as all
    such rows are, so that the test stays exact.
    """
    values = np.asarray(values, dtype=float)
    values = np.where(np.isnan(values), -np.inf, values)
    is_finite = np.isfinite(values)
    finite = values[is_finite]
    if not len(finite):
        return Ranked(_upper_p(values), np.where(values > 0, np.inf, 0.0))
    # equal statistics of tied data may differ in the last digits: such rows must count as ties
    grain = np.abs(finite).max() * 1e-7
    values[is_finite] = finite = np.round(finite / grain) * grain if grain > 0 else finite
    median, high = np.quantile(finite, [0.5, 0.95])
    scale = high - median if high > median else finite.std()
    excess = (values - median) / scale if scale > 0 else np.where(is_finite, 0.0, values)
    return Ranked(_upper_p(values), excess)


def permutation_p(values: np.ndarray) -> float:
    """Return (1 + k) / (B + 1) for values (B + 1,) with the observed one first."""
    return ranked(values).observed_p


def min_p(columns: Sequence[Ranked], weights: Sequence[float] | None = None) -> Ranked:
    """Return the min-P combination of several statistics with shared permutations, again as a statistic.

    `weights`, one > 0 for each, are equal by default.
    """
    w = np.ones(len(columns)) if weights is None else np.asarray(weights)
    smallest = np.min([column.p / share for column, share in zip(columns, w, strict=True)], axis=0)
    excess = np.max([column.excess for column in columns], axis=0)
    order = np.lexsort((excess, -smallest))  # from the least to the most extreme row
    p, e = smallest[order], excess[order]
    changes = (p[1:] != p[:-1]) | (e[1:] != e[:-1])
    place = np.empty(len(order))
    place[order] = np.concatenate([[0], np.cumsum(changes)])
    return Ranked(_upper_p(place), excess)


def step_down(columns: Sequence[Ranked]) -> list[float]:
    """Return the step-down adjusted p-value of each statistic, all with shared permutations."""
    order = sorted(range(len(columns)), key=lambda k: (columns[k].observed_p, -columns[k].excess[0]))
    adjusted, largest = [0.0] * len(columns), 0.0
    for place, k in enumerate(order):
        largest = max(largest, min_p([columns[j] for j in order[place:]]).observed_p)
        adjusted[k] = largest
    return adjusted


def bonferroni_factors(n_classifiers: int) -> np.ndarray:
    """Return sum_j w_j / w_k, by which the p-values of the battery and of each classifier are multiplied, (1 + n,).

    A test alone makes the global p at most alpha where its own is at most alpha over its factor.
    """
    weights = np.array([_BATTERY] + [1.0] * n_classifiers)
    return weights.sum() / weights


def global_p(battery: float, classifiers: Sequence[float]) -> tuple[float, int, float]:
    """Return the p-value of the battery and all classifiers, the place of the test it is of, and what that p was times.

    Parameters
    ----------
    battery : p-value of all statistics together; its place is 0.
    classifiers : p-value of each classifier, at the places 1, 2, ...
    """
    p, factors = np.array([battery, *classifiers]), bonferroni_factors(len(classifiers))
    first = int(np.argmin(p * factors))
    return min(1.0, float(p[first] * factors[first])), first, float(factors[first])


@checked
def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, which control the chance of any false alarm among them (Holm 1979)."""
    p = _probabilities(p_values)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


@checked
def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return q-values: rejecting all q <= a keeps the expected share of false alarms among them below a.

    Benjamini and Hochberg (1995), for tests that are independent or positively dependent. For hundreds of features,
    where Holm's correction, which allows no false alarm at all, would hide too much.
    """
    return false_discovery_control(_probabilities(p_values)).tolist() if len(p_values) else []


def _probabilities(p_values: Sequence[float]) -> np.ndarray:
    p = np.asarray(p_values, dtype=float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"Expected p-values between 0 and 1, got {p.tolist()}. Give one probability for each test.")
    return p


def _upper_p(values: np.ndarray) -> np.ndarray:
    below = np.searchsorted(np.sort(values), values, side="left")
    return (len(values) - below) / len(values)
