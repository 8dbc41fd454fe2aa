"""Distances averaged over random directions: as cheap as one dimension, and they see every one.

With theta uniform on the sphere and D one-dimensional (`reverie.validation.statistics.marginal`),

    sliced Wasserstein    mean over theta of W_1(theta.x, theta.y)                        (Bonneel et al. 2015)
    sliced energy         mean over theta of 2 integral (F - G)^2 dt

For a mean shift mu the sliced W1 tends to |mu| / c_D. Since |x| = c_D E|theta.x| with
c_D = sqrt(pi) Gamma((D+1)/2) / Gamma(D/2), the energy distance in D dimensions is c_D times the sliced one
(Baringhaus and Franz 2004; Huang and Huo 2017): N log N instead of N^2. What is left is the error of P directions.
Directions are drawn in orthonormal frames: each is uniform on the sphere, and the mean over one frame of
(theta.mu)^2 is |mu|^2/D without error.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from reverie.core.types import ArrayLike
from reverie.validation.inputs.tables import as_rows
from reverie.validation.parallel import shared
from reverie.validation.permutation.relabelling import Computed, Relabellings
from reverie.validation.permutation.signed_measures import as_computed, measures, observed_masses, signed_columns
from reverie.validation.statistics.marginal import ascending, cumulative_norms, energy_shift, wasserstein_powers

__all__ = [
    "draw_directions",
    "energy_by_slices",
    "sliced_columns",
    "sliced_energy_distance",
    "sliced_wasserstein",
    "sphere_constant",
]

_AT_ONCE = 1 << 20  # shadows of rows that are sorted together, which bounds the memory


def draw_directions(n_features: int, n_directions: int, generator: torch.Generator) -> Tensor:
    """Return directions (n_features, n_directions), uniform on the sphere; the one axis if d = 1."""
    if n_features == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    n_frames = -(-n_directions // n_features)
    frames = torch.randn(n_frames, n_features, n_features, generator=generator, dtype=torch.float64)
    Q, R = torch.linalg.qr(frames)
    Q = Q * R.diagonal(dim1=1, dim2=2).sign()[:, None, :]  # Haar measure (Mezzadri 2007)
    return Q.transpose(0, 1).reshape(n_features, -1)[:, :n_directions]


def sliced_columns(z: Tensor, relabel: Relabellings, directions: Tensor) -> tuple[Computed, Computed]:
    """Return sliced W1 and sliced energy of pooled z (N, d) under every labelling, over `directions` (d, P)."""
    S = signed_columns(relabel)
    a, c = observed_masses(relabel)

    def one(direction: Tensor) -> tuple[Tensor, Tensor, float]:
        path = ascending(z.double() @ direction, relabel.weights)
        _, _, w1, energy = cumulative_norms(S, path)
        return w1, energy, energy_shift(path, a, c)

    w1, energy, shifts = zip(*shared(one, directions.T), strict=True)
    shift = sum(shifts) / len(shifts)
    return (
        as_computed(torch.stack(w1).mean(0) * relabel.unit, relabel),
        as_computed(torch.stack(energy).mean(0) * relabel.unit**2, relabel, shift=shift),
    )


def energy_by_slices(z: Tensor, relabel: Relabellings, directions: Tensor) -> Computed:
    """Return the energy distance of pooled z (N, d) under every labelling as c_D times the sliced one."""
    energy, factor = sliced_columns(z, relabel, directions)[1], sphere_constant(z.shape[1])
    return replace(energy, values=energy.values * factor, error=energy.error * factor, shift=energy.shift * factor)


def sliced_wasserstein(
    x: ArrayLike, y: ArrayLike, *, p: int = 1, n_directions: int = 50, generator: torch.Generator | None = None
) -> Tensor:
    """Return (mean over directions of W_p^p)^(1/p) of x (n, d) and y (m, d).

    `generator` draws the directions; None uses directions of the fixed seed 0.
    """
    x, y = as_rows(x=x, y=y)
    theta = draw_directions(x.shape[1], n_directions, _generator(generator))
    x, y, n_at_once = x.double().T, y.double().T, max(1, _AT_ONCE // max(len(x), len(y)))
    powers = [wasserstein_powers(some @ x, some @ y, p=p) for some in theta.T.split(n_at_once)]
    return torch.cat(powers).mean().pow(1 / p)


def sliced_energy_distance(
    x: ArrayLike,
    y: ArrayLike,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
    *,
    n_directions: int = 50,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the energy distance of x (n, d) and y (m, d) as c_D times the sliced one, unbiased.

    `generator` draws the directions; None uses directions of the fixed seed 0.
    """
    z, a, c = measures(x, y, x_weights, y_weights)
    directions = draw_directions(z.shape[1], n_directions, _generator(generator))
    paths = [ascending(shadow) for shadow in (z.detach() @ directions).T]
    values = [float(cumulative_norms((a - c)[:, None], path)[3]) + energy_shift(path, a, c) for path in paths]
    return sphere_constant(z.shape[1]) * torch.tensor(values, dtype=torch.float64).mean()


def sphere_constant(n_features: int) -> float:
    """Return c_D with |x| = c_D E|theta.x|, theta uniform on the sphere in D dimensions."""
    return math.sqrt(math.pi) * math.exp(math.lgamma((n_features + 1) / 2) - math.lgamma(n_features / 2))


def _generator(generator: torch.Generator | None) -> torch.Generator:
    return torch.Generator().manual_seed(0) if generator is None else generator
