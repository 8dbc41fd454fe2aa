"""How many failures of Boltzmann machines the alarms and warnings catch, and how often they cry wolf.

    python -m benchmarks.quality.rbm_alarms [--healthy-seeds 0 1 2 3 4 5] [--planted-seeds 0 1 2 ...]

Healthy runs have the defaults of the library but for 600 updates, on thousands of events that a machine can learn:

    bits      8 thresholded normal variables with a common cause, 4,000 rows (exact)
    table     4 correlated normal columns and one of two modes, 4,000 rows, 8 hidden Gaussian units (exact)
    spins     4 x 4 lattices at T = 3, 4,000 of them, 16 hidden units (pcd)
    wide      40 thresholded variables of three causes, 4,000 rows, 24 hidden units (pcd, log Z by annealing)
    digits    the same digits as below, 500 hidden units, 1,500 updates in batches of 64 (pcd, log Z by annealing)

Planted failures, and the words that count as caught:

    overfitting    250 rows of 30 fair coins, 60 hidden units: "overfitting" in training
    large steps    Gaussian units by pcd at a learning rate of 3: "divergence" or "getting worse"
    stuck chains   all 24 bits 0, or all 1, but for 2 %: "Gibbs chains do not mix" in the assessment
    fading         1,500 updates of one sweep on 20,000 binarised digits of MNIST: "chains leave the data"
    annealing      a machine of large weights, log Z by 10 temperatures: a warning that few chains carry the weight

Intervals are Clopper-Pearson, 95 %.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.quality.alarms import interval
from reverie.core.errors import TrainingError
from reverie.data import load
from reverie.models.rbm.estimator import RBM
from reverie.simulators import Ising

SHORT: dict[str, Any] = {"max_steps": 600, "n_threads": 1}
N_EVENTS = 4000


def main() -> None:
    """Print a line per run, then the shares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--healthy-seeds", type=int, nargs="*", default=list(range(6)))
    parser.add_argument("--planted-seeds", type=int, nargs="*", default=list(range(10)))
    options = parser.parse_args()
    shares = []
    for name, make in HEALTHY.items():
        said = [
            _said(f"healthy {name}", seed, lambda seed, make=make: made(*make(seed), seed))
            for seed in options.healthy_seeds
        ]
        shares.append((f"false alarms in training, {name}", sum(bool(alarms) for alarms, _ in said), len(said)))
        shares.append((f"warnings of the assessment, {name}", sum(bool(warned) for _, warned in said), len(said)))
    for name, (plant, words) in PLANTED.items():
        said = [_said(name, seed, plant) for seed in options.planted_seeds]
        shares.append(
            (f"caught: {name}", sum(any(word in " ".join((*a, *b)) for word in words) for a, b in said), len(said))
        )
    print()
    for label, k, n in shares:
        if n:
            low, high = interval(k, n)
            print(f"{label:42s} {k:3d} of {n}, 95 % interval [{low:.0%}, {high:.0%}]")


Said = tuple[list[str], list[str]]  # kinds of the alarms of training, warnings of the assessment


def made(events: np.ndarray, options: dict[str, Any], seed: int) -> Said:
    """Train on three quarters of the events and assess on the rest; return what was said."""
    n = 3 * len(events) // 4
    try:
        model = RBM(random_state=seed, **(SHORT | options)).fit(events[:n])
    except TrainingError as error:
        return [f"divergence: {error}"], []
    return [alarm.kind for alarm in model.alarms_], list(model.assess(events[:n], events[n:]).warnings)


def _said(name: str, seed: int, run: Callable[[int], Said]) -> Said:
    began = time.perf_counter()
    alarms, warnings = run(seed)
    print(f"{name:18s} {seed:3d} {time.perf_counter() - began:6.1f} s  {alarms} {warnings}", flush=True)
    return alarms, warnings


def _common(seed: int, n_columns: int, n_causes: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(N_EVENTS, n_causes)) @ rng.normal(size=(n_causes, n_columns))
    return (causes + rng.normal(size=(N_EVENTS, n_columns)) > 0).astype(int)


def _table(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(N_EVENTS, 4)) @ (np.eye(4) + 0.4 * rng.normal(size=(4, 4)))
    return np.column_stack([z, rng.choice([-2.0, 2.0], N_EVENTS) + 0.7 * rng.normal(size=N_EVENTS) + 0.3 * z[:, 0]])


def _overfitted(seed: int) -> Said:
    coins = np.random.default_rng(seed).integers(0, 2, (330, 30))
    return made(coins, {"n_hidden": 60, "max_steps": 2000}, seed)


def _diverging(seed: int) -> Said:
    return made(_table(seed), {"n_hidden": 14, "method": "pcd", "learning_rate": 3.0}, seed)


def _stuck(seed: int) -> Said:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (N_EVENTS, 1)) ^ (rng.random((N_EVENTS, 24)) < 0.02)
    return made(bits, {"n_hidden": 24}, seed)


def _digits(seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    rows = np.random.default_rng(seed).choice(50_000, 20_000, replace=False)
    options = {"n_hidden": 500, "batch_size": 64, "max_steps": 1500, "n_checks": 6}
    return load("binarized_mnist").values[rows], options


def _fading(seed: int) -> Said:
    digits, options = _digits(seed)
    return made(digits, options | {"method": "cd", "n_gibbs": 1}, seed)


def _short(seed: int) -> Said:
    rng = np.random.default_rng(seed)
    W = 1.5 * rng.normal(size=(100, 60))
    model = RBM.from_weights(W, visible_bias=-W.sum(1) / 2, hidden_bias=-W.sum(0) / 2)
    return [], list(model.log_partition("ais", n_temperatures=10, random_state=seed).warnings)


HEALTHY: dict[str, Callable[[int], tuple[np.ndarray, dict[str, Any]]]] = {
    "bits": lambda seed: (_common(seed, 8, 1), {}),
    "table": lambda seed: (_table(seed), {"n_hidden": 8}),
    "spins": lambda seed: (Ising(side=4, beta=1 / 3).sample(N_EVENTS, random_state=seed).numpy(), {"n_hidden": 16}),
    "wide": lambda seed: (_common(seed, 40, 3), {"n_hidden": 24}),
    "digits": _digits,
}
PLANTED: dict[str, tuple[Callable[[int], Said], tuple[str, ...]]] = {
    "overfitting": (_overfitted, ("overfitting",)),
    "large steps": (_diverging, ("divergence", "getting worse")),
    "stuck chains": (_stuck, ("do not mix",)),
    "fading": (_fading, ("chains leave the data",)),
    "annealing": (_short, ("effective",)),
}

if __name__ == "__main__":
    main()
