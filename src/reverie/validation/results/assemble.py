"""From the columns of the battery to results: p-values, corrections, what is detectable, and the special kinds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reverie.validation.comparison import Bench
from reverie.validation.inputs.samples import Samples
from reverie.validation.permutation.multiple_testing import benjamini_hochberg, min_p, ranked, step_down
from reverie.validation.power.biases import biases
from reverie.validation.power.events_needed import events_needed, smallest_need, strongest_needs
from reverie.validation.references import DESCRIPTIONS
from reverie.validation.results.result import ClassifierResult, TestResult
from reverie.validation.statistics.bins import region_names
from reverie.validation.statistics.constraints import TWINS, ConstraintResult, constraint_result, twin_result
from reverie.validation.statistics.moments import column_distances
from reverie.validation.statistics.observables import ObservableMeans, observable_means
from reverie.validation.statistics.occupancy import Occupancy, occupancy
from reverie.validation.statistics.registry import CONSTRAINTS, OBSERVABLE_MEANS, Column

__all__ = ["constraints_judged", "judged", "observables_judged", "reached", "regions_judged"]

_POWER = 0.8416212335729143  # z of 80 % power


def judged(groups: Mapping[str, Sequence[Column]], alpha: float) -> list[TestResult]:
    """Return the results of all groups but observables and constraints: one per feature, or the strongest of a group.

    Adjusted within each test by feature, and among the other groups.
    """
    special = (OBSERVABLE_MEANS, CONSTRAINTS)
    by_feature = {name: group for name, group in groups.items() if group[0].feature and name not in special}
    others = {name: group for name, group in groups.items() if not group[0].feature}
    columns, p, adjusted = [], [], []
    for group in by_feature.values():
        own = [ranked(column.values) for column in group]
        columns, p, adjusted = [*columns, *group], [*p, *(o.observed_p for o in own)], [*adjusted, *step_down(own)]
    combined = [min_p([ranked(column.values) for column in group]) for group in others.values()]
    columns += [_strongest(group) for group in others.values()]
    p += [one.observed_p for one in combined]
    adjusted += step_down(combined)
    q = benjamini_hochberg(p)
    return [_test(*row, alpha) for row in zip(columns, p, adjusted, q, strict=True)]


def _strongest(group: Sequence[Column]) -> Column:
    def strength(column: Column) -> tuple[float, float]:
        rank = ranked(column.values)
        return -rank.observed_p, float(rank.excess[0])

    return max(group, key=strength)


def _test(column: Column, p_value: float, p_adjusted: float, q_value: float, alpha: float) -> TestResult:
    description, reference = DESCRIPTIONS[column.name]
    return TestResult(
        name=column.name,
        feature=column.feature,
        value=column.value,
        noise_low=column.low,
        noise_high=column.high,
        real_vs_real=column.real,
        p_value=p_value,
        p_adjusted=p_adjusted,
        distinguishes=p_adjusted <= alpha,
        description=description,
        reference=reference,
        detail=column.detail,
        error=column.error if np.isfinite(column.error) else None,
        q_value=q_value,
        detectable=_detectable(column),
    )


def _detectable(column: Column) -> float:
    """Return the value found with 80 % power, on the scale that is shown."""
    chance, shown = column.values[1:], column.value
    reach = float(np.quantile(chance, 0.95) + _POWER * chance.std()) - float(column.values[0])
    return shown - reach if column.is_falling else shown + reach


def observables_judged(
    groups: Mapping[str, Sequence[Column]], bench: Bench, alpha: float
) -> tuple[ObservableMeans, ...]:
    """Return the means of all observables, in both samples."""
    columns = groups.get(OBSERVABLE_MEANS, ())
    own = [ranked(column.values) for column in columns]
    results = []
    for column, rank, adjusted in zip(columns, own, step_down(own), strict=True):
        v = bench.here.observables[str(column.feature)]
        x, x_error, y, y_error = (tuple(part.tolist()) for part in observable_means(v, bench.here.relabel))
        results.append(
            ObservableMeans(
                name=str(column.feature),
                real=x,
                real_error=x_error,
                generated=y,
                generated_error=y_error,
                chi2=column.value,
                dof=int(column.extra),
                n_cut=v.shape[1] - int(column.extra),
                p_value=rank.observed_p,
                p_adjusted=adjusted,
                real_vs_real=column.real,
                distinguishes=adjusted <= alpha,
            )
        )
    return tuple(results)


def constraints_judged(
    groups: Mapping[str, Sequence[Column]], bench: Bench, samples: Samples
) -> tuple[ConstraintResult, ...]:
    """Return the constraints that were given, and those read off real events that some event breaks."""
    columns = groups.get(CONSTRAINTS, ())
    own = [ranked(column.values) for column in columns]
    p = [{"p_value": one.observed_p, "p_adjusted": q} for one, q in zip(own, step_down(own), strict=True)]
    here, n, inflation = bench.here, bench.here.relabel.n, samples.chains.inflation
    weights, n_given = (samples.reference.weights, samples.generated.weights), len(bench.given)
    results = []
    for k, name in enumerate((*bench.given, *bench.inferred)):
        x, y = here.broken[:n, k].numpy(), here.broken[n:, k].numpy()
        more = {"inferred": k >= n_given, "weights": weights, "inflation": inflation}
        results.append(constraint_result(name, x, y, **p[k], **more))
    if here.sets is not None:
        results.append(twin_result(here.sets[:n].numpy(), here.sets[n:].numpy(), **p[-1], inflation=inflation))
    return tuple(one for one in results if not one.inferred or one.broken_generated or one.broken_real)


def reached(
    groups: Mapping[str, Sequence[Column]],
    bench: Bench,
    classifiers: Sequence[ClassifierResult],
    constraints: Sequence[ConstraintResult],
    *,
    seen: bool,
) -> dict[str, Any]:
    """Return how many events each test needs, the smallest of them, and the biases, by field of the result.

    `seen` says whether the global test tells the samples apart.
    """
    here = bench.here
    columns = dict(zip(bench.single_names, column_distances(here.single, here.relabel), strict=True))
    tests = {name: group for name, group in groups.items() if name != CONSTRAINTS}
    rules = [one for one in constraints if one.name != TWINS]  # equal pairs grow as the square of the events
    needs = events_needed(tests, classifiers, rules, columns, here.relabel, seen=seen)
    least, found = smallest_need(needs), {"needs": strongest_needs(needs), "biases": biases(bench, seen=seen)}
    if least is None:
        return found | dict.fromkeys(("n_distinguish", "n_distinguish_low", "n_distinguish_high"))
    return found | {
        "n_distinguish": math.inf if least.events is None else least.events,
        "n_distinguish_low": least.low,
        "n_distinguish_high": math.inf if least.high is None else least.high,
        "n_distinguish_test": least.test,
        "n_distinguish_of": len(needs),
    }


def regions_judged(bench: Bench, samples: Samples, alpha: float) -> Occupancy:
    """Return the occupancy of the bins of the battery, their names in original units."""
    bins, n = bench.here.bins, bench.here.relabel.n
    centres, of_row = bins.centres.numpy(), bins.of_row.numpy()
    if bench.few_names == bench.names:
        keep = [samples.names.index(name) for name in bench.names]
        centres = samples.unscaled(centres, keep)
    return occupancy(
        of_row[:n],
        of_row[n:],
        region_names(centres, bench.few_names),
        real_weights=samples.reference.weights,
        generated_weights=samples.generated.weights,
        relabel=bench.here.relabel,
        alpha=alpha,
    )
