"""How often rejection after training is used: on samples of the right law, where it must not be, and of wrong ones.

    python -m benchmarks.quality.referee [--held-out 100 250 1000 ...] [--fits 40] [--max-steps 4000]

Real events, held-out events and samples are drawn from mixtures that are known; of N held-out ones there are 9 N to
train on, the proportion of a run of the library, and as many samples as a GAN would give (at least 20,000). A row of
the table is one pair of laws and one N:

    used       share of fits in which the referee is used, with the 95 % interval of Clopper and Pearson
    refused    mean share of samples that are refused where it is used
    moved      largest shift of a column's mean by it, in standard deviations, the mean over the fits that use it

Laws of the samples, the data being ring, the ring of eight narrow Gaussians, or normal, four independent columns:

    right      that of the data: every use is a false one, at most 5 % are wanted
    wide       distances from the centre of the nearest mode (from the origin) 1.3 times as large
    stray      5 % of the samples lie between the modes (from a normal distribution of three times the width)
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from reverie.models.gan.rejection import accepted, fit_rejection
from reverie.simulators.targets import TARGETS

FAKES_PER_EVENT, FEWEST, MOST = 16, 20_000, 200_000  # as `reverie.models.gan.training` has them
N_DRAWN = 20_000


def main() -> None:
    """Print a table: one row per law and number of held-out events."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--held-out", type=int, nargs="+", default=[100, 250, 1000, 3000, 10_000])
    parser.add_argument("--laws", nargs="+", default=list(LAWS), choices=LAWS)
    parser.add_argument("--fits", type=int, default=40)
    parser.add_argument("--max-steps", type=int, default=4000)
    options = parser.parse_args()
    print(f"{'data, samples':18s} {'held out':>8s} {'fits':>5s}  used                  refused   moved")
    for name in options.laws:
        for m in options.held_out:
            rows = [_fitted(name, m, seed, options.max_steps) for seed in range(options.fits)]
            used = [row for row in rows if row is not None]
            low, high = binomtest(len(used), len(rows)).proportion_ci(0.95)
            refused, moved = np.mean(used, axis=0) if used else (float("nan"), float("nan"))
            share = f"{len(used) / len(rows):6.1%} ({low:.1%}, {high:.1%})"
            print(f"{name:18s} {m:8d} {len(rows):5d}  {share:22s} {refused:6.1%}  {moved:6.3f}", flush=True)


def _fitted(name: str, m: int, seed: int, max_steps: int) -> tuple[float, float] | None:
    """Return the share of refused samples and the largest shift of a mean, or None where no referee is used."""
    draw_real, draw_fake = LAWS[name]
    rng = np.random.default_rng([seed, m])
    real, held_out = draw_real(9 * m, rng), draw_real(m, rng)
    fake = draw_fake(min(max(FAKES_PER_EVENT * 9 * m, FEWEST), MOST), rng)
    centre, spread = real.mean(dim=0), real.std(dim=0)

    def known(x: Tensor) -> Tensor:
        return torch.cat([(x - centre) / spread, x], dim=1)

    referee = fit_rejection(
        known(real),
        known(held_out),
        known(fake),
        weight=None,
        held_out_weight=None,
        max_steps=max_steps,
        n_physical=real.shape[1],
        seed=seed,
    )
    if referee is None:
        return None
    fresh = draw_fake(4 * N_DRAWN, rng)
    with torch.no_grad():
        refused = 1 - float(referee.acceptance(known(fresh)).mean())
    n_candidates = [0]

    noise = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def draw(index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = draw_fake(len(index), rng)
        n_candidates[0] += len(index)
        return x, referee.log_acceptance(known(x)), torch.rand(len(index), generator=noise)

    kept = accepted(draw, N_DRAWN)
    moved = ((kept.mean(dim=0) - fresh.mean(dim=0)) / spread).abs().max()
    return refused, float(moved)


def _ring(n: int, rng: np.random.Generator, *, width: float = 1.0, stray: float = 0.0) -> Tensor:
    target = TARGETS["ring"]
    centres, sd = np.asarray(target.centres), float(target.sd)
    x = centres[rng.integers(len(centres), size=n)]
    x = x + width * sd * rng.normal(size=x.shape)
    lost = rng.uniform(size=n) < stray
    x[lost] = rng.uniform(-1.2, 1.2, (int(lost.sum()), 2)) * np.abs(centres).max()
    return torch.from_numpy(x).float()


def _normal(n: int, rng: np.random.Generator, *, width: float = 1.0, stray: float = 0.0) -> Tensor:
    x = width * rng.normal(size=(n, 4))
    return torch.from_numpy(np.where(rng.uniform(size=(n, 1)) < stray, 3 * x, x)).float()


Law = Callable[[int, np.random.Generator], Tensor]
LAWS: dict[str, tuple[Law, Law]] = {
    "ring, right": (_ring, _ring),
    "normal, right": (_normal, _normal),
    "ring, wide": (_ring, lambda n, rng: _ring(n, rng, width=1.3)),
    "normal, wide": (_normal, lambda n, rng: _normal(n, rng, width=1.3)),
    "ring, stray": (_ring, lambda n, rng: _ring(n, rng, stray=0.05)),
    "normal, stray": (_normal, lambda n, rng: _normal(n, rng, stray=0.05)),
}


if __name__ == "__main__":
    main()
