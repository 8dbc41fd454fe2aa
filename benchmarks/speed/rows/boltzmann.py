"""Boltzmann machines: an update of 784 x 500 units on batches of 100, and annealed importance sampling.

    pcd, cd     one sweep between updates; ours is `reverie.RBM` through `iter_fit`, centred, with its average of the
                weights and its records every 50 updates, checks of health left out
    ais         1,000 temperatures with 100 chains, forwards; a unit is one temperature
    quantum     a wave function of 10 spins by sampling, 10 hidden units, 10 sweeps, batches of 100, float64; ours
                offers to turn all spins around after each sweep, takes steps of Adam and averages the weights

The floor of an update: the hidden units of the batch and of the chains in one product, the visible ones in another,
the gradient in a third, a uniform number for each drawn unit, and W read and written with its gradient.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.floors import PLAIN, Term, descent, gemm, rows_of
from benchmarks.speed.suite import OURS, Row, Side, both_ways

__all__ = ["anneal", "learn", "measured_state", "rows"]

VISIBLE, HIDDEN, BATCH, ROWS, RECORD = 784, 500, 100, 10_000, 50
TEMPERATURES, CHAINS = 1000, 100
SITES, SWEEPS = 10, 10


def rows(threads: int) -> list[Row]:
    """Return the rows of the family."""
    return [_update("pcd", threads), _update("cd", threads), _annealing(threads), _quantum(threads)]


def _update(method: str, threads: int) -> Row:
    size = {"visible": VISIBLE, "hidden": HIDDEN, "batch": BATCH, "rows": ROWS}
    sides = [
        *both_ways(f"{__name__}:learn", {**size, "method": method, "threads": threads}, RECORD),
        Side("JAX scan", "benchmarks.speed.peers.jax_rbm:learn", {**size, "method": method, "chunk": 50}, 50),
    ]
    if method == "pcd":
        task = "benchmarks.speed.peers.sklearn_rbm:learn"
        sides += [Side(f"scikit-learn, {t}", task, {**size, "dtype": t}, 5) for t in ("float32", "float64")]
    drawn = BATCH * (VISIBLE + HIDDEN)  # cd draws the hidden units it starts from, pcd those it goes on from
    floor = [
        gemm(2 * BATCH, VISIBLE, HIDDEN),
        gemm(BATCH, HIDDEN, VISIBLE),
        gemm(VISIBLE, 2 * BATCH, HIDDEN),
        rows_of("uniform", drawn),
        descent(VISIBLE * HIDDEN, PLAIN),
    ]
    asked = "ours / floor <= 1.3, scikit-learn float32 / ours >= 2" if method == "pcd" else ""
    return Row(method, f"RBM {VISIBLE} x {HIDDEN} by {method}, batch {BATCH}", "update", sides, floor, asked)


def _annealing(threads: int) -> Row:
    size = {"visible": VISIBLE, "hidden": HIDDEN, "chains": CHAINS, "temperatures": TEMPERATURES}
    sides = [
        Side(OURS, f"{__name__}:anneal", {**size, "threads": threads}, TEMPERATURES, ours=True),
        Side("JAX scan", "benchmarks.speed.peers.jax_rbm:anneal", size, TEMPERATURES),
    ]
    floor = [
        gemm(CHAINS, VISIBLE, HIDDEN),
        gemm(CHAINS, HIDDEN, VISIBLE),
        rows_of("uniform", CHAINS * (VISIBLE + HIDDEN)),
    ]
    what = f"AIS {TEMPERATURES:,} x {CHAINS} on {VISIBLE} x {HIDDEN}"
    return Row("ais", what, "temperature", sides, floor, "ours / floor <= 1.5")


def _quantum(threads: int) -> Row:
    size = {"sites": SITES, "hidden": SITES, "batch": BATCH, "n_gibbs": SWEEPS, "rows": ROWS, "threads": threads}
    sides = [
        *both_ways(f"{__name__}:measured_state", size, RECORD),
        Side("QuCumber style", "benchmarks.speed.peers.qucumber_style:learn", size, 20),
    ]
    word = "float64"
    floor: list[Term] = [gemm(BATCH, SITES, SITES, 2 * SWEEPS + 2, word), gemm(SITES, BATCH, SITES, 2, word)]
    floor += [rows_of("uniform", 2 * SWEEPS * BATCH * SITES)]
    return Row("quantum", f"wave function of {SITES} spins, {SWEEPS} sweeps", "update", sides, floor)


def learn(
    *, visible: int, hidden: int, batch: int, rows: int, method: str, threads: int, **more: Any
) -> Callable[[int], None]:
    """Return the window of our training on random bits."""
    import torch

    import reverie

    x = (torch.rand(rows, visible, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    model = reverie.RBM(
        n_hidden=hidden,
        visible="binary",
        method=method,
        n_chains=batch,
        batch_size=batch,
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


def anneal(*, visible: int, hidden: int, chains: int, temperatures: int, threads: int) -> Callable[[int], None]:
    """Return the window of our annealing; a unit of work is a temperature."""
    import torch

    import reverie

    torch.set_num_threads(threads)
    W = 0.1 * torch.randn(visible, hidden, generator=torch.Generator().manual_seed(0))
    model = reverie.RBM.from_weights(W)

    def window(n: int) -> None:
        for seed in range(n // temperatures):
            options: Any = {"n_temperatures": temperatures, "n_chains": chains, "reverse": False}
            model.log_partition("ais", random_state=seed, **options)

    return window


def measured_state(
    *, sites: int, hidden: int, batch: int, n_gibbs: int, rows: int, threads: int, **more: Any
) -> Callable[[int], None]:
    """Return the window of our wave function on random measurements."""
    import torch

    from reverie.models.wavefunction.estimator import WaveFunctionRBM

    torch.set_num_threads(threads)
    bits = torch.randint(0, 2, (rows, sites), generator=torch.Generator().manual_seed(0))
    model = WaveFunctionRBM(
        n_hidden=hidden,
        method="sampling",
        batch_size=batch,
        n_chains=batch,
        n_gibbs=n_gibbs,
        n_folds=0,
        max_steps=10**9,
        record_every=RECORD,
        random_state=0,
        **more,
    )
    records = model.iter_fit(bits)

    def window(n: int) -> None:
        for _ in range(n // RECORD):
            next(records)

    return window
