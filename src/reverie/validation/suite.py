"""One call that answers whether generated samples can be distinguished from real ones.

The battery, each statistic on the same pooled rows with the same permutations:

    KS by feature, correlation difference, sliced Wasserstein, energy distance, MMD at five bandwidths

p = (1 + k)/(B + 1) for each; the features and the bandwidths are first combined within their group,
then the groups, by min-P (see `reverie.validation.multiple`), into one p-value for the battery. The
classifier cannot share the permutations, so the global p-value is Bonferroni's: the smaller of both,
doubled. It is valid whatever the dependence between them.

Adjusted p-values are Holm's: KS among the features, the other statistics among themselves. A feature's
own KS p-value comes from the permutations; when there are so many features that Holm's correction of
the smallest possible p, 1/(B + 1), could not reach 1 %, it is Kolmogorov's instead (asymptotic; too
large, hence safe, for tied values).

Roles of the samples, equal sizes, and the common scale are explained in `reverie.validation.samples`.
The scale comes from the calibration sample, bandwidths and the choice of features from the pooled rows:
neither depends on the labels that are permuted, so the permutation tests are exact at any size.

Bounds on cost: at most `max_samples` rows of each sample (drawn by seed and reported); constant
features are left out; KS runs on the 128 and the correlation test on the 64 features of largest
pooled variance. Each cut is stated in the warnings of the result.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from scipy.stats import kstwo

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.battery import Bench, Column, Progress, run_battery, set_bench
from reverie.validation.classifier import MAX_FEATURES, classifier_test
from reverie.validation.multiple import holm, min_p, ranked
from reverie.validation.references import DESCRIPTIONS
from reverie.validation.result import ClassifierResult, TestResult, ValidationResult, events_to_distinguish
from reverie.validation.samples import Samples, gather_samples
from reverie.validation.sentences import UNLIKE

__all__ = ["validate"]

SMALL = 1000  # events per sample below which "not rejected" says little (validation reference, 4.9)


def validate(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    calibration: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    random_state: RandomState = None,
    n_permutations: int = 999,
    classifier: bool = True,
    max_samples: int = 5000,
    alpha: float = 0.05,
    progress: Progress | None = None,
) -> ValidationResult:
    """Compare a generated sample with a real one, and real with real, and give one verdict.

    Parameters
    ----------
    real : (n, *event) array, tensor, DataFrame or data set: real events the generator has not seen.
    generated : (m, *event), events of the generator, in the same units.
    calibration : (h, *event), other real events, such as those of the training; None splits `real` in halves.
    names : one per feature; None takes those of the data.
    random_state : seed of splits, permutations, projections and trees.
    n_permutations : B; the smallest p-value of one test is 1/(B + 1).
    classifier : whether to run the classifier test.
    max_samples : most rows used of each sample.
    alpha : level of the verdict, in (0, 1).
    progress : called with the fraction done and the name of the next step.

    Raises
    ------
    InputError
        For samples with different features, NaN, text, fewer than 20 rows, or event weights.
    """
    check_positive("n_permutations", n_permutations, integer=True)
    if not 0 < alpha < 1:
        raise InputError(f"Expected alpha between 0 and 1, got {alpha!r}. The usual level is 0.05.")
    tell = progress or (lambda fraction, text: None)
    seed = as_seed(random_state)
    given = None if names is None else tuple(str(name) for name in names)
    samples = gather_samples(real, generated, calibration, names=given, seed=seed, max_samples=max_samples)
    bench, notes = set_bench(samples, n_permutations, seed)
    groups, more, settings = run_battery(bench, tell)
    battery = min_p([min_p([ranked(column.values) for column in group]) for group in groups]).observed_p
    tell(0.75, "classifier")
    auc = _classify(bench, samples, seed) if classifier else None
    tell(1.0, "done")
    settings |= {"max_samples": max_samples, "calibration": samples.calibration_source, "classifier": classifier}
    return ValidationResult(
        p_value=battery if auc is None else min(1.0, 2 * min(battery, auc.p_value)),
        battery_p=battery,
        checks=tuple(_checks(groups, bench, alpha)),
        auc=auc,
        **_events(auc, alpha),
        sizes=samples.sizes,
        seed=seed,
        n_permutations=n_permutations,
        alpha=alpha,
        warnings=(*samples.warnings, *notes, *more, *_cautions(samples, auc, len(bench.names))),
        settings=settings,
        version=_version(),
    )


def _classify(bench: Bench, samples: Samples, seed: int) -> ClassifierResult:
    n = len(samples.reference)
    z, z_real = bench.z.numpy(), bench.z_real.numpy()
    return classifier_test(z[:n], z[n:], z_real[n:], names=bench.names, seed=child_seed(seed, "classifier"))


def _checks(groups: list[list[Column]], bench: Bench, alpha: float) -> list[TestResult]:
    features, others = groups[0], groups[1:]
    p = [_feature_p(column, bench, len(features)) for column in features]
    results = [_test(c, p_, adj, alpha) for c, p_, adj in zip(features, p, holm(p), strict=True)]
    combined = [(_strongest(group), min_p([ranked(c.values) for c in group]).observed_p) for group in others]
    adjusted = holm([p_ for _, p_ in combined])
    return results + [_test(c, p_, adj, alpha) for (c, p_), adj in zip(combined, adjusted, strict=True)]


def _feature_p(column: Column, bench: Bench, n_features: int) -> float:
    if n_features / len(column.values) <= 0.01:
        return ranked(column.values).observed_p
    n = float(bench.labels[:, 0].sum())
    effective = n * (len(bench.z) - n) / len(bench.z)
    return float(np.clip(kstwo.sf(column.values[0], max(1, round(effective))), 0, 1))


def _strongest(group: list[Column]) -> Column:
    def strength(column: Column) -> tuple[float, float]:
        rank = ranked(column.values)
        return -rank.observed_p, float(rank.excess[0])

    return max(group, key=strength)


def _test(column: Column, p_value: float, p_adjusted: float, alpha: float) -> TestResult:
    low, high = np.quantile(column.values[1:], [0.05, 0.95])
    description, reference = DESCRIPTIONS[column.name]
    return TestResult(
        name=column.name,
        feature=column.feature,
        value=float(column.values[0]),
        noise_low=float(low),
        noise_high=float(high),
        real_vs_real=column.real,
        p_value=p_value,
        p_adjusted=p_adjusted,
        distinguishes=p_adjusted <= alpha,
        description=description,
        reference=reference,
        detail=column.detail,
    )


def _events(auc: ClassifierResult | None, alpha: float) -> dict[str, float | None]:
    keys = ("n_distinguish", "n_distinguish_low", "n_distinguish_high")
    if auc is None:
        return dict.fromkeys(keys)
    return dict(zip(keys, events_to_distinguish(auc.value, auc.error, auc.p_value, alpha), strict=True))


def _cautions(samples: Samples, auc: ClassifierResult | None, n_features: int) -> list[str]:
    notes = []
    smallest = min(len(samples.reference), len(samples.generated))
    if smallest < SMALL:
        notes.append(
            f"Only {smallest:,} events in the smaller sample: that no difference is found does not mean that there "
            f"is none. Use at least {SMALL:,} real and generated events for a verdict that means something."
        )
    if auc is not None and auc.real_vs_real_p < UNLIKE:
        notes.append(
            f"The classifier tells real from real (AUC {auc.measured_real}): the two real samples differ, by their "
            "order, a drift or a selection. Read every number against its real-against-real partner."
        )
    if auc is not None and auc.value < 0.5 - 4 * auc.error:
        notes.append(
            "The AUC lies far below 1/2, which chance does not do: generated and real sample share events, or near "
            "copies of them. Validate against real events that the generator has never seen."
        )
    if auc is not None and n_features > MAX_FEATURES:
        notes.append(
            f"The classifier saw {MAX_FEATURES - 1} principal components and the rest of {n_features:,} features."
        )
    return notes


def _version() -> str:
    try:
        return version("reverie")
    except PackageNotFoundError:
        return "unknown"
