r"""
The law of the bootstrap
========================

:Lecture D: Bootstrapping: bootstrap distributions approximate sampling distributions

From one sample of n numbers, B new ones are drawn with replacement; the scatter of a statistic over them estimates
its error. The slide says that the bootstrap distribution tends to the sampling distribution. Here both are drawn:
that of the mean and the median of one sample of an exponential, and of as many fresh samples.
"""

# %%
# The bootstrap of the library takes the statistic first, then the rows.

import numpy as np
from matplotlib import pyplot as plt

from reverie.explore import bootstrap
from reverie.lectures import compare, is_quick
from reverie.plots.style import GENERATED, MUTED, REAL

plt.style.use("reverie.plots.reverie")
B = 2_000 if is_quick() else 20_000
r = np.random.default_rng(1)
figure, axes = plt.subplots(2, 2, figsize=(9, 5), layout="constrained")
for row, (statistic, truth) in zip(axes, ((np.mean, 1.0), (np.median, np.log(2))), strict=True):
    name = statistic.__name__
    for ax, n in zip(row, (20, 400), strict=True):
        sample = r.exponential(size=n)
        boot = bootstrap(statistic, sample, n_resamples=B, random_state=0)
        fresh = statistic(r.exponential(size=(B, n)), axis=1)
        edges = np.linspace(*np.quantile(np.r_[boot.replicates - boot.value, fresh - truth], (0.001, 0.999)), 41)
        ax.hist(fresh - truth, edges, density=True, color=REAL, alpha=0.2, label="fresh samples, around the truth")
        ax.hist(boot.replicates - boot.value, edges, density=True, histtype="step", color=GENERATED, lw=1.5,
                label="bootstrap of one sample, around its value")  # fmt: skip
        ax.axvline(0, color=MUTED, lw=0.8, ls=":")
        ax.set(title=f"{name}, n = {n}", xlabel=f"deviation of the {name}", yticks=[])
        compare(
            f"error of the {name}, n = {n}: fresh samples beside the bootstrap",
            f"{fresh.std():.4f}",
            f"{boot.error:.4f}",
        )
        if statistic is np.mean:
            compare(f"Var_B of the mean, n = {n}", f"s^2/n = {sample.var(ddof=1) / n:.5f}", f"{boot.error**2:.5f}")
axes[0, 0].set_ylim(0, 1.45 * axes[0, 0].get_ylim()[1])
axes[0, 0].legend(loc="upper left", fontsize=8)
