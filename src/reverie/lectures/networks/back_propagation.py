r"""
Back-propagation, step by step
==============================

:Lecture E: 3.3, equations 3.4 to 3.9; cost functions 3.2 and 3.3

Four equations give all derivatives of the cost by one pass forwards and one backwards. They are written out here for
two layers and compared with what torch computes and with finite differences.
"""

# %%
# A network 3-4-1 with a sigmoid, and the cross-entropy of equation 3.4.

import numpy as np
import torch
from matplotlib import pyplot as plt

from reverie.lectures import compare
from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL

plt.style.use("reverie.plots.reverie")
r = np.random.default_rng(0)
W1, b1, W2, b2 = r.normal(size=(4, 3)), r.normal(size=4), r.normal(size=(1, 4)), r.normal(size=1)
x, y = r.normal(size=3), 1.0


def sigmoid(z):
    """Return 1/(1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


def cost(W1, b1, W2, b2):
    """Return the cross-entropy of the network's answer to x."""
    a = sigmoid(W2 @ np.tanh(W1 @ x + b1) + b2)[0]
    return -(y * np.log(a) + (1 - y) * np.log(1 - a))


# forwards: the activations of all layers (3.5)
a1 = np.tanh(W1 @ x + b1)
a2 = sigmoid(W2 @ a1 + b2)
# backwards: the variation of the last layer (3.6), of the one before (3.8), and all derivatives (3.7, 3.9)
delta2 = a2 - y
delta1 = (W2.T @ delta2) * (1 - a1**2)
by_hand = {"W1": np.outer(delta1, x), "b1": delta1, "W2": np.outer(delta2, a1), "b2": delta2}

given = [torch.tensor(value, requires_grad=True) for value in (W1, b1, W2, b2)]
answer = torch.sigmoid(given[2] @ torch.tanh(given[0] @ torch.tensor(x) + given[1]) + given[3])
loss = torch.nn.functional.binary_cross_entropy(answer, torch.tensor([y]).double())
by_torch = dict(zip(by_hand, torch.autograd.grad(loss, given), strict=True))
eps = 1e-6
for name in by_hand:
    largest = float(np.abs(by_hand[name] - by_torch[name].numpy()).max())
    compare(f"equations 3.6 to 3.9 against torch, {name}: largest difference", 0.0, largest)
moved = W1 + eps * np.eye(4, 3)
slope = (cost(moved, b1, W2, b2) - cost(W1 - eps * np.eye(4, 3), b1, W2, b2)) / (2 * eps)
compare("finite difference along the diagonal of W1", float(np.trace(by_hand["W1"][:3])), float(slope))

figure, ax = plt.subplots(figsize=(9, 2.9), layout="constrained")
boxes = ["$a^0 = x$", "$z^1 = W^1 a^0 + b^1$", "$a^1 = f(z^1)$", "$z^2 = W^2 a^1 + b^2$", "$a^2 = f(z^2)$", "cost $L$"]
back = [
    "$\\partial L/\\partial W^1 = \\Delta^1 a^{0T}$", "$\\Delta^1 = (W^{2T}\\Delta^2)\\, f'(z^1)$",
    "$\\partial L/\\partial W^2 = \\Delta^2 a^{1T}$", "$\\Delta^2 = \\partial L/\\partial z^2$", "",
]  # fmt: skip
for k, text in enumerate(boxes):
    edge = CRITIC if k == len(boxes) - 1 else GENERATED
    ax.text(k, 1, text, ha="center", va="center", bbox={"boxstyle": "round,pad=0.5", "fc": "white", "ec": edge})
    if k:
        arrow = {"arrowstyle": "->", "color": REAL}
        ax.annotate("", (k - 0.36, 1.28), (k - 0.64, 1.28), arrowprops=arrow)
        ax.annotate("", (k - 0.64, 0.72), (k - 0.36, 0.72), arrowprops=arrow | {"color": CRITIC})
for k, text in enumerate(back):
    ax.text(k + 0.5, 0.38, text, ha="center", va="center", fontsize=8, color=CRITIC)
ax.text(2.5, 1.45, "forwards: activations", ha="center", color=MUTED)
ax.text(2.5, 0.05, "backwards: variations, and all derivatives", ha="center", color=MUTED)
ax.set(xlim=(-0.6, 5.6), ylim=(-0.1, 1.6), title="One pass each way")
ax.axis("off")
