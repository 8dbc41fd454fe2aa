"""Loops for adversarial networks in eager PyTorch, as lectures and well-known collections write them.

`lecture`     per-item tensors from a `DataLoader`, each scaled and normalised when it is taken, unless `beforehand`;
              BCELoss on sigmoid outputs, new noise for each player, `.item()` four times a step
`collection`  the style of the PyTorch-GAN collection: a `DataLoader`, the generator's turn first, one pass of D for
              each batch, real and generated, and `.item()` for the line it prints; the same networks as our side
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

__all__ = ["collection", "lecture"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"silu": nn.SiLU, "leaky_relu": nn.LeakyReLU}


def lecture(
    *, batch: int, n_noise: int, width: int, rows: int, threads: int, beforehand: bool
) -> Callable[[int], None]:
    """Return the window of the lecture's loop, 20-100-784 with Adam's defaults."""
    torch.set_num_threads(threads)
    images = torch.randint(256, (rows, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = TensorDataset(_normalised(images), torch.zeros(rows)) if beforehand else _PerItem(images)
    return _window(_lecture_steps(data, batch, n_noise, width))


def collection(
    *,
    kind: str,
    batch: int,
    rows: int,
    n_noise: int,
    threads: int,
    prior: str = "normal",
    G: list[int] | None = None,
    D: list[int] | None = None,
    activation: str = "silu",
    tanh: bool = False,
    rate: float = 2e-4,
) -> Callable[[int], None]:
    """Return the window of a loop in the style of the collection: `kind` "mlp" with widths, or "dcgan28"."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    if kind == "dcgan28":
        networks, shape = _dcgan28(n_noise), (1, 28, 28)
    else:
        networks, shape = (_mlp(G or [], activation, tanh=tanh), _mlp(D or [], activation)), ((G or [0])[-1],)
    data = TensorDataset(torch.rand(rows, *shape) * 2 - 1)
    return _window(_collection_steps(*networks, data, batch, n_noise, prior, rate))


def _window(steps: Iterator[None]) -> Callable[[int], None]:
    def window(n: int) -> None:
        for _ in range(n):
            next(steps)

    return window


def _normalised(images: Tensor) -> Tensor:
    return (images.float() / 255 - 0.5) / 0.5


class _PerItem(Dataset[tuple[Tensor, int]]):
    """Images scaled to [0, 1] and normalised one by one, as the lecture's transforms do."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return _normalised(self.images[i]), 0


def _lecture_steps(data: Any, batch: int, n_noise: int, width: int) -> Iterator[None]:
    torch.manual_seed(1)
    loader = DataLoader(data, batch_size=batch, shuffle=True, drop_last=True)
    G = nn.Sequential(nn.Linear(n_noise, width), nn.LeakyReLU(), nn.Linear(width, 784), nn.Tanh())
    hidden = nn.Sequential(nn.Linear(784, width, bias=False), nn.LeakyReLU(), nn.Dropout(0.5))
    D = nn.Sequential(hidden, nn.Linear(width, 1), nn.Sigmoid())
    loss_fn = nn.BCELoss()
    g_optimizer, d_optimizer = torch.optim.Adam(G.parameters()), torch.optim.Adam(D.parameters())
    kept: list[tuple[float, ...]] = []
    for _ in itertools.count():
        for x, _label in loader:
            D.zero_grad()
            p_real = D(x.view(batch, -1))
            loss_real = loss_fn(p_real, torch.ones(batch, 1))
            p_fake = D(G(torch.rand(batch, n_noise) * 2 - 1))
            d_loss = loss_real + loss_fn(p_fake, torch.zeros(batch, 1))
            d_loss.backward()
            d_optimizer.step()
            G.zero_grad()
            p_generated = D(G(torch.rand(batch, n_noise) * 2 - 1))
            g_loss = loss_fn(p_generated, torch.ones(batch, 1))
            g_loss.backward()
            g_optimizer.step()
            kept.append((d_loss.item(), g_loss.item(), p_real.mean().item(), p_fake.mean().item()))
            yield


def _collection_steps(
    G: nn.Module, D: nn.Module, data: Any, batch: int, n_noise: int, prior: str, rate: float
) -> Iterator[None]:
    loader = DataLoader(data, batch_size=batch, shuffle=True, drop_last=True)
    loss_fn = nn.BCEWithLogitsLoss()
    g_optimizer = torch.optim.Adam(G.parameters(), lr=rate, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(D.parameters(), lr=rate, betas=(0.5, 0.999))
    told: list[tuple[float, float]] = []
    for _ in itertools.count():
        for (x,) in loader:
            valid, fake = torch.ones(len(x), 1), torch.zeros(len(x), 1)
            g_optimizer.zero_grad()
            z = torch.randn(len(x), n_noise) if prior == "normal" else torch.rand(len(x), n_noise) * 2 - 1
            generated = G(z)
            g_loss = loss_fn(D(generated), valid)
            g_loss.backward()
            g_optimizer.step()
            d_optimizer.zero_grad()
            d_loss = (loss_fn(D(x), valid) + loss_fn(D(generated.detach()), fake)) / 2
            d_loss.backward()
            d_optimizer.step()
            told.append((d_loss.item(), g_loss.item()))
            yield


def _mlp(widths: list[int], activation: str, *, tanh: bool = False) -> nn.Module:
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Linear(a, b)] + ([ACTIVATIONS[activation]()] if i < len(widths) - 2 else [])
    return nn.Sequential(*layers, *([nn.Tanh()] if tanh else []))


def _dcgan28(n_noise: int) -> tuple[nn.Module, nn.Module]:
    """Return the networks of our preset "dcgan28"."""
    leak = 0.3
    G = nn.Sequential(
        nn.Linear(n_noise, 12544, bias=False),
        nn.BatchNorm1d(12544),
        nn.LeakyReLU(leak),
        nn.Unflatten(1, (256, 7, 7)),
        nn.ConvTranspose2d(256, 128, 5, padding=2, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(leak),
        nn.ConvTranspose2d(128, 64, 5, stride=2, padding=2, output_padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(leak),
        nn.ConvTranspose2d(64, 1, 5, stride=2, padding=2, output_padding=1, bias=False),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Conv2d(1, 64, 5, stride=2, padding=2),
        nn.LeakyReLU(leak),
        nn.Dropout(0.3),
        nn.Conv2d(64, 128, 5, stride=2, padding=2),
        nn.LeakyReLU(leak),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(6272, 1),
    )
    return G, D
