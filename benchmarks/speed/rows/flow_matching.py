"""Flow matching: a training step of a velocity network for tables, and samples by 32 evaluations of it.

    flow matching            8 features, batch 512, three residual blocks of width 128, AdamW along a cosine, gradients
                             clipped to 1, an average of the weights; the loop is the same written by hand in PyTorch,
                             a time for each event, JAX scans it under `jit`; our 512 events share 64 times
    flow matching sampling   100,000 events by Heun's rule; ours to physical units, `FlowMatching.sample`, the loop's
                             and JAX's left as they come, in blocks of 10,000

Both floors count products, random numbers and updates only, no activation.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.floors import AVERAGE, descent, gemm, rows_of
from benchmarks.speed.suite import OURS, Row, Side, both_ways

__all__ = ["draw", "learn", "rows"]

FEATURES, WIDTH, BLOCKS, BATCH, EVENTS, EVALUATIONS, RECORD = 8, 128, 3, 512, 100_000, 32, 50
TIMES, WAVES = 64, 16  # of a batch, shared by its events; cosines and sines of a time
LOOP, JAX = "benchmarks.speed.peers.torch_flow_matching", "benchmarks.speed.peers.jax_flow_matching"


def rows(threads: int) -> list[Row]:
    """Return the rows of the family."""
    size = {"features": FEATURES, "width": WIDTH, "n_blocks": BLOCKS, "threads": threads}
    of_times = [(WAVES, WIDTH), (WIDTH, WIDTH), *[(WIDTH, WIDTH)] * BLOCKS]
    of_rows = [(FEATURES, WIDTH), *[(WIDTH, WIDTH)] * (2 * BLOCKS), (WIDTH, FEATURES)]
    layers = [(TIMES, *pair) for pair in of_times] + [(BATCH, *pair) for pair in of_rows]
    forward = [gemm(m, a, b) for m, a, b in layers]
    backward = [gemm(a, m, b) for m, a, b in layers]
    backward += [gemm(m, b, a) for m, a, b in layers if a == WIDTH]
    n = sum(a * b + b for _, a, b in layers)
    noise = [rows_of("normal", BATCH * FEATURES), rows_of("uniform", TIMES)]
    drawing = [gemm(10_000, a, b, EVALUATIONS * EVENTS / 10_000) for a, b in of_rows]
    batch, events = {**size, "batch": BATCH, "rows": 20_000}, {**size, "events": EVENTS, "n_evaluations": EVALUATIONS}
    return [
        Row(
            "flow matching",
            f"flow matching of {FEATURES} features, {BLOCKS} blocks of {WIDTH}, batch {BATCH}",
            "step",
            [
                *both_ways(f"{__name__}:learn", batch, RECORD),
                Side("written by hand", f"{LOOP}:learn", batch, 20),
                Side("JAX scan", f"{JAX}:learn", {**batch, "chunk": 100}, 100),
            ],
            [*forward, *backward, *noise, descent(n), descent(n, AVERAGE)],
            "ours / by hand <= 0.6, ours / JAX <= 1.3",
        ),
        Row(
            "flow matching sampling",
            f"{EVENTS:,} events of {FEATURES} features in {EVALUATIONS} evaluations",
            "draw",
            [
                Side(OURS, f"{__name__}:draw", events, ours=True),
                Side("written by hand", f"{LOOP}:draw", events),
                Side("JAX", f"{JAX}:draw", events),
            ],
            [*drawing, rows_of("normal", EVENTS * FEATURES)],
            "at most 5 s",
        ),
    ]


def learn(
    *, features: int, width: int, n_blocks: int, batch: int, rows: int, threads: int, **more: Any
) -> Callable[[int], None]:
    """Return the window of our training on random events."""
    model = _model(width, n_blocks, threads, batch_size=batch, max_steps=10**9, record_every=RECORD, **more)
    records = model.iter_fit(_events(rows, features))

    def window(n: int) -> None:
        for _ in range(n // RECORD):
            next(records)

    return window


def draw(
    *, features: int, width: int, n_blocks: int, events: int, n_evaluations: int, threads: int
) -> Callable[[int], None]:
    """Return the window of draws of a network that has hardly learnt."""
    import torch

    torch.set_num_threads(threads)
    model = _model(width, n_blocks, threads, n_evaluations=n_evaluations, max_steps=5).fit(_events(2000, features))

    def window(n: int) -> None:
        for seed in range(n):
            model.sample(events, random_state=seed)

    return window


def _model(width: int, n_blocks: int, threads: int, **more: Any) -> Any:
    import reverie

    fixed = {"n_checks": 0, "n_threads": threads, "device": "cpu", "random_state": 0, "preprocessing": "standardise"}
    return reverie.FlowMatching(width=width, n_blocks=n_blocks, **fixed, **more)


def _events(n: int, features: int) -> Any:
    import torch

    return torch.randn(n, features, generator=torch.Generator().manual_seed(0))
