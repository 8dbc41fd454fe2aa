r"""How well a decoder explains an event: log p(x | z) by kind of feature, and what autoencoders minimise besides.

    Bernoulli       sum_i { x_i a_i - sp(a_i) }               bits x, log odds a, sp(t) = log(1 + e^t)
    Gaussian        sum_i { - (x_i - m_i)^2 / (2 s_i^2) - log s_i - log(2 pi) / 2 }
    categorical     sum_k x_k a_k - log sum_k exp(a_k)        one-hot x, logits a
    circle          log (1/2 pi r) - |m|^2 / 2 + log { 1 + t Phi(t) / phi(t) },   t = m.x / r

The last is the law of the direction of a Gaussian N(m, 1) in the plane, a density along the circle |x| = r: an angle
is drawn by drawing the Gaussian and forgetting its length (projected normal: Mardia and Jupp, Directional Statistics,
Wiley 2000). |m| is how sure it is. A Gaussian density in the plane would be none on the circle, and
would grow without bound as it narrows across it.

All are summed over the features and in nats. A Bernoulli likelihood is one of bits alone: put on grey values, it is
not normalised.

A sparse autoencoder adds a penalty on the activations h of its code,

    L1    mean |h|                                            KL    sum_j KL(rho | mean_batch h_j),  h in (0, 1)

(Ng, CS294A lecture notes, Stanford 2011); a denoising one reconstructs x from x + noise (Vincent et al., ICML 2008).
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from reverie.core.checks import check_same_shape
from reverie.core.clip import clip

__all__ = [
    "bernoulli_log_likelihood",
    "categorical_log_likelihood",
    "circle_log_likelihood",
    "gaussian_log_likelihood",
    "kl_sparsity",
    "l1_sparsity",
    "squared_error",
]

_LOG_2PI = math.log(2 * math.pi)
_FAR = -30.0  # t below which 1 + t Phi / phi, a small difference, is taken from its series
_NEAR = 1e-6  # of the mean activation, from 0 and 1


def bernoulli_log_likelihood(logits: Tensor, bits: Tensor, known: Tensor | None = None) -> Tensor:
    """Return log p of bits 0 or 1 (..., batch, feature), summed over features, of log odds that broadcast with them.

    The sum is over the features that are `known`, bool of the shape of the bits, or over all.
    """
    if known is not None:
        return torch.where(known, logits * bits - softplus(logits), 0.0).sum(dim=-1)
    return (logits * bits).sum(dim=-1) - softplus(logits).sum(dim=-1)


def gaussian_log_likelihood(x: Tensor, mean: Tensor, log_sd: Tensor, known: Tensor | None = None) -> Tensor:
    """Return log N(x; m, s^2), (..., batch), summed over features; the three broadcast to (..., batch, feature).

    The sum is over the features that are `known`, bool of the shape of x, or over all.
    """
    residual = (x - mean) * (-log_sd).exp()
    each = residual.square() + 2 * log_sd + _LOG_2PI
    return -0.5 * (each if known is None else torch.where(known, each, 0.0)).sum(dim=-1)


def categorical_log_likelihood(logits: Tensor, one_hot: Tensor) -> Tensor:
    """Return log p of a category, (..., batch), of logits (..., batch, level) and one-hot vectors."""
    return (logits * one_hot).sum(dim=-1) - torch.logsumexp(logits, dim=-1)


def circle_log_likelihood(x: Tensor, mean: Tensor, *, radius: float) -> Tensor:
    """Return log p of points x on a circle, per unit of its arc, (...,).

    Parameters
    ----------
    x : points (..., 2) at distance `radius` from the origin.
    mean : m (..., 2) of the Gaussian of unit variance that is projected; |m| is the concentration.
    radius : r > 0.
    """
    t = ((x * mean).sum(dim=-1) / radius).double()
    # log { 1 + t Phi(t) / phi(t) }; each branch is evaluated where it holds, for the gradient
    far, middle, near = clip(t, high=_FAR), clip(t, _FAR, 1.0), clip(t, low=1.0)
    inverse = far.square().reciprocal()
    series = torch.log(inverse) + torch.log1p(-3 * inverse + 15 * inverse.square() - 105 * inverse**3)
    mills = math.sqrt(math.pi / 2) * torch.special.erfcx(-middle / math.sqrt(2))
    large = torch.log(near) + near.square() / 2 + 0.5 * _LOG_2PI + torch.special.log_ndtr(near)
    log_tilt = torch.where(t > 1.0, torch.logaddexp(torch.zeros_like(large), large), torch.log1p(middle * mills))
    log_tilt = torch.where(t < _FAR, series, log_tilt)
    return log_tilt - 0.5 * mean.square().sum(dim=-1) - math.log(2 * math.pi * radius)


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Return |x - y|^2 of each event, (batch,), summed over all its axes."""
    check_same_shape(x, y, ("the events", "their reconstructions"))
    return (x - y).flatten(1).square().sum(dim=1)


def l1_sparsity(code: Tensor) -> Tensor:
    """Return |h| of each event, (batch,), summed over its code (batch, latent)."""
    return code.abs().sum(dim=1)


def kl_sparsity(code: Tensor, *, target: float) -> Tensor:
    """Return sum_j KL(rho | mean h_j), a scalar, for activations h in (0, 1), (batch, latent), and rho = `target`."""
    mean = code.mean(dim=0).clamp(_NEAR, 1 - _NEAR)
    on, off = target * torch.log(target / mean), (1 - target) * torch.log((1 - target) / (1 - mean))
    return (on + off).sum()
