"""Samplers against exact answers: Langevin kernels, SGLD, the mixture of Welling and Teh, Wolff; and steps a second.

    python -m benchmarks.quality.samplers [--only langevin sgld mixture wolff speed] [--seeds 0 1 2 3 4]

    off        distance from the exact value in standard errors that know the autocorrelation; wanted: within 3
    R-hat      of parallel chains, rank-normalised
    ESS        independent draws that all chains are worth

The mixture (Welling and Teh, ICML 2011) has 100 rows, anew for each seed, and is compared with its posterior on a
grid:

    mode       posterior mass of theta_2 > 0, exact and found. All kernels start from the prior, 500 chains; those of
               MALA come down from its tails by small steps first
    KL         of the histogram of all draws, 14 x 20 cells, from the grid, and what exact draws would have at most,
               (cells - 1) / (2 ESS), ESS that of the mode: all else is forgotten sooner

"schedule" is eps = 2 eta from 0.01 to 0.0001 with gamma = 0.55 and single rows, draws weighed by eta.

Speed is steps of 1,024 chains in 2 dimensions in a second of one core's time; asked: 2,000.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from reverie.core.random import child_generator
from reverie.samplers import (
    MALA,
    SGLD,
    ULA,
    Chains,
    IsingEnergy,
    MinibatchEnergy,
    Wolff,
    effective_sample_size,
    rank_normalised_r_hat,
    run,
    steps,
)
from reverie.samplers.sgld import polynomial_between, sgld_variance
from reverie.simulators.ising_exact import kaufman


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    for name in options.only:
        began = time.perf_counter()
        PARTS[name](options.seeds)
        print(f"  {time.perf_counter() - began:.0f} s\n")


def _report(label: str, chains: Chains, observable: Callable[[Tensor], Tensor], exact: float) -> None:
    series = chains.observe(observable)
    found = chains.mean(observable)
    off = (found.value - exact) / found.error
    print(
        f"  {label:34s} {exact:10.5f} {found.value:10.5f} +- {found.error:.5f} {off:6.1f}"
        f" {rank_normalised_r_hat(series):8.4f} {effective_sample_size(series):10.0f}"
    )


def _head(title: str) -> None:
    print(f"{title}\n  {'':34s} {'exact':>10s} {'found':>21s} {'off':>6s} {'R-hat':>8s} {'ESS':>10s}")


def langevin(seeds: list[int]) -> None:
    """Print the variance of N(0, 1) by ULA, as predicted, and by MALA."""
    _head("Langevin, N(0, 1), <x^2>, 1,000 chains of 2,000 steps, eta = 0.8")
    generator = child_generator(seeds[0], "langevin")
    start = torch.randn(1000, 1, generator=generator, dtype=torch.float64)
    for kernel, exact in ((ULA(0.8), sgld_variance(0.8, 1.0)), (MALA(0.8), 1.0)):
        chains = run(kernel, start, lambda x: x.square().sum(1) / 2, n_steps=2000, burn_in=50, generator=generator)
        accepted = float(chains.info["accepted"].mean())
        _report(f"{type(kernel).__name__}, acceptance {accepted:.3f}", chains, lambda x: x[:, 0].square(), exact)


def sgld(seeds: list[int]) -> None:
    """Print the variance of SGLD in a conjugate posterior, as predicted with its gradient noise."""
    _head("SGLD, mean of 100 rows N(theta, 1), prior N(0, 10): variance times the posterior precision")
    generator = child_generator(seeds[0], "sgld")
    rows = torch.randn(100, generator=generator, dtype=torch.float64)
    precision = 100 + 1 / 10
    mean = float(rows.sum() / precision)
    for batch_size, eta in ((None, 2e-3), (10, 2e-3), (10, 2e-4), (1, 5e-4)):
        energy = MinibatchEnergy(lambda t: -t[:, 0].square() / 20, lambda t, x: -(x - t).square() / 2, rows, batch_size)
        noise = float(energy.gradient_noise(torch.tensor([mean], dtype=torch.float64)))
        start = torch.full((500, 1), mean, dtype=torch.float64)
        chains = run(SGLD(eta), start, energy, n_steps=3000, burn_in=500, generator=generator)
        exact = sgld_variance(eta, precision, noise) * precision
        _report(
            f"batch {batch_size or 'all':>4}, eta {eta:g}",
            chains,
            lambda x: precision * (x[:, 0] - mean).square(),
            exact,
        )


def mixture(seeds: list[int]) -> None:
    """Print mode mass and KL of three kernels on the mixture of Welling and Teh."""
    print("Mixture of Welling and Teh")
    print(
        f"  {'seed':>4s} {'kernel':24s} {'mode':>7s} {'found':>17s} {'off':>6s} {'KL':>8s} {'at most':>8s} {'ESS':>7s}"
    )
    for seed in seeds:
        generator = child_generator(seed, "mixture")
        shift = (torch.rand(100, generator=generator) < 0.5).double()
        rows = math.sqrt(2) * torch.randn(100, generator=generator, dtype=torch.float64) + shift
        cells, exact = _mixture_grid(rows)
        start = torch.randn(500, 2, generator=generator, dtype=torch.float64) * torch.tensor([math.sqrt(10), 1.0])
        schedule = polynomial_between(0.005, 0.00005, 8_000)
        kernels = (
            ("MALA, all rows", MALA(0.028), None, 1000, 4),
            ("SGLD, 10 rows, eta 1e-4", SGLD(1e-4), 10, 16_000, 80),
            ("SGLD, 1 row, schedule", SGLD(schedule), 1, 8_000, 40),
        )
        for label, kernel, batch_size, n_steps, thin in kernels:
            energy = MinibatchEnergy(_mixture_prior, _mixture_likelihood, rows, batch_size)
            burn_in = 0 if batch_size == 1 else n_steps // 4
            first = _approached(start, energy, seed) if isinstance(kernel, MALA) else start
            chains = run(kernel, first, energy, n_steps=n_steps, thin=thin, burn_in=burn_in, generator=generator)
            kept = len(chains.x)
            late = kept // 8 if batch_size == 1 else 0  # its burn-in, with the steps still counted
            weight = np.array([schedule(thin * (i + 1)) if batch_size == 1 else 1.0 for i in range(late, kept)])
            _mixture_row(f"  {seed:4d} {label:24s}", Chains(chains.x[late:]), weight, cells, exact)


def _approached(start: Tensor, energy: MinibatchEnergy, seed: int) -> Tensor:
    """Return chains after small steps: where the posterior is steep, large ones of MALA are refused for ever."""
    return run(ULA(0.002), start, energy, n_steps=500, thin=500, generator=child_generator(seed, "approach")).x[-1]


def _mixture_prior(theta: Tensor) -> Tensor:
    return -theta[:, 0].square() / 20 - theta[:, 1].square() / 2


def _mixture_likelihood(theta: Tensor, x: Tensor) -> Tensor:
    one, both = theta[:, :1], theta.sum(1, keepdim=True)
    return torch.logaddexp(-(x - one).square() / 4, -(x - both).square() / 4)


EDGES = (np.linspace(-3, 4, 15), np.linspace(-5, 5, 21))


def _mixture_grid(rows: Tensor, fine: int = 16) -> tuple[np.ndarray, float]:
    """Return the posterior mass of every cell, from fine x fine midpoints of it, and that of theta_2 > 0."""
    middles = [torch.from_numpy(e[0] + (np.arange((len(e) - 1) * fine) + 0.5) * (e[1] - e[0]) / fine) for e in EDGES]
    theta = torch.cartesian_prod(*middles)
    energy = MinibatchEnergy(_mixture_prior, _mixture_likelihood, rows)
    p = torch.softmax(torch.cat([-energy(block) for block in theta.split(10_000)]), 0)
    shape = [v for e in EDGES for v in (len(e) - 1, fine)]
    return p.view(shape).sum((1, 3)).numpy(), float(p[theta[:, 1] > 0].sum())


def _mixture_row(label: str, chains: Chains, weight: np.ndarray, cells: np.ndarray, exact: float) -> None:
    right = chains.observe(lambda theta: (theta[:, 1] > 0).double())
    per_chain = right @ weight / weight.sum()  # chains are independent, so their scatter is the error
    mass, error = per_chain.mean(), per_chain.std(ddof=1) / math.sqrt(len(per_chain))
    size = mass * (1 - mass) / error**2
    theta = chains.pooled().numpy()
    found, *_ = np.histogram2d(theta[:, 0], theta[:, 1], bins=EDGES, weights=np.repeat(weight, len(right)))
    found /= found.sum()
    keep = found > 0
    divergence = float((found[keep] * np.log(found[keep] / cells[keep])).sum())
    expected = (np.count_nonzero(cells > 1 / max(size, 1)) - 1) / (2 * size)
    print(
        f"{label} {exact:7.4f} {mass:7.4f} +- {error:.4f} {(mass - exact) / error:6.1f}"
        f" {divergence:8.4f} {expected:8.4f} {size:7.0f}"
    )


def wolff(seeds: list[int]) -> None:
    """Print the energy per site of Ising lattices against Kaufman's."""
    _head("Wolff, energy per site, 32 chains of 1,500 steps after 300")
    generator = child_generator(seeds[0], "wolff")
    for t in (2.0, 2.269185, 2.6):
        for side in (8, 16, 32):
            energy = IsingEnergy(1 / t)
            start = torch.ones(32, side, side)
            chains = run(Wolff(), start, energy, n_steps=1500, burn_in=300, generator=generator)
            scale = t / side**2
            _report(f"T = {t}, L = {side}", chains, lambda x, e=energy, s=scale: e(x) * s, kaufman(side, 1 / t).energy)


def speed(seeds: list[int]) -> None:
    """Print Langevin steps in a second of one core's time, 1,024 chains in 2 dimensions."""
    torch.set_num_threads(1)
    print(f"Speed, 1,024 x 2, one thread\n  {'energy':24s} {'ULA steps/s':>12s} {'MALA steps/s':>13s}")
    generator = child_generator(seeds[0], "speed")
    energies: dict[str, Callable[[Tensor], Tensor]] = {"parabola": lambda x: x.square().sum(1) / 2}
    for width in (32, 64, 128):
        layers = nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1), nn.Flatten(0)
        energies[f"network {width} x {width}"] = nn.Sequential(*layers).requires_grad_(requires_grad=False)
    x = torch.randn(1024, 2, generator=generator)
    for name, energy in energies.items():
        rates = [_rate(steps(kernel, x, energy, generator=generator)) for kernel in (ULA(0.01), MALA(0.01))]
        print(f"  {name:24s} {rates[0]:12.0f} {rates[1]:13.0f}")
    a, b = torch.randn(1024, 128, generator=generator), torch.randn(128, 128, generator=generator)
    print(
        f"  two products 1024 x 128 x 128, the least of the last: {_rate(a @ b for _ in range(10**6)) / 2:.0f} steps/s"
    )


def _rate(passed: Iterable[object], n: int = 300) -> float:
    """Return items a second, of the processor's time, the best of three."""
    source, best = iter(passed), 0.0
    for _ in range(3):
        next(source)
        began = time.process_time()
        for _ in range(n):
            next(source)
        best = max(best, n / (time.process_time() - began))
    return best


PARTS = {"langevin": langevin, "sgld": sgld, "mixture": mixture, "wolff": wolff, "speed": speed}

if __name__ == "__main__":
    main()
