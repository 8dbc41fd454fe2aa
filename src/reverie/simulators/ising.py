"""The two-dimensional Ising model as a source of configurations.

    H = - sum_<ij> s_i s_j - field sum_i s_i,     p(s) = exp(-beta H) / Z,     J = k_B = 1, periodic edges.

Independent configurations come from parallel chains of Swendsen-Wang cluster updates, each followed by a
checkerboard Metropolis sweep: the cluster update forgets what is large, the sweep what is small. Everything that
decides their quality is measured on them. With tau the largest integrated autocorrelation time of e, m and |m|,

    equilibration   goes on, in stretches of doubled length, until a stretch is 10 tau or longer; so the
                    chains have taken about 20 tau steps before the first one is kept;
    thinning        keeps every ceil(4 tau)-th step: an exponential correlation falls below exp(-4) = 0.02.

Exact values: `reverie.simulators.ising_exact`. Averages with errors: `reverie.simulators.averages`.
"""

import math
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

import torch
from torch import Tensor

from reverie.core.arguments import Count, Interval, check_fields, checked
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.protocols import AnyKernel
from reverie.core.random import as_seed, child_generator
from reverie.core.resources import check_memory
from reverie.core.series import autocorrelation_time
from reverie.core.types import RandomState
from reverie.data.observables import abs_magnetisation, magnetisation
from reverie.samplers import Checkerboard, Cycle, IsingEnergy, SwendsenWang, Wolff, run, steps
from reverie.simulators.ising_exact import CRITICAL_BETA, Beta

__all__ = ["SAMPLERS", "Ising"]

_EXACT = Cycle((SwendsenWang(), Checkerboard()))
SAMPLERS: dict[str, AnyKernel] = {
    "swendsen_wang": SwendsenWang(),
    "wolff": Wolff(),
    "metropolis": Checkerboard(),
    "heat_bath": Checkerboard("heat_bath"),
    "cycle": _EXACT,
}
_SITES = 2**17  # of all parallel chains together: fills the cache, not the memory
_FEWEST_CHAINS = 16  # so that tau is known to some 20 % even for a handful of configurations
_FIRST_STRETCH, _LONGEST_STRETCH = 32, 1 << 16  # steps


@dataclass(frozen=True)
class Ising:
    """Ising model on a square lattice with periodic edges. Raises `InputError` for values out of range.

    Parameters
    ----------
    side : sites along an edge, >= 2.
    beta : inverse temperature in units of 1/J, >= 0.
    field : external field in units of J.

    Examples
    --------
    >>> spins = Ising(side=8, beta=0.3).sample(100, random_state=0)
    >>> spins.shape
    torch.Size([100, 8, 8])
    """

    side: Annotated[int, Interval(2)]
    beta: Beta
    field: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def reduced_energy(self) -> IsingEnergy:
        """E = beta H, the function of `reverie.core.types`: log p = -E - log Z. This is what samplers take."""
        return IsingEnergy(float(self.beta), float(self.field))

    def energy(self, spins: Tensor) -> Tensor:
        """Return the physical energy H of the whole lattice in units of J, (batch, side, side) -> (batch,) float64.

        Raises `InputError` if the lattices have another side.
        """
        if spins.ndim != 3 or spins.shape[1:] != (self.side, self.side):
            got = tuple(spins.shape)
            raise InputError(f"Expected spins (batch, {self.side}, {self.side}), got {got}. Give one lattice per row.")
        return IsingEnergy(1.0, float(self.field))(spins)

    @checked
    def sample(
        self, n: Count, random_state: RandomState = None, *, independent: bool = True, sampler: str = "cycle"
    ) -> Tensor:
        """Return configurations (n, side, side) of +-1, float32.

        Parameters
        ----------
        n : number of configurations.
        independent : nearly independent configurations, equilibrated and thinned as the module says, in an order
            without meaning. False gives one equilibrated chain, every step of it, in order: correlated on purpose.
        sampler : kernel of the chains: "cycle", "swendsen_wang", "wolff", "metropolis" or "heat_bath". Local
            kernels are slow near the critical point and may hold on to one sign below it.
        """
        kernel = check_choice("sampler", sampler, SAMPLERS)
        if sampler == "metropolis" and self.field == 0 and (self.side == 2 or self.beta == 0):
            raise InputError(
                "Expected another sampler than 'metropolis' for side 2 or beta 0 without a field, where every spin "
                "without a field about it flips at each step and some states are never reached. Take 'heat_bath'."
            )
        generator = child_generator(as_seed(random_state), "ising")
        n_chains = max(min(int(n), _SITES // self.side**2), _FEWEST_CHAINS)
        size = 4 * self.side**2 * (int(n) + 16 * n_chains)  # of an update: a cluster number and bonds of each site
        check_memory(size, f"{n} lattices of {self.side} x {self.side}", "Choose a smaller side, or fewer at a time.")
        if independent:
            x, thin = self._equilibrate(kernel, n_chains, generator)
            n_steps = -(-int(n) // n_chains) * thin
        else:
            x, thin, n_steps = self._equilibrate(_EXACT, _FEWEST_CHAINS, generator)[0][:1], 1, int(n)
        chains = run(kernel, x, self.reduced_energy, n_steps=n_steps, thin=thin, generator=generator)
        return chains.pooled()[:n].clone()

    def _equilibrate(self, kernel: AnyKernel, n_chains: int, generator: torch.Generator) -> tuple[Tensor, int]:
        """Return positions of equilibrated chains and how many steps make them independent."""
        x = torch.ones(n_chains, self.side, self.side)
        if self.beta < CRITICAL_BETA:
            x = x - 2 * torch.randint(2, x.shape, generator=generator)
        observables = (self.reduced_energy, magnetisation, abs_magnetisation)
        length = _FIRST_STRETCH
        while True:  # no path is stored, and tau is that of the second half
            series: list[list[Tensor]] = [[] for _ in observables]
            for i, (state, _) in enumerate(islice(steps(kernel, x, self.reduced_energy, generator=generator), length)):
                x = state.x
                if i >= length // 2:
                    for values, observable in zip(series, observables, strict=True):
                        values.append(observable(x))
            tau = max(autocorrelation_time(torch.stack(values, dim=1).double().numpy()).value for values in series)
            if length >= 10 * tau:
                return x, math.ceil(4 * tau)
            if length >= _LONGEST_STRETCH:
                raise InputError(
                    f"Expected chains that forget where they began, got an autocorrelation time of {tau:.3g} steps "
                    f"after {length:,}. Take sampler='cycle', or a field."
                )
            length *= 2
