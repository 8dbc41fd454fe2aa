"""Energy-based models: divergence from plane targets whose density is known, and held-out likelihood of tables.

    python -m benchmarks.quality.ebm [--targets ring grid swiss_roll] [--seeds 20] [--n 50000] [--held-out 10000]
    REVERIE_DATA=... python -m benchmarks.quality.ebm --targets --tables dimuon_z magic [--seeds 3] [--part quote]

Every target is learnt with the same defaults; seed i draws the events and is that of the model.

    KL         KL(target || model) in nats: the sum of p (log p - log q) over the midpoints of cells in the units of
               the data, on patches around the modes of a mixture, or over the box of the roll; p log p and the cells
               integrate to 1 within 1e-4, which is checked
    sampled    the same from held-out events: mean of log p - log q, with its standard error; it needs no cells
    NLL        of held-out events, in nats, beside the entropy of the target
    log Z      numerical error of log Z
    alarms     kinds of alarms in training, of which "divergence" is a way back

Tables are split as in `benchmarks.quality.flow`: the quoted 35 % were used for nothing else, and defaults were chosen
with `--part tune`. "gauss8" is a correlated Gaussian of 8 features, 5,000 events, with a known entropy.

    log p      mean log-likelihood of held-out events in nats, in the units of the data, with the error over events
               and that of log Z
    gap        the same of training events, minus that
    AUC        gradient boosting tells held-out from generated events; perfect: 0.5
    R-hat      of the chains that samples are drawn with
    kept       step of the state that is kept, of the steps taken

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

from benchmarks.quality import flow
from reverie.core.random import child_seed
from reverie.data.dataset import Dataset
from reverie.data.toys import SWISS_ROLL_NOISE_SD, SWISS_ROLL_SCALE, TOYS
from reverie.models.ebm.estimator import EBM
from reverie.simulators.targets import TARGETS, GaussianMixture
from reverie.validation.classifiers.two_sample import classifier_test

ASKED = 0.05
_PLACES, _ROWS = 1000, 4000
_WIDTHS, _CELLS = 6.0, 80  # of a patch around a mode: half its side in standard deviations, cells per axis
_BOX, _ROLL_CELLS = 2.1, 300  # of the roll
_OFF = 1e-4
_GAUSS, _N_GAUSS = 8, 5000


def main() -> None:
    """Print a row per target and seed, then means, spreads and the largest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", nargs="*", default=["ring", "grid", "swiss_roll"], choices=sorted(TOYS))
    parser.add_argument("--tables", nargs="*", default=[])
    parser.add_argument("--part", choices=["tune", "quote"], default="quote")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--held-out", type=int, default=10_000)
    parser.add_argument("--max-steps", type=int, default=None)
    options = parser.parse_args()
    given = {} if options.max_steps is None else {"max_steps": options.max_steps}
    seeds = range(options.first, options.first + options.seeds)
    if options.targets:
        print(f"{options.n} events, KL(target || model) asked to be at most {ASKED} nats")
    for name in options.targets:
        print(f"{name}\n  {'seed':>4s} {'KL':>8s} {'sampled':>17s} {'NLL':>8s} {'entropy':>8s} {'log Z':>8s} {'s':>6s}")
        found = [_row(name, seed, options.n, options.held_out, given) for seed in seeds]
        spread = statistics.stdev(found) if len(found) > 1 else math.nan
        passed = sum(kl <= ASKED for kl in found)
        print(f"  KL {statistics.mean(found):.4f} ± {spread:.4f} (sd), largest {max(found):.4f}, {passed}/{len(found)}")
    for name in options.tables:
        _print_table(name, options.part, seeds, given)


def _print_table(name: str, part: str, seeds: range, given: dict) -> None:
    train, held_out, exact = _gauss(part) if name == "gauss8" else (*flow._split(name, part), "")
    print(f"{name}: {len(train)} events to learn, {len(held_out)} held out ({part}){exact}")
    print(f"  {'seed':>4s} {'log p':>18s} {'log Z':>8s} {'gap':>14s} {'AUC':>7s} {'R-hat':>6s} {'kept':>11s} {'s':>6s}")
    for seed in seeds:
        began = time.perf_counter()
        model = EBM(random_state=seed, **given).fit(train)
        seconds = time.perf_counter() - began
        said = {quantity.name: quantity for quantity in model.assess(train, held_out).numbers}
        gap, found = said["gap between the two"], model.log_likelihood(held_out).mean
        n = min(len(held_out), len(train))
        drawn = np.asarray(model.sample(n, random_state=seed).values, dtype=float)
        area = classifier_test(np.asarray(held_out.values, dtype=float), drawn, None, names=held_out.names, seed=seed)
        kept = max((line["step"] for line in model.history_ if line.get("kept")), default=model.n_iter_)
        alarms = ", ".join(sorted({alarm.kind for alarm in model.alarms_}))
        print(
            f"  {seed:4d} {found.value:9.3f} ± {found.error:6.3f} {model.log_z_.error:8.2g} {gap.value:6.3f} ± "
            f"{gap.error:5.3f} {area.value:7.3f} {said['R-hat of the chains'].value:6.2f} "
            f"{kept:5.0f}/{model.n_iter_:5d} {seconds:6.0f} {alarms}",
            flush=True,
        )


def _gauss(part: str) -> tuple[Dataset, Dataset, str]:
    """Return events to learn and held-out ones of a correlated Gaussian, and what log p is on average."""
    mix = np.random.default_rng(7).normal(size=(_GAUSS, _GAUSS))
    covariance = mix @ mix.T / _GAUSS + 0.05 * np.eye(_GAUSS)
    root, names = np.linalg.cholesky(covariance), [f"x{i}" for i in range(_GAUSS)]
    noise = [np.random.default_rng(child_seed(7, part, k)).normal(size=(_N_GAUSS, _GAUSS)) for k in range(2)]
    exact = -0.5 * (_GAUSS * math.log(2 * math.pi * math.e) + np.linalg.slogdet(covariance)[1])
    return *(Dataset(z @ root.T, names=names) for z in noise), f", exact log p {exact:.3f}"


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
