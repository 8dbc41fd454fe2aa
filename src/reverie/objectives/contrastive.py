r"""The gradient of a Boltzmann machine's likelihood: what the data see minus what the model sees.

For p(v) = sum_h exp(-E(v, h)) / Z (`reverie.networks.boltzmann`) the gradient of the mean log-likelihood is

    d/dtheta <log p> = < -dE/dtheta >_data - < -dE/dtheta >_model,

with h averaged given v on both sides. Both averages are sums over rows with weights r_n that add up to zero: weights
of events, positive, and of model rows (chains, or all states with their probabilities), negative:

    binary      W: sum r v h^T                  a: sum r v                      b: sum r h
    Gaussian    W: sum r (v / s^2) h^T          a: sum r (v - a) / s^2          b: sum r h
                log s^2: sum r [(v - a)^2 / 2 - v (W h)] / s^2

Contrastive divergence takes the rows of the model from k Gibbs sweeps that start at the data (it is not the gradient
of any function), persistent contrastive divergence from chains that are kept between updates.

Centring measures v and h from offsets mu and lambda, the means of the data side: the coupling is
(v - mu)^T W (h - lambda). That does not change the family of distributions but the direction of a step, which no
longer depends on which state of a unit is called 1. The gradient by W is then sum r (v - mu) (h - lambda)^T, those by
the biases are as above, and a step dW also moves the plain biases,

    a: - dW lambda        b: - mu^T dW        (Gaussian units: - (mu / s^2)^T dW),

after the optimiser, which may scale each component by itself. Of Gaussian units W and a are measured in the metric of
s^2, which makes steps independent of the units of v. With mu = lambda = 0 this is the plain gradient.

References
----------
Hinton, Neural Computation 14, 1771 (2002); Tieleman, ICML 2008; Melchior, Fischer and Wiskott, JMLR 17, 99 (2016);
Cho, Ilin and Raiko, ICANN 2011 (log s^2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["Gradient", "centred", "combined", "compensation", "likelihood_gradient"]


@dataclass(frozen=True, eq=False)
class Gradient:
    """A direction in the parameters of a Boltzmann machine; the log variance is None for binary units."""

    W: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor
    log_variance: Tensor | None = None


def likelihood_gradient(
    v: Tensor, h: Tensor, r: Tensor, *, W: Tensor, visible_bias: Tensor, log_variance: Tensor | None = None
) -> Gradient:
    """Return sum_n r_n (-dE/dtheta)(v_n, h_n), the gradient of the mean log-likelihood.

    Parameters
    ----------
    v : (row, visible), the data and the rows of the model.
    h : (row, hidden), the mean of the hidden units given each row.
    r : (row,), weights of the data that add up to 1, and of the model that add up to -1.
    W, visible_bias, log_variance : parameters; the last of Gaussian units only.
    """
    weighted = r[:, None] * h
    G, a, b = v.T @ weighted, r @ v, weighted.sum(0)
    if log_variance is None:
        return Gradient(G, a, b)
    precision = (-log_variance).exp()
    spread = r @ (v - visible_bias).square() / 2
    return Gradient(
        G * precision[:, None],
        (a - visible_bias * r.sum()) * precision,
        b,
        (spread - (W * G).sum(1)) * precision,
    )


def combined(gradients: Sequence[Gradient], factors: Sequence[float | Tensor]) -> Gradient:
    """Return the sum of gradients times factors."""
    pairs = list(zip(gradients, factors, strict=True))

    def total(name: str) -> Any:
        parts = [getattr(gradient, name) for gradient, _ in pairs]
        return None if parts[0] is None else sum(part * factor for part, (_, factor) in zip(parts, pairs, strict=True))

    return Gradient(total("W"), total("visible_bias"), total("hidden_bias"), total("log_variance"))


def centred(gradient: Gradient, mu: Tensor, lambda_: Tensor, log_variance: Tensor | None = None) -> Gradient:
    """Return the gradient by parameters centred at mu (visible,) and lambda (hidden,), zeros for none.

    `compensation` says what a step in W then does to the biases.
    """
    W, a = gradient.W, gradient.visible_bias
    if log_variance is not None:
        variance = log_variance.exp()
        W, a = W * variance[:, None], a * variance
    W = W.addr(mu, gradient.hidden_bias, alpha=-1).addr_(a, lambda_, alpha=-1)
    return Gradient(W, a, gradient.hidden_bias, gradient.log_variance)


def compensation(
    step: Tensor, mu: Tensor, lambda_: Tensor, log_variance: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return what a step (visible, hidden) in W adds to the biases (visible,) and (hidden,)."""
    scaled = mu if log_variance is None else mu * (-log_variance).exp()
    return -(step @ lambda_), -(scaled @ step)
