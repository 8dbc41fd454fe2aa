"""The smallest deformations that are seen: the global p beside every single test and the best test there can be.

    python -m benchmarks.quality.power [--laws normal mixture] [--deformations mean widths ...] [--events 2000]
                                       [--runs 3] [--permutations 999] [--workers 2] [--tests]

The design is that of Grossi, Letizia and Torre, arXiv:2409.16336. Real events come from a known law in 20 dimensions,
generated ones from the same law deformed with strength e:

    normal        correlated normal law of unit widths
    mixture       five normal clouds, correlated, of widths .5 to 1.5, at places in [0, 10]

    mean          all means shifted by e of the whole sample's widths
    widths        all distances from the mean of the sample times 1 + e
    correlations  columns mixed with others: x -> (1 - e) x + e x', with x' of other events column by column, brought
                  back to the same means and widths
    power         y -> sign(y) |y|^(1 + e) of y in widths from the mean
    noise         normal noise of e widths added
    uniform       uniform noise in [-e, e] widths added

Every strength of a grid is tried `--runs` times with fresh events, by `reverie.validate` with its default tests. The
threshold of a test is the e at which it rejects at 5 % in half of the runs, from a logistic fit over log e. Printed are
that of the global p and that of the single test of the least, both with half the difference of the fits to halves of
the runs, and their ratio. Strengths lie 7 % apart. Asked: at most 1.3. For the normal law the likelihood ratio of the
two known laws stands beside them where it has a closed form: the least e that any test can see.
"""

import argparse
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from reverie.validation import suite
from reverie.validation.battery import battery_groups
from reverie.validation.comparison import Groups
from reverie.validation.permutation.multiple_testing import min_p, ranked

D, LAW_SEED = 20, 7
STRENGTHS = {  # times the grid they lie around the thresholds of the global p and of the best test, at 2,000 events
    "normal": {"mean": 0.056, "widths": 0.032, "correlations": 0.33, "power": 0.06, "noise": 0.26, "uniform": 0.45},
    "mixture": {"mean": 0.025, "widths": 0.025, "correlations": 0.125, "power": 0.037, "noise": 0.083, "uniform": 0.2},
}
NAMES = tuple(STRENGTHS["normal"])
GRID = 2.0 ** np.linspace(-1.6, 0.6, 23)
_FEWEST, _LEVEL = 0.1, 0.05


def normal(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n events (n, 20) of a correlated normal law."""
    a = np.random.default_rng(LAW_SEED).normal(size=(D, 2 * D))
    covariance = a @ a.T
    widths = np.sqrt(np.diag(covariance))
    return rng.multivariate_normal(np.zeros(D), covariance / np.outer(widths, widths), size=n, method="cholesky")


def mixture(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n events (n, 20) of five normal clouds."""
    law = np.random.default_rng(LAW_SEED)
    centres, widths = law.uniform(0, 10, size=(5, D)), law.uniform(0.5, 1.5, size=(5, D))
    which = rng.integers(5, size=n)
    return centres[which] + widths[which] * normal(n, rng)


def deformed(x: np.ndarray, name: str, e: float, rng: np.random.Generator) -> np.ndarray:
    """Return events (n, 20) deformed with strength e, by one of `NAMES`."""
    mean, width = x.mean(0), x.std(0)
    y = (x - mean) / width
    if name == "mean":
        y = y + e
    elif name == "widths":
        y = y * (1 + e)
    elif name == "correlations":
        y = (1 - e) * y + e * rng.permuted(y, axis=0)
        y = (y - y.mean(0)) / y.std(0)
    elif name == "power":
        y = np.sign(y) * np.abs(y) ** (1 + e)
    elif name == "noise":
        y = y + e * rng.normal(size=y.shape)
    elif name == "uniform":
        y = y + rng.uniform(-e, e, size=y.shape)
    return mean + width * y


LAWS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {"normal": normal, "mixture": mixture}


def main() -> None:
    """Print a row per law and deformation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--laws", nargs="+", default=list(LAWS), choices=LAWS)
    parser.add_argument("--deformations", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--permutations", type=int, default=999)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tests", action="store_true", help="the threshold of every single test too")
    options = parser.parse_args()
    print(f"{options.events} events of each kind, {options.runs} runs at each of {len(GRID)} strengths")
    print(
        f"{'law':8s} {'deformation':13s} {'global p':>17s} {'least of one test':>17s} {'ratio':>6s} {'best':>7s}  test"
    )
    with ProcessPoolExecutor(options.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for law in options.laws:
            for name in options.deformations:
                _print_row(law, name, options, pool)


def _print_row(law: str, name: str, options: argparse.Namespace, pool: ProcessPoolExecutor) -> None:
    strengths = STRENGTHS[law][name] * math.sqrt(2000 / options.events) * GRID
    runs = [(e, k) for e in strengths for k in range(options.runs)]
    one = partial(_p_values, law, name, options.events, options.permutations)
    found = list(pool.map(one, runs))
    e, run = np.array(runs).T
    thresholds = {}
    for test in found[0]:
        seen = np.array([p[test] <= _LEVEL for p in found])
        halves = [_threshold(e[half], seen[half]) for half in (run % 2 == 0, run % 2 == 1)]
        thresholds[test] = _threshold(e, seen), abs(halves[0] - halves[1]) / 2
    whole = thresholds.pop("global p")
    best = min(thresholds, key=lambda test: thresholds[test][0])
    least, error = thresholds[best]
    of_law = _least(name, options.events) if law == "normal" else math.nan
    print(
        f"{law:8s} {name:13s} {whole[0]:8.4f} ± {whole[1]:6.4f} {least:8.4f} ± {error:6.4f} {whole[0] / least:6.2f} "
        f"{of_law:7.4f}  {best}",
        flush=True,
    )
    if options.tests:
        print("    " + ", ".join(f"{test} {e:.3g}" for test, (e, _) in sorted(thresholds.items(), key=lambda x: x[1])))


def _p_values(law: str, name: str, n: int, n_permutations: int, of: tuple[float, int]) -> dict[str, float]:
    """Return the p-values of the global test and of every single one, features of one statistic combined."""
    e, run = of
    rng = np.random.default_rng([run, round(1e6 * e), sum(map(ord, law + name))])
    x, y = LAWS[law](n, rng), deformed(LAWS[law](n, rng), name, e, rng)
    kept: Groups = {}

    def keep(*given: Any) -> Groups:
        kept.update(battery_groups(*given))
        return kept

    with patch.object(suite, "battery_groups", keep):  # a result tells rows of statistics, not their combination
        result = suite.validate(x, y, n_permutations=n_permutations, random_state=run, calibrate=False, locate=False)
    single = {test: min_p([ranked(c.values) for c in columns]).observed_p for test, columns in kept.items()}
    return {"global p": result.p_value, **single, **{c.learner: c.p_value for c in result.classifiers}}


def _threshold(e: np.ndarray, seen: np.ndarray) -> float:
    """Return the strength at which half of the runs reject; inf where few do at any."""
    if seen.mean() < _FEWEST:
        return math.inf
    if seen.all():
        return float(e.min())
    fit = LogisticRegression(C=1e3).fit(np.log(e)[:, None], seen)
    slope = float(fit.coef_[0, 0])
    return math.exp(-float(fit.intercept_[0]) / slope) if slope > 0 else math.inf


def _least(name: str, n: int) -> float:
    """Return the e at which the likelihood ratio of normal laws rejects in half of the runs; NaN without closed form.

    With the mean shift m, or widths 1 + e, its expectation over both samples differs by J and its variance of one event
    is V among real and W among generated ones (`benchmarks.quality.distinguish`): J^2 = 1.645^2 (V + W) / n.
    """
    x = np.random.default_rng(LAW_SEED).normal(size=(D, 2 * D))
    covariance = x @ x.T
    widths = np.sqrt(np.diag(covariance))
    if name == "mean":  # J = V = W = e^2 1^T C^-1 1
        return math.sqrt(2 / n) * 1.645 / math.sqrt(np.linalg.inv(covariance / np.outer(widths, widths)).sum())
    if name == "widths":  # A = (1 - 1 / (1 + e)^2) 1, of any correlation
        e = np.geomspace(1e-4, 1, 4000)
        a, s = 1 - (1 + e) ** -2, (1 + e) ** 2
        j, v = D * (a * s - a) / 2, D * (a**2 + (a * s) ** 2) / 2
        return float(e[np.argmax(j**2 >= 1.645**2 * v / n)])
    return math.nan


if __name__ == "__main__":
    main()
