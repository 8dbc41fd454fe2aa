"""Gradient penalties with known answers, for samples of any rank."""

import pytest
import torch

from reverie.core.errors import InputError
from reverie.objectives import between, gradient_norm_penalty, squared_gradient_norm, zero_centred_penalty

SHAPES = [(1,), (3,), (4, 5), (2, 4, 4)]


def _linear_critic(shape):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return w, lambda x: (x * w).flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_penalties_of_a_linear_critic_are_exact_for_any_batch_size(shape, batch):
    w, D = _linear_critic(shape)
    x = torch.zeros(batch, *shape, dtype=torch.float64, requires_grad=True)
    squared = squared_gradient_norm(D(x), x)
    assert squared.shape == (batch,)
    norm = w.norm().item()
    assert gradient_norm_penalty(squared, weight=10.0).item() == pytest.approx(10 * (norm - 1) ** 2)
    assert zero_centred_penalty(squared, weight=3.0).item() == pytest.approx(1.5 * norm**2)


def test_a_norm_over_the_whole_batch_would_be_seen():
    """The twin of the law above: the bug of norms over the batch gives another value."""
    w, D = _linear_critic((3,))
    x = torch.zeros(7, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(D(x).sum(), x)
    wrong = (gradient.norm() - 1) ** 2
    assert wrong.item() != pytest.approx((w.norm().item() - 1) ** 2, rel=0.01)


def test_penalty_reaches_the_weights_of_the_critic():
    weight = torch.tensor([2.0, 0.0], dtype=torch.float64, requires_grad=True)
    x = torch.ones(5, 2, dtype=torch.float64, requires_grad=True)
    penalty = gradient_norm_penalty(squared_gradient_norm(x @ weight, x), weight=1.0)
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(
        gradient, torch.tensor([2.0, 0.0], dtype=torch.float64)
    )  # d(|w| - 1)^2/dw = 2(|w|-1)w/|w|


def test_norm_has_a_finite_gradient_at_a_flat_critic():
    weight = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    x = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    penalty = gradient_norm_penalty(squared_gradient_norm(x @ weight, x), weight=10.0)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert torch.isfinite(gradient).all()


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
