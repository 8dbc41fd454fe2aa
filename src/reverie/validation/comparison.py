"""The two comparisons of a validation, and what all its statistics share.

Generated is compared against real, and real against real; each comparison has its pooled rows and their relabellings
(`reverie.validation.permutation.relabelling`). What is chosen from data, such as the edges of the tails, the principal
components and the bins, is chosen from all rows of R, G and H together, or from those of H alone, such as the hard
constraints that are read off real events. It does not depend on which of the rows that are compared are called real:
the permutation tests stay exact.

Many features are cut: those looked at one by one to the `MAX_FEATURES`, pixels to the `MAX_PIXELS`, of largest
variance, and those looked at together to principal components (`reverie.validation.inputs.components`). Each cut is
stated in the notes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.random import child_generator, child_seed
from reverie.validation.inputs.components import MAX_COMPONENTS, fit_components
from reverie.validation.inputs.samples import Samples
from reverie.validation.permutation.duplicates import row_sets
from reverie.validation.permutation.relabelling import N_GROUPS, Computed, Relabellings, relabellings
from reverie.validation.statistics.constraints import TOLERANCE, Constraint, breaks, learnt_rules
from reverie.validation.statistics.kernels import median_distance
from reverie.validation.statistics.marginal import TAIL
from reverie.validation.statistics.observables import Observable, evaluate_observables
from reverie.validation.statistics.occupancy import Bins, bin_regions, fit_cells

__all__ = ["MAX_FEATURES", "MAX_PIXELS", "Column", "Comparison", "Comparisons", "Groups", "build_comparisons", "column"]

MAX_FEATURES = 128
MAX_PIXELS = 32  # of images: one pixel by itself says little, and its neighbours the same
_WEIGHTED_PER_BIN = 100
_STILL = 1e-12  # of its size, by which an observable has to vary to be more than rounding

Modes: TypeAlias = Callable[[np.ndarray], np.ndarray]  # events (n, d) -> labels (n,)


@dataclass(frozen=True)
class Column:
    """One statistic under every labelling, ready to be judged.

    Parameters
    ----------
    name, feature : The name of the statistic, and the feature that it looked at, None for all.
    values : The statistic of every labelling, observed first, shape (B + 1,); large means different.
    value, low, high : What is shown, and the band that holds the central 90 % of chance on the same scale.
    error : The jackknife error of `value`, nan where it is not defined.
    real : The same value for real against real; None if that was not asked for.
    detail : What else the statistic saw, as the end of a sentence.
    is_falling : Whether what is shown falls where `values` rises, as for a coverage.
    extra : Degrees of freedom of an observable and of Hotelling's T².
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


Groups: TypeAlias = dict[str, list[Column]]  # columns that are combined first, by the name of their group


def column(name: str, computed: Computed, feature: str | None = None, *, detail: str = "", extra: float = 0) -> Column:
    """Return a computed statistic as a column; `detail` and `extra` where they are not those of `computed`."""
    chance = computed.values[1:] + computed.shift
    low, high = np.quantile(chance, [0.05, 0.95]) if len(chance) else (np.nan, np.nan)
    detail = detail or computed.detail
    shown = computed.value, float(low), float(high), computed.error
    return Column(name, feature, computed.values, *shown, detail=detail, extra=extra)


@dataclass(frozen=True)
class Comparison:
    """Two samples, pooled, x (real) first.

    Parameters
    ----------
    few : All features that vary, scaled, or of many features their components (see the module), shape (N, k).
    single : The features and observables that are looked at one by one, scaled but for codes of words, shape (N, f).
    third : The same features of the sample that is not compared, which takes part in the edges of the tails, (M, f).
    observables : The values of each observable by its name, shape (N, k) each.
    relabel : The labellings and the weights of the rows.
    bins : The k-means regions of `few`.
    broken : Which rows break which of the constraints, booleans of shape (N, K).
    sets : The set of equal rows that each row belongs to, int64 of shape (N,); None where no two rows are equal, and
        for weighted events, whose equal rows are not tested.
    modes : The same as `bins` for the modes of the user, if any were given.
    cells : All features that vary, scaled, (N, d), where not all of them are looked at one by one; else None.
    """

    few: Tensor
    single: Tensor
    third: Tensor
    observables: dict[str, Tensor]
    relabel: Relabellings
    bins: Bins
    broken: Tensor
    sets: Tensor | None
    modes: Bins | None = None
    cells: Tensor | None = None


@dataclass(frozen=True)
class Comparisons:
    """Everything that the statistics of a validation share.

    Parameters
    ----------
    generated, calibration : Generated against real, and real against real (None if that was not asked for).
    names, few_names, single_names : Names of the features that vary, and of the columns of `few` and `single`.
    edges : The values where the tails of `single` begin, shape (2, f).
    median : The median distance of real events (H), the unit of bandwidths: the same for every generator.
    seed : The root of directions, bandwidths and ties.
    notes : What was left out, in sentences.
    given, inferred : Names of the hard constraints of the user, and of those read off H that some event breaks.
    labels : The words behind the codes of columns of words, by name.
    """

    generated: Comparison
    calibration: Comparison | None
    names: tuple[str, ...]
    few_names: tuple[str, ...]
    single_names: tuple[str, ...]
    edges: Tensor
    median: float
    seed: int
    notes: tuple[str, ...]
    given: tuple[str, ...]
    inferred: tuple[str, ...]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def looked_at(self) -> dict[str, int]:
        """How many features are looked at one by one, where these are not all."""
        n = len(set(self.single_names) & set(self.names))
        return {"n_one_by_one": n} if self.generated.cells is not None else {}

    @property
    def both(self) -> list[Comparison]:
        """Generated against real and, where it was asked for, real against real."""
        return [self.generated] if self.calibration is None else [self.generated, self.calibration]

    def only(self, comparison: Comparison) -> "Comparisons":
        """Return the same with this one comparison."""
        return replace(self, generated=comparison, calibration=None)


def build_comparisons(
    samples: Samples,
    observables: Mapping[str, Observable],
    n_permutations: int,
    seed: int,
    *,
    calibrate: bool,
    modes: Modes | None = None,
    constraints: Mapping[str, Constraint] | None = None,
) -> Comparisons:
    """Return the pooled, scaled rows of both comparisons with their relabellings.

    Raises
    ------
    InputError
        When no feature varies, or an observable or a constraint fails.
    """
    roles = {"real": samples.reference, "generated": samples.generated, "calibration": samples.calibration}
    values = np.concatenate([sample.values for sample in roles.values()])  # of all three samples, as all below
    of_role = dict(
        zip(roles, torch.arange(len(values)).split([len(one.values) for one in roles.values()]), strict=True)
    )
    evaluated = [evaluate_observables(observables, x.events, role) for role, x in roles.items()]
    observed = {name: torch.from_numpy(np.concatenate([part[name] for part in evaluated])) for name in observables}
    still = [name for name, x in observed.items() if float((x - x[0]).abs().max()) <= _STILL * float(x.abs().max())]
    observed = {name: x for name, x in observed.items() if name not in still}
    features = _features(samples, values, observed, of_role["calibration"], seed)
    labels = None if modes is None else np.asarray(modes(values))
    if labels is not None and labels.shape != (len(values),):
        raise InputError(
            f"Expected one mode per event from `modes`, got shape {labels.shape} for {len(values)} events. "
            "Give a function like `predict` of clusters."
        )
    of_mode = None if labels is None else torch.from_numpy(np.unique(labels, return_inverse=True)[1])

    given, events = dict(constraints or {}), np.concatenate([sample.events for sample in roles.values()])
    broken = [breaks(name, holds, events, TOLERANCE) for name, holds in given.items()]
    of_calibration = samples.calibration.values.reshape(-1, *samples.event_shape)
    learnt = learnt_rules(of_calibration, samples.names, labels=samples.labels)
    inferred = [(rule.name, mask) for rule in learnt if (mask := rule.breaks(values)).any()]
    masks = [*broken, *(mask for _, mask in inferred)]
    of_rule = torch.from_numpy(np.stack(masks, axis=1)) if masks else torch.zeros(len(values), 0, dtype=torch.bool)
    sets = None if samples.is_weighted else torch.from_numpy(row_sets(values))
    if sets is not None and len(sets.unique()) == len(sets):
        sets = None

    few, single, smaller = features.few, features.single, min(len(of_role["real"]), len(of_role["generated"]))
    # permutations of weighted events hold for many events only, so there are fewer regions
    n_bins = max(2, smaller // _WEIGHTED_PER_BIN) if samples.is_weighted else None
    cells = fit_cells(few, smaller, n_bins=n_bins, seed=child_seed(seed, "bins"))

    def against_real(other: str, third: str, n_permutations: int) -> Comparison:
        rows, block = torch.cat([of_role["real"], of_role[other]]), samples.chains.block
        (n, w), (m, v) = ((len(of_role[role]), roles[role].weights) for role in ("real", other))
        modes_here = None if of_mode is None else of_mode[rows]
        return Comparison(
            few=few[rows],
            single=single[rows],
            third=single[of_role[third]],
            observables={name: numbers[rows] for name, numbers in observed.items()},
            relabel=relabellings(
                n,
                m,
                n_permutations,
                child_generator(seed, "permutations"),
                weights=None if w is None or v is None else torch.from_numpy(np.concatenate([w, v])),
                block=block,
                n_groups=min(N_GROUPS, n // block, m // block),  # a group is a block at least
            ),
            bins=bin_regions(few[rows], cells, smaller),
            broken=of_rule[rows],
            sets=None if sets is None else sets[rows],
            modes=None if modes_here is None else Bins(torch.empty(int(modes_here.max()) + 1, 0), modes_here),
            cells=None if features.cells is None else features.cells[rows],
        )

    return Comparisons(
        generated=against_real("generated", "calibration", n_permutations),
        calibration=against_real("calibration", "generated", 0) if calibrate else None,
        names=features.names,
        few_names=features.few_names,
        single_names=features.single_names,
        edges=torch.stack([torch.quantile(single, level, dim=0) for level in (TAIL, 1 - TAIL)]),
        median=median_distance(few[of_role["calibration"]], child_generator(seed, "bandwidth")),
        seed=seed,
        notes=(*features.notes, *(f"The observable {name} is constant; it was left out." for name in still)),
        given=tuple(given),
        inferred=tuple(name for name, _ in inferred),
        labels=samples.labels,
    )


class _Features(NamedTuple):
    few: Tensor
    few_names: tuple[str, ...]
    single: Tensor
    single_names: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]
    cells: Tensor | None  # all that vary, where `single` has not all


def _features(
    samples: Samples, values: np.ndarray, observed: Mapping[str, Tensor], of_calibration: Tensor, seed: int
) -> _Features:
    """Return the features of all events (N, d) that are looked at together and one by one, and what was left out."""
    varies = np.ptp(values, axis=0) > 0
    if not varies.any():
        raise InputError("Expected features that vary, got constant columns only. There is nothing to compare.")
    names, notes = tuple(name for name, keep in zip(samples.names, varies, strict=True) if keep), []
    if not varies.all():
        notes.append(f"{(~varies).sum()} features are constant and equal in all samples; they were left out.")
    still = np.ptp(samples.reference.values, axis=0) == 0
    frozen = [name for name, one, keep in zip(samples.names, still, varies, strict=True) if one and keep]
    if frozen:
        more = f", ... ({len(frozen)} in all)" if len(frozen) > 8 else ""
        notes.append(f"Constant in the real reference but not elsewhere: {', '.join(frozen[:8])}{more}.")

    few = scaled = torch.from_numpy(np.ascontiguousarray(samples.scaled(values)[:, varies]))
    few_names = names
    if len(names) > MAX_COMPONENTS:
        few = fit_components(scaled, seed)(scaled)
        few_names = (*(f"principal component {k + 1}" for k in range(MAX_COMPONENTS - 1)), "rest")
        notes.append(
            f"Tests of all {len(names):,} features together saw {MAX_COMPONENTS - 1} principal components and the rest."
        )
    most, keep = MAX_FEATURES if len(samples.event_shape) == 1 else MAX_PIXELS, list(range(len(names)))
    if len(names) > most:
        keep = scaled.var(0).argsort(descending=True, stable=True)[:most].sort().values.tolist()
        notes.append(
            f"Tests by feature looked at the {most} of {len(names):,} features with the largest variance, and one at "
            "the largest change of a mean or a width among all."
        )
    cells = scaled if len(names) > most else None
    scalars = {name: numbers for name, numbers in observed.items() if numbers.shape[1] == 1}
    in_units = [x / max(float(x[of_calibration].numpy().std()), 1e-300) for x in scalars.values()]
    single = torch.cat([scaled[:, keep], *in_units], dim=1)
    for j in [j for j, k in enumerate(keep) if names[k] in samples.labels]:  # codes, which name words
        single[:, j] = torch.from_numpy(values[:, samples.names.index(names[keep[j]])])
    return _Features(few, few_names, single, (*(names[j] for j in keep), *scalars), names, tuple(notes), cells)
