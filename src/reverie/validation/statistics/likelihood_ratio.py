"""Learned likelihood ratio: the statistic that would be the best, with the ratio taken from the data.

By Neyman and Pearson no test of p (the law of x) against q (that of y) has more power than the one that sums
ln q/p. Here f = ln q/p is learned, a sum of Gaussian kernels about M of the rows ("new physics learning machine":
D'Agnolo and Wulzer 2019; with kernels, Letizia et al. 2022), and

    t = 2 [ sum_y f(y) - (m/n) sum_x (e^f(x) - 1) ]

is twice the logarithm of the likelihood ratio of y, x serving as the sample of the null hypothesis. f minimises

    L(f) = sum_rows g softplus(f) - sum_y f + ridge N |f|^2,    g = m/n for rows of x, 1 for rows of y,

whose minimum without the ridge is ln q/p; |f| is the norm of the kernel's space. Fit and t use the same rows, so t is
well above 0 for equal laws too. Its law comes from permutations: the fit is repeated for every relabelling.

All fits at once. The features phi (N, K) are kernels about the centres, made orthonormal in |f| and then
orthogonal over the rows, f = phi a. The curvature of softplus is at most 1/4, so with e_k = sum_rows phi_k^2

    a_k <- a_k - dL/da_k / (e_k <g>/4 + 2 ridge N)                        (Boehning and Lindsay 1988)

goes downhill for every labelling, and is Newton's step where f is small, as it is for all relabellings of many
rows: two matrix products for all fits in each of a few steps. The few that need more (samples far apart) are
finished by Newton's method.

Centres and bandwidth come from the pooled rows and a random draw, never from the labels; p is then exact.

The ridge decides what is seen, and no value is best. With n = m = 2000, 200 centres, the median distance as
bandwidth, and 10 to 15 pairs of samples each, t lay so many standard deviations above its permutations:

    ridge                                        1e-5   1e-4   1e-3   1e-2
    mean shift of 0.15 in one of 5 features       1.6    2.3    3.6    5.3
    mean shift of 0.18 in one of 20               1.1    2.6    4.6    4.7
    3 % of events in a narrow bump, 5 features    2.8    3.0    2.7    2.3
    one correlation of 0.15 in 5 features         1.7    2.6    2.8    1.0
    all correlations of 20 features x 0.7        11.1    7.5    2.6    0.7

The default, 3e-4, is between. For smooth faults take 1e-2 and the 0.9 quantile as bandwidth; for many weak
correlations or fine structure 1e-5, as in the papers above. More centres changed little at 1e-4 and above.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from reverie.core.arguments import checked
from reverie.core.checks import check_positive
from reverie.core.random import as_generator
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.inputs.tables import as_rows, as_weights
from reverie.validation.permutation.multiple_testing import permutation_p
from reverie.validation.permutation.relabelling import Computed, Relabellings, relabellings
from reverie.validation.statistics.kernels import gaussian_kernel

__all__ = ["LikelihoodRatio", "LogRatio", "likelihood_ratio_columns", "likelihood_ratio_test"]

N_CENTRES = 200
RIDGE = 3e-4
QUANTILE = 0.5

_ROWS = 4096
_STEPS = 40  # of all fits together
_NEWTON_STEPS = 50
_SHORTEST = 1e-4  # Newton step that is still tried
_CHANGE = 1e-9  # of the squared length of a step, relative to that of the fit, at which it has converged
_FLAT = 1e-10  # directions of the kernel matrix below this fraction of the largest are rounding
_LARGEST = 60.0  # of f: e^f stays finite in single precision


@dataclass(frozen=True)
class LogRatio:
    """The learned f = ln q/p, q the law of y and p that of x: a sum of Gaussian kernels."""

    centres: Tensor  # (M, d), rows about which the kernels stand, in the unit of the data
    bandwidth: float
    coefficients: Tensor  # (M,)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return f (n,) of `rows` (n, d): above 0 where y has too many events, below 0 where too few."""
        parts = [_kernel(block, self.centres, self.bandwidth) @ self.coefficients for block in rows.split(_ROWS)]
        return torch.cat(parts)


@dataclass(frozen=True)
class LikelihoodRatio:
    """Outcome of the learned likelihood-ratio test.

    Parameters
    ----------
    value : t of the observed samples.
    p_value : (1 + k) / (B + 1), k of B permutations being at least as large.
    noise_low, noise_high : 5 % and 95 % quantiles of the permutations.
    n_permutations : B.
    log_ratio : the learned f.
    unconverged : fits, of B + 1, that did not reach their minimum; 0 unless something is wrong.
    """

    value: float
    p_value: float
    noise_low: float
    noise_high: float
    n_permutations: int
    log_ratio: LogRatio
    unconverged: int

    def __str__(self) -> str:
        return (
            f"Learned likelihood ratio t = {self.value:.4g}, p = {self.p_value:.3g} "
            f"(5 to 95 % of {self.n_permutations} permutations: {self.noise_low:.4g} to {self.noise_high:.4g})."
        )


def likelihood_ratio_columns(
    z: Tensor,
    relabel: Relabellings,
    *,
    n_centres: int = N_CENTRES,
    ridge: float = RIDGE,
    quantile: float = QUANTILE,
    generator: torch.Generator | None = None,
) -> Computed:
    """Return t of the pooled rows z (N, d), scaled to unit spread, under every labelling.

    The result has no error: for that use the permutations.

    Parameters
    ----------
    n_centres : M, at most N are used.
    ridge : weight of |f|^2 relative to the mean loss of a row; smaller means a rougher f. See the module.
    quantile : Quantile of the distances between pooled rows that is taken as the bandwidth.
    generator : draws the centres; None uses those of the fixed seed 0.
    """
    values, _, failed = _fitted(z, relabel, n_centres, ridge, quantile, generator)
    detail = f"{failed} of {len(values)} fits did not converge" if failed else ""
    return Computed(values, detail=detail)


@checked
def likelihood_ratio_test(
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_permutations: int = 199,
    n_centres: int = N_CENTRES,
    ridge: float = RIDGE,
    quantile: float = QUANTILE,
    weights: ArrayLike | None = None,
    random_state: RandomState = 0,
) -> LikelihoodRatio:
    """Test whether x (n, d) and y (m, d), scaled to unit spread, share one law.

    Parameters are those of `likelihood_ratio_columns`; `weights` (n + m,) needs n = m.

    Raises
    ------
    InputError
        For samples of different features, or numbers out of range.
    """
    check_positive("n_permutations", n_permutations, integer=True)
    generator = as_generator(random_state)
    x, y = (rows.detach() for rows in as_rows(x=x, y=y))
    z = torch.cat([x, y])
    relabel = relabellings(len(x), len(y), n_permutations, generator, weights=as_weights(weights, len(z)))
    values, log_ratio, failed = _fitted(z, relabel, n_centres, ridge, quantile, generator)
    low, high = np.quantile(values[1:], [0.05, 0.95])
    p = permutation_p(values)
    return LikelihoodRatio(float(values[0]), p, float(low), float(high), n_permutations, log_ratio, failed)


def _fitted(
    z: Tensor,
    relabel: Relabellings,
    n_centres: int,
    ridge: float,
    quantile: float,
    generator: torch.Generator | None,
) -> tuple[np.ndarray, LogRatio, int]:
    """Return t (B + 1,) of all labellings, the observed f, and the number of fits that did not converge."""
    check_positive("n_centres", n_centres, integer=True)
    check_positive("ridge", ridge)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    order = torch.randperm(len(z), generator=generator)
    distances = torch.pdist(z[order[:1000]].double())
    positive = distances[distances > 0]  # exact duplicates say nothing of the scale
    bandwidth = float(positive.quantile(quantile)) if len(positive) else 1.0
    centres = z[order[:n_centres]].double()
    phi, squares, transform = _features(z, relabel, centres, bandwidth)
    coefficients, failed = _fit(phi, squares, relabel, ridge)
    values = torch.zeros(len(relabel.weight_of_x), dtype=torch.float64)
    columns, single = torch.arange(len(values)), coefficients.float()
    for rows in _blocks(len(phi)):
        g, of_y = _masses(relabel, rows, columns)
        f = phi[rows] @ single
        values += (of_y * f - (g - of_y) * f.clamp(max=_LARGEST).expm1()).sum(0, dtype=torch.float64)
    return (2 * values).numpy(), LogRatio(centres, bandwidth, transform @ coefficients[:, 0]), failed


def _kernel(rows: Tensor, centres: Tensor, bandwidth: float) -> Tensor:
    distances = torch.cdist(rows.double(), centres, compute_mode="donot_use_mm_for_euclid_dist")
    return gaussian_kernel(bandwidth)(distances.square_())


def _features(z: Tensor, relabel: Relabellings, centres: Tensor, bandwidth: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return phi (N, K) float32, e (K,) its column sums of squares under |w|, and the transform from kernels (M, K)."""
    values, vectors = torch.linalg.eigh(_kernel(centres, centres, bandwidth))
    kept = values > _FLAT * values[-1]
    orthonormal = vectors[:, kept] / values[kept].sqrt()
    phi = torch.empty(len(z), int(kept.sum()))
    for rows in _blocks(len(z)):
        phi[rows] = (_kernel(z[rows], centres, bandwidth) @ orthonormal).float()
    w = relabel.row_weights.abs().float()
    squares, rotation = torch.linalg.eigh((phi.T @ (phi * w[:, None])).double())
    phi = torch.cat([block @ rotation.float() for block in phi.split(_ROWS)])
    return phi, squares.clamp(min=0), orthonormal @ rotation


def _masses(relabel: Relabellings, rows: slice, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return g and the masses of y, (rows, columns) float32."""
    is_x = relabel.labels[rows][:, columns].float()
    of_x = relabel.weight_of_x[columns]
    total = float(len(relabel.labels)) if relabel.weights is None else float(relabel.weights.sum())
    of_y = 1 - is_x
    g = is_x.mul_(((total - of_x) / of_x).float()).add_(of_y)
    if relabel.weights is None:
        return g, of_y
    w = relabel.weights[rows, None].float()
    return g * w, of_y * w


def _blocks(n_rows: int) -> list[slice]:
    return [slice(start, min(start + _ROWS, n_rows)) for start in range(0, n_rows, _ROWS)]


def _fit(phi: Tensor, squares: Tensor, relabel: Relabellings, ridge: float) -> tuple[Tensor, int]:
    """Return the coefficients (K, B + 1), float64, and the number of fits that did not converge."""
    n_rows, n_columns = relabel.labels.shape
    stiffness = 2 * ridge * n_rows
    a = torch.zeros(phi.shape[1], n_columns, dtype=torch.float64)
    active = torch.arange(n_columns)
    damping, previous = (torch.full((n_columns,), value, dtype=torch.float64) for value in (1.0, torch.inf))
    curvature = (squares * (relabel.m / n_rows / 2) + stiffness)[:, None]
    for _ in range(_STEPS):
        if not len(active):
            break
        slope, single = torch.zeros_like(a[:, active]), a[:, active].float()
        for rows in _blocks(n_rows):
            g, of_y = _masses(relabel, rows, active)
            slope += phi[rows].T @ (phi[rows] @ single).sigmoid_().mul_(g).sub_(of_y)
        gradient = slope + stiffness * a[:, active]
        step = gradient / curvature
        length = (step * gradient).sum(0)
        damping[active] = torch.where(length > previous[active], damping[active] / 2, damping[active])
        previous[active] = length
        a[:, active] -= damping[active] * step
        active = active[length > _CHANGE * (a[:, active].square() * curvature).sum(0)]
    failed = 0
    for column in active.tolist():
        a[:, column], converged = _newton(phi, relabel, a[:, column], column, stiffness)
        failed += not converged
    return a, failed


def _newton(phi: Tensor, relabel: Relabellings, a: Tensor, column: int, stiffness: float) -> tuple[Tensor, bool]:
    """Return the minimum of one column by Newton's method with halved steps, in double precision, if it converged."""
    parts = [_masses(relabel, rows, torch.tensor([column])) for rows in _blocks(len(phi))]
    g, of_y = (torch.cat(masses)[:, 0].double() for masses in zip(*parts, strict=True))

    def loss(f: Tensor, a: Tensor) -> float:
        return float(g @ softplus(f) - of_y @ f + stiffness * (a @ a) / 2)

    f = torch.cat([block.double() @ a for block in phi.split(_ROWS)])
    for _ in range(_NEWTON_STEPS):
        p = f.sigmoid()
        slope, curvature = g * p - of_y, g.abs() * p * (1 - p)
        gradient, hessian = torch.zeros_like(a), torch.zeros(len(a), len(a), dtype=torch.float64)
        for rows in _blocks(len(phi)):
            here = phi[rows].double()
            gradient += here.T @ slope[rows]
            hessian += here.T @ (here * curvature[rows, None])
        gradient, hessian = gradient + stiffness * a, hessian + stiffness * torch.eye(len(a), dtype=torch.float64)
        step, size = torch.linalg.solve(hessian, gradient), 1.0
        change = torch.cat([block.double() @ step for block in phi.split(_ROWS)])
        while loss(f - size * change, a - size * step) > loss(f, a) and size > _SHORTEST:
            size /= 2
        a, f = a - size * step, f - size * change
        if float(step @ gradient) <= _CHANGE * float(a @ hessian @ a):
            return a, True
    return a, False
