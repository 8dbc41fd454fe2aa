"""Frechet distance: how far two samples are apart, if each were a Gaussian.

With mean mu and covariance S of x (n rows) and y (m rows), in d features,

    FD = |mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x^(1/2) S_y S_x^(1/2))^(1/2))          (Dowson and Landau 1982)

the squared Wasserstein distance W2^2 of the two normal laws. It sees means, spreads and all linear
correlations, and nothing else. The matrix under the root is symmetric, so its eigenvalues are real and,
clipped at zero, give the trace also for n < d, where products of covariances have no stable root.

FD of finite samples is biased: two samples of one law have FD > 0 on average. For a Gaussian law, to
leading order and with l the eigenvalues of the common covariance,

    b = tr S_x/n + tr S_y/m + (1/n + 1/m) (sum_ij l_i l_j / (l_i + l_j) + sum_i l_i / 2) / 2,

d (d + 5)/(2n) for N(0, I_d) and n = m. Three ways to remove it:

    analytic        FD - b. The covariance part assumes Gaussian fourth moments.
    permutation     FD - mean of FD over relabellings of the pooled rows; right for any law without difference.
    extrapolation   FD(t) = FD_inf + c t fitted to random subsets of both samples, without replacement and of
                    1/5 to 1/2 of the rows, t = 1/n' + 1/m' (after Chong and Forsyth 2020). The fit is not
                    bounded: a value below zero is a fluctuation, and cutting it off would be a bias.

With event weights w, 1/n is sum w^2 / (sum w)^2. Moments come from `reverie.validation.statistics.moments`.
"""

from typing import Literal

import torch
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_generator
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.inputs.tables import as_rows, as_weights
from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error, relabellings
from reverie.validation.statistics.moments import labelled_moments, moment_sums

__all__ = ["Debias", "frechet_between", "frechet_bias", "frechet_columns", "frechet_distance"]

Debias = Literal["analytic", "permutation", "extrapolation"]

_SUBSETS = 20  # of each size, in the extrapolation
_FRACTIONS = tuple(1 / inverse for inverse in (2.0, 2.75, 3.5, 4.25, 5.0))  # of the rows; equidistant in 1/n
_NUMBERS = 4_000_000  # of covariances held at once, 32 MB


def frechet_between(mean_x: Tensor, covariance_x: Tensor, mean_y: Tensor, covariance_y: Tensor) -> Tensor:
    """Return FD (...) of Gaussians with means (..., d) and covariances (..., d, d), computed in float64."""
    mean_x, covariance_x, mean_y, covariance_y = (t.double() for t in (mean_x, covariance_x, mean_y, covariance_y))
    values, vectors = torch.linalg.eigh(covariance_x)
    root = (vectors * _positive(values).sqrt()[..., None, :]) @ vectors.mT
    inner = root @ covariance_y @ root
    overlap = _positive(torch.linalg.eigvalsh((inner + inner.mT) / 2)).sqrt().sum(-1)
    trace = (covariance_x + covariance_y).diagonal(dim1=-2, dim2=-1).sum(-1)
    return (mean_x - mean_y).square().sum(-1) + trace - 2 * overlap


def _positive(eigenvalues: Tensor) -> Tensor:
    # what is zero up to rounding would count with its square root, 1e-8, in every empty direction
    floor = eigenvalues.amax(-1, keepdim=True) * eigenvalues.shape[-1] * torch.finfo(eigenvalues.dtype).eps
    return torch.where(eigenvalues > floor.clamp(min=0), eigenvalues, 0.0)


def frechet_bias(covariance_x: Tensor, covariance_y: Tensor, inverse_n: Tensor, inverse_m: Tensor) -> Tensor:
    """Return the bias b (...) of FD for covariances (..., d, d) and sizes 1/n, 1/m (...), see the module."""
    unit = inverse_n + inverse_m
    share = (inverse_m / unit)[..., None, None]
    values = torch.linalg.eigvalsh(share * covariance_x + (1 - share) * covariance_y).clamp(min=0)
    sums = values[..., :, None] + values[..., None, :]
    pairs = values[..., :, None] * values[..., None, :] / torch.where(sums > 0, sums, 1.0)
    traces = [c.diagonal(dim1=-2, dim2=-1).sum(-1) for c in (covariance_x, covariance_y)]
    means = traces[0] * inverse_n + traces[1] * inverse_m
    return means + unit * (pairs.sum((-2, -1)) + values.sum(-1) / 2) / 2


def frechet_columns(z: Tensor, relabel: Relabellings) -> Computed:
    """Return FD of the pooled rows z (N, d) under every labelling.

    The shift is minus the mean of the permutations (without any, minus the analytic bias), so the shown
    value is about 0 when both samples have one law. Error: jackknife of the plain FD, which no constant changes.
    """
    labelled, left_out = labelled_moments(z, relabel)
    plain, of_means, analytic, _ = _distances(*labelled, z.shape[1])
    bias = float(plain[1:].mean() if len(plain) > 1 else analytic[0])
    means, rest = float(of_means[0]), float(plain[0] - of_means[0])
    return Computed(
        plain.numpy(),
        jackknife_error(_distances(*left_out, z.shape[1])[0].numpy()),
        -bias,
        f"before the bias of {bias:.3g} is taken off, means make {means:.3g} and covariances {rest:.3g}",
    )


@checked
def frechet_distance(
    x: ArrayLike,
    y: ArrayLike,
    *,
    debias: Debias | None = "analytic",
    weights: ArrayLike | None = None,
    n_permutations: int = 100,
    random_state: RandomState = 0,
) -> Measured:
    """Return the Frechet distance of x (n, d) and y (m, d), in the square of their unit, with its error.

    Parameters
    ----------
    debias : how the bias is removed, see the module; None keeps the plain, biased value.
    weights : (n + m,) event weights, x first; needs n = m.
    n_permutations : relabellings for ``debias="permutation"``.
    random_state : Seed of the relabellings or subsets.

    Returns
    -------
    measured : the value, below zero by chance when the laws agree; the error from a delete-group jackknife of
        both samples, through the whole procedure ("permutation": of the plain value), for independent rows. n is the
        smaller size.

    Raises
    ------
    InputError
        For samples of different features or fewer than two rows.
    """
    x, y = (rows.detach() for rows in as_rows(x=x, y=y))
    z = torch.cat([x, y])
    if min(len(x), len(y)) < 2:
        raise InputError(f"Expected at least two rows in each sample, got {len(x)} and {len(y)}. Give more samples.")
    generator = as_generator(random_state)
    n_permutations = n_permutations if debias == "permutation" else 0
    relabel = relabellings(len(x), len(y), n_permutations, generator, weights=as_weights(weights, len(z)))
    if debias == "extrapolation":
        values = _extrapolated(z, relabel, generator)
    else:
        (plain, _, bias, _), (left_out, _, left_bias, _) = (
            _distances(*sums, z.shape[1]) for sums in labelled_moments(z, relabel)
        )
        values = torch.cat([plain[:1], left_out])
        if debias == "permutation":
            values = values - plain[1:].mean()
        elif debias == "analytic":
            values = values - torch.cat([bias[:1], left_bias])
    return Measured(float(values[0]), jackknife_error(values[1:].numpy()), min(len(x), len(y)))


def _extrapolated(z: Tensor, relabel: Relabellings, generator: torch.Generator) -> Tensor:
    """Return FD_inf of both samples, and without each jackknife group, whose columns are subsets of the same rows."""
    z, w = z.double() - z.double().mean(0), relabel.row_weights
    chosen = []
    for n in (relabel.n, relabel.m):
        sizes = [max(2, round(n * fraction)) for fraction in _FRACTIONS for _ in range(_SUBSETS)]
        ranks = torch.stack([torch.randperm(n, generator=generator) for _ in sizes], dim=1)
        chosen.append(ranks < torch.tensor(sizes))
    subsets, parts, half = torch.cat(chosen), [], relabel.n_groups // 2
    for group in range(relabel.n_groups):
        here = torch.nonzero(relabel.groups == group)[:, 0]
        parts.append(moment_sums(z[here], subsets[here].double().mul_(w[here, None]).__getitem__))
    x, y = (torch.stack(of_sample).sum(0) for of_sample in (parts[:half], parts[half:]))

    def intercept(x: Tensor, y: Tensor) -> Tensor:
        plain, _, _, unit = _distances(x, y, z.shape[1])
        t = unit - unit.mean()
        return plain.mean() - (t @ plain) / t.square().sum() * unit.mean()

    left_out = [intercept(x - part, y) if k < half else intercept(x, y - part) for k, part in enumerate(parts)]
    return torch.stack([intercept(x, y), *left_out])


def _distances(x: Tensor, y: Tensor, d: int) -> Tensor:
    """Return FD, its share from the means, its analytic bias and 1/n + 1/m, (4, K), of K pairs of `moment_sums`."""
    step, parts = max(1, _NUMBERS // d**2), []
    for start in range(0, len(x), step):
        (mean_x, covariance_x, inverse_n), (mean_y, covariance_y, inverse_m) = (
            _gaussians(sums[start : start + step], d) for sums in (x, y)
        )
        distance = frechet_between(mean_x, covariance_x, mean_y, covariance_y)
        bias = frechet_bias(covariance_x, covariance_y, inverse_n, inverse_m)
        parts.append(torch.stack([distance, (mean_x - mean_y).square().sum(1), bias, inverse_n + inverse_m]))
    return torch.cat(parts, dim=1)


def _gaussians(sums: Tensor, d: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean (K, d), unbiased covariance (K, d, d) and one over the effective size (K,) of `moment_sums`."""
    i, j = torch.triu_indices(d, d)
    mass, squares = sums[:, :1], sums[:, -1]
    mean, second = sums[:, 1 : d + 1] / mass, sums[:, d + 1 : -1] / mass
    inverse_size = squares / mass[:, 0].square()
    upper = (second - mean[:, i] * mean[:, j]) / torch.where(inverse_size < 1, 1 - inverse_size, 1.0)[:, None]
    covariance = upper.new_empty(len(mean), d, d)
    covariance[:, i, j] = upper
    covariance[:, j, i] = upper
    return mean, covariance, inverse_size
