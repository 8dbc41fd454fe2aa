"""One call that answers whether generated samples can be distinguished from real ones.

What `validate` does, in this order:

    inputs          samples are read, given their roles, checked for chains and copies, cut to size and put on one
                    scale (`reverie.validation.inputs`)
    features,       the pooled rows of two comparisons, generated against real and real against real: principal
    relabellings    components, observables, regions, constraints, permutations (`reverie.validation.comparison`)
    statistics      every row of `reverie.validation.statistics.registry`, on the same rows with the same permutations:
                    p = (1 + k)/(B + 1) for each (`reverie.validation.battery`)
    classifiers     trained on one half of the events, judged on the other (`reverie.validation.classifiers`)
    copies          whether training events were copied, a question with a p-value of its own, asked when `train` is
                    given (`reverie.validation.statistics.memorisation`)
    evidence        where the strongest classifier finds it (`reverie.validation.classifiers.regions`)
    correction      one p-value from all, see below
    sentences       findings, events needed, biases, verdict (`reverie.validation.results`)

Statistics, classifiers and copies are stages (`reverie.validation.schedule`). With `max_time` the cheapest run first;
one that is not expected to end in time is left out, and so is the evidence. Features one by one and hard constraints
run in any case. What takes all pairs of rows is left out where these are too many. What was left out is said.

Correction: the columns of a group, such as all features of KS, are combined within it, then the groups, by min-P (see
`reverie.validation.permutation.multiple_testing`), into one p-value for the battery. Hard constraints are one of these
groups, and tests that usually see a difference first have four times the weight of others. Classifiers cannot share
the permutations, so the global p-value is Bonferroni's over the battery and the classifiers, the battery with the
weight of four classifiers. It is valid whatever the dependence between them. Adjusted p-values are those of Westfall
and Young, step-down: by feature within each test, the strongest of each group among the groups. q-values (Benjamini and
Hochberg) stand beside them.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.core.version import __version__
from reverie.core.words import in_same_words
from reverie.validation.battery import BatteryPiece, battery_groups, battery_stages
from reverie.validation.classifiers.regions import locate as locate_evidence
from reverie.validation.classifiers.training import seconds_of_training
from reverie.validation.classifiers.two_sample import beside, separate
from reverie.validation.comparison import Comparisons, Groups, build_comparisons
from reverie.validation.inputs.chains import LEAST_BLOCKS
from reverie.validation.inputs.large_samples import part_of, stream
from reverie.validation.inputs.samples import Samples, gather_samples, read_sample
from reverie.validation.permutation.multiple_testing import global_p, min_p, ranked
from reverie.validation.results.assemble import (
    constraint_results,
    events_and_biases,
    observable_results,
    region_occupancy,
    test_results,
)
from reverie.validation.results.findings import find
from reverie.validation.results.result import UNLIKE, ValidationResult
from reverie.validation.results.tests import ClassifierResult, strongest
from reverie.validation.schedule import Budget, Progress, Stage, n_workers, run_stages
from reverie.validation.statistics.constraints import Constraint
from reverie.validation.statistics.memorisation import MemorisationResult, memorisation, seconds_of_search
from reverie.validation.statistics.observables import named_observables
from reverie.validation.statistics.registry import CHECKS

__all__ = ["validate"]

SMALL = 1000  # events per sample below which "not rejected" says little (validation reference, 4.9)
COPIES, LOCATION = "copies of training events", "where the classifier finds its evidence"
_CORRELATED = {"auto": "auto", "blocks": "auto", "thin": "thin", "ignore": "ignore"}


@checked
def validate(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    calibration: ArrayLike | None = None,
    train: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    observables: Any = None,
    constraints: Mapping[str, Constraint] | None = None,
    modes: Callable[[np.ndarray], np.ndarray] | None = None,
    classifiers: str | Sequence[str] = "auto",
    correlated: str = "auto",
    calibrate: bool = True,
    locate: bool = True,
    random_state: RandomState = None,
    n_permutations: int = 999,
    max_samples: int = 10_000,
    alpha: float = 0.05,
    max_time: float | None = None,
    tests: Sequence[str] | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> ValidationResult:
    """Compare a generated sample with a real one, and real with real, and give one verdict.

    Parameters
    ----------
    real : (n, *event) array, tensor, DataFrame or data set: real events the generator has not seen. Weights of a data
        set are honoured, here and below. Columns of words are compared by codes, one for a word in all samples. Sets of
        particles are compared by features (`reverie.validation.inputs.sets`).
    generated : (m, *event), events of the generator, in the same units.
    calibration : (h, *event), other real events. None takes `train`; without that `real` is split in halves.
    train : (t, *event), the events that the generator was trained on: asks whether it copied them.
    names : Names of the features, shape (d,), or of the columns of sets; None takes those of the data.
    observables : functions of events, a float64 tensor (n, *event), to one number (n,) or several (n, k) per
        event; one, several, or by name.
    constraints : name -> function of events that says for each whether it holds, or by how much it fails.
        Others are read off the calibration sample (see `reverie.validation.statistics.constraints`).
    modes : labels of events (n, d) -> (n,), such as `predict` of clusters found in real events: their occupancy is
        compared.
    classifiers : Names among "boosting", "forest", "mlp", "cnn" and "sets"; "auto" takes boosting, for images also cnn,
        for sets of particles also sets. "none" or () for none.
    correlated : "auto" looks for chains and exchanges blocks of them, "thin" keeps every few rows instead,
        "ignore" takes rows as independent.
    locate : whether to ask where a classifier that tells the samples apart finds its evidence.
    calibrate : whether to compute every number for real against real too.
    random_state : seed of splits, permutations, projections and learners.
    n_permutations : B; the smallest p-value of one test is 1/(B + 1).
    max_samples : most rows used of each sample. Of a sample too large for copies they are drawn from a random part
        of it, and one pass over all rows is added (see `reverie.validation.inputs.large_samples`).
    alpha : level of the verdict, in (0, 1).
    max_time : seconds after which no test begins that is not expected to end in time: the cheapest come first, and what
        was left out is said. Which tests run depends on sizes and on the clock, never on their results, and the global
        p corrects for those that ran. None for no limit.
    tests : those to run, by the names in `settings["tests"]` of a result, whose numbers come out again; None for all.
    progress : called with the fraction done and the name of the next test.
    executor : An executor of `concurrent.futures` that does the tests; the result is the same to the last bit. None
        takes as many threads as torch uses. With `max_time` it is chosen at the start what runs.

    Raises
    ------
    UnknownNameError
        For a test that there is not.
    InputError
        For samples with different features, NaN, text or fewer than 20 rows, or an observable that fails.
    ShortChainError
        For rows of a chain that are worth too few independent ones for a p-value.
    WorkerError
        If a worker of the executor died.
    """
    check_positive("n_permutations", n_permutations, integer=True)
    if max_time is not None:
        check_positive("max_time", max_time)
    if not 0 < alpha < 1:
        raise InputError(f"Expected alpha between 0 and 1, got {alpha!r}. The usual level is 0.05.")
    budget, report = Budget(max_time, n_workers(executor)), progress or (lambda fraction, text: None)
    seed = as_seed(random_state)
    given = in_same_words({"real": real, "generated": generated, "calibration": calibration, "train": train})
    parts = {
        what: None if sample is None else part_of(sample, what, most=max_samples, seed=child_seed(seed, "part", what))
        for what, sample in given.items()
    }
    samples = gather_samples(
        parts["real"],
        parts["generated"],
        parts["train" if calibration is None else "calibration"],
        names=None if names is None else tuple(str(name) for name in names),
        seed=seed,
        max_samples=max_samples,
        correlated=check_choice("treatment of correlated rows", correlated, _CORRELATED),
        calibration_source="training events" if calibration is None else "given",
    )
    comparisons = build_comparisons(
        samples,
        named_observables(observables),
        n_permutations,
        seed,
        calibrate=calibrate,
        modes=modes,
        constraints=constraints,
    )
    learners = _learners(classifiers, samples)
    stages, endless = battery_stages(comparisons)
    stages += _classifier_stages(learners, samples, seed, calibrate=calibrate)
    if parts["train"] is not None:
        search = _search_for_copies(parts["train"], samples, seed, n_permutations, max_samples, alpha)
        stages += [] if search is None else [search]
        endless += [COPIES] if search is None else []
    chosen = stages if tests is None else _named_stages(stages, tests)
    results = run_stages(chosen, budget, report, executor)
    left_out = [stage.name for stage in chosen if stage.name not in results]

    groups = battery_groups(comparisons, results)
    fitted = [cast(list[ClassifierResult], results[learner]) for learner in learners if learner in results]
    tested = tuple(beside(*pair) if len(pair) == 2 else pair[0] for pair in fitted)
    best, located = strongest(tested), None
    if locate and best is not None:
        report(1.0, LOCATION)
        if budget.has_time_for(next(stage.seconds for stage in stages if stage.name == best.learner)):
            located = locate_evidence(samples, best, seed, alpha)
        elif best.p_value <= alpha:
            left_out.append(LOCATION)
    streamed = None
    if samples.reference.sets is None:
        both = (given["real"], given["generated"]), (parts["real"], parts["generated"])
        streamed = stream(*both, samples.names, constraints=constraints)
    report(1.0, "done")

    together = [min_p([ranked(column.values) for column in group]) for group in groups.values()]
    battery = min_p(together, [CHECKS[name].weight if name in CHECKS else 1.0 for name in groups]).observed_p
    p_value, _, _ = global_p(battery, [one.p_value for one in tested])
    checks, regions = test_results(groups, alpha), region_occupancy(comparisons, samples, alpha)
    rules, means = constraint_results(groups, comparisons, samples), observable_results(groups, comparisons, alpha)
    boxes = () if located is None else located.boxes
    findings = find(checks, constraints=rules, regions=regions, observables=means, boxes=boxes, alpha=alpha)
    return ValidationResult(
        p_value=p_value,
        battery_p=battery,
        checks=checks,
        classifiers=tested,
        **events_and_biases(groups, comparisons, tested, rules, seen=p_value <= alpha),
        findings=findings if p_value <= alpha else (),
        constraints=rules,
        regions=regions,
        observables=means,
        memorisation=cast(MemorisationResult, results[COPIES][0]) if COPIES in results else None,
        located=located,
        chains=samples.chains,
        sizes=samples.sizes | comparisons.looked_at,
        streamed=streamed,
        left_out=(*endless, *left_out),
        seed=seed,
        n_permutations=n_permutations,
        alpha=alpha,
        warnings=_warnings(samples, comparisons, groups, best, left_out, endless),
        settings={
            "max_samples": max_samples,
            "calibration": samples.calibration_source,
            "classifiers": list(learners),
            "correlated": correlated,
            "calibrate": calibrate,
            "weighted": samples.is_weighted,
            "tests": [stage.name for stage in stages if stage.name in results],
        },
        version=__version__,
    )


def _learners(classifiers: str | Sequence[str], samples: Samples) -> tuple[str, ...]:
    rows = min(len(samples.reference.values), len(samples.generated.values))
    if samples.chains.block > 1 and rows // samples.chains.block < LEAST_BLOCKS:
        return ()
    if classifiers == "none":
        return ()
    if classifiers != "auto":
        chosen = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
        if "sets" in chosen and samples.reference.sets is None:
            raise InputError("Expected sets of particles for the classifier 'sets', got other events. Take boosting.")
        return chosen
    if samples.reference.sets is not None:
        return "boosting", "sets"
    is_image = len(samples.event_shape) in (2, 3) and min(samples.event_shape[-2:]) >= 8
    return ("boosting", "cnn") if is_image else ("boosting",)


def _classifier_stages(learners: Sequence[str], samples: Samples, seed: int, *, calibrate: bool) -> list[Stage]:
    x, y, z = samples.reference, samples.generated, samples.calibration
    stages = []
    for learner in learners:
        (real, event_shape), (generated, _), (other, _) = (samples.seen_by(learner, sample) for sample in (x, y, z))
        fit = partial(
            separate,
            real,
            names=samples.names,
            seed=child_seed(seed, "classifier"),
            block=samples.chains.block,
            event_shape=event_shape,
        )
        fits = [partial(fit, generated, learner=learner, weights=(x.weights, y.weights), explain=True)]
        fits += [partial(fit, other, learner=learner, weights=(x.weights, z.weights))] if calibrate else []
        seconds = seconds_of_training(learner, len(real) + len(generated), real.shape[1])
        stages.append(Stage(learner, len(fits) * seconds, tuple(fits)))
    return stages


def _search_for_copies(
    train: ArrayLike, samples: Samples, seed: int, n_permutations: int, max_samples: int, alpha: float
) -> Stage | None:
    """Return the search for copies as a stage; None if it would not end."""
    rows = read_sample(train, "train", samples.reference.columns or samples.names).values
    if samples.chains.is_chain:
        rows = rows[samples.chains.kept(len(rows))]
    elif len(rows) > max_samples:
        rows = rows[np.random.default_rng(child_seed(seed, "train")).permutation(len(rows))[:max_samples]]
    arrays = rows, samples.reference.values, samples.generated.values
    seconds = seconds_of_search(*map(len, arrays), n_features=rows.shape[1])
    if seconds is None:
        return None
    options = {"block": samples.chains.block, "alpha": alpha, "random_state": child_seed(seed, "copies")}
    return Stage(COPIES, seconds, (partial(memorisation, *arrays, n_permutations=n_permutations, **options),))


def _named_stages(stages: list[Stage], tests: Sequence[str]) -> list[Stage]:
    names = {stage.name: stage for stage in stages}
    chosen = [check_choice("test", name, names) for name in dict.fromkeys(tests)]
    first = next((k for k, stage in enumerate(chosen) if isinstance(stage.pieces[0], BatteryPiece)), None)
    if first is None:
        raise InputError(f"Expected a statistic among the tests, got {list(tests)}. Add {stages[0].name!r}.")
    chosen[first] = replace(chosen[first], is_first=True)  # so that one runs, however little time there is
    return chosen


def _warnings(
    samples: Samples,
    comparisons: Comparisons,
    groups: Groups,
    best: ClassifierResult | None,
    left_out: list[str],
    endless: list[str],
) -> tuple[str, ...]:
    notes = []
    if left_out:
        notes.append(
            f"Left out for want of time: {', '.join(left_out)}. The verdict and its global p rest on the other "
            "tests; give more time to have these too."
        )
    if endless:
        notes.append(
            f"Left out with so many rows: {', '.join(endless)}. What they take grows as the square of the rows; "
            "give a smaller max_samples to have them."
        )
    notes += [*samples.warnings]
    empty = [name for name, group in groups.items() if any(np.isnan(one.values).any() for one in group)]
    if empty:
        names = ", ".join(empty)
        notes.append(f"Without a number in some relabelling, and taken as no difference there: {names}.")
    notes += comparisons.notes
    smallest = min(len(samples.reference.values), len(samples.generated.values))
    if smallest < SMALL:
        notes.append(
            f"Only {smallest:,} events in the smaller sample: that no difference is found does not mean that there "
            f"is none. Use at least {SMALL:,} real and generated events for a verdict that means something."
        )
    if best is not None and best.real_vs_real_p < UNLIKE:
        notes.append(
            f"The classifier tells real from real (AUC {best.measured_real}): the two real samples differ, by their "
            "order, a drift or a selection. Read every number against its real-against-real partner."
        )
    if best is not None and best.value < 0.5 - 4 * best.error:
        notes.append(
            "The AUC lies far below 1/2, which chance does not do: generated and real sample share events, or near "
            "copies of them. Validate against real events that the generator has never seen."
        )
    return tuple(notes)
