"""Tables of the layers of networks, as Keras prints them: name, shape of the output, numbers of parameters."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["LayerRow", "ModelSummary", "NetworkSummary", "summary"]


@dataclass(frozen=True)
class LayerRow:
    """A layer: its kind, the shape of what it returns, () where unknown, its parameters, and its other numbers."""

    layer: str
    shape: tuple[int, ...]
    n_parameters: int
    n_buffers: int


@dataclass(frozen=True)
class NetworkSummary:
    """The layers of a network in the order in which data pass them, and their sums; `print` shows the table.

    Parameters
    ----------
    rows : One `LayerRow` for each call of a layer; one that is called twice counts once.
    n_parameters : Parameters that are trained.
    n_buffers : Numbers that are stored and not trained, such as the running statistics of batch normalisation.
    """

    rows: tuple[LayerRow, ...]
    n_parameters: int
    n_buffers: int

    def __str__(self) -> str:
        lines = [f"{'layer':<24s}{'output':<22s}{'parameters':>12s}"]
        for row in self.rows:
            shape = " x ".join(str(size) for size in row.shape[1:])
            lines.append(f"{row.layer:<24s}{shape:<22s}{row.n_parameters + row.n_buffers:>12,}")
        total = self.n_parameters + self.n_buffers
        return "\n".join([*lines, f"{total:,} in all, {self.n_parameters:,} trained, {self.n_buffers:,} not trained"])


@dataclass(frozen=True)
class ModelSummary:
    """The tables of all networks of a fitted model, by name; `print` shows them one below the other."""

    networks: Mapping[str, NetworkSummary]

    @property
    def n_parameters(self) -> int:
        """Parameters of all networks that are trained."""
        return sum(table.n_parameters for table in self.networks.values())

    def __str__(self) -> str:
        return "\n\n".join(f"{name}\n{table}" for name, table in self.networks.items())


def summary(network: nn.Module, *inputs: Tensor | None, **named: Tensor | None) -> NetworkSummary:
    """Return the table of layers of a network, which is called once, without gradients, on the inputs.

    Layers with numbers of their own that this call does not reach follow without a shape; without inputs, all do.

    Examples
    --------
    >>> print(summary(nn.Sequential(nn.Linear(2, 3), nn.Tanh()), torch.zeros(1, 2)))
    layer                   output                  parameters
    Linear                  3                                9
    Tanh                    3                                0
    9 in all, 9 trained, 0 not trained
    """
    rows: list[LayerRow] = []
    seen: set[nn.Module] = set()

    def note(layer: nn.Module, _: object, output: object) -> None:
        counts = (0, 0) if layer in seen else numbers[layer]
        seen.add(layer)
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        rows.append(LayerRow(type(layer).__name__, shape, *counts))

    def has_numbers(layer: nn.Module) -> bool:
        return bool([*layer.parameters(recurse=False)] or [*layer.buffers(recurse=False)])

    own = [layer for layer in network.modules() if not [*layer.children()] or has_numbers(layer)]
    # before the call, in which stacked replicas that take turns hold the numbers of one alone
    numbers = {
        layer: (
            sum(p.numel() for p in layer.parameters(recurse=False)),
            sum(b.numel() for b in layer.buffers(recurse=False) if b.is_floating_point()),
        )
        for layer in own
    }
    hooks = [layer.register_forward_hook(note) for layer in own]
    was_training = network.training
    try:
        if inputs:
            with torch.no_grad():
                network.eval()(*inputs, **named)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    for layer in own:
        if layer not in seen and has_numbers(layer):
            note(layer, None, None)
    floats = [b for b in network.buffers() if b.is_floating_point()]
    return NetworkSummary(tuple(rows), sum(p.numel() for p in network.parameters()), sum(b.numel() for b in floats))
