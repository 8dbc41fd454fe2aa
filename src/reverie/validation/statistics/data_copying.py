"""Does a generator sit closer to its training events than to other real ones? Tests by exchange of labels.

T are the t training events, H are h held-out real events, G are m generated ones. Given G, and unless G was copied
from T, the events of T u H are exchangeable: which of them were trained on is a random choice. For each
generated event g the nearest event j(g) of T u H and the distances d1 <= d2 to the two nearest do not depend on the
labels, so one search serves all permutations of the labels (1 for T):

    S_v = sum_g v_g l_j(g) / sum_g v_g,            E[S_v] = t / (t + h), 1/2 for t = h

    v = 1                     the share of generated events that lie nearest to a training event (DCR share)
    v = log(d2 / d1)          the closer a pair, the more it counts
    v = 1 for the closest     the 0.1 % of generated events with the largest log(d2 / d1), at least 10

For densities that are smooth on the scale of d2, d log(d2 / d1) has the exponential law of mean 1 in d dimensions,
whatever the density; a copy with noise of 1 % of the spread reaches 15 to 100. The second and third form therefore
see a few close copies among many honest events, which the first cannot. The three are combined by min-P over the
shared permutations; all are exact at any size, also for t != h.

C_T (Meehan, Chaudhuri and Dasgupta 2020): in cells of k-means on T, the Mann-Whitney statistic of d(g, T) against
d(h, T), Z = (U - ab/2) / sqrt(ab (a + b + 1)/12), averaged with the share of H in each cell. Far below 0: copies;
far above 0: generated events lie off the data.
Authenticity (Alaa et al. 2022): the share of events farther from their nearest training event than that one is from
the rest of T. Its baseline is not 1/2 but its value for H.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from reverie.core.random import child_generator
from reverie.core.statistics import TREE_DIMENSIONS
from reverie.validation.permutation.multiple_testing import min_p, ranked
from reverie.validation.permutation.relabelling import Relabellings, relabellings
from reverie.validation.permutation.signed_measures import row_sums
from reverie.validation.schedule import MAX_PAIRS
from reverie.validation.statistics.neighbours import nearest, neighbour_graph

__all__ = [
    "Exchange",
    "authenticity",
    "copying_score",
    "distances_to_train",
    "exchange_test",
    "seconds_of_search",
]

MAX_FEATURES = 64  # beyond, neighbours are searched among components
_CLOSEST, _LEAST_CLOSEST = 0.001, 10
_LARGEST_RATIO = 1e6  # of d2 to d1: exact copies count as this
_LEAST_IN_CELL = 20
_GROUPS = 20


@dataclass(frozen=True)
class Exchange:
    """Shares of training events among the nearest neighbours of generated events, with exact p-values.

    Parameters
    ----------
    p_value : exact, of the three exchange statistics together (min-P).
    share, share_error, share_expected, share_p : Share of generated events that are nearest to a training event, its
        error, its expectation without copying, and its p-value.
    weighted_share, weighted_p : the same, weighted by log(d2 / d1).
    closest_share, closest_p, n_closest : the share among the 0.1 % closest events, at least 10.
    """

    p_value: float
    share: float
    share_error: float
    share_expected: float
    share_p: float
    weighted_share: float
    weighted_p: float
    closest_share: float
    closest_p: float
    n_closest: int


def exchange_test(
    train: Tensor, holdout: Tensor, generated: Tensor, *, n_permutations: int = 999, block: int = 1, seed: int = 0
) -> Exchange:
    """Return the exchange test of train (t, d), holdout (h, d) and generated (m, d), all in one scale.

    `block` neighbouring events of T u H change their label together, for events of a Markov chain.
    """
    real = torch.cat([train, holdout])
    distances, rows = nearest(real, generated, min(2, len(real)), child_generator(seed, "ties"))
    relabel = relabellings(len(train), len(holdout), n_permutations, child_generator(seed, "permutations"), block=block)
    nearest_row, votes = torch.from_numpy(rows[:, 0]), torch.from_numpy(_votes(distances))
    # (3, B + 1): votes are first summed for each real event, then the labels
    sums = torch.zeros(3, len(real), dtype=torch.float64).index_add_(1, nearest_row, votes)
    totals = row_sums(len(real), sums.T.__getitem__, lambda rows: relabel.labels[rows])
    values = (totals / votes.sum(1, keepdim=True).clamp_min(1e-300)).numpy()
    columns = [ranked(row) for row in values]
    (share, weighted, closest), (p, weighted_p, closest_p) = values[:, 0].tolist(), [one.observed_p for one in columns]
    return Exchange(
        p_value=min_p(columns).observed_p,
        share=share,
        share_error=_share_error(nearest_row, relabel),
        share_expected=len(train) / len(real),
        share_p=p,
        weighted_share=weighted,
        weighted_p=weighted_p,
        closest_share=closest,
        closest_p=closest_p,
        n_closest=int(votes[2].sum()),
    )


def distances_to_train(train: Tensor, events: Tensor, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of each of `events` (m, d) to the nearest of `train` (t, d), and its row number."""
    distances, rows = nearest(train, events, 1, child_generator(seed, "ties"))
    return distances[:, 0], rows[:, 0]


def copying_score(
    train: Tensor,
    holdout: Tensor,
    generated: Tensor,
    to_train: tuple[np.ndarray, np.ndarray],
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """Return C_T and its standard deviation without copying; nan when no cell holds 20 events of both.

    `to_train` are the distances to T of the generated and of the held-out events.
    """
    from sklearn.cluster import KMeans

    most = len(torch.unique(train, dim=0))
    n_cells = min(most, int(np.clip(min(len(holdout), len(generated)) // (5 * _LEAST_IN_CELL), 1, 20)))
    cells = KMeans(n_cells, random_state=seed % 2**32).fit(train.numpy())
    of_g, of_h = (cells.predict(part.numpy()) for part in (generated, holdout))
    scores, shares = [], []
    for cell in range(n_cells):
        g, h = to_train[0][of_g == cell], to_train[1][of_h == cell]
        if min(len(g), len(h)) >= _LEAST_IN_CELL:
            a, b = len(g), len(h)
            u = rankdata(np.concatenate([g, h]))[:a].sum() - a * (a + 1) / 2
            scores.append((u - a * b / 2) / math.sqrt(a * b * (a + b + 1) / 12))
            shares.append(b)
    if not scores:
        return math.nan, math.nan
    share = np.array(shares) / sum(shares)
    return float(share @ scores), float(np.sqrt((share**2).sum()))


def authenticity(train: Tensor, distances: np.ndarray, rows: np.ndarray, seed: int = 0) -> float:
    """Return the share of events farther from their nearest training event than that one from the rest of `train`.

    `distances` and `rows` (m,) are those of `distances_to_train`.
    """
    graph = neighbour_graph(train, 1, child_generator(seed, "ties"))
    return float((distances > np.sqrt(graph.squared[rows, 0])).mean())


def seconds_of_search(train: int, holdout: int, generated: int, n_features: int) -> float | None:
    """Return the seconds that a search for copies takes on one core for these numbers; None if it would not end."""
    k = min(n_features, MAX_FEATURES)
    if k <= TREE_DIMENSIONS:
        return 1 + (train + holdout + generated) * 1e-3
    pairs = generated * (2 * train + holdout) + train * (train + holdout)
    return 1 + pairs * (3e-9 + 1e-10 * k) if pairs <= 2.5 * MAX_PAIRS else None


def _votes(distances: np.ndarray) -> np.ndarray:
    """Return the three v of the module, (3, m); equal distances, also both zero, say nothing about closeness."""
    first, second = distances[:, 0], distances[:, -1]
    ratio = np.divide(second, first, out=np.full(len(first), _LARGEST_RATIO), where=first > 0)
    closeness = np.log(np.clip(np.where(second > 0, ratio, 1.0), 1.0, _LARGEST_RATIO))
    keep = min(len(first), max(_LEAST_CLOSEST, round(_CLOSEST * len(first))))
    closest = closeness >= np.sort(closeness)[-keep]
    return np.stack([np.ones(len(first)), closeness, closest.astype(float)])


def _share_error(nearest_row: Tensor, relabel: Relabellings) -> float:
    """Return the error of the share, groups of T, of H and of G left out in turn: all three samples fluctuate."""
    label = relabel.labels[nearest_row, 0].double()
    n_groups = min(_GROUPS, len(nearest_row))
    own = torch.arange(len(nearest_row)) * n_groups // len(nearest_row)
    real = _left_out(label, relabel.groups[nearest_row], relabel.n_groups)
    parts = [*real.split(relabel.n_groups // 2), _left_out(label, own, n_groups)]
    parts = [part[part.isfinite()] for part in parts]
    return math.sqrt(sum((len(p) - 1) / len(p) * float((p - p.mean()).square().sum()) for p in parts if len(p)))


def _left_out(label: Tensor, groups: Tensor, n_groups: int) -> Tensor:
    in_group = torch.zeros(2, n_groups, dtype=torch.float64)
    in_group.index_add_(1, groups, torch.stack([label, torch.ones_like(label)]))
    return (label.sum() - in_group[0]) / (len(label) - in_group[1])
