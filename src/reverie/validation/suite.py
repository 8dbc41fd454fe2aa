"""One call that answers whether generated samples can be distinguished from real ones.

The battery (`reverie.validation.battery`) computes every statistic on the same pooled rows with the same
permutations. p = (1 + k)/(B + 1) for each; the columns of a group, such as all features of KS, are first combined
within it, then the groups, by min-P (see `reverie.validation.multiple`), into one p-value for the battery. Hard
constraints are one of these groups. Classifiers cannot share the permutations, so the global p-value is Bonferroni's
over the battery and the classifiers: the smallest p times their number. It is valid whatever the dependence between
them.

Adjusted p-values are those of Westfall and Young, step-down: by feature within each test, the strongest of each group
among the groups. q-values (Benjamini and Hochberg) stand beside them.

Roles of the samples, equal sizes, weights, and the common scale are explained in `reverie.validation.samples`, chains
in `reverie.validation.chains`. Whether training events were copied is another question with a p-value of its
own (`reverie.validation.memorisation`), asked when `train` is given.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.battery import Groups
from reverie.validation.bench import Bench, set_bench
from reverie.validation.classifier import classifier_test
from reverie.validation.constraints import Constraint
from reverie.validation.findings import find
from reverie.validation.judgement import constraints_judged, judged, observables_judged, reached, regions_judged
from reverie.validation.located import locate as find_evidence
from reverie.validation.memorisation import MemorisationResult, memorisation
from reverie.validation.multiple import min_p, ranked
from reverie.validation.observables import named_observables
from reverie.validation.result import ClassifierResult, Located, ValidationResult, strongest
from reverie.validation.samples import Samples, gather_samples, read_sample
from reverie.validation.sentences import UNLIKE
from reverie.validation.stream import Streamed, part_of, stream
from reverie.validation.tasks import Progress, run_battery

__all__ = ["validate"]

SMALL = 1000  # events per sample below which "not rejected" says little (validation reference, 4.9)
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
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> ValidationResult:
    """Compare a generated sample with a real one, and real with real, and give one verdict.

    Parameters
    ----------
    real : (n, *event) array, tensor, DataFrame or data set: real events the generator has not seen. Weights of a data
        set are honoured, here and below.
    generated : (m, *event), events of the generator, in the same units.
    calibration : (h, *event), other real events. None takes `train`; without that `real` is split in halves.
    train : (t, *event), the events that the generator was trained on: asks whether it copied them.
    names : one per feature; None takes those of the data.
    observables : functions of events, a float64 tensor (n, *event), to one number (n,) or several (n, k) per
        event; one, several, or by name.
    constraints : name -> function of events that says for each whether it holds, or by how much it fails.
        Others are read off the calibration sample (see `reverie.validation.constraints`).
    modes : labels of events (n, d) -> (n,), such as `predict` of clusters found in real events: their occupancy is
        compared.
    classifiers : of "boosting", "forest", "mlp", "cnn"; "auto" takes boosting, and cnn besides for images. () for none.
    correlated : "auto" looks for chains and exchanges blocks of them, "thin" keeps every few rows instead,
        "ignore" takes rows as independent.
    locate : whether to ask where a classifier that tells the samples apart finds its evidence.
    calibrate : whether to compute every number for real against real too.
    random_state : seed of splits, permutations, projections and learners.
    n_permutations : B; the smallest p-value of one test is 1/(B + 1).
    max_samples : most rows used of each sample. Of a sample too large for copies they are drawn from a random part
        of it, and one pass over all rows is added (see `reverie.validation.stream`).
    alpha : level of the verdict, in (0, 1).
    progress : called with the fraction done and the name of the next step.
    executor : of `concurrent.futures`, which shares the tests out; the result is the same to the last bit. None takes
        as many threads as torch uses. Classifiers and the search for copies stay in this process.

    Raises
    ------
    InputError
        For samples with different features, NaN, text or fewer than 20 rows, or an observable that fails.
    WorkerError
        If a worker of the executor died.
    """
    check_positive("n_permutations", n_permutations, integer=True)
    if not 0 < alpha < 1:
        raise InputError(f"Expected alpha between 0 and 1, got {alpha!r}. The usual level is 0.05.")
    tell, seed = progress or (lambda fraction, text: None), as_seed(random_state)
    given = {"real": real, "generated": generated, "calibration": calibration, "train": train}
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
    more = {"calibrate": calibrate, "modes": modes, "constraints": constraints}
    bench = set_bench(samples, named_observables(observables), n_permutations, seed, **more)
    groups = run_battery(bench, tell, executor)
    tell(0.75, "classifiers")
    learners = _learners(classifiers, samples)
    tested = tuple(_classify(name, samples, seed, calibrate=calibrate) for name in learners)
    located = find_evidence(samples, strongest(tested), seed, alpha) if locate else None
    tell(0.95, "copies")
    learnt = parts["train"]
    copies = None if learnt is None else _memorisation(learnt, samples, seed, n_permutations, max_samples, alpha)
    pair = parts["real"], parts["generated"]
    streamed = stream((real, generated), pair, samples.names, constraints=constraints)
    tell(1.0, "done")
    settings = {"max_samples": max_samples, "calibration": samples.calibration_source, "classifiers": list(learners)}
    settings |= {"correlated": correlated, "calibrate": calibrate, "weighted": samples.is_weighted}
    evidence = _Evidence(samples, bench, groups, tested, located, copies, streamed)
    return _result(evidence, seed=seed, n_permutations=n_permutations, alpha=alpha, settings=settings)


@dataclass(frozen=True)
class _Evidence:
    samples: Samples
    bench: Bench
    groups: Groups
    tested: tuple[ClassifierResult, ...]
    located: Located | None
    copies: MemorisationResult | None
    streamed: Streamed | None


def _result(
    e: _Evidence, *, seed: int, n_permutations: int, alpha: float, settings: dict[str, Any]
) -> ValidationResult:
    battery = min_p([min_p([ranked(column.values) for column in group]) for group in e.groups.values()]).observed_p
    parts = [battery, *(one.p_value for one in e.tested)]
    p_value = min(1.0, len(parts) * min(parts))
    checks = tuple(judged(e.groups, alpha))
    seen = {
        "constraints": constraints_judged(e.groups, e.bench, e.samples),
        "regions": regions_judged(e.bench, e.samples, alpha),
        "observables": observables_judged(e.groups, e.bench, alpha),
    }
    boxes = () if e.located is None else e.located.boxes
    findings = find(checks, **seen, boxes=boxes, alpha=alpha)
    best = strongest(e.tested)
    return ValidationResult(
        p_value=p_value,
        battery_p=battery,
        checks=checks,
        classifiers=e.tested,
        **reached(e.groups, e.bench, e.tested, seen["constraints"], seen=p_value <= alpha),
        findings=findings if p_value <= alpha else (),
        **seen,
        memorisation=e.copies,
        located=e.located,
        chains=e.samples.chains,
        sizes=e.samples.sizes,
        streamed=e.streamed,
        seed=seed,
        n_permutations=n_permutations,
        alpha=alpha,
        warnings=(*e.samples.warnings, *e.bench.notes, *_cautions(e.samples, best)),
        settings=settings,
        version=_version(),
    )


def _learners(classifiers: str | Sequence[str], samples: Samples) -> tuple[str, ...]:
    if isinstance(classifiers, str) and classifiers != "auto":
        return (classifiers,)
    if not isinstance(classifiers, str):
        return tuple(classifiers)
    is_image = len(samples.event_shape) in (2, 3) and min(samples.event_shape[-2:]) >= 8
    return ("boosting", "cnn") if is_image else ("boosting",)


def _classify(learner: str, samples: Samples, seed: int, *, calibrate: bool) -> ClassifierResult:
    roles = samples.reference, samples.generated, samples.calibration
    real, generated, other = (samples.scaled(sample.values) for sample in roles)
    weights = samples.reference.weights, samples.generated.weights, samples.calibration.weights
    return classifier_test(
        real,
        generated,
        other if calibrate else None,
        names=samples.names,
        seed=child_seed(seed, "classifier"),
        learner=learner,
        weights=weights,
        block=samples.chains.block,
        event_shape=samples.event_shape,
    )


def _memorisation(
    train: ArrayLike, samples: Samples, seed: int, n_permutations: int, max_samples: int, alpha: float
) -> MemorisationResult:
    rows = read_sample(train, "train", samples.names).values
    if samples.chains.is_chain:
        rows = rows[samples.chains.kept(len(rows))]
    elif len(rows) > max_samples:
        rows = rows[np.random.default_rng(child_seed(seed, "train")).permutation(len(rows))[:max_samples]]
    return memorisation(
        rows,
        samples.reference.values,
        samples.generated.values,
        n_permutations=n_permutations,
        block=samples.chains.block,
        alpha=alpha,
        random_state=child_seed(seed, "copies"),
    )


def _cautions(samples: Samples, best: ClassifierResult | None) -> list[str]:
    notes = []
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
    return notes


def _version() -> str:
    try:
        return version("reverie")
    except PackageNotFoundError:
        return "unknown"
