r"""The energy of a restricted Boltzmann machine: visible units v, hidden units h in {0, 1}, nothing within a layer.

Binary visible units, v in {0, 1}:

    E(v, h) = - a.v - b.h - v^T W h
    p(h_j = 1 | v) = sigmoid(b + v W)_j          p(v_i = 1 | h) = sigmoid(a + W h)_i
    F(v) = - a.v - sum_j softplus(b + v W)_j                p(v) = exp(-F(v)) / Z
    F(h) = - b.h - sum_i softplus(a + W h)_i                p(h) = exp(-F(h)) / Z

Gaussian visible units of variance s^2, v real (the convention v_i W_ij / s_i^2; others write v_i W_ij / s_i):

    E(v, h) = sum_i (v_i - a_i)^2 / (2 s_i^2) - b.h - (v / s^2)^T W h
    p(h_j = 1 | v) = sigmoid(b + (v / s^2) W)_j             p(v | h) = N(a + W h, s^2)
    F(v) = sum_i (v_i - a_i)^2 / (2 s_i^2) - sum_j softplus(b + (v / s^2) W)_j
    F(h) = - b.h - sum_i { log(2 pi s_i^2) / 2 + [(a + W h)_i^2 - a_i^2] / (2 s_i^2) }

so p(v) is a mixture of 2^n_hidden Gaussians. W is visible x hidden throughout. F(v) and F(h) have the same Z.

Exact sums run over all states k of the smaller layer, in blocks, the other layer being summed analytically:

    log Z = log sum_k exp(-F(k)),     p_k = exp(-F(k)) / Z.

State k has the binary digits of k as its units, the first unit most significant. 2^20 states of 16 units take a second;
twenty units are the limit here.

The pseudo-likelihood of binary units needs no Z. It is the sum over units of the log-probability of each given all
others, a bound on nothing, but its maximum is where that of the likelihood is:

    sum_i log p(v_i | v_-i) = sum_i log sigmoid(F(v with unit i flipped) - F(v)).

Amplitudes psi of qubits stand in the order of the states. Measured in the basis "XZ...", the first qubit along X, the
second along Z and so on, the outcome s has the probability |psi_b(s)|^2 with

    psi_b = (U_1 x U_2 x ... x U_n) psi,
    U_Z = 1,     U_X = [[1, 1], [1, -1]] / sqrt 2,     U_Y = [[1, -i], [1, i]] / sqrt 2,

bit 0 for the eigenvalue +1. The conjugate of U_Y is a common error: it exchanges the outcomes of Y.

References
----------
Smolensky (1986); Hinton, Neural Computation 14, 1771 (2002); Cho, Ilin and Raiko, ICANN 2011 (Gaussian units);
Besag, The Statistician 24, 179 (1975) (pseudo-likelihood); Torlai et al., Nature Phys. 14, 447 (2018) (bases).
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.products import product
from reverie.core.types import ArrayLike

__all__ = [
    "BoltzmannEnergy",
    "MOST_UNITS",
    "VISIBLE",
    "all_states",
    "bernoulli",
    "log_partition",
    "log_partition_of",
    "normalised_amplitudes",
    "pseudo_log_likelihood",
    "rotate",
    "smaller_layer",
    "state_blocks",
    "state_number",
]

VISIBLE = ("binary", "gaussian")


class BoltzmannEnergy(nn.Module):
    """Energy of a restricted Boltzmann machine; called on v it is the free energy F(v), log p(v) = -F(v) - log Z.

    Parameters
    ----------
    n_visible, n_hidden : units of the two layers.
    visible : "binary", v in {0, 1}, or "gaussian", v real.

    Attributes
    ----------
    W : (visible, hidden) weights, zero at first.
    visible_bias, hidden_bias : a (visible,) and b (hidden,), zero at first.
    log_variance : log s^2 (visible,) of Gaussian units, zero at first; None for binary ones.
    """

    log_variance: nn.Parameter | None

    def __init__(self, n_visible: int, n_hidden: int, *, visible: str = "binary") -> None:
        super().__init__()
        check_choice("visible", visible, dict.fromkeys(VISIBLE, True))
        self.visible = visible
        self.W = nn.Parameter(torch.zeros(n_visible, n_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(n_visible))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden))
        gaussian = nn.Parameter(torch.zeros(n_visible)) if visible == "gaussian" else None
        self.register_parameter("log_variance", gaussian)

    @property
    def sums_over_visible(self) -> bool:
        """Whether exact sums run over the visible layer, the smaller one; over Gaussian units they cannot."""
        return self.log_variance is None and self.W.shape[0] < self.W.shape[1]

    def forward(self, v: Tensor) -> Tensor:
        """Return the free energy F(v) of v (batch, visible), (batch,)."""
        return self.visible_term(v) - softplus(self.hidden_input(v)).sum(dim=1)

    def joint(self, v: Tensor, h: Tensor) -> Tensor:
        """Return E(v, h) of v (batch, visible) and h (batch, hidden), (batch,)."""
        return self.visible_term(v) - (h * self.hidden_input(v)).sum(dim=1)

    def hidden_free_energy(self, h: Tensor) -> Tensor:
        """Return F(h) of h (batch, hidden), (batch,): -log of the sum or integral of exp(-E) over v."""
        x = self.visible_input(h)
        if self.log_variance is None:
            return -(h @ self.hidden_bias) - softplus(x).sum(dim=1)
        shift = (x.square() - self.visible_bias.square()) * (-self.log_variance).exp() / 2
        volume = (self.log_variance + math.log(2 * math.pi)).sum() / 2
        return -(h @ self.hidden_bias) - shift.sum(dim=1) - volume

    def visible_term(self, v: Tensor) -> Tensor:
        """Return the part of E(v, h) that does not depend on h, (batch,)."""
        if self.log_variance is None:
            return -(v @ self.visible_bias)
        return ((v - self.visible_bias).square() * (-self.log_variance).exp()).sum(dim=1) / 2

    def hidden_input(self, v: Tensor) -> Tensor:
        """Return b + v W, or b + (v / s^2) W, (batch, hidden): the log odds of each hidden unit given v."""
        scaled = v if self.log_variance is None else v * (-self.log_variance).exp()
        return _affine(scaled, self.W, self.hidden_bias)

    def visible_input(self, h: Tensor) -> Tensor:
        """Return a + W h, (batch, visible): the log odds of binary units given h, the mean of Gaussian ones."""
        return _affine(h, self.W.T, self.visible_bias)

    def hidden_mean(self, v: Tensor) -> Tensor:
        """Return the mean of h given v, (batch, hidden)."""
        return self.hidden_input(v).sigmoid()

    def visible_mean(self, h: Tensor) -> Tensor:
        """Return the mean of v given h, (batch, visible)."""
        x = self.visible_input(h)
        return x.sigmoid() if self.log_variance is None else x

    @torch.no_grad()
    def sample_hidden(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """Return h drawn given v, (batch, hidden) of 0 and 1."""
        return bernoulli(self.hidden_mean(v), generator)

    @torch.no_grad()
    def sample_visible(self, h: Tensor, generator: torch.Generator) -> Tensor:
        """Return v drawn given h, (batch, visible)."""
        mean = self.visible_mean(h)
        if self.log_variance is None:
            return bernoulli(mean, generator)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + noise * (self.log_variance / 2).exp()


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x W + b; the fast product knows no gradient."""
    return torch.addmm(bias, x, weight) if torch.is_grad_enabled() else product(x, weight, bias)


def bernoulli(p: Tensor, generator: torch.Generator) -> Tensor:
    """Return 0 and 1 of the type of `p`; comparing uniforms in place is four times as fast as `torch.bernoulli`."""
    uniform = torch.rand(p.shape, generator=generator, dtype=p.dtype, device=p.device)
    return torch.lt(uniform, p, out=uniform)


MOST_UNITS = 20
_BLOCK = 1 << 14  # states at once
_NUMBERS_AT_ONCE = 1 << 22  # of a pseudo-likelihood


def state_blocks(n_units: int, *, dtype: torch.dtype = torch.float64) -> Iterator[Tensor]:
    """Yield all states of `n_units` units 0 and 1 in order, in blocks (batch, n_units).

    Raises `InputError` for more than 20 units.
    """
    if not 0 < n_units <= MOST_UNITS:
        raise InputError(
            f"Expected at most {MOST_UNITS} units to enumerate, got {n_units}. Estimate the sum instead: method='ais'."
        )
    places = torch.arange(n_units - 1, -1, -1)
    for first in range(0, 1 << n_units, _BLOCK):
        numbers = torch.arange(first, min(first + _BLOCK, 1 << n_units))
        yield ((numbers[:, None] >> places) & 1).to(dtype)


def all_states(n_units: int, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return all states of `n_units` units, (2^n_units, n_units); errors as `state_blocks`."""
    return torch.cat(list(state_blocks(n_units, dtype=dtype)))


def state_number(states: Tensor) -> Tensor:
    """Return the number of each state (batch, units) of 0 and 1, (batch,) int64, the first unit most significant."""
    places = torch.arange(states.shape[1] - 1, -1, -1, device=states.device)
    return (states.to(torch.int64) << places).sum(dim=1)


def log_partition_of(energy: Callable[[Tensor], Tensor], n_units: int, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return log sum_k exp(-E(k)) over all states of `n_units` units, a float64 scalar; differentiable.

    The energy takes states (batch, n_units) of type `dtype`. Raises `InputError` for more than 20 units.
    """
    parts = [torch.logsumexp(-energy(block).double(), dim=0) for block in state_blocks(n_units, dtype=dtype)]
    return torch.logsumexp(torch.stack(parts), dim=0)


def smaller_layer(energy: BoltzmannEnergy) -> int:
    """Return the number of units that exact sums enumerate: the hidden ones with Gaussian visible units."""
    return energy.W.shape[0 if energy.sums_over_visible else 1]


def log_partition(energy: BoltzmannEnergy) -> Tensor:
    """Return the exact log Z of a restricted Boltzmann machine, a float64 scalar; differentiable.

    The smaller layer is enumerated; of Gaussian visible units always the hidden one. Raises `InputError` when that
    layer has more than 20 units.
    """
    free_energy = energy if energy.sums_over_visible else energy.hidden_free_energy
    return log_partition_of(free_energy, smaller_layer(energy), dtype=energy.W.dtype)


@torch.no_grad()
def pseudo_log_likelihood(energy: BoltzmannEnergy, v: Tensor) -> Tensor:
    """Return sum_i log p(v_i | v_-i) of v (batch, visible), (batch,) float64, over all units exactly.

    Raises `InputError` for Gaussian units, whose conditional densities are no logistic function.
    """
    if energy.log_variance is not None:
        raise InputError("Expected binary units for a pseudo-likelihood, got Gaussian ones. Take score_samples.")
    sums = []
    for block in v.split(max(1, _NUMBERS_AT_ONCE // energy.W.numel())):
        step = (1 - 2 * block)[:, :, None]  # of each unit when it is flipped, (batch, visible, 1)
        x = energy.hidden_input(block)[:, None, :]
        change = softplus(x + step * energy.W).sum(2) - softplus(x).sum(2)  # of log p*, but for the visible bias
        change = change + step[:, :, 0] * energy.visible_bias
        sums.append(logsigmoid(-change.double()).sum(1))
    return torch.cat(sums)


_S = 1 / math.sqrt(2)
_UNITARY = {"X": [[_S, _S], [_S, -_S]], "Y": [[_S, -1j * _S], [_S, 1j * _S]]}


def normalised_amplitudes(psi: ArrayLike, n_sites: int | None = None) -> np.ndarray:
    """Return amplitudes psi (2^n,) of n sites, an array or a tensor, with norm one.

    Raises `InputError` for another length, up to 20 sites where `n_sites` is None, and for what has no finite norm.
    """
    array = psi.detach().cpu().numpy() if isinstance(psi, Tensor) else np.asarray(psi)
    lengths = [1 << n for n in (range(1, MOST_UNITS + 1) if n_sites is None else [n_sites])]
    norm = float(np.linalg.norm(array)) if array.ndim == 1 and len(array) in lengths else 0.0
    if not (np.isfinite(norm) and norm > 0):
        size, sites = ("2^n", "n") if n_sites is None else (1 << n_sites, n_sites)
        raise InputError(
            f"Expected {size} finite amplitudes of {sites} sites, not all zero, got shape {array.shape} and norm "
            f"{norm:g}. The first site is the most significant bit."
        )
    return array / norm


def rotate(psi: Tensor, basis: str) -> Tensor:
    """Return amplitudes psi (*batch, 2^n) of the basis Z in the basis of n letters X, Y, Z, complex128; differentiable.

    Raises `InputError` for another letter, or a number of letters that does not belong to the number of amplitudes.
    """
    n = len(basis)
    if set(basis) - set("XYZ") or psi.shape[-1] != 1 << n:
        raise InputError(
            f"Expected one letter X, Y or Z for each qubit, got {basis!r} for {psi.shape[-1]} amplitudes. "
            "Amplitudes are 2^n for n qubits."
        )
    batch = psi.shape[:-1]
    turned = psi.to(torch.complex128).reshape(-1, 1 << n)
    for site, letter in enumerate(basis):
        if letter != "Z":
            unitary = torch.tensor(_UNITARY[letter], dtype=torch.complex128)
            turned = unitary @ turned.reshape(-1, 2, 1 << (n - 1 - site))  # the qubit of this site in the middle
    return turned.reshape(*batch, -1)
