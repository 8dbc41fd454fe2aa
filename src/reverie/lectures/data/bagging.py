r"""
Bagging: poor predictors, a better mean
=======================================

:Lecture D: Combining models; bagging; bagging with bootstrap; unstable learning algorithms

Twenty-five straight lines, each trained on 50 of 500 points, are poor predictors of two classes with a bent border;
their mean is better. It works for learners that change much with their rows: a perceptron and a tree do, a linear
least-squares fit does not.

Misprint of D: the variance of an average is printed as :math:`\sigma^2/n + (n-1)/n\,\rho\,\sigma`; the last term is
:math:`\rho\,\sigma^2`.
"""

# %%
# n = 500, B = 25, 50 points each, as on the slide: grey lines are the members, the black one is their mean.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import LinearRegression, Perceptron
from sklearn.tree import DecisionTreeRegressor

from reverie.explore import bagging, decompose
from reverie.lectures import compare, is_quick
from reverie.plots.style import COLORS, CRITIC, GENERATED, MUTED, REAL

plt.style.use("reverie.plots.reverie")
r = np.random.default_rng(0)
x = r.uniform(-1, 1, size=(500, 2))
y = (np.hypot(*(x + 1).T) + 0.12 * r.normal(size=500) > 1.6).astype(int)  # outside of a quarter of a circle
bagged = bagging(Perceptron(), x, y, n_estimators=25, fraction=0.1, random_state=0)
compare("right of rows that a member did not see: one member, and all 25", "poor; much better",
        f"{bagged.member_score:.3f}; {bagged.out_of_bag}")  # fmt: skip

axis = np.linspace(-1, 1, 101)
plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
votes = bagged.member_predictions(plane)[:, :, 1].reshape(25, 101, 101)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.9), layout="constrained")
for k, color in enumerate((GENERATED, CRITIC)):
    left.plot(*x[y == k].T, ".", ms=4, color=color, alpha=0.7)
for vote in votes:
    left.contour(axis, axis, vote, levels=[0.5], colors=MUTED, linewidths=0.5, linestyles="dashed", alpha=0.7)
left.contour(axis, axis, votes.mean(axis=0), levels=[0.5], colors=REAL, linewidths=2.2)
left.set(title="25 members (grey) and their mean (black)", xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
left.grid(visible=False)

# %%
# How much correlation remains: trees and straight lines on a noisy sine, variances over fresh training sets.

n_sets = 20 if is_quick() else 100
sizes = (1, 2, 5, 10, 25)
t = r.uniform(0, 1, size=(n_sets * 200, 1))
sine = np.sin(2 * np.pi * t[:, 0]) + 0.3 * r.normal(size=len(t))
points = np.linspace(0.05, 0.95, 50)[:, None]
for (name, learner), color in zip(
    {"trees": DecisionTreeRegressor(), "straight lines": LinearRegression()}.items(), COLORS, strict=False
):
    options = {"X_test": points, "disjoint": True, "n_replicates": n_sets, "random_state": 0}
    parts = {n: decompose(learner, t, sine, n_estimators=n, **options) for n in sizes[1:]}
    whole = parts[25]
    means = [whole.sigma2, *(parts[n].var_mean for n in sizes[1:])]
    right.errorbar(sizes, [m.value for m in means], [m.error for m in means], fmt="o", ms=4, color=color, label=name)
    n = np.geomspace(1, 25, 50)
    right.plot(n, whole.rho.value * whole.sigma2.value + (1 - whole.rho.value) * whole.sigma2.value / n, color=color)
    fits = [learner.fit(t[i : i + 200], sine[i : i + 200]).predict(points) for i in range(0, len(t), 200)]
    single = np.var(fits, axis=0, ddof=1).mean()
    lecture = {"trees": "unstable, bagging helps", "straight lines": "stable, it does not"}[name]
    compare(f"variance of {name}: one on all rows; 25 bagged", lecture, f"{single:.4f}; {whole.var_mean}")
    if name == "trees":
        compare("variance of the mean of 25 trees, by the formula", f"{whole.predicted:.4f}", whole.var_mean)
right.set(xscale="log", yscale="log", xlabel="models averaged", ylabel="variance of the prediction")
right.set_title("Points: measured; lines: σ²/n + (n − 1)/n ρσ²")
right.set_xticks(sizes, [str(n) for n in sizes])
right.minorticks_off()
right.legend()
