r"""The Jensen-Shannon divergence of two samples, measured by a discriminator with the minimax loss.

For densities p (real) and q (generated), m = (p + q) / 2, in nats:

    JS(p, q) = KL(p | m) / 2 + KL(q | m) / 2,                   0 <= JS <= log 2
    V(D)     = E_p log D(x) + E_q log(1 - D(x))                 (Goodfellow et al., arXiv:1406.2661)
    max V    = 2 JS - 2 log 2   at   D*(x) = p(x) / (p(x) + q(x))

so every discriminator D gives the lower bound log 2 + V(D) / 2 <= JS, met by D* alone. Networks are
trained to be D*, with the minimax loss, and V is measured on events that they have not seen:

    cross-fitting    both samples are cut into K folds; D_k trains on the others and judges fold k, so
                     every event is judged once, by a D that does not know it
    early stopping   D_k is two networks. Half of its events train one of them and stop the other: of the
                     averages of the weights along the path, the one with the least loss on the other
                     half is kept. The logit of D_k is the mean of both.

Without cross-fitting V would be too high: a D that judges its own training events mistakes their
fluctuations for a difference. With it, log 2 + V / 2 lies in expectation *below* JS, by half of what D
loses against D*. It is not clamped: where p = q it comes out slightly negative.

Error: given the networks, the terms log D(x_i) and log(1 - D(y_j)) are independent; with their standard
deviations s_p and s_q it is

    error^2 = (s_p^2 / n + s_q^2 / m) / 4 + 1 / (2 h)^2

over all folds. The last part, with h events of each sample in a half, stands for differences too small
to be seen there: a D that gains JS has terms of variance 2 JS, so on h events a gain below about 1 / h is
lost in their spread. Such a D stays at 1/2 and its terms have no spread of their own.
"""

import copy
import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from reverie.core.arguments import Count, checked
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_generator
from reverie.core.types import ArrayLike, RandomState
from reverie.core.words import in_same_words
from reverie.networks.init import initialise
from reverie.networks.mlp import MLP
from reverie.networks.replicas import Stacked
from reverie.objectives.adversarial import minimax_discriminator
from reverie.training.descent import LossStep
from reverie.training.loop import train
from reverie.validation.inputs.samples import read_sample

__all__ = ["Discriminator", "fit_discriminator", "jensen_shannon"]

_MIN_ROWS = 20  # of each sample in what trains one D
_MOST_JUDGES = 10_000  # events of each sample that stop a network
_BATCH = 128  # of each sample and network
_RATE = 5e-3
_DECAY = 0.98  # of the average of the weights
_EVERY = 25  # steps between two checks on the events that stop a network
_PATIENCE = 8  # checks without gain until the end


class Discriminator:
    """A trained estimate of D*(x) = p(x) / (p(x) + q(x)) for real p and generated q.

    Parameters
    ----------
    networks : each standardised features (batch, d) -> logits (batch, 1); D is the sigmoid of their mean.
    centre, scale : (d,), of the features.
    """

    def __init__(self, networks: Sequence[nn.Module], centre: np.ndarray, scale: np.ndarray) -> None:
        self.networks, self.centre, self.scale = networks, centre, scale

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """Return D(x) in (0, 1), (n,), for events x (n, d) or (n, *event)."""
        return torch.sigmoid(torch.as_tensor(self.logits(x))).numpy()

    def logits(self, x: ArrayLike) -> np.ndarray:
        """Return log D(x) / (1 - D(x)), (n,), which estimates log p/q."""
        values = read_sample(x, "x").values
        if values.shape[1] != len(self.centre):
            raise InputError(
                f"Expected events of {len(self.centre)} features, got {values.shape[1]}. "
                "Give the columns that D was trained on."
            )
        standardised = torch.as_tensor((values - self.centre) / self.scale, dtype=torch.float32)
        return _logits(self.networks, standardised).numpy()


@checked
def jensen_shannon(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    random_state: RandomState = None,
    n_folds: int = 2,
    hidden: Sequence[Count] = (64, 64),
    max_steps: Count = 2000,
) -> Measured:
    """Return the Jensen-Shannon divergence of two samples in nats: 0 if they are alike, log 2 if disjoint.

    The value is in expectation a lower bound, and not clamped: near 0 it may be slightly negative.

    Parameters
    ----------
    real, generated : events (n, d) and (m, d), or (n, *event): arrays, tensors, data frames or data sets.
        Event weights of a real `Dataset`, negative ones too, are honoured.
    random_state : of folds, networks and batches.
    n_folds : K >= 2; more folds train each network on more events, and take longer.
    hidden : widths of the networks' hidden layers.
    max_steps : most steps of training; early stopping usually ends it sooner.

    Examples
    --------
    >>> import torch
    >>> x, y = torch.randn(2, 500, 2, generator=torch.Generator().manual_seed(0))
    >>> abs(jensen_shannon(x, y, random_state=0, max_steps=100).value) < 0.02
    True
    """
    if n_folds < 2:
        raise InputError(f"Expected n_folds >= 2, got {n_folds}. An event must not be judged by what it trained.")
    seed = as_seed(random_state)
    x, y, weight, _ = _read(real, generated)
    folds = []  # of each event 0 ... K - 1, at random, of equal sizes to within one
    for k, rows in enumerate((x, y)):
        folds.append(torch.randperm(len(rows), generator=child_generator(seed, "folds", k)) % n_folds)
    networks, h = _train(x, y, weight, folds, hidden, max_steps, seed)
    terms_p, terms_q = torch.empty(len(x)).double(), torch.empty(len(y)).double()
    for k in range(n_folds):
        D_k, here_p, here_q = networks[2 * k : 2 * k + 2], folds[0] == k, folds[1] == k
        terms_p[here_p] = logsigmoid(_logits(D_k, x[here_p]))
        terms_q[here_q] = logsigmoid(-_logits(D_k, y[here_q]))
    weight = weight.double() / weight.double().mean()
    mean_p, mean_q = (weight * terms_p).mean(), terms_q.mean()
    variance = (weight * (terms_p - mean_p)).var() / len(terms_p) + terms_q.var() / len(terms_q)
    error = math.hypot(0.5 * math.sqrt(variance), 0.5 / h)
    return Measured(math.log(2) + 0.5 * float(mean_p + mean_q), error, len(terms_p) + len(terms_q))


@checked
def fit_discriminator(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    random_state: RandomState = None,
    hidden: Sequence[Count] = (64, 64),
    max_steps: Count = 2000,
) -> Discriminator:
    """Return D, trained on all events: ``D(x)`` estimates p(x) / (p(x) + q(x)), (n,).

    Its own training events flatter it: judge it on others. Parameters and errors as in `jensen_shannon`.
    """
    x, y, weight, standardise = _read(real, generated)
    everything = [torch.full((len(rows),), -1) for rows in (x, y)]  # no event is kept from the only D
    networks, _ = _train(x, y, weight, everything, hidden, max_steps, as_seed(random_state))
    return Discriminator(networks, *standardise)


def _read(real: ArrayLike, generated: ArrayLike) -> tuple[Tensor, Tensor, Tensor, tuple[np.ndarray, np.ndarray]]:
    """Return real and generated events in the same columns, standardised, weights of mean one, and centre and scale.

    Standardised is by the mean and standard deviation of (p + q) / 2; a constant feature has scale 1.
    """
    p, q = (read_sample(x, what) for what, x in in_same_words({"real": real, "generated": generated}).items())
    if q.weights is not None:
        raise InputError(
            "Expected generated without event weights, got unequal weights. Give weights of the real events only."
        )
    n_features = q.values.shape[1]
    if p.values.shape[1] != n_features:
        raise InputError(
            f"Expected generated with the {p.values.shape[1]} features of real, got {n_features}. "
            "Select the same columns in both."
        )
    order = list(range(n_features))
    if p.names and q.names:
        for name in q.names:
            if name not in p.names:
                raise UnknownNameError("column of generated", name, p.names)
        order = [q.names.index(name) for name in p.names]
    sides = (p.values, q.values[:, order])
    means, variances = np.stack([x.mean(axis=0) for x in sides]), np.stack([x.var(axis=0) for x in sides])
    scale = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    centre, scale = means.mean(axis=0), np.where(scale > 0, scale, 1.0)
    x, y = (torch.as_tensor((values - centre) / scale, dtype=torch.float32) for values in sides)
    weight = torch.tensor(np.ones(len(x)) if p.weights is None else p.weights, dtype=torch.float64)
    return x, y, (weight / weight.mean()).float(), (centre, scale)


def _train(
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    folds: Sequence[Tensor],
    hidden: Sequence[int],
    max_steps: int,
    seed: int,
) -> tuple[list[nn.Module], int]:
    """Return two networks for each fold, trained on the events of the others, and the size of a half.

    All are trained at once; of each the average that loses least on the other half is kept.
    """
    halves = [_halves(fold, child_generator(seed, "halves", k)) for k, fold in enumerate(folds)]
    networks, R = [], len(halves[0])
    for r in range(R):
        with torch.random.fork_rng(devices=[]):  # torch draws first weights of its own: leave its state as it was
            network = MLP(x.shape[1], 1, hidden=hidden)
        # the first D is 1/2 everywhere
        # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`
        network[-1].zero_init = True
        networks.append(initialise(network, child_generator(seed, "weights", r)))
    partner = torch.arange(R).unflatten(0, (-1, 2)).flip(1).flatten()
    i_judge, j_judge = (half[partner, :_MOST_JUDGES].T.flatten() for half in halves)  # rows interleaved over networks

    stacked = Stacked(networks)

    def loss(_: object, generator: torch.Generator) -> Tensor:
        positions = (torch.randint(half.shape[1], (_BATCH, R), generator=generator) for half in halves)
        i, j = (half.T.gather(0, position).flatten() for half, position in zip(halves, positions, strict=True))
        # R times the mean over all rows: each network has a loss of its own
        return R * minimax_discriminator(stacked(x[i]), stacked(y[j]), weight[i])

    @torch.no_grad()
    def losses(network: nn.Module) -> Tensor:
        of_real = weight[i_judge] * softplus(-network(x[i_judge])[:, 0])
        of_generated = softplus(network(y[j_judge])[:, 0])
        return of_real.unflatten(0, (-1, R)).mean(dim=0) + of_generated.unflatten(0, (-1, R)).mean(dim=0)

    optimizer = torch.optim.Adam(stacked.parameters(), lr=_RATE)
    training = LossStep(stacked, loss, optimizer, decay=_DECAY)
    best, least, since = copy.deepcopy(training.average), losses(training.average), torch.zeros(R)
    noise = child_generator(seed, "batches")
    for record in train(training, lambda step: None, generator=noise, max_steps=max_steps, record_every=_EVERY):
        if record.step % _EVERY:
            break
        now = losses(training.average)
        better, least = now < least, torch.minimum(now, least)
        since = torch.where(better, 0, since + 1)
        for kept, new in zip(best.parameters(), training.average.parameters(), strict=True):
            kept[better] = new[better]
        if since.min() >= _PATIENCE:
            break
    trained = cast("Stacked", best)
    return [trained.replica(r) for r in range(R)], min(half.shape[1] for half in halves)


def _halves(fold: Tensor, generator: torch.Generator) -> Tensor:
    """Return event numbers (2 K, h): rows 2k and 2k + 1 are both halves of the events outside fold k."""
    outside = [torch.nonzero(fold != k)[:, 0] for k in range(max(1, int(fold.max()) + 1))]
    smallest = min(len(rows) for rows in outside)
    if smallest < _MIN_ROWS:
        raise InputError(
            f"Expected at least {_MIN_ROWS} events of each sample to train on, got {smallest} outside a fold. "
            "Give more events."
        )
    shuffled = [rows[torch.randperm(len(rows), generator=generator)] for rows in outside]
    return torch.cat([rows[: smallest // 2 * 2].reshape(2, -1) for rows in shuffled])


@torch.no_grad()
def _logits(networks: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Return the mean logit (n,) of networks, in double precision."""
    return torch.stack([network(x)[:, 0] for network in networks]).double().mean(dim=0)
