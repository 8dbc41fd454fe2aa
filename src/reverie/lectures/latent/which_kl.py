r"""
Which divergence: three fits of one Gaussian
============================================

:Lecture D: The Kullback-Leibler divergence; similarity is a subtle concept; adversarial learning
:Lecture A: Kullback-Leibler relative entropy; KL of two Gaussians in closed form

One Gaussian cannot be two peaks. Which of its widths and places is nearest depends on what near means: the divergence
KL(p|q) that maximum likelihood descends covers both peaks, the reverse one KL(q|p) takes one of them, and the
Jensen-Shannon divergence, the value of the adversarial game, lies between.
"""

# %%
# The divergence of two general Gaussians, as the lecture writes it, and as ``reverie.objectives.full_kl`` computes
# it.

import numpy as np
import torch
from matplotlib import pyplot as plt

from reverie.lectures import compare, is_quick
from reverie.objectives import full_kl
from reverie.plots.style import COLORS, CRITIC, GENERATED, REAL

plt.style.use("reverie.plots.reverie")
mu0, mu1 = torch.tensor([0.5, -1.0]).double(), torch.zeros(2).double()
S0 = torch.tensor([[1.0, 0.3], [0.3, 0.5]]).double()
S1 = torch.tensor([[2.0, -0.4], [-0.4, 1.0]]).double()


def slide(mu0, S0, mu1, S1):
    """Return the divergence by the formula of the lecture."""
    inverse, d = torch.linalg.inv(S1), mu1 - mu0
    return float(torch.trace(inverse @ S0) + d @ inverse @ d - len(d) + torch.log(torch.det(S1) / torch.det(S0))) / 2


L0, L1 = torch.linalg.cholesky(S0), torch.linalg.cholesky(S1)
here = full_kl(mu0[None], L0[None], mu1[None], L1[None]).item()
back = full_kl(mu1[None], L1[None], mu0[None], L0[None]).item()
compare("KL of two general Gaussians", slide(mu0, S0, mu1, S1), here)
compare("the reverse, which is another number", slide(mu1, S1, mu0, S0), back)

# %%
# Two peaks at -2 and 2, of width 1/2, and every Gaussian on a grid of places and widths.

x = np.linspace(-9, 9, 1201)


def gaussian(m, s):
    """Return the Gaussian of mean m and width s on the grid x."""
    return np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi)) + 1e-300


def kl(p, q):
    """Return KL(p|q) by quadrature."""
    return float(np.trapezoid(p * np.log(p / q), x))


n_grid = 41 if is_quick() else 121
means, widths = np.linspace(-3, 3, n_grid), np.geomspace(0.25, 4, n_grid)
p = (gaussian(-2, 0.5) + gaussian(2, 0.5)) / 2
maps = np.array([
    [[kl(p, q), kl(q, p), (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2] for m in means for q in [gaussian(m, s)]]
    for s in widths
])  # fmt: skip
names = ("KL(p|q): likelihood", "KL(q|p): reverse", "JS: adversarial")
fits = []
for k, name in enumerate(names):
    i, j = np.unravel_index(maps[:, :, k].argmin(), maps.shape[:2])
    fits.append((means[j], widths[i]))
    print(f"{name}: least at mean {means[j]:.2f}, width {widths[i]:.2f}, where it is {maps[i, j, k]:.3f}")
compare("width of the likelihood fit, mean 0", f"sqrt(2^2 + 0.5^2) = {np.sqrt(4.25):.3f}", f"{fits[0][1]:.3f}")
compare("reverse divergence of one peak alone", "log 2 = 0.693", f"{maps[:, :, 1].min():.3f}")

figure, axes = plt.subplots(2, 3, figsize=(9, 5.4), height_ratios=(1, 1.25), layout="constrained")
for k, (name, (m, s), color) in enumerate(zip(names, fits, (GENERATED, CRITIC, COLORS[2]), strict=True)):
    top, bottom = axes[:, k]
    top.fill_between(x, p, color=REAL, alpha=0.15, lw=0)
    top.plot(x, gaussian(m, s), color=color)
    top.set(title=name, xlim=(-5, 5), ylim=(0, 0.85), xlabel="x")
    levels = np.geomspace(max(maps[:, :, k].min() * 1.03, 1e-3), maps[:, :, k].max(), 14)
    bottom.contour(means, widths, maps[:, :, k], levels=levels, colors=color, linewidths=0.8)
    bottom.plot(m, s, "*", ms=12, color=color)
    bottom.set(
        yscale="log", xlabel="mean of q", yticks=[0.25, 0.5, 1, 2, 4], yticklabels=["0.25", "0.5", "1", "2", "4"]
    )
    bottom.minorticks_off()
axes[0, 0].set_ylabel("density: p grey, the fit q")
axes[1, 0].set_ylabel("width of q")
