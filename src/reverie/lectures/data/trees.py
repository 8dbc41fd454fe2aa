r"""
A decision tree, and a forest of them
=====================================

:Lecture D: Random forests: picture of a tree; bagged trees and random features

A tree asks one feature at a time and splits the rows by the answer; alone it follows the noise. A forest trains each
tree on its own bootstrap sample, and each question may choose from a few features only, which makes the trees less
alike.
"""

# %%
# The classes of the telescope events "magic" are not needed to see it: two half moons among twelve useless columns
# do.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.tree import DecisionTreeClassifier, plot_tree

from reverie.explore import forest
from reverie.lectures import compare, is_quick
from reverie.plots.style import CRITIC, GENERATED, REAL

plt.style.use("reverie.plots.reverie")
r = np.random.default_rng(3)
n = 400
angle, label = r.uniform(0, np.pi, n), r.integers(2, size=n)
x = np.c_[np.cos(angle), np.sin(angle)] * np.where(label, -1, 1)[:, None] + np.where(label, 1, 0)[:, None] * (1.0, 0.5)
x += 0.25 * r.normal(size=x.shape)

tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(x, label)
figure = plt.figure(figsize=(9, 4.2), layout="constrained")
ax = figure.add_subplot()
drawn = plot_tree(
    tree, feature_names=["x", "y"], class_names=["a", "b"], impurity=False, ax=ax, fontsize=8, rounded=True
)
for node in drawn:
    box = node.get_bbox_patch()
    if box is not None:
        box.set(facecolor="#eef6f5", edgecolor=GENERATED)
ax.set_title("A decision tree: questions of one feature each")

# %%
# A tree of any depth, and 300 of them. The score is that of rows which a tree has not seen.

noise = r.normal(size=(n, 12))
deep = DecisionTreeClassifier(random_state=0).fit(x, label)
wood = forest(np.c_[x, noise], label, n_estimators=100 if is_quick() else 300, random_state=0)
compare(
    "accuracy of the forest on rows not seen, beside chance",
    "higher than of a tree",
    f"{wood.out_of_bag}; {wood.chance:.2f}",
)
low, high = wood.correlation[0], wood.correlation[-1]
compare(f"correlation of two trees, {high.max_features} and {low.max_features} features a question",
        "random features lower it", f"{high.rho:.3f} and {low.rho:.3f}")  # fmt: skip

flat = forest(x, label, n_estimators=100, random_state=0)
axis = np.linspace(-2, 2.6, 161), np.linspace(-1.6, 2, 161)
plane = np.stack(np.meshgrid(*axis), axis=-1).reshape(-1, 2)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
for ax, share, title in (
    (axes[0], deep.predict_proba(plane)[:, 1], "one tree, no limit"),
    (axes[1], flat.estimator.predict_proba(plane)[:, 1], "a forest"),
):
    ax.contourf(*axis, share.reshape(161, 161), levels=np.linspace(0, 1, 11), cmap="BrBG", alpha=0.6)
    for k, color in enumerate((CRITIC, GENERATED)):
        ax.plot(*x[label == k].T, ".", ms=4, color=color)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(visible=False)
features = [c.max_features for c in wood.correlation]
axes[2].plot(features, [c.rho for c in wood.correlation], "o-", ms=4, color=REAL)
axes[2].set(xlabel="features that a question may choose from", title="correlation of two trees", ylim=(0, None))
