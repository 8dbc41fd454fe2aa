r"""
Images from images, and missing parts of images
===============================================

:Lecture A: Applications 4: image-to-image translation; applications 7: missing parts of images
:Lecture C: Applications of GANs

Two of the lecture's seven applications, measured. A U-Net as generator, with the noisy digit as condition and pairs for
the discriminator, gives clean digits; its mean squared error stands beside that of cutting the noise to the range of
the pixels and of the mean digit. Then an unconditional GAN fills in the lower halves of digits that it never saw, and
stands beside a linear regression from the upper half, which knows the pairs.
"""

# %%
# Clean digits from noisy ones.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import Ridge

import reverie
from reverie.lectures import compare, draw_rows, is_quick

plt.style.use("reverie.plots.reverie")
clean = reverie.data.load("digits").values.astype(np.float32)
noisy = (clean + np.random.default_rng(0).normal(0, 4, clean.shape)).astype(np.float32)
train, test = slice(0, -300), slice(-300, None)
n_steps = 100 if is_quick() else 1_500
translate = reverie.GAN(max_steps=n_steps, batch_size=32, reconstruction_weight=100.0, n_checks=2, random_state=0)
translate.fit(clean[train], noisy[train])
found = np.asarray(translate.sample(300, random_state=1, condition=noisy[test]))
blank = np.broadcast_to(clean[train].mean(axis=0), found.shape)
for name, x in (("noisy, cut to the range 0 ... 16", noisy[test].clip(0, 16)), ("mean digit", blank), ("U-Net", found)):
    compare(f"mean squared error of a pixel, {name}", "not printed", f"{np.square(x - clean[test]).mean():.2f}")
figure, ax = plt.subplots(figsize=(9, 2.4), layout="constrained")
draw_rows(ax, {"noisy": noisy[test].clip(0, 16), "translated": found, "clean": clean[test]})

# %%
# Lower halves of digits. A completion agrees with the upper half and lies where the generator can go; each of several
# draws is another.

seen = np.arange(8)[:, None].repeat(8, axis=1) < 4
n_steps, n = (800, 12) if is_quick() else (4_000, 100)
model = reverie.GAN(max_steps=n_steps, batch_size=64, n_checks=2, random_state=0).fit(clean[train])
truth = clean[test][:n]
likely = np.asarray(model.complete(truth, seen, random_state=0))
others = np.asarray(model.complete(truth[:12], seen, n_draws=2, random_state=0))
upper, lower = clean[:, :4].reshape(len(clean), -1), clean[:, 4:].reshape(len(clean), -1)
line = Ridge().fit(upper[train], lower[train])
simple = truth.copy()
simple[:, 4:] = line.predict(upper[test][:n]).reshape(n, 4, 8)
for name, x in (
    ("mean digit", np.where(seen, truth, blank[:n])),
    ("linear regression", simple),
    ("most probable completion", likely),
):
    error = np.sqrt(np.square(x - truth)[:, 4:].mean())
    compare(f"root-mean-square error of a hidden pixel of 0 ... 16, {name}", "not printed", f"{error:.2f}")
figure, ax = plt.subplots(figsize=(9, 4.6), layout="constrained")
draw_rows(ax, {"truth": truth, "seen": np.where(seen, truth, 0), "regression": simple.clip(0, 16),
               "most probable": likely, "one draw": others[0], "another draw": others[1]})  # fmt: skip
