r"""log Z of an energy-based model, and how well it does on events that it does not learn.

log Z = log of the integral of exp(-E). One or two features: midpoint sums over a box that holds the events and a
margin, with n and with n / 2 cells per axis. Their difference bounds the error of the finer one where E is smooth. A
probability in the outer twentieth on any side says that the box is too small; it is grown until there is next to none.

More features: annealed importance sampling both ways (`reverie.samplers.annealing`) along

    E_beta(x) = (1 - beta) |x|^2 / (2 s^2) + beta E(x),     log Z_0 = d log(2 pi s^2) / 2,

each step a Metropolis-adjusted Langevin step, so that every E_beta is left invariant. Inverse step sizes go linearly
from that of the normal distribution to that found for E, as the curvature of E_beta does. Forward chains start from
independent normal draws, backward ones go on from chains of the model, after some more steps:

    log Z = bridge, or forward where that is more than log 100 above it

The bridge (Bennett) is sharp as long as those chains are samples of E. A model that learns events by heart digs wells
that they do not find, and one forward chain that does shows it: the mean forward weight is Z / Z_0 on average, whatever
the chains do, so by Markov's inequality it is more than a hundred times too large with a probability below 0.01.
Where that happens, the difference of the two is the error.

The held-out loss of a state is <E> + log Z over held-out events: minus the log density of their whitened features in
nats, so it can be compared from check to check. The gap between held-out and training events needs no log Z, which
both share,

    gap = <E>_held-out - <E>_train = <log p>_train - <log p>_held-out,

and is zero, within its error, for a model that knows no event by heart. It is no criterion by itself, for it is least
before the first step, but it tells of overfitting where log Z is too uncertain to.

References
----------
Neal, Stat. Comput. 11, 125 (2001), physics/9803008; Bennett, J. Comput. Phys. 22, 245 (1976);
Grosse, Ghahramani and Adams, arXiv:1511.02543 (bounds from both ways).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.measured import Measured, measured_mean
from reverie.core.types import Energy
from reverie.samplers.annealing import anneal, annealed_estimate, bridge, schedule
from reverie.samplers.langevin import MALAState, energy_and_gradient, log_acceptance
from reverie.samplers.metropolis import accept

__all__ = ["EnergyPath", "LogZ", "annealed_log_z", "energy_gap", "energy_log_z", "grid_log_z", "signs_of_overfitting"]

_AT_ONCE = 1 << 16  # points whose energies are computed together
_MARGIN = 0.25  # of the width of the events, on both sides
_RIM, _NEXT_TO_NONE = 20, 1e-6  # the outer twentieth of the box, and the probability there that is next to none
_SEARCHED = 100  # cells per axis while the box is sought
_MOST_GROWTHS = 6
_NORMAL_STEP = 1.36  # eta of N(0, 1) in d dimensions is (1.65^2 / 2) d^(-1/3): Roberts and Rosenthal (1998)
_SETTLING = 20  # steps of the backward chains before they leave
_RARELY = math.log(100.0)  # a mean weight is so much too large with a probability below 0.01
_VAGUE = 0.5  # nats: a surer log Z needs no warning
_BY_HEART = 4.0  # standard errors of the gap


@dataclass(frozen=True)
class LogZ:
    """The log of the normalising constant of an energy over whitened features, and its error, in nats.

    `ess` is the effective number of forward chains, None where a grid was summed; `warning` what is doubtful.
    """

    value: float
    error: float
    ess: float | None = None
    warning: str = ""


def energy_log_z(
    energy: Energy,
    chains: Tensor,
    *,
    events: Tensor | None = None,
    n_cells: int = 1000,
    step_size: float,
    spread: float,
    n_temperatures: int,
    n_chains: int,
    generator: torch.Generator,
) -> LogZ:
    """Return log Z of an energy: on a grid for one or two features, else by annealing both ways.

    Parameters
    ----------
    energy : (batch, *event) -> (batch,).
    chains : (chain, *event) samples of the energy.
    events, n_cells : rows (batch, d) around which the box of the grid is laid, by default the chains; cells per axis.
    step_size, spread : eta of a Langevin step on the energy, and s of the normal distribution.
    n_temperatures, n_chains, generator : of the annealing, each way.
    """
    if chains[0].numel() <= 2:
        return LogZ(*grid_log_z(energy, chains if events is None else events, n_cells))
    path = EnergyPath(energy, tuple(chains.shape[1:]), step_size=step_size, spread=spread)
    return annealed_log_z(path, chains, n_temperatures=n_temperatures, n_chains=n_chains, generator=generator)


@torch.no_grad()
def grid_log_z(energy: Energy, x: Tensor, n: int = 1000) -> tuple[float, float]:
    """Return log Z of an energy of one or two features and its numerical error, in nats.

    The box is laid around events x (batch, d) and has n cells per axis, an even number.
    """
    low, high = x.amin(0), x.amax(0)
    width = (high - low).clamp(min=1.0)
    for growth in range(_MOST_GROWTHS):
        margin = _MARGIN * 2**growth * width
        low, high = low - margin, high + margin
        if _sum(energy, low, high, _SEARCHED)[1] < _NEXT_TO_NONE:
            break
    (fine, outside), (coarse, _) = (_sum(energy, low, high, cells) for cells in (n, n // 2))
    return fine, abs(fine - coarse) + outside


def _sum(energy: Energy, low: Tensor, high: Tensor, n: int) -> tuple[float, float]:
    """Return log of the midpoint sum over a box, and the share of its rim."""
    places = (torch.arange(n, dtype=low.dtype, device=low.device) + 0.5) / n
    axes = [a + (b - a) * places for a, b in zip(low, high, strict=True)]
    points = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    minus = torch.cat([-energy(part).double() for part in points.split(_AT_ONCE)])
    log_z = torch.logsumexp(minus, 0)
    cells = (minus - log_z).exp().reshape(*[n] * len(axes))
    within = slice(n // _RIM, n - n // _RIM)
    inner = cells[within] if len(axes) == 1 else cells[within, within]
    return float(log_z + ((high - low) / n).double().log().sum()), float(1 - inner.sum())


class EnergyPath:
    """The path from a normal distribution of width `spread` to an energy; a `reverie.samplers.annealing.Path`.

    `step_size` is eta of a Langevin step on the energy, (chain, *event) -> (chain,).
    """

    def __init__(self, energy: Energy, event_shape: tuple[int, ...], *, step_size: float, spread: float = 1.0) -> None:
        self.energy, self.event_shape, self.spread = energy, event_shape, spread
        first = _NORMAL_STEP * spread**2 * math.prod(event_shape) ** (-1 / 3)
        self._inverse_steps = 1 / first, 1 / step_size

    @property
    def log_z0(self) -> float:
        """Log Z at beta = 0."""
        return 0.5 * math.prod(self.event_shape) * math.log(2 * math.pi * self.spread**2)

    def start(self, n_chains: int, generator: torch.Generator) -> MALAState:
        """Return independent draws at beta = 0, with energies and gradients of the energy at beta = 1."""
        shape = (n_chains, *self.event_shape)
        return self.at(self.spread * torch.randn(*shape, generator=generator, device=generator.device))

    def at(self, x: Tensor) -> MALAState:
        """Return the state of chains at x (chain, *event)."""
        return MALAState(x, *energy_and_gradient(self.energy, x))

    def log_weight(self, state: MALAState, beta: float, to: float) -> Tensor:
        """Return log p*_to - log p*_beta at the chains, (chain,) float64."""
        return (to - beta) * (self._normal(state.x) - state.energy).double()

    def move(self, state: MALAState, beta: float, generator: torch.Generator) -> MALAState:
        """Return chains after one Metropolis-adjusted Langevin step at `beta`; one gradient of the energy."""
        a, b = self._inverse_steps
        eta, x = 1 / ((1 - beta) * a + beta * b), state.x
        here = self._between(state, beta)
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        proposed = self.at(x - eta * here.gradient + (2 * eta) ** 0.5 * noise)
        uniform = torch.rand(len(x), generator=generator, device=x.device, dtype=torch.float64)
        accepted = uniform.log() < log_acceptance(here, self._between(proposed, beta), eta, noise)
        return accept(accepted, proposed, state)

    def _between(self, state: MALAState, beta: float) -> MALAState:
        """Return energies and gradients of E_beta."""
        energy = (1 - beta) * self._normal(state.x) + beta * state.energy
        return MALAState(state.x, energy, (1 - beta) / self.spread**2 * state.x + beta * state.gradient)

    def _normal(self, x: Tensor) -> Tensor:
        return x.flatten(1).square().sum(1) / (2 * self.spread**2)


def annealed_log_z(
    path: EnergyPath, chains: Tensor, *, n_temperatures: int, n_chains: int, generator: torch.Generator
) -> LogZ:
    """Return log Z of the end of `path`, from chains annealed both ways.

    Backward ones begin at `chains` (chain, *event), samples of the energy, of which at most `n_chains` are used.
    """
    n, betas = min(n_chains, len(chains)), schedule(n_temperatures)
    _, forth = anneal(path, path.start(n, generator), betas, generator)
    rows = torch.randperm(len(chains), generator=generator, device=chains.device)[:n]
    state = path.at(chains[rows])
    for _ in range(_SETTLING):
        state = path.move(state, 1.0, generator)
    _, back = anneal(path, state, betas[::-1], generator)
    forward = annealed_estimate(forth, path.log_z0, n_temperatures)
    backward = annealed_estimate(back, path.log_z0, n_temperatures, backwards=True)
    both = bridge(forth, back, path.log_z0)
    value, error = both.value, both.error
    if forward.value - both.value > _RARELY:
        value, error = forward.value, forward.value - both.value
    warning = ""
    if not math.isfinite(value):
        warning = "Annealing failed: energies are not finite along the way."
    elif not error <= _VAGUE:
        warning = (
            f"log Z is known within {error:.2g} nats only: forward chains say {forward.value:.4g}, backward "
            f"ones {backward.value:.4g}. More temperatures (n_temperatures) help, more chains hardly do."
        )
    return LogZ(value, error, forward.ess, warning)


def energy_gap(
    held_out: Tensor, train: Tensor, weight: Tensor | None = None, train_weight: Tensor | None = None
) -> Measured:
    """Return <E>_held-out - <E>_train with its error, from energies (m,) and (n,) of events and their weights."""
    pairs = ((held_out, weight), (train, train_weight))
    of_held_out, of_train = (measured_mean(e.cpu().numpy(), None if w is None else w.cpu().numpy()) for e, w in pairs)
    return Measured(of_held_out.value - of_train.value, math.hypot(of_held_out.error, of_train.error))


def signs_of_overfitting(gap: Measured, log_z_error: float) -> dict[str, tuple[str, str]]:
    """Return the sign "overfitting" with its evidence where the gap tells it and log Z is too uncertain to."""
    if log_z_error <= _VAGUE or gap.value <= _BY_HEART * gap.error:
        return {}
    said = f"Training events are {gap} nats likelier than held-out ones, and log Z is known within {log_z_error:.2g}."
    return {"overfitting": (said, "")}
