r"""
An energy-based model, and samples along its chains
===================================================

:Lecture A: Codes for energy-based models (Foster, chapter 7; Du and Mordatch); Langevin sampling

A network gives each event an energy; Langevin chains walk down to events. The recipe of the notebook (large steps,
hardly any noise) descends rather than samples; ours accepts or refuses, so its samples follow the density. On a ring
both can be looked at, chain by chain; the energy of the digits is the notebook's, as a preset.
"""

# %%
# Energies of a ring of eight peaks, and chains that begin in noise.

import numpy as np
import torch
from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, is_quick, mosaic
from reverie.models import preset
from reverie.plots.style import COLORS, CRITIC
from reverie.samplers import MALA, run

plt.style.use("reverie.plots.reverie")
data = reverie.data.load("broad_ring", n=4_000)
model = reverie.EBM(max_steps=100 if is_quick() else 5_000, random_state=0).fit(data)
compare(
    "held-out log p per event, nats",
    "not given",
    model.log_likelihood(reverie.data.load("broad_ring", n=500, random_state=9)).mean,
)

axis = np.linspace(-1.6, 1.6, 121) * float(np.abs(data.values).max()) / 1.1
plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
height = model.energies(plane).reshape(121, 121)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax in (left, right):
    ax.contourf(axis, axis, -np.clip(height - height.min(), 0, 8), levels=14, cmap="Greys", alpha=0.6)
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.grid(visible=False)
left.plot(*data.values[:800].T, ".", ms=2, color=COLORS[0])
left.set_title("energy (dark is low) and events")


def energy(x):
    """Return the energy at x, with its gradient from neighbouring points of the network."""
    return Energies.apply(x)


class Energies(torch.autograd.Function):
    """Energies of the fitted model for the samplers: values and central differences."""

    @staticmethod
    def forward(ctx, x):
        """Return E (chain,) and keep its slope."""
        step = 1e-3 * float(np.abs(axis).max())
        moved = [x + s * step * torch.eye(2)[k] for k in range(2) for s in (1, -1)]
        values = torch.tensor(model.energies(torch.cat([x, *moved]).numpy()), dtype=x.dtype).reshape(5, -1)
        ctx.slope = torch.stack([(values[1] - values[2]) / 2, (values[3] - values[4]) / 2], dim=1) / step
        return values[0]

    @staticmethod
    def backward(ctx, gradient):
        """Return the slope times the gradient from above."""
        return gradient[:, None] * ctx.slope


generator = torch.Generator().manual_seed(1)
start = float(np.abs(data.values).std()) * torch.randn(12, 2, generator=generator)
chains = run(
    MALA(0.01 * float(data.values.var())),
    start,
    energy,
    n_steps=80 if is_quick() else 600,
    generator=generator,
    compile=False,
)
for k in range(12):
    right.plot(*chains.x[:, k].numpy().T, lw=0.5, color=COLORS[k % len(COLORS)])
    right.plot(*chains.x[-1, k].numpy(), "o", ms=4, color=COLORS[k % len(COLORS)])
right.plot(*start.numpy().T, "x", ms=5, color=CRITIC)
right.set_title("twelve chains, from x to the dot")

# %%
# Digits by the recipe of the notebook: 20 steps of size 10 with noise 0.005, from a buffer, one in twenty anew.
# Columns are samples after more and more steps of the same chains.

digits = reverie.data.load("digits")
recipe = preset("du_mordatch", max_steps=10 if is_quick() else 2_000, n_checks=2, random_state=0).fit(digits)
lengths = (1, 5, 20) if is_quick() else (1, 5, 20, 60, 200)
rows = [recipe.set_params(n_sample_steps=n).sample(6, random_state=0).values for n in lengths]
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
left.imshow(mosaic(np.stack(rows, axis=1).reshape(-1, 8, 8), len(lengths)), cmap="gray_r")
left.set_title(f"chains after {', '.join(map(str, lengths))} steps")
right.imshow(mosaic(digits.values[:30], 5), cmap="gray_r")
right.set_title("real digits")
for ax in (left, right):
    ax.axis("off")
gap = np.asarray(recipe.energies(rows[-1])).mean() - np.asarray(recipe.energies(digits.values[:200])).mean()
if is_quick():
    print("Ten updates leave the energy of digits nearly flat: chains stay where the store of the model began them.")
compare("energy of samples minus that of digits", "near 0 when trained", float(gap))
