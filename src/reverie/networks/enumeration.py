"""Exact sums over all states of a layer of units 0 and 1, in blocks.

For an energy E over {0, 1}^n, state k has the binary digits of k as its units, the first unit most significant, and

    log Z = log sum_k exp(-E(k)),     p_k = exp(-E(k)) / Z.

A restricted Boltzmann machine sums over its smaller layer, the other being summed analytically
(`reverie.networks.boltzmann`). 2^20 states of 16 units take a second; twenty units are the limit here.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.networks.boltzmann import BoltzmannEnergy

__all__ = ["MOST_UNITS", "all_states", "log_partition", "log_partition_of", "state_blocks", "state_number"]

MOST_UNITS = 20
_BLOCK = 1 << 14  # states at once


def state_blocks(n_units: int, *, dtype: torch.dtype = torch.float64) -> Iterator[Tensor]:
    """Yield all states of `n_units` units 0 and 1 in order, in blocks (batch, n_units).

    Raises
    ------
    InputError
        For more than 20 units.
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

    Parameters
    ----------
    energy : (batch, n_units) of 0 and 1 -> (batch,).
    n_units : at most 20.
    dtype : of the states that the energy is given.

    Raises
    ------
    InputError
        For more than 20 units.
    """
    parts = [torch.logsumexp(-energy(block).double(), dim=0) for block in state_blocks(n_units, dtype=dtype)]
    return torch.logsumexp(torch.stack(parts), dim=0)


def log_partition(energy: BoltzmannEnergy) -> Tensor:
    """Return the exact log Z of a restricted Boltzmann machine, a float64 scalar; differentiable.

    The smaller layer is enumerated; of Gaussian visible units always the hidden one.

    Raises
    ------
    InputError
        When that layer has more than 20 units.
    """
    n_visible, n_hidden = energy.W.shape
    if energy.log_variance is None and n_visible < n_hidden:
        return log_partition_of(energy, n_visible, dtype=energy.W.dtype)
    return log_partition_of(energy.hidden_free_energy, n_hidden, dtype=energy.W.dtype)
