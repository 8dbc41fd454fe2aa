r"""
The value of the game
=====================

:Lecture A: Default choice of v; what the discriminator answers
:Lecture B: The game and its value, equations 1 to 6
:Lecture C: Best value of D; what does the loss function represent; optimization part: the two terms
:Lecture E: 3.4, equations 3.11 to 3.17

For a fixed generator the best discriminator is :math:`D^*(x) = p(x) / (p(x) + q(x))`, and the value of the game is
then
:math:`2\,\mathrm{JS}(p, q) - 2\log 2`, least where both densities agree: :math:`-\log 4 = -1.386`. Here both are
Gaussians, so that everything is known, and a network has to find it from events.

Misprint of E, equation 3.17: both terms of the Jensen-Shannon divergence are written KL(p|m); the second is KL(q|m).
"""

# %%
# Real events have the density p, generated ones q, a Gaussian one further right.

import math

import numpy as np
import torch
from matplotlib import pyplot as plt

import reverie
from reverie.lectures import compare, is_quick
from reverie.models.gan.divergence import fit_discriminator, jensen_shannon
from reverie.objectives import OBJECTIVES
from reverie.plots import value_terms
from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL

plt.style.use("reverie.plots.reverie")
n = 3_000 if is_quick() else 50_000
x = np.linspace(-8, 16, 4001)


def density(centre):
    """Return the Gaussian of width 1 on the grid x."""
    return np.exp(-0.5 * (x - centre) ** 2) / math.sqrt(2 * math.pi)


def exact_js(shift):
    """Return the Jensen-Shannon divergence of two Gaussians by quadrature."""
    p, q = density(0), density(shift)
    m = (p + q) / 2 + 1e-300
    return float(np.trapezoid(p * np.log(p / m + 1e-300) + q * np.log(q / m + 1e-300), x)) / 2


# %%
# A discriminator is trained on events of both, as in the game, and compared with :math:`D^*`.

r = np.random.default_rng(0)
D = fit_discriminator(r.normal(size=(n, 1)), r.normal(1, size=(n, 1)), random_state=0)
grid = np.linspace(-2.5, 3.5, 61)
best = 1 / (1 + np.exp(grid - 0.5))
answer = np.asarray(D(grid[:, None]))
compare("largest distance of D from p/(p + q), x from -2.5 to 3.5", 0.0, float(np.abs(answer - best).max()))

# %%
# The value against the distance of the densities: the line is the integral, the points come from events.

shifts = np.array([0.0, 0.5, 1, 2, 3, 4])
measured = [jensen_shannon(r.normal(size=(n, 1)), r.normal(s, size=(n, 1)), random_state=1) for s in shifts]
value = np.array([2 * js.value - 2 * math.log(2) for js in measured])
error = np.array([2 * js.error for js in measured])

undecided = torch.zeros(8, 1)
compare(
    "value where D = 1/2 everywhere", -math.log(4), -OBJECTIVES["minimax"].discriminator(undecided, undecided).item()
)
compare("JS of N(0, 1) and N(1, 1), the integral and from events", round(exact_js(1), 4), measured[2])
compare("JS at distance 4, at most log 2 = 0.6931", round(exact_js(4), 4), measured[-1])

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
inside = (x > -4) & (x < 5)
left.fill_between(x[inside], density(0)[inside], color=REAL, alpha=0.15, lw=0)
left.fill_between(x[inside], density(1)[inside], color=GENERATED, alpha=0.25, lw=0)
left.plot(x[inside], 1 / (1 + np.exp(x[inside] - 0.5)), color=MUTED, ls="--", label="best: p/(p + q)")
left.plot(grid, answer, color=CRITIC, label="trained on events")
left.text(-1.6, 0.05, "p, real", color=REAL)
left.text(0.55, 0.05, "q, generated", color=GENERATED)
left.set(xlabel="x", ylabel="D(x)", title="What the best discriminator answers", ylim=(0, 1.02))
left.legend(loc="upper right")
line = np.linspace(0, 5, 51)
right.plot(line, [2 * exact_js(s) - 2 * math.log(2) for s in line], color=MUTED, label="2 JS − 2 log 2")
right.errorbar(shifts, value, error, fmt="o", ms=4, color=CRITIC, label="measured on events")
for level, name in ((-math.log(4), "−log 4: p = q"), (0.0, "0: disjoint")):
    right.axhline(level, color=MUTED, lw=0.8, ls=":")
    right.text(5, level + 0.03, name, color=MUTED, ha="right", fontsize=8)
right.set(xlabel="distance of the two Gaussians", ylabel="value of the game", title="What the generator plays for")
right.set_ylim(-1.52, 0.16)
right.legend(loc="center right")

# %%
# The two terms of the value along a game: a generator that starts elsewhere learns p. Each comes to
# :math:`-\log 2 = -0.693`, the value to :math:`-\log 4`.

n_steps = 400 if is_quick() else 3_000
game = reverie.GAN(objective="minimax", penalty="r1", generator=(32,), discriminator=(32,), max_steps=n_steps,
                   record_every=n_steps // 40, n_checks=2, refine=False, random_state=0)  # fmt: skip
game.fit(r.normal(size=(4_000, 1)))
last = game.history_[-1]
for key, name in (("log_d_real", "E log D(x)"), ("log_not_d_fake", "E log(1 - D(G(z)))")):
    compare(f"{name} after {n_steps} steps", -math.log(2), last[key])
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
value_terms(game.history_, ax=ax)
