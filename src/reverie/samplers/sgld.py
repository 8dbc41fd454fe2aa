"""Stochastic gradient Langevin dynamics: parameters theta drawn from a posterior, by batches of the data.

With N rows of data and a batch of n of them, drawn anew at every step,

    g      = grad log prior(theta) + (N / n) sum over the batch of grad log likelihood(theta; row)
    theta' = theta + eta g + sqrt(2 eta) xi,      xi ~ N(0, 1).

The convention is a trap. Here and in `reverie.samplers.langevin` eta goes with sqrt(2 eta). Welling and Teh write
eps / 2 and sqrt(eps): eps = 2 eta. The noise goes with the square root, N / n belongs to the likelihood alone, and
the prior is counted once.

The batch makes the gradient noisy, with variance V: rows are drawn with replacement, so V = (N^2 / n) Var(grad log
likelihood) over rows. Noise of the gradient widens the posterior. For a Gaussian one of precision L exactly

    variance = (2 eta + eta^2 V) / (1 - (1 - eta L)^2)  ~  (1 / L) (1 + eta L / 2 + eta V / 2)

so a result is good when eta (L + V) / 2 is small. Every chain draws its own batch: chains that shared one would be
moved by the same noise, and what compares chains (R-hat, errors of means) would take them for independent.

References
----------
Welling and Teh, ICML 2011; Vollmer, Zygalakis and Teh, JMLR 17, 159 (2016) (bias at a constant step size).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from reverie.core.arguments import Count, Interval, NonNegative, Positive, check_fields, checked
from reverie.core.errors import InputError
from reverie.core.types import Energy
from reverie.samplers.langevin import ULA, StepSize, ULAInfo, ULAState

__all__ = [
    "SGLD",
    "MinibatchEnergy",
    "SGLDInfo",
    "SGLDState",
    "constant",
    "polynomial",
    "polynomial_between",
    "sgld_variance",
]

SGLDState: TypeAlias = ULAState
SGLDInfo: TypeAlias = ULAInfo
Exponent: TypeAlias = Annotated[float, Interval(0.5, 1, ends="right")]  # Welling and Teh take 0.55


@dataclass(frozen=True, eq=False)
class MinibatchEnergy:
    """The energy of a posterior, -log prior - sum of log likelihood, which can also be had of a batch of rows.

    Parameters
    ----------
    log_prior : theta (chain, *event) -> (chain,).
    log_likelihood : theta (chain, *event) and rows (chain, n, *row), as many tensors as `data` has -> (chain, n).
    data : rows (N, *row), or several tensors of N rows each, such as inputs and targets.
    batch_size : n, rows drawn for each chain and step, with replacement; None takes all rows, each once.

    Raises
    ------
    InputError
        For tensors of unequal length.
    """

    log_prior: Callable[[Tensor], Tensor]
    log_likelihood: Callable[..., Tensor]
    data: Tensor | tuple[Tensor, ...]
    batch_size: Count | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        lengths = {len(table) for table in self.tables}
        if len(lengths) != 1 or 0 in lengths:
            raise InputError(f"Expected data of equally many rows, got {sorted(lengths)}. Rows go together.")

    @property
    def tables(self) -> tuple[Tensor, ...]:
        """The tensors of the data, one or more."""
        return (self.data,) if isinstance(self.data, Tensor) else self.data

    @property
    def n_rows(self) -> int:
        """N, the number of rows."""
        return len(self.tables[0])

    def __call__(self, theta: Tensor) -> Tensor:
        """Return E (chain,) of theta (chain, *event), from all rows."""
        return self._energy(theta, *(table.expand(len(theta), *table.shape) for table in self.tables))

    def draw(self, n_chains: int, generator: torch.Generator) -> Energy:
        """Return the energy of one batch for each chain: an estimate of E without bias, and a function like it."""
        if self.batch_size is None:
            return self
        shape = (n_chains, self.batch_size)
        index = torch.randint(self.n_rows, shape, generator=generator, device=self.tables[0].device)
        rows = [table[index] for table in self.tables]
        return lambda theta: self._energy(theta, *rows)

    def row_gradients(self, theta: Tensor, index: Tensor | None = None) -> Tensor:
        """Return grad log likelihood of each row, or of the rows at `index`, at one theta (*event), (row, *event)."""
        tables = self.tables if index is None else [table[index] for table in self.tables]
        with torch.enable_grad():
            many = theta.detach().expand(len(tables[0]), *theta.shape).clone().requires_grad_()
            value = self.log_likelihood(many, *(table[:, None] for table in tables))
            return torch.autograd.grad(value.sum(), many)[0]

    def gradient_noise(self, theta: Tensor, index: Tensor | None = None) -> Tensor:
        """Return V, the variance that batches give each component of g at theta (*event), (*event)."""
        if self.batch_size is None:
            return torch.zeros_like(theta)
        return self.row_gradients(theta, index).var(0, correction=0) * (self.n_rows**2 / self.batch_size)

    def _energy(self, theta: Tensor, *rows: Tensor) -> Tensor:
        prior, likelihood = self.log_prior(theta), self.log_likelihood(theta, *rows)
        expected = (len(theta), rows[0].shape[1])
        if prior.shape != expected[:1] or likelihood.shape != expected:
            raise InputError(
                f"Expected log prior {expected[:1]} and log likelihood {expected}, one number per chain and row, "
                f"got {tuple(prior.shape)} and {tuple(likelihood.shape)}. Sum over parameters, not over rows."
            )
        return -prior - (self.n_rows / expected[1]) * likelihood.sum(1)


@dataclass(frozen=True, eq=False)
class SGLD:
    """One Langevin step down the energy of a fresh batch.

    The step size is eta > 0, one per chain (chain,), or a schedule: `polynomial`, `constant`, or any function of the
    number of steps taken.
    """

    step_size: StepSize

    def init(self, x: Tensor, energy: Energy) -> SGLDState:
        """Return the state of chains at theta = x (chain, *event); `energy` is a `MinibatchEnergy`."""
        return ULA(self.step_size).init(x, _as_minibatch(energy))

    def step(self, state: SGLDState, energy: Energy, generator: torch.Generator) -> tuple[SGLDState, SGLDInfo]:
        """Return the next state; every chain moves."""
        batch = _as_minibatch(energy).draw(len(state.x), generator)
        return ULA(self.step_size).step(state, batch, generator)


def _as_minibatch(energy: Energy) -> MinibatchEnergy:
    if isinstance(energy, MinibatchEnergy):
        return energy
    raise InputError(
        f"Expected a MinibatchEnergy for SGLD, got {type(energy).__name__}. For an energy without batches take ULA."
    )


@checked
def constant(step_size: Positive) -> Callable[[int], float]:
    """Return the schedule t -> `step_size`; its samples count equally, and keep a bias of order `step_size`."""
    return lambda t: step_size


@checked
def polynomial(a: Positive, b: Positive, gamma: Exponent = 0.55) -> Callable[[int], float]:
    """Return the schedule t -> a (b + t)^-gamma; averages over it weigh each sample by its step size.

    For a, b > 0 and 0.5 < gamma <= 1 the steps sum to infinity, and their squares do not.
    """
    return lambda t: a * (b + t) ** -gamma


@checked
def polynomial_between(
    first: Positive, last: Positive, n_steps: Count, gamma: Exponent = 0.55
) -> Callable[[int], float]:
    """Return the `polynomial` schedule that falls from `first` at t = 0 to `last` < `first` at t = n_steps."""
    if first <= last:
        raise InputError(f"Expected first > last, got {first} and {last}. Steps that do not fall are `constant`.")
    b = n_steps / ((first / last) ** (1 / gamma) - 1)
    return polynomial(first * b**gamma, b, gamma)


@checked
def sgld_variance(step_size: Positive, precision: Positive, gradient_noise: NonNegative = 0.0) -> float:
    """Return the stationary variance of SGLD in a Gaussian posterior, (2 eta + eta^2 V) / (1 - (1 - eta L)^2).

    Parameters
    ----------
    step_size : eta.
    precision : L > 0, one over the variance of the posterior; without gradient noise this is ULA on it.
    gradient_noise : V >= 0 of the gradient of the log posterior.

    Raises
    ------
    InputError
        For eta L >= 2, where nothing is stationary.
    """
    if step_size * precision >= 2:
        raise InputError(f"Expected step_size < 2 / precision = {2 / precision:.3g}, got {step_size}. Take less.")
    return (2 * step_size + step_size**2 * gradient_noise) / (1 - (1 - step_size * precision) ** 2)
