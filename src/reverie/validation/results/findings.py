"""What is wrong, in sentences: each test that distinguishes says what it saw, the strongest first.

    kind            said when                                              sentence
    constraint      generated events break what all real ones obey         which, how many
    region          k-means bins differ, and a bin after Holm's correction  where events are missing or too many
    shape           KS or Anderson-Darling of a feature                     moved, wider, narrower
    tails           the outer 2 % of a feature                              shares beyond
    correlation     the correlation test                                    the pair that changed most
    observable      the mean of an observable                               both means, with errors
    outside         precision                                               share far from all real events
    coverage        coverage                                                share of real events that nothing resembles
    variety         recall                                                  share that the generated balls do not reach
    range           the classifier                                          ranges of features with too many, too few
    structure       only tests of all features together                     which of them

Several tests see the same fault. A sentence stands here when the global p-value is below the level of the validation
and so is that of its own test, corrected for the others of its family.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from reverie.validation.classifiers.regions import Region as Box
    from reverie.validation.results.result import TestResult
    from reverie.validation.statistics.constraints import ConstraintResult
    from reverie.validation.statistics.observables import ObservableMeans
    from reverie.validation.statistics.occupancy import Occupancy, Region

__all__ = ["Finding", "find"]

_MOST = 3  # sentences of one kind
_FEW = 0.3  # generated share over real share below which events are said to be missing


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Parameters
    ----------
    kind : of the table in the module.
    sentence : what was seen, with numbers.
    p_adjusted : of the test behind it.
    strength : how far that test lies from chance, in half widths of its band; inf for a broken constraint.
    """

    kind: str
    sentence: str
    p_adjusted: float
    strength: float

    def __str__(self) -> str:
        return self.sentence


def find(
    checks: Sequence["TestResult"],
    *,
    constraints: Sequence["ConstraintResult"] = (),
    regions: "Occupancy | None" = None,
    observables: Sequence["ObservableMeans"] = (),
    boxes: Sequence["Box"] = (),
    alpha: float = 0.05,
) -> tuple[Finding, ...]:
    """Return what is wrong, the strongest kind first; nothing when no test distinguishes."""
    seen = [check for check in checks if check.distinguishes]
    broken = [one for one in constraints if one.p_adjusted <= alpha]
    found = [Finding("constraint", str(one), one.p_adjusted, math.inf) for one in broken][:_MOST]
    found += _of_regions(seen, regions)
    found += _of_features(seen)
    found += [
        _finding("correlation", c, f"Correlations changed, most of all the {c.detail}.") for c in seen if _pair(c)
    ]
    found += [
        Finding("observable", str(one), one.p_adjusted, float(np.abs(one.deviations).max()) / 1.64)
        for one in observables
        if one.distinguishes
    ][:_MOST]
    found += _of_neighbourhoods(seen)
    found += [Finding("range", f"{box}.", box.p_adjusted, abs(box.z) / 1.96) for box in boxes[:_MOST]]
    if not found and seen:
        names = ", ".join(dict.fromkeys(check.name for check in seen))
        sentence = f"Single features and their correlations agree; the samples differ in finer structure ({names})."
        found = [_finding("structure", min(seen, key=lambda c: c.p_adjusted), sentence)]
    strongest = {one.kind: max(other.strength for other in found if other.kind == one.kind) for one in found}
    return tuple(sorted(found, key=lambda one: -strongest[one.kind]))


def _finding(kind: str, check: "TestResult", sentence: str) -> Finding:
    return Finding(kind, sentence, check.p_adjusted, check.excess)


def _pair(check: "TestResult") -> bool:
    return check.name == "correlation difference"


def _of_regions(seen: Sequence["TestResult"], regions: "Occupancy | None") -> list[Finding]:
    bins = [check for check in seen if check.name == "bins"]
    if not bins or regions is None:
        return []
    return [_finding("region", bins[0], _region_sentence(region)) for region in regions.worst[:_MOST]]


def _region_sentence(region: "Region") -> str:
    if region.z < 0 and region.generated < _FEW * region.real:
        how = "Generated events are missing"
    else:
        how = "There are too many generated events" if region.z > 0 else "There are too few generated events"
    return f"{how}: {region}."


def _of_features(seen: Sequence["TestResult"]) -> list[Finding]:
    shapes: dict[str, TestResult] = {}
    for name in ("KS", "Anderson-Darling"):
        for check in seen:
            if check.name == name and check.feature is not None:
                shapes.setdefault(check.feature, check)
    worst = sorted(shapes.values(), key=lambda c: -c.excess)[:_MOST]
    found = [_finding("shape", check, _shape_sentence(check)) for check in worst]
    tails = sorted((c for c in seen if c.name == "tails"), key=lambda c: -c.excess)[:_MOST]
    return found + [_finding("tails", c, f"Tails of {c.feature}: {c.detail}.") for c in tails]


def _shape_sentence(check: "TestResult") -> str:
    how = f": generated {check.detail}" if check.detail else ", in shape rather than place or width"
    return f"{check.feature} differs ({check.name} {check.value:.3g}, chance up to {check.noise_high:.3g}){how}."


def _of_neighbourhoods(seen: Sequence["TestResult"]) -> list[Finding]:
    found = []
    for check in seen:
        beside = "" if check.real_vs_real is None else f", real against real {check.real_vs_real:.3f}"
        chance = 0.5 * (check.noise_low + check.noise_high)
        lost = max(0.0, (chance if check.real_vs_real is None else check.real_vs_real) - check.value)
        numbers = f"({check.name} {check.value:.3f}{beside})"
        if check.name == "precision":
            sentence = (
                f"About {lost:.1%} of generated events lie where real ones are all but absent: outside every ball from "
                f"a real event to its fifth nearest real one {numbers}."
            )
            found.append(_finding("outside", check, sentence))
        elif check.name == "coverage" and lost > 0:
            sentence = (
                f"About {lost:.1%} of real events have no generated ones about them: none within the distance to the "
                f"fifth nearest real one {numbers}."
            )
            found.append(_finding("coverage", check, sentence))
        elif check.name == "recall" and lost > 0:
            sentence = (
                f"About {lost:.1%} of real events lie outside every ball from a generated event to its fifth nearest "
                f"generated one {numbers}: the generated events spread over less than the real ones do."
            )
            found.append(_finding("variety", check, sentence))
    return found
