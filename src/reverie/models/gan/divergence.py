r"""The Jensen-Shannon divergence of two samples, measured by the discriminator of the minimax game.

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

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from reverie.core.checks import check_positive
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_generator
from reverie.core.types import ArrayLike, RandomState
from reverie.networks.init import initialise
from reverie.networks.mlp import MLP
from reverie.networks.replicas import Stacked
from reverie.objectives.adversarial import minimax_discriminator
from reverie.training.descent import ema_decay, ema_update
from reverie.training.optimizers import make_optimizer, take_step
from reverie.validation.inputs.samples import read_sample

__all__ = ["Discriminator", "fit_discriminator", "jensen_shannon"]

_MIN_ROWS = 20  # of each sample in what trains one D
_MOST_JUDGES = 10_000  # events of each sample that stop a network
_BATCH = 128  # of each sample and network
_RATE = 5e-3
_DECAY = 0.98  # of the average of the weights
_EVERY = 25  # steps between two looks at the events that stop a network
_PATIENCE = 8  # looks without gain until the end


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
        """Return log D(x) / (1 - D(x)), (n,), which estimates log p/q.

        Raises
        ------
        InputError
            For another number of features than D was trained on, text or NaN.
        """
        values = read_sample(x, "x").values
        if values.shape[1] != len(self.centre):
            raise InputError(
                f"Expected events of {len(self.centre)} features, got {values.shape[1]}. "
                "Give the columns that D was trained on."
            )
        return _logits(self.networks, _standardised(values, self.centre, self.scale)).numpy()


def jensen_shannon(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    random_state: RandomState = None,
    n_folds: int = 2,
    hidden: Sequence[int] = (64, 64),
    max_steps: int = 2000,
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

    Raises
    ------
    InputError
        For samples of different features, text, NaN, fewer than 40 events of each, or weights of the
        generated sample.

    Examples
    --------
    >>> import torch
    >>> x, y = torch.randn(2, 500, 2, generator=torch.Generator().manual_seed(0))
    >>> abs(jensen_shannon(x, y, random_state=0, max_steps=100).value) < 0.02
    True
    """
    check_positive("max_steps", max_steps, integer=True)
    check_positive("n_folds", n_folds, integer=True)
    if n_folds < 2:
        raise InputError(f"Expected n_folds >= 2, got {n_folds}. An event must not be judged by what it trained.")
    seed = as_seed(random_state)
    p, q, weight = _read(real, generated)
    centre, scale = _pooled(p, q)
    x, y = (_standardised(values, centre, scale) for values in (p, q))
    folds = [_folds(len(rows), n_folds, child_generator(seed, "folds", k)) for k, rows in enumerate((x, y))]
    networks, h = _train(x, y, weight, folds, hidden, max_steps, seed)
    terms_p, terms_q = torch.empty(len(x)).double(), torch.empty(len(y)).double()
    for k in range(n_folds):
        D_k, here_p, here_q = networks[2 * k : 2 * k + 2], folds[0] == k, folds[1] == k
        terms_p[here_p] = logsigmoid(_logits(D_k, x[here_p]))
        terms_q[here_q] = logsigmoid(-_logits(D_k, y[here_q]))
    return _divergence(terms_p, terms_q, weight, resolution=0.5 / h)


def fit_discriminator(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    random_state: RandomState = None,
    hidden: Sequence[int] = (64, 64),
    max_steps: int = 2000,
) -> Discriminator:
    """Return D, trained on all events: ``D(x)`` estimates p(x) / (p(x) + q(x)), (n,).

    Its own training events flatter it: judge it on others. Parameters and errors as in `jensen_shannon`.
    """
    check_positive("max_steps", max_steps, integer=True)
    p, q, weight = _read(real, generated)
    centre, scale = _pooled(p, q)
    x, y = (_standardised(values, centre, scale) for values in (p, q))
    everything = [torch.full((len(rows),), -1) for rows in (x, y)]  # no event is kept from the only D
    networks, _ = _train(x, y, weight, everything, hidden, max_steps, as_seed(random_state))
    return Discriminator(networks, centre, scale)


def _divergence(terms_p: Tensor, terms_q: Tensor, weight: Tensor, *, resolution: float) -> Measured:
    """Return log 2 + V / 2 from the terms log D of real and log(1 - D) of generated events, (n,) and (m,)."""
    weight = weight.double() / weight.double().mean()
    mean_p, mean_q = (weight * terms_p).mean(), terms_q.mean()
    variance = (weight * (terms_p - mean_p)).var() / len(terms_p) + terms_q.var() / len(terms_q)
    error = math.hypot(0.5 * math.sqrt(variance), resolution)
    return Measured(math.log(2) + 0.5 * float(mean_p + mean_q), error, len(terms_p) + len(terms_q))


# Samples


def _read(real: ArrayLike, generated: ArrayLike) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Return real events (n, d), generated events (m, d) in the same columns, and weights (n,) of mean one."""
    p, q = read_sample(real, "real"), read_sample(generated, "generated")
    if q.weights is not None:
        raise InputError(
            "Expected generated without event weights, got unequal weights. Give weights of the real events only."
        )
    if p.values.shape[1] != q.values.shape[1]:
        raise InputError(
            f"Expected generated with the {p.values.shape[1]} features of real, got {q.values.shape[1]}. "
            "Select the same columns in both."
        )
    weight = torch.tensor(np.ones(len(p.values)) if p.weights is None else p.weights, dtype=torch.float64)
    return p.values, q.values[:, _order(p.names, q.names, q.values.shape[1])], (weight / weight.mean()).float()


def _order(names: Sequence[str] | None, others: Sequence[str] | None, n_features: int) -> list[int]:
    if not names or not others:
        return list(range(n_features))
    for name in others:
        if name not in names:
            raise UnknownNameError("column of generated", name, names)
    return [others.index(name) for name in names]


def _pooled(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of (p + q) / 2 by feature; a constant feature has scale 1."""
    means, variances = [p.mean(axis=0), q.mean(axis=0)], [p.var(axis=0), q.var(axis=0)]
    scale = np.sqrt(np.mean(variances, axis=0) + np.var(means, axis=0))
    return np.mean(means, axis=0), np.where(scale > 0, scale, 1.0)


def _standardised(values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> Tensor:
    return torch.as_tensor((values - centre) / scale, dtype=torch.float32)


def _folds(n: int, n_folds: int, generator: torch.Generator) -> Tensor:
    """Return the fold 0 .. K - 1 of each of n events, at random, of equal sizes to within one."""
    return torch.randperm(n, generator=generator) % n_folds


# Training of all networks at once


def _train(
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    folds: Sequence[Tensor],
    hidden: Sequence[int],
    max_steps: int,
    seed: int,
) -> tuple[list[nn.Module], int]:
    """Return two networks for each fold, trained on the events of the others, and the size of a half."""
    halves = [_halves(fold, child_generator(seed, "halves", k)) for k, fold in enumerate(folds)]
    networks = [_network(x.shape[1], hidden, child_generator(seed, "weights", r)) for r in range(len(halves[0]))]
    best = _descend(Stacked(networks), (x, y, weight), halves, max_steps, child_generator(seed, "batches"))
    return [best.replica(r) for r in range(len(networks))], min(half.shape[1] for half in halves)


def _network(n_features: int, hidden: Sequence[int], generator: torch.Generator) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # torch draws first weights of its own: leave its state as it was
        network = MLP(n_features, 1, hidden=hidden)
    network[-1].zero_init = True  # pyright: ignore[reportArgumentType]  # the first D is 1/2 everywhere
    return initialise(network, generator)


def _halves(fold: Tensor, generator: torch.Generator) -> Tensor:
    """Return event numbers (2 K, h): rows 2k and 2k + 1 are both halves of the events outside fold k."""
    n_folds = max(1, int(fold.max()) + 1)
    outside = [torch.nonzero(fold != k)[:, 0] for k in range(n_folds)]
    smallest = min(len(rows) for rows in outside)
    if smallest < _MIN_ROWS:
        raise InputError(
            f"Expected at least {_MIN_ROWS} events of each sample to train on, got {smallest} outside a fold. "
            "Give more events."
        )
    shuffled = [rows[torch.randperm(len(rows), generator=generator)] for rows in outside]
    return torch.cat([rows[: smallest // 2 * 2].reshape(2, -1) for rows in shuffled])


def _descend(
    network: Stacked,
    events: tuple[Tensor, Tensor, Tensor],
    halves: Sequence[Tensor],
    max_steps: int,
    generator: torch.Generator,
) -> Stacked:
    """Minimise the minimax loss; return the averages of the weights that lose least on the other half."""
    (x, y, weight), R = events, network.n_replicas
    partner = torch.arange(R).unflatten(0, (-1, 2)).flip(1).flatten()
    judges = [half[partner, :_MOST_JUDGES].T.flatten() for half in halves]  # rows interleaved over networks
    average = copy.deepcopy(network).requires_grad_(requires_grad=False)
    weights, averaged = list(network.parameters()), list(average.parameters())
    best, least, since = copy.deepcopy(average), _losses(average, events, judges), torch.zeros(R)
    optimizer = make_optimizer("adam", weights, learning_rate=_RATE, betas=(0.9, 0.999))
    for step in range(max_steps):
        i, j = (half.T.gather(0, _positions(half, generator)).flatten() for half in halves)
        logits = network(torch.cat([x[i], y[j]]))
        a_real, a_fake = logits.chunk(2)
        loss = R * minimax_discriminator(a_real, a_fake, weight[i])  # the sum over networks
        take_step(optimizer, weights, torch.autograd.grad(loss, weights))
        ema_update(averaged, weights, decay=ema_decay(step, _DECAY))
        if (step + 1) % _EVERY == 0:
            now = _losses(average, events, judges)
            better, since = now < least, torch.where(now < least, 0, since + 1)
            least = torch.minimum(now, least)
            for kept, new in zip(best.parameters(), averaged, strict=True):
                kept[better] = new[better]
            if since.min() >= _PATIENCE:
                break
    return best


def _positions(half: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(half.shape[1], (_BATCH, len(half)), generator=generator)


@torch.no_grad()
def _losses(network: Stacked, events: tuple[Tensor, Tensor, Tensor], judges: Sequence[Tensor]) -> Tensor:
    """Return the loss of each network, (R,), on the events that stop it."""
    x, y, weight = events
    i, j = judges
    terms = -weight[i] * logsigmoid(network(x[i])[:, 0]), -logsigmoid(-network(y[j])[:, 0])
    return sum(t.unflatten(0, (-1, network.n_replicas)).mean(dim=0) for t in terms)  # pyright: ignore


@torch.no_grad()
def _logits(networks: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Return the mean logit (n,) of networks, in double precision."""
    return torch.stack([network(x)[:, 0] for network in networks]).double().mean(dim=0)
