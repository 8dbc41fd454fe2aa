r"""Variational bounds of latent variable models, p(x) = integral p(x | z) p(z) dz with p(z) = N(0, 1).

An encoder gives q(z | x) = N(m, S), from which z is drawn by reparametrisation of noise e ~ N(0, 1),

    z = m + s e                diagonal, S = diag(s^2)
    z = m + L e                full, S = L L^T with L lower triangular, its diagonal positive
    log q(z | x) = - |e|^2 / 2 - log det L - (d / 2) log 2 pi

in which the noise itself is the residual, so nothing is divided by a small number. With K = KL(q | p),

    K = sum_j { m_j^2 + s_j^2 - 1 - 2 log s_j } / 2                        diagonal
    K = { |m|^2 + tr(L L^T) - d - 2 sum_j log L_jj } / 2                   full
    ELBO = E_q log p(x | z) - beta K                                       beta = 1 bounds log p(x)
    w_i = p(x | z_i) p(z_i) / q(z_i | x),   L_k = E log (1/k) sum_i w_i,   ELBO = L_1 <= L_2 <= ... <= log p(x)

All are sums over latent and data dimensions, in nats, one number per event; a mean over pixels would weigh the
divergence too much by their number. The gradient of L_k weighs that of log w_i with w_i / sum w: the best draw counts
most. With the exact posterior every w_i is p(x), and the bound is tight without variance.

The mean of w_i estimates p(x) without bias. With its relative standard error r, estimated from the weights, the error
of the logarithm is r, and its bias - r^2 / 2, both to leading order.

A latent unit is active where its posterior mean varies with x: Var_x(m_j) > 0.01.

References
----------
Kingma and Welling, arXiv:1312.6114; Rezende, Mohamed and Wierstra, arXiv:1401.4082; Burda, Grosse and Salakhutdinov,
arXiv:1509.00519 (L_k, active units); Higgins et al., ICLR 2017 (beta).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.checks import check_same_shape
from reverie.core.errors import InputError

__all__ = [
    "ACTIVE",
    "GaussianPosterior",
    "active_units",
    "diagonal_kl",
    "elbo",
    "full_kl",
    "importance_estimate",
    "iwae_bound",
    "standard_normal_log_prob",
]

ACTIVE = 0.01  # variance of a posterior mean over the data above which a unit carries information
_LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class GaussianPosterior:
    """Gaussian q(z | x) of a batch of events. Raises `InputError` for shapes that do not fit.

    Parameters
    ----------
    mean : m (batch, latent).
    spread : log s (batch, latent) of a diagonal Gaussian, or L (batch, latent, latent) of a full one.
    """

    mean: Tensor
    spread: Tensor

    def __post_init__(self) -> None:
        n, d = self.mean.shape
        if self.spread.shape not in ((n, d), (n, d, d)):
            raise InputError(
                f"Expected log s of shape {(n, d)} or L of shape {(n, d, d)} beside the mean, got "
                f"{tuple(self.spread.shape)}. Give one for each latent dimension."
            )

    @property
    def is_full(self) -> bool:
        """Whether latent dimensions are correlated."""
        return self.spread.ndim == 3

    @property
    def sd(self) -> Tensor:
        """Standard deviation of each latent dimension, (batch, latent)."""
        return self.spread.square().sum(dim=2).sqrt() if self.is_full else self.spread.exp()

    def at(self, noise: Tensor) -> Tensor:
        """Return z (..., batch, latent) of noise e of the same shape."""
        if self.is_full:
            return self.mean + torch.einsum("bij,...bj->...bi", self.spread, noise)
        return self.mean + self.spread.exp() * noise

    def log_prob(self, noise: Tensor) -> Tensor:
        """Return log q(z | x), (..., batch), at z of that noise."""
        return standard_normal_log_prob(noise) - self.log_det

    @property
    def log_det(self) -> Tensor:
        """Log det L, (batch,)."""
        log_diagonal = torch.diagonal(self.spread, dim1=-2, dim2=-1).log() if self.is_full else self.spread
        return log_diagonal.sum(dim=1)

    def kl(self) -> Tensor:
        """Return KL(q | N(0, 1)) of each event, (batch,)."""
        return full_kl(self.mean, self.spread) if self.is_full else diagonal_kl(self.mean, self.spread)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """Return log N(z; 0, 1), (..., batch), summed over the last axis of z (..., batch, latent)."""
    return -0.5 * (z.square().sum(dim=-1) + z.shape[-1] * _LOG_2PI)


def diagonal_kl(mean: Tensor, log_sd: Tensor, prior_mean: Tensor | None = None, prior_log_sd: Tensor | None = None):
    """Return KL(N(m, s^2) | N(m_0, s_0^2)) of each event, (batch,), in nats.

    Parameters
    ----------
    mean, log_sd : m and log s, (batch, latent).
    prior_mean, prior_log_sd : m_0 and log s_0 that broadcast with them; None is N(0, 1).
    """
    check_same_shape(mean, log_sd, ("the mean", "log s"))
    if prior_mean is not None:
        mean = mean - prior_mean
    if prior_log_sd is not None:
        mean, log_sd = mean * (-prior_log_sd).exp(), log_sd - prior_log_sd
    return 0.5 * (mean.square() + torch.expm1(2 * log_sd) - 2 * log_sd).sum(dim=-1)


def full_kl(mean: Tensor, scale: Tensor, prior_mean: Tensor | None = None, prior_scale: Tensor | None = None):
    """Return KL(N(m, L L^T) | N(m_0, L_0 L_0^T)) of each event, (batch,), in nats.

    Parameters
    ----------
    mean, scale : m (batch, latent) and lower triangular L (batch, latent, latent).
    prior_mean, prior_scale : m_0 and L_0 of the same shapes; None is N(0, 1).
    """
    if prior_mean is not None:
        mean = mean - prior_mean
    if prior_scale is not None:
        mean = torch.linalg.solve_triangular(prior_scale, mean[..., None], upper=False)[..., 0]
        scale = torch.linalg.solve_triangular(prior_scale, scale, upper=False)
    log_det = torch.diagonal(scale, dim1=-2, dim2=-1).log().sum(dim=-1)
    return 0.5 * (mean.square().sum(-1) + scale.square().sum((-2, -1)) - mean.shape[-1]) - log_det


def elbo(log_likelihood: Tensor, kl: Tensor, *, beta: float = 1.0) -> Tensor:
    """Return log p(x | z) - beta K of each event, (batch,): the ELBO with one draw of z.

    With another beta >= 0 than 1 the value bounds nothing (below 1) or less tightly (above).
    """
    check_same_shape(log_likelihood, kl, ("log p(x | z)", "the divergence"))
    return log_likelihood - beta * kl


def iwae_bound(log_weights: Tensor) -> Tensor:
    """Return L_k = log (1/k) sum_i w_i of each event, (batch,), of log w (k, batch), one row per draw."""
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))


def importance_estimate(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return log of the mean weight, an estimate of log p(x), and its standard error, each (batch,), in nats.

    They are those of log w (k, batch) of k independent draws; with one draw the error is infinite.
    """
    k = len(log_weights)
    value = iwae_bound(log_weights)
    if k == 1:
        return value, torch.full_like(value, math.inf)
    relative = (log_weights - value).exp()
    return value, ((relative - 1).square().sum(dim=0) / (k * (k - 1))).sqrt()


def active_units(means: Tensor, *, threshold: float = ACTIVE) -> Tensor:
    """Return which latent units are active, (latent,) bool, of posterior means (n, latent) of many events."""
    return means.var(dim=0) > threshold
