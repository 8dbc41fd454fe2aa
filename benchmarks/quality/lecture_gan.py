"""Whether the lecture's MLP GAN as a preset draws what the book's own loop draws.

    python -m benchmarks.quality.lecture_gan [--seeds 0 1 2] [--epochs 3]

Three trainings a seed on the 60,000 training digits of MNIST, 937 steps of 64 digits an epoch:

    book        networks and loop of the listing (Raschka, Liu and Mirjalili, chapter 17), written out in plain torch
    preset      `preset("lecture_mlp")`; a tenth of the digits is held out, and the best generator kept
    no dropout  the preset with a discriminator without its Dropout(0.5), as ours was at first

and two figures of 64 digits that each draws (pixels in [0, 1]):

    spread      root of the mean variance of a pixel over the digits drawn, divided by that of 10,000 real ones:
                1 is as varied as real digits, 0 is one digit 64 times
    MMD         of the listing: square root of the biased estimate with the kernel exp(-d^2 / (2 <d^2>)), <d^2> the
                mean over pairs of real digits; against 10,000 real ones

64 real test digits stand beside them. Three epochs of the hundred are where collapse shows; they take a minute a
training. Nothing was tuned on these figures: the networks and numbers are those of the listing.
"""

import argparse
import math

import numpy as np
import torch
from torch import Tensor, nn

import reverie

N_DRAWN, N_REAL, BATCH, N_NOISE = 64, 10_000, 64, 20
_HELD_OUT = 0.1


def spread(images: Tensor, real: Tensor) -> float:
    """Return the spread of digits (n, 784) in units of that of `real` (m, 784)."""
    return math.sqrt(images.var(dim=0).mean() / real.var(dim=0).mean())


def listing_mmd(images: Tensor, real: Tensor) -> float:
    """Return the listing's maximum mean discrepancy of digits (n, 784) from `real` (m, 784)."""
    xx, xy, yy = (torch.cdist(a, b).square() for a, b in ((real, real), (real, images), (images, images)))
    scale = 2 * xx.mean()
    value = torch.exp(-xx / scale).mean() + torch.exp(-yy / scale).mean() - 2 * torch.exp(-xy / scale).mean()
    return math.sqrt(max(float(value), 0.0))


def train_by_the_book(digits: Tensor, *, n_epochs: int, seed: int) -> Tensor:
    """Return digits (64, 784) in [0, 1] drawn by the listing's networks after its loop over `digits` (n, 784)."""
    torch.manual_seed(seed)
    G = nn.Sequential(nn.Linear(N_NOISE, 100), nn.LeakyReLU(), nn.Linear(100, 784), nn.Tanh())
    D = nn.Sequential(nn.Linear(784, 100, bias=False), nn.LeakyReLU(), nn.Dropout(0.5), nn.Linear(100, 1), nn.Sigmoid())
    g_optimizer, d_optimizer = torch.optim.Adam(G.parameters()), torch.optim.Adam(D.parameters())
    loss = nn.BCELoss()
    ones, zeros = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)

    def noise() -> Tensor:
        return torch.rand(BATCH, N_NOISE) * 2 - 1

    shown = noise()
    for _ in range(n_epochs):
        for rows in torch.randperm(len(digits)).split(BATCH)[: len(digits) // BATCH]:
            D.zero_grad()
            d_loss = loss(D(digits[rows] * 2 - 1), ones) + loss(D(G(noise())), zeros)
            d_loss.backward()
            d_optimizer.step()
            G.zero_grad()
            g_loss = loss(D(G(noise())), ones)
            g_loss.backward()
            g_optimizer.step()
    with torch.no_grad():
        return (G(shown) + 1) / 2


def without_dropout(event_shape: tuple[int, ...]) -> nn.Module:
    """Return the listing's discriminator as it is not: without dropout."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(event_shape), 100, bias=False), nn.LeakyReLU(), nn.Linear(100, 1)
    )


def train_preset(images: np.ndarray, *, n_epochs: int, seed: int, **options: object) -> Tensor:
    """Return digits (64, 784) in [0, 1] drawn by the preset after as many epochs of `images` (n, 28, 28)."""
    steps = n_epochs * (len(images) // BATCH)
    model = reverie.models.preset("lecture_mlp", max_steps=steps, random_state=seed, n_threads=1, **options)
    model.set_params(validation_fraction=_HELD_OUT).fit(images)
    return _flat(np.asarray(model.sample(N_DRAWN, random_state=seed)))


def _flat(images: np.ndarray) -> Tensor:
    """Return digits (n, 784) in [0, 1] of images (n, 28, 28) of 0 ... 255."""
    return torch.from_numpy(images).reshape(len(images), -1).float() / 255


def main() -> None:
    """Train and print a row for each training."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    images = np.array(reverie.data.load("mnist").values)
    digits, test = _flat(images), _flat(np.array(reverie.data.load("mnist", part="test").values))
    chosen = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    real = digits[chosen[:N_REAL]]
    print(f"{'training':12s} seed  spread    MMD", flush=True)
    print(f"{'real digits':12s}       {spread(test[:N_DRAWN], real):5.2f}  {listing_mmd(test[:N_DRAWN], real):.3f}")
    for seed in options.seeds:
        run = {"n_epochs": options.epochs, "seed": seed}
        drawn = {
            "book": train_by_the_book(digits, **run),
            "preset": train_preset(images, **run),
            "no dropout": train_preset(images, **run, discriminator=without_dropout),
        }
        for name, of in drawn.items():
            print(f"{name:12s} {seed:4d}   {spread(of, real):5.2f}  {listing_mmd(of, real):.3f}", flush=True)


if __name__ == "__main__":
    main()
