"""Adversarial objectives as pure functions of logits.

Symbols: a_r = D(x) and a_f = D(G(z)) are raw outputs of the discriminator, shape (batch, 1) or
(batch,); sp(t) = log(1 + e^t) is softplus, relu(t) = max(t, 0). Each loss is a mean over the batch
and is minimised.

    name             discriminator loss             generator loss    optimal D for real p, generated q
    minimax          sp(-a_r) + sp(a_f)             -sp(a_f)          log p/q
    non_saturating   sp(-a_r) + sp(a_f)             sp(-a_f)          log p/q
    least_squares    (a_r - 1)^2 / 2 + a_f^2 / 2    (a_f - 1)^2 / 2   p/(p + q)
    hinge            relu(1 - a_r) + relu(1 + a_f)  -a_f              sign(p - q)
    wasserstein      a_f - a_r, |weights| <= clip   -a_f              a Lipschitz potential
    wasserstein_gp   a_f - a_r + penalty            -a_f              a 1-Lipschitz potential
    relativistic     sp(-(a_r - a_f)) + R1 + R2     sp(-(a_f - a_r))  log p/q up to a constant

With D = sigmoid(a), minimax is the zero-sum game of the value
V(D, G) = E log D(x) + E log(1 - D(G(z))), whose optimum over D is 2 JS(p, q) - 2 log 2.

Event weights w_i belong to the real samples, have mean one over the data set and may be negative:
the term of real sample i is multiplied by w_i, and the mean over the batch stays a plain one,

    (1/B) sum_i w_i l_r(a_r,i) + (1/B) sum_j l_f(a_f,j),

an unbiased estimate of the loss against the weighted density w(x) p(x), the density that all optima
above then mean by p. A pairing term carries the weight of its real member. Nothing is divided by
the sum of the weights of a batch, which would bias every step and fails where that sum is near zero.
The loss of a single event of negative weight has no lower bound; that of the weighted density has
one wherever this density is positive, so negative weights need batches and data dense enough for
the positive events nearby to outweigh them.

References
----------
minimax, non_saturating: Goodfellow et al., arXiv:1406.2661.
least_squares: Mao et al., arXiv:1611.04076, eq. 9. hinge: Lim and Ye, arXiv:1705.02894.
wasserstein: Arjovsky et al., arXiv:1701.07875; its gradient penalty: Gulrajani et al., arXiv:1704.00028.
relativistic: Jolicoeur-Martineau, arXiv:1807.00734; with R1 + R2: Huang et al., arXiv:2501.05441.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from reverie.core.checks import check_choice, check_same_shape
from reverie.core.errors import InputError

__all__ = [
    "OBJECTIVES",
    "Loss",
    "Objective",
    "Scale",
    "check_logits",
    "equilibrium_outputs",
    "hinge_discriminator",
    "least_squares_discriminator",
    "least_squares_generator",
    "minimax_discriminator",
    "minimax_generator",
    "non_saturating_generator",
    "relativistic_discriminator",
    "relativistic_generator",
    "wasserstein_discriminator",
    "wasserstein_generator",
    "batch_mean",
]

Loss: TypeAlias = Callable[..., Tensor]  # (real logits, fake logits, weight (batch,) or None) -> scalar
Scale: TypeAlias = Literal["log_odds", "relative", "probability", "sign"]


def minimax_discriminator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return -V(D, G) estimated from logits: the loss of the minimax and the non-saturating discriminator."""
    check_logits(real, fake, weight)
    return batch_mean(softplus(-real), weight) + softplus(fake).mean()


def minimax_generator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return E log(1 - D(G(z))): the generator's side of the zero-sum game. Saturates where D is sure."""
    check_logits(real, fake, weight)
    return -softplus(fake).mean()


def non_saturating_generator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return -E log D(G(z)), whose gradient does not vanish where D is sure of a fake."""
    check_logits(real, fake, weight)
    return softplus(-fake).mean()


def least_squares_discriminator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return half the squared distance of real logits from 1 and of generated ones from 0."""
    check_logits(real, fake, weight)
    return 0.5 * batch_mean((real - 1).square(), weight) + 0.5 * fake.square().mean()


def least_squares_generator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return half the squared distance of generated logits from 1: far samples are pulled hardest."""
    check_logits(real, fake, weight)
    return 0.5 * (fake - 1).square().mean()


def hinge_discriminator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the loss of a maximal margin: real logits beyond 1 and generated ones beyond -1 cost nothing.

    Its generator minimises `wasserstein_generator`.
    """
    check_logits(real, fake, weight)
    return batch_mean(relu(1 - real), weight) + relu(1 + fake).mean()


def wasserstein_discriminator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return minus the critic's estimate of the Wasserstein-1 distance (times its Lipschitz constant)."""
    check_logits(real, fake, weight)
    return fake.mean() - batch_mean(real, weight)


def wasserstein_generator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return minus the critic's mean on generated samples."""
    check_logits(real, fake, weight)
    return -fake.mean()


def relativistic_discriminator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the pairing loss: each real sample should score above the generated one beside it."""
    check_logits(real, fake, weight)
    return batch_mean(softplus(fake - real), weight)


def relativistic_generator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the pairing loss with the roles exchanged; its gradient also depends on the real logits."""
    check_logits(real, fake, weight)
    return batch_mean(softplus(real - fake), weight)


@dataclass(frozen=True)
class Objective:
    """An adversarial game: both losses, and what belongs to them.

    Parameters
    ----------
    discriminator, generator : losses, (real logits, fake logits, weight=None) -> scalar.
    penalty : key of `reverie.objectives.penalties.PENALTIES`.
    penalty_weight : default weight of the penalty, in the convention of its function.
    penalty_every : default number of steps between two penalties, each as strong as those it stands for.
    n_critic : default number of discriminator steps per generator step.
    clip : bound on the absolute value of every weight of the discriminator, applied after each of its
        steps; None for no bound.
    generator_needs_real : whether the generator's gradient depends on the real logits.
    scale : how a logit reads (see `equilibrium_outputs`).
    references : citation keys.
    """

    discriminator: Loss
    generator: Loss
    penalty: str = "none"
    penalty_weight: float = 0.0
    penalty_every: int = 1
    n_critic: int = 1
    clip: float | None = None
    generator_needs_real: bool = False
    scale: Scale = "log_odds"
    references: tuple[str, ...] = ("goodfellow2014",)


OBJECTIVES: dict[str, Objective] = {
    "minimax": Objective(minimax_discriminator, minimax_generator),
    "non_saturating": Objective(minimax_discriminator, non_saturating_generator),
    "least_squares": Objective(
        least_squares_discriminator, least_squares_generator, scale="probability", references=("mao2017",)
    ),
    "hinge": Objective(hinge_discriminator, wasserstein_generator, scale="sign", references=("lim2017",)),
    "wasserstein": Objective(
        wasserstein_discriminator,
        wasserstein_generator,
        n_critic=5,
        clip=0.01,
        scale="relative",
        references=("arjovsky2017",),
    ),
    "wasserstein_gp": Objective(
        wasserstein_discriminator,
        wasserstein_generator,
        penalty="two_sided",
        penalty_weight=10.0,
        n_critic=5,
        scale="relative",
        references=("arjovsky2017", "gulrajani2017"),
    ),
    "relativistic": Objective(
        relativistic_discriminator,
        relativistic_generator,
        penalty="r1_r2",
        penalty_weight=0.1,
        penalty_every=4,
        generator_needs_real=True,
        scale="relative",
        references=("jolicoeurmartineau2018", "mescheder2018", "huang2024"),
    ),
}


def equilibrium_outputs(
    real: Tensor, fake: Tensor, *, scale: Scale, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return D(real) and D(fake) as means of numbers in [0, 1] that meet at 1/2 in equilibrium.

    Raises `UnknownNameError` for another scale.

    Parameters
    ----------
    real, fake : logits, (batch, 1) or (batch,).
    scale : "log_odds", sigmoid(a); "relative", the same after the mean of both batches is taken off,
        for logits that are fixed only up to a constant; "probability", a itself cut to [0, 1];
        "sign", (1 + a) / 2 for a cut to [-1, 1].
    weight : event weights (batch,) of the real samples; the first output is then their weighted mean.
    """
    check_logits(real, fake, weight)
    if scale == "relative":
        centre = (batch_mean(real, weight) + fake.mean()) / 2
        real, fake = real - centre, fake - centre
    reading = check_choice("scale", scale, _READINGS)
    return batch_mean(reading(real), weight), reading(fake).mean()


_READINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "log_odds": torch.sigmoid,
    "relative": torch.sigmoid,
    "probability": lambda a: a.clamp(0, 1),
    "sign": lambda a: (1 + a.clamp(-1, 1)) / 2,
}


def batch_mean(terms: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean of w_i terms_i over a batch, not divided by the sum of the weights, which are one on average.

    The weights (batch,) hold for all axes of a sample. Divided by their sum in a batch the gradient would have a bias.
    """
    if weight is None:
        return terms.mean()
    return (weight.reshape(-1, *[1] * (terms.ndim - 1)) * terms).mean()


def check_logits(real: Tensor, fake: Tensor, weight: Tensor | None) -> None:
    """Raise `InputError` unless real and fake logits have one shape, and there is a weight for each real sample."""
    check_same_shape(real, fake, ("real logits", "fake logits"))
    if weight is not None and weight.shape != real.shape[:1]:
        raise InputError(
            f"Expected one event weight per real sample, shape ({len(real)},), got {tuple(weight.shape)}. "
            "Give weights with the batch axis alone."
        )
