"""Has the generator memorised its training events? Exact tests, copy counts and the closest pairs.

The verdict rests on exact tests by exchange of labels: do generated events sit closer to training events than to other
real ones? Beside it stand C_T, authenticity, the number of generated events equal to a training event within a
tolerance, and the share of generated events that lie closer to a training event than all but 1 % of the held-out events
do.

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

Features are scaled by median and interquartile range / 1.349 of T u H (images: one scale for all pixels), which does
not know which of the real events were trained on. Distances are in this unit. Of many features, as of images,
neighbours are searched among the components of T u H (`reverie.validation.inputs.components`), and distances are those
of components, except of the closest pairs and of duplicates, which are compared in all features.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr
from scipy.stats import hypergeom, rankdata
from torch import Tensor

from reverie.core.arguments import Count, Level, NonNegative, Whole, checked
from reverie.core.checks import check_table
from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson, percent
from reverie.core.random import as_seed, child_generator, child_seed
from reverie.core.statistics import TREE_DIMENSIONS
from reverie.core.types import ArrayLike, RandomState
from reverie.core.words import in_same_words
from reverie.validation.inputs.components import MAX_COMPONENTS, fit_components
from reverie.validation.inputs.samples import aligned, one_precision, read_sample, robust_scale
from reverie.validation.permutation.multiple_testing import min_p, ranked
from reverie.validation.permutation.relabelling import Relabellings, relabellings
from reverie.validation.permutation.signed_measures import row_sums
from reverie.validation.results.serialisation import from_plain, to_plain
from reverie.validation.schedule import MAX_PAIRS
from reverie.validation.statistics.neighbours import nearest, neighbour_graph

__all__ = [
    "Exchange",
    "MemorisationResult",
    "NearCopy",
    "authenticity",
    "copying_score",
    "distances_to_train",
    "exchange_test",
    "memorisation",
    "seconds_of_search",
]

MIN_ROWS = 20
_CLOSEST, _LEAST_CLOSEST = 0.001, 10
_LARGEST_RATIO = 1e6  # of d2 to d1: exact copies count as this
_LEAST_IN_CELL = 20
_GROUPS = 20  # of generated events, left out in turn
NEAR = 0.01  # quantile of the distances of held-out events to training events, below which an event is near


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


@dataclass(frozen=True)
class NearCopy:
    """A generated event and the training event nearest to it.

    Parameters
    ----------
    generated, train : Row numbers of the generated and of the training event.
    distance : Their distance, in units of the spread of real events.
    """

    generated: int
    train: int
    distance: float


@dataclass(frozen=True)
class MemorisationResult(Exchange):
    """What the comparison with training and held-out events found: the exchange test, and what stands beside it.

    Parameters
    ----------
    near, near_low, near_high : share of generated events closer to a training event than all but 1 % of the held-out
        ones, with its 95 % interval.
    near_distance : that distance.
    c_t, c_t_spread, c_t_p : C_T, its standard deviation without copying, asymptotic p; None where cells are too small.
    authenticity, authenticity_holdout : Authenticity of generated and of held-out events.
    duplicates, duplicates_holdout : events within `tolerance` of a training event.
    closest : the closest pairs, nearest first.
    n_train, n_holdout, n_generated, n_permutations, block, tolerance, seed : sizes and settings.
    """

    near: float
    near_low: float
    near_high: float
    near_distance: float
    c_t: float | None
    c_t_spread: float | None
    c_t_p: float | None
    authenticity: float
    authenticity_holdout: float
    duplicates: int
    duplicates_holdout: int
    closest: tuple[NearCopy, ...]
    n_train: int
    n_holdout: int
    n_generated: int
    n_permutations: int
    block: int
    tolerance: float
    seed: int
    alpha: float = 0.05

    @property
    def memorised(self) -> bool:
        """Whether the exchange test rejects at level `alpha`."""
        return self.p_value <= self.alpha

    @property
    def near_p(self) -> float:
        """Chance of so many generated events closer to training events than `near_distance`, without copies.

        Exact: that distance lies between the r-th and the next of the h held-out distances, r = 1 + 1 % of h - 1. Of
        the k + r closest of both samples together at most r are then held-out events.
        """
        below, k = 1 + math.floor(NEAR * (self.n_holdout - 1)), round(self.near * self.n_generated)
        return float(hypergeom.cdf(below, self.n_generated + self.n_holdout, self.n_holdout, k + below)) if k else 1.0

    @property
    def duplicates_p(self) -> float:
        """Fisher's exact test, one-sided: small if the rate of duplicates is higher in generated than held-out."""
        both, everything = self.duplicates + self.duplicates_holdout, self.n_generated + self.n_holdout
        return float(hypergeom.sf(self.duplicates - 1, everything, both, self.n_generated))

    @property
    def verdict(self) -> str:
        """One sentence: memorised or not, with the p-value."""
        p = f"p = {self.p_value:.2g}, {self.n_permutations} permutations"
        if self.memorised and min(self.near_p, self.duplicates_p) <= self.alpha / 2:
            return f"Generated events lie too close to training events: some are copied ({p})."
        if self.memorised:
            return (
                f"Generated events lie nearer to training than to held-out events, though not as near as copies ({p}): "
                "the model has begun to learn its training events by heart."
            )
        return f"No sign that training events were copied at this size ({p})."

    def __str__(self) -> str:
        lines = [
            self.verdict,
            f"{percent(self.share)} ± {percent(self.share_error)} of generated events lie nearer to a training event "
            f"than to any held-out one; a model that has not memorised gives {percent(self.share_expected)} "
            f"(p = {self.share_p:.2g}). Of the {self.n_closest:,} closest it is {percent(self.closest_share)} "
            f"(p = {self.closest_p:.2g}).",
            f"{percent(self.near)} of generated events ({percent(self.near_low)} to {percent(self.near_high)}) lie "
            f"closer to a training event than 99 % of held-out events do; a model that has not memorised gives 1 %.",
            f"{self.duplicates:,} of {self.n_generated:,} generated and {self.duplicates_holdout:,} of "
            f"{self.n_holdout:,} held-out events equal a training event (within {self.tolerance:g} of the spread), "
            f"{percent(self.duplicates / self.n_generated)} and {percent(self.duplicates_holdout / self.n_holdout)}.",
        ]
        if self.c_t is not None:
            lines.append(
                f"C_T = {self.c_t:.2f} ± {self.c_t_spread:.2f}, 0 without copying, below 0 with it (p = "
                f"{self.c_t_p:.2g})."
            )
        lines.append(
            f"Authenticity: {percent(self.authenticity)} of generated events, {percent(self.authenticity_holdout)} of "
            "held-out events."
        )
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """Return plain dictionaries, lists, numbers and strings."""
        return to_plain(self) | {"verdict": self.verdict, "memorised": self.memorised}

    @classmethod
    def from_json(cls, content: dict[str, object]) -> "MemorisationResult":
        """Return the result that `to_json` wrote.

        Raises
        ------
        InputError
            When keys are missing or unknown.
        """
        try:
            return from_plain(cls, content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(
                f"Expected the content of a memorisation result, got something else ({error}). Run it again."
            ) from None


@checked
def memorisation(
    train: ArrayLike,
    holdout: ArrayLike,
    generated: ArrayLike,
    *,
    n_permutations: Count = 999,
    block: Count = 1,
    tolerance: NonNegative = 1e-6,
    n_pairs: Whole = 10,
    alpha: Level = 0.05,
    random_state: RandomState = None,
) -> MemorisationResult:
    """Compare the distances of generated events to training and to held-out events.

    Parameters
    ----------
    train : (t, *event), the events that the generator was trained on.
    holdout : (h, *event), real events of the same law that it has not seen.
    generated : (m, *event).
    n_permutations : B; the smallest p-value is 1/(B + 1).
    block : neighbouring real events that change their label together, at least ten autocorrelation times of a chain.
    tolerance : distance in units of the spread up to which a generated event counts as a duplicate.
    n_pairs : closest pairs to list.
    alpha : level of the verdict.

    Raises
    ------
    InputError
        For fewer than 20 events of a kind, NaN, or different features.
    """
    samples = in_same_words({"train": train, "holdout": holdout, "generated": generated})
    seed, first, arrays = as_seed(random_state), read_sample(samples["train"], "train"), []
    for what, given in samples.items():
        sample = first if what == "train" else aligned(first, read_sample(given, what), what, "train")
        arrays.append(sample.values.reshape(-1, *sample.event_shape))
        check_table(arrays[-1], what, min_rows=MIN_ROWS)
    if len({array.shape[1:] for array in arrays}) > 1:
        raise InputError(
            f"Expected train, holdout and generated with the same features, got shapes "
            f"{', '.join(str(array.shape) for array in arrays)}. Select the same columns in all."
        )
    tables = one_precision(*(array.reshape(len(array), -1) for array in arrays))
    real = np.concatenate(tables[:2])
    centre, scale = robust_scale(real, real, image=arrays[0].ndim > 2)
    whole = t, h, g = [torch.from_numpy((table - centre) / scale) for table in tables]
    if t.shape[1] > MAX_COMPONENTS:
        reduced = fit_components(torch.cat([t, h]), child_seed(seed, "memorisation"))
        t, h, g = (reduced(part) for part in whole)
    exchange = exchange_test(t, h, g, n_permutations=n_permutations, block=block, seed=child_seed(seed, "memorisation"))
    (to_g, row_g), (to_h, row_h) = distances_to_train(t, g, seed), distances_to_train(t, h, seed)
    gaps = to_g, to_h
    if t is not whole[0]:
        gaps = tuple((x - whole[0][rows]).norm(dim=1).numpy() for x, rows in ((whole[2], row_g), (whole[1], row_h)))
    limit = float(np.quantile(to_h, NEAR))
    n_near = int((to_g < limit).sum())
    near_low, near_high = clopper_pearson(n_near, len(g))
    score, spread = copying_score(t, h, g, (to_g, to_h), seed=seed)
    defined = math.isfinite(score)
    closest = np.argsort(gaps[0], kind="stable")[:n_pairs]
    return MemorisationResult(
        **vars(exchange),
        near=n_near / len(g),
        near_low=float(near_low),
        near_high=float(near_high),
        near_distance=limit,
        c_t=score if defined else None,
        c_t_spread=spread if defined else None,
        c_t_p=float(ndtr(score / spread)) if defined else None,
        authenticity=authenticity(t, to_g, row_g, seed),
        authenticity_holdout=authenticity(t, to_h, row_h, seed),
        duplicates=int((gaps[0] <= tolerance).sum()),
        duplicates_holdout=int((gaps[1] <= tolerance).sum()),
        closest=tuple(NearCopy(int(k), int(row_g[k]), float(gaps[0][k])) for k in closest),
        n_train=len(t),
        n_holdout=len(h),
        n_generated=len(g),
        n_permutations=n_permutations,
        block=block,
        tolerance=tolerance,
        seed=seed,
        alpha=alpha,
    )


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
    k = min(n_features, MAX_COMPONENTS)
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
