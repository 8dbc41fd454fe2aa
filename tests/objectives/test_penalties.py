"""Gradient penalties with known answers, for samples of any rank."""

import pytest
import torch

from reverie.core.errors import InputError
from reverie.objectives import OBJECTIVES, PENALTIES, squared_gradient_norm
from reverie.objectives import penalties as module
from reverie.objectives.penalties import between

SHAPES = [(1,), (3,), (4, 5), (2, 4, 4)]
NAMES = list(PENALTIES)
REAL_PENALTIES = [name for name in NAMES if name != "none"]


def _linear_critic(shape, scale=1.0):
    w = scale * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return w, lambda x: (x * w).flatten(1).sum(1, keepdim=True)


def _expected(name, norm, weight):
    zero_centred = 0.5 * weight * norm**2
    return {
        "none": 0.0,
        "r1": zero_centred,
        "r2": zero_centred,
        "r1_r2": 2 * zero_centred,
        "two_sided": weight * (norm - 1) ** 2,
        "one_sided": weight * max(norm - 1, 0) ** 2,
    }[name]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch", [2, 8, 64])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_penalties_of_a_linear_critic_are_exact_for_any_batch_size(shape, batch, name, scale):
    w, D = _linear_critic(shape, scale)
    x = torch.zeros(batch, *shape, dtype=torch.float64, requires_grad=True)
    squared = squared_gradient_norm(D(x), x)
    assert squared.shape == (batch,)
    expected = _expected(name, w.norm().item(), 3.0)
    assert PENALTIES[name].value(squared, 3.0).item() == pytest.approx(expected, abs=1e-10)


def test_a_norm_over_the_whole_batch_or_one_axis_would_be_seen():
    """The twin of the law above: the bugs of norms over the batch or over channels give other values."""
    w, D = _linear_critic((3, 2))
    x = torch.zeros(7, 3, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(D(x).sum(), x)
    right = (w.norm().item() - 1) ** 2
    assert ((gradient.norm() - 1) ** 2).item() != pytest.approx(right, rel=0.01)
    assert (gradient.norm(dim=1) - 1).square().mean().item() != pytest.approx(right, rel=0.01)


def test_r1_and_r2_are_means_over_their_own_samples():
    squared = torch.tensor([1.0, 3.0, 10.0, 20.0])
    separately = PENALTIES["r1"].value(squared[:2], 4.0) + PENALTIES["r2"].value(squared[2:], 4.0)
    assert PENALTIES["r1_r2"].value(squared, 4.0) == separately == 2 * (2 + 15)


def test_points_say_where_the_gradient_is_taken():
    points = {name: penalty.points for name, penalty in PENALTIES.items()}
    assert points == {
        "none": "none",
        "r1": "real",
        "r2": "fake",
        "r1_r2": "both",
        "two_sided": "between",
        "one_sided": "between",
    }


def test_squared_norms_of_several_inputs_add():
    x = torch.ones(5, 2, 3, dtype=torch.float64, requires_grad=True)
    observables = torch.ones(5, 4, dtype=torch.float64, requires_grad=True)
    logits = 2 * x.flatten(1).sum(1, keepdim=True) + 3 * observables.sum(1, keepdim=True)
    expected = torch.full((5,), 6 * 4.0 + 4 * 9.0, dtype=torch.float64)
    torch.testing.assert_close(squared_gradient_norm(logits, [x, observables]), expected)


def test_an_input_that_the_discriminator_ignores_adds_nothing():
    x = torch.ones(5, 2, dtype=torch.float64, requires_grad=True)
    ignored = torch.ones(5, 4, dtype=torch.float64, requires_grad=True)
    expected = torch.full((5,), 2.0, dtype=torch.float64)
    torch.testing.assert_close(squared_gradient_norm(x.sum(1), (x, ignored)), expected)


@pytest.mark.parametrize("name", REAL_PENALTIES)
def test_gradients_agree_with_finite_differences(name):
    squared = torch.rand(6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 4 + 0.1
    assert torch.autograd.gradcheck(lambda s: PENALTIES[name].value(s, 2.0), squared.requires_grad_())


@pytest.mark.parametrize("name", REAL_PENALTIES)
def test_the_weight_of_the_penalty_reaches_the_weights_of_the_discriminator(name):
    """A penalty that is computed and never used leaves this gradient alone; the gradient is linear in its weight."""
    weight = torch.tensor([2.0, 0.5], dtype=torch.float64, requires_grad=True)
    x = torch.ones(6, 2, dtype=torch.float64, requires_grad=True)
    gradients = []
    for strength in (0.0, 1.0, 2.0):
        logits = x @ weight
        loss = OBJECTIVES["non_saturating"].discriminator(*logits.chunk(2))
        loss = loss + PENALTIES[name].value(squared_gradient_norm(logits, x), strength)
        gradients.append(torch.autograd.grad(loss, weight)[0])
    pull = gradients[1] - gradients[0]
    assert pull.norm() > 0.1
    torch.testing.assert_close(gradients[2] - gradients[0], 2 * pull)


def test_two_sided_pulls_slopes_to_one():
    weight = torch.tensor([2.0, 0.0], dtype=torch.float64, requires_grad=True)
    x = torch.ones(5, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(PENALTIES["two_sided"].value(squared_gradient_norm(x @ weight, x), 1.0), weight)
    expected = torch.tensor([2.0, 0.0], dtype=torch.float64)  # d(|w| - 1)^2/dw = 2 (|w| - 1) w / |w|
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("name", REAL_PENALTIES)
def test_a_flat_discriminator_gives_finite_gradients(name):
    assert torch.isfinite(_gradient_at_zero(name)).all()


def test_without_the_small_number_in_the_root_it_would_not(monkeypatch):
    """The twin of the law above."""
    monkeypatch.setattr(module, "_EPSILON", 0.0)
    assert not torch.isfinite(_gradient_at_zero("two_sided")).all()


def _gradient_at_zero(name):
    weight = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    x = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(PENALTIES[name].value(squared_gradient_norm(x @ weight, x), 10.0), weight)
    return gradient


@pytest.mark.parametrize("shape", SHAPES)
def test_interpolates_lie_on_segments_with_one_position_per_sample(shape):
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(50, *shape, generator=generator, dtype=torch.float64)
    fake = torch.randn(50, *shape, generator=generator, dtype=torch.float64)
    x = between(real, fake, generator)
    position = ((x - fake) / (real - fake)).flatten(1)
    assert position.min() >= 0
    assert position.max() <= 1
    torch.testing.assert_close(position, position[:, :1].expand_as(position))  # the same along a sample
    assert position[:, 0].std() > 0.1  # and different between samples


def test_unpaired_batches_are_refused():
    with pytest.raises(InputError, match="real and fake"):
        between(torch.zeros(3, 2), torch.zeros(1, 2), torch.Generator())
