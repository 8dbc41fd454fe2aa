"""Ready-made posteriors for `reverie.models.bayesian.sampling.sample_posterior`: prior, likelihood and prediction.

    model = logistic_regression(n_features=3)
    posterior = sample_posterior(model.log_prior, model.log_likelihood, (x, y), model.draw_prior(4))
    posterior.predict(model.predict, x_new)

All priors are independent Gaussians around 0, and theta is one vector (parameter,).

    logistic regression   p(y = 1 | x) = sigmoid(theta_0 + x . theta_1...),                y in {0, 1}
    two Gaussians         x ~ N(theta_1, 2) / 2 + N(theta_1 + theta_2, 2) / 2,  theta ~ N(0, 10) N(0, 1)
    network               y ~ N(module(x; theta), noise_sd^2), theta all parameters of any module

The mixture is that of Welling and Teh, ICML 2011: its likelihood does not change from (theta_1, theta_2) to
(theta_1 + theta_2, -theta_2), so the posterior has two modes, and only the prior says which is the larger.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from reverie.core.arguments import Count, Positive, checked
from reverie.core.random import as_generator
from reverie.core.types import RandomState

__all__ = ["BayesianModel", "logistic_regression", "network_regression", "two_gaussians"]


@dataclass(frozen=True, eq=False)
class BayesianModel:
    """A likelihood with a Gaussian prior of independent parameters.

    Parameters
    ----------
    prior_sd : (parameter,), standard deviations of the prior.
    log_likelihood : one theta (parameter,) and rows of the data -> (row,).
    predict : one theta and inputs (row, *event) -> (row, ...); draws no noise.
    """

    prior_sd: Tensor
    log_likelihood: Callable[..., Tensor]
    predict: Callable[..., Tensor]

    def log_prior(self, theta: Tensor) -> Tensor:
        """Return the log prior of one theta (parameter,), normalised."""
        sd = self.prior_sd.to(theta)
        return -((theta / sd).square() / 2 + sd.log() + math.log(2 * math.pi) / 2).sum()

    def draw_prior(self, n: int, random_state: RandomState = None) -> Tensor:
        """Return draws (n, parameter) from the prior: where chains may start."""
        generator = as_generator(random_state, self.prior_sd.device)
        shape, device, dtype = (n, len(self.prior_sd)), self.prior_sd.device, self.prior_sd.dtype
        return self.prior_sd * torch.randn(shape, generator=generator, device=device, dtype=dtype)


@checked
def logistic_regression(n_features: Count, prior_sd: Positive = 1.0) -> BayesianModel:
    """Return logistic regression of y (row,) in {0, 1} on x (row, feature); theta is the intercept, then weights."""

    def log_odds(theta: Tensor, x: Tensor) -> Tensor:
        return theta[0] + x @ theta[1:]

    def log_likelihood(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        z = log_odds(theta, x)
        return y * z - softplus(z)

    sd = torch.full((n_features + 1,), float(prior_sd))
    return BayesianModel(sd, log_likelihood, lambda theta, x: log_odds(theta, x).sigmoid())


def two_gaussians() -> BayesianModel:
    """Return the mixture of Welling and Teh, of rows x (row,); it predicts the density at x."""

    def log_likelihood(theta: Tensor, x: Tensor) -> Tensor:
        one, other = (x - theta[0]).square() / 4, (x - theta[0] - theta[1]).square() / 4
        return torch.logaddexp(-one, -other) - math.log(2 * math.sqrt(4 * math.pi))

    return BayesianModel(torch.tensor([10.0, 1.0]).sqrt(), log_likelihood, lambda t, x: log_likelihood(t, x).exp())


@checked
def network_regression(module: nn.Module, noise_sd: Positive, prior_sd: Positive = 1.0) -> BayesianModel:
    """Return regression of y on x by a network, with all its parameters, in order, as theta.

    Parameters
    ----------
    module : x (row, *event) -> the shape of y (row, ...), or (row, 1) for y (row,). Only its form is used.
    noise_sd : of y about the network, in the unit of y.
    prior_sd : of every parameter. To keep the outputs of a wide layer of order 1, let the module divide by the
        root of its width.
    """
    shapes = {name: p.shape for name, p in module.named_parameters()}
    sizes = [shape.numel() for shape in shapes.values()]

    def predict(theta: Tensor, x: Tensor) -> Tensor:
        parts = theta.split(sizes)
        named = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return torch.func.functional_call(module, named, (x,))

    def log_likelihood(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        residual = (y - predict(theta, x).view(y.shape)) / noise_sd
        constant = math.log(noise_sd) + math.log(2 * math.pi) / 2
        return -(residual.square() / 2 + constant).reshape(len(y), -1).sum(1)

    return BayesianModel(torch.full((sum(sizes),), float(prior_sd)), log_likelihood, predict)
