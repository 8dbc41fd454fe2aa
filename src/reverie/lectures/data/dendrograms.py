r"""
Trees of clusters: what the distance decides
============================================

:Lecture D: Hierarchical clustering: agglomerative algorithm, linkages, dendrogram; combined with K-means

Every point begins as its own cluster and the two nearest merge, again and again. Near can be meant by the nearest
pair (single), the farthest (complete), the mean or the growth of variance (Ward), and the trees differ. Large tables
are first condensed by K-means, as the lecture advises.
"""

# %%
# Two round groups and a long one.

import numpy as np
from matplotlib import pyplot as plt

from reverie.explore import hierarchy
from reverie.lectures import compare, is_quick
from reverie.plots.style import COLORS, MUTED

plt.style.use("reverie.plots.reverie")
n = 60 if is_quick() else 300
r = np.random.default_rng(2)
parts = [
    r.normal((-3, 0), 0.5, (n, 2)),
    r.normal((0, 2), 0.5, (n, 2)),
    np.c_[r.uniform(-3, 5, n), r.normal(-3, 0.25, n)],
]
x, truth = np.concatenate(parts), np.repeat(np.arange(3), n)

figure, axes = plt.subplots(2, 4, figsize=(11, 4.8), height_ratios=(1, 1), layout="constrained")
for (top, bottom), linkage in zip(axes.T, ("single", "complete", "average", "ward"), strict=True):
    tree = hierarchy(x, linkage=linkage, standardise=False)
    labels = tree.labels(3)
    right = sum(np.bincount(truth[labels == k]).max() for k in range(3)) / len(x)
    compare(
        f"{linkage} linkage, cut into 3: points with their own group",
        "depends on the choice of distance",
        f"{right:.0%}",
    )
    for k in range(3):
        top.plot(*x[labels == k].T, ".", ms=3, color=COLORS[k])
    top.set(title=f"{linkage}: cophenetic {tree.cophenetic:.2f}", xticks=[], yticks=[])
    top.grid(visible=False)
    drawn = tree.dendrogram(30)
    for across, height in zip(drawn.icoord, drawn.dcoord, strict=True):
        bottom.plot(across, height, color=MUTED, lw=0.9)
    bottom.set(xticks=[], ylim=(0, None))
axes[1, 0].set_ylabel("height of the merge")

# %%
# More rows than a tree can take are condensed first: 10,000 points into 1,000 small clusters, which the tree then
# joins.

many = np.concatenate(
    [r.normal(centre, 0.6, (2_000 if is_quick() else 10_000, 2)) for centre in ((0, 0), (4, 0), (2, 3))]
)
tree = hierarchy(many, condense=300, random_state=0)
compare(
    "clusters of many rows, condensed by K-means first",
    "typically combined",
    f"{tree.n_clusters} of {len(tree.leaves)} rows",
)
