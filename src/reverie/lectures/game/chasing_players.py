r"""
Players that chase each other
=============================

:Lecture A: Design of GANs: players chase one another in the parameter space
:Lecture B: The same sentence
:Lecture C: Design of GANs; hard to reach equilibrium

The smallest game that does it (Mescheder et al., arXiv:1801.04406): real data are the point 0, the generator makes
the point θ, the discriminator is a straight line of slope ψ. Both players follow their own gradient, at the same
time. Six objectives go around the equilibrium (0, 0) and none comes to rest there; the penalty R1 on the slope damps
them all.
"""

# %%
# Losses and penalty are those that ``reverie.GAN`` trains with.

import cmath

import numpy as np
import torch
from matplotlib import pyplot as plt

from reverie.lectures import compare, is_quick
from reverie.objectives import OBJECTIVES
from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL

plt.style.use("reverie.plots.reverie")
NAMES = ("minimax", "non_saturating", "least_squares", "hinge", "wasserstein", "relativistic")
STEP, GAMMA = 0.1, 0.5
n_steps = 200 if is_quick() else 600


def velocity(name, gamma, theta, psi):
    """Return minus the gradient of each player's loss in its own parameter."""
    objective = OBJECTIVES[name]
    level = 0.5 if objective.scale == "probability" else 0.0  # least squares aims at 0 and 1
    real, fake = (level + 0 * psi).reshape(1), (level + psi * theta).reshape(1)
    cost = objective.discriminator(real, fake) + gamma / 2 * psi**2
    options = {"create_graph": True, "retain_graph": True, "materialize_grads": True}
    (d_theta,) = torch.autograd.grad(objective.generator(real, fake), theta, **options)
    (d_psi,) = torch.autograd.grad(cost, psi, **options)
    return -d_theta, -d_psi


def orbit(name, gamma):
    """Return the way of both players from (1, 0) in steps of one size, (step, 2)."""
    at = torch.tensor([1.0, 0.0], dtype=torch.float64)
    way = [at]
    for _ in range(n_steps):
        theta, psi = (value.clone().requires_grad_() for value in at)
        at = at + STEP * torch.stack(velocity(name, gamma, theta, psi)).detach()
        way.append(at)
    return torch.stack(way).numpy()


def eigenvalues(name, gamma):
    """Return both eigenvalues of the flow at the equilibrium."""
    zero = torch.zeros(2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda at: torch.stack(velocity(name, gamma, *at)), zero)
    return np.sort_complex(np.linalg.eigvals(jacobian.numpy()))


# %%
# Near the equilibrium the flow has the eigenvalues :math:`-\gamma/2 \pm \sqrt{\gamma^2/4 - f^2}`, with f = 1/2, or 1
# for hinge and Wasserstein. Without a penalty they are imaginary: round and round.

for name in NAMES:
    f = 1.0 if name in ("hinge", "wasserstein") else 0.5
    for gamma in (0.0, GAMMA):
        root = cmath.sqrt(gamma**2 / 4 - f**2)
        known, here = -gamma / 2 + root, eigenvalues(name, gamma)[-1]
        compare(f"eigenvalue of {name}, gamma = {gamma:g}", f"{known:.4f}", f"{here:.4f}")

# %%
# Dark lines without, coloured ones with the penalty. Simultaneous steps make the orbits of minimax and Wasserstein
# grow.

figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), sharex=True, sharey=True, layout="constrained")
for ax, name in zip(axes.flat, NAMES, strict=True):
    for gamma, color, label in ((0.0, REAL, "no penalty"), (GAMMA, GENERATED, "R1")):
        way = orbit(name, gamma)
        ax.plot(*way.T, color=color, lw=1, label=label)
        ax.plot(*way[-1], "o", ms=4, color=color)
    ax.plot(0, 0, "+", ms=9, color=CRITIC)
    ax.set(title=name, xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")
    ax.grid(visible=False)
for ax in axes[-1]:
    ax.set_xlabel("generator θ")
for ax in axes[:, 0]:
    ax.set_ylabel("discriminator ψ")
axes[0, 0].legend(loc="upper left")
arrow = {"arrowstyle": "-", "color": MUTED}
axes[0, 0].annotate("equilibrium", (0, 0), (0.5, -1.7), color=MUTED, fontsize=8, arrowprops=arrow)
