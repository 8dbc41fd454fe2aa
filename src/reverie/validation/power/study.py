"""How small a fault a test finds at a given number of events: what "not rejected" is worth.

For a classifier there is a closed form (`reverie.validation.power.events_needed`). By experiment, for any test: n real
events are drawn, and from the rest as many again with a planted fault of known strength
(`reverie.validation.power.faults`); the test returns a p-value; the share of p <= alpha over many repeats is its
power, with the interval of Clopper and Pearson. Without a fault the same share is the size of the test, which must be
alpha. Strengths are tried in rising order until the lower limit of the power is above the target.

The smallest strength that is found with power P: the powers are made rising (isotonic regression) and interpolated
linearly in the logarithm of the strength; its interval comes from the limits of the powers in the same way.

Events are drawn without replacement, so a data set of N events allows sizes up to N/2; near N/2 the repeats share most
of their events and speak of this data set rather than of its law.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reverie.core.arguments import Count, Level, checked
from reverie.core.errors import InputError
from reverie.core.proportions import Share
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.classifiers.two_sample import separate
from reverie.validation.inputs.tables import as_events
from reverie.validation.power.events_needed import TARGET
from reverie.validation.power.faults import FAULTS, Fault, Plant

__all__ = ["PowerPoint", "PowerResult", "SmallestFault", "classifier_p", "power_study"]

Test = Callable[[np.ndarray, np.ndarray, int], float]  # real, generated, seed -> p-value


@dataclass(frozen=True)
class PowerPoint:
    """The power of the test at one fault, strength and number of events.

    Parameters
    ----------
    fault : Name of the fault in the study; "none" for the size of the test.
    strength : 0 without fault.
    n_events : real events, and as many generated ones.
    n_repeats : how often it was tried.
    power : share of p <= alpha, with its 95 % interval.
    """

    fault: str
    strength: float
    n_events: int
    n_repeats: int
    power: Share


@dataclass(frozen=True)
class SmallestFault:
    """The strength that is found with the wanted power, with its 95 % interval; infinite where it lies beyond the grid.

    `at_most` is true when even the weakest strength tried is found, so that `strength` is only an upper limit.
    """

    strength: float
    low: float
    high: float
    at_most: bool = False


@dataclass(frozen=True)
class PowerResult:
    """What a test finds.

    Parameters
    ----------
    points : The power at each fault, strength and size, in rising order of strength.
    sizes : The share of rejections without fault, at each number of events: the size of the test.
    faults : those that were planted.
    alpha : level of the test.
    seed : Seed of draws, faults and tests.
    """

    points: tuple[PowerPoint, ...]
    sizes: tuple[PowerPoint, ...]
    faults: Mapping[str, Fault]
    alpha: float
    seed: int

    def smallest(self, fault: str, n_events: int, *, power: float = TARGET) -> SmallestFault:
        """Return the strength of `fault` that is found with that power at `n_events` events."""
        points = [p for p in self.points if p.fault == fault and p.n_events == n_events]
        if not points:
            tried = sorted({(p.fault, p.n_events) for p in self.points})
            raise InputError(
                f"Expected a fault and a number of events of this study, got {fault!r} and {n_events}; "
                f"it holds {tried}. Ask for one of these."
            )
        strengths = [p.strength for p in points]
        value, low, high = (
            _crossing(strengths, [getattr(p.power, part) for p in points], power) for part in ("value", "high", "low")
        )
        return SmallestFault(value, low, high, at_most=value <= strengths[0])

    def sentence(self, fault: str, n_events: int, *, power: float = TARGET) -> str:
        """Return one sentence: what strength of `fault` is found at `n_events` events."""
        found, describe = self.smallest(fault, n_events, power=power), self.faults[fault].describe
        strongest = max(p.strength for p in self.points if p.fault == fault and p.n_events == n_events)
        if not math.isfinite(found.strength):
            return f"At {n_events:,} events even {describe(strongest)} is found with less than {power:.0%} power."
        least = "or less " if found.at_most else ""
        high = f"{found.high:.2g}" if math.isfinite(found.high) else "above the strongest tried"
        return (
            f"At {n_events:,} events {describe(found.strength)} {least}is found with {power:.0%} power "
            f"(95 % interval of the strength {found.low:.2g} to {high})."
        )

    def __str__(self) -> str:
        lines = [
            f"Without fault, {p.n_events:,} events: p <= {self.alpha:g} in {p.power} of {p.n_repeats} repeats."
            for p in self.sizes
        ]
        pairs = dict.fromkeys((p.fault, p.n_events) for p in self.points)
        return "\n".join([*lines, *(self.sentence(*pair) for pair in pairs)])


@checked
def power_study(
    real: ArrayLike,
    *,
    sizes: Sequence[Count],
    test: Test | None = None,
    faults: Mapping[str, Fault] = FAULTS,
    n_repeats: Count = 100,
    alpha: Level = 0.05,
    target: Level = TARGET,
    random_state: RandomState = None,
) -> PowerResult:
    """Plant faults in real events and count how often the test finds them.

    Parameters
    ----------
    real : (n, *event), at least twice the largest of `sizes`.
    sizes : numbers of real, and of generated, events given to the test.
    test : ``test(real, generated, seed) -> p``; None is `classifier_p`.
    faults : name -> `Fault`.
    n_repeats : Repeats of each strength; the standard error of a power is at most 1/(2 sqrt(n_repeats)).
    alpha : level of the test.
    target : strengths rise until the power is above this for sure.
    random_state : seed of draws, faults and tests.

    Raises
    ------
    InputError
        For too few real events, or an alpha outside (0, 1).
    """
    real = as_events(real, "real")
    if not len(sizes):
        raise InputError("Expected at least one size, got none. Give numbers of events, such as sizes=[500, 2000].")
    largest = max(sizes)
    if len(real) < 2 * largest:
        raise InputError(
            f"Expected at least {2 * largest} real events for samples of {largest}, got {len(real)}. Give more events, "
            "or smaller sizes."
        )
    seed, run = as_seed(random_state), test or classifier_p

    def point(name: str, plant: Plant | None, strength: float, n: int) -> PowerPoint:
        rejected = 0
        for i in range(n_repeats):
            own = child_seed(seed, name, repr(strength), n, i)
            rng = np.random.default_rng(own)
            order = rng.choice(len(real), min(len(real), 3 * n), replace=False)  # to spare: faults may lose events
            rest = real[order[n:]]
            generated = rest if plant is None else plant(rest, strength, rng)
            rejected += run(real[order[:n]], generated[:n], child_seed(own, "test")) <= alpha
        return PowerPoint(name, strength, n, n_repeats, Share.of(rejected, n_repeats))

    points = []
    for n in sizes:
        for name, fault in faults.items():
            for strength in sorted(fault.strengths):
                points.append(point(name, fault.plant, strength, n))
                if points[-1].power.low > target:
                    break
    return PowerResult(tuple(points), tuple(point("none", None, 0.0, n) for n in sizes), dict(faults), alpha, seed)


def classifier_p(real: np.ndarray, generated: np.ndarray, seed: int) -> float:
    """Return the p-value of the classifier test with boosted trees: the default test of a power study."""
    table = [events.reshape(len(events), -1) for events in (real, generated)]
    return separate(*table, names=[str(j) for j in range(table[0].shape[1])], seed=seed).p_value


def _crossing(strengths: Sequence[float], powers: Sequence[float], target: float) -> float:
    from sklearn.isotonic import isotonic_regression

    rising = isotonic_regression(np.asarray(powers, dtype=float))
    above = np.flatnonzero(rising >= target)
    if not len(above):
        return math.inf
    k = int(above[0])
    if k == 0:
        return float(strengths[0])
    share = (target - rising[k - 1]) / (rising[k] - rising[k - 1])
    return float(strengths[k - 1] * (strengths[k] / strengths[k - 1]) ** share)
