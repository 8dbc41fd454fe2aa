"""Regions of feature space: how many real and how many generated events each one holds.

k-means cells that are fitted on one sample fit its fluctuations, so the sample itself is no fair reference for
them. Here the cells come from other events (`compare_bins`), or from those of all samples together, as in the
battery: neither knows the labels that are exchanged. Then n events x are compared with m events y. With
counts x_k and y_k of bin k, T_k = x_k + y_k and s_k = x_k / n - y_k / m,

    chi^2 = n m sum_k s_k^2 / Q_k,     Q_k = sum of w^2 in the bin, which is T_k without weights    (Pearson 1900)

has K - 1 degrees of freedom. With weights of mean one x_k and y_k are sums of weights. Q_k does not know the
labels, so one matrix product gives chi^2 for all labellings, and negative weights do no harm. To leading order
chi^2 = 8 JS / (1/n + 1/m), JS the Jensen-Shannon divergence of the two histograms in nats.

A single bin differs at level alpha if its two-proportion z,

    z_k = -s_k / sqrt(Q_k (1 - T_k/N) / (n m)),         positive where generated events are too many

is too large. The number of bins that do (NDB, Richardson and Weiss 2018) is alpha K +- sqrt(K alpha (1 - alpha)) by
chance; which bins those are is decided with Holm's correction. Bins in which fewer than 5 events of the smaller
sample are expected are first merged with the bin of the nearest centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.errors import InputError
from reverie.core.random import child_seed
from reverie.core.types import ArrayLike
from reverie.validation.inputs.tables import as_rows
from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error
from reverie.validation.statistics.occupancy import Occupancy, blocks_relabelled, occupancy, region_contrasts

__all__ = ["Bins", "Cells", "bin_regions", "bin_statistic", "compare_bins", "fit_cells", "region_names"]

LEAST_EXPECTED = 5
MAX_BINS = 100
_EVENTS_PER_BIN = 20
_ROWS = 4096


@dataclass(frozen=True)
class Bins:
    """Regions around centres, with the region of each pooled row.

    Parameters
    ----------
    centres : (K, d), the mean of the fitted events in each region, in the unit of the rows.
    of_row : (N,) int64, 0 ... K - 1.
    """

    centres: Tensor
    of_row: Tensor

    def __len__(self) -> int:
        return len(self.centres)


@dataclass(frozen=True)
class Cells:
    """Fitted k-means cells: centres (k, d) in the unit of the rows, and the fitted events of each, (k,)."""

    centres: np.ndarray
    sizes: np.ndarray


def fit_cells(fit_on: Tensor, smaller: int, *, n_bins: int | None = None, seed: int = 0) -> Cells:
    """Return k-means cells of `fit_on` (r, d).

    Parameters
    ----------
    smaller : events of the smaller of the two samples that will be compared, min(n, m).
    n_bins : cells before merging; None takes one per 20 events of the smaller sample, at most 100.

    Raises
    ------
    InputError
        For fewer than two events.
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
    return Cells(fitted.cluster_centers_, np.bincount(fitted.predict(spots), minlength=k).astype(float))


def bin_regions(z: Tensor, cells: Cells, smaller: int) -> Bins:
    """Return the regions of the pooled rows z (N, d): cells with too few of them are merged.

    Raises
    ------
    InputError
        For other features than those of the cells.
    """
    from sklearn.metrics import pairwise_distances_argmin

    if z.shape[1] != cells.centres.shape[1]:
        raise InputError(
            f"Expected the {cells.centres.shape[1]} features of the third sample that the regions were fitted on, got "
            f"{z.shape[1]}. Select the same columns."
        )
    rows = pairwise_distances_argmin(z.double().cpu().numpy(), cells.centres)
    return _merged(cells.centres, cells.sizes.copy(), rows, LEAST_EXPECTED * len(z) / smaller)


def bin_statistic(bins: Bins, relabel: Relabellings) -> Computed:
    """Return chi^2 of homogeneity under every labelling (see the module)."""
    n, m, k = relabel.n, relabel.m, len(bins)
    weights = torch.ones(n + m, dtype=torch.float64) if relabel.weights is None else relabel.weights
    squares = torch.zeros(k, dtype=torch.float64).index_add_(0, bins.of_row, weights.square())
    shares = region_contrasts(bins.of_row, k, relabel)
    left_out = torch.zeros(k, relabel.n_groups, dtype=torch.float64)
    for start in range(0, n + m, _ROWS):
        rows = slice(start, start + _ROWS)
        one_hot = torch.nn.functional.one_hot(bins.of_row[rows], k).T
        left_out += (one_hot.float() @ relabel.jackknife(rows)).double()
    scale = n * m * relabel.unit**2
    values, kept = ((scale * part.square() / squares[:, None]).sum(0).numpy() for part in (shares, left_out))
    return Computed(values, jackknife_error(kept), detail=f"{k} regions, {k - 1} expected")


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
    relabel = blocks_relabelled(len(real), len(generated), block, n_permutations, child_seed(seed, "permutations"))
    return occupancy(here[: len(real)], here[len(real) :], called, relabel=relabel, alpha=alpha)


def region_names(centres: np.ndarray, names: Sequence[str] | None = None, *, most: int = 2) -> list[str]:
    """Return words for each centre (K, d): the features in which it is farthest from the others.

    Give centres in the unit that the reader knows.
    """
    names = [f"x{j}" for j in range(centres.shape[1])] if names is None else names
    spread = centres.std(0)
    away = np.abs(centres - centres.mean(0)) / np.where(spread > 0, spread, np.inf)
    chosen = np.sort(np.argsort(-away, axis=1, kind="stable")[:, :most], axis=1)
    words = [[f"{names[j]} = {centre[j]:.3g}" for j in row] for centre, row in zip(centres, chosen, strict=True)]
    return [f"the region near {', '.join(parts)}" for parts in words]


def _merged(centres: np.ndarray, sizes: np.ndarray, rows: np.ndarray, least: float) -> Bins:
    # decided by the pooled counts, which do not know the labels
    alive = np.arange(len(centres))
    where = np.arange(len(centres))
    pooled = np.bincount(rows, minlength=len(centres)).astype(float)
    centres = centres.copy()
    while len(alive) > 1 and pooled[alive].min() < least:
        small = alive[np.argmin(pooled[alive])]
        alive = alive[alive != small]
        into = alive[np.square(centres[alive] - centres[small]).sum(1).argmin()]
        both = sizes[into] + sizes[small]
        centres[into] = (sizes[into] * centres[into] + sizes[small] * centres[small]) / both
        sizes[into], pooled[into] = both, pooled[into] + pooled[small]
        where[where == small] = into
    of_row = np.searchsorted(alive, where[rows])
    return Bins(torch.from_numpy(centres[alive]), torch.from_numpy(of_row))
