"""Mosaics: every pixel in its place."""

import numpy as np
import pytest
from matplotlib.colors import Normalize

from reverie.core.errors import InputError
from reverie.plots.images import as_pictures, grey_scale, image_grids, image_rows, mosaic

RNG = np.random.default_rng(3)


def test_mosaic_places_every_picture():
    pictures = RNG.random((5, 3, 4))
    page = mosaic(pictures, 2, gap=1)
    assert page.shape == (3 * 3 + 2, 2 * 4 + 1)
    np.testing.assert_array_equal(page[0:3, 0:4], pictures[0])
    np.testing.assert_array_equal(page[4:7, 5:9], pictures[3])
    assert np.isnan(page[3]).all()


def test_shapes_of_stacks():
    assert as_pictures(np.zeros((2, 5, 6))).shape == (2, 5, 6)
    assert as_pictures(np.zeros((2, 1, 5, 6))).shape == (2, 5, 6)
    assert as_pictures(np.zeros((2, 3, 5, 6))).shape == (2, 5, 6, 3)
    with pytest.raises(InputError, match="channels"):
        as_pictures(np.zeros((2, 2, 5, 6)))


def test_real_and_generated_share_the_grey_scale_of_the_real():
    figure = image_grids(RNG.random((9, 4, 4)), 5 * RNG.random((9, 4, 4)), n_side=3)
    scales = [ax.images[0].get_clim() for ax in figure.axes]
    assert scales[0] == scales[1]
    assert scales[0][1] <= 1


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (3, 4, 4)])
def test_rows_of_steps_and_real(shape):
    stack = RNG.random((6, *shape))
    figure = image_rows([(0, stack), (50, stack)], stack, n_across=4)
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["step 0", "step 50", "real"]


def test_spins_have_two_colours():
    figure = image_grids(RNG.choice([-1, 1], (4, 4, 4)), np.empty((0, 4, 4)), n_side=2, kind="spin")
    assert len(figure.axes) == 1
    assert figure.axes[0].images[0].cmap.N == 2


def test_energies_in_cells_are_drawn_by_their_area_hyperbolic_sine_and_greys_evenly():
    energies = np.exp(1.5 * RNG.normal(size=(50, 6, 6))) * (RNG.random((50, 6, 6)) < 0.2)
    scale = grey_scale(energies)
    assert scale(0.0) == 0
    assert scale(np.quantile(energies, 0.9995)) == 1
    assert scale(np.median(energies[energies > 0])) > 0.15  # by a straight line less than an eighth
    for greys in (RNG.integers(0, 256, (50, 6, 6)), energies - 1, np.zeros((3, 6, 6)), np.full((3, 6, 6), np.nan)):
        assert type(grey_scale(greys)) is Normalize
