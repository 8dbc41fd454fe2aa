"""Figures of an exploration: what they draw."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from reverie.core.measured import Measured
from reverie.explore import (
    Biplot,
    ball_in_cube,
    bitwise_dimension,
    crowded_neighbours,
    distance_concentration,
    gride,
    hierarchy,
    kmeans,
    surface_shares,
    variance_decomposition,
)
from reverie.explore.forest import TreeCorrelation
from reverie.plots import dimensions, exploration

R = np.random.default_rng(0)
ROWS = np.concatenate([R.normal(0, 1, (40, 2)), R.normal(9, 1, (30, 2))])


@pytest.fixture(scope="module")
def plane():
    arrows = np.array([[1.0, 0.0], [0.99, 0.001], [0.0, 0.5]])
    return Biplot(ROWS, arrows, 1.0, ("a", "b", "c"), (0, 1), np.array([0.7, 0.2]))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_scree_draws_shares_errors_and_their_sum():
    ax = exploration.scree(np.array([0.6, 0.3, 0.1]), np.array([0.01, 0.02, np.nan])).axes[0]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.6, 0.3, 0.1])
    sums = next(line for line in ax.lines if len(line.get_ydata()) == 3 and line.get_ydata()[-1] > 0.5)
    np.testing.assert_allclose(sums.get_ydata(), [0.6, 0.9, 1.0])


def test_arrows_in_one_direction_share_a_label_and_end_inside(plane):
    ax = exploration.biplane(plane).axes[0]
    labels = [text for text in ax.texts if text.get_text()]
    assert [text.get_text() for text in labels] == ["a, b", "c"]
    assert labels[0].xy[0] < ax.get_xlim()[1]
    assert "70.0 %" in ax.get_xlabel()
    assert not [t for t in texts(exploration.biplane(plane, with_arrows=False).axes[0]) if t]


def test_component_images_are_signed_about_zero():
    components = np.array([[1.0, 0, 0, -0.5], [0.5, 0.5, 0.5, 0.5]])
    figure = exploration.component_images(np.zeros(4), components, np.array([0.8, 0.2]), (2, 2))
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert [ax.get_title("left") for ax in figure.axes if ax.images] == ["mean", "1: 80.0 %", "2: 20.0 %"]
    assert images[1].get_clim() == (-1, 1)
    assert images[2].get_clim() == (-0.5, 0.5)


def test_a_flat_mean_image_is_grey_all_over():
    figure = exploration.component_images(np.array([0.0, 0.01]), np.eye(2), np.ones(2) / 2, (1, 2), margin=1.0)
    low, high = figure.axes[0].images[0].get_clim()
    assert (low, high) == pytest.approx((-1.0, 1.01))


def test_dimension_against_scale():
    scan = gride(R.normal(size=(300, 2)), 8)
    ax = exploration.dimension(scan, 2).axes[0]
    np.testing.assert_allclose(ax.containers[0].lines[0].get_xdata(), scan.scale)
    assert "2 features" in texts(ax)
    assert not texts(exploration.dimension(scan, 40).axes[0])  # far away: not drawn


def test_hamming_draws_histogram_and_law():
    bits = bitwise_dimension(R.integers(0, 2, (200, 10)), random_state=0)
    law, histogram = exploration.hamming(bits).axes[0].lines
    np.testing.assert_array_equal(histogram.get_ydata(), bits.observed)
    np.testing.assert_array_equal(law.get_ydata(), bits.fitted)


def test_spectrum_and_correlations():
    ax = exploration.spectrum(np.array([4.0, 2.0, 0.04]), tolerance=1e-3).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1, 0.5, 0.01])
    assert ax.get_yscale() == "log"
    few = exploration.correlations(np.eye(2), ["a", "b"]).axes[0]
    assert [t.get_text() for t in few.get_xticklabels()] == ["a", "b"]
    assert few.images[0].get_clim() == (-1, 1)


def test_clusters_have_their_sizes_beside_them(plane):
    ax = exploration.cluster_plane(plane, np.repeat([0, 1], (40, 30))).axes[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["1: 40 (57.1 %)", "2: 30 (42.9 %)"]
    stars = [line.get_xydata()[0] for line in ax.lines if line.get_marker() == "*"]
    np.testing.assert_allclose(stars, [ROWS[:40].mean(axis=0), ROWS[40:].mean(axis=0)])


def test_a_plot_of_one_panel_draws_on_axes_of_the_caller(plane):
    ax = Figure().subplots()
    assert exploration.cluster_plane(plane, np.repeat([0, 1], (40, 30)), ax=ax) is ax.figure
    assert "leading plane" in ax.get_title("left")


def test_one_cluster_needs_no_legend(plane):
    assert exploration.cluster_plane(plane, np.zeros(70, int)).axes[0].get_legend() is None


def test_criteria_mark_what_they_choose():
    found = kmeans(ROWS, random_state=0, choices=range(2, 5))
    upper, lower = exploration.criteria(found.criteria, found.preferred).axes
    assert upper.lines[-1].get_xdata()[0] == found.preferred["gap"] == 2
    assert lower.lines[-1].get_xdata()[0] == found.preferred["silhouette"] == 2


def test_the_cut_of_the_tree_leaves_its_clusters():
    found = hierarchy(ROWS, random_state=0)
    dendrogram = found.dendrogram(10)
    ax = exploration.tree(dendrogram, linkage="ward", n_clusters=2).axes[0]
    cut = ax.lines[-1].get_ydata()[0]
    assert (dendrogram.dcoord.max(axis=1) > cut).sum() == 1
    assert [t.get_text() for t in ax.get_xticklabels()] == [f"{size:.0f}" for size in dendrogram.leaf_sizes]
    assert not texts(exploration.tree(dendrogram, linkage="ward", n_clusters=50).axes[0])


def test_a_picture_without_axes():
    ax = exploration.embedding(ROWS, np.repeat([0, 1], (40, 30)), ["g", "h"], trust=0.9).axes[0]
    assert list(ax.get_xticks()) == list(ax.get_yticks()) == []


def test_importances_are_ordered_and_have_errors():
    values = {"a": Measured(0.1, 0.01, 9), "b": Measured(0.3, 0.02, 9)}
    left, right = exploration.feature_importances(values, values, score="accuracy").axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["b", "a"]
    assert [bar.get_width() for bar in right.patches] == [0.3, 0.1]


def test_tree_correlations_may_be_unknown():
    rows = (TreeCorrelation(1, 0.2, 0.5, 0.2), TreeCorrelation(3, float("nan"), 0.0, 0.0))
    left, right = exploration.tree_correlations(rows, 1).axes
    assert left.lines[0].get_ydata()[0] == 0.2
    assert list(right.lines[1].get_ydata()) == [0.2, 0.0]


def test_figures_of_many_dimensions():
    D = (1, 2, 10)
    ball, surface = ball_in_cube(D, n_points=200, random_state=0), surface_shares(D, n_points=200, random_state=0)
    left, right = dimensions.cube(ball, surface).axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), ball.exact)
    np.testing.assert_allclose(right.lines[0].get_ydata(), surface.exact)
    spread = distance_concentration(D, n_points=200, random_state=0)
    np.testing.assert_allclose(dimensions.distances(spread).axes[1].lines[0].get_ydata(), spread.contrast)
    crowd = crowded_neighbours(D)
    np.testing.assert_array_equal(dimensions.crowding(crowd).axes[0].lines[0].get_ydata(), [2, 3, 11])


def test_the_floor_of_an_average():
    whole = variance_decomposition(R.normal(size=(20, 5, 4)) + R.normal(size=(20, 1, 4)))
    ax = dimensions.averaging(whole, {5: whole.var_mean}).axes[0]
    curve, _, floor = ax.lines[:3]
    assert curve.get_ydata()[0] == pytest.approx(whole.at(1))
    assert floor.get_ydata()[0] == pytest.approx(whole.rho.value * whole.sigma2.value)
