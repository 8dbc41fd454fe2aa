"""The forms of version 0.1 of statistics under a matrix of labellings; to be deleted when the battery uses columns."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = [
    "correlation_change",
    "distribution_distances",
    "kernel_distances",
    "random_labels",
    "sliced_wasserstein_labelled",
]

Kernel = Callable[[Tensor], Tensor]

_ROWS = 128
_MOMENTS = 4_000_000


def random_labels(n: int, m: int, n_permutations: int, generator: torch.Generator) -> Tensor:
    """Return labels (n + m, n_permutations + 1) of ones (x) and zeros (y), the observed labelling first."""
    draws = [torch.randperm(n + m, generator=generator)[:n] for _ in range(n_permutations)]
    ones = torch.stack([torch.arange(n), *draws])
    return torch.zeros(n_permutations + 1, n + m).scatter_(1, ones, 1.0).T.contiguous()


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


def kernel_distances(
    z: Tensor, labels: Tensor, kernels: Sequence[Kernel], *, unbiased: bool = True, block_size: int = 2048
) -> Tensor:
    """Return U (or V) of every kernel under every labelling.

    Parameters
    ----------
    z : (N, d), the pooled sample, centred; distances are computed in float64.
    labels : (N, B) of zeros and ones with n ones in every column; its dtype is that of the products.
    kernels : functions of squared distances.
    unbiased : U, which leaves out the pairs (i, i); else the biased V-statistic.
    block_size : rows per block; the result does not depend on it.

    Returns
    -------
    values : (len(kernels), B), float64.
    """
    n, total = float(labels[:, 0].sum()), len(z)
    forms, row_sums = _quadratic_forms(z.double(), labels - n / total, kernels, block_size)
    unit = 1 / n + 1 / (total - n)
    biased = forms * unit**2
    if not unbiased:
        return biased
    within = torch.zeros_like(biased)
    for start in range(0, total, block_size):
        within += row_sums[:, start : start + block_size] @ labels[start : start + block_size].double()
    k0 = torch.stack([kernel(z.new_zeros(1).double())[0] for kernel in kernels])[:, None]
    return _unbiased(biased, within, row_sums.sum(1, keepdim=True), k0, n, total - n)


def _quadratic_forms(z: Tensor, centred: Tensor, kernels: Sequence[Kernel], block_size: int) -> tuple[Tensor, Tensor]:
    # the diagonal block counts once, those right of it twice
    norms = z.square().sum(1)
    forms = z.new_zeros(len(kernels), centred.shape[1])
    row_sums = z.new_zeros(len(kernels), len(z))
    blocks = list(torch.arange(len(z)).split(block_size))
    for i, rows in enumerate(blocks):
        here = slice(int(rows[0]), int(rows[-1]) + 1)
        products = [centred.new_zeros(len(rows), centred.shape[1]) for _ in kernels]
        for columns in blocks[i:]:
            there = slice(int(columns[0]), int(columns[-1]) + 1)
            squared = _squared_distances(z, norms, here, there).to(centred.dtype)
            for k, kernel in enumerate(kernels):
                values = kernel(squared)
                row_sums[k, here] += values.sum(1, dtype=torch.float64)
                if here != there:
                    row_sums[k, there] += values.sum(0, dtype=torch.float64)
                products[k].addmm_(values, centred[there], alpha=1.0 if here == there else 2.0)
        for k, product in enumerate(products):
            forms[k] += product.mul_(centred[here]).sum(0, dtype=torch.float64)
    return forms, row_sums


def _squared_distances(z: Tensor, norms: Tensor, here: slice, there: slice) -> Tensor:
    squared = torch.addmm(norms[there], z[here], z[there].T, alpha=-2.0).add_(norms[here, None]).clamp_(min=0)
    if here == there:
        squared.fill_diagonal_(0)
    return squared


def _unbiased(biased: Tensor, p: Tensor, total: Tensor, k0: Tensor, n: float, m: float) -> Tensor:
    q = total - p
    cross = (p / n**2 + q / m**2 - biased) / (1 / n + 1 / m) ** 2
    x_pairs = (p - cross - n * k0) / (n * max(n - 1, 1))
    y_pairs = (q - cross - m * k0) / (m * max(m - 1, 1))
    return x_pairs + y_pairs - 2 * cross / (n * m)
