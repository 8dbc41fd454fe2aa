r"""
Why an encoder: draws from the prior miss
=========================================

:Lecture A: Using the KL divergence: for most h, p(x|h) is nearly zero; central equation of VAEs
:Lecture B: Variational autoencoders

:math:`p(x) = E_{h\sim p}\, p(x|h)` is an average over codes of which hardly any explains x. Drawn from a Q that knows
x, few draws do. For a linear decoder everything is known: p(x) is Gaussian, the best Q is the posterior, and with it
one draw is exact. The error of log p is shown against the number of draws.
"""

# %%
# x = W h + noise in 8 dimensions, with as many codes.

import numpy as np
import torch
from matplotlib import pyplot as plt

from reverie.lectures import compare, is_quick
from reverie.objectives import full_kl, gaussian_log_likelihood, importance_estimate
from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL

plt.style.use("reverie.plots.reverie")
g = torch.Generator().manual_seed(0)
d, sigma, n_events = 8, 0.3, 40 if is_quick() else 400
W = torch.randn(d, d, generator=g).double() / d**0.5
x = (torch.randn(n_events, d, generator=g).double() @ W.T) + sigma * torch.randn(n_events, d, generator=g).double()
exact = torch.distributions.MultivariateNormal(torch.zeros(d).double(), W @ W.T + sigma**2 * torch.eye(d)).log_prob(x)

S = torch.linalg.inv(torch.eye(d) + W.T @ W / sigma**2)  # covariance of the posterior, the same for all x
M = x @ W @ S / sigma**2  # its mean
L = torch.linalg.cholesky(S)
log_sigma = torch.full((d,), np.log(sigma)).double()


def log_weights(k, scale, shift):
    """Return log p(x|h) p(h) / Q(h) of k draws of h from N(shift, scale scale^T) for each event, (k, event)."""
    e = torch.randn(k, n_events, d, generator=g).double()
    h = shift + e @ scale.T
    log_q = -0.5 * e.square().sum(-1) - torch.diagonal(scale).log().sum()
    return gaussian_log_likelihood(x, h @ W.T, log_sigma) - 0.5 * h.square().sum(-1) - log_q


proposals = {
    "prior": (torch.eye(d).double(), torch.zeros(d).double()),
    "Q too wide by 1.5": (1.5 * L, M),
    "the posterior": (L, M),
}
counts = [1, 3, 10, 30, 100, 300, 1000] + ([] if is_quick() else [3000, 10000])
errors = {name: [] for name in proposals}
for name, (scale, shift) in proposals.items():
    for k in counts:
        value, _ = importance_estimate(log_weights(k, scale, shift))
        errors[name].append(float((value - exact).square().mean().sqrt()))
    compare(f"error of log p(x) with {counts[-1]} draws from {name}", "prior fails, Q helps", errors[name][-1])

# %%
# The central equation: :math:`\log p - \mathrm{KL}(Q|\mathrm{posterior}) = E_Q \log p(x|h) - \mathrm{KL}(Q|p(h))`.
# Both sides, for the Q that is too wide.

scale = (1.5 * L).expand(n_events, d, d)
left_side = exact - full_kl(M, scale, M, L.expand(n_events, d, d))
explained = gaussian_log_likelihood(
    x, (M + torch.randn(4_000, n_events, d, generator=g).double() @ (1.5 * L).T) @ W.T, log_sigma
)
right_side = explained.mean(0) - full_kl(M, scale)
compare("log p - KL(Q|posterior), and E log p(x|h) - KL(Q|prior)", float(left_side.mean()), float(right_side.mean()))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for (name, error), color in zip(errors.items(), (CRITIC, MUTED, GENERATED), strict=True):
    left.loglog(counts, np.maximum(error, 1e-6), "o-", ms=4, color=color, label=name)
left.set(xlabel="draws", ylabel="error of log p(x), nats", title="Where the codes are drawn from", ylim=(1e-2, None))
left.annotate("the posterior: exact with one draw", (0.02, 0.03), xycoords="axes fraction", color=GENERATED, fontsize=8)
left.legend()
log_p = gaussian_log_likelihood(x[:1], torch.randn(20_000, 1, d, generator=g).double() @ W.T, log_sigma).ravel()
right.hist(log_p.numpy(), bins=np.linspace(-160, 10, 80), color=CRITIC, alpha=0.5)
best = gaussian_log_likelihood(
    x[:1], (M[:1] + torch.randn(20_000, 1, d, generator=g).double() @ L.T) @ W.T, log_sigma
).ravel()
right.hist(best.numpy(), bins=np.linspace(-160, 10, 80), color=GENERATED, alpha=0.6)
right.axvline(float(exact[0]), color=REAL, lw=1)
right.set(
    xlabel="log p(x|h) of one event", yticks=[], title="Codes from the prior (orange), from Q (green)", xlim=(-160, 10)
)
