r"""
The DCGAN of the tutorial: digits by transposed convolutions
============================================================

:Lecture A: The TensorFlow tutorial's DCGAN, adapted; hyper-parameters; image generation
:Lecture C: Raschka, chapter 17, part 2: deep convolutional GAN

A generator that doubles 7 x 7 planes twice by transposed convolutions of 5 x 5 with batch normalisation, and a
discriminator of two convolutions with dropout 0.3: the network that the lectures adapt from the TensorFlow tutorial,
with its Adam of 1e-4, its cross-entropy losses and a row of samples for each epoch. The tutorial takes 50 epochs of
batches of 256 on MNIST, hours on a processor. The full budget here is four epochs in batches of 64, as many updates as
16 epochs of 256; the short one 250 updates on the 8 x 8 digits, from noise to one blurred shape.
"""

# %%
# The two tables of parameters, which count what ``plot_model`` of the listing shows.

import numpy as np
import torch
from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, draw_rows, is_quick
from reverie.models import preset
from reverie.networks import build_discriminator, build_generator, summary
from reverie.plots import discriminator_outputs, losses
from reverie.validation.statistics import mmd

plt.style.use("reverie.plots.reverie")
build = {"event_shape": (28, 28), "random_generator": torch.Generator().manual_seed(0)}
G = summary(build_generator("dcgan28", n_noise=100, **build), torch.zeros(2, 100))
D = summary(build_discriminator("dcgan28", **build), torch.zeros(2, 28, 28))
print(f"{G}\n\n{D}")
compare("generator: parameters with running statistics", "2,330,944", f"{G.n_parameters + G.n_buffers:,}")
compare("discriminator: parameters", "212,865", f"{D.n_parameters:,}")

# %%
# The training, and samples of the same noise along the way.

x = reverie.data.load("digits" if is_quick() else "mnist").values.astype(np.float32)
real, test = x[: -len(x) // 10], x[-len(x) // 10 :]
window = 25 if is_quick() else len(real) // 64 // 4  # updates between two records: a quarter of an epoch
n_records, shown = (10, (1, 4, 7, 10)) if is_quick() else (16, (1, 2, 4, 8, 12, 16))
model = preset("dcgan28", batch_size=64, max_steps=n_records * window, record_every=window, n_checks=4, random_state=0)
rows = {}
for k, _ in enumerate(model.iter_fit(real), 1):
    if k in shown:
        rows[f"step {k * window:,}"] = np.asarray(next(model.iter_sample(150, random_state=1)))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
losses(model.history_, ax=left)
discriminator_outputs(model.history_, ax=right)

# %%
# A row of samples for each of these steps, with held-out digits below; MMD to held-out digits beside real against real.

figure, ax = plt.subplots(figsize=(9, 0.78 * (len(rows) + 1)), layout="constrained")
draw_rows(ax, rows | {"real": test})
floor = float(mmd(test[:150].reshape(150, -1), real[:150].reshape(150, -1), unbiased=False)) ** 0.5
for name, images in rows.items():
    score = float(mmd(test[:150].reshape(150, -1), images.reshape(150, -1), unbiased=False)) ** 0.5
    compare(f"MMD to real digits, {name}, real against real {floor:.3f}", "a picture per epoch", f"{score:.3f}")
