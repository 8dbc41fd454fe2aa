"""Principal components find the magnetisation: Ising configurations through the transition, without labels.

    python -m benchmarks.quality.ising_pca [--seeds 0 1 2] [--side 40] [--n 1000] [--coldest 0.25] [--hottest 4.0]

Configurations at 16 temperatures, 0.25, 0.5, ... 4.0 as in Mehta et al., Phys. Rep. 810, 1 (2019), the figure that
the lecture shows, are pooled, and the first principal component of the side^2 spins is compared with the
magnetisation (Wang, Phys. Rev. B 94, 195105, 2016). The share depends on how many of the temperatures are ordered: from
1.0 to 3.5 in 20 steps it is 0.477, just below the ceiling of one half that half of them sets.

    share      of the variance of all spins along the first component
    ceiling    <m^2> averaged over the temperatures: the share of the uniform direction, which is that of the first
               component up to noise, so the choice of temperatures sets it
    corr m     |correlation| of the component with m, and of its size with |m|
"""

import argparse
import statistics
import time

import numpy as np
import torch

from reverie.core.random import child_seed
from reverie.explore import principal_components
from reverie.simulators import Ising


def main() -> None:
    """Print a row per seed, then mean and spread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--side", type=int, default=40)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--temperatures", type=int, default=16)
    parser.add_argument("--coldest", type=float, default=0.25)
    parser.add_argument("--hottest", type=float, default=4.0)
    options = parser.parse_args()
    temperatures = np.linspace(options.coldest, options.hottest, options.temperatures)
    print(
        f"{options.n} configurations of {options.side} x {options.side} at each of {options.temperatures} temperatures"
    )
    print(
        f"  {'seed':>6s} {'share':>8s} {'second':>8s} {'ceiling':>8s} {'corr m':>8s} {'corr |m|':>9s} {'seconds':>8s}"
    )
    rows = []
    for seed in options.seeds:
        began = time.perf_counter()
        rows.append(_measure(temperatures, options.side, options.n, seed))
        print(f"  {seed:6d} " + _row(rows[-1]) + f" {time.perf_counter() - began:8.1f}")
    print(f"  {'mean':>6s} " + _row([statistics.mean(column) for column in zip(*rows, strict=True)]))
    if len(rows) > 1:
        print(f"  {'sd':>6s} " + _row([statistics.stdev(column) for column in zip(*rows, strict=True)]))
    print("asked: share > 0.5, corr |m| > 0.99; the share cannot leave the ceiling, which the temperatures set")


def _row(values: list[float]) -> str:
    share, second, ceiling, signed, size = values
    return f"{share:8.4f} {second:8.4f} {ceiling:8.4f} {signed:8.5f} {size:9.5f}"


def _measure(temperatures: np.ndarray, side: int, n: int, seed: int) -> list[float]:
    samples = [
        Ising(side=side, beta=1 / t).sample(n, child_seed(seed, "temperature", i)) for i, t in enumerate(temperatures)
    ]
    x = torch.cat(samples).flatten(1).numpy()
    m = x.mean(1)
    found = principal_components(x, n_components=2, n_bootstrap=0, random_state=seed)
    first = found.transform(x)[:, 0]
    shares = found.explained_variance_ratio
    signed = abs(np.corrcoef(first, m)[0, 1])
    size = np.corrcoef(np.abs(first), np.abs(m))[0, 1]
    return [float(shares[0]), float(shares[1]), float(np.square(m).mean()), float(signed), float(size)]


if __name__ == "__main__":
    main()
