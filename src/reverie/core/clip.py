"""Values held within limits, with the gradient of the closed interval.

The gradient of `torch.clamp` at a limit itself is 1 up to PyTorch 2.13 and 0 from 2.14.1 on. It matters where data lie
on limits: spins of -1 and 1, pixels of 0 and 255, a column's smallest event. There the change of variables is as
smooth as inside, its Jacobian is read off the gradient, and a network learns through it.
"""

import torch
from torch import Tensor

__all__ = ["clip"]


def clip(x: Tensor, low: float | Tensor | None = None, high: float | Tensor | None = None) -> Tensor:
    """Return x where low <= x <= high, with gradient 1 there, and the nearer limit elsewhere, with gradient 0.

    Parameters
    ----------
    x : tensor of any shape; NaN stays.
    low, high : limits, numbers or tensors that broadcast with x; None for no limit.
    """
    if low is not None:
        x = torch.where(x < low, low, x)
    return x if high is None else torch.where(x > high, high, x)
