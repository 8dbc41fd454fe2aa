r"""
Learning rates and optimisers
=============================

:Lecture E: 3.1: SGD, Adam, Adadelta, Adagrad; 3.3, equation 3.10: a rate too small, too large
:Lecture D: GAN training: gradient descent with the rate η

Gradient descent crawls with a rate too small and jumps about with one too large. On a valley of curvatures 1 and 20
the limits are known: it diverges above 2/20. Then the four optimisers of the thesis, each with its own rate, on a
network.
"""

# %%
# The path of gradient descent over the contours; the largest curvature sets the largest rate, 2/L.

import numpy as np
import torch
from matplotlib import pyplot as plt

from reverie.lectures import compare, is_quick
from reverie.plots.style import COLORS, CRITIC, GENERATED, MUTED
from reverie.training import make_optimizer, take_step

plt.style.use("reverie.plots.reverie")
CURVATURE = torch.tensor([1.0, 20.0])


def path(eta, n=40):
    """Return the steps of gradient descent w' = w - eta grad L from (-4, 1), (step, 2)."""
    w = torch.tensor([-4.0, 1.0], requires_grad=True)
    optimizer, way = make_optimizer("sgd", [w], learning_rate=eta, betas=(0.0, 0.0)), [w.detach().clone()]
    for _ in range(n):
        loss = 0.5 * (CURVATURE * w.square()).sum()
        take_step(optimizer, [w], torch.autograd.grad(loss, [w]))
        way.append(w.detach().clone())
    return torch.stack(way).numpy()


axis = np.linspace(-5, 2, 141), np.linspace(-2, 2, 121)
height = 0.5 * (axis[0][None] ** 2 + 20 * axis[1][:, None] ** 2)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.7), sharey=True, layout="constrained")
rates = (("too small", 0.005), ("good: 2/(1 + 20)", 2 / 21), ("too large: above 2/20", 0.102))
for ax, (name, eta), color in zip(axes, rates, (MUTED, GENERATED, CRITIC), strict=True):
    way = path(eta)
    ax.contour(*axis, height, levels=np.geomspace(0.1, 40, 9), colors="#c8d0d8", linewidths=0.7)
    ax.plot(*way.T, "o-", ms=2.5, lw=0.9, color=color)
    ax.set(title=f"η = {eta:.3g}, {name}", xlim=(-5, 2), ylim=(-2, 2))
    ax.grid(visible=False)
    print(f"rate {eta:.3g}: distance from the minimum after 40 steps {np.linalg.norm(way[-1]):.3g}")
steps = path(0.102)
compare("growth of a step above the limit, |1 - 20 eta|", abs(1 - 20 * 0.102), float(abs(steps[-1, 1] / steps[-2, 1])))

# %%
# A network that learns a noisy sine from batches of 20: the loss against the step, for three rates and four
# optimisers.

r = torch.Generator().manual_seed(0)
x = torch.rand(500, 1, generator=r) * 2 - 1
y = torch.sin(4 * x) + 0.1 * torch.randn(500, 1, generator=r)
n_steps = 600 if is_quick() else 6_000


def losses(name, rate):
    """Return the loss of all rows along the training by one optimiser."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    weights, batches = list(network.parameters()), torch.Generator().manual_seed(1)
    optimizer, seen = make_optimizer(name, weights, learning_rate=rate, betas=(0.9, 0.999)), []
    for step in range(n_steps):
        rows = torch.randint(500, (20,), generator=batches)
        loss = (network(x[rows]) - y[rows]).square().mean()
        take_step(optimizer, weights, torch.autograd.grad(loss, weights))
        if step % 10 == 0:
            seen.append(float((network(x) - y).square().mean().detach()))
    return np.array(seen)


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True, layout="constrained")
for rate, color in ((0.001, MUTED), (0.1, GENERATED), (0.5, CRITIC)):
    left.semilogy(
        np.arange(0, n_steps, 10),
        np.nan_to_num(losses("sgd", rate), nan=1e3, posinf=1e3),
        color=color,
        label=f"SGD, η = {rate:g}",
    )
for (name, rate), color in zip(
    {"sgd": 0.1, "adam": 0.01, "adagrad": 0.1, "adadelta": 1.0}.items(), COLORS, strict=False
):
    curve = losses(name, rate)
    compare(
        f"mean squared error by {name}, rate {rate:g}, after {n_steps} steps",
        "0.01 is the noise",
        float(curve[-5:].mean()),
    )
    right.semilogy(np.arange(0, n_steps, 10), curve, color=color, label=f"{name}, η = {rate:g}")
for ax, title in ((left, "Three rates"), (right, "Four optimisers, each with its rate")):
    ax.axhline(0.01, color=MUTED, lw=0.8, ls=":")
    ax.set(xlabel="step", title=title, ylim=(5e-3, 5))
    ax.legend(fontsize=8)
left.set_ylabel("mean squared error, all rows")
