"""Energy-based models on plane targets whose density is known: the divergence of the model, integrated on a grid.

    python -m benchmarks.quality.ebm [--targets ring grid swiss_roll] [--seeds 20] [--n 50000] [--held-out 10000]

Every target is learnt with the same defaults; seed i draws the events and is that of the model.

    KL         KL(target || model) in nats: the sum of p (log p - log q) over the midpoints of cells in the units of
               the data, on patches around the modes of a mixture, or over the box of the roll; p log p and the cells
               integrate to 1 within 1e-4, which is checked
    sampled    the same from held-out events: mean of log p - log q, with its standard error; it needs no cells
    NLL        of held-out events, in nats, beside the entropy of the target
    log Z      numerical error of log Z
    alarms     kinds of alarms in training, of which "divergence" is a way back

The targets are those of `reverie.data.toys`: 8 and 25 Gaussians of width 0.01 and 0.05, and a spiral band of width
0.033, whose density is an integral along the spiral, summed at 1,000 places.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from reverie.core.random import child_seed
from reverie.data.toys import SWISS_ROLL_NOISE_SD, SWISS_ROLL_SCALE, TOYS
from reverie.models.ebm import EBM
from reverie.simulators.targets import TARGETS, GaussianMixture

ASKED = 0.05
_PLACES, _ROWS = 1000, 4000
_WIDTHS, _CELLS = 6.0, 80  # of a patch around a mode: half its side in standard deviations, cells per axis
_BOX, _ROLL_CELLS = 2.1, 300  # of the roll
_OFF = 1e-4


def main() -> None:
    """Print a row per target and seed, then means, spreads and the largest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", nargs="+", default=["ring", "grid", "swiss_roll"], choices=sorted(TOYS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--held-out", type=int, default=10_000)
    parser.add_argument("--max-steps", type=int, default=None)
    options = parser.parse_args()
    given = {} if options.max_steps is None else {"max_steps": options.max_steps}
    print(f"{options.n} events, KL(target || model) asked to be at most {ASKED} nats")
    for name in options.targets:
        print(f"{name}\n  {'seed':>4s} {'KL':>8s} {'sampled':>17s} {'NLL':>8s} {'entropy':>8s} {'log Z':>8s} {'s':>6s}")
        seeds = range(options.first, options.first + options.seeds)
        found = [_row(name, seed, options.n, options.held_out, given) for seed in seeds]
        spread = statistics.stdev(found) if len(found) > 1 else math.nan
        passed = sum(kl <= ASKED for kl in found)
        print(f"  KL {statistics.mean(found):.4f} ± {spread:.4f} (sd), largest {max(found):.4f}, {passed}/{len(found)}")


def _row(name: str, seed: int, n: int, n_held_out: int, given: dict) -> float:
    began = time.perf_counter()
    model = EBM(random_state=seed, **given).fit(TOYS[name](n, child_seed(seed, "train")))
    seconds = time.perf_counter() - began
    log_p, points, area = _target(name)
    p, log_q = log_p(points), torch.from_numpy(model.score_samples(points.numpy()))
    mass = float(p.exp() @ area)
    if abs(mass - 1) > _OFF:
        raise ArithmeticError(f"The cells of {name} hold a probability of {mass}.")
    kl = float((p.exp() * area) @ (p - log_q))
    entropy = -float((p.exp() * area) @ p)
    x = TOYS[name](n_held_out, child_seed(seed, "held out"))
    scores = model.score_samples(x)
    excess = log_p(torch.from_numpy(x)).numpy() - scores
    sampled = f"{excess.mean():.4f} ± {excess.std() / n_held_out**0.5:.4f}"
    alarms = ", ".join(sorted({alarm.kind for alarm in model.alarms_}))
    nll, error = -scores.mean(), model.log_z_.error
    print(
        f"  {seed:4d} {kl:8.4f} {sampled:>17s} {nll:8.4f} {entropy:8.4f} {error:8.1g} {seconds:6.0f} {alarms}",
        flush=True,
    )
    return kl


@cache
def _target(name: str) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """Return log p, midpoints of cells (cell, 2) and their areas (cell,)."""
    if name in TARGETS:
        return TARGETS[name].log_prob, *_patches(TARGETS[name])
    axis, width = _midpoints(-_BOX, _BOX, _ROLL_CELLS)
    points = torch.cartesian_prod(axis, axis)
    return _roll_log_prob, points, torch.full((len(points),), width**2, dtype=torch.float64)


def _patches(mixture: GaussianMixture) -> tuple[Tensor, Tensor]:
    """Return cells around the modes; where patches overlap, each point counts for the nearest mode alone."""
    axis, width = _midpoints(-_WIDTHS * mixture.sd, _WIDTHS * mixture.sd, _CELLS)
    patch = torch.cartesian_prod(axis, axis)
    points = (mixture.centres[:, None] + patch).flatten(0, 1)
    nearest = torch.cdist(points, mixture.centres).argmin(1)
    own = nearest == torch.arange(len(mixture.centres)).repeat_interleave(len(patch))
    return points[own], torch.full((int(own.sum()),), width**2, dtype=torch.float64)


def _midpoints(low: float, high: float, n: int) -> tuple[Tensor, float]:
    width = (high - low) / n
    return low + width * (torch.arange(n, dtype=torch.float64) + 0.5), width


def _roll_log_prob(x: Tensor) -> Tensor:
    """Return log p of points (batch, 2) of the swiss roll."""
    t = 1.5 * np.pi * (1 + 2 * (torch.arange(_PLACES, dtype=torch.float64) + 0.5) / _PLACES)
    centres = torch.stack([t * t.cos(), t * t.sin()], dim=1) / SWISS_ROLL_SCALE
    sd = SWISS_ROLL_NOISE_SD / SWISS_ROLL_SCALE
    constant = math.log(_PLACES) + math.log(2 * math.pi * sd**2)
    parts = [torch.logsumexp(-torch.cdist(part, centres).square() / (2 * sd**2), 1) for part in x.split(_ROWS)]
    return torch.cat(parts) - constant


if __name__ == "__main__":
    main()
