r"""
K-means: its iterations, its centres, and where it fails
========================================================

:Lecture D: Clustering: example with centres, cost function, two steps, convergence, spurious results

K-means goes back and forth between two steps: every point is given to its nearest centre, and every centre moves to
the mean of its points. Both lower the cost C(x; μ), so it ends. It assumes that all clusters are equally wide in all
directions; where they are not, the borders are wrong and the cost does not say so.

Misprints of D: the means are called the expectation step and the assignment the maximization step, the other way
round than in the literature; and the assignment minimises the *squared* distance, whose square the slide leaves out.
"""

# %%
# Five groups, and centres that begin at five points drawn at random.

import numpy as np
from matplotlib import pyplot as plt

from reverie.explore import kmeans, kmeans_steps
from reverie.lectures import compare, is_quick
from reverie.plots.style import COLORS, REAL

plt.style.use("reverie.plots.reverie")
r = np.random.default_rng(4)
n = 150 if is_quick() else 2_000
turn = 2 * np.pi * np.arange(5) / 5
x = np.concatenate([r.normal((3 * np.cos(a), 3 * np.sin(a)), 0.75, size=(n, 2)) for a in turn])
steps = list(kmeans_steps(x, x[r.choice(len(x), 5, replace=False)]))
best = kmeans(x, 5, standardise=False, random_state=0)
compare("clusters", "one colour for each", f"{best.n_clusters}, sizes {sorted(best.sizes.tolist())}")
compare("cost never rises from step to step", "yes", all(b.cost <= a.cost for a, b in zip(steps, steps[1:])))  # noqa: B905
print(
    f"{len(steps)} steps; cost {steps[0].cost:.1f} -> {steps[-1].cost:.1f}; best of several starts {best.inertia:.1f}"
)
print("From one start it can end where two centres share a group: `kmeans` keeps the best of several starts.")

shown = [0, 1, 2, len(steps) - 1]
figure, axes = plt.subplots(1, 5, figsize=(11, 2.6), width_ratios=(1, 1, 1, 1, 1.25), layout="constrained")
for ax, k in zip(axes, shown, strict=False):
    for j, color in enumerate(COLORS[:5]):
        ax.plot(*x[steps[k].labels == j].T, ".", ms=2, color=color)
    ax.plot(*steps[k].centres.T, "*", ms=10, color=REAL, mec="white", mew=0.7)
    ax.set(title=f"step {k}", xticks=[], yticks=[], aspect="equal")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
axes[-1].plot([step.cost for step in steps], "o-", ms=3, color=COLORS[0])
axes[-1].axhline(best.inertia, color=COLORS[1], ls="--", lw=1)
axes[-1].text(len(steps) - 1, best.inertia * 1.05, "best of several starts", ha="right", fontsize=8, color=COLORS[1])
axes[-1].set(xlabel="step", title="cost C(x; μ)", ylim=(0, None))

# %%
# The failure: three stretched clusters. The library warns where the widths of the clusters that it found differ; here
# they do not, and nothing in the cost tells that the borders cut through the groups. A tree with single linkage,
# which follows chains of neighbours, finds them.

from reverie.explore import hierarchy

truth = np.repeat(np.arange(3), 300)
stretched = np.c_[r.uniform(-5, 5, 900), 0.15 * r.normal(size=900) + 1.5 * truth]
found = kmeans(stretched, 3, standardise=False, random_state=0)
tree = hierarchy(stretched, linkage="single", n_clusters=3, standardise=False).labels(3)


def agreement(labels):
    """Return the share of points in the majority group of their cluster."""
    return sum(np.bincount(truth[labels == k]).max() for k in np.unique(labels)) / len(truth)


compare(
    "K-means on stretched clusters: points with their own group", "spurious results", f"{agreement(found.labels):.1%}"
)
compare("single linkage on the same", "not on the slide", f"{agreement(tree):.1%}")
figure, axes = plt.subplots(1, 3, figsize=(10, 2.7), sharey=True, layout="constrained")
for ax, labels, title in zip(axes, (truth, found.labels, tree), ("truth", "K-means", "single linkage"), strict=True):
    for k in np.unique(labels):
        ax.plot(*stretched[labels == k].T, ".", ms=3, color=COLORS[k % len(COLORS)])
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(visible=False)
axes[1].plot(*found.centres.T, "*", ms=12, color=REAL, mec="white", mew=0.7)
