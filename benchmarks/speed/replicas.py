"""R games played at once against one: `reverie.GAN(n_replicas=R)` of two 2 x 64 perceptrons, batch 64.

    python -m benchmarks.speed.replicas [--replicas 8] [--steps 500] [--repeats 9] [--objective ...] [--threads 1]

Both models train on the ring of eight Gaussians as a user calls them, records included, checks of health
left out. They take turns in one process; each round gives one ratio of times per step, and the median
and the range of the ratios are printed. Asked: 8 replicas cost at most 3 times one.
"""

import argparse
import statistics
import time
from collections.abc import Iterator

import reverie

HIDDEN, BATCH = (64, 64), 64


def main() -> None:
    """Print the times per step and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, default=8)
    parser.add_argument("--steps", type=int, default=500, help="of one window")
    parser.add_argument("--repeats", type=int, default=9, help="windows that count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--objective", nargs="+", default=["relativistic", "non_saturating", "wasserstein_gp"])
    options = parser.parse_args()
    data = reverie.data.load("ring")
    print(f"networks {HIDDEN}, batch {BATCH}, {options.threads} thread(s)")
    print(f"median (min .. max) of {options.repeats} rounds of {options.steps} steps")
    for objective in options.objective:
        one, many = (_windows(data, objective, n, options) for n in (1, options.replicas))
        pairs = [(_timed(one, options.steps), _timed(many, options.steps)) for _ in range(options.repeats + 1)][1:]
        print(f"  {objective:16s} 1 replica   {_spread([a for a, _ in pairs])} ms per step")
        print(f"  {'':16s} {options.replicas} replicas  {_spread([b for _, b in pairs])} ms per step")
        print(f"  {'':16s} ratio       {_spread([b / a for a, b in pairs])}   asked: at most 3 of 8 replicas")


def _windows(data: reverie.Dataset, objective: str, n_replicas: int, options: argparse.Namespace) -> Iterator[object]:
    """Return an endless training that yields after each window of steps."""
    model = reverie.GAN(
        objective=objective,
        generator=HIDDEN,
        discriminator=HIDDEN,
        batch_size=BATCH,
        n_replicas=n_replicas,
        max_steps=10**9,
        record_every=options.steps,
        n_checks=0,
        n_threads=options.threads,
        random_state=0,
    )
    return model.iter_fit(data)


def _timed(windows: Iterator[object], n_steps: int) -> float:
    """Return milliseconds per step of the next window."""
    began = time.perf_counter()
    next(windows)
    return (time.perf_counter() - began) / n_steps * 1e3


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


if __name__ == "__main__":
    main()
