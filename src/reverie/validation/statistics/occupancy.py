"""Regions of feature space: how many real and how many generated events each one holds, as a table that speaks.

k-means cells that are fitted on one sample fit its fluctuations, so the sample itself is no fair reference for
them. Here the cells come from other events (`compare_bins`), or from those of all samples together, as in the
battery: neither knows the labels that are exchanged. Modes of the user are regions too (`mode_occupancy`). Then n
events x are compared with m events y. With counts x_k and y_k of region k, T_k = x_k + y_k and s_k = x_k / n - y_k / m,

    chi^2 = n m sum_k s_k^2 / Q_k,     Q_k = sum of w^2 in the region, which is T_k without weights    (Pearson 1900)

has K - 1 degrees of freedom. With weights of mean one x_k and y_k are sums of weights. Q_k does not know the
labels, so one matrix product gives chi^2 for all labellings, and negative weights do no harm. To leading order
chi^2 = 8 JS / (1/n + 1/m), JS the Jensen-Shannon divergence of the two histograms in nats.

A single region differs at level alpha if its two-proportion z,

    z_k = -s_k / sqrt(Q_k (1 - T_k/N) / (n m)),         positive where generated events are too many

is too large. The number of regions that do (NDB, Richardson and Weiss 2018) is alpha K +- sqrt(K alpha (1 - alpha)) by
chance; which regions those are is decided with Holm's correction. Cells in which fewer than 5 events of the smaller
sample are expected are first merged with the cell of the nearest centre. A mode of share p stays empty in n events with
probability (1 - p)^n: below p = 3/n a missing mode cannot be seen at 95 % (rule of three).

p-values are those of the normal law for independent events without relabellings. With relabellings
(`reverie.validation.permutation.relabelling`) they are those of each gap y_k - x_k, and of chi^2, among the
labellings, with the step-down correction of `reverie.validation.permutation.multiple_testing`. For blocks of a chain
the variance of a gap over the labellings, in units of that of independent events, says how many of its events are
worth an independent one: z and intervals take this into account, region by region.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from scipy.special import chdtrc, ndtr
from torch import Tensor

from reverie.core.arguments import Count, Level, checked
from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson, percent
from reverie.core.random import as_generator, child_seed
from reverie.core.statistics import effective_size
from reverie.core.tables import as_column
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.inputs.tables import as_rows
from reverie.validation.permutation.multiple_testing import holm, permutation_p, ranked, step_down
from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error, relabellings
from reverie.validation.permutation.signed_measures import Rows, row_sums

__all__ = [
    "Bins",
    "Cells",
    "Occupancy",
    "Region",
    "bin_regions",
    "bin_statistic",
    "compare_bins",
    "fit_cells",
    "mode_occupancy",
    "occupancy",
    "region_names",
]

LEAST_EXPECTED = 5
MAX_BINS = 100
_EVENTS_PER_BIN = 20
_MIXED = 0.05  # from a code on, a mean of codes names no word

Cells: TypeAlias = tuple[np.ndarray, np.ndarray]  # centres (k, d) in the unit of the rows, fitted events of each (k,)


@dataclass(frozen=True)
class Bins:
    """Regions around centres, with the region of each pooled row."""

    centres: Tensor  # (K, d), the mean of the fitted events in each region, in the unit of the rows
    of_row: Tensor  # (N,) int64, 0 ... K - 1

    def __len__(self) -> int:
        return len(self.centres)


@dataclass(frozen=True)
class Region:
    """One region: shares of both samples with their 95 % intervals (Clopper-Pearson).

    Parameters
    ----------
    name : Name of the region, such as "the region near pt = 31" or "mode 3".
    real, generated : shares, each in [0, 1].
    real_interval, generated_interval : (low, high).
    z : two-proportion z, positive where generated events are too many.
    p_adjusted : two-sided, corrected for the number of regions: Holm's of z, or step-down of the relabellings.
    """

    name: str
    real: float
    generated: float
    real_interval: tuple[float, float]
    generated_interval: tuple[float, float]
    z: float
    p_adjusted: float

    def __str__(self) -> str:
        return (
            f"{self.name} holds {percent(self.generated)} of generated and {percent(self.real)} of real events "
            f"(z = {self.z:.1f})"
        )


@dataclass(frozen=True)
class Occupancy:
    """How two samples fill the same regions.

    Parameters
    ----------
    regions : The regions, in their order.
    chi2, dof, p_value : homogeneity of all regions; p is asymptotic, or from relabellings where there are some.
    n_real, n_generated : events, effective ones where they are weighted.
    alpha : level of `n_different` and `worst`.
    n_different : regions with p <= alpha before correction (NDB).
    expected_different : mean and standard deviation of that number by chance; None in files of older versions.
    """

    regions: tuple[Region, ...]
    chi2: float
    dof: int
    p_value: float
    n_real: float
    n_generated: float
    alpha: float
    n_different: int
    expected_different: tuple[float, float] | None = None

    @property
    def worst(self) -> tuple[Region, ...]:
        """The regions that differ after Holm's correction, the most significant first."""
        return tuple(sorted((r for r in self.regions if r.p_adjusted <= self.alpha), key=lambda r: -abs(r.z)))

    @property
    def missing(self) -> tuple[Region, ...]:
        """Regions with real but no generated events, that differ after correction."""
        return tuple(region for region in self.worst if region.generated == 0)

    @property
    def blind_below(self) -> float:
        """Share of a mode below which its absence would not be seen, 3/n of the smaller sample."""
        return min(1.0, 3 / min(self.n_real, self.n_generated))

    @property
    def counted(self) -> str:
        """How many regions differ, beside what chance gives, as part of a sentence."""
        text = f"{self.n_different} differ at {self.alpha:.0%}"
        if self.expected_different is None:
            return text
        mean, spread = self.expected_different
        return f"{text} where chance gives {mean:.1f} ± {spread:.1f}"

    def __str__(self) -> str:
        p = f"= {self.p_value:.2g}" if self.p_value > 1e-10 else "< 1e-10"  # the asymptotic law ends before that
        lines = [
            f"{len(self.regions)} regions: chi2 = {self.chi2:.4g} for {self.dof} degrees of freedom, p {p}; "
            f"{self.counted}."
        ]
        lines += [f"{str(region)[:1].upper()}{str(region)[1:]}." for region in self.worst[:3]]
        lines += [f"Missing: {', '.join(region.name for region in self.missing)}."] if self.missing else []
        lines.append(f"A mode of less than {percent(self.blind_below)} of the events could be missing unseen.")
        return "\n".join(lines)


def fit_cells(fit_on: Tensor, smaller: int, *, n_bins: int | None = None, seed: int = 0) -> Cells:
    """Return `n_bins` k-means cells of `fit_on` (r, d).

    None takes one per 20 events of the smaller of the samples that will be compared, of which there are `smaller`.
    """
    from sklearn.cluster import KMeans

    if fit_on.ndim != 2 or len(fit_on) < 2:
        raise InputError(
            f"Expected at least two rows (rows, features) to fit the regions on, got {tuple(fit_on.shape)}. "
            "Give a third sample of real events."
        )
    wanted = min(MAX_BINS, smaller // _EVENTS_PER_BIN) if n_bins is None else n_bins
    spots = np.ascontiguousarray(fit_on.double().cpu().numpy())
    k = max(1, min(wanted, len(np.unique(spots, axis=0))))
    fitted = KMeans(n_clusters=k, random_state=seed % 2**32).fit(spots)
    return fitted.cluster_centers_, np.bincount(fitted.predict(spots), minlength=k).astype(float)


def bin_regions(z: Tensor, cells: Cells, smaller: int) -> Bins:
    """Return the regions of the pooled rows z (N, d): cells with too few of them are merged."""
    from sklearn.metrics import pairwise_distances_argmin

    centres, sizes = (part.copy() for part in cells)
    if z.shape[1] != centres.shape[1]:
        raise InputError(
            f"Expected the {centres.shape[1]} features of the third sample that the regions were fitted on, got "
            f"{z.shape[1]}. Select the same columns."
        )
    rows = pairwise_distances_argmin(z.double().cpu().numpy(), centres)
    # what is merged is decided by the pooled counts, which do not know the labels
    left, region = np.arange(len(centres)), np.arange(len(centres))
    pooled = np.bincount(rows, minlength=len(centres)).astype(float)
    while len(left) > 1 and pooled[left].min() < LEAST_EXPECTED * len(z) / smaller:
        small = left[np.argmin(pooled[left])]
        left = left[left != small]
        into = left[np.square(centres[left] - centres[small]).sum(1).argmin()]
        both = sizes[into] + sizes[small]
        centres[into] = (sizes[into] * centres[into] + sizes[small] * centres[small]) / both
        sizes[into], pooled[into] = both, pooled[into] + pooled[small]
        region[region == small] = into
    return Bins(torch.from_numpy(centres[left]), torch.from_numpy(np.searchsorted(left, region[rows])))


def bin_statistic(bins: Bins, relabel: Relabellings) -> Computed:
    """Return chi^2 of homogeneity under every labelling (see the module)."""
    k, scale = len(bins), relabel.n * relabel.m * relabel.unit**2
    squares = torch.zeros(k, dtype=torch.float64).index_add_(0, bins.of_row, relabel.row_weights.square())
    values, left_out = (
        (scale * _region_sums(bins.of_row, k, columns).square() / squares[:, None]).sum(0).numpy()
        for columns in (relabel.contrasts, relabel.jackknife)
    )
    return Computed(values, jackknife_error(left_out), detail=f"{k} regions, {k - 1} expected")


def _region_sums(of_row: Tensor, k: int, columns: Rows) -> Tensor:
    """Return the sums of the columns over the rows of each of k regions, (k, columns) float64."""
    return row_sums(len(of_row), lambda rows: torch.nn.functional.one_hot(of_row[rows], k).float(), columns)


@checked
def compare_bins(
    real: ArrayLike,
    generated: ArrayLike,
    fit_on: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    n_bins: int | None = None,
    block: int = 1,
    n_permutations: int = 999,
    seed: int = 0,
    alpha: float = 0.05,
) -> Occupancy:
    """Return the occupancy of k-means regions of `fit_on` (r, d) by real (n, d) and generated (m, d).

    Features should have comparable spreads; a region is named by its centre, in the unit of the arguments.

    Parameters
    ----------
    real, generated, fit_on : events; the last are other real ones, on which the regions are fitted.
    names : Names of the features, shape (d,).
    n_bins : regions before merging; None takes one per 20 events of the smaller sample, at most 100.
    block, n_permutations : Neighbouring events that belong together, and permutations, as in `mode_occupancy`.
    seed : Seed of the regions, and of the permutations of blocks.
    alpha : level of what differs.
    """
    real, generated, fit_on = (rows.detach() for rows in as_rows(real=real, generated=generated, fit_on=fit_on))
    z = torch.cat([real, generated])
    smaller = min(len(real), len(generated))
    bins = bin_regions(z, fit_cells(fit_on, smaller, n_bins=n_bins, seed=seed), smaller)
    here = bins.of_row.numpy()
    called = region_names(bins.centres.numpy(), names)
    relabel = _relabelled_blocks(len(real), len(generated), block, n_permutations, child_seed(seed, "permutations"))
    return occupancy(here[: len(real)], here[len(real) :], called, relabel=relabel, alpha=alpha)


def region_names(
    centres: np.ndarray,
    names: Sequence[str] | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    *,
    most: int = 2,
) -> list[str]:
    """Return words for each centre (K, d): the features in which it is farthest from the others.

    Give centres in the unit that the reader knows. `labels` has the words behind the codes of columns of words, by
    name: a centre is called by one only where it is that code, as it is where all events about it have that word.
    """
    names = [f"x{j}" for j in range(centres.shape[1])] if names is None else names
    labels, spread = labels or {}, centres.std(0)
    away = np.abs(centres - centres.mean(0)) / np.where(spread > 0, spread, np.inf)
    for j in [j for j, name in enumerate(names) if name in labels]:
        away[np.abs(centres[:, j] - np.round(centres[:, j])) > _MIXED, j] = -1.0
    called = []
    for centre, row in zip(centres, away, strict=True):
        parts = []
        for j in sorted(np.argsort(-row, kind="stable")[:most].tolist()):
            words = labels.get(names[j])
            if row[j] >= 0:
                value = f"{centre[j]:.3g}" if words is None else words[round(float(centre[j]))]
                parts.append(f"{names[j]} = {value}")
        called.append(f"the region near {', '.join(parts)}" if parts else "a region of mixed words")
    return called


@checked
def mode_occupancy(
    real_labels: ArrayLike,
    generated_labels: ArrayLike,
    *,
    block: Count = 1,
    n_permutations: Count = 999,
    random_state: RandomState = 0,
    alpha: Level = 0.05,
) -> Occupancy:
    """Return how real and generated events fill given modes, such as the clusters of `reverie.explore`.

    Parameters
    ----------
    real_labels, generated_labels : (n,) and (m,), the mode of each event, numbers or words.
    block : neighbouring events of a chain that belong together, at least ten autocorrelation times; p-values then
        come from permutations of whole blocks. 1 for independent events.
    n_permutations, random_state : permutations, and their seed, for blocks.

    Raises
    ------
    InputError
        For labels that are neither numbers nor words, or numbers in one sample and words in the other.
    """
    labels = []
    for what, given in (("real_labels", real_labels), ("generated_labels", generated_labels)):
        x = as_column(given, what).ravel()
        if x.dtype.kind == "O" and all(isinstance(one, str) for one in x):
            x = x.astype(str)
        if x.dtype.kind not in "biufU" or (x.dtype.kind == "f" and np.isnan(x).any()):
            raise InputError(
                f"Expected the mode of each event in {what}, a number or a word, got entries that are neither. Leave "
                "those events out, or name their mode."
            )
        labels.append(x)
    if len({x.dtype.kind == "U" for x in labels}) > 1:
        raise InputError(
            "Expected labels of one kind, got numbers in one sample and words in the other. Give one kind."
        )
    modes, place = np.unique(np.concatenate(labels), return_inverse=True)
    n = len(labels[0])
    relabel = _relabelled_blocks(n, len(place) - n, block, n_permutations, random_state)
    called = [f"mode {mode}" for mode in modes.tolist()]
    return occupancy(place[:n], place[n:], called, relabel=relabel, alpha=alpha)


def occupancy(
    real: np.ndarray,
    generated: np.ndarray,
    names: Sequence[str],
    *,
    real_weights: np.ndarray | None = None,
    generated_weights: np.ndarray | None = None,
    relabel: Relabellings | None = None,
    alpha: float = 0.05,
) -> Occupancy:
    """Return the table of regions 0 ... K - 1, of n real and m generated events, with K names.

    Parameters
    ----------
    real, generated : (n,) and (m,) whole numbers, the region of each event.
    real_weights, generated_weights : event weights of any unit, each with a positive sum; None counts events.
    relabel : labellings of these events, real ones first, that give the p-values (see the module); None for
        independent events and the normal law.
    """
    n, m, k = len(real), len(generated), len(names)
    if not n or not m or max(real.max(), generated.max()) >= k or min(real.min(), generated.min()) < 0:
        raise InputError(f"Expected regions 0 to {k - 1} of at least one event in each sample, got {n} and {m} events.")
    x, x_squares, n_eff = _sums(real, real_weights, k)
    y, y_squares, m_eff = _sums(generated, generated_weights, k)
    squares = x_squares + y_squares
    used = squares > 0
    gap = np.where(used, y / m - x / n, 0.0)
    spread = squares / (n * m)
    variance = spread * (1 - (x + y) / (n + m))
    chi2 = float((gap[used] ** 2 / spread[used]).sum())
    dof = int(used.sum()) - 1
    inflation, expected = np.ones(k), (alpha * k, (k * alpha * (1 - alpha)) ** 0.5)
    gaps = None
    if relabel is not None:
        of_row = torch.from_numpy(np.concatenate([real, generated]))
        gaps = _region_sums(of_row, k, relabel.contrasts).numpy() * relabel.unit
        if relabel.block > 1:
            np.divide(np.square(gaps[:, 1:]).mean(1), variance, out=inflation, where=variance > 0)
    z = np.divide(gap, np.sqrt(variance * inflation), out=np.zeros(k), where=variance * inflation > 0)
    if gaps is None:
        p = 2 * ndtr(-np.abs(z))
        adjusted, p_value = holm(p.tolist()), float(chdtrc(dof, chi2)) if dof > 0 else 1.0
    else:
        ranks = [ranked(np.abs(row)) for row in gaps]
        different = np.sum([rank.p <= alpha for rank in ranks], axis=0)
        p, expected = np.array([rank.observed_p for rank in ranks]), (different[1:].mean(), different[1:].std())
        adjusted, p_value = step_down(ranks), permutation_p((gaps[used] ** 2 / spread[used, None]).sum(0))
    columns = [names, (x / n).tolist(), (y / m).tolist()]
    for share, size in ((x / n, n_eff / inflation), (y / m, m_eff / inflation)):
        limits = clopper_pearson(share * size, size)
        columns.append(list(zip(*(limit.tolist() for limit in limits), strict=True)))
    return Occupancy(
        regions=tuple(Region(*row) for row in zip(*columns, z.tolist(), adjusted, strict=True)),
        chi2=chi2,
        dof=dof,
        p_value=p_value,
        n_real=n_eff,
        n_generated=m_eff,
        alpha=alpha,
        n_different=int((p <= alpha).sum()),
        expected_different=(float(expected[0]), float(expected[1])),
    )


def _relabelled_blocks(
    n: int, m: int, block: int, n_permutations: int, random_state: RandomState
) -> Relabellings | None:
    """Return the relabellings of blocks of n + m events, None for blocks of one."""
    check_positive("block", block, integer=True)
    if block == 1:
        return None
    if block > min(n, m) // 2:
        raise InputError(
            f"Expected at least two blocks in each sample, got block = {block} for {n:,} and {m:,} events. Use shorter "
            "blocks, or longer chains."
        )
    return relabellings(n, m, n_permutations, as_generator(random_state), block=block)


def _sums(regions: np.ndarray, weights: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the sums of weights of mean one in each region, of their squares, and the effective number of events."""
    w = np.ones(len(regions)) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != regions.shape or w.sum() <= 0:
        raise InputError(f"Expected one weight per event with a positive sum, got shape {w.shape}, sum {w.sum():.4g}.")
    w = w / w.mean()
    x, squares = (np.bincount(regions, part, minlength=k) for part in (w, w**2))
    return x, squares, effective_size(w)
