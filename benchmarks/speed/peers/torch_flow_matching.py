"""Flow matching as users of PyTorch write it: residual perceptron, AdamW, average of the weights, Heun's rule."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["draw", "learn"]


class _Velocity(nn.Module):
    def __init__(self, features: int, width: int, n_blocks: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.pi * 2.0 ** torch.arange(-1, 7))
        self.embedding = nn.Sequential(nn.Linear(16, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.first, self.last = nn.Linear(features, width), nn.Linear(width, features)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(n_blocks))
        self.beside = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(n_blocks))
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(n_blocks))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        phase = t * self.frequencies
        e = self.embedding(torch.cat([phase.cos(), phase.sin()], dim=1))
        h = self.first(x)
        for inner, beside, outer in zip(self.inner, self.beside, self.outer, strict=True):
            h = h + outer(nn.functional.silu(inner(nn.functional.silu(h)) + beside(e)))
        return self.last(nn.functional.silu(h))


def learn(*, features: int, width: int, n_blocks: int, batch: int, rows: int, threads: int) -> Callable[[int], None]:
    """Return the window of a training on random events."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network, data = _Velocity(features, width, n_blocks), torch.randn(rows, features)
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10**6)

    def window(n: int) -> None:
        for _ in range(n):
            x1 = data[torch.randint(0, rows, (batch,))]
            x0, t = torch.randn_like(x1), torch.rand(batch, 1)
            loss = (network((1 - t) * x0 + t * x1, t) - (x1 - x0)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for a, w in zip(average.parameters(), network.parameters(), strict=True):
                    a.lerp_(w, 0.001)

    return window


def draw(
    *, features: int, width: int, n_blocks: int, events: int, n_evaluations: int, threads: int
) -> Callable[[int], None]:
    """Return the window of draws by Heun's rule, in blocks of 10,000 events."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network, h = _Velocity(features, width, n_blocks), 2 / n_evaluations

    @torch.no_grad()
    def window(n: int) -> None:
        for _ in range(n * events // 10_000):
            x = torch.randn(10_000, features)
            for k in range(n_evaluations // 2):
                first = network(x, torch.full((1, 1), k * h))
                x = x + h / 2 * (first + network(x + h * first, torch.full((1, 1), (k + 1) * h)))

    return window
