"""Distances between the distribution functions of one feature, for all relabellings in one pass.

With F and G the empirical distribution functions of x and y, H that of the pooled rows and D = F - G:

    Kolmogorov-Smirnov    max_t |D(t)|                                                       (Smirnov 1948)
    Anderson-Darling      A^2 = nm/N  integral D^2 / (H (1 - H)) dH          (Scholz and Stephens 1987, eq. 6)
    Wasserstein           W1 = integral |D| dt
    energy                2 integral D^2 dt = 2E|X-Y| - E|X-X'| - E|Y-Y'|        (Szekely and Rizzo 2013)

KS sees one place, A^2 also the tails (its mean is 1 under the null), W1 has the unit of the data, and the energy is
the squared distance whose mean over directions is the multivariate one (`reverie.validation.statistics.sliced`).

With weights H is the measure of the absolute weights, which is the same for every labelling. Ties are exact
(`reverie.validation.statistics.paths`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from torch import Tensor

from reverie.core.types import ArrayLike
from reverie.validation.inputs.tables import as_rows, as_values
from reverie.validation.parallel import shared
from reverie.validation.permutation.relabelling import Computed, Relabellings
from reverie.validation.permutation.signed_measures import as_computed, measures, observed_masses, signed_columns
from reverie.validation.statistics.paths import path_of, path_shift, sweep

__all__ = [
    "Marginal",
    "anderson_darling",
    "energy_distance_1d",
    "ks_distance",
    "marginal_columns",
    "wasserstein_1d",
    "wasserstein_powers",
]


@dataclass(frozen=True)
class Marginal:
    """The four statistics of one feature; W1 in its unit, the energy distance squared in its unit."""

    ks: Computed
    ad: Computed
    w1: Computed
    energy: Computed


def marginal_columns(z: Tensor, relabel: Relabellings, features: Sequence[int] | None = None) -> list[Marginal]:
    """Return the statistics of single features under every labelling.

    Parameters
    ----------
    z : (N, d), pooled rows, x first.
    features : which columns of z; None takes all.
    """
    S = signed_columns(relabel)
    a, c = observed_masses(relabel)

    def one(j: int) -> Marginal:
        path = path_of(z[:, j].double(), relabel.weights)
        ks, ad, w1, energy = sweep(S, path)
        return Marginal(
            ks=as_computed(_whole(ks, relabel) * relabel.unit, relabel),
            ad=as_computed(ad * relabel.unit, relabel),
            w1=as_computed(w1 * relabel.unit, relabel),
            energy=as_computed(energy * relabel.unit**2, relabel, shift=path_shift(path, a, c)),
        )

    return list(shared(one, range(z.shape[1]) if features is None else features))


def ks_distance(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None = None, y_weights: ArrayLike | None = None
) -> Tensor:
    """Return the largest Kolmogorov-Smirnov distance over the features of x (n, d) and y (m, d)."""
    return _plain(x, y, x_weights, y_weights)[0].amax()


def anderson_darling(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None = None, y_weights: ArrayLike | None = None
) -> Tensor:
    """Return the largest two-sample Anderson-Darling statistic A^2 over the features of x (n, d) and y (m, d)."""
    x, y = as_rows(x=x, y=y)
    return _plain(x, y, x_weights, y_weights)[1].amax() / (1 / len(x) + 1 / len(y))


def energy_distance_1d(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None = None, y_weights: ArrayLike | None = None
) -> Tensor:
    """Return the squared energy distance of x (n,) and y (m,), unbiased, in N log N operations."""
    z, a, c = measures(as_values(x, "x")[:, None], as_values(y, "y")[:, None], x_weights, y_weights)
    path = path_of(z[:, 0])
    return sweep((a - c)[:, None], path)[3][0] + path_shift(path, a, c)


def wasserstein_1d(x: ArrayLike, y: ArrayLike, *, p: int = 1) -> Tensor:
    """Return the Wasserstein distance W_p of x (n,) and y (m,), in their unit.

    W_p^p = integral_0^1 |F^-1(u) - G^-1(u)|^p du, exact for the two empirical laws.
    """
    return wasserstein_powers(as_values(x, "x")[None], as_values(y, "y")[None], p=p)[0].pow(1 / p)


def wasserstein_powers(x: Tensor, y: Tensor, *, p: int = 1) -> Tensor:
    """Return W_p^p of each row of x (k, n) and the same row of y (k, m), (k,)."""
    x, y, n, m = _in_order(x), _in_order(y), x.shape[1], y.shape[1]
    if n == m:
        return (x - y).abs().double().pow(p).mean(1)
    steps = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()  # u in units of 1/(nm)
    left = torch.cat([steps.new_zeros(1), steps[:-1]])
    distance = (x[:, left // m] - y[:, left // n]).abs().double()
    return (distance.pow(p) * (steps - left) / (n * m)).sum(1)


def _in_order(x: Tensor) -> Tensor:
    """Return x (k, n) with each row in rising order.

    NumPy sorts with the vector instructions of the processor, ten times as fast as torch where it has AVX-512.
    """
    if x.requires_grad or x.device.type != "cpu":
        return x.sort(dim=1).values
    return torch.from_numpy(np.sort(x.numpy(), axis=1))


def _plain(x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None, y_weights: ArrayLike | None) -> Tensor:
    # (4, d), what `sweep` returns
    x, y = as_rows(x=x, y=y)
    z, a, c = measures(x, y, x_weights, y_weights)
    weights = len(x) * a + len(y) * c
    return torch.stack([torch.cat(sweep((a - c)[:, None], path_of(values, weights))) for values in z.T], dim=1)


def _whole(counts: Tensor, relabel: Relabellings) -> Tensor:
    # without weights D counts in steps of gcd(n, N)/N: off the jackknife, rounding makes equal values equal
    if relabel.weights is not None:
        return counts
    grain = gcd(relabel.n, len(relabel.labels)) / len(relabel.labels)
    n_labellings = relabel.labels.shape[1]
    return torch.cat([(counts[:n_labellings] / grain).round() * grain, counts[n_labellings:]])
