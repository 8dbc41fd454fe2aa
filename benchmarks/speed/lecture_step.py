"""The training step of the lecture's MLP GAN (20-100-784, batch 64, Adam defaults): its own loop against ours.

    python -m benchmarks.speed.lecture_step [--steps 300] [--repeats 7] [--threads 2]

Both train the same networks on MNIST with the non-saturating loss and noise uniform on [-1, 1]. The
lecture's loop takes per-item tensors from a DataLoader, each scaled and normalised when it is taken,
computes BCELoss on sigmoid outputs, draws new noise for each player and calls `.item()` four times a
step; a second row leaves it the same loop but does scaling and normalising beforehand. Ours is
`reverie.GAN` as a user calls it, records included, with as many threads. All take turns in one
process; medians and ratios are printed.
Without the data set (REVERIE_DATA), random images of its shape take its place: no figure depends on
what they show.
"""

import argparse
import itertools
import statistics
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import reverie
from reverie.core.errors import ReverieError

BATCH, N_NOISE, WIDTH = 64, 20, 100


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images, source = _images()
    loops = {
        "lecture": _lecture_steps(_PerItem(images)),
        "lecture, normalised beforehand": _lecture_steps(TensorDataset(_normalised(images), torch.zeros(len(images)))),
        "ours": _our_steps(_normalised(images)[:, 0], options.steps),
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    for repeat in range(options.repeats + 1):
        for name, steps in loops.items():
            began = time.perf_counter()
            for _ in range(options.steps):
                next(steps)
            if repeat > 0:  # the first round warms up
                times[name].append((time.perf_counter() - began) / options.steps * 1e3)
    _print_table(times, source, options)


def _images() -> tuple[torch.Tensor, str]:
    """Return (n, 1, 28, 28) uint8 images and where they come from."""
    try:
        return torch.tensor(reverie.data.load("mnist").values).unsqueeze(1), "MNIST"
    except ReverieError:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (60_000, 1, 28, 28), generator=generator, dtype=torch.uint8)
        return images, "random images (MNIST not found)"


def _normalised(images: torch.Tensor) -> torch.Tensor:
    return (images.float() / 255 - 0.5) / 0.5


class _PerItem(Dataset):
    """Images scaled to [0, 1] and normalised one by one, as the lecture's transforms do."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return _normalised(self.images[i]), 0


def _lecture_steps(data: Dataset):
    """Yield after each step of the lecture's loop."""
    torch.manual_seed(1)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True)
    G = nn.Sequential(nn.Linear(N_NOISE, WIDTH), nn.LeakyReLU(), nn.Linear(WIDTH, 784), nn.Tanh())
    D = nn.Sequential(nn.Linear(784, WIDTH), nn.LeakyReLU(), nn.Linear(WIDTH, 1), nn.Sigmoid())
    loss_fn = nn.BCELoss()
    g_optimizer, d_optimizer = torch.optim.Adam(G.parameters()), torch.optim.Adam(D.parameters())
    kept: list[tuple[float, ...]] = []
    for _ in itertools.count():
        for x, _label in loader:
            D.zero_grad()
            x = x.view(BATCH, -1)
            p_real = D(x)
            loss_real = loss_fn(p_real, torch.ones(BATCH, 1))
            p_fake = D(G(torch.rand(BATCH, N_NOISE) * 2 - 1))
            d_loss = loss_real + loss_fn(p_fake, torch.zeros(BATCH, 1))
            d_loss.backward()
            d_optimizer.step()
            G.zero_grad()
            p_generated = D(G(torch.rand(BATCH, N_NOISE) * 2 - 1))
            g_loss = loss_fn(p_generated, torch.ones(BATCH, 1))
            g_loss.backward()
            g_optimizer.step()
            kept.append((d_loss.item(), g_loss.item(), p_real.mean().item(), p_fake.mean().item()))
            yield


def _our_steps(images: torch.Tensor, record_every: int):
    """Yield once per step; the records come in windows, so the time of a window falls on its last step."""
    model = reverie.GAN(
        objective="non_saturating",
        generator=(WIDTH,),
        discriminator=(WIDTH,),
        n_noise=N_NOISE,
        noise_prior="uniform",
        batch_size=BATCH,
        learning_rate=1e-3,
        betas=(0.9, 0.999),
        schedule="constant",
        activation="leaky_relu",
        ema_decay=0.0,
        max_steps=10**9,
        record_every=record_every,
        random_state=1,
        n_threads=torch.get_num_threads(),  # as many as the lecture's loop has
    )
    for _record in model.iter_fit(images):
        for _ in range(record_every):
            yield


def _print_table(times: dict[str, list[float]], source: str, options: argparse.Namespace) -> None:
    print(f"MLP GAN {N_NOISE}-{WIDTH}-784, batch {BATCH}, Adam; {source}; {options.threads} threads;")
    print(f"median (min .. max) of {options.repeats} rounds of {options.steps} steps")
    print(f"  {'loop':31s} {'ms per step':>24s}   {'ratio to ours':>21s}")
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, times["ours"], strict=True)]
        print(f"  {name:31s} {_spread(values):>24s}   {_spread(ratios):>21s}")
    print("asked: the lecture's loop at least 1.8 times as slow as ours")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


if __name__ == "__main__":
    main()
