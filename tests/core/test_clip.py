"""The gradient of `clip` is that of the closed interval, whatever the installed PyTorch does with `clamp`."""

import math

import torch

from reverie.core.clip import clip


def test_values_on_a_limit_have_the_gradient_of_those_inside():
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    for low, high, wanted in [(-1, 1, [0, 1, 1, 1, 0]), (-1, None, [0, 1, 1, 1, 1]), (None, 1.0, [1, 1, 1, 1, 0])]:
        y = clip(x, low, high)
        assert torch.equal(y, x.clamp(low, high))
        assert torch.autograd.grad(y.sum(), x)[0].tolist() == wanted


def test_limits_may_be_tensors_and_nan_stays():
    x = torch.tensor([[0.0, 5.0], [math.nan, -5.0]])
    torch.testing.assert_close(
        clip(x, torch.tensor([1.0, -1.0]), torch.tensor(2.0)),
        torch.tensor([[1.0, 2.0], [math.nan, -1.0]]),
        equal_nan=True,
    )
