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
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import Count, Level, Positive, Whole, checked
from reverie.core.errors import InputError, TrainingError
from reverie.core.measured import Measured
from reverie.core.random import as_generator
from reverie.core.series import mean_with_error
from reverie.core.types import RandomState
from reverie.samplers import (
    MALA,
    SGLD,
    Chains,
    MinibatchEnergy,
    effective_sample_size,
    rank_normalised_r_hat,
    run,
    tuned_step_size,
)

__all__ = ["Posterior", "PosteriorBand", "Quantity", "sample_posterior", "stiffness"]

_LARGEST_R_HAT, _FEWEST_DRAWS = 1.01, 400  # of chains that can be trusted
_MOST_CHAINS, _MOST_ROWS = 10, 2000  # that the stiffness is taken from
_ROUNDS = 3  # of settling
_POWERS = 20  # steps of the power iteration


@dataclass(frozen=True)
class Quantity:
    """What the chains say of one number.

    Parameters
    ----------
    mean : posterior mean, its error from the autocorrelation of the chains.
    sd : posterior standard deviation.
    r_hat : rank-normalised R-hat; above 1.01 the chains disagree.
    effective_size : number of independent draws with the same error of the mean.
    """

    mean: Measured
    sd: float
    r_hat: float
    effective_size: float

    def __str__(self) -> str:
        return f"{self.mean}, sd {self.sd:.3g}, R-hat {self.r_hat:.3f}, effective size {self.effective_size:.0f}"


@dataclass(frozen=True, eq=False)
class PosteriorBand:
    """A prediction with its uncertainty of parameters; all of the shape of the prediction.

    Parameters
    ----------
    mean : average over the posterior.
    low, high : quantiles that hold `level` between them, equal tails.
    level : the share.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws from a posterior, and how far they can be trusted.

    Parameters
    ----------
    chains : positions theta (step, chain, *event).
    watched : (quantity, chain, step) float64, the numbers by which convergence is judged.
    step_size : eta.
    batch_size : rows in a batch; None for MALA on all rows.
    acceptance : share of proposals accepted; 1 for SGLD, which accepts all.
    bias : estimated relative growth of the largest variance by the step size; 0 for MALA.
    """

    chains: Chains
    watched: np.ndarray
    step_size: float
    batch_size: int | None
    acceptance: float
    bias: float

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        """One for each watched number."""
        return tuple(
            Quantity(mean_with_error(s), float(s.std()), rank_normalised_r_hat(s), effective_sample_size(s))
            for s in self.watched
        )

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful, and what to do; empty if nothing is."""
        r_hat = max(q.r_hat for q in self.quantities)
        size = min(q.effective_size for q in self.quantities)
        needed = math.ceil(_FEWEST_DRAWS / size) * self.watched.shape[2] * self.chains.thin
        warnings = []
        if self.watched.shape[1] < 2:
            warnings.append("One chain: nothing to compare it with. Start several.")
        if not r_hat <= _LARGEST_R_HAT:
            warnings.append(
                f"R-hat up to {r_hat:.3f}, above {_LARGEST_R_HAT}: the chains disagree. Take more steps, or fewer "
                "chains."
            )
        if size < _FEWEST_DRAWS:
            warnings.append(f"Effective size down to {size:.0f}, below {_FEWEST_DRAWS}. Take about {needed} steps.")
        if self.bias > 0.1:
            warnings.append(f"The step size widens variances by up to {self.bias:.0%}: take less, or larger batches.")
        return tuple(warnings)

    def __str__(self) -> str:
        kernel = "MALA on all rows" if self.batch_size is None else f"SGLD with batches of {self.batch_size}"
        lines = [f"{self.chains}; {kernel}, step size {self.step_size:.3g}, acceptance {self.acceptance:.2f}"]
        lines += [f"  [{i}] {quantity}" for i, quantity in enumerate(self.quantities[:20])]
        if len(self.quantities) > 20:
            lines.append(f"  ... {len(self.quantities)} in all")
        return "\n".join(lines + [f"  ! {warning}" for warning in self.warnings])

    @checked
    def draws(self, n: Count | None = None) -> Tensor:
        """Return draws of theta (draw, *event), all or `n` spread evenly over steps and chains."""
        pooled = self.chains.pooled()
        if n is None or n >= len(pooled):
            return pooled
        return pooled[torch.linspace(0, len(pooled) - 1, n).round().long()]

    @checked
    def predict(
        self, f: Callable[..., Tensor], *inputs: Tensor, level: Level = 0.683, n_draws: Count = 1000
    ) -> PosteriorBand:
        """Return the mean and the band of f(theta, *inputs), any shape, over draws of theta.

        Parameters
        ----------
        f : of one theta and the inputs.
        inputs : passed on to `f` unchanged.
        level : share of the posterior between `low` and `high`; one standard deviation is 0.683.
        n_draws : draws that are used, at most.
        """
        with torch.no_grad():
            values = torch.func.vmap(lambda theta: f(theta, *inputs), chunk_size=100)(self.draws(n_draws))
        array = values.double().cpu().numpy()
        low, high = np.quantile(array, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return PosteriorBand(array.mean(axis=0), low, high, level)


@checked
def sample_posterior(
    log_prior: Callable[[Tensor], Tensor],
    log_likelihood: Callable[..., Tensor],
    data: Tensor | tuple[Tensor, ...],
    theta0: Tensor,
    *,
    batch_size: Count | None = None,
    step_size: Positive | None = None,
    bias: Level = 0.05,
    n_steps: Count = 4000,
    burn_in: Whole = 1000,
    thin: Count = 1,
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
    bias : relative growth of the variance that SGLD may have when the step size is found, in (0, 1).
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
    generator = as_generator(random_state, theta0.device)
    energy = MinibatchEnergy(torch.func.vmap(log_prior), torch.func.vmap(log_likelihood), data, batch_size)
    start, eta = theta0, step_size
    if eta is None:
        n_settling = max(burn_in // _ROUNDS, 50)
        if batch_size is None:  # MALA at its best acceptance
            first = 1 / stiffness(energy, start, generator)
            tuned = tuned_step_size(MALA, energy, start, generator, n_steps=_ROUNDS * n_settling, first=first)
            eta, start = tuned.step_size, tuned.x
        else:  # SGLD settles with steps as large as batches permit; then the bias decides
            for _ in range(_ROUNDS):
                largest = float(_curvature(energy, start, generator).max())
                settling = SGLD(1 / (largest * (1 + energy.n_rows / batch_size)))
                start = run(settling, start, energy, n_steps=n_settling, thin=n_settling, generator=generator).x[-1]
            eta = 2 * bias / stiffness(energy, start, generator)
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


def _curvature(energy: MinibatchEnergy, theta: Tensor, generator: torch.Generator) -> Tensor:
    """Return the largest |eigenvalue| of the Hessian of E at each theta (chain,), by power iteration."""
    x = theta.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
    v = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    size = v.flatten(1).norm(dim=1)
    for _ in range(_POWERS):
        v = v / size.clamp(min=1e-30).reshape(-1, *[1] * (x.ndim - 1))
        (v,) = torch.autograd.grad(gradient, x, v, retain_graph=True)
        size = v.flatten(1).norm(dim=1)
    return size
