"""Samplers: Markov kernels for energies, the loop that runs them, and how many independent draws their chains hold.

Every kernel has the same two methods, ``init(x, energy) -> XState`` and ``step(state, energy, generator) -> (XState,
XInfo)``. The State is what the next step needs, the Info what a reader wants to know; both stand beside their kernel.
"""

from reverie.samplers.annealing import anneal, annealed_estimate, bridge, schedule
from reverie.samplers.chains import Chains, effective_sample_size, rank_normalised_r_hat, split_r_hat
from reverie.samplers.gibbs import BlockGibbs
from reverie.samplers.langevin import MALA, ULA, tuned_step_size
from reverie.samplers.lattice import Checkerboard, IsingEnergy, SwendsenWang, Wolff
from reverie.samplers.metropolis import RandomWalk, SpinFlip
from reverie.samplers.run import Cycle, run, steps
from reverie.samplers.sgld import SGLD, MinibatchEnergy
from reverie.samplers.tempering import ReplicaExchange

__all__ = [
    "BlockGibbs",
    "Chains",
    "Checkerboard",
    "Cycle",
    "IsingEnergy",
    "MALA",
    "MinibatchEnergy",
    "RandomWalk",
    "ReplicaExchange",
    "SGLD",
    "SpinFlip",
    "SwendsenWang",
    "ULA",
    "Wolff",
    "anneal",
    "annealed_estimate",
    "bridge",
    "effective_sample_size",
    "rank_normalised_r_hat",
    "run",
    "schedule",
    "split_r_hat",
    "steps",
    "tuned_step_size",
]
