"""Flows: samples of a neural spline flow, and its training step. Ours trains zuko's maps and splines too.

    flow sampling   10,000 events of 8 features, 3 transforms, perceptrons of 128 x 128, 12 bins; ours is `Flow.sample`
                    to physical units, in float64 as always, each unit computed once; zuko draws features in float32,
                    with a pass of each perceptron for each feature
    flow            a step on a batch of 512 events of the same flow

The floor of a draw: one pass of each perceptron, without its masks, in float32. Splines are not in it.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.floors import AVERAGE, descent, mlp_pass, n_weights, rows_of
from benchmarks.speed.suite import OURS, Row, Side, both_ways

__all__ = ["draw", "learn", "rows"]

FEATURES, TRANSFORMS, HIDDEN, BINS, EVENTS, BATCH, RECORD = 8, 3, [128, 128], 12, 10_000, 512, 10
PEER = "benchmarks.speed.peers.zuko_flow"


def rows(threads: int) -> list[Row]:
    """Return the rows of the family."""
    size = {"features": FEATURES, "transforms": TRANSFORMS, "hidden": HIDDEN, "bins": BINS, "threads": threads}
    widths = [FEATURES, *HIDDEN, FEATURES * (3 * BINS - 1)]
    drawing = mlp_pass(widths, EVENTS, "forward", count=TRANSFORMS)
    learning = mlp_pass(widths, BATCH, "forward", count=TRANSFORMS)
    learning += mlp_pass(widths, BATCH, "weights", count=TRANSFORMS)
    updates = [descent(TRANSFORMS * n_weights(widths)), descent(TRANSFORMS * n_weights(widths), AVERAGE)]
    events, batch = {**size, "events": EVENTS}, {**size, "batch": BATCH, "rows": 20_000}
    return [
        Row(
            "flow sampling",
            f"spline flow, {EVENTS:,} events of {FEATURES} features",
            "draw",
            [Side(OURS, f"{__name__}:draw", events, ours=True), Side("zuko", f"{PEER}:draw", events)],
            [*drawing, rows_of("normal", EVENTS * FEATURES)],
        ),
        Row(
            "flow",
            f"spline flow of {FEATURES} features, batch {BATCH}",
            "step",
            [*both_ways(f"{__name__}:learn", batch, RECORD), Side("zuko", f"{PEER}:learn", batch, 10)],
            learning + updates,
        ),
    ]


def draw(
    *, features: int, transforms: int, hidden: list[int], bins: int, events: int, threads: int
) -> Callable[[int], None]:
    """Return the window of draws of a flow that has hardly learnt."""
    import torch

    torch.set_num_threads(threads)
    model = _flow(features, transforms, hidden, bins, threads, max_steps=5)
    model.fit(torch.randn(2000, features, generator=torch.Generator().manual_seed(0)))

    def window(n: int) -> None:
        for seed in range(n):
            model.sample(events, random_state=seed)

    return window


def learn(
    *,
    features: int,
    transforms: int,
    hidden: list[int],
    bins: int,
    batch: int,
    rows: int,
    threads: int,
    **more: Any,
) -> Callable[[int], None]:
    """Return the window of our training on random events."""
    import torch

    x = torch.randn(rows, features, generator=torch.Generator().manual_seed(0))
    model = _flow(features, transforms, hidden, bins, threads, batch_size=batch, max_steps=10**9, **more)
    records = model.iter_fit(x)

    def window(n: int) -> None:
        for _ in range(n // RECORD):
            next(records)

    return window


def _flow(features: int, transforms: int, hidden: list[int], bins: int, threads: int, **more: Any) -> Any:
    from reverie.models.flow.estimator import Flow

    return Flow(
        kind="spline",
        n_transforms=transforms,
        hidden=tuple(hidden),
        n_bins=bins,
        preprocessing="standardise",
        record_every=RECORD,
        n_checks=0,
        n_threads=threads,
        device="cpu",
        random_state=0,
        **more,
    )
