"""Pictures of sets of particles: the mean in the plane of eta and phi, and single sets, by the data they draw."""

import numpy as np

from reverie.plots import mean_images, set_pictures

NAMES = ("pt_rel", "eta_rel", "phi_rel", "mask")


def two(n: int, eta: float) -> np.ndarray:
    """Return n sets of one particle at (eta, -0.1) with pt 0.5, and a place without one."""
    sets = np.zeros((n, 2, 4))
    sets[:, 1] = [0.5, eta, -0.1, 1]
    return sets


def test_mean_images_hold_the_mean_pt_of_a_set_in_each_cell():
    figure = mean_images(two(10, 0.2), two(30, -0.2), NAMES)
    for ax, eta in zip(figure.axes, (0.2, -0.2), strict=True):
        (drawn,) = ax.images
        image = np.asarray(drawn.get_array())
        assert image.sum() == 0.5  # what is padded adds nothing, and the mean is over sets
        left, right, low, high = drawn.get_extent()
        row, column = np.argwhere(image > 0)[0]
        assert abs(left + (column + 0.5) / image.shape[1] * (right - left) - eta) < (right - left) / image.shape[1]
        assert abs(low + (row + 0.5) / image.shape[0] * (high - low) + 0.1) < (high - low) / image.shape[0]
        assert ax.get_xlabel() == "eta_rel"
    assert len(mean_images(two(10, 0.2), np.empty((0, 2, 4)), NAMES).axes) == 1


def test_single_sets_show_the_particles_that_are_there():
    figure = set_pictures(two(3, 0.2), two(30, -0.2), NAMES, n_across=4)
    discs = [ax.collections[0].get_offsets() for ax in figure.axes if ax.collections]
    assert [len(x) for x in discs] == [1] * 7  # three real ones and four generated
    np.testing.assert_allclose(discs[0], [[0.2, -0.1]])
    plain = set_pictures(two(3, 0.2), two(3, 0.2), ("x", "y", "z", "mask"), n_across=1)  # without a pt: equal discs
    np.testing.assert_allclose(plain.axes[0].collections[0].get_offsets(), [[0.5, 0.2]])
