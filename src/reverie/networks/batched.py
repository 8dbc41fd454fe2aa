"""Perceptrons of R replicas at once, by batched matrix products.

With the weights of R networks stacked along a first axis, one layer of all of them is one product:

    h_r <- h_r W_r^T + b_r   for r = 1 .. R,      h (R, n, in),  W (R, out, in),  b (R, out)

`torch.func.vmap` gives the same numbers for any network; this path costs about half of it, because small
perceptrons spend their time on the number of operations and not on arithmetic. It knows the layers in
`RULES` and leaves every other network to vmap.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from reverie.networks.conditional import ConditionalDiscriminator, ProjectionHead, joined, with_pull
from reverie.networks.mlp import MLP, ResidualBlock, ResidualMLP
from reverie.networks.noise import Dropout, GaussianNoise

__all__ = ["RULES", "apply_batched", "has_rules"]

_ELEMENTWISE = (
    nn.Identity,
    nn.SiLU,
    nn.LeakyReLU,
    nn.ReLU,
    nn.ELU,
    nn.GELU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Softplus,
    Dropout,
    GaussianNoise,
)


def has_rules(network: nn.Module) -> bool:
    """Tell whether every layer of `network` has a rule here; a subclass or a layer with hooks has none."""
    return all(
        type(layer) in RULES and not layer._forward_hooks and not layer._forward_pre_hooks
        for layer in network.modules()
    )


def apply_batched(network: nn.Module, *inputs: Tensor | None, **named: Tensor | None) -> Tensor:
    """Return the outputs (R, n, ...) of a network with stacked weights, for inputs (R, n, ...) or None."""
    return RULES[type(network)](network, *inputs, **named)


def _linear(layer: nn.Linear, h: Tensor) -> Tensor:
    if layer.bias is None:
        return torch.bmm(h, layer.weight.transpose(1, 2))
    return torch.baddbmm(layer.bias.unsqueeze(1), h, layer.weight.transpose(1, 2))


def _flatten(layer: nn.Flatten, h: Tensor) -> Tensor:
    end = layer.end_dim + 1 if layer.end_dim >= 0 else layer.end_dim
    return h.flatten(layer.start_dim + 1, end)


def _chain(network: nn.Sequential, h: Tensor) -> Tensor:
    for layer in network:
        h = apply_batched(layer, h)
    return h


def _residual(block: ResidualBlock, h: Tensor) -> Tensor:
    return h + apply_batched(block.outer, block.activation(apply_batched(block.inner, block.activation(h))))


def _head(head: ProjectionHead, phi: Tensor, condition: Tensor | None = None) -> Tensor:
    outputs = apply_batched(head.linear, phi)
    if head.embedding is None:
        return outputs
    return with_pull(outputs, (apply_batched(head.embedding, condition) * phi).sum(dim=-1, keepdim=True))


def _conditional(
    network: ConditionalDiscriminator, x: Tensor, observables: Tensor | None = None, condition: Tensor | None = None
) -> Tensor:
    network.check_inputs(observables, condition)
    joining = None if network.beside.joined is None else condition
    return apply_batched(
        network.head, apply_batched(network.trunk, joined((x, observables, joining), start=2)), condition
    )


RULES: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Linear: _linear,
    nn.Flatten: _flatten,
    nn.Sequential: _chain,
    MLP: _chain,
    ResidualMLP: _chain,
    ResidualBlock: _residual,
    ProjectionHead: _head,
    ConditionalDiscriminator: _conditional,  # of flat trunks: no rule takes the layers of the others
    **{layer: lambda activation, h: activation(h) for layer in _ELEMENTWISE},
}
