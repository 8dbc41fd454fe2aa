"""An objective to copy into `reverie/objectives/`; symbols and references as in `adversarial.py`."""

from torch import Tensor

from reverie.core.checks import check_same_shape
from reverie.objectives.adversarial import Objective


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return 1/2 E (a_r - 1)^2 + 1/2 E a_f^2 (Mao et al., arXiv:1611.04076, eq. 9)."""
    check_same_shape(real, fake, ("real logits", "fake logits"))
    return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()


def least_squares_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Return 1/2 E (a_f - 1)^2."""
    check_same_shape(real, fake, ("real logits", "fake logits"))
    return 0.5 * (fake - 1).square().mean()


# one row of OBJECTIVES
LEAST_SQUARES = Objective(least_squares_discriminator, least_squares_generator, log_odds=False, references=("mao2017",))
