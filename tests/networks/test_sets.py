"""Laws of networks on sets: outputs permute with the particles, and padding has no influence."""

import pytest
import torch
from torch import nn

from reverie.networks.init import initialise
from reverie.networks.sets import EPiCLayer, SetDiscriminator, SetGenerator, SetTrunk, mean_of

B, P, F = 7, 5, 3
KINDS = pytest.mark.parametrize("kind", ["epic", "attention"])


def _sets(seed=0):
    """Return particles (B, P, F) and masks with 0 to P of them, real ones anywhere."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.arange(B).clamp(max=P)
    order = torch.rand(B, P, generator=generator, dtype=torch.float64).argsort(dim=1)
    mask = (order < counts[:, None]).double()
    return torch.randn(B, P, F, generator=generator, dtype=torch.float64) * mask[..., None], mask


def _ready(network):
    """Return the network in double precision, with weights in layers that would start at zero too."""
    return initialise(network.double(), torch.Generator().manual_seed(1), allow_zero=False)


def _assert_laws(network):
    """Permuting the particles permutes h and leaves g; what stands in padding and more of it change nothing."""
    x, mask = _sets()
    given = torch.randn(B, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    h, g = network(x, mask, given)
    close = {"rtol": 0, "atol": 1e-12}
    order = torch.randperm(P, generator=torch.Generator().manual_seed(3))
    permuted = network(x[:, order], mask[:, order], given)
    torch.testing.assert_close(permuted[0], h[:, order], **close)
    torch.testing.assert_close(permuted[1], g, **close)
    real = mask[..., None]
    for other, wider in (
        (x + 5 * (1 - real), mask),
        (*(nn.functional.pad(a, (0, 0) * (a.ndim - 2) + (0, 4)) for a in (x, mask)),),
    ):
        again = network(other, wider, given)
        torch.testing.assert_close(again[0][:, :P] * real, h * real, **close)
        torch.testing.assert_close(again[1], g, **close)


@KINDS
def test_output_permutes_with_the_particles_and_padding_has_no_influence(kind):
    _assert_laws(_ready(SetTrunk(F, 2, size=P, width=8, n_layers=2, kind=kind)))


class CountsPadding(EPiCLayer):
    def forward(self, h, g, mask):
        return super().forward(h, g, torch.ones_like(mask))


class KnowsPlaces(EPiCLayer):
    def forward(self, h, g, mask):
        return super().forward(h + torch.arange(h.shape[1])[:, None], g, mask)


@pytest.mark.parametrize("layer", [CountsPadding, KnowsPlaces])
def test_layers_that_count_padding_or_know_places_are_seen(layer):
    """The twins: each breaks one law."""
    network = SetTrunk(F, 2, size=P, width=8, n_layers=1)
    network.layers[0] = layer(8, P, "silu")
    with pytest.raises(AssertionError):
        _assert_laws(_ready(network))


@KINDS
def test_logits_of_a_set_are_those_of_any_order_and_padding(kind):
    network = _ready(SetDiscriminator(F, size=P, n_condition=2, width=8, n_layers=2, kind=kind))
    x, mask = _sets()
    given = torch.randn(B, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def logits(x, mask, given):
        sets = torch.cat([x, mask[..., None]], dim=2)
        return network(sets, None, torch.cat([mask, given], dim=1))

    straight = logits(x, mask, given)
    assert straight.shape == (B, 1)
    torch.testing.assert_close(logits(x.flip(1), mask.flip(1), given), straight)
    torch.testing.assert_close(logits(x + 3 * (1 - mask)[..., None], mask, given), straight)
    assert not torch.allclose(logits(x, mask, given + 1), straight)


@pytest.mark.parametrize("mode", ["projection", "concatenate"])
def test_a_discriminator_sees_no_padding_and_sends_no_gradient_through_the_mask(mode):
    network = _ready(SetDiscriminator(F, size=P, n_observables=1, n_condition=2, mode=mode, width=8, n_layers=2))
    x, mask = _sets()
    sets = torch.cat([x, mask[..., None]], dim=2).requires_grad_()
    shown = {"observables": torch.ones(B, 1).double(), "condition": torch.cat([mask, torch.ones(B, 2)], dim=1)}
    logits = network(sets, **shown)
    (gradient,) = torch.autograd.grad(logits.sum(), sets)
    assert gradient[..., -1].abs().max() == 0
    assert (gradient[..., :-1] * (1 - mask)[..., None]).abs().max() == 0
    assert (gradient[..., :-1].abs().sum(2)[mask > 0] > 0).all()
    moved = {**shown, "condition": shown["condition"] + nn.functional.pad(torch.ones(B, 2), (P, 0))}
    assert not torch.allclose(network(sets, **moved), logits)


def test_a_discriminator_is_given_the_means_over_the_particles_and_of_their_products():
    x, mask = _sets()
    sets = torch.cat([x + 5 * (1 - mask[..., None]), mask[..., None]], dim=2)
    for sees_means in (True, False):
        network, seen = _ready(SetDiscriminator(F, size=P, width=8, n_layers=1, sees_means=sees_means)), []
        network.trunk.globally.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        network(sets)
        for event, m, given in zip(x, mask, seen[0], strict=True):
            there = event[m > 0]
            rows = [torch.cat([y, torch.stack([y[j] * y[k] for j in range(F) for k in range(j, F)])]) for y in there]
            means = torch.stack(rows).mean(0) if rows else torch.zeros(F * (F + 3) // 2)
            expected = torch.cat([means.double() if sees_means else torch.zeros(0).double(), m.sum()[None] / P])
            torch.testing.assert_close(given, expected)


@KINDS
def test_a_generator_permutes_with_the_noise_of_its_particles(kind):
    network, (_, mask) = (
        _ready(SetGenerator(F, size=P, n_noise=4, n_condition=2, width=8, n_layers=2, kind=kind)),
        _sets(),
    )
    random = torch.Generator().manual_seed(3)
    parts = [torch.randn(B, *shape, dtype=torch.float64, generator=random) for shape in ((4,), (P, 4))]
    condition = torch.ones(B, 2).double()

    def made(order):
        noise = [parts[0], parts[1][:, order].flatten(1), mask[:, order], condition]
        return network(torch.cat(noise, dim=1))

    straight, order = made(torch.arange(P)), torch.randperm(P, generator=random)
    torch.testing.assert_close(made(order), straight[:, order])
    assert torch.equal(straight[..., -1], mask)


def test_the_mean_is_over_what_is_there_and_zero_of_an_empty_set():
    x, mask = _sets()
    expected = torch.stack([a[m > 0].mean(0) if m.sum() else torch.zeros(F) for a, m in zip(x, mask, strict=True)])
    torch.testing.assert_close(mean_of(x, mask), expected)
