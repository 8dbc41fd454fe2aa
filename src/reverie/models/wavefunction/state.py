r"""What can be asked of a wave function on Boltzmann machines: amplitudes, probabilities, averages, outcomes.

    log psi(s) = - F(s) / 2 - i F_phase(s) / 2 + constant,        p(s) = |psi(s)|^2 = exp(-F(s)) / Z

Up to some twenty sites everything is a sum over the 2^n states. Beyond, averages come from block Gibbs chains, with
errors that know the autocorrelation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.core.measured import Measured
from reverie.core.random import child_generator, child_seed
from reverie.models.wavefunction.chains import TurningGibbs, gibbs_chains
from reverie.networks.boltzmann import BoltzmannEnergy, all_states
from reverie.samplers.chains import Chains
from reverie.samplers.run import run

__all__ = ["QuantumState"]

_UNIT = 1024  # chains of one seed, so that a sample never depends on how many are drawn
_CHAINS = 500  # that averages are measured with


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
