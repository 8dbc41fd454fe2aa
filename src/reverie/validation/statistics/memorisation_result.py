"""What a memorisation test found: a frozen result that speaks and travels as JSON."""

import math
from dataclasses import dataclass
from typing import Any

from scipy.stats import hypergeom

from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.proportions import percent
from reverie.validation.results.serialisation import from_plain, to_plain

__all__ = ["NEAR", "MemorisationResult", "NearCopy"]

NEAR = 0.01  # quantile of the distances of held-out events to training events, below which an event is near


@dataclass(frozen=True)
class NearCopy:
    """A generated event and the training event nearest to it.

    Parameters
    ----------
    generated, train : Row numbers of the generated and of the training event.
    distance : Their distance, in units of the spread of real events.
    """

    generated: int
    train: int
    distance: float


@dataclass(frozen=True)
class MemorisationResult:
    """What the comparison with training and held-out events found.

    Parameters
    ----------
    p_value : exact, of the three exchange statistics together (min-P).
    share, share_error, share_expected, share_p : Share of generated events that are nearest to a training event, its
        error, its expectation without copying, and its p-value.
    weighted_share, weighted_p : the same, weighted by log(d2 / d1).
    closest_share, closest_p, n_closest : the share among the 0.1 % closest events, at least 10.
    near, near_low, near_high : share of generated events closer to a training event than all but 1 % of the held-out
        ones, with its 95 % interval.
    near_distance : that distance.
    c_t, c_t_spread, c_t_p : C_T, its standard deviation without copying, asymptotic p; None where cells are too small.
    authenticity, authenticity_holdout : Authenticity of generated and of held-out events.
    duplicates, duplicates_holdout : events within `tolerance` of a training event.
    closest : the closest pairs, nearest first.
    n_train, n_holdout, n_generated, n_permutations, block, tolerance, seed : sizes and settings.
    """

    p_value: float
    share: float
    share_error: float
    share_expected: float
    share_p: float
    weighted_share: float
    weighted_p: float
    closest_share: float
    closest_p: float
    n_closest: int
    near: float
    near_low: float
    near_high: float
    near_distance: float
    c_t: float | None
    c_t_spread: float | None
    c_t_p: float | None
    authenticity: float
    authenticity_holdout: float
    duplicates: int
    duplicates_holdout: int
    closest: tuple[NearCopy, ...]
    n_train: int
    n_holdout: int
    n_generated: int
    n_permutations: int
    block: int
    tolerance: float
    seed: int
    alpha: float = 0.05

    @property
    def memorised(self) -> bool:
        """Whether the exchange test rejects at level `alpha`."""
        return self.p_value <= self.alpha

    @property
    def near_p(self) -> float:
        """Chance of so many generated events closer to training events than `near_distance`, without copies.

        Exact: that distance lies between the r-th and the next of the h held-out distances, r = 1 + 1 % of h - 1. Of
        the k + r closest of both samples together at most r are then held-out events.
        """
        below, k = 1 + math.floor(NEAR * (self.n_holdout - 1)), round(self.near * self.n_generated)
        return float(hypergeom.cdf(below, self.n_generated + self.n_holdout, self.n_holdout, k + below)) if k else 1.0

    @property
    def duplicates_p(self) -> float:
        """Fisher's exact test, one-sided: small if the rate of duplicates is higher in generated than held-out."""
        both, everything = self.duplicates + self.duplicates_holdout, self.n_generated + self.n_holdout
        return float(hypergeom.sf(self.duplicates - 1, everything, both, self.n_generated))

    @property
    def measured_share(self) -> Measured:
        """Share of generated events nearest to a training event, with error."""
        return Measured(self.share, self.share_error, self.n_generated)

    @property
    def verdict(self) -> str:
        """One sentence: memorised or not, with the p-value."""
        p = f"p = {self.p_value:.2g}, {self.n_permutations} permutations"
        if self.memorised and min(self.near_p, self.duplicates_p) <= self.alpha / 2:
            return f"Generated events lie too close to training events: some are copied ({p})."
        if self.memorised:
            return (
                f"Generated events lie nearer to training than to held-out events, though not as near as copies ({p}): "
                "the model has begun to learn its training events by heart."
            )
        return f"No sign that training events were copied at this size ({p})."

    def __str__(self) -> str:
        lines = [self.verdict, _share_sentence(self), _near_sentence(self), _duplicate_sentence(self)]
        if self.c_t is not None:
            lines.append(
                f"C_T = {self.c_t:.2f} ± {self.c_t_spread:.2f}, 0 without copying, below 0 with it (p = "
                f"{self.c_t_p:.2g})."
            )
        lines.append(
            f"Authenticity: {percent(self.authenticity)} of generated events, {percent(self.authenticity_holdout)} of "
            "held-out events."
        )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, numbers and strings."""
        return to_plain(self) | {"verdict": self.verdict, "memorised": self.memorised}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "MemorisationResult":
        """Return the result that `to_json` wrote.

        Raises
        ------
        InputError
            When keys are missing or unknown.
        """
        try:
            return from_plain(cls, content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(
                f"Expected the content of a memorisation result, got something else ({error}). Run it again."
            ) from None


def _share_sentence(result: MemorisationResult) -> str:
    return (
        f"{percent(result.share)} ± {percent(result.share_error)} of generated events lie nearer to a training event "
        f"than to any held-out one; a model that has not memorised gives {percent(result.share_expected)} "
        f"(p = {result.share_p:.2g}). Of the {result.n_closest:,} closest it is {percent(result.closest_share)} "
        f"(p = {result.closest_p:.2g})."
    )


def _near_sentence(result: MemorisationResult) -> str:
    return (
        f"{percent(result.near)} of generated events ({percent(result.near_low)} to {percent(result.near_high)}) lie "
        f"closer to a training event than 99 % of held-out events do; a model that has not memorised gives 1 %."
    )


def _duplicate_sentence(result: MemorisationResult) -> str:
    return (
        f"{result.duplicates:,} of {result.n_generated:,} generated and {result.duplicates_holdout:,} of "
        f"{result.n_holdout:,} held-out events equal a training event (within {result.tolerance:g} of the spread), "
        f"{percent(result.duplicates / result.n_generated)} and "
        f"{percent(result.duplicates_holdout / result.n_holdout)}."
    )
