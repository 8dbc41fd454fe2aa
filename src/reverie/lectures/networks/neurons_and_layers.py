r"""
Neurons, layers and their activation functions
==============================================

:Lecture E: 3.2: figures 3.1 and 3.2, activation functions; universal approximation
:Lecture A: Schematic image of an autoencoder; what is a generator network

Drawings of the lectures, made by Matplotlib, and the theorem behind them: one hidden layer can follow any continuous
function, the better the wider it is.
"""

# %%
# A neuron adds weighted inputs and a bias and maps the sum; layers of neurons make a network.

import numpy as np
import torch
from matplotlib import pyplot as plt

from reverie.lectures import compare, is_quick
from reverie.plots.style import COLORS, CRITIC, GENERATED, MUTED, REAL
from reverie.training import make_optimizer, take_step

plt.style.use("reverie.plots.reverie")


def layer(ax, x, n, color, names=None):
    """Draw n neurons above each other at x; return their places."""
    y = np.linspace(-1, 1, n) * (n - 1) / 6 if n > 1 else np.zeros(1)
    ax.scatter(np.full(n, x), y, s=260, color="white", edgecolor=color, lw=1.6, zorder=3)
    for k, name in enumerate(names or []):
        ax.text(x, y[::-1][k], name, ha="center", va="center", fontsize=8, zorder=4)
    return [(x, value) for value in y]


def connect(ax, one, other):
    """Draw a line from each neuron of one layer to each of the next."""
    for a in one:
        for b in other:
            ax.plot(*zip(a, b, strict=True), color=MUTED, lw=0.5, zorder=1)


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
inputs = layer(left, 0, 5, GENERATED, [f"$x_{k}$" for k in range(1, 6)])
body = layer(left, 1.2, 1, CRITIC, ["$\\Sigma$, f"])
connect(left, inputs, body)
for k, (_, y) in enumerate(inputs):
    left.text(0.5, y * 0.62 + 0.03, f"$w_{5 - k}$", fontsize=8, color=MUTED)
left.annotate("", (2.1, 0), (1.3, 0), arrowprops={"arrowstyle": "->", "color": REAL})
left.text(2.15, 0, r"$O = f(\sum_i w_i x_i + b)$", va="center")
left.set(title="An artificial neuron (figure 3.1)", xlim=(-0.2, 3.3))
parts = [layer(right, k, n, c) for k, (n, c) in enumerate(((3, GENERATED), (5, CRITIC), (2, REAL)))]
for one, other in zip(parts, parts[1:], strict=False):
    connect(right, one, other)
for k, name in enumerate(("inputs", "hidden layer", "outputs")):
    right.text(k, -0.95, name, ha="center", fontsize=8.5, color=MUTED)
right.set(title="A feed-forward network (figure 3.2)", ylim=(-1.1, 0.9))
for ax in (left, right):
    ax.axis("off")

# %%
# Activation functions: those without a bound do not saturate, those with one do.

functions = {
    "ReLU": torch.relu, "Leaky ReLU": lambda x: torch.nn.functional.leaky_relu(x, 0.2), "linear": lambda x: x,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "binary": lambda x: (x > 0).float(),
}  # fmt: skip
x = torch.linspace(-3, 3, 301)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained")
for k, (name, f) in enumerate(functions.items()):
    (left if k < 3 else right).plot(x, f(x), color=COLORS[k], label=name)
left.set(title="not saturating", ylim=(-1.5, 3), xlabel="z", ylabel="f(z)")
right.set(title="saturating", ylim=(-1.2, 1.2), xlabel="z")
for ax in (left, right):
    ax.legend(loc="upper left")

# %%
# Universal approximation: the largest error of one hidden layer of tanh, trained for long on a function with a step
# and waves, against its width.

x = torch.linspace(-1, 1, 400)[:, None]
y = torch.sin(6 * x) + torch.tanh(20 * (x - 0.3))
widths, n_steps = ((2, 8, 32), 1_500) if is_quick() else ((2, 4, 8, 16, 32, 64, 128), 20_000)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.1), layout="constrained")
left.plot(x, y, color=REAL, lw=3, alpha=0.3, label="function")
errors = []
for width, color in zip(widths, COLORS, strict=False):
    torch.manual_seed(width)
    network = torch.nn.Sequential(torch.nn.Linear(1, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))
    torch.nn.init.uniform_(network[0].weight, -8, 8)
    torch.nn.init.uniform_(network[0].bias, -4, 4)
    weights = list(network.parameters())
    optimizer = make_optimizer("adam", weights, learning_rate=0.01, betas=(0.9, 0.999))
    for _ in range(n_steps):
        loss = (network(x) - y).square().mean()
        take_step(optimizer, weights, torch.autograd.grad(loss, weights))
    answer = network(x).detach()
    errors.append(float((answer - y).square().mean().sqrt()))
    if width in (2, 8, 32):
        left.plot(x, answer, color=color, lw=1.2, label=f"{width} hidden neurons")
compare(f"root mean square error with {widths[0]} and {widths[-1]} hidden neurons", "arbitrary accuracy by width",
        f"{errors[0]:.3f} and {errors[-1]:.4f}")  # fmt: skip
left.legend(fontsize=8)
left.set(title="One hidden layer follows a function", xlabel="x")
right.loglog(widths, errors, "o-", ms=4, color=GENERATED)
right.set(xlabel="hidden neurons", ylabel="root mean square error", title="the better the wider")
right.set_xticks(widths, [str(w) for w in widths])
right.minorticks_off()
