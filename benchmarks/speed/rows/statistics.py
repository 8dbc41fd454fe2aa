"""Statistics of two samples in float64: sliced Wasserstein distance, energy distance and its permutation test.

    sliced        10,000 against 10,000 events of 20 features, 100 directions; floor: projections and sorting
    energy        2,000 against 2,000 events of 10 features; floor: the products behind the distances and their roots
    energy test   300 against 300, 100 permutations; floor as before, since all labellings can share the distances,
                  and one product of the distances with all labellings

Products, roots and sorting of the floor are in float64 too.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.floors import Term, gemm, rows_of
from benchmarks.speed.suite import OURS, Row, Side

__all__ = ["energy", "energy_test", "rows", "sliced"]

PEER = "benchmarks.speed.peers.transport"


def rows(threads: int) -> list[Row]:
    """Return the rows of the family."""
    wide = {"rows": 10_000, "features": 20, "directions": 100}
    pairs, few = {"rows": 2000, "features": 10}, {"rows": 300, "features": 10, "permutations": 100}
    sorts: Term = {"kind": "sort", "shape": [wide["directions"], wide["rows"]], "count": 2, "dtype": "float64"}
    projections = gemm(wide["rows"], wide["features"], wide["directions"], 2, "float64")
    labellings = gemm(600, 600, few["permutations"] + 1, 1, "float64")
    return [
        _row("sliced", "sliced Wasserstein, 10,000 x 20, 100 directions", wide, [projections, sorts], "POT", threads),
        _row("energy", "energy distance, 2,000 x 10", pairs, _distances(2000, 10), "hyppo", threads),
        _row(
            "energy test",
            "energy distance, 300 x 10, 100 permutations",
            few,
            [*_distances(300, 10), labellings],
            "hyppo",
            threads,
        ),
    ]


def _row(key: str, what: str, size: dict[str, int], floor: list[Term], peer: str, threads: int) -> Row:
    task = key.replace(" ", "_")
    ours = Side(OURS, f"{__name__}:{task}", {**size, "threads": threads}, ours=True)
    return Row(key, what, "call", [ours, Side(peer, f"{PEER}:{task}", size)], floor)


def _distances(n: int, d: int) -> list[Term]:
    """Return the floor of all distances of 2 n events, each pair once."""
    return [gemm(n, d, n, 2, "float64"), {**rows_of("root", 2 * n * n), "dtype": "float64"}]


def sliced(*, rows: int, features: int, directions: int, threads: int) -> Callable[[int], None]:
    """Return the window of `sliced_wasserstein`."""
    from reverie.validation.statistics import sliced_wasserstein

    x, y = _samples(rows, features, threads)
    return _window(lambda: sliced_wasserstein(x, y, n_directions=directions))


def energy(*, rows: int, features: int, threads: int) -> Callable[[int], None]:
    """Return the window of `energy_distance`."""
    from reverie.validation.statistics import energy_distance

    x, y = _samples(rows, features, threads)
    return _window(lambda: energy_distance(x, y))


def energy_test(*, rows: int, features: int, permutations: int, threads: int) -> Callable[[int], None]:
    """Return the window of the energy test as the battery takes it: all labellings share the distances."""
    import torch

    from reverie.validation.permutation.relabelling import relabellings
    from reverie.validation.statistics.kernels import energy_kernel, kernel_columns

    x, y = _samples(rows, features, threads)
    z, generator = torch.cat([x, y]), torch.Generator().manual_seed(0)
    return _window(lambda: kernel_columns(z, relabellings(rows, rows, permutations, generator), [energy_kernel]))


def _samples(rows: int, features: int, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, rows, features, generator=generator, dtype=torch.float64)


def _window(call: Callable[[], object]) -> Callable[[int], None]:
    def window(n: int) -> None:
        for _ in range(n):
            call()

    return window
