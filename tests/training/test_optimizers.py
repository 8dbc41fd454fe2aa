"""Optimisers take the step that their formula says, however weights and gradients lie in memory."""

import pytest
import torch
from torch import Tensor

from reverie.training import OPTIMIZERS, make_optimizer, take_step


def weights_of(layout: str) -> Tensor:
    weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    if layout == "channels last":
        weight = weight.contiguous(memory_format=torch.channels_last)
    return weight.requires_grad_()


def gradient_of(layout: str) -> Tensor:
    gradient = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    if layout == "transposed":
        return gradient.permute(1, 0, 3, 2).contiguous().permute(1, 0, 3, 2)
    return gradient.contiguous(memory_format=torch.channels_last) if layout == "channels last" else gradient


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("of_weight", ["rows", "channels last"])
@pytest.mark.parametrize("of_gradient", ["rows", "channels last", "transposed"])
def test_the_step_does_not_depend_on_the_layout(name, of_weight, of_gradient):
    """The twin: the same gradient in the wrong order of memory gives another step."""
    plain, other, wrong = weights_of("rows"), weights_of(of_weight), weights_of("rows")
    for weight, gradient in (
        (plain, gradient_of("rows")),
        (other, gradient_of(of_gradient)),
        (wrong, gradient_of("rows").transpose(2, 3)),
    ):
        optimizer = make_optimizer(name, [weight], learning_rate=0.1)
        for _ in range(3):
            take_step(optimizer, [weight], [gradient])
    assert torch.equal(plain, other)
    assert not torch.allclose(plain, wrong)
