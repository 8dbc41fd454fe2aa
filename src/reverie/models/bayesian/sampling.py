"""Bayesian learning: parameters are drawn from their posterior instead of being fitted.

    from reverie.models import sample_posterior

    def log_prior(theta):                     # one parameter vector -> one number
        return -theta.square().sum() / 2

    def log_likelihood(theta, x, y):          # rows of the data -> one number for each
        return -(y - x @ theta).square() / 2

    posterior = sample_posterior(log_prior, log_likelihood, (x, y), torch.randn(4, 3))
    print(posterior)                          # means with errors, R-hat, effective size, what is doubtful
    band = posterior.predict(lambda theta, x: x @ theta, x_new)
    band.mean, band.low, band.high

Functions see one theta; `torch.func.vmap` makes chains of them. With all rows at every step the kernel is MALA,
which is exact. With `batch_size` it is SGLD (`reverie.samplers.sgld`), which costs a batch a step and widens the
posterior by a share that the caller allows and that is estimated. That share sets the step size, and SGLD then needs
some (1 + N / n) / bias steps to forget: it is for data of which even one pass a step is too dear.

Along a direction of precision L with gradient noise V of batches (`reverie.samplers.sgld`), SGLD of step size eta
makes the variance larger by the factor 1 + eta (L + V) / 2. The stiffness is the largest L + V,

    L   the largest |eigenvalue| of the Hessian of E, by power iteration on all rows (from below, within a few %)
    V   the largest eigenvalue of (N^2 / n) Cov(grad log likelihood of a row), from at most 2,000 rows

and eta = 2 bias / stiffness. Both maxima need not lie along one direction, so the growth is at most about `bias`.
They belong to the posterior, and the start may be anywhere. Chains first settle with steps 1 / (L (1 + N / n)), as
large as batches permit: where the rows fit badly V is huge, and steps as careful as the last would lead nowhere.

References
----------
Welling and Teh, ICML 2011; Vehtari et al., Bayesian Anal. 16, 667 (2021) (R-hat < 1.01, effective size > 400).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.errors import InputError, TrainingError
from reverie.core.random import as_generator
from reverie.core.types import RandomState
from reverie.models.bayesian.posterior import Posterior
from reverie.samplers import MALA, SGLD, MinibatchEnergy, run, tuned_step_size

__all__ = ["sample_posterior", "stiffness", "suitable_step_size"]

_MOST_CHAINS = 10
_MOST_ROWS = 2000
_ROUNDS = 3


@checked
def sample_posterior(
    log_prior: Callable[[Tensor], Tensor],
    log_likelihood: Callable[..., Tensor],
    data: Tensor | tuple[Tensor, ...],
    theta0: Tensor,
    *,
    batch_size: int | None = None,
    step_size: float | None = None,
    bias: float = 0.05,
    n_steps: int = 4000,
    burn_in: int = 1000,
    thin: int = 1,
    watch: Callable[[Tensor], Tensor] | None = None,
    random_state: RandomState = None,
) -> Posterior:
    """Return draws from the posterior of theta.

    Parameters
    ----------
    log_prior : one theta (*event) -> a number; a constant may be missing.
    log_likelihood : one theta and rows of each tensor of the data -> a number for each row, (row,).
    data : rows, one tensor or several of equal length, which `log_likelihood` gets one by one.
    theta0 : (chain, *event), where the chains start: at least two for R-hat, and best further apart than the
        posterior is wide, such as draws from the prior.
    batch_size : rows in a batch of SGLD; None takes all rows and MALA.
    step_size : eta; None finds one.
    bias : growth of the variance that SGLD may have when the step size is found, in (0, 1).
    n_steps, burn_in, thin : as in `reverie.samplers.run`; finding the step size comes before.
    watch : one theta -> numbers (quantity,) by which convergence is judged, such as predictions at some inputs; None
        for theta itself. Weights of a network can be exchanged without a change, so their R-hat says nothing.
    random_state : seed or generator.

    A theta that does not stay finite, because the step size is too large, raises `TrainingError`.
    """
    if theta0.ndim < 2 or not theta0.is_floating_point():
        raise InputError(
            f"Expected theta0 (chain, *event) of floats, got shape {tuple(theta0.shape)}, {theta0.dtype}. "
            "Start several chains: one row each."
        )
    if not 0 < bias < 1:
        raise InputError(f"Expected 0 < bias < 1, got {bias}. 0.05 widens the posterior by 5 % in variance.")
    generator = as_generator(random_state, theta0.device)
    energy = MinibatchEnergy(torch.func.vmap(log_prior), torch.func.vmap(log_likelihood), data, batch_size)
    start, eta = theta0, step_size
    if eta is None:
        eta, start = suitable_step_size(energy, theta0, generator, bias, burn_in)
        if not math.isfinite(eta):
            raise TrainingError("No step size found: the posterior is not finite. Start nearer to it.", step=0)
    kernel = MALA(eta) if batch_size is None else SGLD(eta)
    chains = run(kernel, start, energy, n_steps=n_steps, burn_in=burn_in, thin=thin, generator=generator)
    if not bool(chains.x[-1].isfinite().all()):
        raise TrainingError(f"theta is not finite at step size {eta:.3g}. Lower step_size.", step=burn_in + n_steps)
    growth = 0.0 if batch_size is None else eta * stiffness(energy, chains.x[-1], generator) / 2
    with torch.no_grad():
        flat = chains.x.flatten(0, 1)
        values = flat if watch is None else torch.func.vmap(watch, chunk_size=1000)(flat)
    watched = values.reshape(*chains.x.shape[:2], -1).permute(2, 1, 0).double().cpu().numpy()
    return Posterior(chains, watched, eta, batch_size, float(chains.info["accepted"].mean()), growth)


def suitable_step_size(
    energy: MinibatchEnergy, theta: Tensor, generator: torch.Generator, bias: float, burn_in: int
) -> tuple[float, Tensor]:
    """Return a step size, and theta (chain, *event), where the chains then are.

    Parameters
    ----------
    energy : of the posterior; without a batch size the step size is that of MALA at its best acceptance.
    theta : (chain, *event), the start.
    generator : all randomness.
    bias : relative growth of the variance that SGLD may have.
    burn_in : steps to spend on it, about.
    """
    n_steps = max(burn_in // _ROUNDS, 50)
    if energy.batch_size is None:
        first = 1 / stiffness(energy, theta, generator)
        tuned = tuned_step_size(MALA, energy, theta, generator, n_steps=_ROUNDS * n_steps, first=first)
        return tuned.step_size, tuned.x
    for _ in range(_ROUNDS):
        eta = 1 / (float(_curvature(energy, theta, generator).max()) * (1 + energy.n_rows / energy.batch_size))
        theta = run(SGLD(eta), theta, energy, n_steps=n_steps, thin=n_steps, generator=generator).x[-1]
    return 2 * bias / stiffness(energy, theta, generator), theta


def stiffness(energy: MinibatchEnergy, theta: Tensor, generator: torch.Generator) -> float:
    """Return the largest L + V over at most 10 of the chains at theta (chain, *event)."""
    theta = theta[:_MOST_CHAINS]
    curvature = _curvature(energy, theta, generator)
    if energy.batch_size is None:
        return float(curvature.max())
    index = torch.randint(energy.n_rows, (min(energy.n_rows, _MOST_ROWS),), generator=generator, device=theta.device)
    noise = []
    for one in theta:
        gradients = energy.row_gradients(one, index).flatten(1)
        noise.append(torch.linalg.matrix_norm(gradients - gradients.mean(0), 2).square() / len(gradients))
    noise = torch.stack(noise)
    return float((curvature + noise * energy.n_rows**2 / energy.batch_size).max())


def _curvature(energy: MinibatchEnergy, theta: Tensor, generator: torch.Generator, n: int = 20) -> Tensor:
    """Return the largest |eigenvalue| of the Hessian of E at each theta (chain,), by power iteration."""
    x = theta.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
    v = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    size = v.flatten(1).norm(dim=1)
    for _ in range(n):
        v = v / size.clamp(min=1e-30).reshape(-1, *[1] * (x.ndim - 1))
        (v,) = torch.autograd.grad(gradient, x, v, retain_graph=True)
        size = v.flatten(1).norm(dim=1)
    return size
