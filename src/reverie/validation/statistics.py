"""Distances between two samples, each computed for many relabellings of the pooled rows at once.

Two samples x (n, d) and y (m, d) are pooled into z (N, d), N = n + m. A labelling is a column of
zeros and ones, 1 for the rows that count as x. Every statistic here takes z and a matrix of
labellings (N, B) and returns B values: the observed one and those of all permutations come out of
one pass over the data. With F and G the empirical distribution functions of x and y:

    Kolmogorov-Smirnov    D  = max_t |F(t) - G(t)|                              (Smirnov 1948)
    Wasserstein           W1 = integral |F(t) - G(t)| dt
    sliced Wasserstein    mean over directions theta of W1(theta.x, theta.y)     (Bonneel et al. 2015)
    correlation           sqrt(sum_ij (R_x - R_y)_ij^2), R the Pearson correlation matrices

F - G is one sort of z and one cumulative sum of the labels, taken only where the value changes, so
equal values (ties) are handled exactly. The direction theta is uniform on the sphere; for a pure
mean shift mu the sliced W1 tends to |mu| / c_D with c_D = sqrt(pi) Gamma((D+1)/2) / Gamma(D/2).

The plain two-sample forms (`ks_distance`, ...) are the same code with a single labelling.
"""

import math

import torch
from torch import Tensor

from reverie.core.errors import InputError

__all__ = [
    "correlation_change",
    "correlation_difference",
    "distribution_distances",
    "draw_directions",
    "ks_distance",
    "pool",
    "sliced_wasserstein",
    "sliced_wasserstein_labelled",
    "sphere_constant",
    "wasserstein_1d",
]

_ROWS = 128  # rows of labels summed at once: small enough for the cache
_MOMENTS = 4_000_000  # products held at once, 32 MB


def pool(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of `x` (n, d) and `y` (m, d) as one (N, d), and their labelling (N, 1), 1 for x.

    Raises
    ------
    InputError
        Unless both are (rows, features) with the same features and at least one row.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise InputError(
            f"Expected two samples (rows, features) with the same features, got {tuple(x.shape)} and "
            f"{tuple(y.shape)}. Rows are samples; reshape one of them."
        )
    labels = torch.zeros(len(x) + len(y), 1)
    labels[: len(x)] = 1
    return torch.cat([x, y]), labels


def distribution_distances(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the KS distance and W1 of one pooled feature under every labelling.

    Parameters
    ----------
    values : (N,), the pooled feature, any unit.
    labels : (N, B) of zeros and ones, the same number of ones in each column.

    Returns
    -------
    ks, w1 : (B,) each, float64; ks in [0, 1], w1 in the unit of `values`.
    """
    levels, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    n, total = float(labels[:, 0].sum()), len(labels)
    expected = (counts.cumsum(0).double() * (n / total)).to(labels.dtype)[:, None]
    if len(levels) == total:
        order = torch.argsort(values)
    else:  # sum the labels of equal values first
        labels = labels.new_zeros(len(levels), labels.shape[1]).index_add_(0, inverse, labels)
        order = torch.arange(len(levels))
    ks, w1 = _extremes(labels, order[:-1], expected, levels.diff().to(labels.dtype))
    unit = 1 / n + 1 / (total - n)
    return ks.double() * unit, w1.double() * unit


def _extremes(labels: Tensor, order: Tensor, expected: Tensor, gaps: Tensor) -> tuple[Tensor, Tensor]:
    # a running sum over rows that fit in the cache is six times as fast as one over all rows;
    # the sums are whole numbers, exact in single precision up to 2^24 rows
    largest, area, carry = (labels.new_zeros(labels.shape[1]) for _ in range(3))
    for start in range(0, len(order), _ROWS):
        rows = slice(start, start + _ROWS)
        block = labels.index_select(0, order[rows])
        block[0] += carry
        block = block.cumsum(0)
        carry = block[-1].clone()
        block.sub_(expected[: len(order)][rows]).abs_()
        largest = torch.maximum(largest, block.amax(0))
        area += gaps[rows] @ block
    return largest, area


def draw_directions(n_features: int, n_directions: int, generator: torch.Generator) -> Tensor:
    """Return directions (n_features, n_directions), uniform on the sphere; the one axis if d = 1."""
    if n_features == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    theta = torch.randn(n_features, n_directions, generator=generator, dtype=torch.float64)
    return theta / theta.norm(dim=0, keepdim=True)


def sliced_wasserstein_labelled(z: Tensor, labels: Tensor, directions: Tensor) -> Tensor:
    """Return the sliced W1 (B,) of pooled z (N, d) under every labelling (N, B), over `directions` (d, P)."""
    shadows = z @ directions.to(z.dtype)
    total = torch.zeros(labels.shape[1], dtype=torch.float64)
    for shadow in shadows.T:
        total += distribution_distances(shadow, labels)[1]
    return total / directions.shape[1]


def correlation_change(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the correlations of both samples under every labelling.

    Parameters
    ----------
    z : (N, d), d >= 2, the pooled sample.
    labels : (N, B) of zeros and ones.

    Returns
    -------
    norm : (B,), the Frobenius norm of R_x - R_y.
    r_x, r_y : (B, d (d - 1) / 2), the correlations above the diagonal, row by row. The correlation
        of a feature that is constant within a sample is set to 0.
    """
    z = z.double()
    rows, columns = torch.triu_indices(z.shape[1], z.shape[1])
    n = float(labels[:, 0].sum())
    step = max(1, _MOMENTS // len(rows))
    sums = z.new_zeros(labels.shape[1], z.shape[1] + len(rows))
    total = z.new_zeros(sums.shape[1])
    for block, label in zip(z.split(step), labels.split(step), strict=True):
        moments = torch.cat([block, block[:, rows] * block[:, columns]], dim=1)
        sums += label.double().T @ moments
        total += moments.sum(0)
    r_x, r_y = (_correlations(s, rows, columns, z.shape[1]) for s in (sums / n, (total - sums) / (len(z) - n)))
    return (2 * (r_x - r_y).square().sum(1)).sqrt(), r_x, r_y


def _correlations(means: Tensor, rows: Tensor, columns: Tensor, d: int) -> Tensor:
    first, second = means[:, :d], means[:, d:]
    covariance = second - first[:, rows] * first[:, columns]
    diagonal = rows == columns
    variance = covariance[:, diagonal]
    variance = torch.where(variance > 1e-12 * second[:, diagonal], variance, torch.inf)
    return (covariance / (variance[:, rows] * variance[:, columns]).sqrt())[:, ~diagonal]


def ks_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the largest Kolmogorov-Smirnov distance over the features of x (n, d) and y (m, d)."""
    z, labels = pool(x, y)
    return torch.stack([distribution_distances(column, labels)[0][0] for column in z.T]).amax()


def wasserstein_1d(x: Tensor, y: Tensor, *, p: int = 1) -> Tensor:
    """Return the Wasserstein distance W_p of x (n,) and y (m,), in their unit.

    W_p^p = integral_0^1 |F^-1(u) - G^-1(u)|^p du, exact for the two empirical laws.
    """
    n, m = len(x), len(y)
    steps = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()  # u in units of 1/(nm)
    left = torch.cat([steps.new_zeros(1), steps[:-1]])
    distance = (x.sort().values[left // m] - y.sort().values[left // n]).abs().double()
    return (distance.pow(p) * (steps - left) / (n * m)).sum().pow(1 / p)


def sliced_wasserstein(
    x: Tensor, y: Tensor, *, p: int = 1, n_directions: int = 50, generator: torch.Generator | None = None
) -> Tensor:
    """Return (mean over directions of W_p^p)^(1/p) of x (n, d) and y (m, d).

    `generator` draws the directions; None uses directions of the fixed seed 0.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    pool(x, y)
    theta = draw_directions(x.shape[1], n_directions, generator)
    x, y = x.double() @ theta, y.double() @ theta
    powers = [wasserstein_1d(x[:, j], y[:, j], p=p).pow(p) for j in range(theta.shape[1])]
    return torch.stack(powers).mean().pow(1 / p)


def correlation_difference(x: Tensor, y: Tensor) -> Tensor:
    """Return the Frobenius norm of the difference of the correlation matrices of x (n, d) and y (m, d)."""
    z, labels = pool(x, y)
    return correlation_change(z, labels)[0][0]


def sphere_constant(n_features: int) -> float:
    """Return c_D with |x| = c_D E|theta.x|, theta uniform on the sphere in D dimensions."""
    return math.sqrt(math.pi) * math.exp(math.lgamma((n_features + 1) / 2) - math.lgamma(n_features / 2))
