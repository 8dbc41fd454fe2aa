r"""
Many dimensions: edges, distances, crowding
===========================================

:Lecture D: High-dimensional data lives near the edge; pair-wise distances; the crowding problem

In D dimensions nearly nothing of a cube lies in its inscribed ball, all points are almost equally far from each
other, and no picture in the plane has room for the neighbours.

Misprint of D: the last expression for the share of the ball, :math:`\pi^{D/2}/(2^D D^D)`, is not the one before it,
:math:`\pi^{D/2}/(2^D\,\Gamma(D/2 + 1))`; at D = 3 it is 20 times too small.
"""

# %%
# Points drawn at random beside the exact shares.

import math

import numpy as np
from matplotlib import pyplot as plt

from reverie.explore import ball_in_cube, crowded_neighbours, distance_concentration, surface_shares
from reverie.lectures import compare, is_quick
from reverie.plots.style import CRITIC, DASHED, GENERATED, MUTED, REAL

plt.style.use("reverie.plots.reverie")
n = 20_000 if is_quick() else 1_000_000
D = (1, 2, 3, 4, 5, 6, 8, 10)
ball, surface = ball_in_cube(D, n_points=n, random_state=0), surface_shares(D, n_points=n, random_state=0)
for d, k in ((2, 1), (10, 7)):
    compare(
        f"share of the cube in its ball, D = {d}",
        f"{math.pi ** (d / 2) / 2**d / math.gamma(d / 2 + 1):.4f}",
        ball.simulated[k],
    )
compare(
    "the misprinted expression, D = 3",
    "20 times too small",
    f"{math.pi**1.5 / 8 / 27:.4f} in place of {ball.exact[2]:.4f}",
)

figure, (drawing, left, right) = plt.subplots(1, 3, figsize=(10.5, 3.3), width_ratios=(0.8, 1, 1), layout="constrained")
turn = np.linspace(0, 2 * np.pi, 200)
drawing.fill([-1, 1, 1, -1], [-1, -1, 1, 1], color=CRITIC, alpha=0.2, lw=0)
drawing.fill(np.cos(turn), np.sin(turn), color=GENERATED, alpha=0.5, lw=0)
drawing.text(0, 0, "ball", ha="center", va="center", color="white", weight="bold")
drawing.text(0.83, 0.83, "corner", ha="center", va="center", color=CRITIC, fontsize=8)
drawing.set(aspect="equal", title=f"D = 2: the ball holds {math.pi / 4:.1%}")
drawing.axis("off")
for ax, shares, color, title in (
    (left, ball, GENERATED, "Share of a cube in its inscribed ball"),
    (right, surface, CRITIC, f"Share within {surface.eps:g} edges of the surface"),
):
    ax.plot(D, shares.exact, color=color, lw=1.3)
    measured = [s for s in shares.simulated if s.value > 0]
    ax.errorbar(
        D[: len(measured)], [s.value for s in measured], [s.error for s in measured], fmt="o", ms=4, color=color
    )
    ax.set(xlabel="dimensions D", ylabel="share of the volume", title=title)
left.set(yscale="log", ylim=(1e-3, 1.5))
right.set_ylim(0, 1)

# %%
# Distances between points, and what a picture in the plane would have to hold.

wide = (1, 2, 3, 5, 10, 20, 50, 100)
spread, crowd = (
    distance_concentration(wide, n_points=n // 4, random_state=0),
    crowded_neighbours((1, 2, 3, 4, 5, 7, 10)),
)
compare("spread of distances over their mean, D = 100", f"sqrt(7/(20 D)) = {spread.limit[-1]:.4f}", spread.spread[-1])
compare("points that are all equally far from each other, D = 10", "3 in the plane", int(crowd.equidistant[-1]))
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.5, 3.2), layout="constrained")
r = np.random.default_rng(0)
for d, color in ((2, REAL), (10, GENERATED), (100, CRITIC)):
    pairs = r.uniform(size=(2, 20_000, d))
    length = np.linalg.norm(pairs[0] - pairs[1], axis=1)
    left.hist(length / length.mean(), bins=np.linspace(0, 2.5, 80), density=True, histtype="step", color=color, lw=1.4,
              label=f"D = {d}")  # fmt: skip
left.set(xlabel="distance of two points / mean distance", ylabel="density", title="All points become equally far")
left.legend()
middle.plot(wide, spread.limit, color=MUTED, ls=DASHED, lw=1)
middle.errorbar(
    wide, [s.value for s in spread.spread], [s.error for s in spread.spread], fmt="o", ms=4, color=GENERATED
)
middle.set(
    xscale="log", yscale="log", xlabel="dimensions D", ylabel="standard deviation / mean", title="Spread of distances"
)
right.semilogy(crowd.dimensions, crowd.needed_radius, "o-", ms=4, color=CRITIC)
right.set(xlabel="dimensions D", ylabel="times wider", title="How much wider the plane had to be")
