"""Figures of latent spaces: the right events in the right places."""

import numpy as np
import pytest

from reverie.core.errors import InputError
from reverie.plots.latent import latent_codes, latent_manifold, latent_traversals

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5)])
def test_a_row_of_pictures_per_dimension(shape):
    events = RNG.random((3, 6, *shape))
    figure = latent_traversals(events, np.linspace(-3, 3, 6), dimensions=[7, 2, 0])
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["$z_{7}$", "$z_{2}$", "$z_{0}$"]
    drawn = np.ma.filled(figure.axes[1].images[0].get_array(), np.nan)
    if len(shape) == 2:
        np.testing.assert_array_equal(drawn[:4, :5], events[1, 0])
        np.testing.assert_array_equal(drawn[:4, -5:], events[1, 5])


def test_a_line_per_dimension_in_every_column_of_a_table():
    events, values = RNG.random((2, 5, 3)), np.linspace(-2, 2, 5)
    figure = latent_traversals(events, values, names=["pt", "eta", "phi"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["pt", "eta", "phi"]
    for j, ax in enumerate(figure.axes):
        for k, line in enumerate(ax.lines):
            np.testing.assert_array_equal(line.get_xdata(), values)
            np.testing.assert_array_equal(line.get_ydata(), events[k, :, j])


def test_many_columns_go_into_rows():
    figure = latent_traversals(RNG.random((2, 5, 7)), np.linspace(-2, 2, 5))
    assert len(figure.axes) == 7
    assert [bool(ax.get_xlabel()) for ax in figure.axes] == [False, False, True, True, True, True, True]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["$z_{0}$", "$z_{1}$"]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="one per value"):
        latent_traversals(np.zeros((2, 5, 3)), np.zeros(4))
    with pytest.raises(InputError, match="one per column"):
        latent_traversals(np.zeros((2, 5, 3)), np.zeros(5), names=["a"])


def test_the_manifold_keeps_rows_and_columns():
    events = RNG.random((4, 4, 6, 6))
    figure = latent_manifold(events, dimensions=(3, 5))
    page = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)
    np.testing.assert_array_equal(page[:6, :6], events[0, 0])
    np.testing.assert_array_equal(page[-6:, :6], events[3, 0])
    np.testing.assert_array_equal(page[:6, -6:], events[0, 3])
    assert [text.get_text() for text in figure.axes[0].texts] == ["$z_{3}$ →", "$z_{5}$ →"]


@pytest.mark.parametrize("labels", [None, RNG.integers(0, 3, 50), RNG.random(50), np.array(["a", "b"] * 25)])
def test_every_code_is_drawn(labels):
    codes = RNG.normal(size=(50, 4))
    figure = latent_codes(codes, labels, dimensions=(1, 3))
    points = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    np.testing.assert_allclose(np.sort(points[:, 0]), np.sort(codes[:, 1]))
    np.testing.assert_allclose(np.sort(points[:, 1]), np.sort(codes[:, 3]))
    assert (figure.axes[0].get_legend() is not None) == (labels is not None and len(np.unique(labels)) < 12)
