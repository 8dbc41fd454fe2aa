"""Fully connected networks.

    MLP           h_0 = x,  h_l = a(W_l h_{l-1} + b_l),  y = W h_L + b
    ResidualMLP   h_0 = W x + b,  h_l = h_{l-1} + V_l a(W_l a(h_{l-1})),  y = W' a(h_L) + b'

with the activation a = LeakyReLU. Residual blocks start as the identity (V_l = 0), which keeps deep
stacks trainable without normalisation layers: He et al., arXiv:1603.05027.
"""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["MLP", "ResidualMLP"]

LEAK = 0.2  # slope below zero, after Radford et al., arXiv:1511.06434


class MLP(nn.Sequential):
    """Multilayer perceptron.

    Parameters
    ----------
    n_inputs, n_outputs : features in and out.
    hidden : widths of the hidden layers, such as (128, 128, 128).
    leak : slope of the LeakyReLU below zero, in [0, 1).

    Examples
    --------
    >>> MLP(20, 784, hidden=(100,))(torch.zeros(64, 20)).shape
    torch.Size([64, 784])
    """

    def __init__(self, n_inputs: int, n_outputs: int, *, hidden: Sequence[int] = (128, 128, 128), leak: float = LEAK):
        widths = [n_inputs, *hidden]
        layers: list[nn.Module] = []
        for a, b in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(a, b), nn.LeakyReLU(leak)]
        super().__init__(*layers, nn.Linear(widths[-1], n_outputs))


class _Block(nn.Module):
    def __init__(self, width: int, leak: float):
        super().__init__()
        self.activation = nn.LeakyReLU(leak)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.outer.zero_init = True  # pyright: ignore[reportArgumentType]

    def forward(self, h: Tensor) -> Tensor:
        return h + self.outer(self.activation(self.inner(self.activation(h))))


class ResidualMLP(nn.Sequential):
    """Perceptron of residual blocks.

    Parameters
    ----------
    n_inputs, n_outputs : features in and out.
    width : width of every hidden layer.
    n_blocks : number of blocks; each holds two layers.
    leak : slope of the LeakyReLU below zero, in [0, 1).
    """

    def __init__(self, n_inputs: int, n_outputs: int, *, width: int = 128, n_blocks: int = 3, leak: float = LEAK):
        blocks = [_Block(width, leak) for _ in range(n_blocks)]
        super().__init__(nn.Linear(n_inputs, width), *blocks, nn.LeakyReLU(leak), nn.Linear(width, n_outputs))
