r"""
A sheet rolled up in three dimensions
=====================================

:Lecture D: Intrinsic dimensionality of the data; dimensional reduction and the crowding problem

A sheet rolled up in space has two parameters, though every point has three coordinates. The dimension is measured
from distances to neighbours; a plane through the data (PCA) squashes the roll, a picture that keeps neighbours
unrolls parts.
"""

# %%
# The dimension against the distance at which it is asked: two near by, three from where layers of the roll meet.

import numpy as np
from matplotlib import pyplot as plt

from reverie.explore import gride, principal_components, trustworthiness, tsne
from reverie.lectures import compare, is_quick
from reverie.plots.style import GENERATED, MUTED

plt.style.use("reverie.plots.reverie")
n = 1_000 if is_quick() else 5_000
r = np.random.default_rng(0)
t, height = 1.5 * np.pi * (1 + 2 * r.uniform(size=n)), 21 * r.uniform(size=n)
x = np.c_[t * np.cos(t), height, t * np.sin(t)]
scan = gride(x, range_max=512, random_state=0)
compare("dimension of the roll, smallest distance", "2 of 3", scan.results[0].dimension)

plane = principal_components(x, n_components=2, n_bootstrap=0, random_state=0).transform(x)
picture = tsne(x, perplexity=50, random_state=0)
compare("neighbours kept in a plane (trustworthiness): PCA, t-SNE", "1 keeps all",
        f"{trustworthiness(x, plane):.3f}, {picture.trustworthiness:.3f}")  # fmt: skip

figure = plt.figure(figsize=(11, 3.2), layout="constrained")
space = figure.add_subplot(1, 4, 1, projection="3d")
space.scatter(*x.T, c=t, s=3, cmap="viridis")
space.set(title="in space", xticklabels=[], yticklabels=[], zticklabels=[])
space.view_init(12, -75)
for k, (points, title) in enumerate(((plane, "PCA: squashed"), (picture.points, "t-SNE: neighbours kept")), 2):
    ax = figure.add_subplot(1, 4, k)
    color = t if len(points) == n else t[picture.rows]
    ax.scatter(*points.T, c=color, s=3, cmap="viridis")
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(visible=False)
ax = figure.add_subplot(1, 4, 4)
scale = [result.scale for result in scan.results]
ax.errorbar(scale, scan.dimension, scan.error, fmt="o-", ms=4, color=GENERATED)
ax.axhline(2, color=MUTED, lw=0.8, ls=":")
ax.set(xscale="log", xlabel="distance", title="intrinsic dimension", ylim=(1, 3.2))
