"""A wave function as a Boltzmann machine, in the style of QuCumber's loop: eager float64, chains from the data.

Each batch of positive rows comes with a batch of other rows, from which k sweeps of `torch.bernoulli` lead to the
negative phase; the gradients of both are those of the free energy, joined to one vector that is laid back into the
weights, which plain gradient descent moves. Written from the description in arXiv:1812.09329.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["learn"]


class _Machine(nn.Module):
    def __init__(self, visible: int, hidden: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(hidden, visible, dtype=torch.float64) / visible**0.5)
        self.visible_bias = nn.Parameter(torch.zeros(visible, dtype=torch.float64))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden, dtype=torch.float64))

    def hidden(self, v: Tensor) -> Tensor:
        return torch.sigmoid(nn.functional.linear(v, self.weights, self.hidden_bias))

    def sweep(self, v: Tensor) -> Tensor:
        h = torch.bernoulli(self.hidden(v))
        return torch.bernoulli(torch.sigmoid(nn.functional.linear(h, self.weights.t(), self.visible_bias)))

    def gradient(self, v: Tensor) -> Tensor:
        p = self.hidden(v)
        W = -torch.einsum("bh,bv->hv", p, v)
        return nn.utils.parameters_to_vector([W, -v.sum(0), -p.sum(0)])


def learn(*, sites: int, hidden: int, batch: int, n_gibbs: int, rows: int, threads: int) -> Callable[[int], None]:
    """Return the window of a training on random bits."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    data = torch.randint(0, 2, (rows, sites), dtype=torch.float64)
    machine = _Machine(sites, hidden)
    optimizer = torch.optim.SGD(machine.parameters(), lr=0.01)
    order: Any = torch.randperm(rows)
    at = 0

    def window(n: int) -> None:
        nonlocal order, at
        for _ in range(n):
            if at + batch > rows:
                order, at = torch.randperm(rows), 0
            positive, at = data[order[at : at + batch]], at + batch
            v = data[torch.randint(0, rows, (batch,))]
            with torch.no_grad():
                for _ in range(n_gibbs):
                    v = machine.sweep(v)
                gradient = machine.gradient(positive) / batch - machine.gradient(v) / batch
            _lay_back(gradient, list(machine.parameters()))
            optimizer.step()

    return window


def _lay_back(gradient: Tensor, parameters: list[nn.Parameter]) -> None:
    at = 0
    for parameter in parameters:
        parameter.grad = gradient[at : at + parameter.numel()].view_as(parameter)
        at += parameter.numel()
