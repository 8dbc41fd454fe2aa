"""R networks of one structure as one network, for trainings side by side.

Weights of the replicas r = 0 .. R - 1 are stacked along a first axis. Rows of a batch are interleaved:
row i belongs to replica i mod R, so any mean over a batch is a mean over replicas, and any function that
treats rows one by one (losses, penalties on the gradient) needs to know nothing of them:

    y_i = f(x_i; w_{i mod R}),      d/dw_r sum_i l(y_i) = d/dw_r sum_{i = r mod R} l(f(x_i; w_r))

One row's output depends on the weights of its own replica alone, therefore gradients, second derivatives
and optimiser steps of the replicas never mix. A mean over a batch of R n rows, however, gives each
replica 1/R of the gradient that it would have from the mean over its own n rows; sum over replicas, or
use an optimiser that does not see the scale.

Perceptrons of all replicas run by batched matrix products; one layer of all of them is one product:

    h_r <- h_r W_r^T + b_r   for r = 1 .. R,      h (R, n, in),  W (R, out, in),  b (R, out)

`torch.func.vmap` gives the same numbers for any network; this path costs about half of it, because small
perceptrons spend their time on the number of operations and not on arithmetic. It knows the layers in
`RULES` and leaves every other network to vmap.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized

from reverie.core.errors import InputError
from reverie.networks.conditional import ConditionalDiscriminator, ProjectionHead, joined, with_projection
from reverie.networks.mlp import MLP, ResidualBlock, ResidualMLP
from reverie.networks.noise import Dropout, GaussianNoise
from reverie.networks.sets import SetTrunk

__all__ = ["RULES", "Stacked", "apply_batched", "replica_views"]

Inputs = tuple[Tensor | None, ...]
Named = dict[str, Tensor | None]


class Stacked(nn.Module):
    """R modules of the same structure, run together. Raises `InputError` for no modules, or different structures.

    Their weights are copied to `stack`, a module of that structure whose parameters and buffers are (R, ...), and which
    cannot be called; its other layers and attributes are those of the first module.

    Perceptrons run as batched matrix products (`RULES`); networks of sets, convolutional and spectrally normalised ones
    one after the other, since their products are large, grouped convolutions are slower than that on a CPU and a power
    iteration works in place; any other network by `torch.func.vmap`, which allows no branch on a value. Batch
    normalisation is over a replica's own rows and keeps its own statistics.

    Examples
    --------
    >>> import torch
    >>> pair = Stacked([nn.Linear(3, 1), nn.Linear(3, 1)])
    >>> pair(torch.zeros(10, 3)).shape
    torch.Size([10, 1])
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        if not modules:
            raise InputError("Expected at least one module to stack, got none. Give a list of modules.")
        layers = [[(path, type(layer).__name__) for path, layer in m.named_modules()] for m in modules]
        sizes = [[(name, tensor.shape) for _, name, tensor in _slots(m)] for m in modules]
        if any(layer != layers[0] for layer in layers) or any(size != sizes[0] for size in sizes):
            raise InputError("Expected modules of one structure, got different layers or sizes. Stack equal networks.")
        self.n_replicas = len(modules)
        self.stack = copy.deepcopy(modules[0])
        _replace_tensors(
            self.stack, [torch.stack(group).clone() for group in zip(*map(_tensors, modules), strict=True)]
        )
        self._batched = all(  # a subclass or a layer with hooks has no rule
            type(layer) in RULES and not layer._forward_hooks and not layer._forward_pre_hooks
            for layer in self.stack.modules()
        )
        self._in_turn = any(
            isinstance(layer, (_ConvNd, SetTrunk)) or is_parametrized(layer) for layer in self.stack.modules()
        )

    def forward(self, *inputs: Tensor | None, **named: Tensor | None) -> Tensor:
        """Map inputs (batch, ...), rows interleaved, to outputs (batch, ...); None inputs are passed on.

        Raises `InputError` when the rows of an input are not a multiple of the number of replicas.
        """
        inputs = tuple(map(self._by_replica, inputs))
        named = {name: self._by_replica(value) for name, value in named.items()}
        if self._batched:
            arguments = [None if x is None else x.transpose(0, 1) for x in inputs]
            keywords = {name: None if x is None else x.transpose(0, 1) for name, x in named.items()}
            return apply_batched(self.stack, *arguments, **keywords).transpose(0, 1).flatten(0, 1)
        run = self._one_by_one if self._in_turn else self._mapped
        return run(inputs, named).flatten(0, 1)

    def replica(self, r: int) -> nn.Module:
        """Return a copy of module `r` in 0 .. R - 1, with its present weights and on its own."""
        module = copy.deepcopy(self.stack)
        _replace_tensors(module, [tensor[r].detach().clone() for tensor in _tensors(self.stack)])
        return module

    def _mapped(self, inputs: Inputs, named: Named) -> Tensor:
        """Return outputs (n, R, ...) of inputs (n, R, ...) of any network, by vmap."""

        def one(weights: dict[str, Tensor], present: dict[int | str, Tensor]) -> Tensor:
            arguments = tuple(present.get(k) for k in range(len(inputs)))
            keywords = {name: present.get(name) for name in named}
            return functional_call(self.stack, weights, arguments, keywords, tie_weights=False)

        weights = {name: tensor for _, name, tensor in _slots(self.stack)}
        present = {key: value for key, value in (*enumerate(inputs), *named.items()) if value is not None}
        return vmap(one, in_dims=(0, 1), out_dims=1, randomness="different")(weights, present)

    def _one_by_one(self, inputs: Inputs, named: Named) -> Tensor:
        """Return the same from a loop over replicas, whose buffers are views that a layer may change."""
        weights = {name: tensor.unbind(0) for _, name, tensor in _slots(self.stack)}
        outputs = []
        for r in range(self.n_replicas):
            own = {name: slices[r] for name, slices in weights.items()}
            arguments = tuple(None if x is None else x[:, r] for x in inputs)
            keywords = {name: None if x is None else x[:, r] for name, x in named.items()}
            outputs.append(functional_call(self.stack, own, arguments, keywords, tie_weights=False))
        return torch.stack(outputs, dim=1)

    def _by_replica(self, x: Tensor | None) -> Tensor | None:
        """Return rows (n R, ...) as (n, R, ...)."""
        if x is None:
            return None
        if x.shape[0] % self.n_replicas:
            raise InputError(
                f"Expected a multiple of {self.n_replicas} rows, one for each replica in turn, got {len(x)}. "
                "Give every replica as many rows."
            )
        return x.unflatten(0, (-1, self.n_replicas))


def replica_views(network: nn.Module, r: int) -> dict[str, Tensor]:
    """Return the weights and buffers of `network` by name, of those in a `Stacked` the part of replica `r`, as views.

    Writing into them changes the network.
    """
    stacks = tuple(f"{name}." if name else "" for name, m in network.named_modules() if isinstance(m, Stacked))
    is_stacked = [key.startswith(stacks) if stacks else False for key in network.state_dict()]
    return {
        key: x.detach()[r] if is_part else x.detach()
        for (key, x), is_part in zip(network.state_dict().items(), is_stacked, strict=True)
    }


def _slots(module: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Yield owner, full name and tensor of every parameter and buffer, shared ones once for each owner."""
    for path, owner in module.named_modules():
        for name, tensor in (*owner._parameters.items(), *owner._buffers.items()):
            if tensor is not None:
                yield owner, f"{path}.{name}" if path else name, tensor


def _tensors(module: nn.Module) -> list[Tensor]:
    """Return parameters and buffers, each shared one once."""
    return list({id(tensor): tensor for _, _, tensor in _slots(module)}.values())


def _replace_tensors(module: nn.Module, values: Sequence[Tensor]) -> None:
    """Put `values`, in the order of `_tensors`, in place of the parameters and buffers of `module`."""
    new: dict[int, Tensor] = {}
    for old, value in zip(_tensors(module), values, strict=True):
        is_parameter = isinstance(old, nn.Parameter)
        value = value.detach()
        new[id(old)] = nn.Parameter(value, requires_grad=old.requires_grad) if is_parameter else value
    for owner, path, old in list(_slots(module)):
        name = path.rpartition(".")[2]
        slots: dict[str, Any] = owner._parameters if name in owner._parameters else owner._buffers
        slots[name] = new[id(old)]


_ACTIVATIONS = (nn.Identity, nn.SiLU, nn.LeakyReLU, nn.ReLU, nn.ELU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Softplus)


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
    return with_projection(outputs, (apply_batched(head.embedding, condition) * phi).sum(dim=-1, keepdim=True))


def _conditional(
    network: ConditionalDiscriminator, x: Tensor, observables: Tensor | None = None, condition: Tensor | None = None
) -> Tensor:
    network.check_inputs(observables, condition)
    joining = None if network.side.joined is None else condition
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
    **{layer: lambda layer, h: layer(h) for layer in (*_ACTIVATIONS, Dropout, GaussianNoise)},
}
