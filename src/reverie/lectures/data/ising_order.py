r"""
The Ising model finds its own order parameter
=============================================

:Lecture D: Principal component analysis: Ising model in two dimensions, 1000 samples for each T

Configurations of 40 x 40 spins at sixteen temperatures are pooled without their temperature. The first principal
component of 1600 spins is the magnetisation, and it holds more than half of the variance.
"""

# %%
# Independent lattices from cluster updates. Cold and ordered on the left, hot and disordered on the right.

import numpy as np
from matplotlib import pyplot as plt

from reverie.explore import principal_components
from reverie.lectures import compare, is_quick
from reverie.plots.style import SPIN_MAP
from reverie.simulators import Ising

plt.style.use("reverie.plots.reverie")
SIDE, N = 40, 40 if is_quick() else 1_000
temperatures = np.linspace(0.25, 4, 16)
lattices = [Ising(SIDE, 1 / t).sample(N, random_state=i).numpy() for i, t in enumerate(temperatures)]
x = np.concatenate(lattices).reshape(-1, SIDE**2)
t = np.repeat(temperatures, N)
m = x.mean(axis=1)

figure, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained")
for ax, k in zip(axes, (3, 8, 9, 15), strict=True):
    ax.imshow(lattices[k][0], cmap=SPIN_MAP, vmin=-1, vmax=1)
    phase = "ordered" if temperatures[k] < 2.269 else "disordered"
    ax.set(title=f"T = {temperatures[k]:g} J, {phase}", xticks=[], yticks=[])
    ax.grid(visible=False)

# %%
# Two components of 1600, coloured by the temperature that they were not told.

found = principal_components(x, n_components=2, n_bootstrap=50, random_state=0)
plane = found.transform(x)
share = found.explained_variance_ratio[0]
compare("share of the variance along the first component", "> 50 %", f"{share:.1%} ± {found.ratio_error[0]:.1%}")
compare("correlation of the first component with the magnetisation", "it is the order parameter",
        f"{abs(np.corrcoef(plane[:, 0], m)[0, 1]):.5f}")  # fmt: skip

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=(1.25, 1), layout="constrained")
dots = left.scatter(*plane.T, c=t, s=5, cmap="coolwarm")
figure.colorbar(dots, ax=left, label="temperature (J)")
left.set(
    xlabel=f"first component, {share:.1%} of the variance", ylabel=f"second, {found.explained_variance_ratio[1]:.1%}"
)
left.set_title("Configurations, coloured by temperature")
right.scatter(m, plane[:, 0] * np.sign(np.corrcoef(plane[:, 0], m)[0, 1]), c=t, s=5, cmap="coolwarm")
right.set(xlabel="magnetisation per spin", ylabel="first component", title="The component is the magnetisation")
