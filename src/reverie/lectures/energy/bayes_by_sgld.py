r"""
Langevin steps on a posterior
=============================

:Lecture A: Langevin sampling: SGLD for Bayesian learning, minibatches

The same chains draw the parameters of a model from their posterior, with gradients of a few rows at a time. Two
examples where the answer is known: a straight line, whose posterior is Gaussian, and the mixture of Welling and Teh
(ICML 2011), whose posterior has two modes.
"""

# %%
# A straight line through noisy points: exact posterior, Langevin with all rows (MALA), and with 50 of them (SGLD).

import numpy as np
import torch
from matplotlib import pyplot as plt

from reverie.lectures import compare, is_quick
from reverie.models import network_regression, sample_posterior, two_gaussians
from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL

plt.style.use("reverie.plots.reverie")
g = torch.Generator().manual_seed(0)
n, noise = 500, 1.0
x = torch.rand(n, 1, generator=g) * 2 - 1
y = 1.0 * x[:, 0] - 0.5 + noise * torch.randn(n, generator=g)
model = network_regression(torch.nn.Linear(1, 1), noise_sd=noise)
design = torch.cat([x, torch.ones(n, 1)], dim=1).double()
covariance = torch.linalg.inv(design.T @ design / noise**2 + torch.eye(2))
mean = covariance @ (design.T @ y.double() / noise**2)

steps = {"n_steps": 500 if is_quick() else 4_000, "burn_in": 300 if is_quick() else 1_000, "random_state": 0}
start = model.draw_prior(16, random_state=1)
draws = {}
for name, batch in (("all rows, MALA", None), ("50 rows a step, SGLD", 50)):
    posterior = sample_posterior(model.log_prior, model.log_likelihood, (x, y), start, batch_size=batch, **steps)
    draws[name] = posterior.chains.pooled().numpy()
    slope = draws[name][:, 0]
    compare(
        f"slope, {name}",
        f"{mean[0]:.4f} ± {covariance[0, 0] ** 0.5:.4f} exactly",
        f"{slope.mean():.4f} ± {slope.std():.4f}",
    )

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
turn = np.linspace(0, 2 * np.pi, 100)
circle = np.linalg.cholesky(covariance.numpy()) @ np.stack([np.cos(turn), np.sin(turn)])
for (name, theta), color in zip(draws.items(), (GENERATED, CRITIC), strict=True):
    some = theta[:: max(len(theta) // 800, 1)]
    left.plot(*some.T, ".", ms=3, color=color, alpha=0.5, label=name)
for k in (1, 2):
    left.plot(*(mean.numpy()[:, None] + k * circle), color=REAL, lw=1.2, label="exact, 1 and 2 sd" if k == 1 else None)
left.set(xlabel="slope", ylabel="intercept", title="A straight line: posterior of both parameters")
left.legend(fontsize=8)

# %%
# Two modes: the likelihood is the same at :math:`(\theta_1, \theta_2)` and :math:`(\theta_1 + \theta_2, -\theta_2)`.

mixture = two_gaussians()
which = torch.randint(2, (100,), generator=g)
rows = which + 2**0.5 * torch.randn(100, generator=g)
steps["n_steps"] *= 2
posterior = sample_posterior(mixture.log_prior, mixture.log_likelihood, rows, mixture.draw_prior(24, 2), **steps)
theta = posterior.chains.pooled()
axis = torch.linspace(-2, 3, 101), torch.linspace(-3, 3, 101)
plane = torch.cartesian_prod(*axis)
height = torch.vmap(lambda p: mixture.log_prior(p) + mixture.log_likelihood(p, rows).sum())(plane).reshape(101, 101)
density = (height - height.max()).exp()
exact = float(density[:, axis[1] > 0].sum() / density.sum())
compare("mass of the mode with theta_2 > 0", exact, float((theta[:, 1] > 0).float().mean()))
some = theta[:: max(len(theta) // 2000, 1)].numpy()
right.plot(*some.T, ".", ms=2, color=GENERATED, alpha=0.5)
right.contour(*axis, density.T, levels=[0.01, 0.1, 0.3, 0.6, 0.9], colors=MUTED, linewidths=0.9)
right.set(xlabel="θ₁", ylabel="θ₂", title="Welling and Teh's mixture, exact contours", xlim=(-2, 3), ylim=(-3, 3))
