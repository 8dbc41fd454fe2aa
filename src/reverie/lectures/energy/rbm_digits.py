r"""
A Boltzmann machine on digits: filters, reconstructions, chains
===============================================================

:Lecture A: Code for RBMs using PyTorch, binary-binary; RBM using TensorFlow and Keras
:Lecture B: Restricted Boltzmann machines, reminder

The listing trains a binary machine on MNIST by contrastive divergence in batches of 64 and shows a grid of 64 images.
Its listing takes the pixels as probabilities; here they are cut at the middle, so that each has two values.

Contrastive divergence with one sweep compares the data with what is one step away from them. It learns to give digits
back; what lies farther away it never sees, and on MNIST the law that it has learnt is all but empty paper. Samples
fade, the training raises the alarm "chains leave the data", and the likelihood is worse by thirty nats. Persistent
chains, which reverie takes by default, roam as far as the machine lets them, and their samples are digits.

The stacks of machines (deep belief nets) of the Keras chapter are not in the library.
"""

# %%
# The short budget takes the 8 x 8 digits of scikit-learn, on which both do well, the full one the binarised MNIST of
# the literature.

import numpy as np
from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, is_quick, mosaic
from reverie.plots.style import GENERATED, REAL

plt.style.use("reverie.plots.reverie")
if is_quick():
    x = (reverie.data.load("digits").values > 8).astype(np.float32)
    options = {"n_hidden": 64, "max_steps": 1_000}
else:
    x = reverie.data.load("binarized_mnist").values  # 500 hidden units, 20,000 updates
    options = {"n_hidden": 500, "max_steps": 20_000}
train, test = x[: int(0.9 * len(x))], x[int(0.9 * len(x)) :]
models, scores = {}, {}
for method, name in (("cd", "one sweep from the batch"), ("pcd", "persistent chains")):
    model = reverie.RBM(method=method, n_gibbs=1, batch_size=64, n_checks=5, random_state=0, **options)
    scores[name] = []
    for record in model.iter_fit(train):
        if record.step % max(options["max_steps"] // 10, 1) == 0:
            scores[name].append((record.step, float(model.pseudo_log_likelihood(test[:200]).mean())))
    models[name] = model
    known = model.log_likelihood(test[:500])
    compare(f"log p of held-out digits, nats, {name}", "-86.35 (CD-25, 500 hidden units, MNIST; published)", known.mean)
    compare(f"alarms, {name}", "not looked for", ", ".join(sorted({alarm.kind for alarm in model.alarms_})) or "none")
model = models["one sweep from the batch"]
compare("error of a pixel after one way to the hidden layer and back", "falls with training",
        float(np.abs(model.reconstruct(test) - test).mean()))  # fmt: skip

figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
shown = {"held-out digits": test[:64], "v → h → v′, one sweep": model.reconstruct(test[:64])}
shown |= {f"samples, {name}": each.sample(64, random_state=0) for name, each in models.items()}
for ax, (title, images) in zip(axes, shown.items(), strict=True):
    ax.imshow(mosaic(np.asarray(images), 8), cmap="gray_r")
    ax.set_title(title, fontsize="small")
    ax.axis("off")

# %%
# Chains from noise on, to the hidden layer and back, and what each hidden unit of the second machine looks at. A
# machine that has learnt the law of digits finds some and then changes them slowly.

r = np.random.default_rng(0)
noise = r.integers(2, size=(4, *x.shape[1:])).astype(np.float32)
counts = (1, 2, 5, 10, 30, 100, 300)
figure, (*panels, right) = plt.subplots(1, 3, figsize=(10, 2.6), width_ratios=(1.6, 1.6, 0.8), layout="constrained")
for ax, (name, model) in zip(panels, models.items(), strict=True):
    v, chain = noise, [noise]
    for k in range(1, counts[-1] + 1):  # draws of v given the means of h; `sample` draws h too
        v = (r.random(v.shape) < model.reconstruct(v)).astype(np.float32)
        if k in counts:
            chain.append(v)
    ax.imshow(mosaic(np.stack(chain, axis=1).reshape(-1, *x.shape[1:]), len(chain)), cmap="gray_r")
    ax.set_title(f"noise, then 1, 2, 5, ... 300 ways: {name}", fontsize="small")
    ax.axis("off")
filters = models["persistent chains"].filters()
order = np.argsort(-np.abs(filters).reshape(len(filters), -1).max(axis=1))[:64]
bound = np.abs(filters).max() / 2
right.imshow(mosaic(filters[order], 8), cmap="RdBu_r", vmin=-bound, vmax=bound)
right.set_title("filters of 64 hidden units", fontsize="small")
right.axis("off")

# %%
# The pseudo log-likelihood, which looks at one pixel given all others, cannot tell the two apart: it rises for both. It
# too knows the surroundings of the data only.

figure, ax = plt.subplots(figsize=(5, 2.8), layout="constrained")
for (name, points), color in zip(scores.items(), (REAL, GENERATED), strict=True):
    ax.plot(*np.transpose(points), "o-", ms=3, color=color, label=name)
ax.set(xlabel="updates", ylabel="nats", title="pseudo log-likelihood, held out")
ax.legend()
