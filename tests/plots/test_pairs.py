"""The pair plot and the snapshots: which columns, which densities, in which triangle."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from reverie.plots.pairs import choose_columns, darkest_shade, density, draw_contours, pair_edges, pairs
from reverie.plots.snapshots import choose_pair, choose_steps, evolution, projections

RNG = np.random.default_rng(2)


def test_all_columns_when_few_and_the_worst_when_many():
    real = RNG.normal(size=(800, 9))
    generated = real.copy()
    generated[:, [2, 7]] += 1.0
    assert choose_columns(real, generated, most=9) == list(range(9))
    assert choose_columns(real, generated, most=2) == [2, 7]


def test_a_constant_column_is_left_out():
    real = np.column_stack([RNG.normal(size=100), np.ones(100), RNG.normal(size=100)])
    assert choose_columns(real, real) == [0, 2]


def test_real_below_and_generated_above_the_diagonal():
    real = RNG.normal(size=(2000, 2))
    generated = RNG.normal(size=(2000, 2)) * 0.3
    figure = pairs(real, generated, names=["a", "b"])
    edges = [pair_edges(real[:, j]) for j in (0, 1)]
    above, below = figure.axes[1], figure.axes[2]
    drawn_above = above.collections[0].get_array()
    drawn_below = below.collections[0].get_array()
    np.testing.assert_allclose(drawn_below, density(real, (edges[0], edges[1])).T)
    np.testing.assert_allclose(drawn_above, density(generated[:, ::-1], (edges[1], edges[0])).T)
    assert above.collections[0].norm.vmax == pytest.approx(below.collections[0].norm.vmax, rel=0.05)
    assert above.collections[0].get_rasterized()


def test_contours_hold_what_they_say():
    points = RNG.normal(size=(100_000, 2))
    edges = (np.linspace(-4, 4, 41),) * 2
    ax = Figure().subplots()
    draw_contours(ax, points, edges, "k")
    outer, inner = (np.vstack(p.to_polygons()) for p in ax.collections[0].get_paths()[:2])
    assert np.linalg.norm(inner, axis=1).mean() == pytest.approx(1.0, abs=0.1)
    assert np.linalg.norm(outer, axis=1).mean() == pytest.approx(2.0, abs=0.1)


def test_two_valued_columns_have_no_contours():
    ax = Figure().subplots()
    draw_contours(ax, RNG.normal(size=(100, 2)), (np.linspace(-3, 3, 31), np.array([-2, 0, 2])), "k")
    assert not ax.collections


def test_shade_of_nothing_is_finite():
    assert darkest_shade(np.empty((0, 2)), (np.linspace(0, 1, 9),) * 2) == 1.0


@pytest.mark.parametrize("n", [1, 2, 5, 6, 20, 100])
def test_chosen_steps_keep_the_first_and_the_last(n):
    snapshots = [(10 * k, np.zeros((1, 1))) for k in range(n)][::-1]
    steps = [step for step, _ in choose_steps(snapshots)]
    assert steps == sorted(set(steps))
    assert len(steps) == min(n, 5)
    assert {steps[0], steps[-1]} == {0, 10 * (n - 1)}


def test_worst_pair_is_found():
    real = RNG.normal(size=(500, 4))
    last = real + np.array([0, 0.5, 0, 1.0])
    assert choose_pair(real, last) == (1, 3)


def test_projections_have_a_panel_per_step_and_the_real_one():
    real = RNG.normal(size=(500, 3))
    figure = projections(real, [(0, real * 3), (100, real)], names=["a", "b", "c"], columns=(0, 2))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["step 0", "step 100", "real"]


def test_evolution_scales_every_step_to_the_real_size():
    real = RNG.normal(size=1000)
    ax = evolution(real, [(0, RNG.normal(size=50)), (9, RNG.normal(size=4000))]).axes[0]
    for patch in ax.patches[:2]:
        assert patch.get_data().values.sum() == pytest.approx(1000, rel=0.05)
