r"""Between independent units and a restricted Boltzmann machine: a family of machines at inverse temperature beta.

    log p*_beta(v) = - B(v) + beta D(v) + sum_j softplus(beta x_j),        D(v) = B(v) - A(v)

Here x is the input of the hidden units, A(v) the visible part of the energy of the machine, and B(v) that of the base:
units without couplings that have the means of the data (the base rate), and with Gaussian units their variances,

                        x                     B(v)                            D(v)
    binary              b + v W               - a0.v                          (a - a0).v
    Gaussian            b + (v / s^2) W       sum (v - a0)^2 / (2 s0^2)       B(v) - sum (v - a)^2 / (2 s^2)

beta = 1 is the machine, and at beta = 0 all units are independent, with

    log Z_0 = sum softplus(a0) + n_hidden log 2        or        sum log(2 pi s0^2) / 2 + n_hidden log 2.

At each beta p*_beta is the marginal of a machine, so a Gibbs sweep leaves it invariant:

    h ~ sigmoid(beta x)
    v ~ sigmoid(a0 + beta (a - a0 + W h))
    v ~ N(m / P, 1 / P),    P = (1 - beta) / s0^2 + beta / s^2,    m = (1 - beta) a0 / s0^2 + beta (a + W h) / s^2

The hidden units see beta x, and the marginal has softplus(beta x): neither is beta times something of beta = 1.
Swaps between levels use the joint weight, whose part that beta multiplies is D(v) + x.h.

References
----------
Salakhutdinov and Murray, ICML 2008, doi:10.1145/1390156.1390266.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from reverie.core.products import product
from reverie.networks.boltzmann import BoltzmannEnergy

__all__ = ["BASE_RATE_CLIP", "BoltzmannPath", "Level", "base_rate"]

BASE_RATE_CLIP = 1e-4  # a pixel that is never on in the data must stay possible
_SMALL = 1.0  # |change of beta x| up to which float32 holds the short form of a weight

Beta = float | Tensor  # one number, or (chain, 1)


def base_rate(v: Tensor, visible: str, weight: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Return a0 (visible,) and log s0^2 (visible,), None for binary units, of data v (batch, visible).

    Parameters
    ----------
    v : data, {0, 1} or real.
    visible : "binary" or "gaussian".
    weight : (batch,) of the events, or None.
    """
    mean = v.mean(0) if weight is None else (weight @ v) / weight.sum()
    if visible == "binary":
        return torch.logit(mean.clamp(BASE_RATE_CLIP, 1 - BASE_RATE_CLIP)), None
    square = (v - mean).square()
    variance = square.mean(0) if weight is None else (weight @ square) / weight.sum()
    floor = 1e-4 * variance.mean().clamp(min=1e-12)  # a constant column has the width of a narrow one
    return mean, variance.clamp(min=float(floor)).log()


@dataclass
class Level:
    """Chains on the path.

    Parameters
    ----------
    v : (chain, visible).
    x : (chain, hidden), the inputs of the hidden units at v.
    p : p(h = 1 | v) at inverse temperature `beta`, kept where a weight has asked for it.
    """

    v: Tensor
    x: Tensor
    p: Tensor | None = None
    beta: float = math.nan


class BoltzmannPath:
    """The path to a machine; a `reverie.samplers.annealing.Path`.

    Parameters
    ----------
    energy : the machine at beta = 1.
    base : a0 and log s0^2 (None for binary units), from `base_rate`.
    dtype : type in which chains are moved; weights are summed in float64.
    """

    def __init__(
        self, energy: BoltzmannEnergy, base: tuple[Tensor, Tensor | None], *, dtype: torch.dtype = torch.float32
    ) -> None:
        with torch.no_grad():
            device = energy.W.device
            self.W, self.a, self.b = (p.detach().to(dtype) for p in (energy.W, energy.visible_bias, energy.hidden_bias))
            self.a0 = base[0].to(device, dtype)
            self.precision = None if energy.log_variance is None else (-energy.log_variance.detach()).exp().to(dtype)
            self.precision0 = None if base[1] is None else (-base[1]).exp().to(device, dtype)
            bound = (self.b.abs() + self.W.abs().sum(0)).max() if self.precision is None else math.inf
            self._most_input = float(bound)

    @property
    def log_z0(self) -> float:
        """Log Z at beta = 0."""
        hidden = len(self.b) * math.log(2)
        if self.precision0 is None:
            return float(softplus(self.a0.double()).sum()) + hidden
        return float((math.log(2 * math.pi) - self.precision0.double().log()).sum() / 2) + hidden

    def start(self, n_chains: int, generator: torch.Generator) -> Level:
        """Return independent draws at beta = 0."""
        h = self.b.new_zeros(n_chains, len(self.b))
        return self.at(self.draw_visible(h, 0.0, generator))

    def at(self, v: Tensor) -> Level:
        """Return chains at v (chain, visible)."""
        return Level(v, product(v if self.precision is None else v * self.precision, self.W, self.b))

    def log_weight(self, state: Level, beta: float, to: float) -> Tensor:
        """Return log p*_to(v) - log p*_beta(v), (chain,) float64; keeps p(h | v) at `to` for the move."""
        state.p, state.beta = torch.sigmoid(state.x * to), to
        step = to - beta
        return step * self.excess(state.v).double() + self._hidden_change(state, step, beta, to)

    def _hidden_change(self, state: Level, step: float, beta: float, to: float) -> Tensor:
        """Return sum softplus(to x) - softplus(beta x); the short form reuses p and has no cancellation."""
        assert state.p is not None
        if abs(step) * self._most_input < _SMALL:
            return -torch.expm1(state.x * -step).mul_(state.p).log1p_().sum(1, dtype=torch.float64)
        x = state.x.double()
        return (softplus(to * x) - softplus(beta * x)).sum(1)

    def move(self, state: Level, beta: float, generator: torch.Generator) -> Level:
        """Return chains after a Gibbs sweep at `beta`."""
        p = state.p if state.beta == beta and state.p is not None else torch.sigmoid(state.x * beta)
        return self.at(self.draw_visible(_bits(p, generator), beta, generator))

    def draw_hidden(self, x: Tensor, beta: Beta, generator: torch.Generator) -> Tensor:
        """Return h (chain, hidden) drawn at `beta` given the inputs x."""
        return _bits(torch.sigmoid(x * beta), generator)

    def draw_visible(self, h: Tensor, beta: Beta, generator: torch.Generator) -> Tensor:
        """Return v (chain, visible) drawn at `beta` given h."""
        drive = product(h, self.W.T)
        if self.precision is None or self.precision0 is None:
            return _bits(drive.add_(self.a - self.a0).mul_(beta).add_(self.a0).sigmoid_(), generator)
        own, base = beta * self.precision, (1 - beta) * self.precision0
        total = own + base
        noise = torch.randn(drive.shape, generator=generator, dtype=drive.dtype, device=drive.device)
        return (base * self.a0 + own * (self.a + drive)) / total + noise * total.rsqrt()

    def excess(self, v: Tensor) -> Tensor:
        """Return D(v), (chain,)."""
        if self.precision is None or self.precision0 is None:
            return v @ (self.a - self.a0)
        return ((v - self.a0).square() @ self.precision0 - (v - self.a).square() @ self.precision) / 2

    def scaled_weight(self, v: Tensor, x: Tensor, h: Tensor) -> Tensor:
        """Return the part of the joint log weight of (v, h) that beta multiplies, (chain,) float64."""
        return (self.excess(v) + (x * h).sum(1)).double()


def _bits(p: Tensor, generator: torch.Generator) -> Tensor:
    """Return 0 and 1 of probabilities `p`, of its type."""
    uniform = torch.rand(p.shape, generator=generator, dtype=p.dtype, device=p.device)
    return torch.lt(uniform, p, out=uniform)
