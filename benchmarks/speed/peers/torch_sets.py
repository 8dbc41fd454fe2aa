"""Flow matching and a GAN of sets as users of PyTorch write them, with the layers of the EPiC paper (arXiv:2301.08128).

Weights are normalised, the global vector is repeated for every particle and joined to its features, activations are
leaky rectifiers, and padding is multiplied away. The training of the paper is `benchmarks.quality.epic_gan`.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import weight_norm

__all__ = ["EPiCDiscriminator", "EPiCGenerator", "flow_matching", "gan"]


def _linear(a: int, b: int) -> nn.Module:
    return weight_norm(nn.Linear(a, b))


class _Layer(nn.Module):
    def __init__(self, width: int, n_global: int) -> None:
        super().__init__()
        self.g1, self.g2 = _linear(2 * width + n_global, width), _linear(width, n_global)
        self.l1, self.l2 = _linear(width + n_global, width), _linear(width, width)

    def forward(self, g: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        total = (x * mask).sum(1)
        mean = total / mask.sum(1)
        g = leaky_relu(self.g2(leaky_relu(self.g1(torch.cat([mean, 0.01 * total, g], 1)))) + g)
        joined = torch.cat([x, g.unsqueeze(1).expand(-1, x.shape[1], -1)], 2)
        return g, leaky_relu(self.l2(leaky_relu(self.l1(joined))) + x) * mask


class EPiCGenerator(nn.Module):
    """Noise (batch, n_global), (batch, P, n_local) and a mask (batch, P, 1) to particles (batch, P, features)."""

    def __init__(
        self, features: int, *, n_local: int = 3, n_global: int = 10, width: int = 128, n_layers: int = 6
    ) -> None:
        super().__init__()
        self.n_local, self.n_global = n_local, n_global
        self.l0, self.g0, self.g1 = _linear(n_local, width), _linear(n_global, width), _linear(width, n_global)
        self.layers = nn.ModuleList(_Layer(width, n_global) for _ in range(n_layers))
        self.out = _linear(width, features)

    def forward(self, g: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """Return particles, 0 in padding."""
        x, g = leaky_relu(self.l0(x)) * mask, leaky_relu(self.g1(leaky_relu(self.g0(g))))
        for layer in self.layers:
            g, x = layer(g, x, mask)
        return self.out(x) * mask


class EPiCDiscriminator(nn.Module):
    """Particles (batch, P, features) and a mask (batch, P, 1) to logits (batch, 1)."""

    def __init__(self, features: int, *, n_global: int = 10, width: int = 128, n_layers: int = 3) -> None:
        super().__init__()
        self.l0, self.l1 = _linear(features, width), _linear(width, width)
        self.g0, self.g1 = _linear(2 * width, width), _linear(width, n_global)
        self.layers = nn.ModuleList(_Layer(width, n_global) for _ in range(n_layers))
        self.h0, self.h1, self.out = _linear(2 * width + n_global, width), _linear(width, width), _linear(width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return logits."""
        x = leaky_relu(self.l0(x))
        x = leaky_relu(self.l1(x) + x) * mask

        def pooled() -> Tensor:
            total = x.sum(1)
            return torch.cat([total / mask.sum(1), 0.01 * total], 1)

        g = leaky_relu(self.g1(leaky_relu(self.g0(pooled()))))
        for layer in self.layers:
            g, x = layer(g, x, mask)
        h = leaky_relu(self.h0(torch.cat([pooled(), g], 1)))
        return self.out(leaky_relu(self.h1(h) + h))


def gan(*, places: int, features: int, width: int, batch: int, rows: int, threads: int) -> Callable[[int], None]:
    """Return the window of steps of the game that `reverie.GAN` plays: relativistic, R1 and R2 every fourth step."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    G = EPiCGenerator(features, n_local=8, n_global=8, width=width, n_layers=4)
    D, average = EPiCDiscriminator(features, n_global=8, width=width), copy.deepcopy(G)
    of_g, of_d = (torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.99)) for network in (G, D))
    data, mask = torch.randn(rows, places, features), (torch.rand(rows, places, 1) < 0.9).float()
    mask[:, 0] = 1.0
    step = 0

    def made(m: Tensor) -> Tensor:
        return G(torch.randn(batch, 8), torch.randn(batch, places, 8), m)

    def window(n: int) -> None:
        nonlocal step
        for _ in range(n):
            chosen = torch.randint(0, rows, (batch,))
            m = mask[chosen]
            x = data[chosen] * m
            fake = made(m).detach()
            is_penalised = step % 4 == 0
            for side in (x, fake):
                side.requires_grad_(is_penalised)
            a, b = D(x, m), D(fake, m)
            loss = nn.functional.softplus(b - a).mean()
            if is_penalised:
                for logits, side in ((a, x), (b, fake)):
                    (gradient,) = torch.autograd.grad(logits.sum(), side, create_graph=True)
                    loss = loss + 0.05 * 4 * gradient.square().sum((1, 2)).mean()
            of_d.zero_grad()
            loss.backward()
            of_d.step()
            loss = nn.functional.softplus(D(x.detach(), m).detach() - D(made(m), m)).mean()
            of_g.zero_grad()
            loss.backward()
            of_g.step()
            with torch.no_grad():
                for p, w in zip(average.parameters(), G.parameters(), strict=True):
                    p.lerp_(w, 0.001)
            step += 1

    return window


class _Velocity(nn.Module):
    def __init__(self, features: int, width: int, n_layers: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.pi * 2.0 ** torch.arange(-1, 7))
        self.l0, self.g0 = _linear(features + 16, width), _linear(2 * width + 16, width)
        self.layers = nn.ModuleList(_Layer(width, width) for _ in range(n_layers))
        self.out = _linear(width, features)

    def forward(self, x: Tensor, t: Tensor, mask: Tensor) -> Tensor:
        phase = t * self.frequencies
        times = torch.cat([phase.cos(), phase.sin()], 1)
        x = leaky_relu(self.l0(torch.cat([x, times.unsqueeze(1).expand(-1, x.shape[1], -1)], 2))) * mask
        g = leaky_relu(self.g0(torch.cat([x.sum(1) / mask.sum(1), 0.01 * x.sum(1), times], 1)))
        for layer in self.layers:
            g, x = layer(g, x, mask)
        return self.out(x) * mask


def flow_matching(
    *, places: int, features: int, width: int, n_layers: int, batch: int, rows: int, threads: int
) -> Callable[[int], None]:
    """Return the window of steps of flow matching: AdamW along a cosine, clipped gradients, averaged weights."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = _Velocity(features, width, n_layers)
    average, optimizer = copy.deepcopy(network), torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10**6)
    data, mask = torch.randn(rows, places, features), (torch.rand(rows, places, 1) < 0.9).float()
    mask[:, 0] = 1.0

    def window(n: int) -> None:
        for _ in range(n):
            chosen = torch.randint(0, rows, (batch,))
            m = mask[chosen]
            x1 = data[chosen] * m
            x0, t = torch.randn_like(x1) * m, torch.rand(batch, 1)
            u = t.unsqueeze(2)
            loss = (network((1 - u) * x0 + u * x1, t, m) - (x1 - x0)).square().sum() / (m.sum() * features)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for a, w in zip(average.parameters(), network.parameters(), strict=True):
                    a.lerp_(w, 0.001)

    return window
