r"""A referee: a discriminator trained on the finished generator, by which samples are accepted or drawn again.

The adversarial D chased a generator that moved, under a penalty that blunts it. Once the generator
stands still, a fresh classifier c learns the logarithm of the density ratio,

    minimise  E_p sp(-c(x)) + E_q sp(c(x))    ->    c(x) = log p(x) / q(x),

from real events and as many generated ones as it likes, and is stopped where its loss on held-out
events is least. A sample x of q is then accepted
with probability

    min(1, exp(c(x) - m)),    m a high quantile of c over samples of q,

else drawn anew with the same condition, so that accepted samples follow q p/q = p as far as c knows
the ratio. This is discriminator rejection sampling (Azadi et al., arXiv:1810.06758; the choice of m
there is shifted by a constant). Besides what D saw, c sees the physical columns v themselves, as
asinh((v - mean) / sd): where the change of variables closed a gap between two modes, only they tell a
stray sample from a good one. Where c cannot tell the two apart on held-out events, it is not used.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from reverie.core.random import child_generator
from reverie.networks.init import initialise
from reverie.networks.mlp import MLP
from reverie.training.averaging import ema_decay, ema_update

__all__ = ["Referee", "accepted", "fit_referee"]

_HIDDEN = (128, 128, 128)
_BATCH, _CHECK_EVERY, _PATIENCE = 512, 100, 8
_RATE, _WEIGHT_DECAY, _EMA = 1e-3, 1e-2, 0.995
_STRETCH = 2.0  # of physical columns, whose gaps are narrow on the scale of the whole
_QUANTILE = 0.995  # of c over generated samples: the ratio is believed up to here
_MOST_ROUNDS = 64


class Referee(nn.Module):
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
        return (self(x) - self.level).clamp(max=0).exp()


@dataclass
class _Best:
    loss: float
    network: nn.Module | None = None
    waited: int = 0


def fit_referee(
    real: Tensor,
    held_out: Tensor,
    generated: Tensor,
    *,
    weight: Tensor | None,
    held_out_weight: Tensor | None,
    max_steps: int,
    n_physical: int,
    seed: int,
) -> Referee | None:
    """Return a referee trained on rows of `real` against `generated`, or None where it learns nothing that holds.

    Parameters
    ----------
    real, held_out, generated : (n, d), (m, d) and (N, d) rows; an eighth of the generated ones judges.
    weight, held_out_weight : event weights of the real rows, mean one, or None.
    max_steps : steps of training at most; it is looked at every 100.
    n_physical : how many of the d numbers, the last ones, are physical columns.
    seed : root of weights and batches.
    """
    device = real.device
    generator = child_generator(seed, "referee")
    referee = Referee(real.shape[1], n_physical)
    initialise(referee, generator)
    referee = referee.to(device)
    physical = real[:, real.shape[1] - n_physical :]
    referee.centre.copy_(physical.mean(dim=0))
    referee.scale.copy_(physical.std(dim=0).clamp(min=1e-30))
    average = copy.deepcopy(referee)
    n_judged = len(generated) // 8
    judged, pool = generated[:n_judged], generated[n_judged:]
    optimizer = torch.optim.AdamW(referee.parameters(), lr=_RATE, weight_decay=_WEIGHT_DECAY)
    best = _Best(2 * math.log(2))  # of a classifier that knows nothing
    for step in range(max_steps):
        rows = torch.randint(len(real), (_BATCH,), generator=generator)
        others = torch.randint(len(pool), (_BATCH,), generator=generator)
        loss = _loss(referee, real[rows], pool[others], None if weight is None else weight[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema_update(list(average.parameters()), list(referee.parameters()), decay=ema_decay(step, _EMA))
        if (step + 1) % _CHECK_EVERY == 0 and not _goes_on(best, average, held_out, judged, held_out_weight):
            break
    if best.network is None:
        return None
    fitted: Referee = best.network  # pyright: ignore[reportAssignmentType]
    with torch.no_grad():
        fitted.level.copy_(torch.quantile(fitted(judged[:100_000]), _QUANTILE))
    return fitted.eval().requires_grad_(requires_grad=False)


@torch.no_grad()
def accepted(
    referee: Referee,
    draw: Callable[[Tensor], tuple[Tensor, Tensor]],
    n: int,
    generator: torch.Generator,
) -> Tensor:
    """Return `n` accepted samples (n, *event).

    Parameters
    ----------
    referee : says with which probability.
    draw : row numbers (k,) -> k samples of those rows (k, *event), and what the referee sees of them (k, d).
    n : how many.
    generator : source of the decisions.
    """
    pending = torch.arange(n)
    samples: Tensor | None = None
    for turn in range(_MOST_ROUNDS):
        drawn, seen = draw(pending)
        u = torch.rand(len(drawn), generator=generator, device=generator.device)
        good = (u < referee.acceptance(seen)).cpu()
        samples = drawn.clone() if samples is None else samples
        samples[pending[good]] = drawn[good]
        if turn == _MOST_ROUNDS - 1:  # what was refused so often is taken as it comes
            samples[pending] = drawn
        pending = pending[~good]
        if len(pending) == 0:
            break
    return samples  # pyright: ignore[reportReturnType]


def _loss(referee: nn.Module, real: Tensor, generated: Tensor, weight: Tensor | None) -> Tensor:
    terms = softplus(-referee(real))
    return (terms if weight is None else weight * terms).mean() + softplus(referee(generated)).mean()


@torch.no_grad()
def _goes_on(best: _Best, average: nn.Module, held_out: Tensor, judged: Tensor, weight: Tensor | None) -> bool:
    """Keep the average if it is the best so far; tell whether training is worth going on with."""
    loss = float(_loss(average, held_out, judged, weight))
    if loss < best.loss:
        best.loss, best.network, best.waited = loss, copy.deepcopy(average), 0
    else:
        best.waited += 1
    return best.waited < _PATIENCE
