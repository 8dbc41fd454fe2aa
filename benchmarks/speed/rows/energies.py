"""Energies of perceptrons: Langevin steps, and training by contrastive divergence.

    langevin    1,024 chains in the plane on a perceptron of 128 x 128; ours is `reverie.samplers.steps` with `ULA`, as
                a chain of more than 100,000 steps runs
    ebm         a training step of `reverie.EBM` on batches of 256 with 10 unadjusted Langevin steps of stored chains,
                records every 50 steps; its energy is confined, its weights averaged, which torchebm does without

The floor of a step of the chains: the perceptron forward and back to its input, and the noise.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.floors import AVERAGE, descent, energy_gradient, mlp_pass, n_weights, rows_of
from benchmarks.speed.suite import Row, Side, both_ways

__all__ = ["learn", "rows", "walk"]

CHAINS, WIDTHS, RUN, RECORD = 1024, [2, 128, 128, 1], 200, 50
BATCH, N_LANGEVIN, ROWS = 256, 10, 10_000


def rows(threads: int) -> list[Row]:
    """Return the rows of the family."""
    return [_langevin(threads), _learning(threads)]


def _langevin(threads: int) -> Row:
    size = {"widths": WIDTHS, "chains": CHAINS}
    sides = [
        *both_ways(f"{__name__}:walk", {**size, "threads": threads}, RUN),
        Side("JAX scan", "benchmarks.speed.peers.jax_langevin:walk", {**size, "chunk": RUN}, RUN),
        Side("torchebm", "benchmarks.speed.peers.torchebm_peer:walk", {**size, "threads": threads}, RUN),
    ]
    floor = [*energy_gradient(WIDTHS, CHAINS), rows_of("normal", CHAINS * WIDTHS[0])]
    return Row("langevin", f"Langevin {CHAINS} x 2 on MLP 128 x 128", "step", sides, floor, "ours / JAX <= 1.5")


def _learning(threads: int) -> Row:
    size = {"widths": WIDTHS, "batch": BATCH, "n_langevin": N_LANGEVIN, "rows": ROWS, "threads": threads}
    sides = [
        *both_ways(f"{__name__}:learn", size, RECORD),
        Side("torchebm", "benchmarks.speed.peers.torchebm_peer:learn", size, 10),
    ]
    floor = energy_gradient(WIDTHS, BATCH, N_LANGEVIN)
    floor += mlp_pass(WIDTHS, 2 * BATCH, "forward") + mlp_pass(WIDTHS, 2 * BATCH, "weights")
    floor += [rows_of("normal", N_LANGEVIN * BATCH * 2)]
    floor += [descent(n_weights(WIDTHS)), descent(n_weights(WIDTHS), AVERAGE)]
    return Row("ebm", f"EBM MLP 128 x 128, batch {BATCH}, {N_LANGEVIN} Langevin steps", "step", sides, floor)


def walk(*, widths: list[int], chains: int, threads: int, compile: bool = True) -> Callable[[int], None]:
    """Return the window of our chains on a user's perceptron."""
    import torch

    from reverie.samplers import ULA, steps

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    layers: list[Any] = []
    for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
        layers += [torch.nn.Linear(a, b)] + ([torch.nn.SiLU()] if i < len(widths) - 2 else [])
    network = torch.nn.Sequential(*layers, torch.nn.Flatten(0)).requires_grad_(requires_grad=False)
    x = torch.randn(chains, widths[0], generator=generator)

    chain = steps(ULA(0.01), x, network, generator=generator, compile=compile)

    def window(n: int) -> None:
        for _ in range(n):
            next(chain)

    return window


def learn(
    *, widths: list[int], batch: int, n_langevin: int, rows: int, threads: int, **more: Any
) -> Callable[[int], None]:
    """Return the window of our training on random points."""
    import torch

    from reverie.models.ebm.estimator import EBM

    x = torch.randn(rows, widths[0], generator=torch.Generator().manual_seed(0))
    model = EBM(
        energy=tuple(widths[1:-1]),
        n_langevin=n_langevin,
        adjusted=False,
        step_size=0.01,
        jumps=False,
        batch_size=batch,
        preprocessing="standardise",
        max_steps=10**9,
        record_every=RECORD,
        n_checks=0,
        n_threads=threads,
        device="cpu",
        random_state=0,
        **more,
    )
    records = model.iter_fit(x)

    def window(n: int) -> None:
        for _ in range(n // RECORD):
            next(records)

    return window
