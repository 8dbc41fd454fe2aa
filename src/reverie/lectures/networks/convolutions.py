r"""
Convolution arithmetic, and tables of parameters
================================================

:Lecture E: Equation 3.1, figures 3.3 and 3.4; 3.5: figures 3.7, 3.8 and 3.9
:Lecture C: Setting up the GAN; printing the model
:Lecture A: Hyper-parameters, plot_model; the TensorFlow tutorial's DCGAN

A filter of size f, moved by s over w numbers with p zeros at each edge, gives (w - f + 2p)/s + 1 numbers. Then the
tables of the thesis, layer by layer, and the totals of all networks of the lectures.

The thesis calls 125,835 parameters of its generator trainable; its own table says 124,955, the other 880 are running
statistics. Its generator makes three features, its discriminator reads two: the pair as printed cannot be played.
"""

# %%
# Equation 3.1 against the layer itself, for figures 3.3 and 3.4.

import numpy as np
import torch
from matplotlib import pyplot as plt

from reverie.lectures import compare
from reverie.networks import build_discriminator, build_generator, summary
from reverie.plots.style import COLORS, CRITIC, GENERATED, MUTED

plt.style.use("reverie.plots.reverie")
for w, f, p, s in ((6, 4, 1, 2), (32, 4, 1, 2)):
    made = torch.nn.Conv1d(1, 1, f, stride=s, padding=p)(torch.zeros(1, 1, w)).shape[-1]
    compare(f"({w} - {f} + 2 * {p})/{s} + 1", (w - f + 2 * p) // s + 1, made)

figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), width_ratios=(8, 8, 3), layout="constrained")
for ax, (i, j) in zip(axes[:2], ((0, 0), (1, 2)), strict=True):
    grid = np.zeros((8, 8))
    grid[1:7, 1:7] = 1
    ax.pcolormesh(grid, cmap="Greys", vmin=0, vmax=4, edgecolor="white", lw=1.5)
    ax.add_patch(plt.Rectangle((2 * j, 2 * i), 4, 4, color=COLORS[3 * i + j], alpha=0.6))
    ax.set_title(f"filter 4 x 4 at step ({i}, {j})")
axes[2].pcolormesh(np.zeros((3, 3)), cmap="Greys", vmin=0, vmax=4, edgecolor=MUTED, lw=1)
for i, j in ((0, 0), (1, 2)):
    axes[2].add_patch(plt.Rectangle((j, i), 1, 1, color=COLORS[3 * i + j], alpha=0.7))
axes[2].set_title("output 3 x 3")
for ax in axes:
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)

# %%
# The thesis, figure 3.7 and 3.8: ``reverie.networks.summary`` prints such a table for any network.


def tables(name, n_noise, made, seen):
    """Return the tables of both networks: noise to events of the shape `made`, events of the shape `seen` to D."""
    r = torch.Generator().manual_seed(0)
    G = build_generator(name, n_noise=n_noise, event_shape=made, random_generator=r)
    D = build_discriminator(name, event_shape=seen, random_generator=r)
    return summary(G, torch.zeros(2, n_noise)), summary(D, torch.zeros(2, *seen))


table, judge = tables("thesis", 100, (3,), (2,))
print(table)
compare("generator of the thesis: parameters, trainable, not", "125,835, 124,955, 880",
        f"{table.n_parameters + table.n_buffers:,}, {table.n_parameters:,}, {table.n_buffers:,}")  # fmt: skip
compare("discriminator of the thesis, two features", "101,513", f"{judge.n_parameters:,}")
compare(
    "the same with the three that its generator makes",
    "not printed",
    f"{tables('thesis', 100, (3,), (3,))[1].n_parameters:,}",
)
LECTURES = {
    "lecture_mlp": (20, "81,284", "78,501"), "dcgan28": (100, "2,330,944", "212,865"),
    "wgan_conv": (100, "311,808", "109,056"),
}  # fmt: skip
for name, (n_noise, of_g, of_d) in LECTURES.items():
    here = tables(name, n_noise, (28, 28), (28, 28))
    shown = " and ".join(f"{one.n_parameters + one.n_buffers:,}" for one in here)
    compare(f"{name}: generator and discriminator for 28 x 28", f"{of_g} and {of_d}", shown)

# %%
# Figure 3.9, the sizes of what flows from layer to layer.

figure, axes = plt.subplots(2, 1, figsize=(9, 4.2), layout="constrained")
for ax, network, start, color, title in (
    (axes[0], table, "noise 100", GENERATED, "Generator: 100 numbers of noise to 3 features"),
    (axes[1], judge, "2 features", CRITIC, "Discriminator: 2 features to one answer"),
):
    rows = [row for row in network.rows if row.n_parameters > 0 or "Reshape" in row.layer or "Flatten" in row.layer]
    ax.text(0, 0.5, start, ha="center", va="center", fontsize=8)
    for k, row in enumerate(rows, 1):
        size = row.shape[1:]
        planes = size[0] if len(size) == 3 else 0
        height = 0.75 if planes else 0.25 + 0.1 * np.log10(max(size[-1], 1))
        width = 0.12 + 0.1 * np.log2(max(planes, 1)) / 2 if planes else 0.12
        ax.add_patch(plt.Rectangle((k - width / 2, 0.5 - height / 2), width, height, color=color, alpha=0.55))
        ax.text(k, 0.02, " x ".join(map(str, size)), ha="center", fontsize=6.5, color=MUTED)
        ax.text(k, 0.95, row.layer, ha="center", fontsize=6.5, rotation=20)
    ax.set(title=title, xlim=(-0.6, len(rows) + 0.6), ylim=(0, 1.15))
    ax.axis("off")
