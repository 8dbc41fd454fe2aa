"""What is wrong, in sentences: each test that distinguishes says what it saw, the strongest first.

    kind            said when                                              sentence
    constraint      generated events break what all real ones obey         which, how many
    region          k-means bins differ, and a bin after Holm's correction  where events are missing or too many
    shape           KS or Anderson-Darling of a feature                     moved, wider, narrower
    tails           the outer 2 % of a feature                              shares beyond
    feature         the largest change of a mean or width among all        the feature, by how much
    correlation     the correlation test                                    the pair that changed most
    observable      the mean of an observable                               both means, with errors
    outside         precision                                               share far from all real events
    variety         recall                                                  share that the generated balls do not reach
    coverage        coverage                                                share of real events that nothing resembles
    range           the classifier                                          ranges of features with too many, too few
    structure       only tests of all features together                     which of them

Which statistic supports which kind stands in its row (`reverie.validation.statistics.registry`). Several tests see the
same fault. A sentence stands here when the global p-value is below the level of the validation and so is that of its
own test, corrected for the others of its family.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reverie.validation.classifiers.regions import Region
from reverie.validation.results.tests import TestResult
from reverie.validation.statistics.constraints import ConstraintResult
from reverie.validation.statistics.observables import ObservableMeans
from reverie.validation.statistics.occupancy import Occupancy
from reverie.validation.statistics.registry import CHECKS

__all__ = ["Finding", "find"]

_MOST = 3  # sentences of one kind
_FEW = 0.3  # generated share over real share below which events are said to be missing
_KINDS = (  # in the order in which equally strong ones are told
    "constraint",
    "region",
    "shape",
    "tails",
    "feature",
    "correlation",
    "observable",
    "outside",
    "variety",
    "coverage",
    "range",
    "structure",
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Parameters
    ----------
    kind : A kind of the table in the module.
    sentence : What was seen, with numbers.
    p_adjusted : The adjusted p-value of the test behind it.
    strength : How far that test lies from chance, in half widths of its band; inf for a broken constraint.
    """

    kind: str
    sentence: str
    p_adjusted: float
    strength: float

    def __str__(self) -> str:
        return self.sentence


def find(
    checks: Sequence[TestResult],
    *,
    constraints: Sequence[ConstraintResult] = (),
    regions: Occupancy | None = None,
    observables: Sequence[ObservableMeans] = (),
    boxes: Sequence[Region] = (),
    alpha: float = 0.05,
) -> tuple[Finding, ...]:
    """Return what is wrong, the strongest kind first; nothing when no test distinguishes."""
    seen = [check for check in checks if check.distinguishes]
    broken = [one for one in constraints if one.p_adjusted <= alpha]
    findings = [Finding("constraint", str(one), one.p_adjusted, math.inf) for one in broken[:_MOST]]
    by_kind: dict[str, dict[str | None, TestResult]] = {}  # the first test of each feature
    for check in seen:
        if check.name in CHECKS:
            by_kind.setdefault(CHECKS[check.name].finding, {}).setdefault(check.feature, check)
    for kind, tests in by_kind.items():
        if kind == "region" and regions is not None:
            check = next(iter(tests.values()))
            for region in regions.worst[:_MOST]:
                is_hole = region.z < 0 and region.generated < _FEW * region.real
                too = "too many" if region.z > 0 else "too few"
                how = "Generated events are missing" if is_hole else f"There are {too} generated events"
                findings.append(Finding(kind, f"{how}: {region}.", check.p_adjusted, check.excess))
        for check in sorted(tests.values(), key=lambda c: -c.excess)[:_MOST]:
            if sentence := _sentence(kind, check):
                findings.append(Finding(kind, sentence, check.p_adjusted, check.excess))
    for one in [one for one in observables if one.distinguishes][:_MOST]:
        findings.append(Finding("observable", str(one), one.p_adjusted, float(np.abs(one.deviations).max()) / 1.64))
    findings += [Finding("range", f"{box}.", box.p_adjusted, abs(box.z) / 1.96) for box in boxes[:_MOST]]
    if not findings and seen:
        names = ", ".join(dict.fromkeys(check.name for check in seen))
        sentence = f"Single features and their correlations agree; the samples differ in finer structure ({names})."
        first = min(seen, key=lambda c: c.p_adjusted)
        findings = [Finding("structure", sentence, first.p_adjusted, first.excess)]
    strongest = {one.kind: max(other.strength for other in findings if other.kind == one.kind) for one in findings}
    return tuple(sorted(findings, key=lambda one: (-strongest[one.kind], _KINDS.index(one.kind))))


def _sentence(kind: str, check: TestResult) -> str:
    """Return what a test saw; "" for nothing to say."""
    if kind == "shape":
        how = f": generated {check.detail}" if check.detail else ", in shape rather than place or width"
        return f"{check.feature} differs ({check.name} {check.value:.3g}, chance up to {check.noise_high:.3g}){how}."
    if kind == "tails":
        return f"Tails of {check.feature}: {check.detail}."
    if kind == "feature":
        return (
            f"Among all features {check.detail} (a change of {check.value:.2g} standard deviations, by chance up to "
            f"{check.noise_high:.2g})."
        )
    if kind == "correlation":
        return f"Correlations changed, most of all the {check.detail}."
    if kind not in ("outside", "variety", "coverage"):
        return ""
    beside = "" if check.real_vs_real is None else f", real against real {check.real_vs_real:.3f}"
    chance = 0.5 * (check.noise_low + check.noise_high)
    lost = max(0.0, (chance if check.real_vs_real is None else check.real_vs_real) - check.value)
    numbers = f"({check.name} {check.value:.3f}{beside})"
    if check.name == "precision":
        return (
            f"About {lost:.1%} of generated events lie where real ones are all but absent: outside every ball from "
            f"a real event to its fifth nearest real one {numbers}."
        )
    if lost <= 0:
        return ""
    if check.name == "coverage":
        return (
            f"About {lost:.1%} of real events have no generated ones about them: none within the distance to the "
            f"fifth nearest real one {numbers}."
        )
    return (
        f"About {lost:.1%} of real events lie outside every ball from a generated event to its fifth nearest "
        f"generated one {numbers}: the generated events spread over less than the real ones do."
    )
