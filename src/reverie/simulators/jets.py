r"""Jets of proton-proton collisions at 13 TeV by Pythia 8 and FastJet, as sets of particles in the manner of JetNet.

An event of the kind asked for is a pair of gluons, light quarks, top quarks or W bosons whose transverse momentum
before the shower is 1 TeV to 1 %:

    gluon   gg -> gg, q qbar -> gg
    quark   qq' -> qq' (quarks and antiquarks), gg -> q qbar, q qbar -> q' qbar' with q' = u, d, s
    top     gg, q qbar -> t tbar, with W -> hadrons
    w       q qbar -> W+ W-, with W -> hadrons

with initial and final shower, multiple interactions and hadronisation of the Monash tune. All stable particles but
neutrinos are clustered by the anti-kT algorithm with R = 0.8. In each event the jet nearest to one of the two outgoing
particles, the first and the second in turn, is kept if it is nearer than R and has 0.8 TeV < pT < 1.6 TeV: one jet an
event, so that jets are independent. Of its particles, taken as massless, stay the 30 of largest pT, with

    eta_rel = eta - eta_jet,   phi_rel = phi - phi_jet in [-pi, pi),   pt_rel = pT / pT_jet

There is no detector. The matrix elements of JetNet are those of MadGraph.

Jets come in blocks of 250, each with random numbers of its own, seeded by (seed, kind, block). So the result is the
same on any number of cores, and the first jets of a longer sample are those of a shorter one. One core makes some 30 to
60 a second.

Pythia and FastJet are under the GPL, version 2 or later; they are no part of this package and imported where used.
Whoever publishes what they made cites them: `reverie cite jets`.

References
----------
Pythia 8.3: Bierlich et al., SciPost Phys. Codebases 8 (2022), arXiv:2203.11601. Monash tune: Skands, Carrazza and Rojo,
Eur. Phys. J. C 74 (2014) 3024, arXiv:1404.5630. FastJet: Cacciari, Salam and Soyez, Eur. Phys. J. C 72 (2012) 1896,
arXiv:1111.6097. Anti-kT: the same, JHEP 04 (2008) 063, arXiv:0802.1189. JetNet: Kansal et al., NeurIPS 2021,
arXiv:2106.11535.
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice, repeat
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np

from reverie.core.arguments import Interval, check_fields, checked
from reverie.core.errors import InputError, MissingDependencyError
from reverie.core.processes import end_with_parent
from reverie.core.random import as_seed, child_seed
from reverie.core.types import RandomState
from reverie.data import Column, Dataset, Schema, particle_sets

__all__ = ["KINDS", "REFERENCES", "Jets"]

Kind: TypeAlias = Literal["gluon", "quark", "top", "w"]

_HADRONIC_W = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5")
_LIGHT_QUARKS = ("HardQCD:qq2qq = on", "HardQCD:gg2qqbar = on", "HardQCD:qqbar2qqbarNew = on", "HardQCD:nQuarkNew = 3")
KINDS: dict[str, tuple[str, ...]] = {  # settings of Pythia
    "gluon": ("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"),
    "quark": _LIGHT_QUARKS,
    "top": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", *_HADRONIC_W),
    "w": ("WeakDoubleBoson:ffbar2WW = on", *_HADRONIC_W),
}
REFERENCES = ("bierlich2022", "cacciari2012", "cacciari2008", "kansal2021")
_COMMON = (
    "Print:quiet = on",
    "Beams:eCM = 13000",
    "PhaseSpace:pTHatMin = 990",
    "PhaseSpace:pTHatMax = 1010",
    "Random:setSeed = on",  # of the initialisation; each block sets its own
    "Random:seed = 1",
)
_RADIUS, _MIN_PT, _MAX_PT = 0.8, 800.0, 1600.0  # GeV
_BLOCK = 250  # jets of one seed
_BATCH = 50  # collisions held in memory at once
_NEUTRINOS = (12, 14, 16)


@dataclass(frozen=True)
class Jets:
    """Jets by Pythia 8 and FastJet, extra "hep"; see the module's notes.

    Parameters
    ----------
    kind : What the jets come from; of several kinds they come in turn, and the column jet_type tells which.
    max_size : Most particles of a jet that are kept, those of largest pT.

    Raises
    ------
    InputError
        For another kind, one that is named twice, or a size that is none.

    Examples
    --------
    >>> jets, columns = Jets("top").sample(1000, random_state=0)  # doctest: +SKIP
    >>> jets, columns  # doctest: +SKIP
    (Dataset(1000 sets of at most 30 particles: eta_rel, phi_rel, pt_rel),
     Dataset(1000 events x 4 columns: jet_pt [GeV], jet_eta, jet_mass [GeV], jet_type))
    """

    kind: Kind | tuple[Kind, ...] = "gluon"
    max_size: Annotated[int, Interval(1, 10_000)] = 30

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise InputError(f"Expected kinds of jets, each once, got {self.kind!r}. Known: {', '.join(KINDS)}.")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds, in the order of their levels in the column jet_type."""
        return (self.kind,) if isinstance(self.kind, str) else tuple(self.kind)

    @checked
    def sample(
        self,
        n: Annotated[int, Interval(1)],
        random_state: RandomState = None,
        *,
        n_jobs: Annotated[int, Interval(1)] | None = 1,
        progress: Callable[[int], object] | None = None,
    ) -> tuple[Dataset, Dataset]:
        """Return `n` independent jets as sets of particles, float32, and a table of their columns.

        Parameters
        ----------
        random_state : Seed; the same jets come with any number of processes.
        n_jobs : Processes that share the work; None takes one per core. More than one are started afresh, so a script
            needs the usual ``if __name__ == "__main__"``.
        progress : Called with the number of jets that are there.

        Raises
        ------
        MissingDependencyError
            Without Pythia, FastJet or awkward arrays.
        """
        _tools()
        kinds, root = self.kinds, as_seed(random_state)
        seeds, n_blocks = [child_seed(root, "jets", kind) for kind in kinds], -(-n // (_BLOCK * len(kinds)))
        n_tasks = n_blocks * len(kinds)
        n_jobs = min(n_tasks, len(os.sched_getaffinity(0)) if n_jobs is None else n_jobs)
        blocks = (block for block in range(n_blocks) for _ in kinds)
        tasks = islice(cycle(kinds), n_tasks), islice(cycle(seeds), n_tasks), blocks, repeat(self.max_size)
        parts = []
        if n_jobs == 1:
            for part in map(simulate_block, *tasks):
                parts.append(part)
                if progress is not None:
                    progress(min(n, _BLOCK * len(parts)))
        else:  # started afresh: forks of a process with the threads of torch can hang
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(n_jobs, mp_context=spawn, initializer=end_with_parent) as pool:
                for part in pool.map(simulate_block, *tasks):
                    parts.append(part)
                    if progress is not None:
                        progress(min(n, _BLOCK * len(parts)))
        # block by block one jet of each kind in turn: the first jets of a longer sample are those of a shorter one
        stacked = (np.stack(arrays) for arrays in zip(*parts, strict=True))
        particles, jets = (
            x.reshape(n_blocks, len(kinds), *x.shape[1:]).swapaxes(1, 2).reshape(-1, *x.shape[2:])[:n] for x in stacked
        )
        names, provenance = ["eta_rel", "phi_rel", "pt_rel", "mask"], {"simulator": repr(self)}
        sets = particle_sets(particles.astype(np.float32), names=names, max_size=self.max_size)
        levels = tuple(map(float, range(len(kinds))))
        kind = Column("jet_type", "categorical", levels=levels, labels=kinds)
        columns = (Column("jet_pt", unit="GeV"), Column("jet_eta"), Column("jet_mass", unit="GeV"), kind)
        of_kind = np.arange(n) % len(kinds)
        table = Dataset(np.column_stack([jets, of_kind]), schema=Schema(columns, (4,)), provenance=provenance)
        return Dataset(sets.values, schema=sets.schema, provenance=provenance), table


def _tools() -> tuple[Any, Any, Any]:
    """Return the modules of Pythia, FastJet and awkward arrays."""
    try:
        import awkward
        import fastjet
        import pythia8mc
    except ImportError as error:
        raise MissingDependencyError(str(error.name), "hep", "simulate jets") from None
    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)  # see `REFERENCES`
    return awkward, fastjet, pythia8mc


@cache
def _pythia(kind: str) -> Any:
    """Return Pythia, ready for events of a kind; it takes a second, so a process keeps it."""
    pythia = _tools()[2].Pythia("", False)  # noqa: FBT003 - no banner
    for setting in (*_COMMON, *KINDS[kind]):
        if not pythia.readString(setting):
            raise InputError(f"Expected settings that Pythia knows, got {setting!r}. Install pythia8mc 8.317.")
    pythia.init()
    return pythia


def simulate_block(kind: str, seed: int, block: int, max_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return particles (250, max_size, 4) with the mask last, and pT, eta and mass of their jets, (250, 3)."""
    ak, fastjet, _ = _tools()
    pythia, anti_kt = _pythia(kind), fastjet.JetDefinition(fastjet.antikt_algorithm, _RADIUS)
    pythia.rndm.init(child_seed(seed, "block", block) % 900_000_000 + 1)  # the seeds that Pythia takes
    kept, n_events, n_kept = [], 0, 0
    while n_kept < _BLOCK:
        events = pythia.nextBatch(_BATCH)["prt"]
        # of the two outgoing particles, entries 5 and 6, the first and the second in turn
        hard = events["p"][np.arange(len(events)), 5 + (n_events + np.arange(len(events))) % 2]
        n_events += len(events)
        stable = events["status"] > 0
        for neutrino in _NEUTRINOS:
            stable = stable & (abs(events["id"]) != neutrino)
        p = events["p"][stable]
        p = ak.zip({"px": p["px"], "py": p["py"], "pz": p["pz"], "E": p["e"]})
        clusters = fastjet.ClusterSequence(p, anti_kt)
        jets, constituents = clusters.inclusive_jets(min_pt=_MIN_PT), clusters.constituents(min_pt=_MIN_PT)

        (pt, eta, phi), (_, hard_eta, hard_phi) = _polar(jets), _polar(hard)
        distance = np.hypot(eta - hard_eta, _wrapped(phi - hard_phi))
        nearest = ak.argmin(distance, axis=1, keepdims=True)
        good = ak.fill_none(ak.flatten((distance[nearest] < _RADIUS) & (pt[nearest] < _MAX_PT)), value=False)
        jet, inside = (ak.flatten(x[nearest][good], axis=1) for x in (jets, constituents))

        jet_pt, jet_eta, jet_phi = map(np.asarray, _polar(jet))
        pt, eta, phi = _polar(inside)
        hardest = ak.argsort(pt, axis=1, ascending=False)[:, :max_size]
        features = eta - jet_eta, _wrapped(phi - jet_phi), pt / jet_pt, ak.ones_like(pt)
        padded = [ak.to_numpy(ak.fill_none(ak.pad_none(x[hardest], max_size, clip=True), 0.0)) for x in features]
        squared = np.asarray(jet["E"] ** 2 - jet["px"] ** 2 - jet["py"] ** 2 - jet["pz"] ** 2)
        kept.append((np.stack(padded, axis=2), np.column_stack([jet_pt, jet_eta, np.sqrt(np.maximum(squared, 0))])))
        n_kept += len(jet_pt)
    particles, of_jets = (np.concatenate(arrays)[:_BLOCK] for arrays in zip(*kept, strict=True))
    return particles, of_jets


def _polar(p: Any) -> tuple[Any, Any, Any]:
    """Return transverse momenta, pseudorapidities and azimuths of momenta px, py, pz."""
    pt = np.hypot(p["px"], p["py"])
    return pt, np.arcsinh(p["pz"] / pt), np.arctan2(p["py"], p["px"])


def _wrapped(phi: Any) -> Any:
    return (phi + np.pi) % (2 * np.pi) - np.pi
