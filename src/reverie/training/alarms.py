"""Signs that training has gone wrong, each a rule over the findings of the checks so far.

S is the two-sample score of `reverie.training.scores` (0 for a perfect generator, about 1 where nothing
fits), D(x) and D(G) the mean outputs of the discriminator on held-out and generated rows, in [0, 1], and
"shares" are those of the samples in the regions of the data. Two words are used throughout:

    far        S > 0.05, and above 10 times what a perfect generator would scatter
    at rest    the last 6 checks show no progress over those before: neither has the least S fallen by a fifth
               (and by the scatter of a perfect generator's), nor the best coverage risen by 0.05

A run that is far but not at rest is learning; none of the first three alarms disturbs it.

    discriminator too strong   D(x) - D(G) > 0.5 and far, and at rest or the gradient that reaches the
                               generator is below 1 % of its largest value so far
    generator winning          D(x) - D(G) < 0.05 while far and at rest: D cannot tell what S can
    mode collapse              the generator is at rest, S is five times its scatter, and regions that
                               hold 10 % of the data get less than a fifth of their share, or fewer than
                               45 % of the held-out rows have a sample among their neighbours; unless one
                               of the two above holds and fewer than half of the samples are plausible:
                               then they are no part of the data, and the cause lies deeper
    oscillation                over 6 checks at rest the samples of one and the same noise move between the
                               regions as much as they differ from the data: 15 % of them or more, and
                               0.6 times the distance to the data's shares
    memorisation               D ranks training rows above held-out ones with an AUC above 0.8 (and 4 standard
                               deviations): it knows them by heart and pulls the samples onto them. Or 25 % of
                               the samples, where 5 % are expected, lie as close to a training row, and the
                               nearest real row is a training row too often (3 standard deviations)
    non-finite values          a sample, an output of D or the generator's gradient is NaN or infinite

A rule must hold at `PERSISTENCE` checks in a row, none of them among the first 5, and then fires once; it is
armed again after as many checks without it. The numbers were chosen on development runs; measured rates of
detection and false alarm stand in docs/theory/health.md.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

__all__ = ["KINDS", "PERSISTENCE", "REMEDIES", "RULES", "WARM_UP", "Alarm", "Finding", "is_at_rest", "is_far"]

WARM_UP = 5
_WINDOW = 6
_FAR, _FAR_WIDTHS = 0.05, 10.0
_LEAST_DROP, _LEAST_RISE = 0.2, 0.05
_SURE, _UNSURE, _VANISHED = 0.5, 0.05, 0.01
_LOST, _UNCOVERED, _PLAUSIBLE, _SEEN_WIDTHS = 0.10, 0.45, 0.5, 5.0
_MOVED, _MOVED_OF_DISTANCE = 0.15, 0.6
_CLOSE, _COPY_Z, _MEMORY_Z, _MEMORY_AUC = 0.25, 3.0, 4.0, 0.8

REMEDIES = {
    "mode collapse": (
        "Use objective='relativistic' with its penalty, equal learning rates of both players and more noise "
        "dimensions (n_noise)."
    ),
    "discriminator too strong": (
        "Raise penalty_weight, lower discriminator_learning_rate or n_critic, and prefer objective='relativistic' "
        "or 'non_saturating' to 'minimax'."
    ),
    "generator winning": (
        "Raise discriminator_learning_rate or n_critic, lower penalty_weight, or give the discriminator more units."
    ),
    "oscillation": (
        "Lower the learning rates, take betas=(0.0, 0.99), raise penalty_weight, and keep ema_decay near 0.999."
    ),
    "non-finite values": "Lower the learning rates, raise penalty_weight, or look for extreme values in the data.",
    "memorisation": (
        "Give more training events, raise penalty_weight, use smaller networks or fewer steps; the best state by "
        "held-out score is the one to keep."
    ),
}
KINDS = tuple(REMEDIES)
PERSISTENCE = {kind: 3 for kind in KINDS} | {"oscillation": 2, "non-finite values": 1}


@dataclass(frozen=True)
class Alarm:
    """One sign of trouble.

    Attributes
    ----------
    kind : one of `KINDS`.
    step : steps taken when it was raised.
    evidence : what was seen, with numbers.
    remedy : what to do.
    """

    kind: str
    step: int
    evidence: str
    remedy: str

    def to_json(self) -> dict[str, object]:
        """Return kind, step, evidence and remedy by name."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.kind} at step {self.step}: {self.evidence} {self.remedy}"


@dataclass(frozen=True)
class Finding:
    """The numbers of one check, without verdict.

    Attributes
    ----------
    step : steps taken.
    score, error, width : S, its standard error, and the scatter of S of a perfect generator.
    coverage : share of held-out rows with a sample in their neighbourhood, over its expectation.
    plausible : share of samples in the neighbourhood of a held-out row.
    lost : share of the data in regions that get less than a fifth of it.
    n_lost, n_regions : how many regions these are, and how many there are.
    distance, moved : total variation between the shares of the samples and those of the data; and those of
        the check before.
    d_real, d_fake : D(x) and D(G), in [0, 1].
    auc, auc_memory : probability that D ranks a held-out row above a generated one; a training row above a
        held-out one.
    memory_z : the latter's distance from 1/2 in standard deviations.
    gradient : mean norm of the generator's gradient per sample.
    close, excess, copies_z : see `reverie.training.reference.Measures`.
    """

    step: int
    score: float
    error: float
    width: float
    coverage: float
    plausible: float
    lost: float
    n_lost: int
    n_regions: int
    distance: float
    moved: float
    close: float
    excess: float
    copies_z: float
    d_real: float = math.nan
    d_fake: float = math.nan
    auc: float = math.nan
    auc_memory: float = math.nan
    memory_z: float = math.nan
    gradient: float = math.nan


Findings = Sequence[Finding]


def is_far(finding: Finding) -> bool:
    """Tell whether the samples are plainly not those of the data."""
    return finding.score > max(_FAR, _FAR_WIDTHS * finding.width)


def is_at_rest(findings: Findings) -> bool:
    """Tell whether neither score nor coverage has made progress in the last six checks."""
    before, last = findings[:-_WINDOW], findings[-_WINDOW:]
    if not before:
        return False
    least = min(f.score for f in before)
    drop = least - min(f.score for f in last)
    rise = max(f.coverage for f in last) - max(f.coverage for f in before)
    return drop < max(_LEAST_DROP * least, last[-1].width) and rise < _LEAST_RISE


def too_strong(findings: Findings) -> str | None:
    """Return the evidence that the discriminator leaves the generator nothing to learn from, or None."""
    now, largest = findings[-1], max(f.gradient for f in findings)
    vanished = now.gradient < _VANISHED * largest
    if now.d_real - now.d_fake < _SURE or not is_far(now) or not (vanished or is_at_rest(findings)):
        return None
    return (
        f"The discriminator gives held-out events {now.d_real:.2f} and generated ones {now.d_fake:.2f}, the "
        f"generator's gradient is {now.gradient / max(largest, 1e-300):.1%} of its largest, and the score stays "
        f"at {now.score:.3g} (a perfect generator: 0 ± {now.width:.1g})."
    )


def generator_wins(findings: Findings) -> str | None:
    """Return the evidence that the discriminator does not see what is wrong, or None."""
    now = findings[-1]
    if now.d_real - now.d_fake > _UNSURE or not is_far(now) or not is_at_rest(findings):
        return None
    return (
        f"The discriminator gives generated events {now.d_fake:.2f} and held-out ones {now.d_real:.2f}, though the "
        f"score is {now.score:.3g} (a perfect generator: 0 ± {now.width:.1g}) and no longer falls."
    )


def collapsed(findings: Findings) -> str | None:
    """Return the evidence that part of the data is not generated, or None."""
    now = findings[-1]
    poor = now.lost >= _LOST or now.coverage < _UNCOVERED
    if not poor or not is_at_rest(findings) or now.score < _SEEN_WIDTHS * now.width:
        return None
    if now.plausible < _PLAUSIBLE and (too_strong(findings) is not None or generator_wins(findings) is not None):
        return None
    return (
        f"{now.n_lost} of {now.n_regions} regions, with {now.lost:.0%} of the events, are all but empty, and "
        f"{now.coverage:.0%} of the held-out events are covered (a perfect generator: 100%)."
    )


def oscillates(findings: Findings) -> str | None:
    """Return the evidence that the generator moves without getting nearer, or None."""
    if not is_at_rest(findings):
        return None
    now, last = findings[-1], findings[-_WINDOW:]
    moved, distance = (sum(values) / _WINDOW for values in ([f.moved for f in last], [f.distance for f in last]))
    if moved < max(_MOVED, _MOVED_OF_DISTANCE * distance) or now.score < _SEEN_WIDTHS * now.width:
        return None
    return (
        f"Between two checks {moved:.0%} of the samples change their region, while {distance:.0%} would have to "
        f"for the shares of the data, and the score has not improved for {_WINDOW} checks."
    )


def memorised(findings: Findings) -> str | None:
    """Return the evidence that training events are learnt by heart or copied, or None."""
    now = findings[-1]
    copied = now.close > _CLOSE and now.copies_z > _COPY_Z
    by_heart = now.auc_memory > _MEMORY_AUC and now.memory_z > _MEMORY_Z
    if not (copied or by_heart):
        return None
    return (
        f"The discriminator ranks training events above held-out ones with an AUC of {now.auc_memory:.2f} (0.5 if it "
        f"did not know them), {now.close:.0%} of the samples lie as close to a training event as 5% of these do to "
        f"each other, and their nearest real event is a training event {now.excess:+.1%} more often than by chance."
    )


RULES: dict[str, Callable[[Findings], str | None]] = {
    "discriminator too strong": too_strong,
    "generator winning": generator_wins,
    "mode collapse": collapsed,
    "oscillation": oscillates,
    "memorisation": memorised,
}
