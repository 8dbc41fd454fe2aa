"""Configurations of the Ising model per second: ours against a Metropolis loop over single spins.

    python -m benchmarks.speed.ising [--side 40] [--n 1000] [--temperatures 20] [--processes 2]

Ours is `Ising.sample`: nearly independent configurations at temperatures from 1.0 to 3.5, equilibration included,
spread over processes. The reference is what most courses show, one chain of Metropolis updates site by site in
Python. It is timed on 20 sweeps, and its autocorrelation time is measured with our checkerboard sweeps, which
are vectorised but obey the same rule; as many of its sweeps as make one configuration as independent as one of
ours, 4 tau_int, gives its time per configuration. Its equilibration is not counted.
"""

import argparse
import math
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch

from reverie.core.series import autocorrelation_time
from reverie.simulators import Ising, kaufman

LOWEST, HIGHEST = 1.0, 3.5
SHOWN = (1.0, 2.3, 3.5)  # temperatures of the reference


def main() -> None:
    """Print the times of ours, temperature by temperature, and the ratios to the reference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=40)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--temperatures", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    temperatures = np.linspace(LOWEST, HIGHEST, options.temperatures)
    began = time.perf_counter()
    with ProcessPoolExecutor(options.processes) as pool:
        rows = list(pool.map(_ours, temperatures, [options.side] * len(temperatures), [options.n] * len(temperatures)))
    wall = time.perf_counter() - began
    print(f"{options.n} configurations of {options.side} x {options.side}; pull: (e - exact) / error of the mean")
    print(f"  {'T':>6s} {'seconds':>8s} {'pull':>6s}")
    for t, (seconds, pull) in zip(temperatures, rows, strict=True):
        print(f"  {t:6.3f} {seconds:8.2f} {pull:6.2f}")
    pulls = np.square([pull for _, pull in rows]).sum()
    print(f"chi2 of the pulls {pulls:.1f} of {len(rows)}; work {sum(s for s, _ in rows):.1f} s")
    print(f"all temperatures, {options.processes} processes: {wall:.1f} s (asked: 120 s for 40 x 40, 1000, 20)")
    _print_reference(options.side, options.n)


def _ours(t: float, side: int, n: int) -> tuple[float, float]:
    torch.set_num_threads(1)
    model = Ising(side=side, beta=1 / t)
    began = time.perf_counter()
    spins = model.sample(n, random_state=0)
    seconds = time.perf_counter() - began
    energy = (model.energy(spins) / side**2).numpy()
    return seconds, (energy.mean() - kaufman(side, 1 / t).energy) / (energy.std() / math.sqrt(n))


def _print_reference(side: int, n: int) -> None:
    print("\nreference: single spins in a Python loop")
    print(f"  {'T':>6s} {'ms/sweep':>9s} {'4 tau_int':>10s} {'ms/conf.':>9s} {'ours':>7s} {'ratio':>9s}")
    for t in SHOWN:
        sweep, sweeps = _plain_sweep_time(side, 1 / t), 4 * _local_tau(side, 1 / t)
        ours = _ours(t, side, n)[0] / n
        reference = sweep * max(1.0, sweeps)
        line = f"  {t:6.3f} {1e3 * sweep:9.2f} {sweeps:10.1f} {1e3 * reference:9.1f} {1e3 * ours:7.3f}"
        print(f"{line} {reference / ours:9.0f}")


def _plain_sweep_time(side: int, beta: float, n_sweeps: int = 20) -> float:
    """Return seconds per sweep of single-spin Metropolis with NumPy's generator."""
    random = np.random.default_rng(0)
    spins = np.ones((side, side), dtype=np.int8)
    began = time.perf_counter()
    for _ in range(n_sweeps * side**2):
        i, j = random.integers(side), random.integers(side)
        around = spins[(i + 1) % side, j] + spins[i - 1, j] + spins[i, (j + 1) % side] + spins[i, j - 1]
        change = 2 * spins[i, j] * around
        if change <= 0 or random.random() < math.exp(-beta * change):
            spins[i, j] = -spins[i, j]
    return (time.perf_counter() - began) / n_sweeps


def _local_tau(side: int, beta: float, n: int = 20_000) -> float:
    """Return the larger tau_int, in sweeps, of e and |m| along one Metropolis chain."""
    model = Ising(side=side, beta=beta)
    spins = model.sample(n, 0, independent=False, sampler="metropolis")
    series = (model.energy(spins), spins.mean((1, 2)).abs())
    return max(autocorrelation_time(values.double().numpy()).value for values in series)


if __name__ == "__main__":
    main()
