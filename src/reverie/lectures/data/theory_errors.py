r"""
Theory errors of a fit: which directions matter
===============================================

:Lecture D: PCA for propagation of theory errors; singular value decomposition; table of data sets

The lecture asks for the relevant components of a covariance matrix of theory errors with thousands of rows. A
published one of 205 rows, from three kinds of scale variations, has rank 3: all its errors are three numbers. As it
stands one total cross section in other units than the rest holds all of the variance; in units of each row's own
error it does not.
"""

# %%
# The rows have names: group, data set, number. What is drawn is the correlation, the covariance in relative units.

import numpy as np
from matplotlib import pyplot as plt

from reverie.data import load_covariance, load_covariance_names
from reverie.explore import correlation_matrix, principal_components_of_covariance
from reverie.lectures import compare
from reverie.plots.style import COLORS, MUTED

plt.style.use("reverie.plots.reverie")
C, names = load_covariance("theory_covariance"), load_covariance_names("theory_covariance")
R = correlation_matrix(C)
raw, relative = principal_components_of_covariance(C, names=names), principal_components_of_covariance(R, names=names)
compare("relevant components of the covariance", "few of about 3,000", f"{raw.rank} of {len(C)}")
compare("rows of the lecture's table", 2819, 1593 + 552 + 484 + 164 + 26)
first = names[int(np.abs(raw.components[0]).argmax())]
print(f"as it stands, the first holds {raw.explained_variance_ratio[0]:.1%}: it is {first}")
print("in units of each row's error:", ", ".join(f"{share:.1%}" for share in relative.explained_variance_ratio))

# %%
# Eigenvalues by singular values of a data matrix are the same numbers: :math:`\Lambda = S^2/(n - 1)`.

root = relative.components.T * np.sqrt(relative.eigenvalues[: relative.rank])
X = np.random.default_rng(0).normal(size=(2_000, relative.rank)) @ root.T
X -= X.mean(axis=0)
S = np.linalg.svd(X, compute_uv=False)
Lambda = np.linalg.eigvalsh(X.T @ X / (len(X) - 1))[::-1]
compare(
    "largest eigenvalue of a sample's covariance, by S^2/(n - 1)", float(S[0] ** 2 / (len(X) - 1)), float(Lambda[0])
)

groups = [name.split("/")[0] for name in names]
starts = [0, *(i for i in range(1, len(groups)) if groups[i] != groups[i - 1])]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=(1.1, 1), layout="constrained")
image = left.imshow(R, cmap="RdBu_r", vmin=-1, vmax=1)
left.grid(visible=False)
for start in starts[1:]:
    left.axhline(start - 0.5, color="black", lw=0.6)
    left.axvline(start - 0.5, color="black", lw=0.6)
middle = [(a + b) / 2 for a, b in zip(starts, [*starts[1:], len(groups)], strict=True)]
left.set_yticks(middle, [groups[s] for s in starts], fontsize=7)
left.set_xticks(middle, [groups[s] for s in starts], fontsize=7, rotation=60, ha="right")
left.set_title("Correlation of theory errors, by process")
figure.colorbar(image, ax=left, shrink=0.85)
for k, color in zip(range(relative.rank), COLORS, strict=False):
    share = relative.explained_variance_ratio[k]
    right.plot(relative.components[k] + 0.5 * k, color=color, lw=1, label=f"component {k + 1}: {share:.1%}")
    right.axhline(0.5 * k, color=MUTED, lw=0.5, ls=":")
for start in starts[1:]:
    right.axvline(start - 0.5, color=MUTED, lw=0.5)
right.set(xlabel="row of the matrix", yticks=[], title="The three directions, in relative units", xlim=(0, len(R) - 1))
right.legend(loc="upper right", ncols=3, fontsize=7.5)
right.set_ylim(None, right.get_ylim()[1] + 0.15)
