"""Simulators: distributions and physical models whose truth is known."""

from reverie.simulators.averages import correlation_function, lattice_averages
from reverie.simulators.dimuon import Dimuon
from reverie.simulators.ising import Ising
from reverie.simulators.ising_exact import (
    CRITICAL_BETA,
    density_of_states,
    enumerate_ising,
    infinite_energy,
    infinite_magnetisation,
    infinite_specific_heat,
    kaufman,
)
from reverie.simulators.jets import Jets
from reverie.simulators.spin_chain import SpinHamiltonian, heisenberg, transverse_field_ising
from reverie.simulators.targets import TARGETS, GaussianMixture, target
from reverie.simulators.toy_sets import ToySets

__all__ = [
    "CRITICAL_BETA",
    "TARGETS",
    "Dimuon",
    "GaussianMixture",
    "Ising",
    "Jets",
    "SpinHamiltonian",
    "ToySets",
    "correlation_function",
    "density_of_states",
    "enumerate_ising",
    "heisenberg",
    "infinite_energy",
    "infinite_magnetisation",
    "infinite_specific_heat",
    "kaufman",
    "lattice_averages",
    "target",
    "transverse_field_ising",
]
