"""Whether a GAN with the defaults of the library finds all modes, their weights and their shapes.

    python -m benchmarks.quality.modes [--data ring grid broad_ring broad_grid] [--seeds 0 1 ... 19] [--max-steps N]

For each seed 10,000 points of a simulated set are drawn anew, a GAN is trained on them, and samples are
compared with the exact mixture of K Gaussians. Each table ends with the mean and spread over seeds, the
number of seeds that pass, and the same figures of a perfect sampler (the mixture itself, as many draws)
and of the training points (real against real).

Ring of 8 and grid of 25, the protocol of VEEGAN (arXiv:1705.07761) and PacGAN (arXiv:1712.04086), on
2,500 samples; a sample is of high quality if its Euclidean distance to the nearest centre is below 3 sd:

    modes      centres that are nearest to at least one sample of high quality; wanted: all
    HQ         share of high quality; wanted within [0.96, 0.995], perfect: 1 - exp(-9/2) = 0.9889. More
               means that the modes have shrunk
    rKL/floor  sum_k q_k log(K q_k) over the modes of the high-quality samples, q_k their shares, in units
               of (K - 1) / (2 N), its expectation for a perfect sampler of N = 2,500; wanted: at most 4
    eig min,   smallest and largest eigenvalue over all modes of the covariance of a mode's high-quality
    eig max    samples, over that of the truth cut at 3 sd; wanted within [0.5, 1.6]. From 25,000 samples:
               with 2,500 the noise alone takes a perfect sampler of the grid as far as 0.49 and 1.68

Broad ring and grid, those of the tabular benchmark of CTGAN (arXiv:1907.00503):

    log p      mean of the exact log density over 10,000 samples minus its expectation under the truth;
               wanted within [-0.15, 0.15]. Above zero the modes have shrunk
"""

import argparse
import math
import time

import numpy as np
import torch

import reverie
from reverie.simulators.targets import TARGETS, GaussianMixture

N_TRAIN, N_COUNT, N_SHAPE, N_SCORE = 10_000, 2_500, 25_000, 10_000
REACH = 3.0  # radius of high quality, in standard deviations
LIMITS = {"HQ": (0.96, 0.995), "rKL/floor": (0.0, 4.0), "eig min": (0.5, 1.6), "eig max": (0.5, 1.6)}
NARROW = ("ring", "grid")


def main() -> None:
    """Print a table per data set: one row per seed, a summary, and what perfect samples score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["ring", "grid", "broad_ring", "broad_grid"], choices=TARGETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    parser.add_argument("--max-steps", type=int, default=None)
    options = parser.parse_args()
    settings = {} if options.max_steps is None else {"max_steps": options.max_steps}
    for name in options.data:
        _print_table(name, options.seeds, settings)


def _print_table(name: str, seeds: list[int], settings: dict[str, int]) -> None:
    rows: dict[str, list[dict[str, float]]] = {"generated": [], "perfect": [], "real vs real": []}
    for seed in seeds:
        train = reverie.data.load(name, n=N_TRAIN, random_state=seed)
        began = time.perf_counter()
        model = reverie.GAN(random_state=seed, **settings).fit(train)
        seconds = time.perf_counter() - began
        drawn = model.sample(N_SHAPE, random_state=seed).values
        rows["generated"].append(figures(drawn, name) | {"seconds": seconds})
        perfect = TARGETS[name].sample(N_SHAPE, random_state=seed).numpy()
        rows["perfect"].append(figures(perfect, name))
        rows["real vs real"].append(figures(train.values, name))
        if seed == seeds[0]:
            print(f"\n{name:24s}" + "".join(f"{key:>11s}" for key in rows["generated"][0]))
        print(_line(f"generated, seed {seed}", rows["generated"][-1]), flush=True)
    for label, table in rows.items():
        print(_line(f"{label}, mean", _over(np.mean, table)))
        print(_line("  sd over seeds", _over(np.std, table)))
        passed = {key: float(sum(passes(row, name)[key] for row in table)) for key in passes(table[0], name)}
        print(_line(f"  pass, of {len(seeds)}", passed, digits=0), flush=True)


def figures(x: np.ndarray, name: str) -> dict[str, float]:
    """Return the figures of samples x (n, 2) of the set `name`, by the names of the table."""
    truth = TARGETS[name]
    if name not in NARROW:
        return {"log p": excess_log_density(x[:N_SCORE], truth)}
    mode, good = nearest_modes(x, truth)
    counts = np.bincount(mode[:N_COUNT][good[:N_COUNT]], minlength=len(truth.centres))
    smallest, largest = covariance_ratios(x, truth)
    return {
        "modes": float((counts > 0).sum()),
        "HQ": float(good[:N_COUNT].mean()),
        "rKL/floor": reverse_kl(counts) / reverse_kl_floor(len(counts), min(len(x), N_COUNT)),
        "eig min": smallest,
        "eig max": largest,
    }


def passes(row: dict[str, float], name: str) -> dict[str, bool]:
    """Tell for each figure of a row whether it is where it should be, and under "all" whether all are."""
    if name in NARROW:
        verdicts = {"modes": row["modes"] == len(TARGETS[name].centres)}
        verdicts |= {key: low <= row[key] <= high for key, (low, high) in LIMITS.items()}
    else:
        verdicts = {"log p": abs(row["log p"]) <= 0.15}
    return verdicts | {"all": all(verdicts.values())}


def nearest_modes(x: np.ndarray, truth: GaussianMixture) -> tuple[np.ndarray, np.ndarray]:
    """Return of each sample the number of the nearest centre and whether it is of high quality, (n,) each."""
    distance = np.linalg.norm(x[:, None] - truth.centres.numpy(), axis=2)
    return distance.argmin(axis=1), distance.min(axis=1) < REACH * truth.sd


def reverse_kl(counts: np.ndarray) -> float:
    """Return KL(q | uniform) in nats of the shares q of counts (mode,): plug-in, infinite for no samples."""
    if counts.sum() == 0:
        return math.inf
    shares = counts[counts > 0] / counts.sum()
    return float((shares * np.log(shares * len(counts))).sum())


def reverse_kl_floor(n_modes: int, n: int) -> float:
    """Return the expectation (K - 1) / (2 N) of `reverse_kl` for `n` samples of the truth."""
    return (n_modes - 1) / (2 * n)


def covariance_ratios(x: np.ndarray, truth: GaussianMixture) -> tuple[float, float]:
    """Return the smallest and largest eigenvalue, over modes, of each mode's covariance over the truth's.

    Only samples of high quality enter, and the truth is cut alike: its variance per axis is then
    1 - (r^2 / 2) e / (1 - e) with e = exp(-r^2 / 2), r = 3, times sd^2. A mode of fewer than three
    samples has an eigenvalue of zero.
    """
    mode, good = nearest_modes(x, truth)
    tail = math.exp(-(REACH**2) / 2)
    variance = truth.sd**2 * (1 - REACH**2 / 2 * tail / (1 - tail))
    ratios: list[float] = []
    for k in range(len(truth.centres)):
        points = x[(mode == k) & good]
        ratios += list(np.linalg.eigvalsh(np.cov(points.T)) / variance) if len(points) > 2 else [0.0]
    return float(min(ratios)), float(max(ratios))


def excess_log_density(x: np.ndarray, truth: GaussianMixture) -> float:
    """Return the mean of log p over samples minus its expectation under the truth, in nats."""
    return float(truth.log_prob(torch.from_numpy(np.array(x, dtype="float64"))).mean()) - truth.expected_log_prob()


def _over(statistic, table: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(statistic([row[key] for row in table])) for key in table[0]}


def _line(label: str, row: dict[str, float], digits: int = 3) -> str:
    return f"{label:24s}" + "".join(f"{x:11.{0 if key == 'modes' else digits}f}" for key, x in row.items())


if __name__ == "__main__":
    main()
