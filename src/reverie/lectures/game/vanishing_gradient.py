r"""
Vanishing gradient against separation
=====================================

:Lecture C: Vanishing gradient; improved GANs
:Lecture A: Quote of Goodfellow: the best-performing formulation
:Lecture E: 3.4, convergence failure

A perfect discriminator tells the generator nothing: where the densities are apart, the loss of the minimax game is
flat. The generator is a Gaussian that may only be shifted, the discriminator is the best one, known in closed form,
and the gradient of each loss with respect to the shift is drawn against the distance.

The lecture's formula for the generator's loss is E log(1 - D(G(h))), the one that vanishes; its listing trains with
the cross-entropy against ones, which is -E log D(G(h)), the one that does not.
"""

# %%
# Losses come from ``reverie.objectives``; :math:`a^*(x) = \log p/q = s^2/2 - s x` for Gaussians at 0 and s.

import math

import numpy as np
import torch
from matplotlib import pyplot as plt

from reverie.lectures import compare, is_quick
from reverie.objectives import OBJECTIVES
from reverie.plots.style import COLORS, MUTED

plt.style.use("reverie.plots.reverie")
n = 20_000 if is_quick() else 1_000_000
z = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)  # quantiles in place of draws: no noise
separations = np.geomspace(0.1, 12, 60)
best = {  # of each game, by the distance s
    "minimax": lambda x, s: s * s / 2 - s * x,
    "non_saturating": lambda x, s: s * s / 2 - s * x,
    "least_squares": lambda x, s: torch.sigmoid(s * s / 2 - s * x),
    "wasserstein": lambda x, s: -x,  # the 1-Lipschitz potential
}


def gradient(name, s):
    """Return the gradient of the generator's loss with respect to its shift, against the best discriminator."""
    shift = torch.tensor(s, dtype=torch.float64, requires_grad=True)
    logits = best[name](z + shift, s)
    (slope,) = torch.autograd.grad(OBJECTIVES[name].generator(torch.zeros_like(logits), logits), shift)
    return slope.item()


gradients = {name: np.array([gradient(name, float(s)) for s in separations]) for name in best}

# %%
# The two distances behind the games: the Jensen-Shannon divergence saturates, that of Wasserstein is the shift
# itself.

x = np.linspace(-10, 24, 6001)
p = np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)


def js(s):
    """Return the Jensen-Shannon divergence at distance s by quadrature."""
    q = np.exp(-0.5 * (x - s) ** 2) / math.sqrt(2 * math.pi)
    m = (p + q) / 2 + 1e-300
    return float(np.trapezoid(p * np.log(p / m + 1e-300) + q * np.log(q / m + 1e-300), x)) / 2


divergence = np.array([js(s) for s in separations])
compare("JS at distance 12", "log 2 = 0.693147", divergence[-1])
at = int(np.argmin(np.abs(separations - 6)))
for name in best:
    note = "0: the gradient vanishes" if name in ("minimax", "least_squares") else "does not vanish"
    compare(f"gradient of {name} at distance {separations[at]:.1f}", note, float(gradients[name][at]))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for (name, slope), color in zip(gradients.items(), COLORS, strict=False):
    left.semilogy(separations, np.abs(slope), color=color, label=name)
left.set(xlabel="distance s of the two Gaussians", ylabel="|gradient of the generator's loss|", ylim=(1e-4, 30))
left.set_title("What the generator is told by the best discriminator")
left.legend(loc="lower left")
right.plot(separations, divergence, color=COLORS[0], label="Jensen-Shannon: minimax")
right.plot(separations, separations, color=COLORS[3], label="Wasserstein")
right.axhline(math.log(2), color=MUTED, lw=0.8, ls=":")
right.text(12, math.log(2) - 0.05, "log 2", color=MUTED, ha="right", va="top", fontsize=8)
right.set(xlabel="distance s of the two Gaussians", ylabel="divergence", ylim=(0, 2.5))
right.set_title("What it would descend")
right.legend(loc="upper left")
