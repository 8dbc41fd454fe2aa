"""Adversarial objectives as pure functions of logits.

Symbols: a_r = D(x) and a_f = D(G(z)) are raw outputs of the discriminator, shape (batch, 1) or
(batch,); sp(t) = log(1 + e^t) is softplus. Each loss is a mean over the batch and is minimised.

    name             discriminator loss           generator loss    optimal D for real p, generated q
    minimax          sp(-a_r) + sp(a_f)           -sp(a_f)          log p/q
    non_saturating   sp(-a_r) + sp(a_f)           sp(-a_f)          log p/q
    wasserstein_gp   a_f - a_r + penalty          -a_f              a 1-Lipschitz potential
    relativistic     sp(-(a_r - a_f)) + R1 + R2   sp(-(a_f - a_r))  log p/q up to a constant

With D = sigmoid(a), minimax is the zero-sum game of the value
V(D, G) = E log D(x) + E log(1 - D(G(z))), whose optimum over D is 2 JS(p, q) - 2 log 2.

References
----------
minimax, non_saturating: Goodfellow et al., arXiv:1406.2661.
wasserstein: Arjovsky et al., arXiv:1701.07875; its gradient penalty: Gulrajani et al., arXiv:1704.00028.
relativistic: Jolicoeur-Martineau, arXiv:1807.00734; with R1 + R2: Huang et al., arXiv:2501.05441.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from reverie.core.checks import check_same_shape

__all__ = [
    "OBJECTIVES",
    "Objective",
    "equilibrium_outputs",
    "minimax_discriminator",
    "minimax_generator",
    "non_saturating_generator",
    "relativistic_discriminator",
    "relativistic_generator",
    "wasserstein_discriminator",
    "wasserstein_generator",
]


def minimax_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return -V(D, G) estimated from logits: the loss of the minimax and the non-saturating discriminator."""
    check_same_shape(real, fake, ("real logits", "fake logits"))
    return softplus(-real).mean() + softplus(fake).mean()


def minimax_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Return E log(1 - D(G(z))): the generator's side of the zero-sum game. Saturates where D is sure."""
    check_same_shape(real, fake, ("real logits", "fake logits"))
    return -softplus(fake).mean()


def non_saturating_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Return -E log D(G(z)), whose gradient does not vanish where D is sure of a fake."""
    check_same_shape(real, fake, ("real logits", "fake logits"))
    return softplus(-fake).mean()


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return minus the critic's estimate of the Wasserstein-1 distance (times its Lipschitz constant)."""
    check_same_shape(real, fake, ("real logits", "fake logits"))
    return fake.mean() - real.mean()


def wasserstein_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Return minus the critic's mean on generated samples."""
    check_same_shape(real, fake, ("real logits", "fake logits"))
    return -fake.mean()


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return the pairing loss: each real sample should score above the generated one beside it."""
    check_same_shape(real, fake, ("real logits", "fake logits"))
    return softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Return the pairing loss with the roles exchanged; its gradient also depends on the real logits."""
    check_same_shape(real, fake, ("real logits", "fake logits"))
    return softplus(real - fake).mean()


@dataclass(frozen=True)
class Objective:
    """An adversarial game: both losses, and the penalty that belongs to it.

    Parameters
    ----------
    discriminator, generator : losses, (real logits, fake logits) -> scalar.
    penalty : "none"; "norm", the two-sided gradient penalty between real and generated samples;
        "zero_centred", R1 on real and R2 on generated samples.
    penalty_weight : default weight of the penalty, in the convention of its function.
    penalty_every : default number of steps between two penalties, each as strong as those it stands for.
    n_critic : default number of discriminator steps per generator step.
    generator_needs_real : whether the generator's gradient depends on the real logits.
    log_odds : whether a logit is log p/q with its own zero, so that sigmoid(logit) is a probability.
    references : citation keys.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    penalty: Literal["none", "norm", "zero_centred"] = "none"
    penalty_weight: float = 0.0
    penalty_every: int = 1
    n_critic: int = 1
    generator_needs_real: bool = False
    log_odds: bool = True
    references: tuple[str, ...] = ("goodfellow2014",)


OBJECTIVES: dict[str, Objective] = {
    "minimax": Objective(minimax_discriminator, minimax_generator),
    "non_saturating": Objective(minimax_discriminator, non_saturating_generator),
    "wasserstein_gp": Objective(
        wasserstein_discriminator,
        wasserstein_generator,
        penalty="norm",
        penalty_weight=10.0,
        n_critic=5,
        log_odds=False,
        references=("arjovsky2017", "gulrajani2017"),
    ),
    "relativistic": Objective(
        relativistic_discriminator,
        relativistic_generator,
        penalty="zero_centred",
        penalty_weight=0.1,
        penalty_every=4,
        generator_needs_real=True,
        log_odds=False,
        references=("jolicoeurmartineau2018", "mescheder2018", "huang2024"),
    ),
}


def equilibrium_outputs(real: Tensor, fake: Tensor, *, log_odds: bool) -> tuple[Tensor, Tensor]:
    """Return D(real) and D(fake) as mean probabilities that meet at 1/2 in equilibrium.

    Logits that are fixed only up to a constant (Wasserstein, relativistic) are first centred on the mean of both
    batches.
    """
    if not log_odds:
        centre = (real.mean() + fake.mean()) / 2
        real, fake = real - centre, fake - centre
    return torch.sigmoid(real).mean(), torch.sigmoid(fake).mean()
