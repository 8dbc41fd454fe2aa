"""The health of a generator during training, judged on held-out rows.

At a check the averaged generator draws samples, always from the same noise, and the discriminator answers
on held-out, generated and training rows (`Evidence`). `HealthMonitor` measures them against a
`HealthReference`, and says (`Check`)

    alarms           signs of failure that have lasted, from the rules of `reverie.training.alarms`
    improved         whether this state is to be kept as the best so far
    at_equilibrium   whether training may end

Best state. With S_min the least score so far, a state is kept when S <= S_min + e, where e is the standard
error of the *difference* of the two scores over the same held-out rows and noise. So the latest of all
states that cannot be told from the best is kept: among many noisy scores the least one is partly luck, and
what the score does not resolve still improves while the learning rate falls ("one standard error rule",
Breiman et al. 1984). The bound does not creep, since S_min only falls.

Equilibrium. D(x) and D(G) within 0.05 of 1/2; no score below S_a - e in the last `patience` checks, S_a the score
at the last such gain, so that slow gains add up, and e no less than the scatter of a perfect generator's
score; the run is at rest and the samples are not far from the data, as `reverie.training.alarms` has it; and
no sign of failure holds.
D near 1/2 alone is no equilibrium: a blind discriminator gives it at once.

All numbers are plain, the state of a monitor is tensors and numbers, and a resumed run gives the same checks.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from reverie.core.statistics import auc
from reverie.training.alarms import PERSISTENCE, REMEDIES, RULES, WARM_UP, Alarm, Finding, is_at_rest, is_far
from reverie.training.finite import first_non_finite
from reverie.training.reference import HealthReference, Measures
from reverie.training.scores import Score

__all__ = ["Alarm", "Check", "Evidence", "HealthMonitor", "HealthReference", "first_non_finite"]

_AT_HALF = 0.05
_EMPTY = 0.2  # a region that gets less than this of its share is lost
_RARE = 8.0  # and expects this many samples or more


@dataclass(frozen=True)
class Evidence:
    """What a check looks at.

    Attributes
    ----------
    step : steps taken.
    generated : (n, d) samples of the averaged generator, from the same noise at every check.
    d_held_out, d_generated, d_train : logits of the discriminator on held-out rows (m,), on `generated` (n,) and on
        training rows (k,).
    d_outputs : mean D(x) on held-out rows and D(G) on generated ones, in [0, 1].
    generator_gradient : mean norm over samples of the gradient of the generator's loss.
    """

    step: int
    generated: Tensor
    d_held_out: Tensor
    d_generated: Tensor
    d_train: Tensor
    d_outputs: tuple[float, float]
    generator_gradient: float

    def culprit(self) -> str | None:
        """Name what is not finite, or None."""
        numbers = {
            "the samples": self.generated,
            "the discriminator on held-out events": self.d_held_out,
            "the discriminator on generated events": self.d_generated,
            "the discriminator on training events": self.d_train,
            "the generator's gradient": torch.tensor(self.generator_gradient),
        }
        bad = (name for name, values in numbers.items() if not bool(torch.isfinite(values).all()))
        return next(bad, None)


@dataclass(frozen=True)
class Check:
    """What a check found.

    Attributes
    ----------
    scalars : named numbers for the history; NaN where samples were not finite.
    alarms : those raised at this check.
    improved : whether this state becomes the best.
    at_equilibrium : whether training may end.
    healthy : whether no sign of failure is seen, be it too young for an alarm or reported before: a state to
        go back to.
    """

    scalars: dict[str, float]
    alarms: tuple[Alarm, ...]
    improved: bool
    at_equilibrium: bool
    healthy: bool


class HealthMonitor:
    """Follows one generator from check to check.

    Parameters
    ----------
    reference : prepared held-out and training rows; several monitors may share it.
    patience : checks without a gain after which a balanced game counts as at equilibrium, at least 1.
    """

    def __init__(self, reference: HealthReference, *, patience: int = 5) -> None:
        self.reference, self.patience = reference, patience
        self._findings: list[Finding] = []
        self._shares: Tensor | None = None
        self._least: Score | None = None
        self._anchor: Score | None = None
        self._since_gain = 0
        self._clear_signs()

    def check(self, evidence: Evidence) -> Check:
        """Return what is seen of the generator at this check."""
        culprit = evidence.culprit()
        if culprit is not None:
            alarms = self._non_finite(evidence.step, culprit)
            scalars = dict.fromkeys(_SCALARS, math.nan)
            return Check(scalars, alarms, improved=False, at_equilibrium=False, healthy=False)
        self._note("non-finite values", None)
        measures = self.reference.measure(evidence.generated)
        self._findings.append(self._finding(evidence, measures))
        self._shares = measures.shares
        improved = self._keep(measures.score, self._findings[-1].width)
        alarms = self._judge()
        scalars = {name: float(getattr(self._findings[-1], field)) for name, field in _SCALARS.items()}
        healthy = not any(self._lasted.values())
        return Check(scalars, alarms, improved, self._at_equilibrium(), healthy)

    def restart(self) -> None:
        """Judge afresh, after a warm-up, since training went back to an earlier state; best and gains are kept."""
        self._findings, self._shares = [], None
        self._clear_signs()

    def _clear_signs(self) -> None:
        self._lasted = dict.fromkeys(PERSISTENCE, 0)
        self._absent = dict.fromkeys(PERSISTENCE, 0)
        self._raised = dict.fromkeys(PERSISTENCE, False)

    def _finding(self, evidence: Evidence, measures: Measures) -> Finding:
        p, q = self.reference.regions.shares, measures.shares
        n = len(evidence.generated)
        lost = (q < _EMPTY * p) & (n * p >= _RARE)
        memory = auc(evidence.d_held_out.numpy(), evidence.d_train.numpy())
        return Finding(
            step=evidence.step,
            score=measures.score.value,
            error=measures.score.error,
            width=self.reference.null_width(n),
            coverage=measures.coverage,
            plausible=measures.plausible,
            lost=float(p[lost].sum()),
            n_lost=int(lost.sum()),
            n_regions=len(p),
            distance=float((p - q).abs().sum()) / 2,
            moved=0.0 if self._shares is None else float((q - self._shares).abs().sum()) / 2,
            d_real=float(evidence.d_outputs[0]),
            d_fake=float(evidence.d_outputs[1]),
            auc=auc(evidence.d_generated.numpy(), evidence.d_held_out.numpy()),
            auc_memory=memory,
            memory_z=(memory - 0.5) / _auc_error(len(evidence.d_train), len(evidence.d_held_out)),
            gradient=float(evidence.generator_gradient),
            close=measures.copies.close,
            excess=measures.copies.excess,
            copies_z=measures.copies.z,
        )

    def _keep(self, score: Score, width: float) -> bool:
        """Take the score into account and tell whether its state is to be kept."""
        if self._least is None or self._anchor is None:
            self._least = self._anchor = score
            return True
        least_gain = max(score.error_against(self._anchor), width)
        gained = score.value < self._anchor.value - least_gain
        self._anchor = score if gained else self._anchor
        self._since_gain = 0 if gained else self._since_gain + 1
        within = score.value <= self._least.value + score.error_against(self._least)
        self._least = score if score.value < self._least.value else self._least
        return within

    def _judge(self) -> tuple[Alarm, ...]:
        if len(self._findings) <= WARM_UP:
            return ()
        raised = [self._note(kind, rule(self._findings)) for kind, rule in RULES.items()]
        return tuple(alarm for alarm in raised if alarm is not None)

    def _non_finite(self, step: int, culprit: str) -> tuple[Alarm, ...]:
        alarm = self._note("non-finite values", f"NaN or infinite: {culprit}.", step=step)
        return () if alarm is None else (alarm,)

    def _note(self, kind: str, evidence: str | None, *, step: int | None = None) -> Alarm | None:
        """Count how long a sign has lasted; return the alarm when it has for long enough, once per episode."""
        if evidence is None:
            self._lasted[kind], self._absent[kind] = 0, self._absent[kind] + 1
            self._raised[kind] = self._raised[kind] and self._absent[kind] < PERSISTENCE[kind]
            return None
        self._lasted[kind], self._absent[kind] = self._lasted[kind] + 1, 0
        if self._raised[kind] or self._lasted[kind] < PERSISTENCE[kind]:
            return None
        self._raised[kind] = True
        return Alarm(kind, self._findings[-1].step if step is None else step, evidence, REMEDIES[kind])

    def _at_equilibrium(self) -> bool:
        now = self._findings[-1]
        balanced = abs(now.d_real - 0.5) <= _AT_HALF and abs(now.d_fake - 0.5) <= _AT_HALF
        quiet = not any(self._lasted.values()) and not any(self._raised.values())
        rested = is_at_rest(self._findings) and self._since_gain >= self.patience
        return balanced and quiet and rested and not is_far(now)

    def state_dict(self) -> dict[str, Any]:
        """Return what an exact resume needs, tensors and plain numbers; the reference is made anew."""
        return {
            "findings": [asdict(finding) for finding in self._findings],
            "shares": self._shares,
            "least": _packed(self._least),
            "anchor": _packed(self._anchor),
            "since_gain": self._since_gain,
            "lasted": dict(self._lasted),
            "absent": dict(self._absent),
            "raised": dict(self._raised),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of a monitor of the same reference."""
        self._findings = [Finding(**finding) for finding in state["findings"]]
        self._shares, self._since_gain = state["shares"], state["since_gain"]
        self._least, self._anchor = _unpacked(state["least"]), _unpacked(state["anchor"])
        self._lasted, self._absent = dict(state["lasted"]), dict(state["absent"])
        self._raised = dict(state["raised"])


_SCALARS = {
    "score": "score",
    "score_error": "error",
    "coverage": "coverage",
    "plausible": "plausible",
    "lost": "lost",
    "d_auc": "auc",
    "d_memory": "auc_memory",
    "g_gradient": "gradient",
    "copies": "close",
}


def _auc_error(n: int, m: int) -> float:
    """Return the standard deviation of the AUC of two samples of one law (Mann and Whitney 1947)."""
    return ((n + m + 1) / (12 * n * m)) ** 0.5


def _packed(score: Score | None) -> dict[str, Any] | None:
    return None if score is None else asdict(score)


def _unpacked(state: dict[str, Any] | None) -> Score | None:
    return None if state is None else Score(**state)
