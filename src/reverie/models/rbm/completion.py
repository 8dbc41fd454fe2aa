"""Missing parts of events, drawn by a restricted Boltzmann machine: units that are given are clamped.

The others come from their conditional distribution, p(v_free | v_given), by Gibbs sweeps whose chains start at states
of the machine elsewhere.
"""

from itertools import islice

import torch
from torch import Tensor

from reverie.core.random import child_generator
from reverie.networks.boltzmann import BoltzmannEnergy
from reverie.samplers.gibbs import BlockGibbs
from reverie.samplers.run import steps

__all__ = ["completed_units"]

_ROWS = 1024  # completed at once, with noise of their own


@torch.no_grad()
def completed_units(
    energy: BoltzmannEnergy, states: Tensor, v: Tensor, known: Tensor, *, n_sweeps: int, seed: int, draw: int = 0
) -> Tensor:
    """Return v (batch, visible) with the units that are not known drawn given those that are, float32 or float64.

    Parameters
    ----------
    energy : the machine.
    states : (m, visible) states of the machine, where unknown units start.
    v, known : (batch, visible), units and which of them are known.
    n_sweeps : Gibbs sweeps with the known units clamped.
    seed, draw : root of the noise, and the number of this completion of the same events.
    """
    device, dtype = energy.W.device, energy.W.dtype
    states, completed = states.to(device, dtype), []
    for first in range(0, len(v), _ROWS):
        noise = child_generator(seed, "complete", draw, first, device=device)
        given, clamped = v[first : first + _ROWS].to(device, dtype), known[first : first + _ROWS].to(device)
        index = torch.randint(len(states), (len(given),), generator=noise, device=device)
        chains = steps(BlockGibbs(clamped=clamped), torch.where(clamped, given, states[index]), energy, generator=noise)
        completed += [state.x for state, _ in islice(chains, n_sweeps - 1, n_sweeps)]
    return torch.cat(completed)
