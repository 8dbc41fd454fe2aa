"""The statistics of a validation: one row each, computed on the same pooled rows with the same permutations.

    by feature         KS, Anderson-Darling, tails; observables of one number per event stand among the features
    all features       Hotelling T², correlations, sliced Wasserstein, energy distance, MMD (Gaussian and
                       polynomial), Frechet
    neighbourhoods     kNN labels, precision, recall, density, coverage
    regions            k-means bins, modes of the user
    learned            kernel likelihood ratio
    observables        their means, with covariance
    hard constraints   the shares of events that break them, equal events

A row of `STATISTICS` is a function of a comparison (`reverie.validation.comparison`) that returns columns, what the
statistic is for every labelling and what is shown; what it takes; and a `Check` for each name of its columns: the
sentence that says what it sees, its reference, how it grows with the difference of two laws, and which finding it
supports. The columns of a group, such as all features of KS or all bandwidths of MMD, are combined first. To add a
statistic, write such a function and add its row.

What a row takes is in seconds on one core of an ordinary processor of 2024, to a factor of two: the leading terms of
each algorithm, with constants that were measured; `reverie.validation.schedule` corrects them for the machine while it
runs. What grows as the square of the rows has a limit of `MAX_PAIRS` besides, beyond which it is left out: it would not
end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reverie.core.random import child_generator
from reverie.core.statistics import TREE_DIMENSIONS
from reverie.validation.comparison import Column, Comparison, Comparisons, Groups, column
from reverie.validation.permutation.duplicates import twin_columns
from reverie.validation.permutation.relabelling import Computed
from reverie.validation.schedule import MAX_PAIRS, SECONDS_PER_ELEMENT, SECONDS_PER_PRODUCT
from reverie.validation.statistics import kernels
from reverie.validation.statistics.constraints import TWINS, constraint_columns
from reverie.validation.statistics.correlations import correlation_columns
from reverie.validation.statistics.frechet import frechet_columns
from reverie.validation.statistics.likelihood_ratio import likelihood_ratio_columns
from reverie.validation.statistics.marginal import change_of_shape, change_of_shares, marginal_columns, tail_columns
from reverie.validation.statistics.moments import hotelling_columns, largest_change
from reverie.validation.statistics.neighbours import label_share, neighbour_graph
from reverie.validation.statistics.observables import mean_columns
from reverie.validation.statistics.occupancy import Bins, bin_statistic
from reverie.validation.statistics.precision_recall import ball_statistics, list_length
from reverie.validation.statistics.sliced import draw_directions, energy_by_slices, sliced_columns

__all__ = ["CHECKS", "CONSTRAINTS", "OBSERVABLE_MEANS", "STATISTICS", "Check", "Statistic", "Work"]

OBSERVABLE_MEANS = "observable mean"  # a group whose results are of their own kind
CONSTRAINTS = "hard constraints"  # another
N_DIRECTIONS = 50
N_NEIGHBOURS = 5
N_FREQUENCIES = 1000
MAX_EXACT = 50_000  # pooled rows up to which energy distance and Gaussian MMD are computed from all pairs
_LEFT_OUT_COLUMNS = 42  # of the jackknife
_LEADING = 4.0  # weight of the tests that see most deformations first, as found on laws that no benchmark quotes

Parts: TypeAlias = Sequence[Sequence[Tensor]]  # what the parts of the work of one statistic add
Growth: TypeAlias = Literal["quadratic", "distance", "share", "likelihood", "none"]


@dataclass(frozen=True)
class Check:
    """What is known of one statistic, whose columns have this name.

    Parameters
    ----------
    name : The name of the statistic, such as "KS".
    sentence : What it does, and what it is blind to.
    reference : The key of its citation.
    growth : How it grows with the difference of two laws (`reverie.validation.power.events_needed`): as the square; as
        a distance, the root of that; as a share, which does not depend on the number of events; as the Gaussian
        likelihood ratio; or "none", without such a law.
    finding : The kind of finding that it supports (`reverie.validation.results.findings`), "" for none of its own.
    weight : Its weight in the p-value of the whole battery (`reverie.validation.permutation.multiple_testing`), > 0.
    """

    name: str
    sentence: str
    reference: str
    growth: Growth = "quadratic"
    finding: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Work:
    """The size of the work of a comparison: pooled rows, features k, labellings with those of the jackknife."""

    comparison: Comparison
    rows: int
    k: int
    columns: int

    @classmethod
    def of(cls, c: Comparison) -> "Work":
        """Return the size of the work of one comparison."""
        return cls(c, len(c.few), c.few.shape[1], c.relabel.labels.shape[1] + _LEFT_OUT_COLUMNS)

    @property
    def cells(self) -> float:
        """Seconds to pass once over all rows of all labellings."""
        return self.rows * self.columns * SECONDS_PER_ELEMENT

    @property
    def products(self) -> float:
        """Seconds of a product of all labellings with one feature."""
        return self.rows * self.columns * SECONDS_PER_PRODUCT

    @property
    def pairs(self) -> float:
        """Seconds of a product over all pairs of rows, with all features and labellings."""
        return self.rows**2 * (self.columns + self.k) * SECONDS_PER_PRODUCT


@dataclass(frozen=True)
class Statistic:
    """One row: a statistic, or a few that share their work.

    Parameters
    ----------
    name : The name of the row, by which a user asks for it.
    compute : Function of what all statistics share, a comparison and, where the work was divided, its parts; returns
        the columns in their groups.
    seconds : Function of the `Work`: the seconds that it takes, 0 for nothing to compute, None if it would not end.
    checks : What is known of each name that the columns have; none for results of their own kind.
    part : Function that computes one of several parts of the work, called with (k, n) for part k of n; None if it is
        not divided.
    """

    name: str
    compute: Callable[..., Groups]
    seconds: Callable[[Work], float | None]
    checks: tuple[Check, ...] = ()
    part: Callable[[Comparisons, Comparison, tuple[int, int]], list[Tensor]] | None = None

    def is_divided(self, c: Comparison) -> bool:
        """Tell whether the work is computed from all pairs of rows, which takes longest, and is therefore divided."""
        return self.part is not None and len(c.few) <= MAX_EXACT


def _by_feature(shared: Comparisons, c: Comparison) -> Groups:
    names, of_x = shared.single_names, c.relabel.labels[:, 0].numpy()
    w = None if c.relabel.weights is None else c.relabel.weights.numpy()
    groups: Groups = {"KS": [], "Anderson-Darling": [], "tails": [], "shares": []}
    weights = (None, None) if w is None else (w[of_x], w[~of_x])
    for name, x, both in zip(names, c.single.T.numpy(), marginal_columns(c.single, c.relabel), strict=True):
        words = shared.labels.get(name)
        if words is None:
            change = change_of_shape(x[of_x], x[~of_x], *weights)
        else:
            change = change_of_shares(x[of_x], x[~of_x], words, *weights)
            met, place = np.unique(x, return_inverse=True)
            codes = Bins(torch.empty(len(met), 0), torch.from_numpy(place))
            groups["shares"].append(column("shares", bin_statistic(codes, c.relabel), name, detail=change))
        for test, one in zip(("KS", "Anderson-Darling"), both, strict=True):
            groups[test].append(column(test, one, name, detail=change))
    if w is None:  # few weighted events lie there: the permutations hold for many only
        tails = tail_columns(c.single, c.relabel, shared.edges, c.third)
        pairs = zip(tails, names, strict=True)
        groups["tails"] = [column("tails", tail, name) for tail, name in pairs if name not in shared.labels]
    return {test: columns for test, columns in groups.items() if columns}


def _alone(name: str, computed: Computed) -> Groups:
    """Return the groups of a statistic of one column."""
    return {name: [column(name, computed)]}


def _moments(shared: Comparisons, c: Comparison) -> Groups:
    name = "Hotelling T²"
    sets = hotelling_columns(c.few, c.relabel)
    return {name: [column(name, one, detail=f"strongest in the {words}", extra=dof) for words, one, dof in sets]}


def _largest_change(shared: Comparisons, c: Comparison) -> Groups:
    return {} if c.cells is None else _alone("largest change", largest_change(c.cells, c.relabel, shared.names))


def _correlations(shared: Comparisons, c: Comparison) -> Groups:
    change = correlation_columns(c.few, c.relabel, names=shared.few_names, sides=("real", "generated"))
    return _alone("correlation difference", change)


def _sliced(shared: Comparisons, c: Comparison) -> Groups:
    directions = draw_directions(c.few.shape[1], N_DIRECTIONS, child_generator(shared.seed, "directions"))
    return _alone("sliced Wasserstein", sliced_columns(c.few, c.relabel, directions)[0])


def _neighbourhoods(shared: Comparisons, c: Comparison) -> Groups:
    length = list_length(c.relabel.n, c.relabel.m, N_NEIGHBOURS)
    graph = neighbour_graph(c.few, length, child_generator(shared.seed, "ties"))
    groups = _alone("kNN labels", label_share(graph, c.relabel, N_NEIGHBOURS))
    if c.relabel.weights is not None:  # balls count events
        return groups
    for ball in ball_statistics(graph, c.relabel, N_NEIGHBOURS):
        # shown as it is: it falls where the test statistic rises
        chance = ball.expected - ball.computed.values[1:]
        low, high = np.quantile(chance, [0.05, 0.95]) if len(chance) else (np.nan, np.nan)
        shown = {"value": ball.value, "low": float(low), "high": float(high), "is_falling": True}
        groups[ball.name] = [replace(column(ball.name, ball.computed), **shown)]
    return groups


def _likelihood_ratio(shared: Comparisons, c: Comparison) -> Groups:
    """Return a smooth and a rough fit: none sees both a small shift of everything and a change in fine structure."""
    if c.relabel.weights is not None and (c.relabel.weights < 0).any():
        return {}  # the loss has no minimum
    columns = []
    for words, ridge, quantile in (("smooth", 1e-2, 0.9), ("rough", 1e-5, 0.5)):
        generator = child_generator(shared.seed, "centres")
        one = likelihood_ratio_columns(c.few, c.relabel, ridge=ridge, quantile=quantile, generator=generator)
        columns.append(column("likelihood ratio", one, detail=f"strongest in the {words} fit"))
    return {"likelihood ratio": columns}


def _observables(shared: Comparisons, c: Comparison) -> Groups:
    columns: list[Column] = []
    for name, v in c.observables.items():
        means, dof = mean_columns(v, c.relabel)
        columns.append(column(OBSERVABLE_MEANS, means, name, extra=dof))
    return {OBSERVABLE_MEANS: columns} if columns else {}


def _constraints(shared: Comparisons, c: Comparison) -> Groups:
    names, broken = [*shared.given, *shared.inferred], list(constraint_columns(c.broken, c.relabel))
    if c.sets is not None:
        names.append(TWINS)
        broken.append(twin_columns(c.sets, c.relabel))
    columns = [column(CONSTRAINTS, Computed(values), name) for name, values in zip(names, broken, strict=True)]
    return {CONSTRAINTS: columns} if columns else {}


def _polynomial(shared: Comparisons, c: Comparison) -> Groups:
    by_features = kernels.n_monomials(c.few.shape[1]) < len(c.few) / 2
    columns = kernels.polynomial_columns if by_features else kernels.polynomial_block_columns
    return _alone("polynomial MMD", columns(c.few, c.relabel))


def _all_pairs(shared: Comparisons) -> list[kernels.Kernel]:
    widths = (factor * shared.median for factor in kernels.BANDWIDTH_FACTORS)
    return [kernels.energy_kernel, *map(kernels.gaussian_kernel, widths)]


def _energy_and_mmd(shared: Comparisons, c: Comparison, parts: Parts | None = None) -> Groups:
    how = "" if len(c.few) <= MAX_EXACT else "; estimated"
    if not how:
        energy, *gaussians = kernels.kernel_columns(c.few, c.relabel, _all_pairs(shared), shares=parts)
    else:
        d, widths = c.few.shape[1], [factor * shared.median for factor in kernels.BANDWIDTH_FACTORS]
        frequencies = kernels.draw_frequencies(d, N_FREQUENCIES, child_generator(shared.seed, "frequencies"))
        gaussians = kernels.fourier_columns(c.few, c.relabel, widths, frequencies)
        directions = draw_directions(d, 4 * N_DIRECTIONS, child_generator(shared.seed, "directions"))
        energy = energy_by_slices(c.few, c.relabel, directions)
    mmds = [
        column("MMD", one, detail=f"strongest at {factor:g} times the median distance{how}")
        for factor, one in zip(kernels.BANDWIDTH_FACTORS, gaussians, strict=True)
    ]
    return {"energy distance": [column("energy distance", energy, detail=how[2:])], "MMD": mmds}


def _seconds_of_neighbourhoods(work: Work) -> float | None:
    if work.k <= TREE_DIMENSIONS:
        return work.rows * 2e-4 + 30 * work.cells
    pairs = work.rows**2
    return pairs * (3e-9 + 1e-10 * work.k) + 30 * work.cells if pairs <= MAX_PAIRS else None


def _seconds_of_polynomial(work: Work) -> float | None:
    n_monomials = kernels.n_monomials(work.k)
    if n_monomials < work.rows / 2:
        return work.products * n_monomials
    return work.pairs if work.rows**2 <= MAX_PAIRS else None


def _seconds_of_energy_and_mmd(work: Work) -> float:
    if work.rows <= MAX_EXACT:
        return 3 * work.pairs
    return 2 * N_FREQUENCIES * len(kernels.BANDWIDTH_FACTORS) * work.products + 4 * N_DIRECTIONS * work.cells


# The rows of a table: name, function, seconds, and what is known of each of its columns.
# fmt: off
STATISTICS: tuple[Statistic, ...] = (
    Statistic("features one by one", _by_feature, lambda w: w.cells * w.comparison.single.shape[1], (
        Check("KS", "Largest distance between the two cumulative distributions of one feature; blind to correlations.",
              "smirnov1948", "distance", "shape"),
        Check("Anderson-Darling", "Distance of the two cumulative distributions of one feature that gives the tails "
              "their full weight.", "scholz1987", finding="shape"),
        Check("tails", "Difference of the shares of events in the outer 2 % of one feature.",
              "westfall1993", "distance", "tails"),
        Check("shares", "Chi-squared of the numbers of events with each word of one column; their order does not "
              "matter.", "pearson1900", finding="shape"),
    )),
    Statistic("all features", _largest_change,
              lambda w: 0.0 if w.comparison.cells is None else 2 * w.products * w.comparison.cells.shape[1], (
        Check("largest change", "Largest change of a mean or a squared width among all features, every pixel of "
              "images, in standard deviations; of many features only some are looked at in shape.",
              "westfall1993", "none", "feature"),
    )),
    Statistic("moments", _moments, lambda w: w.products * w.k**2, (
        Check("Hotelling T²", "Squared Mahalanobis distance of means, widths and correlations of normal scores; blind "
              "to everything else.", "hotelling1931", "likelihood", weight=_LEADING),
    )),
    Statistic("correlations", _correlations, lambda w: w.products * w.k**2 if w.k > 1 else 0.0, (
        Check("correlation difference", "Frobenius norm of the difference of the two correlation matrices; blind to "
              "the shape of single features.", "westfall1993", "distance", "correlation"),
    )),
    Statistic("sliced Wasserstein", _sliced, lambda w: w.cells * N_DIRECTIONS, (
        Check("sliced Wasserstein", "Mean distance that events must be moved, over random projections, in units of "
              "the real spread.", "bonneel2015", "distance"),
    )),
    Statistic("Frechet distance", lambda shared, c: _alone("Frechet distance", frechet_columns(c.few, c.relabel)),
              lambda w: w.products * w.k**2 + 8e-9 * w.k**3 * w.columns, (
        Check("Frechet distance", "Distance of means and covariances, its bias removed; blind to everything else.",
              "dowson1982"),
    )),
    Statistic("neighbourhoods", _neighbourhoods, _seconds_of_neighbourhoods, (
        Check("kNN labels", "Share of the five nearest neighbours that come from the same sample.",
              "schilling1986", "share"),
        Check("precision", "Share of generated events within some ball from a real event to its fifth nearest real "
              "one, in units of the real spread and among the events compared here; low where events lie outside.",
              "kynkaanniemi2019", "none", "outside", _LEADING),
        Check("recall", "Share of real events within some ball from a generated event to its fifth nearest generated "
              "one; low where they spread over less. These balls shrink with the generated sample: no share of what "
              "is missing.", "kynkaanniemi2019", "none", "variety"),
        Check("density", "Generated events per ball from a real event to its fifth nearest real one; equal laws give "
              "1.", "naeem2020", "none", weight=_LEADING),
        Check("coverage", "Share of real events with a generated one within the distance to the fifth nearest real "
              "one, in units of the real spread and among the events compared here; low where events are missing. "
              "Training watches the same share on up to 2,000 held-out events in at most 32 components, divided by "
              "what a perfect generator gives.", "naeem2020", "share", "coverage"),
    )),
    Statistic("bins", lambda shared, c: _alone("bins", bin_statistic(c.bins, c.relabel)), lambda w: w.cells, (
        Check("bins", "Chi-squared of the numbers of events in k-means regions; sees missing and surplus modes.",
              "richardson2018", finding="region"),
    )),
    Statistic("modes", lambda shared, c: _alone("modes", bin_statistic(c.modes, c.relabel)),
              lambda w: 0.0 if w.comparison.modes is None else w.cells, (
        Check("modes", "Chi-squared of the numbers of events in the given modes.", "pearson1900"),
    )),
    Statistic("likelihood ratio", _likelihood_ratio, lambda w: w.cells * 70, (
        Check("likelihood ratio", "Learned log-likelihood ratio of the two laws; the best test there is, as far as it "
              "was learned.", "letizia2022", weight=_LEADING),
    )),
    Statistic("observables", _observables,
              lambda w: w.cells * sum(v.shape[1] for v in w.comparison.observables.values())),
    Statistic("hard constraints", _constraints, lambda w: w.cells * (1 + w.comparison.broken.shape[1])),
    Statistic("polynomial MMD", _polynomial, _seconds_of_polynomial, (
        Check("polynomial MMD", "Distance of the moments up to the fourth order of all features together (the kernel "
              "of KPD).", "kansal2023"),
    )),
    Statistic("energy distance and MMD", _energy_and_mmd, _seconds_of_energy_and_mmd, (
        Check("energy distance", "Mean distance between the samples minus that within them; zero on average only for "
              "equal laws.", "szekely2013"),
        Check("MMD", "Distance of the mean Gaussian-kernel features over five bandwidths; sees structure from fine to "
              "coarse.", "gretton2012"),
    ), part=lambda shared, c, part: kernels.kernel_share(c.few, c.relabel, _all_pairs(shared), share=part)),
)
# fmt: on
CHECKS: dict[str, Check] = {check.name: check for statistic in STATISTICS for check in statistic.checks}
