"""The bench: what all statistics of a validation share.

Two comparisons, generated against real and real against real, each with its pooled rows and their relabellings
(`reverie.validation.permutation.relabelling`). What is chosen from data, such as the edges of the tails, the principal
components and the bins, is chosen from all rows of R, G and H together, or from those of H alone, such as the hard
constraints that are read off real events. It does not depend on which of the rows that are compared are called real:
the permutation tests stay exact.

Many features are cut: those looked at one by one to the `MAX_FEATURES`, pixels to the `MAX_PIXELS`, of largest
variance, and those looked at together to principal components (`reverie.validation.inputs.components`). Each cut is
stated in the notes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.random import child_generator, child_seed
from reverie.validation.inputs.components import MAX_COMPONENTS, fit_components
from reverie.validation.inputs.samples import Sample, Samples
from reverie.validation.permutation.duplicates import row_sets
from reverie.validation.permutation.relabelling import N_GROUPS, Relabellings, relabellings
from reverie.validation.statistics.bins import Bins, Cells, bin_regions, fit_cells
from reverie.validation.statistics.constraints import TOLERANCE, Constraint, breaks, learnt_rules
from reverie.validation.statistics.inferred_constraints import Rule
from reverie.validation.statistics.kernels import median_distance
from reverie.validation.statistics.marginal import TAIL
from reverie.validation.statistics.observables import evaluate_observables

__all__ = ["MAX_FEATURES", "MAX_PIXELS", "Bench", "Comparison", "set_bench"]

MAX_FEATURES = 128
MAX_PIXELS = 32  # of images: one pixel by itself says little, and its neighbours the same
_WEIGHTED_PER_BIN = 100


@dataclass(frozen=True)
class Comparison:
    """Two samples, pooled, x (real) first.

    Parameters
    ----------
    few : (N, k), all features that vary, scaled, or of many features their components (see the module).
    single : (N, f), the features and observables that are looked at one by one.
    third : (M, f), the same features of the sample that is not compared; it takes part in the edges of the tails.
    observables : name -> (N, k).
    relabel : labels and weights.
    bins : regions of `few`.
    broken : (N, K) booleans, which rows break which of the constraints of the bench.
    sets : (N,) int64, equal rows have the same number; None where there are none, and for weighted events, whose
        twins are not tested.
    modes : the same as `bins` for the modes of the user, if any were given.
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
class Bench:
    """Everything the statistics share.

    Parameters
    ----------
    here, real : generated against real, and real against real (None if that was not asked for).
    names, few_names, single_names : of the features that vary, and of the columns of `few` and `single`.
    edges : (2, f), where the tails of `single` begin.
    median : median distance of real events (H), the unit of bandwidths: the same for every generator.
    seed : root of directions, bandwidths and ties.
    notes : what was left out, in sentences.
    given, inferred : names of the hard constraints, of the user and of those read off H that some event breaks.
    """

    here: Comparison
    real: Comparison | None
    names: tuple[str, ...]
    few_names: tuple[str, ...]
    single_names: tuple[str, ...]
    edges: Tensor
    median: float
    seed: int
    notes: tuple[str, ...]
    given: tuple[str, ...]
    inferred: tuple[str, ...]


def set_bench(
    samples: Samples,
    observables: Mapping[str, Any],
    n_permutations: int,
    seed: int,
    *,
    calibrate: bool,
    modes: Callable[[np.ndarray], np.ndarray] | None = None,
    constraints: Mapping[str, Constraint] | None = None,
) -> Bench:
    """Return the pooled, scaled rows of both comparisons with their relabellings.

    Raises
    ------
    InputError
        When no feature varies, or an observable or a constraint fails.
    """
    roles = {"real": samples.reference, "generated": samples.generated, "calibration": samples.calibration}
    rows = {what: sample.values for what, sample in roles.items()}
    everything = np.concatenate(list(rows.values()))
    varies = np.ptp(everything, axis=0) > 0
    if not varies.any():
        raise InputError("Expected features that vary, got constant columns only. There is nothing to compare.")
    names = tuple(name for name, keep in zip(samples.names, varies, strict=True) if keep)
    notes = _frozen_notes(samples, varies)
    scaled = {what: torch.from_numpy(samples.scaled(values)[:, varies]) for what, values in rows.items()}
    seen = {what: evaluate_observables(observables, v, samples.event_shape, what) for what, v in rows.items()}
    labels = _mode_labels(modes, rows)
    given = dict(constraints or {})
    events = {what: values.reshape(-1, *samples.event_shape) for what, values in rows.items()}
    learnt = [r for r in learnt_rules(events["calibration"], samples.names) if r.breaks(everything).any()]
    broken = {what: _broken(part, given, learnt) for what, part in events.items()}
    sets = None if samples.is_weighted else _sets(rows)
    few, few_names = _components(scaled, names, notes, seed)
    most = MAX_FEATURES if len(samples.event_shape) == 1 else MAX_PIXELS
    single, single_names = _single(scaled, names, seen, notes, most)
    pooled = torch.cat(list(single.values()))
    edges = torch.stack([torch.quantile(pooled, level, dim=0) for level in (TAIL, 1 - TAIL)])
    smaller = min(len(rows["real"]), len(rows["generated"]))
    cells = _cells(few, smaller, seed, is_weighted=samples.is_weighted)

    def compare(y: str, n_permutations: int) -> Comparison:
        def join(parts: dict[str, Any]) -> Any:
            return torch.cat([parts["real"], parts[y]])

        values = {name: join({k: torch.from_numpy(v[name]) for k, v in seen.items()}) for name in observables}
        relabel = _relabellings(roles["real"], roles[y], n_permutations, samples.chains.block, seed)
        regions = bin_regions(join(few), cells, smaller), None if labels is None else _modes(join(labels))
        third = single["calibration" if y == "generated" else "generated"]
        return Comparison(
            few=join(few),
            single=join(single),
            third=third,
            observables=values,
            relabel=relabel,
            bins=regions[0],
            broken=join(broken),
            sets=None if sets is None else join(sets),
            modes=regions[1],
        )

    return Bench(
        here=compare("generated", n_permutations),
        real=compare("calibration", 0) if calibrate else None,
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


def _broken(events: np.ndarray, given: Mapping[str, Constraint], learnt: Sequence[Rule]) -> Tensor:
    """Return which events (n, *event) break which constraint, (n, K) booleans, given ones first."""
    columns = [breaks(name, holds, events, TOLERANCE) for name, holds in given.items()]
    columns += [rule.breaks(events.reshape(len(events), -1)) for rule in learnt]
    return torch.from_numpy(np.stack(columns, axis=1)) if columns else torch.zeros(len(events), 0, dtype=torch.bool)


def _sets(rows: Mapping[str, np.ndarray]) -> dict[str, Tensor] | None:
    """Return the set of equal rows of each event, by sample, or None where no two are equal."""
    sets = torch.from_numpy(row_sets(np.concatenate(list(rows.values()))))
    parts = dict(zip(rows, sets.split([len(values) for values in rows.values()]), strict=True))
    return parts if len(sets.unique()) < len(sets) else None


def _cells(few: dict[str, Tensor], smaller: int, seed: int, *, is_weighted: bool) -> Cells:
    # permutations of weighted events hold for many events only, so there are fewer regions
    n_bins = max(2, smaller // _WEIGHTED_PER_BIN) if is_weighted else None
    return fit_cells(torch.cat(list(few.values())), smaller, n_bins=n_bins, seed=child_seed(seed, "bins"))


def _modes(labels: Tensor) -> Bins:
    return Bins(torch.empty(int(labels.max()) + 1, 0), labels)


def _mode_labels(
    modes: Callable[[np.ndarray], np.ndarray] | None, rows: dict[str, np.ndarray]
) -> dict[str, Tensor] | None:
    if modes is None:
        return None
    found = {what: np.asarray(modes(values)) for what, values in rows.items()}
    for what, labels in found.items():
        if labels.shape != (len(rows[what]),):
            raise InputError(
                f"Expected one mode per event from `modes`, got shape {labels.shape} for {len(rows[what])} events. "
                "Give a function like `predict` of clusters."
            )
    names = np.unique(np.concatenate(list(found.values())))
    return {what: torch.from_numpy(np.searchsorted(names, labels)) for what, labels in found.items()}


def _relabellings(x: Sample, y: Sample, n_permutations: int, block: int, seed: int) -> Relabellings:
    weights = None if x.weights is None or y.weights is None else np.concatenate([x.weights, y.weights])
    return relabellings(
        len(x.values),
        len(y.values),
        n_permutations,
        child_generator(seed, "permutations"),
        weights=None if weights is None else torch.from_numpy(weights),
        block=block,
        n_groups=min(N_GROUPS, len(x.values) // block, len(y.values) // block),  # a group is a block at least
    )


def _frozen_notes(samples: Samples, varies: np.ndarray) -> list[str]:
    notes = []
    if not varies.all():
        notes.append(f"{(~varies).sum()} features are constant and equal in all samples; they were left out.")
    still = np.ptp(samples.reference.values, axis=0) == 0
    frozen = [name for name, one, keep in zip(samples.names, still, varies, strict=True) if one and keep]
    if frozen:
        more = f", ... ({len(frozen)} in all)" if len(frozen) > 8 else ""
        notes.append(f"Constant in the real reference but not elsewhere: {', '.join(frozen[:8])}{more}.")
    return notes


def _components(
    scaled: dict[str, Tensor], names: tuple[str, ...], notes: list[str], seed: int
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    if len(names) <= MAX_COMPONENTS:
        return scaled, names
    reduced = fit_components(torch.cat(list(scaled.values())), seed)
    notes.append(
        f"Tests of all {len(names):,} features together saw {MAX_COMPONENTS - 1} principal components and the rest."
    )
    few = {what: reduced(z) for what, z in scaled.items()}
    return few, (*(f"principal component {k + 1}" for k in range(MAX_COMPONENTS - 1)), "rest")


def _single(
    scaled: dict[str, Tensor],
    names: tuple[str, ...],
    seen: dict[str, dict[str, np.ndarray]],
    notes: list[str],
    most: int,
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return what is looked at one by one: the widest features and observables of one number per event."""
    keep = list(range(len(names)))
    if len(names) > most:
        variance = torch.cat(list(scaled.values())).var(0)
        keep = variance.argsort(descending=True, stable=True)[:most].sort().values.tolist()
        notes.append(f"Tests by feature looked at the {most} of {len(names):,} features with the largest variance.")
    scalars = [name for name, values in seen["real"].items() if values.shape[1] == 1]
    scale = {name: max(float(seen["calibration"][name].std()), 1e-300) for name in scalars}
    single = {
        what: torch.cat([z[:, keep], *(torch.from_numpy(seen[what][name]) / scale[name] for name in scalars)], dim=1)
        for what, z in scaled.items()
    }
    return single, (*(names[j] for j in keep), *scalars)
