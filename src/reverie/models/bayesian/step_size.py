"""The step size with which to sample a posterior: what keeps SGLD honest, and MALA moving.

Along a direction of precision L with gradient noise V of batches (`reverie.samplers.sgld`), SGLD of step size eta
makes the variance larger by the factor 1 + eta (L + V) / 2. The stiffness is the largest L + V,

    L   the largest |eigenvalue| of the Hessian of E, by power iteration on all rows (from below, within a few %)
    V   the largest eigenvalue of (N^2 / n) Cov(grad log likelihood of a row), from at most 2,000 rows

and eta = 2 bias / stiffness. Both maxima need not lie along one direction, so the growth is at most about `bias`.
They belong to the posterior, and the start may be anywhere. Chains first settle with steps 1 / (L (1 + N / n)), as
large as batches permit: where the rows fit badly V is huge, and steps as careful as the last would lead nowhere.
"""

import torch
from torch import Tensor

from reverie.samplers import MALA, SGLD, MinibatchEnergy, run, tuned_step_size

__all__ = ["found_step_size", "stiffness"]

_MOST_CHAINS = 10
_MOST_ROWS = 2000
_ROUNDS = 3


def found_step_size(
    energy: MinibatchEnergy, theta: Tensor, generator: torch.Generator, bias: float, burn_in: int
) -> tuple[float, Tensor]:
    """Return a step size, and theta (chain, *event) where the chains are once it was found.

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
    noise = torch.stack([_noise(energy.row_gradients(one, index)) for one in theta])
    return float((curvature + noise * energy.n_rows**2 / energy.batch_size).max())


def _noise(gradients: Tensor) -> Tensor:
    """Return the largest eigenvalue of the covariance of gradients (row, *event)."""
    flat = gradients.flatten(1)
    return torch.linalg.matrix_norm(flat - flat.mean(0), 2).square() / len(flat)


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
