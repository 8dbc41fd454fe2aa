"""Energy distance and maximum mean discrepancies, in blocks, for all relabellings in one sweep.

All are quadratic forms V = s^T K s of a signed measure s with a kernel k:

    energy distance   k = -|x - y|                      2E|X-Y| - E|X-X'| - E|Y-Y'|        (Szekely and Rizzo 2013)
    Gaussian MMD^2    k = exp(-|x - y|^2 / (2 sigma^2)) E k(X,X') + E k(Y,Y') - 2 E k(X,Y)    (Gretton et al. 2012)
    polynomial MMD^2  k = (x.y / d + 1)^4, as the kernel physics distance                        (Kansal et al. 2023)

The N x N matrix K is never stored: blocks of its upper triangle meet the matrix S of all columns
(`reverie.validation.permutation.signed_measures`) in one product, N^2 (d + columns) operations per kernel. Distances
are computed in double precision and rounded, so that equal rows are exactly equal; products are in single precision
and added up in double. The value that is shown is the unbiased one, with mean 0 under the null: it may be negative.

The energy distance here is the squared one; `scipy.stats.energy_distance` is the root of V in 1-D. The
polynomial kernel depends on the origin, all others do not.

Kernels that are inner products of F features take N F operations instead of N^2. If k(x, y) = phi(x).phi(y),
s^T K s = |phi^T s|^2: one product of the features with the columns, in blocks of rows.

    polynomial, exact     (x.y / d + 1)^q = (u.v)^q with u = (x / sqrt d, 1) in d + 1 dimensions; its features are
                          the monomials of degree q, sqrt(multinomial) u^alpha: F = C(d + q, q), 10,626 for
                          d = 20 and q = 4
    Gaussian, random      exp(-|x - y|^2 / (2 sigma^2)) = E cos(omega.(x - y) / sigma), omega standard normal; M
                          frequencies give F = 2M features cos and sin, divided by sqrt M (Rahimi and Recht 2008)

The random kernel is itself a kernel with k(x, x) = 1: the permutation test with it is exact, and its MMD
is the mean squared difference of the two characteristic functions at M random frequencies. All bandwidths
share the frequencies. What they cost is power where k is small for nearly all pairs, because every pair then
carries noise of 1/sqrt(2M): with M = 1,000, d = 20 and a bandwidth of a quarter of the median distance the null
spread is 3.5 times that of the exact kernel, from half the median on within 8 % of it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
from itertools import combinations_with_replacement, zip_longest

import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.types import ArrayLike
from reverie.validation.permutation.relabelling import Computed, Relabellings
from reverie.validation.permutation.signed_measures import (
    Rows,
    form_computed,
    measures,
    row_sums,
    signed_columns,
    within_shift,
)

__all__ = [
    "BANDWIDTH_FACTORS",
    "Kernel",
    "draw_frequencies",
    "energy_distance",
    "energy_kernel",
    "fourier_columns",
    "gaussian_kernel",
    "kernel_columns",
    "kernel_share",
    "median_distance",
    "mmd",
    "n_monomials",
    "polynomial_block_columns",
    "polynomial_columns",
    "polynomial_kernel",
    "polynomial_mmd",
]

Kernel = Callable[[Tensor], Tensor]  # squared distances, or inner products, -> kernel values
Pairs = Callable[[Tensor, Tensor], Tensor]  # rows (r, d) and (q, d) -> (r, q)

BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the median distance, validation reference section 4.3
_CHUNK = 2048  # features at once
_SMALLEST = -80.0  # exp of less is soon a denormal number, which slows products down on some processors


def energy_kernel(squared: Tensor) -> Tensor:
    """Return -|x - y| of squared distances."""
    return squared.sqrt().neg_()


def gaussian_kernel(bandwidth: float) -> Kernel:
    """Return the kernel exp(-|x - y|^2 / (2 bandwidth^2)) as a function of squared distances."""
    check_positive("bandwidth", bandwidth)
    return lambda squared: (squared * (-0.5 / bandwidth**2)).clamp_(min=_SMALLEST).exp_()


def polynomial_kernel(n_features: int, degree: int = 4) -> Kernel:
    """Return the kernel (x.y / d + 1)^degree as a function of inner products."""
    check_positive("degree", degree, integer=True)
    return lambda products: (products / n_features).add_(1).pow_(degree)


def kernel_columns(
    z: Tensor,
    relabel: Relabellings,
    kernels: Sequence[Kernel],
    *,
    block_size: int = 512,
    shares: Sequence[Sequence[Tensor]] | None = None,
) -> list[Computed]:
    """Return the statistic of every kernel of squared distances of pooled z (N, d) under every labelling.

    Kernels may not change their argument. Where the work is done already, `shares` are the results of `kernel_share`,
    all in order. Neither their number nor the rows of a block change the result.
    """
    if shares is None:
        shares = [kernel_share(z, relabel, kernels, share=(0, 1), block_size=block_size)]
    # added up in the order of the rows: the last bits then depend on no number of shares
    forms = reduce(torch.add, (part for turn in zip_longest(*shares) for part in turn if part is not None))
    at_zero = [kernel(torch.zeros(1, dtype=torch.float64)) for kernel in kernels]
    return [form_computed(form, relabel, float(one)) for form, one in zip(forms, at_zero, strict=True)]


def kernel_share(
    z: Tensor, relabel: Relabellings, kernels: Sequence[Kernel], *, share: tuple[int, int], block_size: int = 512
) -> list[Tensor]:
    """Return one share of the work of `kernel_columns`: what each of some blocks of rows adds, (kernels, columns).

    Share (k, n) is every n-th block from the k-th on. Blocks have ever fewer pairs, so shares take about as long.
    """
    return list(_shuffled_parts(_centred(z), relabel, kernels, _squared_distances, block_size, share))


def polynomial_block_columns(z: Tensor, relabel: Relabellings, *, degree: int = 4, block_size: int = 512) -> Computed:
    """Return the polynomial MMD^2 of pooled z (N, d) under every labelling, in N^2 operations."""
    z, kernel = z.double(), polynomial_kernel(z.shape[1], degree)
    forms = reduce(torch.add, _shuffled_parts(z, relabel, [kernel], _inner_products, block_size))
    return form_computed(forms[0], relabel, kernel(z.square().sum(1)))


def _centred(z: Tensor) -> Tensor:
    # about the median: one entry far out would move the mean, and all squares would lose their digits
    return z.double() - z.double().median(0).values


def _shuffled_parts(
    z: Tensor,
    relabel: Relabellings,
    kernels: Sequence[Kernel],
    pairs: Pairs,
    block_size: int,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Tensor]:
    # rows in random order: sums of the observed column, x first, would grow large before y cancels them
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(0))
    return _quadratic_parts(z[order], signed_columns(relabel)[order], kernels, pairs, block_size, share)


def _quadratic_parts(
    z: Tensor, S: Tensor, kernels: Sequence[Kernel], pairs: Pairs, block_size: int, share: tuple[int, int] = (0, 1)
) -> Iterator[Tensor]:
    """Yield what each block of rows adds to all forms, (kernels, columns).

    Its diagonal block counts once, those right of it twice.
    """
    first, step = share
    for start in range(first * block_size, len(z), step * block_size):
        here = slice(start, start + block_size)
        products = [S.new_zeros(len(z[here]), S.shape[1]) for _ in kernels]
        for other in range(start, len(z), block_size):
            there = slice(other, other + block_size)
            base = pairs(z[here], z[there])
            if other == start and pairs is _squared_distances:
                base.fill_diagonal_(0)
            base = base.to(S.dtype)
            for product, kernel in zip(products, kernels, strict=True):
                product.addmm_(kernel(base), S[there], alpha=1.0 if other == start else 2.0)
        yield torch.stack([product.mul_(S[here]).sum(0, dtype=torch.float64) for product in products])


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    squared = torch.addmm(y.square().sum(1), x, y.T, alpha=-2.0)
    return squared.add_(x.square().sum(1, keepdim=True)).clamp_(min=0)


def _inner_products(x: Tensor, y: Tensor) -> Tensor:
    return x @ y.T


def n_monomials(n_features: int, degree: int = 4) -> int:
    """Return the number of features of the polynomial kernel."""
    return math.comb(n_features + degree, degree)


def draw_frequencies(n_features: int, n_frequencies: int, generator: torch.Generator) -> Tensor:
    """Return frequencies (n_features, n_frequencies) of the Gaussian kernel with bandwidth 1."""
    return torch.randn(n_features, n_frequencies, generator=generator, dtype=torch.float64)


def polynomial_columns(z: Tensor, relabel: Relabellings, *, degree: int = 4) -> Computed:
    """Return the polynomial MMD^2 of pooled z (N, d) under every labelling, exactly, from its monomials."""
    check_positive("degree", degree, integer=True)
    u = torch.cat([z.double() / z.shape[1] ** 0.5, torch.ones(len(z), 1, dtype=torch.float64)], dim=1)
    # which variables each monomial multiplies, (F, degree), and the product of the factorials of its exponents, (F,)
    chosen = torch.tensor(list(combinations_with_replacement(range(u.shape[1]), degree)))
    factorials, length = torch.ones(2, len(chosen))
    for k in range(1, degree):
        length = torch.where(chosen[:, k] == chosen[:, k - 1], length + 1, torch.ones(()))
        factorials *= length
    scales = (math.factorial(degree) / factorials).sqrt()[:, None]  # the root of the multinomial coefficient
    S, v, form = signed_columns(relabel), u.float(), torch.zeros((), dtype=torch.float64)
    for factors, scale in zip(chosen.split(_CHUNK), scales.split(_CHUNK), strict=True):
        form = form + _form(S, partial(_monomials, v, factors, scale))
    return form_computed(form, relabel, u.square().sum(1).pow(degree))


def fourier_columns(
    z: Tensor, relabel: Relabellings, bandwidths: Iterable[float], frequencies: Tensor
) -> list[Computed]:
    """Return the Gaussian MMD^2 of pooled z (N, d) under every labelling, from shared random frequencies (d, M)."""
    z, S = z.double() - z.double().mean(0), signed_columns(relabel)
    return [form_computed(_form(S, partial(_waves, z, frequencies / sigma)), relabel, 1.0) for sigma in bandwidths]


def _monomials(u: Tensor, factors: Tensor, scale: Tensor, rows: slice) -> Tensor:
    v = u[rows].T.contiguous()
    product = v[factors[:, 0]] * scale
    for k in range(1, factors.shape[1]):
        product *= v[factors[:, k]]
    return product.T


def _waves(z: Tensor, frequencies: Tensor, rows: slice) -> Tensor:
    angles = (frequencies.T @ z[rows].T).float()
    return (torch.cat([angles.cos(), angles.sin()]) / frequencies.shape[1] ** 0.5).T


def _form(S: Tensor, features: Rows) -> Tensor:
    """Return |phi^T S|^2, (columns,)."""
    return row_sums(len(S), features, S.__getitem__).square().sum(0)


def median_distance(z: Tensor, generator: torch.Generator, *, n_rows: int = 1000) -> float:
    """Return the median distance between rows of z (N, d), from at most `n_rows` of them.

    The median of the positive distances, where more than half of all pairs coincide; 1 if all do.
    """
    keep = torch.randperm(len(z), generator=generator)[:n_rows]
    distances = torch.pdist(z.detach()[keep].double())
    for some in (distances, distances[distances > 0]):
        if len(some) and some.median() > 0:
            return float(some.median())
    return 1.0


def energy_distance(
    x: ArrayLike,
    y: ArrayLike,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
    *,
    unbiased: bool = True,
    block_size: int = 2048,
) -> Tensor:
    """Return the squared energy distance of x (n, d) and y (m, d), in their unit, computed in float64."""
    z, a, c = measures(x, y, x_weights, y_weights)
    return _plain(_centred(z), a, c, energy_kernel, _squared_distances, unbiased=unbiased, block_size=block_size)


def mmd(
    x: ArrayLike,
    y: ArrayLike,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
    *,
    bandwidth: float | None = None,
    unbiased: bool = True,
    block_size: int = 2048,
) -> Tensor:
    """Return MMD^2 of x (n, d) and y (m, d) with a Gaussian kernel, computed in float64.

    `bandwidth` is sigma in the unit of the data; None takes the median distance of the pooled sample.
    """
    z, a, c = measures(x, y, x_weights, y_weights)
    z = _centred(z)
    if bandwidth is None:
        bandwidth = median_distance(z, torch.Generator().manual_seed(0))
    return _plain(z, a, c, gaussian_kernel(bandwidth), _squared_distances, unbiased=unbiased, block_size=block_size)


def polynomial_mmd(
    x: ArrayLike,
    y: ArrayLike,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
    *,
    degree: int = 4,
    unbiased: bool = True,
    block_size: int = 2048,
) -> Tensor:
    """Return MMD^2 of x (n, d) and y (m, d) with the kernel (x.y / d + 1)^degree, computed in float64."""
    z, a, c = measures(x, y, x_weights, y_weights)
    return _plain(
        z, a, c, polynomial_kernel(z.shape[1], degree), _inner_products, unbiased=unbiased, block_size=block_size
    )


def _plain(z: Tensor, a: Tensor, c: Tensor, kernel: Kernel, pairs: Pairs, *, unbiased: bool, block_size: int) -> Tensor:
    forms = reduce(torch.add, _quadratic_parts(z, torch.stack([a - c, a, c], dim=1), [kernel], pairs, block_size))
    if not unbiased:
        return forms[0, 0]
    diagonal = kernel(z.new_zeros(len(z)) if pairs is _squared_distances else z.square().sum(1))
    return forms[0, 0] + within_shift(a, forms[0, 1], diagonal) + within_shift(c, forms[0, 2], diagonal)
