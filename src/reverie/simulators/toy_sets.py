r"""Toy jets: sets of particles whose density is known in closed form, with multiplicity and correlations.

The number of particles is a Poisson number between 1 and P,

    p(N) ~ lambda^N / N!,                                          N = 1 ... P

A set lies along one of K directions of the plane, psi_k = pi k / K, each as probable as the others. Given k, particles
are independent: each belongs to one of two prongs at +- d (cos(psi_k), sin(psi_k)) with probability 1/2, has a normal
position about it with standard deviation s in eta_rel and in phi_rel, and a pt_rel of a Gamma law of shape 2 with mean
1/lambda:

    p(x_1 ... x_N | N) = (1/K) sum_k prod_i f_k(eta_i, phi_i) g(pt_i)
    f_k = N(+d e_k, s^2) / 2 + N(-d e_k, s^2) / 2,   e_k = (cos(psi_k), sin(psi_k))
    g(pt) = 4 lambda^2 pt exp(-2 lambda pt)

One particle alone shows no direction worth mentioning; pairs do. This is the density of the particles in random order,
so log p(N) + log p(x | N) is the log-likelihood of a set, and its difference between two such laws, a set at a time, is
the optimal discriminator. Azimuths are not wrapped: d and s are small beside pi.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy.special import gammaln, logsumexp

from reverie.core.arguments import Interval, check_fields, checked
from reverie.core.errors import InputError
from reverie.core.random import as_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.data import Dataset, particle_sets

__all__ = ["ToySets"]

_NAMES = ("eta_rel", "phi_rel", "pt_rel")


@dataclass(frozen=True)
class ToySets:
    """Sets of particles with two prongs; see the module's notes. Raises `InputError` for values out of range.

    Parameters
    ----------
    mean_size : lambda, the mean multiplicity before the truncation.
    max_size : P, the most particles of a set.
    distance : d of both prongs from the axis, in [0, 1].
    spread : s of the particles about their prong, in (0, 1].
    n_directions : K.

    Examples
    --------
    >>> sets = ToySets(mean_size=4.0, max_size=8).sample(100, random_state=0)
    >>> sets
    Dataset(100 sets of at most 8 particles: eta_rel, phi_rel, pt_rel)
    """

    mean_size: Annotated[float, Interval(0.0, 1000.0, ends="right")] = 15.0
    max_size: Annotated[int, Interval(1, 10_000)] = 30
    distance: Annotated[float, Interval(0.0, 1.0)] = 0.2
    spread: Annotated[float, Interval(0.0, 1.0, ends="right")] = 0.1
    n_directions: Annotated[int, Interval(1, 1000)] = 6

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def log_p_size(self) -> np.ndarray:
        """Return log p(N) for N = 1 ... P, (P,)."""
        n = np.arange(1, self.max_size + 1)
        terms = n * math.log(self.mean_size) - gammaln(n + 1)
        return terms - np.asarray(logsumexp(terms))

    @checked
    def sample(self, n: Annotated[int, Interval(1)], random_state: RandomState = None) -> Dataset:
        """Return `n` independent sets (n, P, 4) of eta_rel, phi_rel, pt_rel and the mask, particles in random order."""
        rng = np.random.default_rng(as_seed(random_state))
        size = rng.choice(np.arange(1, self.max_size + 1), size=n, p=np.exp(self.log_p_size))
        psi = np.pi * rng.integers(self.n_directions, size=(n, 1)) / self.n_directions
        side = self.distance * rng.choice([-1.0, 1.0], size=(n, self.max_size))
        noise = self.spread * rng.standard_normal((2, n, self.max_size))
        pt = rng.gamma(2.0, 1 / (2 * self.mean_size), (n, self.max_size))
        particles = np.stack([side * np.cos(psi) + noise[0], side * np.sin(psi) + noise[1], pt], axis=2)
        mask = np.arange(self.max_size) < size[:, None]
        sets = particle_sets(particles * mask[..., None], mask, names=_NAMES, max_size=self.max_size)
        return Dataset(sets.values, schema=sets.schema, provenance={"simulator": repr(self)})

    def log_prob(self, sets: ArrayLike) -> np.ndarray:
        """Return log p (n,) of sets (n, P', 4) with columns eta_rel, phi_rel, pt_rel and the mask, in any order.

        A set of more than P particles, of none, or with a pt_rel that is not positive has -inf.

        Raises
        ------
        InputError
            For another shape.
        """
        x = np.asarray(sets.values if isinstance(sets, Dataset) else sets, dtype=float)
        if x.ndim != 3 or x.shape[2] != 4:
            raise InputError(f"Expected sets (n, P, 4) of eta_rel, phi_rel, pt_rel and the mask, got {x.shape}.")
        eta, phi, pt, mask = np.moveaxis(x, 2, 0)
        there, n = mask == 1, (mask == 1).sum(axis=1)
        possible = (n >= 1) & (n <= self.max_size) & (pt > 0).all(axis=1, where=there)
        psi = np.pi * np.arange(self.n_directions)[:, None, None] / self.n_directions
        x0, y0 = self.distance * np.cos(psi), self.distance * np.sin(psi)
        squares = np.stack([(eta - sign * x0) ** 2 + (phi - sign * y0) ** 2 for sign in (1, -1)])
        f = np.asarray(logsumexp(-squares / (2 * self.spread**2), axis=0)) - math.log(4 * math.pi * self.spread**2)
        of_place = np.asarray(logsumexp((f * there).sum(axis=2), axis=0)) - math.log(self.n_directions)
        positive = np.where(there & (pt > 0), pt, 1.0)
        g = 2 * math.log(2 * self.mean_size) + np.log(positive) - 2 * self.mean_size * positive
        size = self.log_p_size[np.clip(n, 1, self.max_size) - 1]
        return np.where(possible, size + of_place + (g * there).sum(axis=1), -np.inf)
