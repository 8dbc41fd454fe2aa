r"""
The first GAN: digits from two perceptrons
==========================================

:Lecture C: Setting up the GAN; training the GAN; more on training; visualizing; calculating scores
:Lecture A: Writing our first generative adversarial network; image generation
:Lecture D: Image generation with GANs

The networks 20-100-784 and 784-100-1 of the listing play for MNIST; the slide cuts off the Dropout(0.5) of the
discriminator, without which all digits are one blurred shape. The full budget is the lecture's: 100 epochs of batches
of 64, a quarter of an hour; the short one takes the 8 x 8 digits and shows noise on its way to shapes, no more.
"""

# %%
# Losses of both players, the discriminator's halved as on the slide, what D answers, and samples along the way.

import numpy as np
from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, draw_rows, is_quick
from reverie.models import preset
from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL
from reverie.validation.statistics import mmd

plt.style.use("reverie.plots.reverie")
x = reverie.data.load("digits" if is_quick() else "mnist").values.astype(np.float32)
real, test = x[: -len(x) // 10], x[-len(x) // 10 :]
epoch = len(real) // 64
epochs = [1, 4, 16] if is_quick() else [1, 2, 4, 10, 50, 100]
model = preset("lecture_mlp", max_steps=epochs[-1] * epoch, record_every=epoch, n_checks=4, random_state=1)
rows, history = [], []
for record in model.iter_fit(real):
    history.append(record.scalars)
    if len(history) in epochs:
        rows.append(np.asarray(next(model.iter_sample(200, random_state=0))))
curves = {key: np.array([row[key] for row in history]) for key in ("d_loss", "g_loss", "d_real", "d_fake")}
for k, expected in ((0, "0.807 / 0.469"), (-1, "0.549 / 0.452 (epoch 100)")):
    compare(
        f"D(x) / D(G(z)), epoch {range(1, len(history) + 1)[k]}",
        expected,
        f"{curves['d_real'][k]:.3f} / {curves['d_fake'][k]:.3f}",
    )

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
at = np.arange(1, len(history) + 1)
left.plot(at, curves["g_loss"], color=GENERATED, label="generator")
left.plot(at, curves["d_loss"] / 2, color=CRITIC, label="discriminator, halved")
left.set(xlabel="epoch", ylabel="loss", title="Losses of the two players")
right.plot(at, curves["d_real"], color=REAL, label="real: D(x)")
right.plot(at, curves["d_fake"], color=GENERATED, label="fake: D(G(z))")
right.axhline(0.5, color=MUTED, lw=0.8, ls=":")
right.set(xlabel="epoch", ylabel="discriminator's answer", title="Equilibrium: 1/2", ylim=(0, 1))
for ax in (left, right):
    ax.legend()

# %%
# The listing's score: the square root of the biased MMD with the mean squared distance of real digits as scale; real
# digits beside real ones show what a perfect generator would have.


def flat(images):
    """Return images as rows from -1 to 1."""
    return np.reshape(images, (len(images), -1)) / x.max() * 2 - 1


def score(images):
    """Return the score of the listing against as many held-out digits."""
    a, b = flat(test[:150]), flat(images[:150])
    width = float(np.sqrt(np.square(a[:, None] - a[None]).sum(-1).mean()))
    return float(mmd(a, b, bandwidth=width, unbiased=False)) ** 0.5


floor = score(real[:150])
for number, images in zip(epochs, rows, strict=True):
    compare(f"MMD after epoch {number}, real digits {floor:.3f}", "falls", score(images))
figure, ax = plt.subplots(figsize=(9, 0.9 * (len(rows) + 1)), layout="constrained")
draw_rows(ax, {f"epoch {e}": images for e, images in zip(epochs, rows, strict=True)} | {"real": test})
