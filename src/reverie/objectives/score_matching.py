r"""Score matching: learning grad log p = -grad E without log Z and without chains.

Denoising: noise the data, x~ = x + sigma xi, and predict the noise. The minimum over E of

    J_D = 1/2 E | sigma grad E(x~) - xi |^2

is grad E = -grad log p_sigma, the score of the data blurred by sigma: a bias that shrinks with sigma, while the
variance of the gradient grows. Of N(0, s^2) it finds E = x^2 / (2 (s^2 + sigma^2)).

Sliced: without noise, along random directions v of mean 0 and covariance 1,

    J_S = E [ 1/2 |grad E(x)|^2 - v^T (Hessian of E at x) v ],

equal up to a constant to 1/2 E |grad E + grad log p|^2 where p vanishes at infinity; the first term is written without
v, which lowers the variance. It costs one more derivative.

Neither sees how probability is shared between modes that do not touch.

References
----------
Vincent, Neural Computation 23, 1661 (2011); Hyvärinen, JMLR 6, 695 (2005);
Song, Garg, Shi and Ermon, arXiv:1905.07088 (sliced).
"""

import torch
from torch import Tensor

from reverie.core.checks import check_positive, check_same_shape
from reverie.core.types import Energy

__all__ = ["denoising_loss", "sliced_loss"]


def denoising_loss(energy: Energy, x: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """Return J_D of each event, (batch,), differentiable in the parameters of the energy.

    Parameters
    ----------
    energy : (batch, *event) -> (batch,).
    x : (batch, *event) data.
    noise : xi ~ N(0, 1), of the shape of `x`.
    sigma : standard deviation of the blur, > 0, in units of x.
    """
    check_positive("sigma", sigma)
    check_same_shape(x, noise, ("x", "noise"))
    gradient = _gradient(energy, x + sigma * noise)[1]
    return 0.5 * (sigma * gradient - noise).flatten(1).square().sum(1)


def sliced_loss(energy: Energy, x: Tensor, direction: Tensor) -> Tensor:
    """Return J_S of each event, (batch,), differentiable in the parameters of the energy.

    Parameters
    ----------
    energy : (batch, *event) -> (batch,), twice differentiable.
    x : (batch, *event) data.
    direction : v, of the shape of `x`, such as N(0, 1) or random signs.
    """
    check_same_shape(x, direction, ("x", "direction"))
    at, gradient = _gradient(energy, x)
    (curved,) = torch.autograd.grad((gradient * direction).sum(), at, create_graph=True)
    return 0.5 * gradient.flatten(1).square().sum(1) - (curved * direction).flatten(1).sum(1)


def _gradient(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(energy(at).sum(), at, create_graph=True)
    return at, gradient
