"""The autoencoder against principal components, and its kinds."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from reverie.core.errors import InputError
from reverie.models.autoencoder.estimator import Autoencoder

TINY = {"max_steps": 4, "batch_size": 16, "record_every": 2, "random_state": 0}
LINEAR = {"encoder": (), "decoder": (), "n_latent": 2, "preprocessing": "standardise", "validation_fraction": 0.0}


def _sheet(n=2000, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ np.random.default_rng(9).normal(size=(2, 6)) + noise * rng.normal(size=(n, 6))


@pytest.fixture(scope="module")
def linear():
    return Autoencoder(max_steps=1000, n_checks=2, learning_rate=0.03, random_state=0, **LINEAR).fit(_sheet())


@pytest.mark.slow  # quick: samples follow the codes of the data
def test_a_linear_autoencoder_spans_the_principal_components(linear):
    features = linear.preprocessing_.features(_sheet()).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(features.T))
    learnt = linear._networks()["decoder"].body[-1].weight.double().numpy()
    assert subspace_angles(learnt, vectors[:, -2:]).max() < 0.01
    assert subspace_angles(learnt, vectors[:, :2]).max() > 1  # the twin: the least components
    assert -linear.score(_sheet()) == pytest.approx(values[:-2].sum() / 6, rel=0.01)


def test_score_is_minus_the_mean_squared_error_of_features(linear):
    X = _sheet(200, seed=3)
    error = linear.preprocessing_.features(X) - linear.preprocessing_.features(linear.reconstruct(X))
    assert linear.score(X) == pytest.approx(-float(error.double().square().mean()), rel=1e-4)
    np.testing.assert_allclose(linear.decode(linear.encode(X)), linear.reconstruct(X))


def test_samples_follow_the_codes_of_the_data(linear):
    X, drawn = _sheet(2000, seed=4), linear.sample(2000, random_state=0)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(X.T), atol=0.12 * np.cov(X.T).max())
    bimodal = np.concatenate([_sheet(800) - 20, _sheet(800) + 20])
    model = Autoencoder(max_steps=200, n_checks=1, learning_rate=0.01, random_state=0, **LINEAR).fit(bimodal)
    samples = model.sample(500, random_state=0)
    assert np.mean(np.abs(samples[:, 0]) < 10) < 0.02  # one Gaussian for all codes would put events between the two


def test_denoising_moves_events_towards_the_sheet():
    clean = _sheet(1500, noise=0.0)
    model = Autoencoder(noise=0.5, max_steps=250, n_checks=1, random_state=0, learning_rate=1e-2, **LINEAR).fit(clean)
    rng = np.random.default_rng(0)
    noisy = clean + 0.3 * clean.std(axis=0) * rng.normal(size=clean.shape)
    assert np.square(model.reconstruct(noisy) - clean).sum() < 0.6 * np.square(noisy - clean).sum()


@pytest.mark.parametrize("sparsity", ["l1", "kl"])
def test_sparse_codes_are_smaller(sparsity):
    X = _sheet(500)
    options = {
        "n_latent": 8,
        "encoder": (16,),
        "decoder": (16,),
        "max_steps": 80,
        "n_checks": 1,
        "learning_rate": 0.03,
    }
    made = [Autoencoder(sparsity=sparsity, sparsity_weight=w, random_state=0, **options) for w in (3.0, 0.0)]
    heavy, light = (model.fit(X).encode(X) for model in made)
    assert np.abs(heavy).mean() < 0.5 * np.abs(light).mean()
    if sparsity == "kl":
        assert heavy.mean() == pytest.approx(0.05, abs=0.05)
        assert heavy.min() >= 0


@pytest.mark.parametrize("shape", [(8, 8), pytest.param((1, 16, 20), marks=pytest.mark.slow)])
def test_images_are_encoded_by_either_network(shape):
    X = np.random.default_rng(0).integers(0, 17, (60, *shape)).astype(np.uint8)
    for network in ("mlp", "conv"):
        model = Autoencoder(encoder=network, decoder=network, n_latent=3, n_components=2, **TINY).fit(X)
        assert model.encode(X).shape == (60, 3)
        assert model.sample(4, random_state=0).shape == (4, *shape)
        assert model.sample(4).dtype == np.uint8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": "l2"}, "sparsity of Autoencoder to be 'none', 'l1' or 'kl', got 'l2'"),
        ({"noise": -1.0}, "noise"),
        ({"sparsity_target": 1.0}, "sparsity_target"),
        ({"n_latent": 0}, "n_latent"),
        ({"n_components": 0}, "n_components"),
    ],
)
def test_wrong_configurations_are_refused_in_words(options, message):
    with pytest.raises(InputError, match=message):
        Autoencoder(**(TINY | options)).fit(_sheet(50))
    with pytest.raises(InputError, match="one row per event"):
        Autoencoder(**TINY).fit(_sheet(50)).decode(np.zeros((2, 9)))
