r"""Score matching: learning grad log p = -grad E without log Z and without chains.

Denoising: noise the data, x~ = x + sigma xi, and predict the noise. The minimum over E of

    J_D = 1/2 E | sigma grad E(x~) - xi |^2

is grad E = -grad log p_sigma, the score of the data blurred by sigma: a bias that shrinks with sigma, while the
variance of the gradient grows. Of N(0, s^2) it finds E = x^2 / (2 (s^2 + sigma^2)).

It does not see how probability is shared between modes that do not touch.

References
----------
Vincent, Neural Computation 23, 1661 (2011); Hyvärinen, JMLR 6, 695 (2005).
"""

import torch
from torch import Tensor

from reverie.core.checks import check_positive, check_same_shape
from reverie.core.types import Energy

__all__ = ["denoising_loss"]


def denoising_loss(energy: Energy, x: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """Return J_D of each event x (batch, *event), (batch,), differentiable in the parameters of the energy.

    The noise is xi ~ N(0, 1), of the shape of x, and sigma > 0 in units of x.
    """
    check_positive("sigma", sigma)
    check_same_shape(x, noise, ("x", "noise"))
    with torch.enable_grad():
        at = (x + sigma * noise).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(energy(at).sum(), at, create_graph=True)
    return 0.5 * (sigma * gradient - noise).flatten(1).square().sum(1)
