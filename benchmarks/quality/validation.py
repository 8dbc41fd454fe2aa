"""The validator validated: size of every test, planted faults found, intervals that cover.

    python -m benchmarks.quality.validation size [--runs 200] [--kinds table chain ising weighted]
    python -m benchmarks.quality.validation faults [--runs 100] [--events 5000]
    python -m benchmarks.quality.validation coverage [--runs 400]

size      real against real, from one law: how often each p-value is at most 5 %, and the Kolmogorov-Smirnov p-value
          of the global p-values against the uniform law. Asked: 5 % ± 3 % for every default test, also for chains.
faults    a fault is planted in events of a known law; counted is how often the test that is made for it says so in its
          sentence, and how often the global p-value is at most 5 %. Asked: 95 of 100 at 5,000 events; without a
          fault at most chance. The strengths were fixed before the first run.
coverage  jackknife intervals of effect sizes under a shifted law, against the mean of very large samples.
          Asked: 68 % and 95 % within 5 points.

Each run draws fresh samples from seeds of its own. Nothing in the library was chosen on them.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import stats

import reverie
from reverie.validation import faults
from reverie.validation.results.result import ValidationResult

NAMES = ("mass", "pt", "eta", "x", "y")


def events(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n events: a mass peak over a falling background, a momentum, an angle, two correlated numbers."""
    peak = 91.2 + 1.25 * rng.standard_cauchy(n).clip(-20, 20) + 1.5 * rng.normal(size=n)
    mass = np.where(rng.random(n) < 0.85, peak, 60 + rng.exponential(30, n))
    pt = rng.lognormal(3, 0.6, n)
    x = rng.normal(size=n)
    return np.stack([mass, pt, 1.5 * rng.normal(size=n), x, 0.6 * x + 0.8 * rng.normal(size=n)], axis=1)


def modes(n: int, rng: np.random.Generator, *, lacking: bool = False) -> np.ndarray:
    """Return n events of ten equal, well separated Gaussians in five dimensions, without the last if `lacking`."""
    centres = np.random.default_rng(123).normal(size=(10, 5)) * 4
    return centres[rng.integers(9 if lacking else 10, size=n)] + rng.normal(size=(n, 5))


def chain(n: int, rng: np.random.Generator, rho: float = 0.9) -> np.ndarray:
    """Return an autoregressive chain (n, 3) of standard normals: autocorrelation time (1 + rho) / (2 (1 - rho))."""
    noise = rng.normal(size=(n, 3))
    x = np.empty_like(noise)
    x[0] = noise[0]
    for t in range(1, n):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * noise[t]
    return x


def ising(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return a Markov chain of n lattices 8 x 8 at T = 2.8, one sweep apart."""
    model = reverie.simulators.Ising(side=8, beta=1 / 2.8)
    return model.sample(n, random_state=int(rng.integers(2**31)), independent=False, sampler="metropolis").numpy()


def weighted(n: int, rng: np.random.Generator) -> reverie.Dataset:
    """Return normal events drawn from a wider law, with the weights that undo it."""
    x = 1.3 * rng.normal(size=(n, 3))
    w = np.exp(-0.5 * np.square(x).sum(1) * (1 - 1 / 1.69))
    return reverie.Dataset(x, names=["a", "b", "c"], weights=w)


def _null(kind: str, seed: int) -> ValidationResult:
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, 1])
    draw: dict[str, tuple[Callable[..., Any], int]] = {
        "table": (events, 1000),
        "chain": (chain, 2000),
        "ising": (ising, 2000),
        "weighted": (weighted, 1000),
    }
    function, n = draw[kind]
    real, generated, other = (function(n, rng) for _ in range(3))
    if kind == "weighted":
        generated = rng.normal(size=(n, 3))  # the same law, without weights
    return reverie.validate(
        real, generated, calibration=other, train=None if kind == "weighted" else other, **_quick(seed)
    )


def _quick(seed: int) -> dict[str, Any]:
    return {"random_state": seed, "n_permutations": 199, "calibrate": False, "classifiers": "boosting"}


def _mapped(function: Callable[[int], Any], runs: int, workers: int) -> list[Any]:
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(function, range(1000, 1000 + runs)))


def size(options: argparse.Namespace) -> None:
    """Print how often each test rejects at 5 % when nothing is wrong."""
    for kind in options.kinds:
        results: list[ValidationResult] = _mapped(partial(_null, kind), options.runs, options.workers)
        print(f"\n{kind}: {options.runs} runs, real against real; standard error {_error(options.runs):.3f}")
        tests: dict[str, list[float]] = {"global": [r.p_value for r in results]}
        tests["battery"] = [r.battery_p for r in results]
        for name in dict.fromkeys(c.name for c in results[0].checks):
            tests[name] = [
                min(c.p_adjusted for c in r.checks if c.name == name and c.feature)
                if _single(r, name)
                else next(c.p_value for c in r.checks if c.name == name)
                for r in results
            ]
        tests["classifier"] = [r.auc.p_value for r in results if r.auc is not None]
        if results[0].memorisation is not None:
            tests["copies"] = [r.memorisation.p_value for r in results if r.memorisation is not None]
        for name, p in tests.items():
            flat = stats.kstest(p, stats.uniform().cdf).pvalue
            print(f"  {name:24s} rejects {np.mean(np.array(p) <= 0.05):.3f} at 5 %   uniform: p = {flat:.2g}")
        print(f"  blocks of {np.median([r.chains.block for r in results]):.0f} rows (median)", flush=True)


def _single(result: ValidationResult, name: str) -> bool:
    return any(check.feature for check in result.checks if check.name == name)


def _error(runs: int) -> float:
    return float(np.sqrt(0.05 * 0.95 / runs))


FAULTS: dict[str, tuple[str, str]] = {  # fault -> (kind of the finding, what its sentence says)
    "one mode of ten dropped": ("region", "missing"),
    "5 % contamination": ("outside", "all but absent"),
    "correlation .6 -> .48 only": ("correlation", "x with y"),
    "tails beyond 5 % halved": ("tails", "outer 2%"),
    "mass peak shifted by .5": ("shape", "mass differs"),
    "10 % copies of training": ("copies", "copied"),
    "nothing": ("", ""),
}


def _planted(fault: str, n: int, seed: int) -> tuple[bool, float, float, tuple[str, ...]]:
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, 2])
    draw = modes if fault.startswith("one mode") else events
    real, generated, other = (draw(n, rng) for _ in range(3))
    if fault.startswith("one mode"):
        generated = modes(n, rng, lacking=True)
    elif fault.startswith("5 %"):
        generated = faults.contaminate(generated, 0.05, rng)
    elif fault.startswith("correlation"):
        generated = faults.decorrelate(generated, 0.2, rng)
    elif fault.startswith("tails"):
        generated = faults.shrink_tails(generated, 0.5, rng)
    elif fault.startswith("mass"):
        generated[:, 0] += 0.5
    elif fault.startswith("10 %"):
        generated = faults.copy_training(generated, 0.1, rng, training=other)
    result = reverie.validate(real, generated, train=other, names=NAMES, **_quick(seed))
    copies = result.memorisation
    assert copies is not None
    kind, words = FAULTS[fault]
    said = [f.sentence for f in result.findings if f.kind == kind]
    said += [copies.verdict] if kind == "copies" and copies.memorised else []
    kinds = tuple(dict.fromkeys(f.kind for f in result.findings))
    return any(words in sentence for sentence in said), result.p_value, copies.p_value, kinds


def plant(options: argparse.Namespace) -> None:
    """Print how often each fault is found by its test, in its sentence."""
    print(f"{options.events:,} events in each sample, {options.runs} runs; 'right' = the right test with its sentence")
    for fault in options.faults or FAULTS:
        rows = _mapped(partial(_planted, fault, options.events), options.runs, options.workers)
        right = sum(row[0] for row in rows)
        seen = sum(row[1] <= 0.05 for row in rows)
        copied = sum(row[2] <= 0.05 for row in rows)
        others = {kind: sum(kind in row[3] for row in rows) for kind in dict.fromkeys(k for r in rows for k in r[3])}
        words = ", ".join(f"{kind} {count}" for kind, count in sorted(others.items(), key=lambda item: -item[1]))
        asked = f"right {right:3d} of {options.runs}" if FAULTS[fault][0] else " " * 16
        print(f"  {fault:28s} {asked}   global p <= 5 %: {seen:3d}   copies: {copied:3d}   said: {words}", flush=True)


def _shifted(seed: int) -> dict[str, tuple[float, float]]:
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, 3])
    real, generated = rng.normal(size=(800, 3)), rng.normal(size=(800, 3)) * 1.2 + 0.3
    generated[:, 1] += 0.4 * generated[:, 0]
    other = np.random.default_rng(4).normal(size=(800, 3))  # the same in all runs: it sets units and bandwidths
    options = _quick(seed) | {"n_permutations": 19, "classifiers": (), "random_state": 0}
    result = reverie.validate(real, generated, calibration=other, **options)
    words = {c: c.detail.removeprefix("strongest ") if c.name == "MMD" else c.feature or "" for c in result.checks}
    return {f"{c.name} {words[c]}".strip(): (c.value, c.error or np.nan) for c in result.checks}


def coverage(options: argparse.Namespace) -> None:
    """Print how often value ± z error holds the mean of all runs."""
    rows = _mapped(_shifted, options.runs, options.workers)
    print(f"{options.runs} runs of 800 + 800 events, shifted, wider and correlated; intervals value ± z error")
    names = dict.fromkeys(name for row in rows for name in row)
    for name in names:
        value, error = np.array([row[name] for row in rows if name in row]).T
        if not np.isfinite(error).all() or len(value) < options.runs / 4:
            continue
        pull = (value - value.mean()) / error
        inside = [np.mean(np.abs(pull) <= stats.norm.isf((1 - level) / 2)) for level in (0.6827, 0.95)]
        ratio = error.mean() / value.std()
        print(
            f"  {name:40s} 68 %: {inside[0]:.3f}   95 %: {inside[1]:.3f}   error / spread {ratio:.2f}   ({len(value)})",
            flush=True,
        )


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description="size, faults or coverage")
    parser.add_argument("what", choices=["size", "faults", "coverage"])
    parser.add_argument("--runs", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", default=["table", "chain", "ising", "weighted"])
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--faults", nargs="+")
    options = parser.parse_args()
    default = {"size": 200, "faults": 100, "coverage": 400}
    options.runs = options.runs or default[options.what]
    {"size": size, "faults": plant, "coverage": coverage}[options.what](options)


if __name__ == "__main__":
    main()
