"""A look into a latent space: right vectors, right order, and what models make of it."""

import numpy as np
import pytest
from scipy.stats import norm

from reverie.core.assessment import LatentView
from reverie.models import GAN, VAE, Autoencoder
from reverie.models.latent import latent_plane, latent_view

TINY = {"max_steps": 6, "batch_size": 16, "random_state": 0, "encoder": (8,), "decoder": (8,)}
RNG = np.random.default_rng(0)


def view(codes: np.ndarray, importance: list[float], **options) -> LatentView:
    """Return the view of a decoder that shows z itself, as an image of one row."""
    settings = {"n_shown": 2, "is_prior": True, "is_image": True} | options
    return latent_view(codes, np.array(importance), lambda z: z[:, None, :], **settings)


def test_dimensions_come_by_importance_and_move_alone():
    seen = view(RNG.normal(size=(50, 4)), [0.1, 3.0, 0.0, 2.0])
    assert seen.dimensions.tolist() == [1, 3]
    assert seen.n_latent == 4
    assert seen.traversals.shape == (2, 11, 1, 4)
    for k, j in enumerate(seen.dimensions):
        np.testing.assert_allclose(seen.traversals[k, :, 0, j], seen.values)
        assert not np.delete(seen.traversals[k, :, 0], j, axis=1).any()
    np.testing.assert_allclose(seen.values[[0, 5, -1]], [-3, 0, 3])


def test_codes_without_a_prior_set_middle_and_scale():
    codes = np.array([5.0, -1.0]) + np.array([2.0, 0.1]) * RNG.normal(size=(5000, 2))
    seen = view(codes, [2.0, 0.1], is_prior=False)
    np.testing.assert_allclose(seen.traversals[0, :, 0, 0], codes[:, 0].mean() + codes[:, 0].std() * seen.values, 1e-5)
    np.testing.assert_allclose(seen.traversals[0, :, 0, 1], codes[:, 1].mean(), 1e-4)
    assert seen.codes.shape == (2000, 2)


def test_the_plane_holds_equal_probability_per_cell_and_grows_to_the_right_and_up():
    t = latent_plane(3, (2, 0), 5)
    np.testing.assert_allclose(norm.cdf(t[0, :, 2]), [0.1, 0.3, 0.5, 0.7, 0.9])
    np.testing.assert_allclose(norm.cdf(t[:, 0, 0]), [0.9, 0.7, 0.5, 0.3, 0.1])
    assert not t[..., 1].any()


def test_at_least_one_and_at_most_eight_dimensions_are_shown():
    codes, importance = RNG.normal(size=(9, 12)), list(range(12))
    assert len(view(codes, importance, n_shown=0).dimensions) == 1
    assert len(view(codes, importance, n_shown=12).dimensions) == 8
    assert len(view(codes, importance, n_shown=12, is_image=False).dimensions) == 6
    assert view(codes, importance, n_shown=1).manifold.size == 0
    assert view(codes, importance, is_image=False).manifold.size == 0


def test_arrays_hold_everything():
    seen = view(RNG.normal(size=(20, 3)), [1.0, 2.0, 3.0])
    back = LatentView.from_arrays(seen.arrays())
    assert (back.n_latent, back.is_prior) == (3, True)
    for name in ("dimensions", "values", "traversals", "manifold", "codes"):
        np.testing.assert_array_equal(getattr(back, name), getattr(seen, name))


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_models_show_theirs(kind):
    images = RNG.integers(0, 9, (60, 4, 5)).astype(np.uint8)
    seen = kind(n_latent=3, **TINY).fit(images).latent_view(images)
    assert seen.traversals.shape[1:] == (11, 4, 5)
    assert seen.is_prior == (kind is VAE)
    table = kind(n_latent=2, **TINY).fit(images.reshape(60, 20)[:, :3]).latent_view(images.reshape(60, 20)[:, :3])
    assert table.traversals.shape[1:] == (11, 3)
    assert table.manifold.size == 0


def test_a_conditional_model_is_shown_at_the_condition_of_the_first_event():
    y = np.repeat([0, 1], 40)
    X = RNG.normal(size=(80, 2)) + 50.0 * y[:, None]
    model = VAE(n_latent=2, learning_rate=0.01, **(TINY | {"max_steps": 200})).fit(X, y)
    low, high = (model.latent_view(X[y == k], y[y == k]).traversals.mean() for k in (0, 1))
    assert low < 25 < high


def test_models_without_a_latent_space_show_none():
    X = RNG.normal(size=(40, 2))
    assert GAN(generator=(4,), discriminator=(4,), max_steps=2, random_state=0).fit(X).latent_view(X) is None
