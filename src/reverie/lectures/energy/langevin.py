r"""
Langevin sampling, and a misprint
=================================

:Lecture A: Langevin sampling; more on the SGLD; code example

The update of the lecture is :math:`\theta' = \theta + \eta \nabla\log p(\theta) + \sqrt{\eta}\, w` from a uniform
start on [-1, 1]. Its noise is too small by :math:`\sqrt 2`: with a full gradient it draws :math:`p^2`, on N(0, 1) a
variance of 1/2 in place of 1. The noise must be :math:`\sqrt{2\eta}\, w`. The other half of the page follows chains
over the contours of a density with two wells.
"""

# %%
# ``ULA(step_size, temperature=T)`` has the noise :math:`\sqrt{2\eta T}`, so the update of the slide is T = 1/2.

import numpy as np
import torch
from matplotlib import pyplot as plt

from reverie import Measured
from reverie.lectures import compare, is_quick
from reverie.plots.style import COLORS, CRITIC, GENERATED, MUTED
from reverie.samplers import MALA, ULA, run

plt.style.use("reverie.plots.reverie")
n_chains = 2_000 if is_quick() else 20_000
ETA = 0.05
generator = torch.Generator().manual_seed(0)


def parabola(x):
    """Return E = x^2 / 2 of N(0, 1)."""
    return x.square().sum(1) / 2


start = 2 * torch.rand(n_chains, 1, generator=generator) - 1  # uniform on [-1, 1], as in the lecture
kernels = {"the slide, √η": ULA(ETA, temperature=0.5), "√(2η)": ULA(ETA), "√(2η), accepted or refused": MALA(0.5)}
draws, expected = {}, {"the slide, √η": "1 (its noise gives 1/2)", "√(2η)": 1.0, "√(2η), accepted or refused": 1.0}
for name, kernel in kernels.items():
    chains = run(kernel, start, parabola, n_steps=200, generator=generator)
    draws[name] = chains.x[-1, :, 0].numpy()  # the last position of independent chains
    variance = draws[name].var()
    compare(f"variance of N(0, 1), noise {name}", expected[name], Measured(variance, variance * (2 / n_chains) ** 0.5))

figure, axes = plt.subplots(1, 3, figsize=(9, 2.9), sharey=True, layout="constrained")
line = np.linspace(-4, 4, 201)
for ax, (name, x), color in zip(axes, draws.items(), (CRITIC, GENERATED, GENERATED), strict=True):
    ax.hist(x, bins=np.linspace(-4, 4, 41), density=True, color=color, alpha=0.45)
    ax.plot(line, np.exp(-(line**2) / 2) / np.sqrt(2 * np.pi), color=COLORS[-1], label="p")
    if name.startswith("the slide"):
        ax.plot(line, np.exp(-(line**2)) / np.sqrt(np.pi), color=MUTED, ls="--", label="p², normalised")
    ax.set(xlabel="x", title=f"noise {name}")
    ax.legend(loc="upper right")
axes[0].set_ylabel("density of the last position")

# %%
# Two wells. A chain with small steps stays in the well where it began; larger steps cross. Accepting or refusing
# (MALA) keeps the density exact at any step size.


def wells(x):
    """Return the energy of two wells at (-1, 0) and (1, 0), the barrier between them 4 high."""
    return 4 * (x[:, 0].square() - 1).square() + 2 * x[:, 1].square()


axis = torch.linspace(-2, 2, 161)
plane = torch.cartesian_prod(axis, axis)
height = wells(plane).reshape(161, 161).T.numpy()
figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), sharey=True, layout="constrained")
kernels = {"η = 0.002": ULA(0.002), "η = 0.03": ULA(0.03), "MALA, η = 0.1": MALA(0.1)}
for ax, (name, kernel) in zip(axes, kernels.items(), strict=True):
    generator = torch.Generator().manual_seed(3)
    chains = run(kernel, torch.tensor([[-1.0, 0.0]] * 200), wells, n_steps=400, generator=generator)
    way = chains.x[:, 0].numpy()
    ax.contourf(axis, axis, -height, levels=np.linspace(-10, 0, 11), cmap="Greys", alpha=0.55)
    ax.plot(*way.T, lw=0.6, color=GENERATED)
    ax.plot(*way[0], "o", ms=5, color=CRITIC)
    crossed = (chains.x[:, :, 0] > 0.5).any(0).float().mean().item()
    right = (chains.x[-1, :, 0] > 0).double()
    error = float((right.mean() * (1 - right.mean()) / len(right)) ** 0.5)
    compare(f"share of chains in the right well after 400 steps, {name}", 0.5, Measured(right.mean().item(), error))
    ax.set(title=f"{name}: {crossed:.0%} crossed", xlabel="x", xlim=(-2, 2), ylim=(-2, 2), aspect="equal")
    ax.grid(visible=False)
axes[0].set_ylabel("y")
