"""From the columns of the battery to results: p-values, corrections, what is detectable, and the special kinds."""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from reverie.validation.comparison import Column, Comparisons, Groups
from reverie.validation.inputs.samples import Samples
from reverie.validation.permutation.multiple_testing import benjamini_hochberg, min_p, ranked, step_down
from reverie.validation.power.biases import Bias, biases
from reverie.validation.power.events_needed import EventsNeeded, events_needed, smallest_need, strongest_needs
from reverie.validation.results.tests import ClassifierResult, TestResult
from reverie.validation.statistics.constraints import TWINS, ConstraintResult, constraint_result, twin_result
from reverie.validation.statistics.moments import column_distances
from reverie.validation.statistics.observables import ObservableMeans, observable_means
from reverie.validation.statistics.occupancy import Occupancy, occupancy, region_names
from reverie.validation.statistics.registry import CHECKS, CONSTRAINTS, OBSERVABLE_MEANS

__all__ = ["constraint_results", "test_results", "observable_results", "events_and_biases", "region_occupancy"]

_POWER = 0.8416212335729143  # z of 80 % power


def test_results(groups: Groups, alpha: float) -> tuple[TestResult, ...]:
    """Return the results of all groups but observables and constraints: one per feature, or the strongest of a group.

    Adjusted within each test by feature, and among the other groups.
    """
    special = (OBSERVABLE_MEANS, CONSTRAINTS)
    by_feature = {name: group for name, group in groups.items() if group[0].feature and name not in special}
    others = {name: group for name, group in groups.items() if not group[0].feature}
    columns: list[Column] = []
    p, adjusted = [], []
    for group in by_feature.values():
        own = [ranked(column.values) for column in group]
        columns, p, adjusted = [*columns, *group], [*p, *(o.observed_p for o in own)], [*adjusted, *step_down(own)]
    combined = []
    for group in others.values():
        own = [ranked(column.values) for column in group]
        combined.append(min_p(own))
        strength = [(-rank.observed_p, float(rank.excess[0])) for rank in own]
        columns.append(group[strength.index(max(strength))])  # the strongest of its group
    p += [one.observed_p for one in combined]
    adjusted += step_down(combined)
    results = []
    for column, p_value, p_adjusted, q_value in zip(columns, p, adjusted, benjamini_hochberg(p), strict=True):
        chance = column.values[1:]
        # what is found with 80 % power, on the scale that is shown
        distance = float(np.quantile(chance, 0.95) + _POWER * chance.std()) - float(column.values[0])
        results.append(
            TestResult(
                name=column.name,
                feature=column.feature,
                value=column.value,
                noise_low=column.low,
                noise_high=column.high,
                real_vs_real=column.real,
                p_value=p_value,
                p_adjusted=p_adjusted,
                distinguishes=p_adjusted <= alpha,
                description=CHECKS[column.name].sentence,
                reference=CHECKS[column.name].reference,
                detail=column.detail,
                error=column.error if np.isfinite(column.error) else None,
                q_value=q_value,
                detectable=column.value - distance if column.is_falling else column.value + distance,
            )
        )
    return tuple(results)


def observable_results(groups: Groups, comparisons: Comparisons, alpha: float) -> tuple[ObservableMeans, ...]:
    """Return the means of all observables, in both samples."""
    columns = groups.get(OBSERVABLE_MEANS, ())
    own = [ranked(column.values) for column in columns]
    results = []
    for column, rank, adjusted in zip(columns, own, step_down(own), strict=True):
        v = comparisons.generated.observables[str(column.feature)]
        x, x_error, y, y_error = (tuple(part.tolist()) for part in observable_means(v, comparisons.generated.relabel))
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


def constraint_results(groups: Groups, comparisons: Comparisons, samples: Samples) -> tuple[ConstraintResult, ...]:
    """Return the constraints that were given, and those read off real events that some event breaks."""
    if CONSTRAINTS not in groups:  # they were not asked for, or there are none
        return ()
    own = [ranked(column.values) for column in groups[CONSTRAINTS]]
    p = [{"p_value": one.observed_p, "p_adjusted": q} for one, q in zip(own, step_down(own), strict=True)]
    here, n, inflation = comparisons.generated, comparisons.generated.relabel.n, samples.chains.inflation
    weights, n_given = (samples.reference.weights, samples.generated.weights), len(comparisons.given)
    results = []
    for k, name in enumerate((*comparisons.given, *comparisons.inferred)):
        x, y = here.broken[:n, k].numpy(), here.broken[n:, k].numpy()
        more = {"inferred": k >= n_given, "weights": weights, "inflation": inflation}
        results.append(constraint_result(name, x, y, **p[k], **more))
    if here.sets is not None:
        results.append(twin_result(here.sets[:n].numpy(), here.sets[n:].numpy(), **p[-1], inflation=inflation))
    return tuple(one for one in results if not one.inferred or one.broken_generated or one.broken_real)


class EventsAndBiases(TypedDict):
    """Fields of the result that say how many events show the difference, and what it does to an analysis."""

    needs: tuple[EventsNeeded, ...]
    biases: tuple[Bias, ...]
    n_distinguish: float | None
    n_distinguish_low: float | None
    n_distinguish_high: float | None
    n_distinguish_test: str
    n_distinguish_of: int


def events_and_biases(
    groups: Groups,
    comparisons: Comparisons,
    classifiers: Sequence[ClassifierResult],
    constraints: Sequence[ConstraintResult],
    *,
    seen: bool,
) -> EventsAndBiases:
    """Return how many events each test needs, the smallest of them, and the biases.

    `seen` says whether the global test tells the samples apart.
    """
    here = comparisons.generated
    pairs = zip(comparisons.single_names, column_distances(here.single, here.relabel), strict=True)
    columns = {name: distance for name, distance in pairs if name not in comparisons.labels}
    tests = {name: group for name, group in groups.items() if name != CONSTRAINTS}
    rules = [one for one in constraints if one.name != TWINS]  # equal pairs grow as the square of the events
    needs = events_needed(tests, classifiers, rules, columns, here.relabel, seen=seen)
    least = smallest_need(needs)
    return {
        "needs": strongest_needs(needs),
        "biases": biases(comparisons, seen=seen),
        "n_distinguish": None if least is None else math.inf if least.events is None else least.events,
        "n_distinguish_low": None if least is None else least.low,
        "n_distinguish_high": None if least is None else math.inf if least.high is None else least.high,
        "n_distinguish_test": "" if least is None else least.test,
        "n_distinguish_of": 0 if least is None else len(needs),
    }


def region_occupancy(comparisons: Comparisons, samples: Samples, alpha: float) -> Occupancy:
    """Return the occupancy of the bins of the battery, their names in original units."""
    bins, n = comparisons.generated.bins, comparisons.generated.relabel.n
    centres, of_row, labels = bins.centres.numpy(), bins.of_row.numpy(), {}
    if comparisons.few_names == comparisons.names:
        keep = [samples.names.index(name) for name in comparisons.names]
        centres, labels = samples.unscaled(centres, keep), samples.labels
    return occupancy(
        of_row[:n],
        of_row[n:],
        region_names(centres, comparisons.few_names, labels),
        real_weights=samples.reference.weights,
        generated_weights=samples.generated.weights,
        relabel=comparisons.generated.relabel,
        alpha=alpha,
    )
