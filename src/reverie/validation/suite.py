"""One call: are these generated samples distinguishable from real ones?

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
The scale comes from the real reference; bandwidths come from the pooled rows.

Bounds on cost: at most `max_samples` rows of each sample (drawn by seed and reported); constant
features are left out; KS runs on the 128 and the correlation test on the 64 features of largest
pooled variance. Each cut is stated in the warnings of the result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from scipy.stats import kstwo
from threadpoolctl import threadpool_limits
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_generator, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.classifier import MAX_FEATURES, classifier_test
from reverie.validation.kernels import (
    BANDWIDTH_FACTORS,
    energy_kernel,
    gaussian_kernel,
    kernel_distances,
    median_distance,
)
from reverie.validation.multiple import Ranked, holm, min_p, ranked
from reverie.validation.permutation import random_labels
from reverie.validation.references import DESCRIPTIONS
from reverie.validation.result import ClassifierResult, TestResult, ValidationResult, events_to_distinguish
from reverie.validation.samples import Samples, gather_samples
from reverie.validation.statistics import (
    correlation_change,
    distribution_distances,
    draw_directions,
    sliced_wasserstein_labelled,
)

__all__ = ["validate"]

MAX_KS_FEATURES = 128
MAX_CORRELATION_FEATURES = 64
N_DIRECTIONS = 50
SMALL = 1000  # events per sample below which "not rejected" says little (validation reference, 4.9)

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class _Column:
    """One statistic: values (B + 1,), observed first, beside that of real against real."""

    name: str
    feature: str | None
    values: np.ndarray
    real: float
    detail: str = ""


@dataclass(frozen=True)
class _Bench:
    """Everything the statistics share: pooled rows and labels of both comparisons, and the seed."""

    z: Tensor  # reference and generated, pooled, scaled
    labels: Tensor
    z_real: Tensor  # reference and calibration
    labels_real: Tensor
    names: tuple[str, ...]
    seed: int


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
    bench, notes = _bench(samples, n_permutations, seed)
    groups, more, settings = _battery(bench, tell)
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


def _bench(samples: Samples, n_permutations: int, seed: int) -> tuple[_Bench, list[str]]:
    n, m = len(samples.reference), len(samples.generated)
    pooled = np.concatenate([samples.reference, samples.generated])
    everything = np.concatenate([pooled, samples.calibration])
    varies = np.ptp(everything, axis=0) > 0
    if not varies.any():
        raise InputError("Expected features that vary, got constant columns only. There is nothing to compare.")
    names = tuple(name for name, keep in zip(samples.names, varies, strict=True) if keep)
    notes = [f"{(~varies).sum()} features are constant and equal in all samples; they were left out."]
    frozen = [name for name, keep in zip(samples.names, np.ptp(samples.reference, axis=0) == 0, strict=True) if keep]
    frozen = [name for name in frozen if name in names]
    if frozen:
        notes.append(f"Constant in the real reference but not elsewhere: {_listed(frozen)}.")
    z_real = np.concatenate([samples.reference, samples.calibration])
    bench = _Bench(
        z=torch.from_numpy(samples.scaled(pooled)[:, varies]),
        labels=random_labels(n, m, n_permutations, child_generator(seed, "permutations")),
        z_real=torch.from_numpy(samples.scaled(z_real)[:, varies]),
        labels_real=random_labels(n, m, 0, child_generator(seed, "permutations")),
        names=names,
        seed=seed,
    )
    return bench, notes if not varies.all() else notes[1:]


def _battery(bench: _Bench, tell: Progress) -> tuple[list[list[_Column]], list[str], dict]:
    notes: list[str] = []
    tell(0.02, "KS by feature")
    with threadpool_limits(1, user_api="openmp"):  # many small steps: waiting for threads would cost more
        groups = [_ks(bench, notes)]
        tell(0.1, "sliced Wasserstein")
        sliced = _sliced(bench)
    tell(0.3, "correlations")
    if len(bench.names) > 1:
        groups.append([_correlation(bench, notes)])
    groups.append([sliced])
    tell(0.35, "energy distance and MMD")
    energy, mmds, median = _kernels(bench)
    groups += [[energy], mmds]
    settings = {
        "n_directions": N_DIRECTIONS,
        "median_distance": median,
        "bandwidth_factors": list(BANDWIDTH_FACTORS),
        "max_ks_features": MAX_KS_FEATURES,
        "max_correlation_features": MAX_CORRELATION_FEATURES,
    }
    return groups, notes, settings


def _widest(bench: _Bench, most: int, what: str, notes: list[str]) -> list[int]:
    d = len(bench.names)
    if d <= most:
        return list(range(d))
    notes.append(f"{what} looked at the {most} of {d:,} features with the largest variance.")
    return bench.z.var(0).argsort(descending=True, stable=True)[:most].sort().values.tolist()


def _ks(bench: _Bench, notes: list[str]) -> list[_Column]:
    columns = []
    for j in _widest(bench, MAX_KS_FEATURES, "KS", notes):
        values = distribution_distances(bench.z[:, j], bench.labels)[0]
        real = distribution_distances(bench.z_real[:, j], bench.labels_real)[0]
        columns.append(_Column("KS", bench.names[j], values.numpy(), float(real[0])))
    return columns


def _correlation(bench: _Bench, notes: list[str]) -> _Column:
    keep = _widest(bench, MAX_CORRELATION_FEATURES, "The correlation test", notes)
    norm, r_x, r_y = correlation_change(bench.z[:, keep], bench.labels)
    real = correlation_change(bench.z_real[:, keep], bench.labels_real)[0]
    change = r_y - r_x
    spread = change[1:].square().mean(0).sqrt().clamp_min(1e-12)
    pair = int((change[0].abs() / spread).argmax())
    a, b = (keep[int(index)] for index in torch.triu_indices(len(keep), len(keep), 1)[:, pair])
    detail = (
        f"correlation of {bench.names[a]} with {bench.names[b]} "
        f"({float(r_x[0, pair]):.2f} in real, {float(r_y[0, pair]):.2f} in generated)"
    )
    return _Column("correlation difference", None, norm.numpy(), float(real[0]), detail)


def _sliced(bench: _Bench) -> _Column:
    directions = draw_directions(len(bench.names), N_DIRECTIONS, child_generator(bench.seed, "directions"))
    values = sliced_wasserstein_labelled(bench.z, bench.labels, directions)
    real = sliced_wasserstein_labelled(bench.z_real, bench.labels_real, directions)
    return _Column("sliced Wasserstein", None, values.numpy(), float(real[0]))


def _kernels(bench: _Bench) -> tuple[_Column, list[_Column], float]:
    median = median_distance(bench.z, child_generator(bench.seed, "bandwidth"))
    kernels = [energy_kernel, *(gaussian_kernel(factor * median) for factor in BANDWIDTH_FACTORS)]
    values = kernel_distances(bench.z, bench.labels, kernels).numpy()
    real = kernel_distances(bench.z_real, bench.labels_real, kernels)[:, 0].tolist()
    mmds = [
        _Column("MMD", None, row, here, f"strongest at {factor:g} times the median distance")
        for factor, row, here in zip(BANDWIDTH_FACTORS, values[1:], real[1:], strict=True)
    ]
    return _Column("energy distance", None, values[0], real[0]), mmds, median


def _classify(bench: _Bench, samples: Samples, seed: int) -> ClassifierResult:
    n = len(samples.reference)
    z, z_real = bench.z.numpy(), bench.z_real.numpy()
    return classifier_test(z[:n], z[n:], z_real[n:], names=bench.names, seed=child_seed(seed, "classifier"))


def _checks(groups: list[list[_Column]], bench: _Bench, alpha: float) -> list[TestResult]:
    features, others = groups[0], groups[1:]
    p = [_feature_p(column, bench, len(features)) for column in features]
    results = [_test(c, p_, adj, alpha) for c, p_, adj in zip(features, p, holm(p), strict=True)]
    combined = [(_strongest(group), min_p([ranked(c.values) for c in group]).observed_p) for group in others]
    adjusted = holm([p_ for _, p_ in combined])
    return results + [_test(c, p_, adj, alpha) for (c, p_), adj in zip(combined, adjusted, strict=True)]


def _feature_p(column: _Column, bench: _Bench, n_features: int) -> float:
    if n_features / len(column.values) <= 0.01:
        return ranked(column.values).observed_p
    n = float(bench.labels[:, 0].sum())
    effective = n * (len(bench.z) - n) / len(bench.z)
    return float(np.clip(kstwo.sf(column.values[0], max(1, round(effective))), 0, 1))


def _strongest(group: list[_Column]) -> _Column:
    def strength(column: _Column) -> tuple[float, float]:
        rank: Ranked = ranked(column.values)
        return -rank.observed_p, float(rank.excess[0])

    return max(group, key=strength)


def _test(column: _Column, p_value: float, p_adjusted: float, alpha: float) -> TestResult:
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
    if auc is not None and auc.real_vs_real_p < 0.001:
        notes.append(
            f"The classifier tells real from real (AUC {auc.measured_real}): the two real samples differ, by their "
            "order, a drift or a selection. Read every number against its real-against-real partner."
        )
    if auc is not None and n_features > MAX_FEATURES:
        notes.append(
            f"The classifier saw {MAX_FEATURES - 1} principal components and the rest of {n_features:,} features."
        )
    return notes


def _listed(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def _version() -> str:
    try:
        return version("reverie")
    except PackageNotFoundError:
        return "unknown"
