"""Networks: shapes for any image size, reproducible weights, and heads that keep outputs admissible."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from reverie.core.errors import InputError, UnknownNameError
from reverie.networks import MLP, ConvDiscriminator, ConvGenerator, OutputHead, build_discriminator, build_generator
from reverie.networks.build import has_batch_norm
from reverie.networks.convolutional import CircularConv2d
from reverie.networks.features import Whitening

IMAGES = [(8, 8), (28, 28), (1, 28, 28), (3, 32, 32), (2, 17, 40), (3, 5), (64, 33)]


@pytest.mark.parametrize("shape", IMAGES)
def test_convolutional_pair_fits_any_image(shape):
    images = ConvGenerator(7, shape, width=4)(torch.zeros(2, 7))
    assert images.flatten(1).shape == (2, math.prod(shape))
    assert ConvDiscriminator(shape, width=4)(torch.zeros(2, *shape)).shape == (2, 1)


def test_every_pixel_reaches_the_convolutional_discriminator():
    x = torch.zeros(1, 17, 23, requires_grad=True)
    ConvDiscriminator((17, 23), width=2)(x).sum().backward()
    assert (x.grad != 0).all()


def test_mlp_of_the_lecture_has_its_size():
    sizes = [sum(p.numel() for p in MLP(a, b, hidden=(100,)).parameters()) for a, b in ((20, 784), (784, 1))]
    assert sizes == [20 * 100 + 100 + 100 * 784 + 784, 784 * 100 + 100 + 100 + 1]


@pytest.mark.usefixtures("global_random_state_untouched")
@pytest.mark.parametrize("spec", ["mlp", "residual", "dcgan", (16, 16), "auto"])
def test_weights_follow_from_the_generator_alone(spec):
    def weights(seed):
        source = torch.Generator().manual_seed(seed)
        G = build_generator(spec, n_noise=5, event_shape=(16, 16), random_generator=source)
        D = build_discriminator(spec, event_shape=(16, 16), random_generator=source)
        return torch.cat([p.flatten() for net in (G, D) for p in net.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_users_factory_is_reproducible_and_users_module_is_copied():
    def factory(n_noise, event_shape):
        return nn.Linear(n_noise, math.prod(event_shape))

    first, second = (
        build_generator(factory, n_noise=3, event_shape=(2,), random_generator=torch.Generator().manual_seed(0))
        for _ in range(2)
    )
    assert torch.equal(first.weight, second.weight)
    module = nn.Linear(3, 2)
    copy = build_generator(module, n_noise=3, event_shape=(2,), random_generator=torch.Generator())
    assert copy is not module
    assert torch.equal(copy.weight, module.weight)


def test_unknown_and_unusable_specifications_are_refused():
    source = torch.Generator()
    with pytest.raises(UnknownNameError, match="Did you mean 'residual'"):
        build_generator("residal", n_noise=3, event_shape=(2,), random_generator=source)
    with pytest.raises(InputError, match="network name, hidden widths"):
        build_generator(3.5, n_noise=3, event_shape=(2,), random_generator=source)
    with pytest.raises(InputError, match="torch module, got int"):
        build_discriminator(lambda shape: 3, event_shape=(2,), random_generator=source)
    with pytest.raises(InputError, match="Use generator='mlp' for tables"):
        build_generator("dcgan", n_noise=3, event_shape=(2,), random_generator=source)


def test_batch_norm_is_found():
    assert has_batch_norm(ConvGenerator(3, (8, 8)))
    assert not has_batch_norm(ConvDiscriminator((8, 8)))


def test_head_keeps_every_kind_admissible():
    head = OutputHead(
        ["linear", "circle", "circle", "simplex", "simplex", "simplex", "tanh"], [None, 1, 1, 2, 2, 2, None]
    )
    y = 5 * torch.randn(40, 7, generator=torch.Generator().manual_seed(0))
    out = head(y)
    assert torch.equal(out[:, 0], y[:, 0])
    torch.testing.assert_close(out[:, 1:3].square().sum(1), torch.full((40,), 2.0))
    torch.testing.assert_close(torch.atan2(out[:, 2], out[:, 1]), torch.atan2(y[:, 2], y[:, 1]))
    assert torch.equal(out[:, 3:6].round(), out[:, 3:6].round().clamp(0, 1))
    torch.testing.assert_close(out[:, 3:6].sum(1), torch.ones(40))
    assert torch.equal(out[:, 3:6].argmax(1), y[:, 3:6].argmax(1))
    assert out[:, 6].abs().max() <= 1


def test_head_draws_categories_by_the_softmax_of_its_features():
    head, n = OutputHead(["simplex", "simplex", "linear", "simplex"], [0, 0, None, 0]), 20_000
    y = torch.tensor([0.0, 1.0, 0.3, -2.0]).expand(n, 4)
    gumbel = -(-torch.rand(n, len(head.simplex), generator=torch.Generator().manual_seed(0)).log()).log()
    p = torch.softmax(y[0, head.simplex], 0)
    error = (p * (1 - p) / n).sqrt()
    off = [(head(y, *noise)[:, head.simplex].mean(0) - p).abs() / error for noise in ((gumbel,), ())]
    assert off[0].max() < 4.5  # by chance in one of 50,000 seeds
    assert off[1].max() > 50  # the largest alone is no draw
    assert torch.equal(head(y, gumbel)[:, 2], y[:, 2])


def test_head_passes_gradients_to_every_feature():
    head = OutputHead(["linear", "circle", "circle", "simplex", "simplex", "tanh"], [None, 1, 1, 2, 2, None])
    y = torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    weights = torch.randn(3, 6, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad((head(y) * weights).sum(), y)
    assert (gradient != 0).all()


def test_head_has_a_finite_gradient_at_the_centre_of_the_circle():
    y = torch.zeros(1, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(OutputHead(["circle", "circle"], [0, 0])(y).sum(), y)
    assert torch.isfinite(gradient).all()


def test_head_refuses_unknown_kinds_and_odd_circles():
    with pytest.raises(InputError, match="spherical"):
        OutputHead(["spherical"])
    with pytest.raises(InputError, match="two features"):
        OutputHead(["circle", "circle", "circle"], [0, 0, 0])


def test_whitening_takes_out_correlations_and_comes_back():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5000, 3, generator=generator) @ torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.5]])
    whitening = Whitening(3).fit(x + 4)
    y = whitening(x + 4)
    torch.testing.assert_close(torch.cov(y.T), torch.eye(3), atol=2e-3, rtol=0)
    torch.testing.assert_close(y.mean(dim=0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(whitening.inverse(y), x + 4, atol=1e-4, rtol=0)
    apart = Whitening(3).fit(x, apart=[1])
    torch.testing.assert_close(apart(x).std(dim=0), torch.ones(3), atol=2e-3, rtol=0)
    torch.testing.assert_close(apart.matrix[1, [0, 2]], torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(apart.inverse(apart(x)), x, atol=1e-4, rtol=0)


def test_whitening_leaves_redundant_directions_small():
    x = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
    y = Whitening(2).fit(torch.cat([x, x], dim=1))(torch.cat([x, x + 1e-3], dim=1))
    assert torch.isfinite(y).all()
    assert (y[:, 1] - y[:, 0]).abs().max() < 0.1


def test_an_unfitted_whitening_is_the_identity():
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Whitening(2)(x), x)


DENSE = nn.Sequential(nn.Linear(64, 3), nn.LeakyReLU(), nn.Linear(3, 1))  # of vectors, as lectures write it
LOGITS = nn.Sequential(nn.Flatten(), DENSE)


class Bounded(nn.Module):
    """A discriminator that ends in a sigmoid, which no layer of it shows."""

    def __init__(self):
        super().__init__()
        self.layers = LOGITS

    def forward(self, x):
        return torch.sigmoid(self.layers(x))


@pytest.mark.usefixtures("global_random_state_untouched")
@pytest.mark.parametrize(
    ("role", "network", "message"),
    [
        ("discriminator", DENSE, r"takes \(batch, 8, 8\).*mat1 and mat2.*nn.Flatten\(\) comes first"),
        ("discriminator", nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), r"outputs \(batch, 1\), got \(batch, 2\)"),
        ("discriminator", nn.Sequential(LOGITS, nn.Sigmoid()), r"logits.*within \[0, 1\].*Leave its sigmoid out"),
        ("discriminator", Bounded(), r"logits.*within \[0, 1\].*Leave its sigmoid out"),
        ("generator", nn.Linear(5, 65), r"outputs \(batch, 64\), got \(batch, 65\).*shape \(8, 8\)"),
        ("generator", nn.Linear(6, 64), r"takes \(batch, 5\).*mat1 and mat2.*shape \(8, 8\)"),
    ],
)
def test_networks_of_the_user_are_tried_before_training(role, network, message):
    build = build_discriminator if role == "discriminator" else partial(build_generator, n_noise=5)
    with pytest.raises(InputError, match=message):
        build(network, event_shape=(8, 8), random_generator=torch.Generator().manual_seed(0))


def test_networks_that_fit_are_left_alone():
    """Logits that a zero first weight makes all alike are no sigmoid's; least squares asks for numbers in [0, 1]."""
    source, flat = torch.Generator().manual_seed(0), nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))
    nn.init.zeros_(flat[1].weight)
    nn.init.constant_(flat[1].bias, 0.5)
    for network, may_be_bounded in ((LOGITS, False), (flat, False), (Bounded(), True)):
        D = build_discriminator(network, event_shape=(8, 8), random_generator=source, may_be_bounded=may_be_bounded)
        assert D.training
        assert all(torch.equal(a, b) for a, b in zip(D.parameters(), network.parameters(), strict=True))
    assert build_generator(nn.Linear(5, 64), n_noise=5, event_shape=(8, 8), random_generator=source)


@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (2, 1, 4, 4), (1, 4, 2, 3)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 1, 0), (5, 1, 2)])
def test_circular_convolutions_and_their_gradients_are_those_of_torch(shape, kernel, stride, padding):
    ours = CircularConv2d(shape[1], 6, kernel, stride=stride, padding=padding).double()
    theirs = torch.nn.Conv2d(shape[1], 6, kernel, stride=stride, padding=padding, padding_mode="circular").double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    out, expected = ours(x), theirs(x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(y.square().sum(), [x, net.weight]) for y, net in ((out, ours), (expected, theirs))]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
