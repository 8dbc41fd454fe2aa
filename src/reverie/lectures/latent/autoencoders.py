r"""
Autoencoders: originals beside reconstructions
==============================================

:Lecture A: The autoencoder again; schematic image; are VAEs just modified autoencoders: sparse and denoising

A digit goes through a code of a few numbers and comes out again, with the least mean squared error. Without bends in
its layers the best an autoencoder can do is a projection onto the principal components. Sparse and denoising ones are
options.
"""

# %%
# The same digits through codes of 2 and 16 numbers, with noise in training, and with few codes at work.

import numpy as np
from matplotlib import pyplot as plt

import reverie
from reverie.explore import principal_components
from reverie.lectures import compare, draw_rows, is_quick
from reverie.models import Autoencoder
from reverie.plots.style import GENERATED, MUTED

plt.style.use("reverie.plots.reverie")
x = reverie.data.load("digits").values.astype(np.float64)
train, test = x[:1_500], x[1_500:]
n_steps = 400 if is_quick() else 10_000
common = {"max_steps": n_steps, "n_checks": 4, "random_state": 0}
models = {
    "2 numbers": Autoencoder(n_latent=2, **common),
    "16 numbers": Autoencoder(n_latent=16, **common),
    "16, denoising": Autoencoder(n_latent=16, noise=0.3, **common),
    "16, sparse": Autoencoder(n_latent=16, sparsity="l1", **common),
}
rows = {"original": test[:12]}
errors = {}
for name, model in models.items():
    again = np.asarray(model.fit(train).reconstruct(test))
    rows[name], errors[name] = again[:12], float(np.square(again - test).mean())

flat = principal_components(train.reshape(len(train), -1), n_components=16, n_bootstrap=0, random_state=0)
V = flat.components
centred = test.reshape(len(test), -1) - flat.mean
for k in (2, 16):
    errors[f"PCA, {k}"] = float(np.square(centred - centred @ V[:k].T @ V[:k]).mean())
    rows[f"PCA, {k}"] = (centred[:12] @ V[:k].T @ V[:k] + flat.mean).reshape(12, 8, 8)
compare("mean squared error of a pixel through 2 numbers: the best straight code, and the network",
        "bends help", f"{errors['PCA, 2']:.2f}, {errors['2 numbers']:.2f}")  # fmt: skip
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2), width_ratios=(2, 1), layout="constrained")
draw_rows(left, rows)
left.set_title("originals and what comes out again")
names = list(errors)[::-1]
right.barh(names, [errors[name] for name in names], color=[MUTED if "PCA" in n else GENERATED for n in names])
right.set(xlabel="mean squared error of a pixel (0 to 16)", title="held-out digits")
