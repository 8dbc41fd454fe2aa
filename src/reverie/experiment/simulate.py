"""Configurations of a simulator into a file, with averages of them beside exact values."""

from pathlib import Path

from torch import Tensor

from reverie.core.errors import FolderError, InputError
from reverie.core.resources import check_memory
from reverie.data import open_sink
from reverie.data.sinks import check_regular
from reverie.simulators import Ising, kaufman, lattice_averages

__all__ = ["simulate_ising"]

MOST_BETA = 1e4
_BLOCK = 4096  # configurations written at once


def simulate_ising(
    path: str | Path,
    n: int,
    *,
    side: int,
    beta: float,
    field: float = 0.0,
    seed: int = 0,
    overwrite: bool = False,
) -> str:
    """Write `n` nearly independent configurations of an Ising model into the file `path`; return a table of averages.

    Parameters
    ----------
    path : File that `reverie.data.open_sink` can write.
    n, seed : Number of configurations, and seed of their randomness.
    side, beta, field : Parameters of `reverie.simulators.Ising`.
    overwrite : Whether a file that is there is replaced.

    Raises
    ------
    InputError
        For values out of range or an unknown suffix.
    FolderError
        If the file is there already.
    """
    path = Path(path)
    check_regular(path)
    if beta > MOST_BETA:
        raise InputError(f"Expected beta of at most {MOST_BETA:,.0f}, got {beta:g}. All spins are alike long before.")
    if path.exists() and not overwrite:
        raise FolderError(f"Expected a new file, got {str(path)!r}, which exists. Give --overwrite or another -o.")
    n_chains = max(n, 16)  # as many at least run side by side
    check_memory(8 * n_chains * side**2, f"{n_chains:,} lattices of {side:,} x {side:,} sites")
    spins = Ising(side=side, beta=beta, field=field).sample(n, random_state=seed)
    with open_sink(path, names=["spin"], event_shape=(side, side), dtype="int8", n_total=n) as sink:
        for block in spins.split(_BLOCK):
            sink.write(block.numpy().astype("int8"))
    return _averages(spins, side, beta, field)


def _averages(spins: Tensor, side: int, beta: float, field: float) -> str:
    """Return averages with errors; without a field the exact energy and specific heat beside them."""
    if len(spins) < 4 or field != 0 or beta == 0:
        return ""
    try:
        exact = kaufman(side, beta)
    except OverflowError:  # sums of exponentials of beta side^2 beyond the range of numbers
        return str(lattice_averages(spins, beta))
    known = f"exact (Kaufman): energy {exact.energy:.6f}, specific heat {exact.specific_heat:.6f} per site"
    return f"{lattice_averages(spins, beta)}\n{known}"
