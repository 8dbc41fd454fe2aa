"""The health of a model without an opponent: its loss on held-out rows, and its samples against them.

At a check the model gives its loss on each held-out row (nats where it has a likelihood), samples, or both
(`Observation`). `Monitor` says

    improved     whether this state is to be kept: the least mean loss so far, of weighted rows the weighted mean,
                 or without losses the least score of the samples (`reverie.training.scores`, 0 for a perfect generator)
    alarms       signs that have lasted for three checks:
                 overfitting          the losses lie above those of the best state by more than 4 standard errors
                                      of the mean of their differences, row by row, and of what they share
                 getting worse        the same, but at least half of the rise is met on training rows too
                 far from the data    the samples are far (`reverie.training.alarms`), and at rest
                 lost regions         regions with 10 % of the data get less than a fifth of their share, at rest
                 and what the model itself has noticed

Losses are compared row by row, since they scatter far more between events than between states.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from reverie.core.measured import measured_mean
from reverie.training.alarms import WARM_UP, Alarm, Finding, is_at_rest, is_far
from reverie.training.health import Check
from reverie.training.reference import HealthReference

__all__ = ["Check", "Monitor", "Observation", "kind_of_rise"]

_PERSISTENCE = 3
_OVERFITTED = 4.0  # standard errors of a paired difference
_EMPTY, _RARE, _LOST, _SEEN_WIDTHS = 0.2, 8.0, 0.10, 5.0  # as in `reverie.training.alarms`
_REMEDIES = {
    "overfitting": "Use fewer steps, a smaller model or more weight decay; the best state by held-out loss is kept.",
    "getting worse": "Lower the learning rate, or give chains more sweeps; the best state by held-out loss is kept.",
    "far from the data": "Train for more steps, raise the learning rate, or give the model more units.",
    "lost regions": "Train for more steps, or give the model more units and its chains more steps.",
    "non-finite values": "Lower the learning rate, or look for extreme values in the data.",
}


@dataclass(frozen=True)
class Observation:
    """What a check looks at.

    Attributes
    ----------
    step : steps taken.
    losses : (m,) loss of each held-out row, lower is better, not weighted: the monitor weighs. None without them.
    common_error : error that all losses share, such as that of a log Z.
    gap : mean loss of held-out rows minus that of training rows, both weighted, in which a log Z cancels; None where it
        is unknown.
    generated : (n, d) samples as features; None without them.
    scalars : further numbers for the history, by name.
    signs : what the model finds wrong itself: kind -> (evidence, remedy).
    """

    step: int
    losses: Tensor | None = None
    common_error: float = 0.0
    gap: float | None = None
    generated: Tensor | None = None
    scalars: Mapping[str, float] = field(default_factory=dict)
    signs: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def culprit(self) -> str | None:
        """Name what is not finite, or None."""
        parts = {"the held-out loss": self.losses, "the samples": self.generated}
        bad = (name for name, x in parts.items() if x is not None and not bool(torch.isfinite(x).all()))
        return next(bad, None)


class Monitor:
    """Follows one model from check to check.

    Parameters
    ----------
    reference : prepared held-out and training rows, or None where samples are not looked at.
    weight : (m,) event weights of the held-out rows, by which their losses are weighted; None for all alike.
    """

    def __init__(self, reference: HealthReference | None, weight: Tensor | None = None) -> None:
        self.reference = reference
        self._weight = None if weight is None else weight.double().cpu().numpy()
        self._findings: list[Finding] = []
        self._best: Tensor | None = None
        self._best_error = 0.0
        self._best_gap: float | None = None
        self._least = math.inf
        self._lasted: dict[str, int] = {}

    def check(self, seen: Observation) -> Check:
        """Return what is seen of the model at this check."""
        culprit = seen.culprit()
        if culprit is not None:
            alarms = self._raised(seen.step, {"non-finite values": (f"NaN or infinite: {culprit}.", "")}, after=1)
            return Check(dict(seen.scalars), alarms, improved=False, at_equilibrium=False, healthy=False)
        scalars, signs = dict(seen.scalars), dict(seen.signs)
        if seen.generated is not None and self.reference is not None:
            scalars |= self._compare(self.reference, seen.step, seen.generated, signs)
        if seen.losses is not None:
            scalars |= self._weigh(seen.losses.double().cpu(), seen, signs)
        value = scalars.get("held_out_loss", scalars.get("score", math.inf))
        improved = value < self._least
        if improved:
            self._least = value
            self._best = None if seen.losses is None else seen.losses.double().cpu().clone()
            self._best_error, self._best_gap = seen.common_error, seen.gap
        alarms = self._raised(seen.step, signs, after=_PERSISTENCE)
        scalars["kept"] = float(improved)
        return Check(scalars, alarms, improved, at_equilibrium=False, healthy=not signs)

    def restart(self) -> None:
        """Judge afresh, since training went back to an earlier state; what is best is kept."""
        self._findings, self._lasted = [], {}

    def _compare(
        self, reference: HealthReference, step: int, generated: Tensor, signs: dict[str, tuple[str, str]]
    ) -> dict[str, float]:
        measures, n = reference.measure(generated), len(generated)
        p, q = reference.regions.shares, measures.shares
        lost = (q < _EMPTY * p) & (n * p >= _RARE)
        scored = {"score": measures.score.value, "error": measures.score.error, "width": reference.null_width(n)}
        parts = {"coverage": measures.coverage, "plausible": measures.plausible, "lost": float(p[lost].sum())}
        self._findings.append(_finding(step, scored | parts, n_lost=int(lost.sum()), n_regions=len(p)))
        if len(self._findings) > WARM_UP and is_at_rest(self._findings):
            signs.update(_signs_of(self._findings[-1]))
        of_score = {"score_error": scored["error"], "score_width": scored["width"]}
        return {"score": scored["score"], **of_score, "score_real": reference.real_against_real, **parts}

    def _weigh(self, losses: Tensor, seen: Observation, signs: dict[str, tuple[str, str]]) -> dict[str, float]:
        found = measured_mean(losses.numpy(), self._weight)
        if self._best is not None and len(losses) > 1:
            excess = measured_mean((losses - self._best).numpy(), self._weight)
            z = excess.value / max(math.hypot(excess.error, seen.common_error, self._best_error), 1e-12)
            if z > _OVERFITTED:
                said = f"The held-out loss is {found.value:.4g}, {excess.value:.2g} above its best ({z:.0f} errors)."
                signs[kind_of_rise(excess.value, seen.gap, self._best_gap)] = (said, "")
        return {"held_out_loss": found.value, "held_out_error": found.error}

    def _raised(self, step: int, signs: Mapping[str, tuple[str, str]], *, after: int) -> tuple[Alarm, ...]:
        """Count how long each sign has lasted; return the alarms of those that have just lasted long enough."""
        self._lasted = {kind: self._lasted.get(kind, 0) + 1 for kind in signs}
        due = {kind: said for kind, said in signs.items() if self._lasted[kind] == after}
        return tuple(Alarm(kind, step, evidence, remedy or _REMEDIES[kind]) for kind, (evidence, remedy) in due.items())

    def state_dict(self) -> dict[str, Any]:
        """Return what an exact resume needs, tensors and plain numbers; the reference is made anew."""
        return {
            "findings": [asdict(finding) for finding in self._findings],
            "best": self._best,
            "best_error": self._best_error,
            "best_gap": self._best_gap,
            "least": self._least,
            "lasted": dict(self._lasted),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state of a monitor of the same reference."""
        self._findings = [Finding(**finding) for finding in state["findings"]]
        self._best, self._best_error, self._best_gap = state["best"], state["best_error"], state["best_gap"]
        self._least = state["least"]
        self._lasted = dict(state["lasted"])


def kind_of_rise(excess: float, gap: float | None, gap_then: float | None) -> str:
    """Return "getting worse" where training rows share at least half of a rise of the held-out loss, or "overfitting".

    Parameters
    ----------
    excess : the rise since the best state.
    gap, gap_then : held-out minus training loss now and in the best state, None where it is unknown.
    """
    shared = gap is not None and gap_then is not None and gap - gap_then <= excess / 2
    return "getting worse" if shared else "overfitting"


def _finding(step: int, measured: Mapping[str, float], *, n_lost: int, n_regions: int) -> Finding:
    """Return the numbers of a check; those of a game that is not played are NaN."""
    absent = ("distance", "moved", "d_real", "d_fake", "auc", "auc_memory", "memory_z", "gradient", "close", "excess")
    unknown = dict.fromkeys((*absent, "copies_z"), math.nan)
    return Finding(step=step, n_lost=n_lost, n_regions=n_regions, **measured, **unknown)  # pyright: ignore[reportArgumentType]


def _signs_of(now: Finding) -> dict[str, tuple[str, str]]:
    """Return what is wrong with samples that no longer get better."""
    signs = {}
    if is_far(now):
        said = f"The score of the samples stays at {now.score:.3g} (a perfect generator: 0 ± {now.width:.1g})."
        signs["far from the data"] = (said, "")
    if now.lost >= _LOST and now.score > _SEEN_WIDTHS * now.width:
        said = f"{now.n_lost} of {now.n_regions} regions, with {now.lost:.0%} of the events, are all but empty."
        signs["lost regions"] = (said, "")
    return signs
