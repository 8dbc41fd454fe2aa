"""An objective to copy into `reverie/objectives/`; symbols, weights and references as in `adversarial.py`.

    L_D = (a_r - 1)^2 / 2 + a_f^2 / 2,    L_G = (a_f - 1)^2 / 2,    optimal D = p / (p + q)

Both losses are called with the logits of a batch of real and of generated samples, and with the event weights (batch,)
of the real ones, or None: terms of a real sample are weighted, the others are not.
"""

from torch import Tensor

from reverie.objectives.adversarial import Objective, check_logits, batch_mean

__all__ = ["LEAST_SQUARES", "least_squares_discriminator", "least_squares_generator"]


def least_squares_discriminator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return 1/2 E (a_r - 1)^2 + 1/2 E a_f^2 (Mao et al., arXiv:1611.04076, eq. 9)."""
    check_logits(real, fake, weight)
    return 0.5 * batch_mean((real - 1).square(), weight) + 0.5 * fake.square().mean()


def least_squares_generator(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return 1/2 E (a_f - 1)^2."""
    check_logits(real, fake, weight)
    return 0.5 * (fake - 1).square().mean()


# one row of OBJECTIVES; scale says how a logit reads as a number in [0, 1] (see `equilibrium_outputs`)
LEAST_SQUARES = Objective(
    least_squares_discriminator, least_squares_generator, scale="probability", references=("mao2017",)
)
