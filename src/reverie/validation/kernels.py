"""Energy distance and maximum mean discrepancy, in blocks, for all permutations in one pass.

Both are a quadratic form. With a kernel k, pooled rows z (N, d) and a labelling l (1 for the n rows
of x, 0 for the m rows of y), s = l/n - (1-l)/m gives the biased statistic V = s^T K s. The N x N
matrix K is never stored: blocks K_IJ of its upper triangle meet the matrix of all labellings in one
matrix product, N^2 (d + B) operations for B labellings (validation reference, "K_block @ S").

    energy distance  k = -|x - y|                   2E|X-Y| - E|X-X'| - E|Y-Y'|   (Szekely and Rizzo 2013)
    MMD^2            k = exp(-|x-y|^2 / (2 s^2))    E k(X,X') + E k(Y,Y') - 2 E k(X,Y)  (Gretton et al. 2012)

The unbiased form U leaves out the pairs (i, i). With A, C, D the sums of K over x-x, x-y and y-y
pairs, row sums r = K 1, p = l^T r = A + C and q = 1^T r - p = D + C, the cross sum follows from V,

    C (1/n + 1/m)^2 = p/n^2 + q/m^2 - V,     U = (A - n k0)/(n(n-1)) + (D - m k0)/(m(m-1)) - 2C/(nm),

k0 = k(x, x). U has mean 0 under the null hypothesis and may be negative.
The energy distance here is the squared one; `scipy.stats.energy_distance` is the root of V in 1-D.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.validation.statistics import pool

__all__ = [
    "BANDWIDTH_FACTORS",
    "energy_distance",
    "energy_kernel",
    "gaussian_kernel",
    "kernel_distances",
    "median_distance",
    "mmd",
]

Kernel = Callable[[Tensor], Tensor]  # squared distances -> kernel values

BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the median distance, validation reference section 4.3


def energy_kernel(squared: Tensor) -> Tensor:
    """Return -|x - y| of squared distances."""
    return squared.sqrt().neg_()


def gaussian_kernel(bandwidth: float) -> Kernel:
    """Return the kernel exp(-|x - y|^2 / (2 bandwidth^2)) as a function of squared distances."""
    check_positive("bandwidth", bandwidth)
    return lambda squared: torch.exp(squared * (-0.5 / bandwidth**2))


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


def median_distance(z: Tensor, generator: torch.Generator, *, n_rows: int = 1000) -> float:
    """Return the median distance between rows of z (N, d), from at most `n_rows` of them.

    The median of the positive distances, where more than half of all pairs coincide; 1 if all do.
    """
    keep = torch.randperm(len(z), generator=generator)[:n_rows]
    distances = torch.pdist(z[keep].double())
    median = float(distances.median()) if len(distances) else 0.0
    if median > 0:
        return median
    positive = distances[distances > 0]
    return float(positive.median()) if len(positive) else 1.0


def energy_distance(x: Tensor, y: Tensor, *, unbiased: bool = True, block_size: int = 2048) -> Tensor:
    """Return the squared energy distance of x (n, d) and y (m, d), in their unit, computed in float64."""
    z, labels = pool(x, y)
    centred = z.double() - z.double().mean(0)
    return kernel_distances(centred, labels.double(), [energy_kernel], unbiased=unbiased, block_size=block_size)[0, 0]


def mmd(
    x: Tensor, y: Tensor, *, bandwidth: float | None = None, unbiased: bool = True, block_size: int = 2048
) -> Tensor:
    """Return MMD^2 of x (n, d) and y (m, d) with a Gaussian kernel, computed in float64.

    `bandwidth` is s in the unit of the data; None takes the median distance of the pooled sample.
    """
    z, labels = pool(x, y)
    z = z.double() - z.double().mean(0)
    if bandwidth is None:
        bandwidth = median_distance(z, torch.Generator().manual_seed(0))
    kernel = gaussian_kernel(bandwidth)
    return kernel_distances(z, labels.double(), [kernel], unbiased=unbiased, block_size=block_size)[0, 0]
