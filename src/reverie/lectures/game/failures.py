r"""
Mode collapse and convergence failure
=====================================

:Lecture E: 3.4: the most common failures; figure 3.6 (a) and (b)
:Lecture C: Problems with GANs: hard to reach equilibrium, slow and unstable

Both failures of the thesis's figure, provoked: a generator fifty times as fast as its discriminator collapses to a
few of the modes and the losses fluctuate; a discriminator five thousand times as fast wins, its loss goes to zero and
the other one rises. The library raises an alarm with its evidence for each, and the default has neither.
"""

# %%
# The same small networks on a ring of peaks, three times.

import warnings

from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, is_quick
from reverie.plots.style import COLORS, CRITIC, GENERATED, REAL

plt.style.use("reverie.plots.reverie")
n_steps = 500 if is_quick() else 3_000
small = {"generator": (64, 64), "discriminator": (64, 64), "batch_size": 128, "max_steps": n_steps, "n_checks": 20,
         "record_every": n_steps // 100, "refine": False, "keep_best": False, "random_state": 3}  # fmt: skip
free = {"objective": "non_saturating", "penalty": "none"}
runs = {
    "(a) mode collapse": free | {"learning_rate": 1e-2, "discriminator_learning_rate": 2e-4, "betas": (0.5, 0.9),
                                 "ema_decay": 0.9, "schedule": "constant"},
    "(b) convergence failure": free | {"learning_rate": 1e-6, "discriminator_learning_rate": 5e-3},
    "the default": {},
}  # fmt: skip
data = reverie.data.load("broad_ring", n=4_000)
figure, axes = plt.subplots(2, 3, figsize=(10, 5.2), height_ratios=(1, 1.3), layout="constrained")
for (name, options), (top, bottom) in zip(runs.items(), axes.T, strict=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # alarms are printed below
        model = reverie.GAN(**small, **options).fit(data)
    steps = [row["step"] for row in model.history_]
    top.plot(steps, [row["d_loss"] for row in model.history_], color=CRITIC, lw=1, label="discriminator")
    top.plot(steps, [row["g_loss"] for row in model.history_], color=GENERATED, lw=1, label="generator")
    top.set(title=name, xlabel="step", ylabel="loss")
    samples = model.sample(1_000, random_state=0)
    bottom.plot(*data.values[:1_000].T, ".", ms=2, color=REAL, alpha=0.4)
    bottom.plot(*samples.values.T, ".", ms=2, color=COLORS[0])
    bottom.set(aspect="equal", xticks=[], yticks=[], xlim=(-1.7, 1.7), ylim=(-1.7, 1.7))
    bottom.grid(visible=False)
    said = "; ".join(f"{alarm.kind} at step {alarm.step}" for alarm in model.alarms_) or "none"
    expected = {"(a)": "losses fluctuate", "(b)": "D to zero, G rises"}.get(name[:3], "-")
    compare(f"{name}: alarms", expected, said)
axes[0, 0].legend()
