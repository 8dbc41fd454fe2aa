"""How many events show a difference: what a verdict quotes, beside what the best possible test needs.

    python -m benchmarks.quality.distinguish [--runs 10] [--events 5000] [--workers 2] [--cases ...]

Real and generated events are normal: one mean is shifted, one or all widths are stretched, or one pair is correlated,
in 1 to 20 dimensions. The likelihood ratio of the two laws is then known, and with J the difference of its mean between
generated and real events, V and W its variances among them, its mean as a test of two samples of N events each rejects
at 5 % with 80 % power from

    N = (1.645 + 0.842)^2 (V + W) / J^2

    log q/p = (x^T A x - log|S|) / 2 with A = 1 - S^-1 and q = N(0, S):   V = tr(A A)/2,   W = tr(A S A S)/2,
    J = tr(A S - A)/2;       for a shift m:   J = V = W = |m|^2

Printed for each case: this N, the median of what was quoted where the global test saw the difference, how often it
did, the median of the lower limits of the other runs, how often the whole 95 % interval or the limit lay above the true
N ("too high") or below it ("too low"), the N at which the bias of the first mean or width equals the statistical error,
and its quoted median. "Too high" is asked at most in 5 %.
Asked: quoted within a factor of 2 by the median for simple shifts.
"""

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

import reverie


@dataclass(frozen=True)
class Case:
    """Generated events N(shift e_1, S), S the unit matrix but for widths and one correlation; real ones N(0, 1)."""

    dimensions: int
    shift: float = 0.0
    width: float = 1.0
    wide: int = 0
    correlation: float = 0.0

    @property
    def covariance(self) -> np.ndarray:
        """S, (d, d)."""
        s = np.eye(self.dimensions)
        s[: self.wide] *= self.width**2
        if self.correlation:
            s[0, 1] = s[1, 0] = self.correlation
        return s

    @property
    def optimum(self) -> float:
        """N of the likelihood-ratio test."""
        s = self.covariance
        a = np.eye(len(s)) - np.linalg.inv(s)
        m = self.shift**2
        separation = np.trace(a @ s - a) / 2 + m
        variances = (np.trace(a @ a) + np.trace(a @ s @ a @ s)) / 2 + 2 * m
        return (1.6448536 + 0.8416212) ** 2 * variances / separation**2

    @property
    def of_bias(self) -> float:
        """N at which the bias of the first mean or width equals the statistical error; inf without any."""
        if self.shift:
            return self.shift**-2
        return 0.5 / (self.width - 1) ** 2 if self.wide else math.inf

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return n generated events (n, d)."""
        events = rng.normal(size=(n, self.dimensions)) @ np.linalg.cholesky(self.covariance).T
        events[:, 0] += self.shift
        return events


CASES = {
    "nothing, d = 5": Case(5),
    "mean .1, d = 1": Case(1, shift=0.1),
    "mean .1, d = 5": Case(5, shift=0.1),
    "mean .2, d = 5": Case(5, shift=0.2),
    "mean .1, d = 20": Case(20, shift=0.1),
    "mean .2, d = 20": Case(20, shift=0.2),
    "mean .5, d = 5": Case(5, shift=0.5),
    "width 1.1, d = 1": Case(1, width=1.1, wide=1),
    "width 1.1, d = 5": Case(5, width=1.1, wide=1),
    "all widths 1.05, d = 5": Case(5, width=1.05, wide=5),
    "all widths 1.03, d = 20": Case(20, width=1.03, wide=20),
    "correlation .15, d = 2": Case(2, correlation=0.15),
    "correlation .15, d = 5": Case(5, correlation=0.15),
    "correlation .3, d = 20": Case(20, correlation=0.3),
}


def quoted(case: Case, n: int, seed: int) -> tuple[float, float, float, float, str]:
    """Return N, its limits, the N of the first bias and the test of N, as `reverie.validate` quotes them."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, 5])
    real, other = (rng.normal(size=(n, case.dimensions)) for _ in range(2))
    more = {"n_permutations": 199, "calibrate": False, "locate": False, "random_state": seed}
    result = reverie.validate(real, case.draw(n, rng), calibration=other, **more)
    bias = next(one for one in result.biases if one.quantity == ("width" if case.wide else "mean"))
    limits = result.n_distinguish_low or 0.0, result.n_distinguish_high or math.inf
    return result.n_distinguish or math.inf, *limits, bias.events or math.inf, result.n_distinguish_test


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="events to distinguish, quoted and true")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    options = parser.parse_args()
    print(f"{options.events:,} events each, {options.runs} runs")
    print(
        "case                     true N   quoted   seen   limit   too high   too low   bias N   quoted   test",
        flush=True,
    )
    with ProcessPoolExecutor(options.workers) as pool:
        for name in options.cases:
            case = CASES[name]
            rows = list(pool.map(partial(quoted, case, options.events), range(2000, 2000 + options.runs)))
            true = math.inf if name.startswith("nothing") else case.optimum
            seen = [row for row in rows if math.isfinite(row[0])]
            limits = [row[1] for row in rows if not math.isfinite(row[0])]
            tests = [row[4] for row in seen]
            high, low = sum(row[1] > true for row in rows), sum(row[2] < true for row in rows)
            common = max(set(tests), key=tests.count) if tests else ""
            print(
                f"{name:24s} {true:6.0f} {_median([row[0] for row in seen]):8.0f} {len(seen):3d}/{len(rows):<3d} "
                f"{_median(limits):6.0f} {high:10d} {low:9d} "
                f"{case.of_bias:8.0f} {_median([row[3] for row in seen]):8.0f}   {common}",
                flush=True,
            )


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else math.nan


if __name__ == "__main__":
    main()
