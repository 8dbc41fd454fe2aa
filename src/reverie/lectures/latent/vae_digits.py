r"""
A variational autoencoder: the plane of codes
=============================================

:Lecture A: Training VAEs; setting up SGD; simplification of the KL; code examples using Keras, code in PyTorch
:Lecture B: Variational autoencoders

Two latent numbers, as in the Keras example: a grid of decoded digits, and the codes of held-out digits coloured by
class, which the model never saw. Codes follow a density, so samples need no Markov chain.
"""

# %%
# The divergence in the loss, for the lecture's formula :math:`\frac12(\mathrm{tr}\,\Sigma + \mu^T\mu - k -
# \log\det\Sigma)`.

import numpy as np
import torch
from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, draw_rows, is_quick, mosaic
from reverie.objectives import diagonal_kl
from reverie.plots.style import COLORS

plt.style.use("reverie.plots.reverie")
mu, sd = torch.tensor([[1.0, -0.5]]), torch.tensor([[0.5, 1.2]])
by_hand = 0.5 * float(sd.square().sum() + mu.square().sum() - 2 - sd.square().log().sum())
compare("KL(N(mu, Sigma) | N(0, 1))", by_hand, diagonal_kl(mu, sd.log()).item())

if is_quick():
    x, labels, n_steps = reverie.data.load("digits").values, reverie.data.load_labels("digits"), 600
else:
    x, labels, n_steps = reverie.data.load("mnist").values, reverie.data.load_labels("mnist"), 20_000
r = np.random.default_rng(0).permutation(len(x))
train, test = r[: int(0.8 * len(r))], r[int(0.8 * len(r)) :][:3_000]
model = reverie.VAE(n_latent=2, max_steps=n_steps, n_checks=4, random_state=0).fit(x[train])
codes = model.encode(x[test])
nearest = np.argsort(((codes[:, None] - codes[None]) ** 2).sum(-1), axis=1)[:, 1:6]
votes = np.array([np.bincount(labels[test][row], minlength=10).argmax() for row in nearest])
compare(
    "digits whose five neighbours in the plane agree with their class",
    "classes cluster",
    f"{(votes == labels[test]).mean():.0%}",
)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
side = 12
grid = model.manifold(side)[::-1].reshape(-1, *x.shape[1:])
left.imshow(mosaic(grid, side, gap=0), cmap="gray_r")
left.set_title("decoded grid of the two numbers")
left.axis("off")
for k in range(10):
    mine = labels[test] == k
    right.plot(*codes[mine].T, ".", ms=4, color=COLORS[k], label=str(k))
right.legend(ncols=1, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2)
right.set(xlabel="z₁", ylabel="z₂", title="codes of held-out digits, by class")
right.grid(visible=False)

# %%
# Originals beside reconstructions and fresh samples, which are one pass from noise.

figure, ax = plt.subplots(figsize=(9, 2.6), layout="constrained")
original = x[test[:12]]
again, fresh = np.asarray(model.reconstruct(original)), np.asarray(model.sample(12, random_state=0))
draw_rows(ax, {"original": original, "reconstruction": again, "sample": fresh})
