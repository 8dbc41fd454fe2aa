"""Objectives: pure functions of tensors, from which models make their steps."""

from reverie.objectives.adversarial import (
    OBJECTIVES,
    Objective,
    equilibrium_outputs,
    minimax_discriminator,
    minimax_generator,
    non_saturating_generator,
    relativistic_discriminator,
    relativistic_generator,
    wasserstein_discriminator,
    wasserstein_generator,
)
from reverie.objectives.penalties import (
    between,
    gradient_norm_penalty,
    squared_gradient_norm,
    zero_centred_penalty,
)

__all__ = [
    "OBJECTIVES",
    "Objective",
    "between",
    "equilibrium_outputs",
    "gradient_norm_penalty",
    "minimax_discriminator",
    "minimax_generator",
    "non_saturating_generator",
    "relativistic_discriminator",
    "relativistic_generator",
    "squared_gradient_norm",
    "wasserstein_discriminator",
    "wasserstein_generator",
    "zero_centred_penalty",
]
