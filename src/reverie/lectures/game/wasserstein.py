r"""
Wasserstein GANs: clipped weights, and a penalty on the gradient
================================================================

:Lecture C: Improved GANs: Wasserstein distance; WGAN; WGAN-GP: Raschka, chapter 17, part 2

A critic with slopes of at most one measures how far mass has to be carried from one law to the other: the largest
E D(x) - E D(G(z)) is that distance, also where the laws do not overlap. Two ways to bound the slope: clip each weight,
or punish a gradient norm that is not one on segments between real and generated events. The clipped critic knows the
distance only up to its own largest slope, which nobody knows; the other reads in units of the data.

In the short budget the digits of the second part are noise still.
"""

# %%
# Two Gaussians of the plane at distance s: the Wasserstein distance is s. Each critic is trained on events of both and
# asked on fresh ones. The penalty is soft: the slope g that maximises :math:`s g - 10 (g - 1)^2` is 1 + s/20, so that
# laws far apart are read as farther. (On a line this critic may be caught: a slope of -1 costs no more than one of 1,
# and those between cost more. In the plane the gradient can turn.)

import numpy as np
import torch
from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, draw_rows, is_quick
from reverie.models import preset
from reverie.networks import build_discriminator, build_generator, summary
from reverie.objectives import OBJECTIVES, squared_gradient_norm
from reverie.plots.style import CRITIC, GENERATED, MUTED
from reverie.training import make_optimizer, take_step

plt.style.use("reverie.plots.reverie")
objective = OBJECTIVES["wasserstein"]


def estimate(s, n_steps, *, clipped):
    """Return E D(x) - E D(x') of a trained critic, x around (s, 0) and x' around (0, 0)."""
    r = torch.Generator().manual_seed(0)
    D = build_discriminator((64, 64), event_shape=(2,), activation="leaky_relu", random_generator=r)
    weights, move = list(D.parameters()), torch.tensor([float(s), 0.0])
    name, rate = ("rmsprop", 5e-4) if clipped else ("adam", 1e-3)
    optimizer = make_optimizer(name, weights, learning_rate=rate, betas=(0.0, 0.9))
    for _ in range(n_steps):
        x, other = move + torch.randn(256, 2, generator=r), torch.randn(256, 2, generator=r)
        loss = objective.discriminator(D(x), D(other))
        if not clipped:
            u = torch.rand(256, 1, generator=r)
            between = (u * x + (1 - u) * other).requires_grad_()
            loss = loss + 10 * (squared_gradient_norm(D(between), between).sqrt() - 1).square().mean()
        take_step(optimizer, weights, torch.autograd.grad(loss, weights))
        if clipped:
            with torch.no_grad():
                for weight in weights:
                    weight.clamp_(-objective.clip, objective.clip)
    with torch.no_grad():
        x, other = move + torch.randn(20_000, 2, generator=r), torch.randn(20_000, 2, generator=r)
        return float(D(x).mean() - D(other).mean())


n_steps = 300 if is_quick() else 3_000
shifts = np.array([0.5, 1, 2, 4, 8])
free, clipped = (np.array([estimate(s, n_steps, clipped=c) for s in shifts]) for c in (False, True))
for s, a, b in zip(shifts, free, clipped, strict=True):
    compare(f"Wasserstein distance at s = {s:g}", f"{s:g}", f"penalty {a:.3f}, clipped weights {b:.3g}")
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.1), layout="constrained")
line = np.linspace(0, 8, 50)
left.plot(line, line, color=MUTED, ls=":", label="exact: s")
left.plot(shifts, free, "o-", color=GENERATED, label="penalty on the gradient")
left.set(xlabel="distance s of the two Gaussians", ylabel="E D(x) − E D(x′)", title="In units of the data")
left.plot(line, line * (1 + line / 20), color=MUTED, lw=0.8, label="s (1 + s/20)")
left.legend()
right.plot(shifts, clipped, "o-", color=CRITIC, label=f"weights within ±{objective.clip:g}")
right.set(xlabel="distance s of the two Gaussians", title="Up to an unknown factor", ylim=(0, None))
right.legend()

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
