r"""
The networks of the thesis learn three columns of muon pairs
============================================================

:Lecture E: 3.4 and 3.5: training of the networks of figures 3.7, 3.8 and 3.9

The pair of the thesis puts a vector of features into planes of 10 x 10 pixels, convolves those, and comes back. Its
tables count 125,835 and 101,513 parameters; but the generator of figure 3.7 makes three features and the discriminator
of figure 3.8 reads two, so that the pair as printed cannot be played. Here both have three, which gives the
discriminator 101,713. The data of the thesis are not known; three columns of CMS events with two muons stand in.

The short budget takes 40 steps, after which all samples still have one value, amid the data.
"""

# %%
# The tables of figures 3.7 and 3.8, layer by layer, of the fitted model.

import torch
from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, is_quick
from reverie.models import preset
from reverie.networks import build_discriminator, summary
from reverie.plots import bin_columns, discriminator_outputs, draw_marginal, draw_ratio, losses
from reverie.validation.statistics import wasserstein_1d

plt.style.use("reverie.plots.reverie")
train, test = reverie.data.load("dimuon_z", columns="pt1,eta1,pt2").split(0.65, random_state=0)
n_steps = 40 if is_quick() else 1_000
model = preset("thesis", max_steps=n_steps, random_state=0, n_checks=4, record_every=n_steps // 20).fit(train)
table = model.summary()
print(table)
G, D = table.networks["generator"], table.networks["discriminator"]
compare("generator: all, trained, running statistics", "125,835, 124,955, 880",
        f"{G.n_parameters + G.n_buffers:,}, {G.n_parameters:,}, {G.n_buffers:,}")  # fmt: skip
of_two = build_discriminator("thesis", event_shape=(2,), random_generator=torch.Generator().manual_seed(0))
compare("discriminator of two features", "101,513", f"{summary(of_two).n_parameters:,}")
compare("discriminator of three, as the generator makes them", "not printed", f"{D.n_parameters:,}")

# %%
# The game: losses, and what D answers.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
losses(model.history_, ax=left)
discriminator_outputs(model.history_, ax=right)

# %%
# Marginals of held-out and generated events, and their distance in standard deviations of the column.

fake = model.sample(len(test), random_state=1)
figure, axes = plt.subplots(2, 3, figsize=(9, 3.8), height_ratios=(2.6, 1), sharex="col", layout="constrained")
for k, column in enumerate(test.schema.columns):
    real, drawn = test.values[:, k], fake.values[:, k]
    binned = bin_columns(real, drawn, kind=column.kind)
    draw_marginal(axes[0, k], binned)
    draw_ratio(axes[1, k], binned)
    axes[1, k].set_xlabel(f"{column.name} [{column.unit}]" if column.unit else column.name)
    distance, floor = (float(wasserstein_1d(real / real.std(), x / real.std())) for x in (drawn, train.values[:, k]))
    compare(f"{column.name}: distance from held-out events, of real ones {floor:.3f}", "small", f"{distance:.3f}")
axes[0, 0].legend()
