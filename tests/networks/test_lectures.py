"""The lectures' networks: parameters to the last one, shapes of any image, and noise that belongs to the run."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from reverie.core.errors import InputError
from reverie.networks import Stacked, build_discriminator, build_generator
from reverie.networks.build import has_batch_norm
from reverie.networks.noise import Dropout, GaussianNoise, seeded, set_noise_generator


def _source(seed=0):
    return torch.Generator().manual_seed(seed)


def _pair(name, shape, n_noise=100):
    G = build_generator(name, n_noise=n_noise, event_shape=shape, random_generator=_source())
    return G, build_discriminator(name, event_shape=shape, random_generator=_source())


def _trained(network):
    return sum(weight.numel() for weight in network.parameters())


def _running(network):
    return sum(b.numel() for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var")))


def test_thesis_generator_has_its_125835_parameters():
    G, _ = _pair("thesis", (3,))
    assert (_trained(G), _running(G), _trained(G) + _running(G)) == (124_955, 880, 125_835)


def test_thesis_discriminator_has_its_101513_parameters():
    _, D = _pair("thesis", (2,))
    assert (_trained(D), _running(D)) == (101_513, 0)
    linear = [layer for layer in D.modules() if isinstance(layer, nn.Linear)]
    assert [_trained(layer) for layer in linear] == [600, 1601]


@pytest.mark.parametrize(
    ("name", "n_noise", "generator", "running", "discriminator"),
    [
        ("lecture_mlp", 20, 20 * 100 + 100 + 100 * 784 + 784, 0, 784 * 100 + 100 + 1),
        ("dcgan28", 100, 2_330_944 - 25_472, 25_472, 212_865),
        ("wgan_conv", 100, 16 * 100 * 128 + 9 * 128 * 64 + 16 * (64 * 32 + 32), 0, 16 * (32 + 2048 + 128) + 9 * 8192),
    ],
)
def test_image_pairs_have_their_parameters(name, n_noise, generator, running, discriminator):
    G, D = _pair(name, (28, 28), n_noise)
    assert (_trained(G), _running(G), _trained(D)) == (generator, running, discriminator)


LAYERS = {  # of the discriminators, as the listings print them; without the layers that only change shapes
    "lecture_mlp": "Linear LeakyReLU Dropout(0.5) Linear",
    "thesis": "Linear Conv2d LeakyReLU Conv2d LeakyReLU Conv2d LeakyReLU Conv2d LeakyReLU Dropout(0.2) Linear",
    "dcgan28": "Conv2d LeakyReLU Dropout(0.3) Conv2d LeakyReLU Dropout(0.3) Linear",
    "wgan_conv": "Conv2d LeakyReLU Conv2d InstanceNorm2d LeakyReLU Conv2d InstanceNorm2d LeakyReLU Linear",
}


@pytest.mark.parametrize("name", LAYERS)
def test_discriminators_have_the_layers_of_the_listings(name):
    """Parameters alone would not show a missing dropout, without which the lecture's game collapses."""
    leaves = [layer for layer in _pair(name, (28, 28))[1].modules() if not list(layer.children())]
    words = [f"Dropout({m.p})" if isinstance(m, Dropout) else type(m).__name__ for m in leaves]
    assert " ".join(w for w in words if w not in ("Flatten", "Unflatten", "AsImages", "ZeroPad2d")) == LAYERS[name]


@pytest.mark.parametrize("name", ["dcgan28", "wgan_conv", "lecture_mlp", "thesis"])
@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (3, 32, 17), (2, 7, 9), (3, 5)])
def test_image_pairs_fit_any_image(name, shape):
    G, D = _pair(name, shape, n_noise=4)
    assert G(torch.zeros(2, 4)).flatten(1).shape == (2, math.prod(shape))
    x = torch.randn(2, *shape, generator=_source()).requires_grad_()
    D.eval()(x).sum().backward()
    assert D(x).shape == (2, 1)
    assert (x.grad != 0).all() or name == "wgan_conv"  # instance normalisation may hide the mean of a channel


@pytest.mark.parametrize("name", ["thesis", "dcgan28", "wgan_conv", "lecture_mlp"])
def test_discriminators_take_samples_one_by_one(name):
    shape = (28, 28)
    D = _pair(name, shape)[1].eval()
    assert not has_batch_norm(D)
    x = torch.randn(4, *shape, generator=_source())
    torch.testing.assert_close(D(x)[:2], D(x[:2]), atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("global_random_state_untouched")
@pytest.mark.parametrize("layer", [Dropout(0.3), GaussianNoise(0.5)], ids=["dropout", "noise"])
def test_noise_follows_from_the_generator_alone(layer):
    network, x = nn.Sequential(layer, nn.Flatten()), torch.ones(50, 4)

    def draw(seed):
        set_noise_generator(network, _source(seed))
        return network.train()(x)

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))
    assert torch.equal(network.eval()(x), x)


def test_dropout_and_noise_have_their_moments():
    """Means and variances of 40,000 draws within 5 standard errors, a false alarm in 1.7 million tests."""
    x, n = torch.full((40_000, 1), 2.0), 40_000
    dropout, noise = Dropout(0.2), GaussianNoise(0.5)
    set_noise_generator(nn.ModuleList([dropout, noise]), _source())
    dropped, noisy = dropout(x), noise(x)
    assert set(dropped.unique().tolist()) == {0.0, 2.5}
    assert abs(dropped.mean() - 2) < 5 * 2.5 * math.sqrt(0.2 * 0.8 / n)
    assert abs(noisy.mean() - 2) < 5 * 0.5 / math.sqrt(n)
    assert abs(noisy.var() - 0.25) < 5 * 0.25 * math.sqrt(2 / n)
    kept = (x * (dropped > 0)).mean()  # the twin: dropped without being strengthened
    assert abs(kept - 2) > 5 * 2.5 * math.sqrt(0.2 * 0.8 / n)


def test_copies_hold_no_generator_and_say_what_to_do():
    network = nn.Sequential(Dropout(0.5))
    set_noise_generator(network, _source())
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        with pytest.raises(InputError, match="set_noise_generator"):
            other(torch.ones(3, 2))
        assert torch.equal(other.eval()(torch.ones(3, 2)), torch.ones(3, 2))
    assert network(torch.ones(3, 2)).shape == (3, 2)


def test_noise_layers_refuse_impossible_settings():
    with pytest.raises(InputError, match="probability"):
        Dropout(1.0)
    with pytest.raises(InputError, match="standard deviation"):
        GaussianNoise(-0.1)


@pytest.mark.parametrize("deep", [True, False])
def test_users_dropout_becomes_ours(deep):
    network = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Dropout(0.3))) if deep else nn.Dropout(0.3)
    D = build_discriminator(network, event_shape=(1,), random_generator=_source())
    assert not any(type(layer) is nn.Dropout for layer in D.modules())
    assert [layer.p for layer in D.modules() if isinstance(layer, Dropout)] == [0.3]
    assert any(type(layer) is nn.Dropout for layer in network.modules())
    assert seeded(nn.Dropout(0.1).eval()).training is False


@pytest.mark.usefixtures("global_random_state_untouched")
@pytest.mark.parametrize("wide", [False, True], ids=["products", "vmap"])
def test_stacked_noise_differs_between_replicas_and_follows_from_the_seed(wide):
    layers = [nn.Unflatten(1, (4, 1)), Dropout(0.5), GaussianNoise(1.0)] if wide else [Dropout(0.5), GaussianNoise(1.0)]
    stacked = Stacked([nn.Sequential(*copy.deepcopy(layers)) for _ in range(2)])

    def draw(seed):
        set_noise_generator(stacked, _source(seed))
        return stacked(torch.ones(20, 4)).flatten(1)

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))
    assert len(draw(0).unique(dim=0)) == 20
