"""Sets of particles: training steps of flow matching and of a GAN, in ms, beside loops written by hand.

    flow matching of sets    30 places of 3 features, nine in ten of them filled, batch 128, six EPiC layers of width
                             128, AdamW, gradients clipped to 1, an average of the weights
    gan of sets              the same sets; four EPiC layers in the generator, three in the discriminator; relativistic
                             losses, R1 and R2 every fourth step, an average of the generator

The loops have the layers of the EPiC paper in the same number and width (`benchmarks.speed.peers.torch_sets`). The
floors count the products of the layers only.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.floors import ADAM, AVERAGE, Term, descent, gemm
from benchmarks.speed.suite import Row, Side, both_ways

__all__ = ["learn", "rows"]

PLACES, FEATURES, WIDTH, BATCH, SETS, RECORD = 30, 3, 128, 128, 20_000, 50
LOOP = "benchmarks.speed.peers.torch_sets"


def rows(threads: int) -> list[Row]:
    """Return the rows of the family."""
    size = {"places": PLACES, "features": FEATURES, "width": WIDTH, "batch": BATCH, "rows": SETS, "threads": threads}
    shown = f"sets of {PLACES} places, batch {BATCH}, width {WIDTH}"
    asked = "by hand / ours >= 1.5"
    return [
        Row(
            "flow matching of sets",
            f"flow matching of {shown}, six layers",
            "step",
            [
                *both_ways(f"{__name__}:learn", {**size, "model": "FlowMatching"}, RECORD),
                Side("written by hand", f"{LOOP}:flow_matching", {**size, "n_layers": 6}, 10),
            ],
            _floor(6, 3, [AVERAGE]),
            asked,
        ),
        Row(
            "gan of sets",
            f"GAN of {shown}, four layers against three",
            "step",
            [
                *both_ways(f"{__name__}:learn", {**size, "model": "GAN"}, RECORD),
                Side("written by hand", f"{LOOP}:gan", size, 10),
            ],
            # G forward and back; D on real and generated, and once more through generated ones for G's turn
            _floor(4, 3, [AVERAGE]) + _floor(3, 9, []),
            asked,
        ),
    ]


def _floor(n_layers: int, passes: int, more: list[Any]) -> list[Term]:
    """Return the terms of `passes` products of each layer, two of them for each particle, and of the descent."""
    products = [gemm(BATCH * PLACES, WIDTH, WIDTH, passes * 2 * n_layers)]
    n_weights = n_layers * 7 * WIDTH**2
    return [*products, descent(n_weights, ADAM), *(descent(n_weights, kind) for kind in more)]


def learn(
    *, model: str, places: int, features: int, width: int, batch: int, rows: int, threads: int, **more: Any
) -> Callable[[int], None]:
    """Return the window of our training on random sets."""
    import numpy as np

    import reverie
    from reverie.data import particle_sets

    rng = np.random.default_rng(0)
    mask = rng.random((rows, places)) < 0.9
    mask[:, 0] = True
    X = particle_sets(rng.normal(size=(rows, places, features)) * mask[..., None], mask)
    fixed = {"n_checks": 0, "n_threads": threads, "device": "cpu", "random_state": 0, "preprocessing": "standardise"}
    own = {"width": width} if model == "FlowMatching" else {"generator": (width,) * 4, "discriminator": (width,) * 3}
    made = getattr(reverie, model)(batch_size=batch, max_steps=10**9, record_every=RECORD, **fixed, **own, **more)
    records = made.iter_fit(X)

    def window(n: int) -> None:
        for _ in range(n // RECORD):
            next(records)

    return window
