"""The plain distances between two samples, in one place: tensors in, one number out.

Each is the observed column of what the battery computes for all relabellings at once.
"""

from reverie.validation.permutation.signed_measures import pool
from reverie.validation.statistics.correlations import correlation_difference
from reverie.validation.statistics.kernels import energy_distance, mmd, polynomial_mmd
from reverie.validation.statistics.marginal import anderson_darling, energy_distance_1d, ks_distance, wasserstein_1d
from reverie.validation.statistics.sliced import (
    draw_directions,
    sliced_energy_distance,
    sliced_wasserstein,
    sphere_constant,
)

__all__ = [
    "anderson_darling",
    "correlation_difference",
    "draw_directions",
    "energy_distance",
    "energy_distance_1d",
    "ks_distance",
    "mmd",
    "polynomial_mmd",
    "pool",
    "sliced_energy_distance",
    "sliced_wasserstein",
    "sphere_constant",
    "wasserstein_1d",
]
