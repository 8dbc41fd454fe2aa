r"""Distributions whose density is known exactly: the ground truth of benchmarks and of tests.

A mixture of K isotropic Gaussians of one width s in d dimensions, with equal weights,

    p(x) = (1 / K) sum_k (2 pi s^2)^(-d / 2) exp(-|x - c_k|^2 / (2 s^2)),    E(x) = -log p(x)

is normalised, so log p(x) is the score of a sample on an absolute scale. Its expectation under p,
the best that the mean over samples of any generator should reach, is minus the entropy,

    E log p = (1 / K) sum_k  int N(t; 0, 1) log p(c_k + s t) dt,

here by Gauss-Hermite quadrature in each of the d directions. For well separated modes it is
-log K - (d / 2) log(2 pi e s^2). A generator may miss it on both sides: samples outside the modes
score below, and samples of shrunken modes above, although they are no better.

The constants are those of `reverie.data.toys`, which draws the points.

References
----------
Ring and grid: Srivastava et al., arXiv:1705.07761. Variance 0.05: Xu et al., arXiv:1907.00503.
Quadrature: Golub and Welsch, Math. Comp. 23, 221 (1969).
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import Count, Interval, Positive, check_fields, checked
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_generator
from reverie.core.types import RandomState
from reverie.data import toys

__all__ = ["TARGETS", "GaussianMixture", "target"]


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Equal mixture of isotropic Gaussians of one width, with exact density.

    Parameters
    ----------
    centres : (mode, feature) tensor, float64.
    sd : standard deviation of every mode along every axis, > 0.

    Raises
    ------
    InputError
        If `centres` is not a matrix.

    Examples
    --------
    >>> round(target("broad_ring").expected_log_prob(), 3)
    -1.698
    """

    centres: Tensor
    sd: Positive

    def __post_init__(self) -> None:
        check_fields(self)
        if self.centres.ndim != 2 or len(self.centres) == 0:
            raise InputError(
                f"Expected centres (mode, feature), got shape {tuple(self.centres.shape)}. Give one row per mode."
            )

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p of each sample, (batch, feature) -> (batch,), in the dtype of `x` (whole numbers: float64).

        It is differentiable.

        Raises `InputError` if `x` has another number of features than the centres.
        """
        k, d = self.centres.shape
        if x.ndim != 2 or x.shape[1] != d:
            raise InputError(f"Expected samples (batch, {d}), got shape {tuple(x.shape)}. Give one sample per row.")
        x = x if x.is_floating_point() else x.double()
        centres = self.centres.to(x)
        squared = (x[:, None] - centres).square().sum(dim=2)
        constant = math.log(k) + 0.5 * d * math.log(2 * math.pi * self.sd**2)
        return torch.logsumexp(-squared / (2 * self.sd**2), dim=1) - constant

    def energy(self, x: Tensor) -> Tensor:
        """Return -log p of each sample, (batch, feature) -> (batch,)."""
        return -self.log_prob(x)

    @checked
    def sample(self, n: Count, random_state: RandomState = None) -> Tensor:
        """Return `n` independent samples (n, feature), float64."""
        generator = child_generator(as_seed(random_state), "targets")
        mode = torch.randint(len(self.centres), (n,), generator=generator)
        noise = torch.randn(n, self.centres.shape[1], generator=generator, dtype=torch.float64)
        return self.centres[mode] + self.sd * noise

    @checked
    def expected_log_prob(self, n_nodes: Annotated[int, Interval(1, 300)] = 48) -> float:
        """Return E log p under p itself, minus the entropy in nats, by quadrature with `n_nodes` a direction."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
        d = self.centres.shape[1]
        t, w = (
            torch.cartesian_prod(*[torch.from_numpy(x)] * d).reshape(-1, d) for x in (nodes, weights / weights.sum())
        )
        w = w.prod(dim=1)
        return sum(float(w @ self.log_prob(centre + self.sd * t)) for centre in self.centres) / len(self.centres)


def _mixture(centres: np.ndarray, sd: float) -> GaussianMixture:
    return GaussianMixture(torch.from_numpy(centres.copy()), sd)


TARGETS: dict[str, GaussianMixture] = {
    "ring": _mixture(toys.RING_CENTRES, toys.RING_SD),
    "grid": _mixture(toys.GRID_CENTRES, toys.GRID_SD),
    "broad_ring": _mixture(toys.RING_CENTRES, toys.BROAD_SD),
    "broad_grid": _mixture(toys.GRID_CENTRES, toys.BROAD_SD),
    "shifted_grid": _mixture(toys.SHIFTED_GRID_CENTRES, toys.BROAD_SD),
}


@checked
def target(name: str) -> GaussianMixture:
    """Return the exact density of the simulated data set `name`; an unknown name is answered with the nearest."""
    return check_choice("target", name, TARGETS)
