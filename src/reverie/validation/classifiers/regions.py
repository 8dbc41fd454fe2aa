"""Where a generated sample is wrong: ranges of a few features with too many or too few events, in words.

A shallow regression tree (Breiman et al. 1984) divides the events by log w = log p_real/p_generated
(`reverie.validation.classifiers.likelihood_ratios`) into boxes, ranges of at most three features. The tree is fitted
on one part of the events, its limits are rounded, conditions that hardly matter are dropped, and only then the *other*
part is counted: a region that was found in a fluctuation does not find it again. So the log-weights of the fitted part
must not know the labels of the counted part; those of `calibrated_weights`, which come from the training half, do not.

For each box the shares of real and generated events are compared,

    z = (a - b) / sqrt(p (1 - p) (1/n + 1/m)),     p = (n a + m b)/(n + m)

with the effective numbers (sum w)^2 / sum w^2 of weighted events for n and m. p-values are two-sided and
corrected for the number of boxes by Holm's method.

Features with few distinct values (charges, multiplicities) are given by their levels, all others by a range.
Images have no useful single features. Events must be independent: thin a chain before.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import norm

from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.proportions import percent
from reverie.core.random import child_seed
from reverie.core.statistics import effective_size
from reverie.validation.classifiers.likelihood_ratios import calibrated_weights
from reverie.validation.classifiers.training import MAX_FEATURES
from reverie.validation.inputs.samples import Samples
from reverie.validation.permutation.multiple_testing import holm
from reverie.validation.results.tests import ClassifierResult

__all__ = ["Condition", "Located", "Region", "locate", "worst_regions"]

MAX_LEVELS = 12  # a feature with no more distinct values is discrete
MIN_EVENTS = 100  # of each class, fitted and counted together
_MIN_SHARE = 0.01  # of the fitted events in a box
_MIN_ROWS = 25
_MOST_CONDITIONS, _MOST_REGIONS = 3, 5
_HARDLY = 0.05  # a condition is dropped if the box then grows by no more than this share


@dataclass(frozen=True)
class Condition:
    """Events with low < feature <= high; None where there is no limit. `levels` names those of a discrete feature."""

    feature: str
    low: float | None
    high: float | None
    levels: tuple[str, ...] | None = None

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return booleans (n,) for values (n,) of the feature."""
        above = np.ones(len(values), dtype=bool) if self.low is None else values > self.low
        return above if self.high is None else above & (values <= self.high)

    def __str__(self) -> str:
        if self.levels is not None:
            return f"{self.feature} = {' or '.join(self.levels)}"
        if self.low is not None and self.high is not None:
            return f"{self.feature} between {self.low:.10g} and {self.high:.10g}"
        if self.high is not None:
            return f"{self.feature} up to {self.high:.10g}"
        return self.feature if self.low is None else f"{self.feature} above {self.low:.10g}"


Box = tuple[Condition, ...]
Limits = dict[int, tuple[float, float]]  # column -> low, high


@dataclass(frozen=True)
class Region:
    """A box of feature space in which real and generated events differ.

    Parameters
    ----------
    conditions : The conditions that hold inside, at most three.
    share_real, share_generated : Shares of the counted events inside, by weight.
    n_real, n_generated : Numbers of counted events inside.
    z : The two-proportion z of the shares, positive where there are too many generated events.
    p_value, p_adjusted : The two-sided p-value of z, and the same corrected by Holm's method for all boxes.
    """

    conditions: tuple[Condition, ...]
    share_real: float
    share_generated: float
    n_real: int
    n_generated: int
    z: float
    p_value: float
    p_adjusted: float

    def __str__(self) -> str:
        where = " and ".join(str(condition) for condition in self.conditions)
        return (
            f"{percent(self.share_generated)} of generated but {percent(self.share_real)} of real events have {where} "
            f"({abs(self.z):.1f} standard errors)"
        )


@dataclass(frozen=True)
class Located:
    """Where the strongest classifier finds its evidence.

    Parameters
    ----------
    sentence : the calibrated weights w = p_real/p_generated in words.
    boxes : ranges of features with too many or too few generated events, the most significant first.
    edges, real, generated : histogram of log w, (k + 1,) and (k,) each, as shares of the events of each sample.
    divergence : lower bound of the Jensen-Shannon divergence in nats, 0 to ln 2.
    mean_weight : mean of w over generated events; 1 if the calibration holds.
    """

    sentence: str
    boxes: tuple[Region, ...]
    edges: tuple[float, ...]
    real: tuple[float, ...]
    generated: tuple[float, ...]
    divergence: Measured
    mean_weight: Measured


def locate(samples: Samples, best: ClassifierResult | None, seed: int, alpha: float) -> Located | None:
    """Return where `best` finds its evidence; None when it finds none, or for weights that are not all positive."""
    x, y = samples.reference, samples.generated
    positive = all(s.weights is None or (s.weights > 0).all() for s in (x, y))
    if best is None or best.p_value > alpha or not positive or min(len(x.values), len(y.values)) < 2 * MIN_EVENTS:
        return None
    (real, event_shape), (generated, _) = (samples.seen_by(best.learner, s) for s in (x, y))
    calibrated = calibrated_weights(
        real,
        generated,
        names=samples.names,
        seed=child_seed(seed, "classifier"),
        learner=best.learner,
        weights=(x.weights, y.weights),
        block=samples.chains.block,
        event_shape=event_shape,
    )
    boxes: tuple[Region, ...] = ()
    if not samples.chains.is_chain and len(samples.names) <= MAX_FEATURES and len(samples.event_shape) == 1:
        # boxes need independent events and features with a name
        x, y = x.take(calibrated.rows_real), y.take(calibrated.rows_generated)
        boxes = worst_regions(
            np.concatenate([x.values, y.values]),
            samples.names,
            np.concatenate([calibrated.log_weights_real, calibrated.log_weights_generated]),
            np.repeat([1, 0], [len(x.values), len(y.values)]),
            weights=None if x.weights is None or y.weights is None else np.concatenate([x.weights, y.weights]),
            alpha=alpha,
            seed=child_seed(seed, "boxes") % 2**32,
            words=samples.labels,
        )
    return Located(
        sentence=str(calibrated),
        boxes=boxes,
        edges=tuple(calibrated.edges.tolist()),
        real=tuple(calibrated.real.tolist()),
        generated=tuple(calibrated.generated.tolist()),
        divergence=calibrated.divergence,
        mean_weight=calibrated.mean_weight,
    )


def worst_regions(
    values: np.ndarray,
    names: Sequence[str],
    log_weights: np.ndarray,
    labels: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    words: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Region, ...]:
    """Return at most five boxes in which real and generated shares differ at level `alpha`, the most significant first.

    Parameters
    ----------
    values : (n, d), real and generated test events in original units.
    names : d feature names.
    log_weights : (n,), log p_real/p_generated, from a classifier that has not seen these events.
    labels : (n,), 1 or True for real events.
    weights : (n,) of the events, or None.
    seed : Seed of the division in a part that is fitted and one that is counted.
    words : The words behind the codes of columns of words, by name.

    Raises
    ------
    InputError
        For arrays of other lengths, or fewer than 100 events of a class.
    """
    real, w = np.asarray(labels).astype(bool), np.ones(len(values)) if weights is None else np.asarray(weights, float)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise InputError(
            f"Expected values (n, {len(names)}), one column per name, got shape {values.shape}. Flatten events, or "
            "give a name for each column."
        )
    for what, array in {"log_weights": log_weights, "labels": labels, "weights": weights}.items():
        if array is not None and np.shape(array) != (len(values),):
            raise InputError(
                f"Expected one of {what} for each of {len(values)} events, got shape {np.shape(array)}. "
                "Give an array (n,)."
            )
    if min(real.sum(), (~real).sum()) < MIN_EVENTS:
        raise InputError(
            f"Expected at least {MIN_EVENTS} real and {MIN_EVENTS} generated events, got {real.sum()} and "
            f"{(~real).sum()}. Labels are 1 for real and 0 for generated events."
        )
    fitted, rng = np.zeros(len(real), dtype=bool), np.random.default_rng(seed)
    for rows in (np.flatnonzero(real), np.flatnonzero(~real)):
        fitted[rng.permutation(rows)[: len(rows) // 2]] = True
    boxes = _boxes(values[fitted], log_weights[fitted], names, words or {})

    rows, w, real, column = values[~fitted], w[~fitted], real[~fitted], {name: j for j, name in enumerate(names)}
    regions = []
    for box in boxes:
        inside = _inside(box, rows, column)
        a, b = (float(w[k & inside].sum() / w[k].sum()) for k in (real, ~real))
        n, m = (effective_size(w[k]) for k in (real, ~real))
        pooled = (n * a + m * b) / (n + m)
        variance = pooled * (1 - pooled) * (1 / n + 1 / m)
        z = (b - a) / math.sqrt(variance) if variance > 0 else 0.0
        p = float(2 * norm.sf(abs(z)))
        regions.append(Region(box, a, b, int((inside & real).sum()), int((inside & ~real).sum()), z, p, p))
    adjusted = zip(regions, holm([region.p_value for region in regions]), strict=True)
    found = [replace(region, p_adjusted=float(p)) for region, p in adjusted if p <= alpha]
    return tuple(sorted(found, key=lambda region: -abs(region.z))[:_MOST_REGIONS])


def _boxes(
    values: np.ndarray, log_weights: np.ndarray, names: Sequence[str], words: Mapping[str, Sequence[str]]
) -> list[Box]:
    """Return the leaves of a tree fitted to the log-weights, with round limits and without idle conditions."""
    from sklearn.tree import DecisionTreeRegressor

    smallest = max(_MIN_ROWS, math.ceil(_MIN_SHARE * len(values)))
    tree = DecisionTreeRegressor(max_depth=_MOST_CONDITIONS, min_samples_leaf=smallest, random_state=0).fit(
        values, log_weights
    )
    boxes, column = [], {name: j for j, name in enumerate(names)}
    for limits in _leaves(tree.tree_):
        box = tuple(_condition(names[j], values[:, j], *cut, words.get(names[j])) for j, cut in limits.items())
        for condition in box:
            rest = tuple(c for c in box if c is not condition)
            if rest and _inside(rest, values, column).sum() <= (1 + _HARDLY) * _inside(box, values, column).sum():
                box = rest
        if box and box not in boxes:
            boxes.append(box)
    return boxes


def _leaves(tree: Any, node: int = 0, limits: Limits | None = None) -> Iterator[Limits]:
    limits = limits or {}
    if tree.children_left[node] < 0:
        yield limits
        return
    j, cut = int(tree.feature[node]), float(tree.threshold[node])
    low, high = limits.get(j, (-math.inf, math.inf))
    yield from _leaves(tree, tree.children_left[node], limits | {j: (low, min(high, cut))})
    yield from _leaves(tree, tree.children_right[node], limits | {j: (max(low, cut), high)})


def _condition(name: str, values: np.ndarray, low: float, high: float, words: Sequence[str] | None) -> Condition:
    distinct, levels, step = np.unique(values), None, 0.0
    if words is not None or len(distinct) <= MAX_LEVELS:
        inside = distinct[(distinct > low) & (distinct <= high)]
        levels = tuple(f"{v:g}" if words is None else words[int(v)] for v in inside)
    else:
        low_5, high_95 = np.quantile(values, [0.05, 0.95])
        step = 10.0 ** math.floor(math.log10((high_95 - low_5) / 100)) if high_95 > low_5 else 0.0
    rounded = [float(f"{round(x / step) * step:.12g}") if step > 0 and math.isfinite(x) else x for x in (low, high)]
    low_limit, high_limit = (x if math.isfinite(x) else None for x in rounded)
    return Condition(name, low_limit, high_limit, levels)


def _inside(box: Box, values: np.ndarray, column: Mapping[str, int]) -> np.ndarray:
    return np.logical_and.reduce([c.holds(values[:, column[c.feature]]) for c in box])
