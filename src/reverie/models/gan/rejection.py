r"""Discriminator rejection sampling: samples are accepted, or drawn anew, by a classifier of the finished generator.

The adversarial D chased a generator that moved, under a penalty that blunts it. Once the generator
stands still, a fresh classifier c learns the logarithm of the density ratio,

    minimise  E_p sp(-c(x)) + E_q sp(c(x))    ->    c(x) = log p(x) / q(x),

from real events and as many generated ones as it likes, and is stopped where its loss on held-out
events is least. A sample x of q is then accepted
with probability

    min(1, exp(c(x) - m)),    m a high quantile of c over samples of q,

else drawn anew with the same condition, so that accepted samples follow q p/q = p as far as c knows
the ratio. With u uniform on (0, 1) a sample is accepted where log u < min(0, c(x) - m). Of samples that are
refused to the end the one of least log u - min(0, c(x) - m) is given: where all are unlikely, each of them is
that in proportion to its exp(c(x)).

This is discriminator rejection sampling (Azadi et al., arXiv:1810.06758; the choice of m
there is shifted by a constant). Besides what D saw, c sees the physical columns v themselves, as
asinh((v - mean) / sd): where the change of variables closed a gap between two modes, only they tell a
stray sample from a good one.

A generator that is right must be left alone, and a classifier that is stopped where its loss happens to be least always
seems to have learnt something. Whether it has is therefore a test. With the gain of a row over knowing nothing,

    g(x) = log 2 - sp(-c(x)) for held-out events,    log 2 - sp(c(x)) for generated ones,

whose expectation over both sides adds up to a positive number only if c tells them apart, the rows are halved; the gain
of either half is measured where training would have been stopped by the other half. The classifier is used if the mean
gain is above zero by 1.645 standard errors: a test at 5 % that both sides have one law
(`python -m benchmarks.quality.referee` counts how often whole fits use it).
"""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from reverie.core.errors import SamplingWarning, TrainingError
from reverie.core.measured import measured_mean
from reverie.core.random import child_generator
from reverie.core.statistics import weighted_mean
from reverie.networks.init import initialise
from reverie.networks.mlp import MLP
from reverie.objectives.adversarial import minimax_discriminator
from reverie.training.descent import LossStep
from reverie.training.loop import train

__all__ = ["RejectionClassifier", "accepted", "fit_rejection", "is_gain"]

_HIDDEN = (128, 128, 128)
_BATCH, _CHECK_EVERY, _PATIENCE = 512, 100, 8
_RATE, _WEIGHT_DECAY, _EMA = 1e-3, 1e-2, 0.995
_STRETCH = 2.0  # of physical columns, whose gaps are narrow on the scale of the whole
_QUANTILE = 0.995  # of c over generated samples: the ratio is believed up to here
_MOST_CANDIDATES = 64  # of a sample
_SIGNIFICANT = 1.645  # standard errors of the gain: 5 % of a normal distribution lie above


class RejectionClassifier(nn.Module):
    """The logarithm of the density ratio, and the level m up to which it is believed.

    Parameters
    ----------
    n_inputs : numbers that are known of one sample.
    n_physical : how many of them, the last ones, are physical columns.
    """

    level: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, n_inputs: int, n_physical: int) -> None:
        super().__init__()
        self.n_inputs, self.n_physical = n_inputs, n_physical
        with torch.random.fork_rng(devices=[]):  # torch draws first weights of its own: leave its state as it was
            self.network = MLP(n_inputs, 1, hidden=_HIDDEN)
        self.register_buffer("level", torch.zeros(()))
        self.register_buffer("centre", torch.zeros(n_physical))
        self.register_buffer("scale", torch.ones(n_physical))

    def forward(self, x: Tensor) -> Tensor:
        """Return c(x) of rows (batch, n_inputs), (batch,)."""
        first = self.n_inputs - self.n_physical
        physical = _STRETCH * torch.asinh((x[:, first:] - self.centre) / self.scale)
        return self.network(torch.cat([x[:, :first], physical], dim=1))[:, 0]

    def acceptance(self, x: Tensor) -> Tensor:
        """Return the probability, in [0, 1], with which each row is accepted, (batch,)."""
        return self.log_acceptance(x).exp()

    def log_acceptance(self, x: Tensor) -> Tensor:
        """Return the logarithm of `acceptance`, which stays finite, (batch,)."""
        return (self(x) - self.level).clamp(max=0)


def fit_rejection(
    real: Tensor,
    held_out: Tensor,
    generated: Tensor,
    *,
    weight: Tensor | None,
    held_out_weight: Tensor | None,
    max_steps: int,
    n_physical: int,
    seed: int,
) -> RejectionClassifier | None:
    """Return a classifier trained on rows of `real` against `generated`, or None where its gain is not significant.

    Parameters
    ----------
    real, held_out, generated : (n, d), (m, d) and (N, d) rows, in random order; an eighth of the generated ones judges.
    weight, held_out_weight : event weights of the real rows, mean one, or None.
    max_steps : steps of training at most, with a check every 100.
    n_physical : how many of the d numbers, the last ones, are physical columns.
    seed : root of weights and batches.
    """
    device = real.device
    generator = child_generator(seed, "referee")
    classifier = RejectionClassifier(real.shape[1], n_physical)
    initialise(classifier, generator)
    classifier = classifier.to(device)
    physical = real[:, real.shape[1] - n_physical :]
    classifier.centre.copy_(physical.mean(dim=0))
    classifier.scale.copy_(physical.std(dim=0).clamp(min=1e-30))
    n_judged = len(generated) // 8
    judged, pool = generated[:n_judged], generated[n_judged:]

    def loss(_: object, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(real), (_BATCH,), generator=generator)
        others = torch.randint(len(pool), (_BATCH,), generator=generator)
        w = None if weight is None else weight[rows]
        return minimax_discriminator(classifier(real[rows]), classifier(pool[others]), w)

    optimizer = torch.optim.AdamW(classifier.parameters(), lr=_RATE, weight_decay=_WEIGHT_DECAY)
    training = LossStep(classifier, loss, optimizer, decay=_EMA)
    average: Any = training.average
    kept: RejectionClassifier | None = None
    of_real: list[Tensor] = []  # gains of held-out rows, at every check
    of_generated: list[Tensor] = []
    totals: list[float] = []
    try:
        for record in train(
            training, lambda step: None, generator=generator, max_steps=max_steps, record_every=_CHECK_EVERY
        ):
            if record.step % _CHECK_EVERY:
                break
            with torch.no_grad():
                of_real.append(math.log(2) - softplus(-average(held_out)))
                of_generated.append(math.log(2) - softplus(average(judged)))
            totals.append(float(weighted_mean(of_real[-1], held_out_weight) + of_generated[-1].mean()))
            best = totals.index(max(totals))
            if best == len(totals) - 1:
                kept = copy.deepcopy(average)
            elif len(totals) - 1 - best >= _PATIENCE:
                break
    except TrainingError:  # a loss that is not finite: what was kept before it is judged
        pass
    if kept is None or not is_gain(torch.stack(of_real), torch.stack(of_generated), held_out_weight):
        return None
    with torch.no_grad():
        kept.level.copy_(torch.quantile(kept(judged[:100_000]), _QUANTILE))
    return kept.eval().requires_grad_(requires_grad=False)


def accepted(draw: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]], n: int) -> Tensor:
    """Return `n` accepted samples (n, *event); a `SamplingWarning` says so where some were refused to the end.

    Parameters
    ----------
    draw : row numbers (k,) -> k samples of those rows (k, *event), the logarithm of the probability of acceptance
        of each (k,), and numbers uniform on [0, 1) (k,), which decide.
    n : how many.
    """
    pending, n_drawn = torch.arange(n), 0
    least = torch.full((n,), math.inf)  # of log u - log acceptance so far
    samples: Tensor | None = None
    while len(pending) and n_drawn < _MOST_CANDIDATES:
        k = min(n // len(pending), _MOST_CANDIDATES - n_drawn)  # candidates of each row at once: a batch of full size
        n_drawn += k
        drawn, log_acceptance, u = draw(pending.repeat(k))
        distance = (u.log() - log_acceptance).float().cpu().reshape(k, len(pending))
        is_accepted = distance < 0
        chosen = torch.where(is_accepted.any(0), is_accepted.byte().argmax(0), distance.argmin(0))  # the first accepted
        found = distance.gather(0, chosen[None])[0]
        samples = drawn.clone() if samples is None else samples
        nearer = found < least[pending]
        samples[pending[nearer]] = drawn[chosen * len(pending) + torch.arange(len(pending))][nearer]
        least[pending[nearer]] = found[nearer]
        pending = pending[~(found < 0)]
    if len(pending):
        warnings.warn(
            f"Some samples were refused {_MOST_CANDIDATES} times, and the best of these is given: the generator makes "
            "hardly anything that the data hold, under their condition if there is one. Train it for longer or on "
            "more events, or fit with refine=False to see it as it is.",
            SamplingWarning,
            stacklevel=2,
        )
    return samples  # pyrefly: ignore[bad-return] - there is at least one batch


def is_gain(of_real: Tensor, of_generated: Tensor, weight: Tensor | None) -> bool:
    """Return whether gains (check, m) of held-out events and (check, n) of generated ones are significant.

    The half of the rows that measures a gain has no say in the check at which it is measured.
    """
    sides = (
        (of_real.double().cpu(), None if weight is None else weight.double().cpu()),
        (of_generated.double().cpu(), None),
    )

    def half(k: int) -> list[tuple[Tensor, Tensor | None]]:
        return [(x[:, k::2], None if w is None else w[k::2]) for x, w in sides]

    mean, variance = 0.0, 0.0
    for k in (0, 1):
        total = torch.stack([weighted_mean(x.T, w) for x, w in half(1 - k)]).sum(dim=0)
        stop = int(total.argmax())
        for x, w in half(k):
            found = measured_mean(x[stop].numpy(), None if w is None else w.numpy())
            mean, variance = mean + found.value / 2, variance + found.error**2 / 4
    return mean > _SIGNIFICANT * math.sqrt(variance)
