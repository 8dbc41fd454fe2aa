"""The EPiC-GAN of Buhmann, Kasieczka and Thaler (arXiv:2301.08128) by hand, as a user of PyTorch would write it.

From the paper and its published code: features of standard deviation 5 about 0; 10 global and 3 local noises; six EPiC
layers of width 128 in the generator, after each of which the embedded noise is added once more, and three in the
discriminator; pooling by mean and sum, normalised weights, leaky rectifiers; least-squares losses; Adam at 1e-4 with
betas (0.9, 0.999) and eps 1e-14, batch 128, one step of the discriminator for one of the generator; transverse momenta
below the least of training are set to it; the epoch is kept whose jet mass is nearest to that of held-out jets.

Chosen here: a tenth of the jets is held out and looked at after each twentieth of the steps; the number of particles
is drawn from those of training, where the paper smooths it by a kernel; batches mix jets of all sizes by a mask, where
the code sorts them into batches of one size; generated jets are not moved to their axis. The paper trains for 2,000
epochs, of which a small machine does a small part.
"""

import copy

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import weight_norm

from reverie.data import Dataset

__all__ = ["EPiCGAN"]

WIDTH, GLOBAL, LOCAL, BATCH, SPREAD, N_LOOKS = 128, 10, 3, 128, 5.0, 20


def _linear(a: int, b: int) -> nn.Module:
    return weight_norm(nn.Linear(a, b))


def _pooled(x: Tensor, mask: Tensor) -> Tensor:
    """Return mean and sum over the particles of x (batch, P, width), which is 0 in padding."""
    total = x.sum(1)
    return torch.cat([total / mask.sum(1), total], 1)


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.g1, self.g2 = _linear(2 * WIDTH + GLOBAL, WIDTH), _linear(WIDTH, GLOBAL)
        self.l1, self.l2 = _linear(WIDTH + GLOBAL, WIDTH), _linear(WIDTH, WIDTH)

    def forward(self, g: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        g = leaky_relu(self.g2(leaky_relu(self.g1(torch.cat([_pooled(x, mask), g], 1)))) + g)
        joined = torch.cat([x, g[:, None].expand(-1, x.shape[1], -1)], 2)
        return g, leaky_relu(self.l2(leaky_relu(self.l1(joined))) + x) * mask


class _Generator(nn.Module):
    """Noises (batch, 10), (batch, P, 3) and a mask (batch, P, 1) to particles (batch, P, features)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.l0, self.g0, self.g1 = _linear(LOCAL, WIDTH), _linear(GLOBAL, WIDTH), _linear(WIDTH, GLOBAL)
        self.layers = nn.ModuleList(_Layer() for _ in range(6))
        self.out = _linear(WIDTH, features)

    def forward(self, mask: Tensor) -> Tensor:
        g, x = torch.randn(len(mask), GLOBAL), torch.randn(*mask.shape[:2], LOCAL)
        g, x = leaky_relu(self.g1(leaky_relu(self.g0(g)))), leaky_relu(self.l0(x)) * mask
        g0, x0 = g, x
        for layer in self.layers:
            g, x = layer(g, x, mask)
            g, x = g + g0, x + x0
        return self.out(x) * mask


class _Discriminator(nn.Module):
    """Particles (batch, P, features) and a mask (batch, P, 1) to scores (batch, 1)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.l0, self.l1 = _linear(features, WIDTH), _linear(WIDTH, WIDTH)
        self.g0, self.g1 = _linear(2 * WIDTH, WIDTH), _linear(WIDTH, GLOBAL)
        self.layers = nn.ModuleList(_Layer() for _ in range(3))
        self.h0, self.h1, self.out = _linear(2 * WIDTH + GLOBAL, WIDTH), _linear(WIDTH, WIDTH), _linear(WIDTH, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = leaky_relu(self.l0(x))
        x = leaky_relu(self.l1(x) + x) * mask
        g = leaky_relu(self.g1(leaky_relu(self.g0(_pooled(x, mask)))))
        for layer in self.layers:
            g, x = layer(g, x, mask)
        h = leaky_relu(self.h0(torch.cat([_pooled(x, mask), g], 1)))
        return self.out(leaky_relu(self.h1(h) + h))


class EPiCGAN:
    """The loop with the methods that `benchmarks.quality.sets` calls; sets have eta_rel, phi_rel, pt_rel and a mask."""

    def __init__(self, random_state: int, max_steps: int = 20_000) -> None:
        self.seed, self.n_steps = random_state, max_steps

    def fit(self, train: Dataset, y: None = None) -> "EPiCGAN":
        """Learn the sets, without conditions."""
        if y is not None:
            raise ValueError("Expected no conditions, which EPiC-GAN does not take. Leave --condition out.")
        torch.manual_seed(self.seed)
        order = torch.randperm(len(train))
        values = torch.tensor(train.values, dtype=torch.float32)[order]
        n_held_out = len(values) // 10
        held_out, values = values[:n_held_out], values[n_held_out:]
        self.schema, self.mask = train.schema, values[..., -1:]
        rows = values[values[..., -1] == 1][:, :-1]
        self.centre, self.scale, self.least_pt = rows.mean(0), rows.std(0) / SPREAD, rows[:, 2].min()
        x = (values[..., :-1] - self.centre) / self.scale * self.mask
        G, D = _Generator(x.shape[2]), _Discriminator(x.shape[2])
        of_g, of_d = (torch.optim.Adam(n.parameters(), lr=1e-4, betas=(0.9, 0.999), eps=1e-14) for n in (G, D))
        best, masses = np.inf, _mass(held_out)
        for step in range(1, self.n_steps + 1):
            chosen = torch.randint(0, len(x), (BATCH,))
            real, mask = x[chosen], self.mask[chosen]
            loss = ((D(real, mask) - 1).square().mean() + D(G(mask).detach(), mask).square().mean()) / 2
            of_d.zero_grad()
            loss.backward()
            of_d.step()
            loss = (D(G(mask), mask) - 1).square().mean() / 2
            of_g.zero_grad()
            loss.backward()
            of_g.step()
            if step % max(1, self.n_steps // N_LOOKS) == 0:
                distance = wasserstein_distance(masses, _mass(self._drawn(G, 5 * n_held_out)))
                if distance < best:
                    best, self.generator = distance, copy.deepcopy(G)
        return self

    def sample(self, n: int, random_state: int) -> Dataset:
        """Return `n` sets."""
        torch.manual_seed(random_state)
        return Dataset(self._drawn(self.generator, n).numpy(), schema=self.schema)

    @torch.no_grad()
    def _drawn(self, generator: nn.Module, n: int) -> Tensor:
        mask = self.mask[torch.randint(0, len(self.mask), (n,))]
        x = torch.cat([generator(part) for part in mask.split(1000)]) * self.scale + self.centre
        x[..., 2] = x[..., 2].clamp(min=self.least_pt)
        return torch.cat([x * mask, mask], 2)


def _mass(sets: Tensor) -> np.ndarray:
    """Return the jet mass, over its transverse momentum, of massless particles."""
    eta, phi, pt = sets[..., :3].double().unbind(2)
    px, py, pz, e = ((pt * f).sum(1) for f in (phi.cos(), phi.sin(), eta.sinh(), eta.cosh()))
    return (e**2 - px**2 - py**2 - pz**2).clamp(min=0).sqrt().numpy()
