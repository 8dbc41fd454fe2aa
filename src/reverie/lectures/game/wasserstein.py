r"""
Wasserstein GANs: clipped weights, and a penalty on the gradient
================================================================

:Lecture C: Improved GANs: Wasserstein distance; WGAN; WGAN-GP: Raschka, chapter 17, part 2

A critic with slopes of at most one measures how far mass has to be carried from one law to the other, and its
difference E D(x) - E D(G(z)) estimates that distance, also where the laws do not overlap. Two ways to bound the slope:
clip each weight, or punish a gradient norm that is not one on lines between real and generated events. The clipped
critic knows the distance only up to its unknown largest slope, and learns slowly; the other reads in units of the data.
In the short budget both generators are on their way, and digits are noise still.
"""

# %%
# A ring of eight Gaussians, both ways with the same networks: the critic's estimate, and the true distance.

import warnings

import numpy as np
import torch
from matplotlib import pyplot as plt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

import reverie
from reverie.lectures import compare, draw_rows, is_quick
from reverie.models import preset
from reverie.networks import build_discriminator, build_generator, summary
from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL

plt.style.use("reverie.plots.reverie")


def distance(a, b):
    """Return the Wasserstein-1 distance of as many points of each law, by the best matching."""
    apart = cdist(a, b)
    return float(apart[linear_sum_assignment(apart)].mean())


data, test = reverie.data.load("ring", n=6_000).split(0.9, random_state=0)
n_steps, n_records = (600, 12) if is_quick() else (6_000, 40)
common = {"generator": (64, 64), "discriminator": (64, 64), "n_checks": 4, "preprocessing": "standardise"}
common |= {"refine": False, "random_state": 0}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.1), layout="constrained")
ways = {"clipped weights": ("wasserstein", CRITIC), "penalty on the gradient": ("wasserstein_gp", GENERATED)}
for name, (objective, color) in ways.items():
    model = reverie.GAN(objective=objective, max_steps=n_steps, record_every=n_steps // n_records, **common)
    estimates, true = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the clipped critic raises alarms
        for record in model.iter_fit(data):
            estimates.append((record.step, -record.scalars["d_loss"]))
            true.append(distance(test.values[:400], next(model.iter_sample(400, random_state=1))))
    steps, values = np.array(estimates).T
    axes[0].plot(steps, values / np.abs(values).max(), color=color, label=name)
    axes[1].plot(steps, true, color=color, label=name)
    axes[2].plot(*model.sample(400, random_state=1).values.T, ".", ms=3, color=color, alpha=0.6)
    compare(f"{name}: the critic's estimate at the end", "a distance", f"{values[-1]:.3f}")
    compare(f"{name}: true distance at the first record and at the end", "falls", f"{true[0]:.3f}, {true[-1]:.3f}")
floor = distance(test.values[:400], data.values[:400])
compare("true distance of real events from real events", "perfect", f"{floor:.3f}")
axes[1].axhline(floor, color=MUTED, lw=0.8, ls=":", label="real from real")
axes[2].plot(*test.values[:400].T, ".", ms=2, color=REAL, alpha=0.4, zorder=0)
axes[0].set(xlabel="step", ylabel="E D(x) − E D(G(z)), largest 1", title="What the critic estimates")
axes[1].set(xlabel="step", ylabel="distance, units of the data", title="True Wasserstein distance", ylim=(0, None))
axes[2].set(aspect="equal", title="Samples at the end")
for ax in axes[:2]:
    ax.legend()

# %%
# The convolutional pair of the book with the penalty, five steps of the critic for each of the generator. The book
# counts 311,808 and 109,056 parameters; its critic ends in a sigmoid, which bounds a distance that has no bound, and
# ours does not.

build = {"event_shape": (28, 28), "random_generator": torch.Generator().manual_seed(0)}
G = summary(build_generator("wgan_conv", n_noise=100, **build), torch.zeros(2, 100))
D = summary(build_discriminator("wgan_conv", **build), torch.zeros(2, 28, 28))
compare("generator and critic: parameters", "311,808 and 109,056", f"{G.n_parameters:,} and {D.n_parameters:,}")

x = reverie.data.load("digits").values.astype(np.float32)
real, test = x[:1_600], x[1_600:]
n_steps, n_records = (120, 6) if is_quick() else (4_000, 20)
shown = (1, 2, 4, 6) if is_quick() else (1, 3, 6, 10, 15, 20)
window = n_steps // n_records
model = preset("wgan_conv", max_steps=n_steps, record_every=window, n_checks=4, random_state=0)
rows = {}
for k, _ in enumerate(model.iter_fit(real), 1):
    if k in shown:
        rows[f"step {k * window:,}"] = np.asarray(next(model.iter_sample(12, random_state=1)))
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), width_ratios=(1, 2.2), layout="constrained")
left.plot([row["step"] for row in model.history_], [-row["d_loss"] for row in model.history_], color=CRITIC)
left.set(xlabel="step of the generator", ylabel="E D(x) − E D(G(z))", title="Critic of the 8 x 8 digits")
draw_rows(right, rows | {"real": test})
