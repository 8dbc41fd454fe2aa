"""Legacy distances: FPD, KPD and KID exactly as the field computes them, defects included, by name.

They are here so that a number can be set beside a published one. For a judgement use
`reverie.validation.statistics.frechet` and `reverie.validation.statistics.kernels`, which remove the bias and give an
error of both samples.

    FPD   Frechet distance of batches drawn with replacement; a line in 1/n through the means of 20 batches
          at each of 10 sizes; its intercept, bounded below by 0           (Kansal et al. 2023, arXiv:2211.10295)
    KPD   MMD^2 with k(x, y) = (x.y/d + 1)^4, unbiased form; median of 10 batches drawn with replacement,
          half of the width between its 16.275 and 83.725 % quantiles      (the same)
    KID   MMD^2 with k(x, y) = (x.y/d + 1)^3, unbiased form; mean and standard deviation of 100 subsets of
          1000 rows without replacement                                    (Binkowski et al. 2018, arXiv:1801.01401)

Defects that stay. Batches with replacement know only the given rows: the intercept of FPD is the distance of
the two finite samples, its bias of about d (d + 5)/(2n) included, and the error of the fit holds neither that
nor the fluctuation of the samples. So equal laws look different: 0.00150 ± 0.00019 for two samples of 50,000
of N(0, I_10). The errors of KPD and KID are the spread of one batch, not the error of their median or mean.
Features are divided by the largest |real| value, which one outlier sets.

`fpd_jetnet` and `kpd_jetnet` draw the same random rows as JetNet 0.2.5 (NumPy's `default_rng`, seed 42) and gave
the same numbers in all digits (FPD) and to 1e-14 (KPD); on other machines rounding and the tolerance of the fit
leave 1e-9. The CaloChallenge used FPD with ``min_samples=10_000`` and KPD with ``batch_size=10_000``.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np
import torch
from scipy.linalg import LinAlgWarning, sqrtm
from scipy.optimize import curve_fit

from reverie.core.arguments import Interval, Whole, checked
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.resources import check_memory
from reverie.core.types import ArrayLike
from reverie.validation.inputs.tables import as_rows
from reverie.validation.statistics.frechet import frechet_between

__all__ = ["LegacyDistance", "fpd_jetnet", "kid", "kpd_jetnet"]

_ROWS = 2048
_Repeats: TypeAlias = Annotated[int, Interval(1, 100_000)]  # beyond, a call would take days
_Rows: TypeAlias = Annotated[int, Interval(2, 2**31 - 1)]  # two for a variance; JetNet counts in 32 bits
_FPD_CAVEAT = (
    "Batches with replacement keep the bias of finite samples, and the error is that of a line through them: "
    "compare with real against real at the same sizes before reading it."
)
_KPD_CAVEAT = "The error is the spread of one batch; it is not the error of the median, nor of the two samples."
_KID_CAVEAT = "The error is the standard deviation of one subset; it is not the error of the mean, nor of the samples."


@dataclass(frozen=True)
class LegacyDistance:
    """A distance as another programme defines it.

    Parameters
    ----------
    name : Names of the distance and of the programme.
    value, error : The value and the error that this programme reports.
    caveat : what the error does not hold, in a sentence.
    """

    name: str
    value: float
    error: float
    caveat: str

    def __str__(self) -> str:
        return f"{self.name} = {Measured(self.value, self.error)}. {self.caveat}"


@checked
def fpd_jetnet(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    normalise: bool = True,
    seed: Whole = 42,
    min_samples: _Rows = 20_000,
    max_samples: _Rows = 50_000,
    n_batches: _Repeats = 20,
    n_points: Annotated[int, Interval(3, 1_000)] = 10,
) -> LegacyDistance:
    """Return the Frechet physics distance of `real` (n, d) and `generated` (m, d), as JetNet computes it.

    Parameters
    ----------
    normalise : divide each feature by its largest |real| value.
    min_samples, max_samples : smallest and largest batch; `n_points` sizes lie between, equidistant in 1/n.
    n_batches : batches per size.

    Raises
    ------
    InputError
        For fewer than two rows, or sizes that do not differ: the line has two parameters and needs three points.
    """
    x, y = _prepared(real, generated, normalise)
    sizes = (1 / np.linspace(1 / min_samples, 1 / max_samples, n_points)).astype(np.int32)
    if len(set(sizes.tolist())) < 3:
        raise InputError(
            f"Expected at least three different sizes between min_samples and max_samples, got {min_samples} and "
            f"{max_samples}. Set them further apart."
        )
    _check_batch(max_samples, x)
    rng = np.random.default_rng(seed)
    means = [np.mean([_batch_distance(x, y, int(size), rng) for _ in range(n_batches)]) for size in sizes]
    fit, covariance = curve_fit(lambda t, a, b: a + b * t, 1 / sizes, means, bounds=([0, 0], [np.inf, np.inf]))
    return LegacyDistance("FPD (JetNet)", float(fit[0]), float(np.sqrt(covariance[0, 0])), _FPD_CAVEAT)


@checked
def kpd_jetnet(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    normalise: bool = True,
    seed: Whole = 42,
    n_batches: _Repeats = 10,
    batch_size: _Rows = 5_000,
) -> LegacyDistance:
    """Return the kernel physics distance of `real` (n, d) and `generated` (m, d), as JetNet computes it.

    `normalise` divides each feature by its largest |real| value; batches are drawn with replacement.
    """
    x, y = _prepared(real, generated, normalise)
    _check_batch(batch_size, x)
    values = []
    for i in range(n_batches):
        rng = np.random.default_rng(seed + 1000 * i)
        rows, others = rng.choice(len(x), size=batch_size), rng.choice(len(y), size=batch_size)
        values.append(_polynomial_mmd(x[rows], y[others], 4))
    low, high = np.percentile(values, [16.275, 83.725])
    return LegacyDistance("KPD (JetNet)", float(np.median(values)), float(high - low) / 2, _KPD_CAVEAT)


@checked
def kid(
    real: ArrayLike, generated: ArrayLike, *, seed: Whole = 42, n_subsets: _Repeats = 100, subset_size: _Rows = 1_000
) -> LegacyDistance:
    """Return the kernel inception distance of features `real` (n, d) and `generated` (m, d).

    Mean and standard deviation over subsets without replacement. Programmes differ in their random rows, so
    this agrees with them within the error, not in the digits. Samples of fewer than `subset_size` rows are used
    whole.
    """
    x, y = _prepared(real, generated, normalise=False)
    rng = np.random.default_rng(seed)
    size = min(subset_size, len(x), len(y))
    drawn = ((rng.choice(len(s), size=size, replace=False) for s in (x, y)) for _ in range(n_subsets))
    values = [_polynomial_mmd(x[rows], y[others], 3) for rows, others in drawn]
    return LegacyDistance("KID", float(np.mean(values)), float(np.std(values)), _KID_CAVEAT)


def _prepared(real: ArrayLike, generated: ArrayLike, normalise: bool) -> tuple[np.ndarray, np.ndarray]:  # noqa: FBT001
    x, y = (rows.detach().cpu().double().numpy() for rows in as_rows(real=real, generated=generated))
    if min(len(x), len(y)) < 2:
        raise InputError(
            f"Expected two samples (rows, features) with the same features and at least two rows, got {x.shape} "
            f"and {y.shape}. Rows are samples; reshape one of them."
        )
    if not normalise:
        return x, y
    largest = np.abs(x).max(axis=0)
    largest[largest == 0] = 1
    return x / largest, y / largest


def _check_batch(size: int, x: np.ndarray) -> None:
    check_memory(16.0 * size * x.shape[1], f"batches of {size:,} rows", "Give smaller batches.")


def _batch_distance(x: np.ndarray, y: np.ndarray, size: int, rng: np.random.Generator) -> float:
    """Return the Frechet distance of a batch of each sample, drawn with replacement.

    JetNet takes the root of the product of covariances itself. Eigenvalues would agree with it to 1e-14, which the
    iterations of the fit turn into 1e-10; they are taken for singular products, which have no stable root.
    """
    batches = [sample[rng.choice(len(sample), size=size)] for sample in (x, y)]
    (mean_x, cov_x), (mean_y, cov_y) = (
        (rows.mean(axis=0), np.atleast_2d(np.cov(rows, rowvar=False))) for rows in batches
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            root = np.real(sqrtm(cov_x @ cov_y))
        except (LinAlgWarning, RuntimeWarning):
            root = np.array(np.nan)
    if not np.isfinite(root).all():
        return float(frechet_between(*map(torch.from_numpy, (mean_x, cov_x, mean_y, cov_y))))
    difference = mean_x - mean_y
    squared = difference @ difference + np.trace(cov_x) + np.trace(cov_y)  # in this order: its last bits are JetNet's
    return float(squared - 2 * np.trace(root))


def _polynomial_mmd(x: np.ndarray, y: np.ndarray, degree: int) -> float:
    n, m, d = len(x), len(y), x.shape[1]
    within = [_kernel_sum(s, s, degree) - ((np.square(s).sum(axis=1) / d + 1) ** degree).sum() for s in (x, y)]
    return within[0] / (n * (n - 1)) + within[1] / (m * (m - 1)) - 2 * _kernel_sum(x, y, degree) / (n * m)


def _kernel_sum(x: np.ndarray, y: np.ndarray, degree: int) -> float:
    sums = []
    for start in range(0, len(x), _ROWS):
        kernel = x[start : start + _ROWS] @ y.T / x.shape[1] + 1
        power = kernel.copy()
        for _ in range(degree - 1):  # numpy's own power takes ten times as long
            power *= kernel
        sums.append(float(power.sum()))
    return math.fsum(sums)
