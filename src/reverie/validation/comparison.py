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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

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

__all__ = [
    "MAX_FEATURES",
    "MAX_PIXELS",
    "Column",
    "Comparison",
    "Comparisons",
    "Groups",
    "build_comparisons",
    "column",
]

MAX_FEATURES = 128
MAX_PIXELS = 32  # of images: one pixel by itself says little, and its neighbours the same
_WEIGHTED_PER_BIN = 100

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
    return Column(
        name,
        feature,
        computed.values,
        computed.value,
        float(low),
        float(high),
        computed.error,
        detail=detail,
        extra=extra,
    )


@dataclass(frozen=True)
class Comparison:
    """Two samples, pooled, x (real) first.

    Parameters
    ----------
    few : All features that vary, scaled, or of many features their components (see the module), shape (N, k).
    single : The features and observables that are looked at one by one, shape (N, f).
    third : The same features of the sample that is not compared, which takes part in the edges of the tails, (M, f).
    observables : The values of each observable by its name, shape (N, k) each.
    relabel : The labellings and the weights of the rows.
    bins : The k-means regions of `few`.
    broken : Which rows break which of the constraints, booleans of shape (N, K).
    sets : The set of equal rows that each row belongs to, int64 of shape (N,); None where no two rows are equal, and
        for weighted events, whose equal rows are not tested.
    modes : The same as `bins` for the modes of the user, if any were given.
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
    rows = {role: sample.values for role, sample in roles.items()}
    everything = np.concatenate(list(rows.values()))
    varies = np.ptp(everything, axis=0) > 0
    if not varies.any():
        raise InputError("Expected features that vary, got constant columns only. There is nothing to compare.")
    names = tuple(name for name, keep in zip(samples.names, varies, strict=True) if keep)
    notes = _notes_of_constants(samples, varies)
    scaled = {role: torch.from_numpy(samples.scaled(values)[:, varies]) for role, values in rows.items()}
    observed = {role: evaluate_observables(observables, v, samples.event_shape, role) for role, v in rows.items()}
    labels = None if modes is None else _labels_of_modes(modes, rows)

    given, events = dict(constraints or {}), {}
    for role, values in rows.items():
        events[role] = values.reshape(-1, *samples.event_shape)
    learnt = [r for r in learnt_rules(events["calibration"], samples.names) if r.breaks(everything).any()]
    broken = {}
    for role, values in events.items():
        columns = [breaks(name, holds, values, TOLERANCE) for name, holds in given.items()]
        columns += [rule.breaks(values.reshape(len(values), -1)) for rule in learnt]
        none = torch.zeros(len(values), 0, dtype=torch.bool)
        broken[role] = torch.from_numpy(np.stack(columns, axis=1)) if columns else none
    sets = None
    if not samples.is_weighted:
        of_row = torch.from_numpy(row_sets(everything))
        if len(of_row.unique()) < len(of_row):
            sets = dict(zip(rows, of_row.split([len(values) for values in rows.values()]), strict=True))

    few, few_names = scaled, names
    if len(names) > MAX_COMPONENTS:
        reduced = fit_components(torch.cat(list(scaled.values())), seed)
        few = {role: reduced(z) for role, z in scaled.items()}
        few_names = (*(f"principal component {k + 1}" for k in range(MAX_COMPONENTS - 1)), "rest")
        notes.append(
            f"Tests of all {len(names):,} features together saw {MAX_COMPONENTS - 1} principal components and the rest."
        )
    most = MAX_FEATURES if len(samples.event_shape) == 1 else MAX_PIXELS
    single, single_names = _features_one_by_one(scaled, names, observed, notes, most)
    pooled = torch.cat(list(single.values()))
    edges = torch.stack([torch.quantile(pooled, level, dim=0) for level in (TAIL, 1 - TAIL)])
    smaller = min(len(rows["real"]), len(rows["generated"]))
    # permutations of weighted events hold for many events only, so there are fewer regions
    n_bins = max(2, smaller // _WEIGHTED_PER_BIN) if samples.is_weighted else None
    cells = fit_cells(torch.cat(list(few.values())), smaller, n_bins=n_bins, seed=child_seed(seed, "bins"))

    def against_real(other: str, n_permutations: int) -> Comparison:
        def pool(parts: Mapping[str, Tensor]) -> Tensor:
            return torch.cat([parts["real"], parts[other]])

        x, y, block = roles["real"], roles[other], samples.chains.block
        weights = None
        if x.weights is not None and y.weights is not None:
            weights = torch.from_numpy(np.concatenate([x.weights, y.weights]))
        of_mode = None if labels is None else pool(labels)
        return Comparison(
            few=pool(few),
            single=pool(single),
            third=single["calibration" if other == "generated" else "generated"],
            observables={
                name: pool({role: torch.from_numpy(v[name]) for role, v in observed.items()}) for name in observables
            },
            relabel=relabellings(
                len(x.values),
                len(y.values),
                n_permutations,
                child_generator(seed, "permutations"),
                weights=weights,
                block=block,
                n_groups=min(N_GROUPS, len(x.values) // block, len(y.values) // block),  # a group is a block at least
            ),
            bins=bin_regions(pool(few), cells, smaller),
            broken=pool(broken),
            sets=None if sets is None else pool(sets),
            modes=None if of_mode is None else Bins(torch.empty(int(of_mode.max()) + 1, 0), of_mode),
        )

    return Comparisons(
        generated=against_real("generated", n_permutations),
        calibration=against_real("calibration", 0) if calibrate else None,
        names=names,
        few_names=few_names,
        single_names=single_names,
        edges=edges,
        median=median_distance(few["calibration"], child_generator(seed, "bandwidth")),
        seed=seed,
        notes=tuple(notes),
        given=tuple(given),
        inferred=tuple(rule.name for rule in learnt),
    )


def _labels_of_modes(modes: Modes, rows: dict[str, np.ndarray]) -> dict[str, Tensor]:
    given = {role: np.asarray(modes(values)) for role, values in rows.items()}
    for role, labels in given.items():
        if labels.shape != (len(rows[role]),):
            raise InputError(
                f"Expected one mode per event from `modes`, got shape {labels.shape} for {len(rows[role])} events. "
                "Give a function like `predict` of clusters."
            )
    names = np.unique(np.concatenate(list(given.values())))
    return {role: torch.from_numpy(np.searchsorted(names, labels)) for role, labels in given.items()}


def _notes_of_constants(samples: Samples, varies: np.ndarray) -> list[str]:
    notes = []
    if not varies.all():
        notes.append(f"{(~varies).sum()} features are constant and equal in all samples; they were left out.")
    still = np.ptp(samples.reference.values, axis=0) == 0
    frozen = [name for name, one, keep in zip(samples.names, still, varies, strict=True) if one and keep]
    if frozen:
        more = f", ... ({len(frozen)} in all)" if len(frozen) > 8 else ""
        notes.append(f"Constant in the real reference but not elsewhere: {', '.join(frozen[:8])}{more}.")
    return notes


def _features_one_by_one(
    scaled: dict[str, Tensor],
    names: tuple[str, ...],
    observed: dict[str, dict[str, np.ndarray]],
    notes: list[str],
    most: int,
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the widest features and the observables of one number per event, of each sample, and their names."""
    keep = list(range(len(names)))
    if len(names) > most:
        variance = torch.cat(list(scaled.values())).var(0)
        keep = variance.argsort(descending=True, stable=True)[:most].sort().values.tolist()
        notes.append(f"Tests by feature looked at the {most} of {len(names):,} features with the largest variance.")
    scalars = [name for name, values in observed["real"].items() if values.shape[1] == 1]
    scale = {name: max(float(observed["calibration"][name].std()), 1e-300) for name in scalars}
    single = {}
    for role, z in scaled.items():
        extra = (torch.from_numpy(observed[role][name]) / scale[name] for name in scalars)
        single[role] = torch.cat([z[:, keep], *extra], dim=1)
    return single, (*(names[j] for j in keep), *scalars)
