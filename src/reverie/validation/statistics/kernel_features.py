"""Kernels that are inner products of features: all relabellings in N F operations instead of N^2.

If k(x, y) = phi(x).phi(y) with F features, s^T K s = |phi^T s|^2: one product of the features with the
columns, in blocks of rows.

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
from collections.abc import Iterable
from functools import partial
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.validation.permutation.relabelling import Computed, Relabellings
from reverie.validation.permutation.signed_measures import Rows, form_computed, row_sums, signed_columns

__all__ = ["draw_frequencies", "fourier_columns", "n_monomials", "polynomial_columns"]

_CHUNK = 2048  # features at once


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
