"""Fully connected networks.

    MLP           h_0 = x,  h_l = a(W_l h_{l-1} + b_l),  y = W h_L + b
    ResidualMLP   h_0 = W x + b,  h_l = h_{l-1} + V_l a(W_l a(h_{l-1})),  y = W' a(h_L) + b'

with an activation a by name. Residual blocks start as the identity (V_l = 0), which keeps deep
stacks trainable without normalisation layers: He et al., arXiv:1603.05027.
"""

from collections.abc import Callable, Sequence
from typing import TypeGuard

from torch import Tensor, nn

from reverie.core.checks import check_choice

__all__ = ["ACTIVATIONS", "MLP", "ResidualBlock", "ResidualMLP", "default_width", "is_widths", "make_activation"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),  # the slope of Radford et al., arXiv:1511.06434
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
}


def make_activation(name: str) -> nn.Module:
    """Return the activation called `name`, a key of `ACTIVATIONS`."""
    return check_choice("activation", name, ACTIVATIONS)()


def default_width(n_features: int) -> int:
    """Return the width of the hidden layers of a perceptron for events of so many values."""
    return 128 if n_features <= 32 else 256 if n_features <= 128 else 512


def is_widths(spec: object) -> TypeGuard[Sequence[int]]:
    """Return whether a specification of a network is a sequence of widths of hidden layers, perhaps of none."""
    return isinstance(spec, (tuple, list)) and all(isinstance(width, int) and width > 0 for width in spec)


class MLP(nn.Sequential):
    """Multilayer perceptron with hidden layers of widths `hidden`.

    Examples
    --------
    >>> import torch
    >>> MLP(20, 784, hidden=(100,))(torch.zeros(64, 20)).shape
    torch.Size([64, 784])
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, *, hidden: Sequence[int] = (128, 128, 128), activation: str = "silu"
    ) -> None:
        widths = [n_inputs, *hidden]
        layers: list[nn.Module] = []
        for a, b in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(a, b), make_activation(activation)]
        super().__init__(*layers, nn.Linear(widths[-1], n_outputs))


class ResidualBlock(nn.Module):
    """h + V a(W a(h)) for h (batch, width), starting as the identity."""

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.activation = make_activation(activation)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.outer.zero_init = True  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`

    def forward(self, h: Tensor) -> Tensor:
        """Return features of the same shape."""
        return h + self.outer(self.activation(self.inner(self.activation(h))))


class ResidualMLP(nn.Sequential):
    """Perceptron of residual blocks, each of two hidden layers of the same width."""

    def __init__(
        self, n_inputs: int, n_outputs: int, *, width: int = 128, n_blocks: int = 3, activation: str = "silu"
    ) -> None:
        blocks = [ResidualBlock(width, activation) for _ in range(n_blocks)]
        last = [make_activation(activation), nn.Linear(width, n_outputs)]
        super().__init__(nn.Linear(n_inputs, width), *blocks, *last)
