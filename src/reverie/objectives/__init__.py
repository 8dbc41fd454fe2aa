"""Objectives: pure functions of tensors, from which models make their steps."""

from reverie.objectives.adversarial import OBJECTIVES, Objective, equilibrium_outputs
from reverie.objectives.penalties import PENALTIES, Penalty, squared_gradient_norm
from reverie.objectives.reconstruction import (
    bernoulli_log_likelihood,
    categorical_log_likelihood,
    circle_log_likelihood,
    gaussian_log_likelihood,
)
from reverie.objectives.variational import (
    active_units,
    diagonal_kl,
    elbo,
    full_kl,
    importance_estimate,
    iwae_bound,
)

__all__ = [
    "OBJECTIVES",
    "PENALTIES",
    "Objective",
    "Penalty",
    "active_units",
    "bernoulli_log_likelihood",
    "categorical_log_likelihood",
    "circle_log_likelihood",
    "diagonal_kl",
    "elbo",
    "equilibrium_outputs",
    "full_kl",
    "gaussian_log_likelihood",
    "importance_estimate",
    "iwae_bound",
    "squared_gradient_norm",
]
