"""The battery: every statistic on the same pooled rows, with the same permutations.

`Bench` holds what they share: rows and labels of both comparisons, generated against real and real
against real. Each statistic is a small function Bench -> `Column`, the values of all permutations
with the observed one first. Columns come in groups (all features of KS, all bandwidths of MMD), which
`reverie.validation.suite` combines.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.validation.kernels import (
    BANDWIDTH_FACTORS,
    energy_kernel,
    gaussian_kernel,
    kernel_distances,
    median_distance,
)
from reverie.validation.permutation import random_labels
from reverie.validation.samples import Samples
from reverie.validation.statistics import (
    correlation_change,
    distribution_distances,
    draw_directions,
    sliced_wasserstein_labelled,
)

__all__ = ["Bench", "Column", "Progress", "run_battery", "set_bench"]

MAX_KS_FEATURES = 128
MAX_CORRELATION_FEATURES = 64
N_DIRECTIONS = 50

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Column:
    """One statistic: values (B + 1,), observed first, beside that of real against real."""

    name: str
    feature: str | None
    values: np.ndarray
    real: float
    detail: str = ""


@dataclass(frozen=True)
class Bench:
    """Everything the statistics share: pooled rows and labels of both comparisons, and the seed."""

    z: Tensor  # reference and generated, pooled, scaled
    labels: Tensor
    z_real: Tensor  # reference and calibration
    labels_real: Tensor
    names: tuple[str, ...]
    seed: int


def set_bench(samples: Samples, n_permutations: int, seed: int) -> tuple[Bench, list[str]]:
    """Return the scaled, pooled rows with their permutations, and notes on features left out.

    Raises
    ------
    InputError
        When no feature varies.
    """
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
    bench = Bench(
        z=torch.from_numpy(samples.scaled(pooled)[:, varies]),
        labels=random_labels(n, m, n_permutations, child_generator(seed, "permutations")),
        z_real=torch.from_numpy(samples.scaled(z_real)[:, varies]),
        labels_real=random_labels(n, m, 0, child_generator(seed, "permutations")),
        names=names,
        seed=seed,
    )
    return bench, notes if not varies.all() else notes[1:]


def run_battery(bench: Bench, tell: Progress) -> tuple[list[list[Column]], list[str], dict[str, Any]]:
    """Return the groups of statistics, KS first, with notes on what was cut and the settings."""
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


def _widest(bench: Bench, most: int, what: str, notes: list[str]) -> list[int]:
    d = len(bench.names)
    if d <= most:
        return list(range(d))
    notes.append(f"{what} looked at the {most} of {d:,} features with the largest variance.")
    return bench.z.var(0).argsort(descending=True, stable=True)[:most].sort().values.tolist()


def _ks(bench: Bench, notes: list[str]) -> list[Column]:
    columns = []
    for j in _widest(bench, MAX_KS_FEATURES, "KS", notes):
        values = distribution_distances(bench.z[:, j], bench.labels)[0]
        real = distribution_distances(bench.z_real[:, j], bench.labels_real)[0]
        columns.append(Column("KS", bench.names[j], values.numpy(), float(real[0])))
    return columns


def _correlation(bench: Bench, notes: list[str]) -> Column:
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
    return Column("correlation difference", None, norm.numpy(), float(real[0]), detail)


def _sliced(bench: Bench) -> Column:
    directions = draw_directions(len(bench.names), N_DIRECTIONS, child_generator(bench.seed, "directions"))
    values = sliced_wasserstein_labelled(bench.z, bench.labels, directions)
    real = sliced_wasserstein_labelled(bench.z_real, bench.labels_real, directions)
    return Column("sliced Wasserstein", None, values.numpy(), float(real[0]))


def _kernels(bench: Bench) -> tuple[Column, list[Column], float]:
    median = median_distance(bench.z, child_generator(bench.seed, "bandwidth"))
    kernels = [energy_kernel, *(gaussian_kernel(factor * median) for factor in BANDWIDTH_FACTORS)]
    values = kernel_distances(bench.z, bench.labels, kernels).numpy()
    real = kernel_distances(bench.z_real, bench.labels_real, kernels)[:, 0].tolist()
    mmds = [
        Column("MMD", None, row, here, f"strongest at {factor:g} times the median distance")
        for factor, row, here in zip(BANDWIDTH_FACTORS, values[1:], real[1:], strict=True)
    ]
    return Column("energy distance", None, values[0], real[0]), mmds, median


def _listed(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
