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

Moments are sums over rows of 1, z_i and z_i z_j, so those of all relabellings, of all jackknife columns
and of all subsets are one matrix product. With event weights w, 1/n is sum w^2 / (sum w)^2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_generator
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.inputs.tables import as_rows, as_weights
from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error, relabellings

__all__ = ["Debias", "frechet_between", "frechet_bias", "frechet_columns", "frechet_distance"]

Debias = Literal["analytic", "permutation", "extrapolation"]

_NUMBERS = 4_000_000  # held at once in a block, 32 MB
_SUBSETS = 20  # of each size, in the extrapolation
_FRACTIONS = tuple(1 / inverse for inverse in (2.0, 2.75, 3.5, 4.25, 5.0))  # of the rows; equidistant in 1/n


@dataclass(frozen=True)
class _Sums:
    """Sums over rows for K sets of rows: moments (K, 1 + d + d(d+1)/2) of w (1, z_i, z_i z_j), squares (K,) of w^2."""

    moments: Tensor
    squares: Tensor

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(self.moments + other.moments, self.squares + other.squares)

    def __sub__(self, other: "_Sums") -> "_Sums":
        return _Sums(self.moments - other.moments, self.squares - other.squares)

    def pick(self, rows: slice) -> "_Sums":
        return _Sums(self.moments[rows], self.squares[rows])

    def total(self) -> "_Sums":
        return _Sums(self.moments.sum(0, keepdim=True), self.squares.sum(0, keepdim=True))


class _Fits(NamedTuple):
    """Gaussian fits: mean (K, d), unbiased covariance (K, d, d) and one over the effective size (K,)."""

    mean: Tensor
    covariance: Tensor
    inverse_size: Tensor


class _Distances(NamedTuple):
    """FD (K,), its share from the means (K,), its analytic bias (K,) and 1/n + 1/m (K,)."""

    plain: Tensor
    of_means: Tensor
    bias: Tensor
    unit: Tensor


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
    first, jackknife = _labelled(z, relabel)
    bias = first.plain[1:].mean() if len(first.plain) > 1 else first.bias[0]
    means, rest = float(first.of_means[0]), float(first.plain[0] - first.of_means[0])
    return Computed(
        first.plain.numpy(),
        jackknife_error(jackknife.plain.numpy()),
        -float(bias),
        f"before the bias of {float(bias):.3g} is taken off, means make {means:.3g} and covariances {rest:.3g}",
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
    if debias is not None:
        check_choice("debias", debias, {"analytic": 0, "permutation": 0, "extrapolation": 0})
    generator = as_generator(random_state)
    n_permutations = n_permutations if debias == "permutation" else 0
    w = as_weights(weights, len(z))
    relabel = relabellings(len(x), len(y), n_permutations, generator, weights=w)
    if debias == "extrapolation":
        values = _extrapolated(z, relabel, generator)
    else:
        values = _debiased(z, relabel, debias)
    return Measured(float(values[0]), jackknife_error(values[1:].numpy()), min(len(x), len(y)))


def _debiased(z: Tensor, relabel: Relabellings, debias: Debias | None) -> Tensor:
    first, jackknife = _labelled(z, relabel)
    plain = torch.cat([first.plain[:1], jackknife.plain])
    if debias is None:
        return plain
    if debias == "permutation":
        return plain - first.plain[1:].mean()
    return plain - torch.cat([first.bias[:1], jackknife.bias])


def _labelled(z: Tensor, relabel: Relabellings) -> tuple[_Distances, _Distances]:
    # the labellings, then the observed one with each jackknife group left out
    z, w = _prepared(z, relabel)
    of_group = torch.arange(relabel.n_groups)

    def columns(rows: slice) -> Tensor:
        here = relabel.groups[rows, None] == of_group
        return torch.cat([relabel.labels[rows], here], dim=1).double().mul_(w[rows, None])

    sums = _sums(z, columns)
    b = relabel.labels.shape[1]
    labelled, groups = sums.pick(slice(b)), sums.pick(slice(b, None))
    everything, observed = groups.total(), sums.pick(slice(1))
    x, y = _left_out(observed, everything - observed, groups)
    return _distances(labelled, everything - labelled, z.shape[1]), _distances(x, y, z.shape[1])


def _left_out(x: _Sums, y: _Sums, groups: _Sums) -> tuple[_Sums, _Sums]:
    # groups 0 ... J - 1 are taken from x, the others from y
    of_x = (torch.arange(len(groups.squares)) < len(groups.squares) // 2).double()
    from_x, from_y = (_Sums(groups.moments * k[:, None], groups.squares * k) for k in (of_x, 1 - of_x))
    return x - from_x, y - from_y


def _extrapolated(z: Tensor, relabel: Relabellings, generator: torch.Generator) -> Tensor:
    # the subsets are drawn once: those of a jackknife column are the same without the rows of its group
    z, w = _prepared(z, relabel)
    chosen = torch.cat([_subsets(relabel.n, generator), _subsets(relabel.m, generator)])
    parts = []
    for group in range(relabel.n_groups):
        here = torch.nonzero(relabel.groups == group)[:, 0]
        masses = chosen[here].double().mul_(w[here, None])
        parts.append(_sums(z[here], masses.__getitem__))
    half = len(parts) // 2
    x, y = reduce(add, parts[:half]), reduce(add, parts[half:])
    values = [_intercept(x, y, z.shape[1])]
    values += [_intercept(x - part, y, z.shape[1]) for part in parts[:half]]
    values += [_intercept(x, y - part, z.shape[1]) for part in parts[half:]]
    return torch.stack(values)


def _subsets(n: int, generator: torch.Generator) -> Tensor:
    sizes = [max(2, round(n * fraction)) for fraction in _FRACTIONS for _ in range(_SUBSETS)]
    ranks = torch.stack([torch.randperm(n, generator=generator) for _ in sizes], dim=1)
    return ranks < torch.tensor(sizes)


def _intercept(x: _Sums, y: _Sums, d: int) -> Tensor:
    distances = _distances(x, y, d)
    t = distances.unit - distances.unit.mean()
    slope = (t @ distances.plain) / t.square().sum()
    return distances.plain.mean() - slope * distances.unit.mean()


def _prepared(z: Tensor, relabel: Relabellings) -> tuple[Tensor, Tensor]:
    # second moments about the mean of all rows do not cancel
    w = torch.ones(len(z), dtype=torch.float64) if relabel.weights is None else relabel.weights
    return z.double() - z.double().mean(0), w


def _sums(z: Tensor, columns: Callable[[slice], Tensor]) -> _Sums:
    i, j = torch.triu_indices(z.shape[1], z.shape[1])
    step = max(1, _NUMBERS // (len(i) + len(columns(slice(1))[0])))

    def of_block(start: int) -> _Sums:
        rows = slice(start, start + step)
        block, masses = z[rows], columns(rows)
        features = torch.cat([torch.ones_like(block[:, :1]), block, block[:, i] * block[:, j]], dim=1)
        return _Sums(masses.T @ features, masses.square().sum(0))

    return reduce(add, map(of_block, range(0, len(z), step)))


def _fits(sums: _Sums, d: int) -> _Fits:
    i, j = torch.triu_indices(d, d)
    mass = sums.moments[:, :1]
    mean, second = sums.moments[:, 1 : d + 1] / mass, sums.moments[:, d + 1 :] / mass
    inverse_size = sums.squares / mass[:, 0].square()
    upper = (second - mean[:, i] * mean[:, j]) / torch.where(inverse_size < 1, 1 - inverse_size, 1.0)[:, None]
    covariance = upper.new_empty(len(mean), d, d)
    covariance[:, i, j] = upper
    covariance[:, j, i] = upper
    return _Fits(mean, covariance, inverse_size)


def _distances(x: _Sums, y: _Sums, d: int) -> _Distances:
    step = max(1, _NUMBERS // d**2)
    parts = []
    for start in range(0, len(x.squares), step):
        k = slice(start, start + step)
        p, q = _fits(x.pick(k), d), _fits(y.pick(k), d)
        parts.append(
            _Distances(
                frechet_between(p.mean, p.covariance, q.mean, q.covariance),
                (p.mean - q.mean).square().sum(1),
                frechet_bias(p.covariance, q.covariance, p.inverse_size, q.inverse_size),
                p.inverse_size + q.inverse_size,
            )
        )
    return _Distances(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
