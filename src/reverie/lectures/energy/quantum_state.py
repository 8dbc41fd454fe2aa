r"""
A Boltzmann machine draws a quantum state
=========================================

:Lecture A: What is a generator network: a Boltzmann machine trained to produce a quantum mechanical distribution

Ten spins of the transverse-field Ising chain at its critical point. The machine learns the amplitudes of the ground
state
from measurements, and finds them a second time without any, from the Hamiltonian.
"""

# %%
# Measurements are drawn from the exact state, so that nothing has to be downloaded.

import numpy as np
from matplotlib import pyplot as plt

from reverie.lectures import compare, is_quick
from reverie.models import WaveFunctionRBM
from reverie.plots.style import CRITIC, GENERATED, MUTED
from reverie.simulators import transverse_field_ising

plt.style.use("reverie.plots.reverie")
hamiltonian = transverse_field_ising(10)
truth = hamiltonian.ground_state()
shares = np.abs(truth.psi) ** 2
states = np.random.default_rng(0).choice(len(shares), 10_000, p=shares / shares.sum())
measured = (states[:, None] >> np.arange(9, -1, -1)) & 1
learnt = WaveFunctionRBM(max_steps=400 if is_quick() else 4_000, random_state=0).fit(measured)
compare("fidelity from 10,000 measurements", "0.9973 ± 0.0005 (ours, benchmark)", learnt.fidelity(truth.psi))
compare("energy of the learnt state", float(truth.energy), learnt.energy(hamiltonian))
found = WaveFunctionRBM(random_state=0)
energy = found.minimise(hamiltonian, n_steps=40 if is_quick() else 150)
compare("energy from the Hamiltonian alone", float(truth.energy), energy)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for model, color, label in ((learnt, GENERATED, "from measurements"), (found, CRITIC, "from the Hamiltonian")):
    left.loglog(np.abs(truth.psi), np.abs(model.psi()), ".", ms=3, color=color, label=label)
left.axline((0.01, 0.01), (0.1, 0.1), color=MUTED, lw=0.8)
left.set(xlabel="exact amplitude", ylabel="amplitude of the machine", title="All 1,024 amplitudes")
left.legend()
order = np.argsort(-shares)[:40]
right.bar(np.arange(40), shares[order], color=MUTED, alpha=0.4, label="exact")
right.plot(np.arange(40), np.abs(learnt.psi()[order]) ** 2, "o", ms=3.5, color=GENERATED, label="from measurements")
right.set(xlabel="the forty likeliest states", ylabel="probability", title="The quantum mechanical distribution")
right.legend()
