"""torchebm: Langevin chains, and a training step of contrastive divergence with persistent chains."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchebm.core import BaseModel
from torchebm.losses import ContrastiveDivergence
from torchebm.samplers import LangevinDynamics

__all__ = ["learn", "walk"]


class _Perceptron(BaseModel):
    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
            layers += [nn.Linear(a, b)] + ([nn.SiLU()] if i < len(widths) - 2 else [])
        self.network = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x).squeeze(-1)


def walk(*, widths: list[int], chains: int, threads: int, chunk: int = 200) -> Callable[[int], None]:
    """Return the window of so many chains."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sampler = LangevinDynamics(_Perceptron(widths), step_size=0.01, device="cpu")
    x = torch.randn(chains, widths[0])

    def window(n: int) -> None:
        nonlocal x
        for _ in range(n // chunk):
            found = sampler.sample(x=x, n_steps=chunk)
            x = found[0] if isinstance(found, tuple) else found

    return window


def learn(*, widths: list[int], batch: int, n_langevin: int, rows: int, threads: int) -> Callable[[int], None]:
    """Return the window of a training on random points."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    data, model = torch.randn(rows, widths[0]), _Perceptron(widths)
    sampler = LangevinDynamics(model, step_size=0.01, device="cpu")
    loss_fn = ContrastiveDivergence(model, sampler, k_steps=n_langevin, persistent=True, buffer_size=2 * batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def window(n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad()
            loss, _ = loss_fn(data[torch.randint(0, rows, (batch,))])
            loss.backward()
            optimizer.step()

    return window
