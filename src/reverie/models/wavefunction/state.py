r"""What a wave function on Boltzmann machines is given and gives: bits and bases; amplitudes, averages, outcomes.

    log psi(s) = - F(s) / 2 - i F_phase(s) / 2 + constant,        p(s) = |psi(s)|^2 = exp(-F(s)) / Z

Up to some twenty sites everything is a sum over the 2^n states. Beyond, averages come from chains of block Gibbs
sweeps, with errors that know the autocorrelation; each sweep makes an offer to turn all units around:

    h ~ p(h | s),     s ~ p(s | h),     s -> 1 - s with probability min(1, exp(F(s) - F(1 - s)))

States of a magnet that differ by their sign alone are far apart for single units. With u = b + s W the log odds of the
hidden units, those of the state turned around are u' = 2 b + sum_i W_i - u, and with q = sigmoid(-u) and
q' = sigmoid(-u'), the probabilities that hidden units are off,

    F(s) - F(1 - s) = sum_j log(q_j / q'_j) + sum_i a_i (1 - 2 s_i),

so that the offer takes no product of its own, and the next sweep starts from q or q'.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.core.checks import check_choice, check_positive, check_table
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import child_generator, child_seed
from reverie.core.tables import to_raw
from reverie.core.types import ArrayLike, Energy
from reverie.data.dataset import Dataset
from reverie.networks.boltzmann import BoltzmannEnergy, all_states
from reverie.samplers.chains import Chains
from reverie.samplers.gibbs import GibbsInfo, GibbsState, as_bipartite
from reverie.samplers.run import run

__all__ = ["UNITS", "QuantumState", "TurningGibbs", "as_bases", "as_bits", "gibbs_chains"]

UNITS = {"bits": (0, 1), "spins": (-1, 1)}
_UNIT = 1024  # chains of one seed, so that a sample never depends on how many are drawn
_CHAINS = 500  # that averages are measured with
_BURN_IN = 200  # sweeps before a chain is believed
_AT_ONCE = 16  # sweeps whose random numbers are drawn together: the calls are few, and the memory is bounded


@dataclass(frozen=True)
class TurningGibbs:
    """Sweeps of binary units, each with an offer to turn around, `n_sweeps` in one step."""

    n_sweeps: int = 1

    def init(self, x: Tensor, energy: Energy) -> GibbsState:
        """Return the state of chains at x (chain, n_sites) of bits; `energy` is a binary `BoltzmannEnergy`."""
        check_positive("n_sweeps", self.n_sweeps, integer=True)
        as_bipartite(energy)
        return GibbsState(x)

    @torch.no_grad()
    def step(self, state: GibbsState, energy: Energy, generator: torch.Generator) -> tuple[GibbsState, GibbsInfo]:
        """Return the next state, and which chains turned around in the last sweep."""
        machine = energy
        assert isinstance(machine, BoltzmannEnergy)
        W, a, b = machine.W, machine.visible_bias, machine.hidden_bias
        back, minus_W, minus_b, twice_a, x = W.T.contiguous(), -W, -b, 2 * a[:, None], state.x
        both = 2 * minus_b - W.sum(0)
        off, turned = torch.addmm(minus_b, x, minus_W).sigmoid_(), torch.zeros_like(x[:, :1], dtype=torch.bool)
        for first in range(0, self.n_sweeps, _AT_ONCE):
            rows = (min(_AT_ONCE, self.n_sweeps - first), len(x))
            for_hidden = torch.rand(*rows, W.shape[1], generator=generator, dtype=W.dtype, device=W.device)
            for_visible = torch.rand(*rows, W.shape[0], generator=generator, dtype=W.dtype, device=W.device)
            # the least F(s) - F(1 - s) that turns a chain around, but for the sum over the state's own biases
            least = torch.rand(*rows, 1, generator=generator, dtype=W.dtype, device=W.device).log_() - a.sum()
            for for_h, for_x, least_gain in zip(for_hidden, for_visible, least, strict=True):
                h = torch.ge(for_h, off, out=for_h)
                x = torch.lt(for_x, torch.addmm(a, h, back).sigmoid_(), out=for_x)
                minus_u = torch.addmm(minus_b, x, minus_W)
                off, off_turned = minus_u.sigmoid(), (both - minus_u).sigmoid_()
                turned = least_gain < (off / off_turned).log_().sum(1, keepdim=True) - x @ twice_a
                off = torch.where(turned, off_turned, off)
        return GibbsState(torch.where(turned, 1 - x, x)), GibbsInfo(turned[:, 0].double())


def gibbs_chains(energy: BoltzmannEnergy, *, n_chains: int, n_kept: int, n_gibbs: int, seed: int) -> Chains:
    """Return block Gibbs chains from random bits, after 200 sweeps, `n_gibbs` sweeps between kept positions."""
    generator = child_generator(seed, "chains")
    s = torch.randint(2, (n_chains, energy.W.shape[0]), generator=generator).to(energy.W.dtype)
    return run(TurningGibbs(), s, energy, n_steps=n_kept * n_gibbs, thin=n_gibbs, burn_in=_BURN_IN, generator=generator)


@dataclass(frozen=True, eq=False)
class QuantumState:
    """A state of spins 1/2; s are bits throughout, float64 (batch, n_sites), the first site most significant.

    Parameters
    ----------
    amplitude, phase : the machines, float64; a phase of None makes all amplitudes positive.
    is_summed : whether averages are sums over all states, or over chains.
    n_gibbs : sweeps between two positions of chains.
    """

    amplitude: BoltzmannEnergy
    phase: BoltzmannEnergy | None
    is_summed: bool
    n_gibbs: int

    @torch.no_grad()
    def log_psi(self, s: Tensor) -> Tensor:
        """Return the log of the amplitudes, (batch,), up to a constant; complex with a phase."""
        log_modulus = -self.amplitude(s) / 2
        return log_modulus if self.phase is None else torch.complex(log_modulus, -self.phase(s) / 2)

    def psi(self) -> Tensor:
        """Return the normalised amplitudes of all states, (2^n_sites,)."""
        log_psi = self.log_psi(self._states())
        return torch.exp(log_psi - torch.logsumexp(2 * log_psi.real, dim=0) / 2)

    @torch.no_grad()
    def probabilities(self) -> Tensor:
        """Return p of all states, (2^n_sites,)."""
        return torch.softmax(-self.amplitude(self._states()), dim=0)

    def mean(self, function: Callable[[Tensor], Tensor], n_samples: int, seed: int) -> Measured:
        """Return the mean of a function of s, (batch, n_sites) -> (batch,): over chains with a standard error."""
        with torch.no_grad():
            if self.is_summed:
                return Measured(float(self.probabilities() @ function(self._states())), 0.0)
            return self._chains(_CHAINS, max(4, -(-n_samples // _CHAINS)), seed).mean(function)

    def outcomes(self, n_samples: int, seed: int) -> Tensor:
        """Return outcomes in the basis Z, (n_samples, n_sites); the first k of n do not depend on n."""
        if self.is_summed:
            cumulative = np.cumsum(self.probabilities().numpy())
            places = np.random.default_rng(seed).random(n_samples) * cumulative[-1]
            return self._states()[np.searchsorted(cumulative, places, side="right")]
        n_units = -(-n_samples // _UNIT)
        return torch.cat([self._chains(_UNIT, 1, child_seed(seed, k)).x[-1] for k in range(n_units)])[:n_samples]

    def weighted_states(self, n_samples: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield states and their probabilities under the present weights: all states, or those of chains that go on."""
        if self.is_summed:
            while True:
                yield self._states(), self.probabilities()
        generator = child_generator(seed, "noise")
        s = self._chains(n_samples, 1, child_seed(seed, "first")).x[-1]
        p = torch.full((n_samples,), 1 / n_samples, dtype=torch.float64)
        while True:
            yield s, p
            s = run(TurningGibbs(self.n_gibbs), s, self.amplitude, n_steps=1, generator=generator).x[0]

    def _states(self) -> Tensor:
        return all_states(self.amplitude.W.shape[0])

    def _chains(self, n_chains: int, n_kept: int, seed: int) -> Chains:
        return gibbs_chains(self.amplitude, n_chains=n_chains, n_kept=n_kept, n_gibbs=self.n_gibbs, seed=seed)


def as_bits(X: ArrayLike, units: str, n_sites: int | None = None) -> Tensor:
    """Return rows X of `units` "bits" or "spins" = 1 - 2 bit as float64 bits (batch, n_sites)."""
    low, high = check_choice("units", units, UNITS)
    values = np.asarray(X.values if isinstance(X, Dataset) else to_raw(X).values)
    check_table(values, min_rows=1)
    if values.ndim != 2 or not np.isin(values, (low, high)).all():
        other = "spins" if units == "bits" else "bits"
        raise InputError(
            f"Expected {units} {low} and {high}, (n_samples, n_sites), got shape {values.shape} with values from "
            f"{values.min()} to {values.max()}. For {other} set units={other!r}."
        )
    if n_sites is not None and values.shape[1] != n_sites:
        raise InputError(f"Expected {n_sites} sites as in fit, got {values.shape[1]}. Columns are sites.")
    exact = torch.from_numpy(values.astype(np.float64))
    return exact if units == "bits" else (1 - exact) / 2


def as_bases(bases: Sequence[str] | None, n_samples: int, n_sites: int) -> np.ndarray:
    """Return the basis of each row as a word of letters X, Y, Z, (n_samples,); None is Z for all."""
    names = np.full(n_samples, "Z" * n_sites) if bases is None else np.asarray([str(b) for b in bases])
    wrong = [b for b in names if len(b) != n_sites or set(b) - set("XYZ")]
    if len(names) != n_samples or wrong:
        example = f", one of them {str(wrong[0])!r}" if wrong else ""
        raise InputError(
            f"Expected a basis of {n_sites} letters X, Y, Z for each of {n_samples} rows, got {len(names)} bases"
            f"{example}. Write one letter a site, such as 'XZ'."
        )
    return names
