r"""
A Boltzmann machine on digits: filters, reconstructions, chains
===============================================================

:Lecture A: Code for RBMs using PyTorch, binary-binary; RBM using TensorFlow and Keras
:Lecture B: Restricted Boltzmann machines, reminder

The listing trains a binary machine on MNIST by contrastive divergence in batches of 64 and shows a grid of 64 images.
Its listing takes the pixels as probabilities; here they are cut at the middle, so that each has two values.

The stacks of machines (deep belief nets) of the Keras chapter are not in the library.
"""

# %%
# The short budget takes the 8 x 8 digits of scikit-learn, the full one the binarised MNIST of the literature.

import numpy as np
from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, is_quick, mosaic

plt.style.use("reverie.plots.reverie")
if is_quick():
    x = (reverie.data.load("digits").values > 8).astype(np.float32)
    options = {"n_hidden": 64, "max_steps": 1_000}
else:
    x = reverie.data.load("binarized_mnist").values  # 500 hidden units, 20,000 updates: about ten minutes
    options = {"n_hidden": 500, "max_steps": 20_000}
train, test = x[: int(0.9 * len(x))], x[int(0.9 * len(x)) :]
model = reverie.RBM(method="cd", n_gibbs=1, batch_size=64, n_checks=5, random_state=0, **options)
steps, scores = [], []
for record in model.iter_fit(train):
    if record.step % max(options["max_steps"] // 10, 1) == 0:
        steps.append(record.step)
        scores.append(float(model.pseudo_log_likelihood(test[:200]).mean()))
known = model.log_likelihood(test[:500])
compare("log p of held-out digits, nats", "-86.35 (CD-25, 500 hidden units, MNIST; published)", known.mean)
compare("error of a pixel after one way to the hidden layer and back", "falls with training",
        float(np.abs(model.reconstruct(test) - test).mean()))  # fmt: skip

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for ax, images, title in (
    (axes[0], test[:64], "held-out digits"),
    (axes[1], model.reconstruct(test[:64]), "v → h → v′"),
    (axes[2], model.sample(64, random_state=0), "64 samples, as the listing's grid"),
):
    ax.imshow(mosaic(np.asarray(images), 8), cmap="gray_r")
    ax.set_title(title)
    ax.axis("off")

# %%
# What each hidden unit looks at, and chains from noise on, to the hidden layer and back:
# they find digits and then change slowly.

from reverie.plots.style import GENERATED

filters = model.filters()
order = np.argsort(-np.abs(filters).reshape(len(filters), -1).max(axis=1))[:64]
side = filters.shape[-1]
r = np.random.default_rng(0)
v = r.integers(2, size=(4, *x.shape[1:])).astype(np.float32)
chain, shown = [v], (1, 2, 5, 10, 30, 100, 300)
for k in range(1, shown[-1] + 1):  # draws of v given the means of h; `sample` draws h too
    v = (r.random(v.shape) < model.reconstruct(v)).astype(np.float32)
    if k in shown:
        chain.append(v)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.4), width_ratios=(1, 1.3, 1), layout="constrained")
bound = np.abs(filters).max()
left.imshow(mosaic(filters[order], 8), cmap="RdBu_r", vmin=-bound, vmax=bound)
left.set_title("filters: weights of 64 hidden units")
middle.imshow(mosaic(np.stack(chain, axis=1).reshape(-1, *x.shape[1:]), len(chain)), cmap="gray_r")
middle.set_title("noise, then 1, 2, 5, ... 300 ways")
for ax in (left, middle):
    ax.axis("off")
right.plot(steps, scores, "o-", ms=3, color=GENERATED)
right.set(xlabel="updates", ylabel="nats", title="pseudo log-likelihood, held out")
