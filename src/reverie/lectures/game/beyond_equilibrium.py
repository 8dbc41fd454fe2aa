r"""
Learning undone beyond the equilibrium
======================================

:Lecture A: Progression in training: stop when the discriminator outputs 1/2 everywhere
:Lecture B: Convergence criteria: further training can undo the learning up to that point
:Lecture C: Progression in training; D to 1/2

The lectures say: when D answers 1/2 everywhere its feedback means nothing, and going on can undo what was learnt. A
plain game without a penalty shows it: the distance from held-out events falls while D comes to 1/2, and rises again
later. With the penalty of the default nothing is undone, and an average D of 1/2 is reached long before samples are
right, so the best generator is chosen by held-out samples and not by D.
"""

# %%
# The same game with and without the penalty: distance of samples from held-out events, and what D answers.

import warnings

import numpy as np
from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, is_quick
from reverie.plots.style import CRITIC, GENERATED, MUTED

plt.style.use("reverie.plots.reverie")
n_steps = 800 if is_quick() else 8_000
common = {"generator": (64, 64), "discriminator": (64, 64), "batch_size": 128, "max_steps": n_steps, "n_checks": 40,
          "record_every": n_steps // 40, "refine": False, "schedule": "constant", "random_state": 1}  # fmt: skip
runs = {
    "no penalty": {
        "objective": "non_saturating",
        "penalty": "none",
        "ema_decay": 0.0,
        "learning_rate": 2e-3,
        "betas": (0.5, 0.9),
    },
    "R1 and R2 (default)": {},
}
data = reverie.data.load("ring", n=6_000)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for (name, options), color in zip(runs.items(), (CRITIC, GENERATED), strict=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = reverie.GAN(**common, **options).fit(data)
    checks = [(row["step"], row["score"]) for row in model.history_ if "score" in row]
    step, score = np.array(checks).T
    d = np.array(
        [(row["step"], (row["d_real"] + row["d_fake"]) / 2, row["d_real"] - row["d_fake"]) for row in model.history_]
    ).T
    axes[0].semilogy(step, np.maximum(score, 1e-4), "o-", ms=2.5, lw=1, color=color, label=name)
    axes[1].plot(d[0], d[2], color=color, lw=1.2, label=name)
    best = int(score.argmin())
    compare(f"{name}: distance at its best step {step[best]:.0f}, and at the end", "going on can undo the learning",
            f"{score[best]:.4f}, {score[-1]:.4f}")  # fmt: skip
    compare(f"{name}: D(real) - D(fake) there and at the end, equilibrium 0", "1/2 everywhere",
            f"{np.interp(step[best], d[0], d[2]):.3f}, {d[2][-1]:.3f}")  # fmt: skip
axes[0].set(xlabel="step", ylabel="distance from held-out events", title="Samples")
axes[1].axhline(0, color=MUTED, lw=0.8, ls=":")
axes[1].set(xlabel="step", ylabel="D(real) − D(fake)", title="The discriminator: 0 is 1/2 for both")
axes[0].legend()
