"""Configurations of a simulator into a file, with averages of them beside exact values."""

from pathlib import Path

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

    The averages have errors; without a field the exact energy and specific heat stand beside them. `side`, `beta` and
    `field` are those of `reverie.simulators.Ising`. Values out of range and an unknown suffix are an `InputError`, a
    file that is there already a `FolderError` unless it is to be overwritten.
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
    if n < 4 or field != 0 or beta == 0:
        return ""
    averages = str(lattice_averages(spins, beta))
    try:
        exact = kaufman(side, beta)
    except OverflowError:  # sums of exponentials of beta side^2 beyond the range of numbers
        return averages
    return f"{averages}\nexact (Kaufman): energy {exact.energy:.6f}, specific heat {exact.specific_heat:.6f} per site"
