"""The health of a model during training, on events that it never sees: the monitor of every training run.

At a check a model gives what it has (`Observation`): its loss on each held-out row (nats where it has a likelihood),
samples, and, of a GAN, what the discriminator answers. `Monitor` measures samples against a `HealthReference`, and says
(`Check`)

    improved         whether this state is to be kept as the best so far
    alarms           signs of failure that have lasted, each told once an episode
    at_equilibrium   whether the training of a GAN may end

Best state. With losses the least mean, of weighted rows the weighted mean; without them by the score S of the samples
(`reverie.training.scores`, 0 for a perfect generator). Among many noisy scores the least one is partly luck: with S_min
the least score so far, a state is kept when S <= S_min + e, where e is the standard error of the *difference* of the
two scores over the same held-out rows and noise. So the latest of all states that cannot be told from the best is kept
("one standard error rule", Breiman et al. 1984). The bound does not creep, since S_min only falls. Where a model has
losses too and samples are to choose, the bound is three errors, or the scatter of a perfect generator's score if that
is more, and of the states within it the one of the least mean loss is kept: a score that is small by luck does not
count, and the loss sees overfitting earlier.

Signs. With a discriminator they are the rules of `reverie.training.alarms`; else

    overfitting          the losses lie above those of the best state by more than 4 standard errors of the mean of
                         their differences, row by row, and of what they share
    getting worse        the same, but at least half of the rise is met on training rows too
    far from the data    the samples are far (`reverie.training.alarms`), and at rest
    lost regions         regions with 10 % of the data get less than a fifth of their share, at rest
    and what the model itself has noticed

A sign becomes an alarm when it has held at `PERSISTENCE` checks in a row, three for those that are not named there, and
is armed again after as many checks without it. Losses are compared row by row, since they scatter far more between
events than between states.

Equilibrium. D(x) and D(G) within 0.05 of 1/2; no score below S_a - e in the last five checks, S_a the score at the last
such gain, so that slow gains add up, and e no less than the scatter of a perfect generator's score; the run is at rest
and the samples are not far from the data; and no sign of failure holds. D near 1/2 alone is no equilibrium: a blind
discriminator gives it at once.

The state of a monitor is tensors and plain numbers, and a resumed run gives the same checks.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from reverie.core.measured import measured_mean
from reverie.core.statistics import auc
from reverie.core.types import State
from reverie.training.alarms import PERSISTENCE, REMEDIES, RULES, WARM_UP, Alarm, Finding, is_at_rest, is_far
from reverie.training.reference import HealthReference, Measures
from reverie.training.scores import Score

__all__ = ["Check", "Discriminated", "Monitor", "Observation", "kind_of_rise"]

_OVERFITTED = 4.0  # standard errors of a paired difference
_APART = 3.0  # such errors from which samples choose against the loss: the least of dozens of scores is partly luck
_EMPTY = 0.2  # a region that gets less than this of its share is lost
_RARE = 8.0  # and expects this many samples or more
_LOST, _SEEN_WIDTHS = 0.10, 5.0  # share of the data in lost regions, and score in widths, that are a sign
_AT_HALF = 0.05
_PATIENCE = 5  # checks without a gain after which a balanced GAN counts as at equilibrium
_KEPT = ("shares", "best", "best_error", "best_gap", "least", "since_gain", "lasted", "absent", "raised")
_SCORES = ("least_score", "anchor", "kept_score")
_SCALARS = {name: name for name in ("score", "coverage", "plausible", "lost")} | {"score_error": "error"}
_SCALARS_OF_A_GAN = {"d_auc": "auc", "d_memory": "auc_memory", "g_gradient": "gradient", "copies": "close"}
_REMEDIES = {
    "overfitting": "Use fewer steps, a smaller model or more weight decay; the best state by held-out loss is kept.",
    "getting worse": "Lower the learning rate, or give chains more sweeps; the best state by held-out loss is kept.",
    "far from the data": "Train for more steps, raise the learning rate, or give the model more units.",
    "lost regions": "Train for more steps, or give the model more units and its chains more steps.",
    "non-finite values": "Lower the learning rate, or look for extreme values in the data.",
}

Signs = dict[str, tuple[str, str]]  # kind -> evidence, and a remedy or "" for the usual one


@dataclass(frozen=True)
class Discriminated:
    """What the discriminator of a GAN answers at a check.

    Attributes
    ----------
    held_out, generated, train : logits on held-out rows (m,), on generated ones (n,) and on training rows (k,).
    outputs : mean D(x) on held-out rows and D(G) on generated ones, in [0, 1].
    gradient : mean norm over samples of the gradient of the generator's loss.
    """

    held_out: Tensor
    generated: Tensor
    train: Tensor
    outputs: tuple[float, float]
    gradient: float


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
    by_samples : whether samples choose the best state, and losses only where samples tell no difference.
    scalars : further numbers for the history, by name.
    signs : what the model finds wrong itself: kind -> (evidence, remedy).
    discriminated : answers of a discriminator, of a GAN.
    """

    step: int
    losses: Tensor | None = None
    common_error: float = 0.0
    gap: float | None = None
    generated: Tensor | None = None
    by_samples: bool = False
    scalars: Mapping[str, float] = field(default_factory=dict)
    signs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    discriminated: Discriminated | None = None

    def culprit(self) -> str | None:
        """Name what is not finite, or None."""
        parts = {"the held-out loss": self.losses, "the samples": self.generated}
        if self.discriminated is not None:
            parts |= {
                "the discriminator on held-out events": self.discriminated.held_out,
                "the discriminator on generated events": self.discriminated.generated,
                "the discriminator on training events": self.discriminated.train,
                "the generator's gradient": torch.tensor(self.discriminated.gradient),
            }
        bad = (name for name, x in parts.items() if x is not None and not bool(torch.isfinite(x).all()))
        return next(bad, None)


@dataclass(frozen=True)
class Check:
    """What a check found.

    Attributes
    ----------
    scalars : named numbers for the history; NaN where samples were not finite.
    alarms : those raised at this check.
    improved : whether this state becomes the best.
    at_equilibrium : whether the training of a GAN may end.
    healthy : whether no sign of failure is seen, be it too young for an alarm or reported before: a state to
        roll back to.
    """

    scalars: dict[str, float]
    alarms: tuple[Alarm, ...]
    improved: bool
    at_equilibrium: bool
    healthy: bool


class Monitor:
    """Follows one model, or one replica of several, from check to check.

    Parameters
    ----------
    reference : prepared held-out and training rows, which several monitors may share; None where samples are not
        looked at.
    weight : (m,) event weights of the held-out rows, by which their losses are weighted; None for all alike.
    """

    def __init__(self, reference: HealthReference | None, weight: Tensor | None = None) -> None:
        self.reference = reference
        self._weight = None if weight is None else weight.double().cpu().numpy()
        self._findings: list[Finding] = []
        self._shares: Tensor | None = None
        self._best: Tensor | None = None
        self._best_error = 0.0
        self._best_gap: float | None = None
        self._least = math.inf
        self._least_score: Score | None = None
        self._anchor: Score | None = None
        self._kept_score: Score | None = None  # where losses choose among the states that samples cannot tell apart
        self._since_gain = 0
        self._lasted: dict[str, int] = {}
        self._absent: dict[str, int] = {}
        self._raised: dict[str, bool] = {}

    def check(self, seen: Observation) -> Check:
        """Return what is seen of the model at this check."""
        scalars, signs = dict(seen.scalars), dict(seen.signs)
        culprit = seen.culprit()
        if culprit is not None:
            scalars |= dict.fromkeys(_SCALARS | _SCALARS_OF_A_GAN, math.nan) if seen.discriminated is not None else {}
            alarm = self._note("non-finite values", seen.step, (f"NaN or infinite: {culprit}.", ""))
            alarms = () if alarm is None else (alarm,)
            return Check(scalars, alarms, improved=False, at_equilibrium=False, healthy=False)
        if seen.generated is not None and self.reference is not None:
            measures = self.reference.measure(seen.generated)
            self._findings.append(self._finding(seen, measures, self.reference))
            self._shares = measures.shares
            names = _SCALARS | ({"score_width": "width"} if seen.discriminated is None else _SCALARS_OF_A_GAN)
            scalars |= {name: float(getattr(self._findings[-1], attribute)) for name, attribute in names.items()}
            if seen.discriminated is None:
                scalars["score_real"] = self.reference.real_against_real
            signs |= self._signs(seen)
        else:
            measures = None
        if seen.losses is not None:
            scalars |= self._weigh(seen.losses.double().cpu(), seen, signs)
        if measures is not None and (seen.losses is None or seen.by_samples):
            width, loss = self._findings[-1].width, scalars.get("held_out_loss")
            improved = self._is_within_error_of_the_best(measures.score, width)  # which remembers the score
            if loss is not None:
                improved = self._is_least_of_equals(measures.score, width, loss)
        else:
            improved = self._is_least(seen, scalars.get("held_out_loss", math.inf))
        if seen.discriminated is None:
            scalars["kept"] = float(improved)
        raised = [self._note(kind, seen.step, signs.get(kind)) for kind in dict.fromkeys([*self._lasted, *signs])]
        alarms = tuple(alarm for alarm in raised if alarm is not None)
        at_equilibrium = seen.discriminated is not None and not signs and self._is_at_equilibrium()
        return Check(scalars, alarms, improved, at_equilibrium, healthy=not signs)

    def restart(self) -> None:
        """Judge afresh, after a warm-up, since training was rolled back; best state and gains are kept."""
        self._findings, self._shares = [], None
        self._lasted, self._absent, self._raised = {}, {}, {}

    def _finding(self, seen: Observation, measures: Measures, reference: HealthReference) -> Finding:
        """Return the numbers of a check, NaN where there is no discriminator."""
        p, q = reference.regions.shares, measures.shares
        n = 0 if seen.generated is None else len(seen.generated)
        lost = (q < _EMPTY * p) & (n * p >= _RARE)
        of_discriminator: dict[str, float] = {}
        if seen.discriminated is not None:
            d = seen.discriminated
            memory, n_train, n_out = auc(d.held_out.numpy(), d.train.numpy()), len(d.train), len(d.held_out)
            memory_error = ((n_train + n_out + 1) / (12 * n_train * n_out)) ** 0.5  # of one law, Mann and Whitney 1947
            of_discriminator = {
                "d_real": float(d.outputs[0]),
                "d_fake": float(d.outputs[1]),
                "auc": auc(d.generated.numpy(), d.held_out.numpy()),
                "auc_memory": memory,
                "memory_z": (memory - 0.5) / memory_error,
                "gradient": float(d.gradient),
            }
        return Finding(
            step=seen.step,
            score=measures.score.value,
            error=measures.score.error,
            width=reference.null_width(n),
            coverage=measures.coverage,
            plausible=measures.plausible,
            lost=float(p[lost].sum()),
            n_lost=int(lost.sum()),
            n_regions=len(p),
            distance=float((p - q).abs().sum()) / 2,
            moved=0.0 if self._shares is None else float((q - self._shares).abs().sum()) / 2,
            close=measures.close,
            excess=measures.excess,
            copies_z=measures.copies_z,
            **of_discriminator,
        )

    def _signs(self, seen: Observation) -> Signs:
        """Return what is wrong with the samples, after the first checks."""
        if len(self._findings) <= WARM_UP:
            return {}
        if seen.discriminated is not None:
            evidence = {kind: rule(self._findings) for kind, rule in RULES.items()}
            return {kind: (said, REMEDIES[kind]) for kind, said in evidence.items() if said is not None}
        now, signs = self._findings[-1], {}
        if not is_at_rest(self._findings):
            return signs
        if is_far(now):
            said = f"The score of the samples stays at {now.score:.3g} (a perfect generator: 0 ± {now.width:.1g})."
            signs["far from the data"] = (said, "")
        if now.lost >= _LOST and now.score > _SEEN_WIDTHS * now.width:
            said = f"{now.n_lost} of {now.n_regions} regions, with {now.lost:.0%} of the events, are all but empty."
            signs["lost regions"] = (said, "")
        return signs

    def _weigh(self, losses: Tensor, seen: Observation, signs: Signs) -> dict[str, float]:
        """Return the mean loss with its error, and add to the signs if it lies above that of the best state."""
        mean = measured_mean(losses.numpy(), self._weight)
        if self._best is not None and len(losses) > 1:
            excess = measured_mean((losses - self._best).numpy(), self._weight)
            z = excess.value / max(math.hypot(excess.error, seen.common_error, self._best_error), 1e-12)
            if z > _OVERFITTED:
                said = f"The held-out loss is {mean.value:.4g}, {excess.value:.2g} above its best ({z:.0f} errors)."
                signs[kind_of_rise(excess.value, seen.gap, self._best_gap)] = (said, "")
        return {"held_out_loss": mean.value, "held_out_error": mean.error}

    def _is_least(self, seen: Observation, value: float) -> bool:
        """Tell whether the loss is the least so far, and remember it."""
        if value >= self._least or math.isnan(value):
            return False
        self._least = value
        self._best = None if seen.losses is None else seen.losses.double().cpu().clone()
        self._best_error, self._best_gap = seen.common_error, seen.gap
        return True

    def _is_within_error_of_the_best(self, score: Score, width: float) -> bool:
        """Tell whether the score cannot be told from the least one, and remember it and the last gain."""
        if self._least_score is None or self._anchor is None:
            self._least_score = self._anchor = score
            return True
        gained = score.value < self._anchor.value - max(score.error_against(self._anchor), width)
        self._anchor = score if gained else self._anchor
        self._since_gain = 0 if gained else self._since_gain + 1
        within = score.value <= self._least_score.value + score.error_against(self._least_score)
        self._least_score = score if score.value < self._least_score.value else self._least_score
        return within

    def _is_least_of_equals(self, score: Score, width: float, loss: float) -> bool:
        """Tell whether this state has the least loss of those that samples cannot tell from the best; remember it."""

        def is_equal(one: Score) -> bool:
            least = self._least_score
            return least is None or one.value <= least.value + max(_APART * one.error_against(least), width)

        if not is_equal(score) or (self._kept_score is not None and is_equal(self._kept_score) and loss >= self._least):
            return False
        self._kept_score, self._least = score, loss
        return True

    def _note(self, kind: str, step: int, sign: tuple[str, str] | None) -> Alarm | None:
        """Count how long a sign has lasted; return the alarm when it has for long enough, once per episode."""
        persistence = PERSISTENCE.get(kind, 3)
        if sign is None:
            self._lasted[kind], self._absent[kind] = 0, self._absent.get(kind, 0) + 1
            self._raised[kind] = self._raised.get(kind, False) and self._absent[kind] < persistence
            return None
        self._lasted[kind], self._absent[kind] = self._lasted.get(kind, 0) + 1, 0
        if self._raised.get(kind, False) or self._lasted[kind] < persistence:
            return None
        self._raised[kind] = True
        return Alarm(kind, step, sign[0], sign[1] or _REMEDIES[kind])

    def _is_at_equilibrium(self) -> bool:
        now = self._findings[-1]
        is_balanced = abs(now.d_real - 0.5) <= _AT_HALF and abs(now.d_fake - 0.5) <= _AT_HALF
        is_rested = is_at_rest(self._findings) and self._since_gain >= _PATIENCE
        return is_balanced and is_rested and not any(self._raised.values()) and not is_far(now)

    def state_dict(self) -> State:
        """Return what an exact resume needs, tensors and plain numbers; the reference is made anew."""
        scores = {name: getattr(self, f"_{name}") for name in _SCORES}
        return {
            "findings": [asdict(finding) for finding in self._findings],
            **{name: None if score is None else asdict(score) for name, score in scores.items()},
            **{name: copy.copy(getattr(self, f"_{name}")) for name in _KEPT},
        }

    def load_state_dict(self, state: State) -> None:
        """Take up a state of a monitor of the same reference."""
        self._findings = [Finding(**finding) for finding in state["findings"]]
        for name in _KEPT:
            setattr(self, f"_{name}", copy.copy(state[name]))
        for name in _SCORES:  # older states have no kept score
            setattr(self, f"_{name}", None if state.get(name) is None else Score(**state[name]))


def kind_of_rise(excess: float, gap: float | None, gap_then: float | None) -> str:
    """Return "getting worse" where training rows share at least half of a rise of the held-out loss, or "overfitting".

    `gap` and `gap_then` are the held-out minus the training loss now and in the best state, None where unknown.
    """
    shared = gap is not None and gap_then is not None and gap - gap_then <= excess / 2
    return "getting worse" if shared else "overfitting"
