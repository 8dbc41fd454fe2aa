"""Langevin kernels: downhill on the energy, with just the noise that makes exp(-E) stationary.

    ULA    x' = x - eta grad E(x) + sqrt(2 eta T) xi,   xi ~ N(0, 1)
    MALA   the same at T = 1, accepted with probability min(1, exp(a)),
           a = E(x) - E(x') - [|x - x' + eta grad E(x')|^2 - |x' - x + eta grad E(x)|^2] / (4 eta)

Here eta is the step size; others write eps / 2 for it, and sqrt(eps) for the noise. MALA leaves exp(-E) / Z
invariant at any step size. ULA does not: of N(0, s^2) it makes variance s^2 / (1 - eta / (2 s^2)) and beyond
eta = 2 s^2 it explodes. T is the temperature that its noise belongs to: the recipe of image models, step 10 and
noise 0.005, is T = 1.25e-6, which is gradient descent and no sample of exp(-E).

References
----------
Roberts and Tweedie, Bernoulli 2, 341 (1996); optimal acceptance 0.574: Roberts and Rosenthal, J. R. Stat. Soc. B
60, 255 (1998); stochastic approximation of it: Andrieu and Thoms, Stat. Comput. 18, 343 (2008).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from reverie.core.arguments import Count, Level, Positive, checked
from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.protocols import AnyKernel
from reverie.core.types import Energy
from reverie.samplers.metropolis import MetropolisInfo, accept

__all__ = [
    "MALA",
    "ULA",
    "MALAInfo",
    "MALAState",
    "StepSize",
    "TunedStepSize",
    "ULAInfo",
    "ULAState",
    "energy_and_gradient",
    "log_acceptance",
    "tuned_step_size",
]

StepSize: TypeAlias = float | Tensor | Callable[[int], float]  # one, one per chain (chain,), or a schedule
MALAInfo: TypeAlias = MetropolisInfo
ULAInfo: TypeAlias = MetropolisInfo  # every chain takes its proposal


def energy_and_gradient(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return E (chain,) and its gradient (chain, *event) at x (chain, *event), both detached."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = energy(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


@dataclass(frozen=True)
class ULAState:
    """State of `ULA`: positions x (chain, *event), and the number of steps taken, which schedules ask for."""

    x: Tensor
    step: int = 0


@dataclass(frozen=True, eq=False)
class ULA:
    """Unadjusted Langevin: every step is taken, at a bias of order `step_size`.

    Parameters
    ----------
    step_size : eta > 0, in the unit of x squared: a number, one for each chain (chain,), or a function of the
        number of steps taken.
    temperature : T >= 0 of the noise; 0 is gradient descent.
    clip : largest length of a chain's gradient, None for no bound. A bound changes the stationary distribution
        wherever it acts. It is for training: a network's energy that grows faster than a parabola outside the
        data throws ULA to infinity at any step size, and there is nothing to sample there yet.
    """

    step_size: StepSize
    temperature: float = 1.0
    clip: float | None = None

    @property
    def is_constant(self) -> bool:
        """Whether every step does the same: not where the step size follows a schedule."""
        return not callable(self.step_size)

    def init(self, x: Tensor, energy: Energy) -> ULAState:  # noqa: ARG002 - the protocol of kernels
        """Return the state of chains at x (chain, *event)."""
        check_step_size(self.step_size, x)
        check_positive("temperature", self.temperature, allow_zero=True)
        if self.clip is not None:
            check_positive("clip", self.clip)
        return ULAState(x)

    def step(self, state: ULAState, energy: Energy, generator: torch.Generator) -> tuple[ULAState, ULAInfo]:
        """Return the next state; every chain moves."""
        x, eta = state.x, step_size_at(self.step_size, state.step, state.x)
        _, gradient = energy_and_gradient(energy, x)
        if self.clip is not None:
            length = gradient.flatten(1).norm(dim=1).reshape(-1, *[1] * (gradient.ndim - 1))
            gradient = gradient * (self.clip / length.clamp(min=self.clip))
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        moved = x - eta * gradient + (2 * self.temperature * eta) ** 0.5 * noise
        return ULAState(moved, state.step + 1), ULAInfo(torch.ones(len(x), device=x.device))


@dataclass(frozen=True)
class MALAState:
    """State of `MALA`: x (chain, *event), E (chain,), grad E (chain, *event), and the number of steps taken."""

    x: Tensor
    energy: Tensor
    gradient: Tensor
    step: int = 0


@dataclass(frozen=True, eq=False)
class MALA:
    """Metropolis-adjusted Langevin: exact at any step size; one gradient a step, as its last is remembered.

    The step size is eta as in `ULA`. At about 0.57 acceptance chains forget fastest: see `tuned_step_size`.
    """

    step_size: StepSize

    @property
    def is_constant(self) -> bool:
        """Whether every step does the same: not where the step size follows a schedule."""
        return not callable(self.step_size)

    def init(self, x: Tensor, energy: Energy) -> MALAState:
        """Return the state of chains at x (chain, *event)."""
        check_step_size(self.step_size, x)
        return MALAState(x, *energy_and_gradient(energy, x))

    def step(self, state: MALAState, energy: Energy, generator: torch.Generator) -> tuple[MALAState, MALAInfo]:
        """Return the next state and whether each chain moved; a proposal whose energy is not finite is refused."""
        x, eta = state.x, step_size_at(self.step_size, state.step, state.x)
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        x = x - eta * state.gradient + (2 * eta) ** 0.5 * noise
        proposed = MALAState(x, *energy_and_gradient(energy, x), state.step + 1)
        uniform = torch.rand(len(x), generator=generator, device=x.device, dtype=torch.float64)
        accepted = uniform.log() < log_acceptance(state, proposed, eta, noise)
        return accept(accepted, proposed, state), MALAInfo(accepted.float())


def log_acceptance(state: MALAState, proposed: MALAState, eta: float | Tensor, noise: Tensor) -> Tensor:
    """Return a of a Langevin proposal with noise xi, (chain,), float64; the way forward is |xi|^2 / 2 exactly."""
    back = (state.x - proposed.x + eta * proposed.gradient) / (2 * eta) ** 0.5
    ways = (back.square() - noise.square()).flatten(1).sum(1, dtype=torch.float64) / 2
    return (state.energy - proposed.energy).double() - ways


def step_size_at(step_size: StepSize, step: int, x: Tensor) -> float | Tensor:
    """Return eta of this step as a number, or shaped to multiply x (chain, *event)."""
    if isinstance(step_size, Tensor):
        return step_size.to(x).reshape(-1, *[1] * (x.ndim - 1))
    return step_size(step) if callable(step_size) else step_size


def check_step_size(step_size: StepSize, x: Tensor) -> None:
    """Raise `InputError` unless the step size is a schedule, a number > 0, or one such number for each chain."""
    if isinstance(step_size, Tensor):
        if step_size.shape != (len(x),) or not bool((step_size > 0).all()):
            raise InputError(
                f"Expected a step size > 0 for each of {len(x)} chains, got shape {tuple(step_size.shape)}. "
                "Give one number, or a tensor (chain,)."
            )
    elif not callable(step_size):
        check_positive("step_size", step_size)


@dataclass(frozen=True, eq=False)
class TunedStepSize:
    """The step size that was found, the acceptance that it gave, and x (chain, *event) where the chains then were."""

    step_size: float
    acceptance: float
    x: Tensor


@checked
def tuned_step_size(
    kernel: Callable[[float], AnyKernel],
    energy: Energy,
    x: Tensor,
    generator: torch.Generator,
    *,
    target_acceptance: Level = 0.574,
    n_steps: Count = 400,
    first: Positive = 0.1,
) -> TunedStepSize:
    """Return the step size at which a kernel accepts the asked share, found along chains from x (chain, *event).

    log eta moves by 2 k^-0.6 (acceptance - target) after step k, and is averaged over the second half. A kernel that
    adapts is no Markov chain: these steps are burn-in, and the result is then held.

    Parameters
    ----------
    kernel : makes a kernel of a step size, such as `MALA`; its info tells `accepted`.
    target_acceptance : 0.574 for `MALA`, 0.234 for `RandomWalk`; both are optimal in many dimensions.
    n_steps : steps to take; the chains agree on one step size, so a few hundred do.
    first : Step size to begin with.
    """
    log_eta, state = math.log(first), kernel(first).init(x, energy)
    kept: list[tuple[float, float]] = []
    for k in range(1, n_steps + 1):
        state, info = kernel(math.exp(log_eta)).step(state, energy, generator)
        acceptance = float(info.accepted.mean())
        kept.append((log_eta, acceptance))
        log_eta += 2 * k**-0.6 * (acceptance - target_acceptance)
    late = kept[n_steps // 2 :]
    mean_log, mean_acceptance = (sum(values) / len(late) for values in zip(*late, strict=True))
    return TunedStepSize(math.exp(mean_log), mean_acceptance, state.x)
