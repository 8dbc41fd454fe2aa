"""What a discriminator sees beside the sample: it enters where it should, for every network, and nowhere else."""

import copy
import math

import pytest
import torch
from torch import nn

from reverie.core.errors import InputError, UnknownNameError
from reverie.networks import Stacked, build_discriminator, build_generator
from reverie.networks.conditional import ConditionalDiscriminator
from reverie.networks.noise import set_noise_generator

SPECS = {
    "mlp": (5,),
    "residual": (5,),
    (8, 6): (5,),
    "thesis": (5,),
    "lecture_mlp": (3, 4),
    "dcgan": (9, 8),
    "dcgan28": (2, 8, 9),
    "wgan_conv": (1, 9, 8),
}
BATCH, K, C = 6, 2, 3


def _source(seed=0):
    return torch.Generator().manual_seed(seed)


def _normal(*shape, seed=1):
    return torch.randn(*shape, generator=_source(seed))


def _network(spec, shape, **options):
    D = build_discriminator(spec, event_shape=shape, random_generator=_source(), **options).eval()
    for weight in D.parameters():  # a projection starts at zero, where nothing could be told apart
        nn.init.normal_(weight, std=0.2, generator=_source(weight.numel()))
    return D


def _condition_shape(shape, kind):
    return (C,) if kind == "vector" else (2, *shape[-2:])


CASES = [
    pytest.param(spec, shape, mode, kind, n_observables, n_aux, id=f"{spec}-{mode}-{kind}-{n_observables}-{n_aux}")
    for spec, shape in SPECS.items()
    for mode in ("projection", "concatenate", "auxiliary")
    for kind in ("none", "vector", "image")
    for n_observables, n_aux in ((0, 0), (K, 0), (K, 3))
    if (kind != "image" or len(shape) > 1)
    and not (n_aux and kind != "none" and (kind == "image" or mode == "concatenate") and mode != "auxiliary")
]


@pytest.mark.parametrize(("spec", "shape", "mode", "kind", "n_observables", "n_aux"), CASES)
def test_every_discriminator_sees_what_it_is_shown(spec, shape, mode, kind, n_observables, n_aux):
    condition_shape = None if kind == "none" else _condition_shape(shape, kind)
    options = {"condition_shape": condition_shape, "n_observables": n_observables, "mode": mode, "n_aux": n_aux}
    D = _network(spec, shape, **options)
    inputs = {"x": _normal(BATCH, *shape)}
    if n_observables:
        inputs["observables"] = _normal(BATCH, n_observables, seed=2)
    if condition_shape is not None:
        inputs["condition"] = _normal(BATCH, *condition_shape, seed=3)
    for value in inputs.values():
        value.requires_grad_()
    outputs = D(inputs.pop("x"), **inputs)
    assert outputs.shape == (BATCH, 1 + n_aux)
    hidden = {"condition"} if mode == "auxiliary" else set()
    for name, value in inputs.items():
        (gradient,) = torch.autograd.grad(outputs[:, 0].sum(), value, retain_graph=True, allow_unused=True)
        assert (gradient is None) == (name in hidden)
        assert gradient is None or (gradient.flatten(1).abs().sum(dim=1) > 0).all(), name
    if n_aux and mode == "projection" and kind == "vector":  # the classifier must not read the answer
        assert (torch.autograd.grad(outputs[:, 1:].sum(), inputs["condition"])[0] == 0).all()


@pytest.mark.parametrize("spec", ["mlp", "dcgan"])
def test_the_projection_is_linear_in_the_condition(spec):
    """D(x, c) = D(x, 0) + (V c) . phi(x), arXiv:1802.05637 eq. 3; the twin joins c to x and is not linear."""
    shape = SPECS[spec]
    x, c = _normal(BATCH, *shape), 3 * _normal(2, BATCH, C, seed=2)
    for mode, is_linear in (("projection", True), ("concatenate", False)):
        D = _network(spec, shape, condition_shape=(C,), mode=mode)
        a, b, both, none = (D(x, condition=value) for value in (c[0], c[1], c[0] + c[1], torch.zeros(BATCH, C)))
        assert torch.allclose(both - none, (a - none) + (b - none), atol=1e-4) == is_linear


def test_the_projection_starts_unconditional():
    D = build_discriminator("mlp", event_shape=(4,), condition_shape=(C,), random_generator=_source())
    x = _normal(BATCH, 4)
    assert torch.equal(D(x, condition=_normal(BATCH, C)), D(x, condition=torch.zeros(BATCH, C)))


@pytest.mark.usefixtures("global_random_state_untouched")
def test_nothing_beside_the_sample_leaves_the_network_as_it_was():
    plain = build_discriminator("mlp", event_shape=(4,), random_generator=_source())
    same = build_discriminator("mlp", event_shape=(4,), random_generator=_source(), mode="concatenate")
    assert list(plain.state_dict()) == [f"1.{k}.{name}" for k in (0, 2, 4, 6) for name in ("weight", "bias")]
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), same.parameters(), strict=True))


@pytest.mark.parametrize("mode", ["projection", "concatenate", "auxiliary"])
@pytest.mark.parametrize("spec", ["mlp", "dcgan", "thesis"])
def test_conditional_discriminators_can_be_stacked(spec, mode):
    shape, options = SPECS[spec], {"condition_shape": (C,), "n_observables": K, "mode": mode}
    options["n_aux"] = 0 if mode == "concatenate" else 2
    modules = [_network(spec, shape, **options) for _ in range(2)]
    for module in modules[1].parameters():
        nn.init.normal_(module, std=0.2, generator=_source(7))
    x, o, c = _normal(BATCH, *shape), _normal(BATCH, K, seed=2), _normal(BATCH, C, seed=3)
    together = Stacked(modules).eval()(x, observables=o, condition=c)
    for r, module in enumerate(modules):
        torch.testing.assert_close(together[r::2], module(x[r::2], o[r::2], c[r::2]), rtol=1e-4, atol=1e-3)


def test_a_missing_input_is_named():
    D = build_discriminator("mlp", event_shape=(4,), n_observables=K, condition_shape=(C,), random_generator=_source())
    with pytest.raises(InputError, match="Expected observables"):
        D(_normal(BATCH, 4), condition=_normal(BATCH, C))
    with pytest.raises(InputError, match="Expected condition"):
        D(_normal(BATCH, 4), observables=_normal(BATCH, K))


class Taking(nn.Module):
    """A user's discriminator that takes everything by name."""

    def __init__(self, n_outputs=1):
        super().__init__()
        self.layer = nn.Linear(4 + K + C, n_outputs)

    def forward(self, x, observables=None, condition=None):
        return self.layer(torch.cat([x, observables, condition], dim=1))


SHOWN = {"event_shape": (4,), "n_observables": K, "condition_shape": (C,)}


def test_users_networks_are_given_what_they_take():
    x, o, c = _normal(BATCH, 4), _normal(BATCH, K, seed=2), _normal(BATCH, C, seed=3)
    module = Taking()
    D = build_discriminator(module, random_generator=_source(), **SHOWN)
    assert torch.equal(D(x, observables=o, condition=c), module(x, o, c))
    joined = build_discriminator(lambda shape: nn.Linear(*shape, 1), random_generator=_source(), **SHOWN)
    assert joined.network.in_features == 4 + K + C
    assert torch.equal(joined(x, observables=o, condition=c), joined.network(torch.cat([x, o, c], dim=1)))
    alone = build_discriminator(
        nn.Linear(4, 2), random_generator=_source(), n_aux=1, **SHOWN | {"n_observables": 0, "mode": "auxiliary"}
    )
    assert torch.equal(alone(x, condition=c), alone.network(x))


def test_users_networks_that_cannot_take_it_are_refused():
    with pytest.raises(InputError, match=r"forward\(x, observables=None, condition=None\).*factory"):
        build_discriminator(nn.Linear(4, 1), random_generator=_source(), **SHOWN)
    with pytest.raises(InputError, match=r"outputs \(batch, 3\)"):
        build_discriminator(Taking(), random_generator=_source(), n_aux=2, **SHOWN)
    with pytest.raises(InputError, match="forward"):
        build_discriminator(
            lambda shape: nn.Flatten(), random_generator=_source(), event_shape=(4, 4), condition_shape=(C,)
        )
    assert build_discriminator(Taking(3), random_generator=_source(), n_aux=2, **SHOWN)


def test_unusable_conditions_are_refused():
    for options in ({"mode": "concatenate", "condition_shape": (C,)}, {"condition_shape": (4, 4)}):
        with pytest.raises(InputError, match="read a condition joined"):
            build_discriminator("mlp", event_shape=(4, 4), n_aux=2, random_generator=_source(), **options)
    with pytest.raises(InputError, match="read a condition joined"):
        build_discriminator(lambda shape: nn.Linear(*shape, 3), n_aux=2, random_generator=_source(), **SHOWN)
    with pytest.raises(UnknownNameError, match="projection"):
        build_discriminator("mlp", event_shape=(4,), random_generator=_source(), mode="projektion")
    with pytest.raises(InputError, match="9 x 8 pixels"):
        build_discriminator("dcgan", event_shape=(9, 8), condition_shape=(1, 8, 9), random_generator=_source())
    with pytest.raises(InputError, match="images as conditions"):
        build_generator("unet", n_noise=4, event_shape=(9, 8), random_generator=_source())
    with pytest.raises(InputError, match="9 x 8 pixels"):
        build_generator("unet", n_noise=4, event_shape=(9, 8), condition_shape=(8, 8), random_generator=_source())
    with pytest.raises(InputError, match="takes images as conditions, got 'dcgan'"):
        build_generator("dcgan", n_noise=4, event_shape=(9, 8), condition_shape=(9, 8), random_generator=_source())


IMAGES = [((8, 8), (8, 8)), ((28, 28), (2, 28, 28)), ((3, 17, 40), (1, 17, 40)), ((3, 5), (3, 5)), ((64, 33), (64, 33))]


@pytest.mark.parametrize("spec", ["auto", "mlp", (6,)])
@pytest.mark.parametrize(("shape", "condition_shape"), IMAGES)
def test_generators_of_images_from_images_fit_any_size(spec, shape, condition_shape):
    options = {"event_shape": shape, "condition_shape": condition_shape, "random_generator": _source()}
    G = build_generator(spec, n_noise=4, **options)
    images = G(_normal(2, 4), _normal(2, *condition_shape, seed=2))
    assert images.flatten(1).shape == (2, math.prod(shape))


@pytest.mark.parametrize("spec", ["unet", (6,)])
def test_noise_and_every_pixel_of_the_condition_reach_the_image(spec):
    G = build_generator(spec, n_noise=4, event_shape=(13, 10), condition_shape=(13, 10), random_generator=_source())
    z, image = _normal(1, 4).requires_grad_(), _normal(1, 13, 10, seed=2).requires_grad_()
    for gradient in torch.autograd.grad(G(z, image).square().sum(), (z, image)):
        assert (gradient != 0).all()


def test_a_vector_condition_changes_nothing_in_the_generator():
    options = {"n_noise": 4, "event_shape": (5,)}
    plain, other = (
        build_generator("auto", random_generator=_source(), condition_shape=shape, **options) for shape in (None, (C,))
    )
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), other.parameters(), strict=True))


def test_the_unet_can_be_stacked_and_takes_rows_one_by_one():
    modules = [
        build_generator("unet", n_noise=4, event_shape=(8, 8), condition_shape=(8, 8), random_generator=_source(seed))
        for seed in range(2)
    ]
    z, image = _normal(4, 4), _normal(4, 8, 8, seed=2)
    together = Stacked(modules)(z, image)
    for i in range(4):
        torch.testing.assert_close(together[i], modules[i % 2](z[i : i + 1], image[i : i + 1])[0], atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("global_random_state_untouched")
@pytest.mark.parametrize("spec", [(8, 6), "residual", "thesis", "wgan_conv", "taking"])
def test_spectral_normalisation_makes_the_largest_singular_value_one(spec):
    shape = (4,) if spec == "taking" else SPECS[spec]
    options = {"n_observables": K, "condition_shape": (C,), "spectral_norm": True}
    source = _source()
    spec = (lambda shape: Taking()) if spec == "taking" else spec
    D = build_discriminator(spec, event_shape=shape, random_generator=source, **options)
    set_noise_generator(D, source)
    inputs = (_normal(BATCH, *shape), _normal(BATCH, K, seed=2), _normal(BATCH, C, seed=3))
    for _ in range(30):
        D(*inputs)
    layers = [layer for layer in D.modules() if torch.nn.utils.parametrize.is_parametrized(layer)]
    assert len(layers) == sum(isinstance(layer, (nn.Linear, nn.Conv2d)) for layer in D.modules()) > 0
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.03)
        raw = layer.parametrizations.weight.original
        assert torch.linalg.matrix_norm(raw.flatten(1), 2).item() != pytest.approx(1, abs=0.03)
    assert torch.isfinite(D(*inputs)).all()


def test_spectral_normalisation_follows_from_the_generator_alone_and_survives_copies():
    def build(seed):
        return build_discriminator((6,), event_shape=(4,), random_generator=_source(seed), spectral_norm=True)

    x = _normal(BATCH, 4)
    first, second, third = build(0), build(0), build(1)
    assert torch.equal(first(x), second(x))
    assert torch.equal(copy.deepcopy(first)(x), first(x))
    third.load_state_dict(first.state_dict())
    assert torch.equal(third(x), first(x))


def test_spectral_normalisation_has_second_derivatives():
    D = build_discriminator((6,), event_shape=(4,), random_generator=_source(), spectral_norm=True)
    x = _normal(BATCH, 4).requires_grad_()
    (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    D(x.detach())  # a second pass renews u and v; the first one's graph must not mind
    second = torch.autograd.grad(slope.square().sum(), [w for w in D.parameters() if w.ndim > 1])
    assert all(torch.isfinite(g).all() and (g != 0).any() for g in second)


def test_flat_and_grid_discriminators_are_of_one_class():
    for spec, shape in SPECS.items():
        assert isinstance(_network(spec, shape, n_observables=K), ConditionalDiscriminator)
