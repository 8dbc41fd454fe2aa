"""A quantum state from 10,000 measurements of ten spins, and the lowest energy of the same chain without any.

python examples/tfim1d.py [--max-steps N]
"""

import argparse
from pathlib import Path

import numpy as np

from reverie.data import catalogue
from reverie.models.wavefunction.estimator import WaveFunctionRBM
from reverie.plots.style import new_figure, to_png
from reverie.simulators import transverse_field_ising

parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
parser.add_argument("--max-steps", type=int, default=4000, help="most steps; rows left out choose the number")
options = parser.parse_args()

hamiltonian = transverse_field_ising(10)  # J = h = 1, open: critical
truth = hamiltonian.ground_state()
measured = catalogue.load("tfim1d")  # 10,000 x 10 bits

learnt = WaveFunctionRBM(max_steps=options.max_steps, random_state=0).fit(measured)
print(f"from measurements: fidelity {learnt.fidelity(truth.psi):.5f}, KL {learnt.kl(truth.psi):.5f}")
print(f"energy {learnt.energy(hamiltonian).value:.4f}, exact {truth.energy:.4f}")

found = WaveFunctionRBM(random_state=0)
energy = found.minimise(hamiltonian, n_steps=min(150, options.max_steps))
print(f"from the Hamiltonian: energy {energy.value:.4f}, fidelity {found.fidelity(truth.psi):.5f}")

figure = new_figure(4.0, 3.2)
figure.set_layout_engine("tight")
axes = figure.subplots()
for model, label in ((learnt, "from measurements"), (found, "from the Hamiltonian")):
    axes.loglog(np.abs(truth.psi), np.abs(model.psi()), ".", markersize=3, label=label)
axes.axline((0.01, 0.01), (0.1, 0.1), color="0.5", linewidth=0.8)
axes.set(xlabel="exact amplitude", ylabel="amplitude of the machine")
axes.legend()
Path("tfim1d.png").write_bytes(to_png(figure))
print("picture: tfim1d.png")
