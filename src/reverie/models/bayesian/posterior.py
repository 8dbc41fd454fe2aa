"""What draws from a posterior say: means with errors, whether the chains agree, predictions with bands."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import Count, checked
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.series import mean_with_error
from reverie.samplers import Chains, effective_sample_size, rank_normalised_r_hat

__all__ = ["Posterior", "PosteriorBand", "Quantity"]

_LARGEST_R_HAT = 1.01
_FEWEST_DRAWS = 400


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
        self, f: Callable[..., Tensor], *inputs: Tensor, level: float = 0.683, n_draws: Count = 1000
    ) -> PosteriorBand:
        """Return the mean and the band of f(theta, *inputs), any shape, over draws of theta.

        Parameters
        ----------
        f : of one theta and the inputs.
        inputs : passed on to `f` unchanged.
        level : share of the posterior between `low` and `high`.
        n_draws : draws that are used, at most.
        """
        if not 0 < level < 1:
            raise InputError(f"Expected 0 < level < 1, got {level}. One standard deviation is 0.683.")
        with torch.no_grad():
            values = torch.func.vmap(lambda theta: f(theta, *inputs), chunk_size=100)(self.draws(n_draws))
        array = values.double().cpu().numpy()
        low, high = np.quantile(array, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return PosteriorBand(array.mean(axis=0), low, high, level)
