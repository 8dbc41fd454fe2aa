"""Events of a simulator into a file; averages of lattices stand beside exact values."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.core.errors import InputError
from reverie.core.measured import measured_mean
from reverie.core.resources import check_memory
from reverie.data import open_sink
from reverie.data.kinematics import invariant_mass
from reverie.data.sinks import Sink, check_new_file, check_regular
from reverie.experiment.progress import Progress
from reverie.experiment.sampling import open_sample_file
from reverie.simulators import Dimuon, Ising, Jets, ToySets, kaufman, lattice_averages

__all__ = ["simulate_dimuon", "simulate_ising", "simulate_jets", "simulate_toy_sets"]

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
    path = _new_file(path, overwrite=overwrite)
    if beta > MOST_BETA:
        raise InputError(f"Expected beta of at most {MOST_BETA:,.0f}, got {beta:g}. All spins are alike long before.")
    n_chains = max(n, 16)  # as many at least run side by side
    check_memory(8 * n_chains * side**2, f"{n_chains:,} lattices of {side:,} x {side:,} sites")
    spins = Ising(side=side, beta=beta, field=field).sample(n, random_state=seed)
    with open_sink(path, names=["spin"], event_shape=(side, side), dtype="int8", n_total=n) as sink:
        for block in spins.split(_BLOCK):
            sink.write(block.numpy().astype("int8"))
    if n < 4 or field != 0 or beta == 0:
        return "No averages: they are made of four configurations and more, without a field, at beta > 0."
    averages, exact = lattice_averages(spins, beta), kaufman(side, beta)
    return f"{averages}\nexact (Kaufman): energy {exact.energy:.6f}, specific heat {exact.specific_heat:.6f} per site"


def simulate_dimuon(
    path: str | Path,
    n: int,
    *,
    resolution: float,
    min_pt: float,
    max_eta: float,
    seed: int = 0,
    overwrite: bool = False,
) -> str:
    """Write `n` events of two muons into the file `path`; return a summary of their measured mass.

    `resolution`, `min_pt` and `max_eta` are those of `reverie.simulators.Dimuon`. An unknown suffix is an `InputError`,
    a file that is there already a `FolderError` unless it is to be overwritten.
    """
    path = _new_file(path, overwrite=overwrite)
    check_memory(8 * 14 * n, f"{n:,} events of two muons")
    events = Dimuon(resolution=resolution, min_pt=min_pt, max_eta=max_eta).sample(n, random_state=seed)
    with open_sample_file(path, events.schema, n) as sink:
        sink.write(events.values)
    mass = invariant_mass(*torch.tensor(events.values.T))
    low, middle, high = np.quantile(mass.numpy(), [0.16, 0.5, 0.84])
    return f"mass of the pair: median {middle:.2f} GeV, central 68 % from {low:.2f} to {high:.2f} GeV"


def simulate_jets(
    path: str | Path, n: int, *, kind: str, max_size: int, seed: int = 0, overwrite: bool = False, quiet: bool = False
) -> str:
    """Write `n` jets and their columns jet_pt, jet_eta, jet_mass and jet_type into the file `path`; return a summary.

    `kind`, one or several with commas between them, and `max_size` are those of `reverie.simulators.Jets`; all cores
    are used. An unknown suffix is an `InputError`, a file that is there already a `FolderError` unless it is to be
    overwritten.
    """
    given: Any = tuple(kind.split(","))  # `Jets` says which there are
    path, simulator = _new_file(path, overwrite=overwrite), Jets(given, max_size=max_size)
    kinds = simulator.kinds
    check_memory(3 * 16.0 * max_size * n, f"{n:,} jets")
    names = ["jet_pt", "jet_eta", "jet_mass", "jet_type"]
    beside = {"beside": names, "beside_dtype": ["float32"] * 3 + ["str"], "labels": {"jet_type": kinds}}
    with _set_file(path, max_size, n, **beside) as sink:
        with Progress("simulating", n, unit="jets", quiet=quiet) as bar:
            jets, columns = simulator.sample(n, random_state=seed, n_jobs=None, progress=bar.update)
        sink.write(jets.values, columns.values)
    lines = []
    for level, name in enumerate(kinds):
        of_kind = columns.values[:, 3] == level
        if not of_kind.any():  # fewer jets than kinds
            continue
        mass, size = columns.values[of_kind, 2], jets.values[of_kind, :, -1].sum(axis=1)
        low, middle, high = np.quantile(mass, [0.16, 0.5, 0.84])
        lines.append(
            f"{name} jets: mass with median {middle:.1f} GeV, central 68 % from {low:.1f} to {high:.1f} GeV; "
            f"{size.mean():.1f} particles kept on average"
        )
    lines.append("made by Pythia 8 and FastJet (GPL-2.0-or-later), which ask to be cited: reverie cite jets")
    return "\n".join(lines)


def simulate_toy_sets(
    path: str | Path,
    n: int,
    *,
    mean_size: float,
    max_size: int,
    distance: float,
    seed: int = 0,
    overwrite: bool = False,
) -> str:
    """Write `n` sets of particles of known density into the file `path`; return their mean log-likelihood.

    `mean_size`, `max_size` and `distance` are those of `reverie.simulators.ToySets`. An unknown suffix is an
    `InputError`, a file that is there already a `FolderError` unless it is to be overwritten.
    """
    path = _new_file(path, overwrite=overwrite)
    check_memory(8.0 * 12 * max_size * n, f"{n:,} sets")
    toy = ToySets(mean_size=mean_size, max_size=max_size, distance=distance)
    sets = toy.sample(n, random_state=seed)
    with _set_file(path, max_size, n, dtype="float64") as sink:
        sink.write(sets.values)
    log_p, size = toy.log_prob(sets), sets.values[..., -1].sum(axis=1)
    return f"{size.mean():.2f} particles on average; log p of a set: {measured_mean(log_p)} nats"


def _set_file(path: Path, max_size: int, n: int, **options: Any) -> Sink:
    """Return an open file for `n` sets of particles in JetNet's columns."""
    names = ["eta_rel", "phi_rel", "pt_rel", "mask"]
    return open_sink(path, names=names, event_shape=(max_size, 4), n_total=n, **options)


def _new_file(path: str | Path, *, overwrite: bool) -> Path:
    path = Path(path)
    check_regular(path)
    check_new_file(path, overwrite=overwrite)
    return path
