"""The battery: every statistic on the same pooled rows, with the same permutations.

    by feature         KS, Anderson-Darling, tails; observables of one number per event stand among the features
    all features       Hotelling T², correlations, sliced Wasserstein, energy distance, MMD (Gaussian and
                       polynomial), Frechet
    neighbourhoods     kNN labels, precision, recall, density, coverage
    regions            k-means bins
    learned            kernel likelihood ratio
    observables        their means, with covariance
    hard constraints   the shares of events that break them, equal events

Each statistic is a small function of a comparison (`reverie.validation.comparison`) that returns columns: what it is
for every labelling, and what is shown. `STATISTICS` lists them in groups; the columns of a group, such as all features
of KS or all bandwidths of MMD, are combined first. To add a statistic, write such a function, add a row here and its
description to `reverie.validation.references`; one that is not quadratic in the difference of the laws also needs its
law in `reverie.validation.power.events_needed`. `reverie.validation.battery` runs them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from reverie.core.random import child_generator
from reverie.validation.comparison import Bench, Comparison
from reverie.validation.permutation.duplicates import twin_columns
from reverie.validation.permutation.relabelling import Computed
from reverie.validation.statistics.bins import bin_statistic
from reverie.validation.statistics.constraints import TWINS, constraint_columns
from reverie.validation.statistics.correlations import correlation_columns
from reverie.validation.statistics.frechet import frechet_columns
from reverie.validation.statistics.kernel_features import (
    draw_frequencies,
    fourier_columns,
    n_monomials,
    polynomial_columns,
)
from reverie.validation.statistics.kernels import (
    BANDWIDTH_FACTORS,
    Kernel,
    energy_kernel,
    gaussian_kernel,
    kernel_columns,
    kernel_share,
    polynomial_block_columns,
)
from reverie.validation.statistics.likelihood_ratio import likelihood_ratio_columns
from reverie.validation.statistics.marginal import change_of_shape, marginal_columns, tail_columns
from reverie.validation.statistics.moments import hotelling_columns
from reverie.validation.statistics.neighbours import label_share, neighbour_graph
from reverie.validation.statistics.observables import mean_columns
from reverie.validation.statistics.precision_recall import BallStatistic, ball_statistics, list_length
from reverie.validation.statistics.sliced import draw_directions, energy_by_slices, sliced_columns

__all__ = [
    "CONSTRAINTS",
    "OBSERVABLE_MEANS",
    "STATISTICS",
    "Column",
    "Groups",
    "Share",
    "Statistic",
    "has_shares",
    "kernel_statistics",
    "share_of_kernels",
]

OBSERVABLE_MEANS = "observable mean"  # a group whose results are of their own kind
CONSTRAINTS = "hard constraints"  # another
N_DIRECTIONS = 50
N_NEIGHBOURS = 5
N_FREQUENCIES = 1000
MAX_EXACT = 50_000  # pooled rows up to which energy distance and Gaussian MMD are computed from all pairs


@dataclass(frozen=True)
class Column:
    """One statistic, ready to be judged.

    Parameters
    ----------
    name, feature : of the statistic, and the feature it looked at, None for all.
    values : (B + 1,), observed first; large means different.
    value, low, high : what is shown, and the band that holds the central 90 % of chance on the same scale.
    error : jackknife error of `value`, nan where it is not defined.
    real : the same for real against real; None if that was not asked for.
    detail : what else it saw.
    is_falling : whether what is shown falls where `values` rises, as for a coverage.
    extra : degrees of freedom of an observable and of Hotelling's T².
    """

    name: str
    feature: str | None
    values: np.ndarray
    value: float
    low: float
    high: float
    error: float
    real: float | None = None
    detail: str = ""
    is_falling: bool = False
    extra: float = 0.0


Groups = dict[str, list[Column]]  # by name of the group
Share = list[Tensor]  # of the work of one statistic
Statistic = Callable[[Bench, Comparison], Groups]


def _column(name: str, computed: Computed, feature: str | None = None) -> Column:
    chance = computed.values[1:] + computed.shift
    low, high = np.quantile(chance, [0.05, 0.95]) if len(chance) else (np.nan, np.nan)
    return Column(
        name, feature, computed.values, computed.value, float(low), float(high), computed.error, detail=computed.detail
    )


def _by_feature(bench: Bench, c: Comparison) -> Groups:
    names = bench.single_names
    groups: Groups = {"KS": [], "Anderson-Darling": []}
    for j, (name, found) in enumerate(zip(names, marginal_columns(c.single, c.relabel), strict=True)):
        change = _change(c, j)
        groups["KS"].append(replace(_column("KS", found.ks, name), detail=change))
        groups["Anderson-Darling"].append(replace(_column("Anderson-Darling", found.ad, name), detail=change))
    if c.relabel.weights is None:  # few weighted events lie there: the permutations hold for many only
        tails = tail_columns(c.single, c.relabel, bench.edges, c.third)
        groups["tails"] = [_column("tails", tail, name) for tail, name in zip(tails, names, strict=True)]
    return groups


def _change(c: Comparison, j: int) -> str:
    of_x, x = c.relabel.labels[:, 0].numpy(), c.single[:, j].numpy()
    w = None if c.relabel.weights is None else c.relabel.weights.numpy()
    return change_of_shape(x[of_x], x[~of_x], None if w is None else w[of_x], None if w is None else w[~of_x])


def _moments(bench: Bench, c: Comparison) -> Groups:
    return {
        "Hotelling T²": [
            replace(_column("Hotelling T²", found), detail=f"strongest in the {words}", extra=dof)
            for words, found, dof in hotelling_columns(c.few, c.relabel)
        ]
    }


def _correlations(bench: Bench, c: Comparison) -> Groups:
    if c.few.shape[1] < 2:
        return {}
    sides = ("real", "generated")
    found = correlation_columns(c.few, c.relabel, names=bench.few_names, sides=sides)
    return {"correlation difference": [_column("correlation difference", found)]}


def _sliced(bench: Bench, c: Comparison) -> Groups:
    directions = draw_directions(c.few.shape[1], N_DIRECTIONS, child_generator(bench.seed, "directions"))
    return {"sliced Wasserstein": [_column("sliced Wasserstein", sliced_columns(c.few, c.relabel, directions).w1)]}


def kernel_statistics(bench: Bench, c: Comparison, shares: Sequence[Share] | None = None) -> Groups:
    """Return energy distance and MMD, of the shares of the work where it is done already."""
    exact = has_shares(c)
    how = "" if exact else "; estimated"
    if exact:
        energy, *gaussians = kernel_columns(c.few, c.relabel, _kernels(bench), shares=shares)
    else:
        d, widths = c.few.shape[1], _widths(bench)
        frequencies = draw_frequencies(d, N_FREQUENCIES, child_generator(bench.seed, "frequencies"))
        gaussians = fourier_columns(c.few, c.relabel, widths, frequencies)
        directions = draw_directions(d, 4 * N_DIRECTIONS, child_generator(bench.seed, "directions"))
        energy = energy_by_slices(c.few, c.relabel, directions)
    mmds = [
        replace(_column("MMD", one), detail=f"strongest at {factor:g} times the median distance{how}")
        for factor, one in zip(BANDWIDTH_FACTORS, gaussians, strict=True)
    ]
    return {"energy distance": [replace(_column("energy distance", energy), detail=how[2:])], "MMD": mmds}


def has_shares(c: Comparison) -> bool:
    """Tell whether energy distance and MMD are computed from all pairs, which takes longest and can be shared."""
    return len(c.few) <= MAX_EXACT


def share_of_kernels(bench: Bench, c: Comparison, share: tuple[int, int]) -> Share:
    """Return share k of n of the work of `kernel_statistics`, as (k, n)."""
    return kernel_share(c.few, c.relabel, _kernels(bench), share=share)


def _widths(bench: Bench) -> list[float]:
    return [factor * bench.median for factor in BANDWIDTH_FACTORS]


def _kernels(bench: Bench) -> list[Kernel]:
    return [energy_kernel, *map(gaussian_kernel, _widths(bench))]


def _polynomial(bench: Bench, c: Comparison) -> Groups:
    by_features = n_monomials(c.few.shape[1]) < len(c.few) / 2
    found = (polynomial_columns if by_features else polynomial_block_columns)(c.few, c.relabel)
    return {"polynomial MMD": [_column("polynomial MMD", found)]}


def _frechet(bench: Bench, c: Comparison) -> Groups:
    return {"Frechet distance": [_column("Frechet distance", frechet_columns(c.few, c.relabel))]}


def _neighbourhoods(bench: Bench, c: Comparison) -> Groups:
    n, m = c.relabel.n, c.relabel.m
    graph = neighbour_graph(c.few, list_length(n, m, N_NEIGHBOURS), child_generator(bench.seed, "ties"))
    groups: Groups = {"kNN labels": [_column("kNN labels", label_share(graph, c.relabel, N_NEIGHBOURS))]}
    if c.relabel.weights is None:  # balls count events
        groups |= {ball.name: [_ball(ball)] for ball in ball_statistics(graph, c.relabel, N_NEIGHBOURS)}
    return groups


def _ball(ball: BallStatistic) -> Column:
    """Return precision, recall, density or coverage as it is: it falls where the test statistic rises."""
    chance = ball.expected - ball.computed.values[1:]
    low, high = np.quantile(chance, [0.05, 0.95]) if len(chance) else (np.nan, np.nan)
    return Column(
        ball.name,
        None,
        ball.computed.values,
        ball.value,
        float(low),
        float(high),
        ball.computed.error,
        detail=ball.computed.detail,
        is_falling=True,
    )


def _bins(bench: Bench, c: Comparison) -> Groups:
    return {"bins": [_column("bins", bin_statistic(c.bins, c.relabel))]}


def _modes(bench: Bench, c: Comparison) -> Groups:
    return {} if c.modes is None else {"modes": [_column("modes", bin_statistic(c.modes, c.relabel))]}


def _likelihood_ratio(bench: Bench, c: Comparison) -> Groups:
    """Return a smooth and a rough fit: none sees both a small shift of everything and a change in fine structure."""
    if c.relabel.weights is not None and (c.relabel.weights < 0).any():
        return {}  # the loss has no minimum
    columns = []
    for words, ridge, quantile in (("smooth", 1e-2, 0.9), ("rough", 1e-5, 0.5)):
        generator = child_generator(bench.seed, "centres")
        found = likelihood_ratio_columns(c.few, c.relabel, ridge=ridge, quantile=quantile, generator=generator)
        columns.append(replace(_column("likelihood ratio", found), detail=f"strongest in the {words} fit"))
    return {"likelihood ratio": columns}


def _observables(bench: Bench, c: Comparison) -> Groups:
    columns = []
    for name, v in c.observables.items():
        found, dof = mean_columns(v, c.relabel)
        columns.append(replace(_column(OBSERVABLE_MEANS, found, name), extra=dof))
    return {OBSERVABLE_MEANS: columns} if columns else {}


def _constraints(bench: Bench, c: Comparison) -> Groups:
    names = [*bench.given, *bench.inferred]
    found = list(constraint_columns(c.broken, c.relabel))
    if c.sets is not None:
        names.append(TWINS)
        found.append(twin_columns(c.sets, c.relabel))
    columns = [_column(CONSTRAINTS, Computed(values), name) for name, values in zip(names, found, strict=True)]
    return {CONSTRAINTS: columns} if columns else {}


STATISTICS: tuple[tuple[str, Statistic], ...] = (
    ("features one by one", _by_feature),
    ("moments", _moments),
    ("correlations", _correlations),
    ("sliced Wasserstein", _sliced),
    ("Frechet distance", _frechet),
    ("neighbourhoods", _neighbourhoods),
    ("bins", _bins),
    ("modes", _modes),
    ("likelihood ratio", _likelihood_ratio),
    ("observables", _observables),
    ("hard constraints", _constraints),
    ("polynomial MMD", _polynomial),
    ("energy distance and MMD", kernel_statistics),
)
