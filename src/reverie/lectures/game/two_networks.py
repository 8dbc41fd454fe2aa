r"""
Drawings of the two networks, and of an autoencoder
===================================================

:Lecture A: What is a GAN; what is a generator network; a discriminator; schematic image of an autoencoder
:Lecture C: What is a GAN; labeling the networks
:Lecture D: Generative adversarial networks: schemes; GAN training
:Lecture E: Figure 3.5, work flow of a GAN

The schemes of the lectures, and the numbers that flow along their arrows before any training: losses of the untrained
pair, near those of a coin.
"""

# %%
# The pair of the first listing, untrained: a coin has log 2 = 0.693 for each cross-entropy.

import torch
from matplotlib import pyplot as plt

from reverie.lectures import compare
from reverie.networks import build_discriminator, build_generator
from reverie.objectives import OBJECTIVES
from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL

plt.style.use("reverie.plots.reverie")
r = torch.Generator().manual_seed(1)
G = build_generator("lecture_mlp", n_noise=20, event_shape=(28, 28), random_generator=r).eval()
D = build_discriminator("lecture_mlp", event_shape=(28, 28), random_generator=r).eval()
z = 2 * torch.rand(32, 20, generator=r) - 1
fake, real = torch.tanh(G(z)).reshape(32, 28, 28), -torch.ones(32, 28, 28)  # black images stand for digits here
with torch.no_grad():
    on_fake, on_real = D(fake), D(real)
ones = OBJECTIVES["non_saturating"].generator(on_fake, on_fake).item()
both = OBJECTIVES["non_saturating"].discriminator(on_real, on_fake).item()
compare("loss of the untrained generator, a coin has log 2 = 0.693", "0.7007 of D on fakes (book)", ones)
compare("loss of the untrained discriminator, a coin has log 4 = 1.386", "0.6226 + 0.7007 = 1.3233 (book)", both)


def box(ax, x, y, text, color, width=1.3):
    """Draw a box with a text in it."""
    ax.add_patch(plt.Rectangle((x - width / 2, y - 0.3), width, 0.6, fc="white", ec=color, lw=1.6))
    ax.text(x, y, text, ha="center", va="center", fontsize=9)


def arrow(ax, start, end):
    """Draw an arrow."""
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": MUTED, "lw": 1.2})


figure, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
box(ax, 0, 0, "noise z ~ p(z)", MUTED, 1.5)
box(ax, 2.3, 0, "generator G", GENERATED)
box(ax, 4.5, 0, "fake G(z)", GENERATED)
box(ax, 4.5, 1.3, "real x", REAL)
box(ax, 6.8, 0.65, "discriminator D", CRITIC, 1.6)
box(ax, 9.2, 0.65, "D(x): 1 real, 0 fake", CRITIC, 2)
arrow(ax, (0.8, 0), (1.6, 0))
arrow(ax, (3, 0), (3.8, 0))
arrow(ax, (5.2, 0.05), (6, 0.5))
arrow(ax, (5.2, 1.25), (6, 0.8))
arrow(ax, (7.6, 0.65), (8.15, 0.65))
dashed = {"arrowstyle": "->", "ls": "--"}
through = dashed | {"color": GENERATED, "connectionstyle": "arc3,rad=-0.3"}
ax.annotate("", (2.3, -0.32), (9.2, 0.33), arrowprops=through)
ax.annotate("", (6.8, 1), (9.2, 1), arrowprops=dashed | {"color": CRITIC, "connectionstyle": "arc3,rad=0.5"})
ax.text(8, 1.75, "gradient: tell them apart", ha="center", color=CRITIC, fontsize=8.5)
ax.text(5.6, -1.25, "gradient through D: make D say real", ha="center", color=GENERATED, fontsize=8.5)
ax.set(xlim=(-0.9, 10.4), ylim=(-1.4, 2), title="A generative adversarial network")
ax.axis("off")

# %%
# An autoencoder: what comes out is compared with what went in.

figure, ax = plt.subplots(figsize=(9, 2.4), layout="constrained")
layers = {0: (2.0, REAL), 1.2: (1.4, GENERATED), 2.2: (0.9, GENERATED), 3.2: (0.5, CRITIC)}
layers |= {6.4 - x: drawn for x, drawn in layers.items() if x < 3}
for x, (height, color) in layers.items():
    ax.add_patch(plt.Rectangle((x - 0.15, -height / 2), 0.3, height, color=color, alpha=0.6))
for x, text in ((0, "x"), (1.7, "encoder f(x, W)"), (3.2, "code h"), (4.7, "decoder g(h, V)"), (6.4, "x~")):
    ax.text(x, -1.25, text.replace("x~", r"$\tilde x$"), ha="center", fontsize=9)
ax.text(8, 0, r"minimise $|x - \tilde x|^2$", ha="center", va="center")
arrow(ax, (6.65, 0), (7.1, 0))
ax.set(xlim=(-0.5, 9), ylim=(-1.5, 1.15), title="An autoencoder")
ax.axis("off")
