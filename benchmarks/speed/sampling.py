"""Events per second of `reverie sample` into Parquet, from a generator of eight columns, and the memory it takes.

    python -m benchmarks.speed.sampling [--n 4000000] [--workers 1 2] [--rounds 5]

The model is the default GAN (20 -> 3 x 128 -> 10 features: five quantile maps with tails, two angles, ...) after 50
steps of training; how well it learnt does not matter here. Each line is the cost of more events: a run of n/4 and one
of n, by processes that start afresh, and the differences of their times, so that start-up, which is given beside, does
not count. Other programs on the machine take wall time; processor time is what the work itself takes, so n / (processor
time) is the rate of one core left alone. Asked: 1,000,000 events/s on two cores, at constant memory.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import reverie

_WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""

NAMES = ["pt1", "eta1", "phi1", "pt2", "eta2", "phi2", "mass", "quality"]


def main() -> None:
    """Print one line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=4_000_000, help="events of the longer run")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5, help="medians are of so many")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        model = trained(Path(place) / "model")
        print("workers     events/s  events/s of processor time   start  peak memory of a process")
        for workers in options.workers:
            print(_line(workers, options.n, [_round(model, options.n, workers) for _ in range(options.rounds)]))


def trained(folder: Path) -> Path:
    """Train the generator of eight columns for a moment and save it."""
    events = reverie.data.Dataset(table(20_000), names=NAMES)
    return reverie.GAN(max_steps=50, record_every=50, n_checks=0, random_state=0).fit(events).save(folder)


def table(n: int) -> np.ndarray:
    """Return `n` events (n, 8) of falling spectra, angles and a peak, float32."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, 8))
    phi = rng.uniform(-np.pi, np.pi, (n, 2))
    mass = 91 + 2.5 * np.tan(0.9 * (rng.uniform(size=n) - 0.5) * np.pi)
    columns = [np.exp(z[:, 0]), z[:, 1], phi[:, 0], np.exp(z[:, 2] + 0.3 * z[:, 0]), z[:, 3] + z[:, 1], phi[:, 1]]
    return np.column_stack([*columns, mass, z[:, 4] ** 3]).astype("float32")


def _round(model: Path, n: int, workers: int) -> tuple[float, float, float, float, float]:
    """Return wall and processor seconds of n/4 and of n events, and the memory of the largest process in MiB."""
    (*short, _), (*long, memory) = _run(model, n // 4, workers), _run(model, n, workers)
    return (*short, *long, memory)


def _run(model: Path, n: int, workers: int) -> tuple[float, float, float]:
    """Return wall and processor seconds and MiB of a run, watched by a small process: children start with its size."""
    with tempfile.TemporaryDirectory(dir=model.parent) as out:
        words = [sys.executable, "-m", "reverie", "sample", model, "-n", n, "-o", f"{out}/s", "--workers", workers]
        began = time.perf_counter()
        told = subprocess.run(
            [sys.executable, "-c", _WATCH, *map(str, words), "--quiet"], check=True, capture_output=True, text=True
        )
        wall = time.perf_counter() - began
    processor, memory = map(float, told.stdout.split())
    return wall, processor, memory


def _line(workers: int, n: int, rounds: list[tuple[float, ...]]) -> str:
    more = n - n // 4
    wall = statistics.median(more / (long - short) for short, _, long, _, _ in rounds)
    processor = statistics.median(more / (long - short) for _, short, _, long, _ in rounds)
    start = statistics.median(short - (n // 4) / wall for short, *_ in rounds)
    memory = max(found[-1] for found in rounds)
    return f"{workers:>7}  {wall:>11,.0f}  {processor:>26,.0f}  {start:>4.1f} s  {memory:,.0f} MiB"


if __name__ == "__main__":
    main()
