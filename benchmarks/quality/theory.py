"""How near a trained discriminator comes to theory: p/(p+q), 2 JS - 2 log 2, and -log 4 at equality.

    python -m benchmarks.quality.theory [--seeds 0 1 2 3 4] [--events 5000]

For pairs of known densities p and q and each seed, `--events` of each are drawn, the Jensen-Shannon
divergence is estimated from them (`reverie.models.gan.divergence`) and compared with quadrature, and a
discriminator trained on them is compared with the optimal one on as many events as it has not seen.

    JS exact     by quadrature, nats
    JS           mean of the estimates over seeds, and its standard error
    error        mean error that the estimates state; their own spread over seeds stands beside it
    pull         (estimate - exact) / stated error: mean and spread over seeds; ideal 0 and 1
    V            value of the game from the mean estimate, 2 JS - 2 log 2, beside the exact one;
                 -log 4 = -1.38629 where p = q
    |D - D*|     mean over events unseen, half of them of each density; |1/2 - D*| is what a coin reaches
"""

import argparse
import math
import statistics
import time
from dataclasses import dataclass

import numpy as np
from scipy.stats import multivariate_normal

from reverie.models.gan.divergence import fit_discriminator, jensen_shannon

HALF_WIDTH, POINTS = 10.0, 8001  # of the grid of the quadrature, along the one axis in which p and q differ


@dataclass(frozen=True)
class Mixture:
    """Gaussians of equal weight, means (k, d), one standard deviation for each of k and d."""

    means: tuple[tuple[float, ...], ...]
    widths: tuple[tuple[float, ...], ...]

    def draw(self, n: int, random: np.random.Generator) -> np.ndarray:
        """Return n events (n, d)."""
        which = random.integers(len(self.means), size=n)
        return np.asarray(self.means)[which] + np.asarray(self.widths)[which] * random.normal(
            size=(n, len(self.means[0]))
        )

    def density(self, x: np.ndarray) -> np.ndarray:
        """Return the density (n,) at x (n, d)."""
        parts = [multivariate_normal(m, np.square(w)).pdf(x) for m, w in zip(self.means, self.widths, strict=True)]
        return np.mean([np.reshape(part, len(x)) for part in parts], axis=0)


def _gaussian(d: int, mean: float = 0.0, width: float = 1.0) -> Mixture:
    """Return a Gaussian that differs from the standard one along its first axis."""
    return Mixture(((mean,) + (0.0,) * (d - 1),), ((width,) + (1.0,) * (d - 1),))


_PEAKS = Mixture(((-2.0,), (2.0,)), ((0.5,), (0.5,)))
_PEAKS_2D = Mixture(((-2.0, 0.0), (2.0, 0.0)), ((0.5, 1.0), (0.5, 1.0)))
PAIRS: dict[str, tuple[Mixture, Mixture]] = {
    "1-D equal": (_gaussian(1), _gaussian(1)),
    "1-D shift 0.1": (_gaussian(1), _gaussian(1, 0.1)),
    "1-D shift 1": (_gaussian(1), _gaussian(1, 1.0)),
    "1-D width 2": (_gaussian(1), _gaussian(1, 0.0, 2.0)),
    "1-D shift 6": (_gaussian(1), _gaussian(1, 6.0)),
    "1-D two peaks, one lost": (_PEAKS, Mixture(((2.0,),), ((0.5,),))),
    "1-D two peaks, 20 % wider": (_PEAKS, Mixture(_PEAKS.means, ((0.6,), (0.6,)))),
    "2-D equal peaks": (_PEAKS_2D, _PEAKS_2D),
    "2-D shift 1": (_gaussian(2), _gaussian(2, 1.0)),
    "6-D equal": (_gaussian(6), _gaussian(6)),
    "6-D shift 0.5": (_gaussian(6), _gaussian(6, 0.5)),
}


def main() -> None:
    """Print one row per pair of densities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--events", type=int, default=5000)
    options = parser.parse_args()
    titles = [
        "JS exact",
        "JS",
        "+-",
        "error",
        "spread",
        "pull",
        "spread",
        "V exact",
        "V",
        "|D-D*|",
        "|1/2-D*|",
        "s each",
    ]
    print(f"{options.events} events of each density, {len(options.seeds)} seeds")
    print(f"{'':26s}" + "".join(f"{title:>10s}" for title in titles))
    for name, (p, q) in PAIRS.items():
        figures = _figures(p, q, options.seeds, options.events)
        print(f"{name:26s}" + "".join(f"{x:10.5f}" for x in figures[:-1]) + f"{figures[-1]:10.1f}", flush=True)


def _figures(p: Mixture, q: Mixture, seeds: list[int], n: int) -> list[float]:
    exact, rows = _exact(p, q), []
    for seed in seeds:
        random = np.random.default_rng([seed, n])
        x, y = p.draw(n, random), q.draw(n, random)
        began = time.perf_counter()
        measured = jensen_shannon(x, y, random_state=seed)
        seconds = time.perf_counter() - began
        D = fit_discriminator(x, y, random_state=seed)
        unseen = np.concatenate([p.draw(n // 2, random), q.draw(n // 2, random)])
        best = p.density(unseen) / (p.density(unseen) + q.density(unseen))
        rows.append([measured.value, measured.error, _distance(D(unseen), best), _distance(0.5, best), seconds])
    value, error, distance, coin, seconds = (list(column) for column in zip(*rows, strict=True))
    pulls = [(v - exact) / e for v, e in zip(value, error, strict=True)]
    js, mean = statistics.mean(value), statistics.mean
    return [
        exact,
        js,
        _spread(value) / math.sqrt(len(seeds)),
        mean(error),
        _spread(value),
        mean(pulls),
        _spread(pulls),
        2 * exact - math.log(4),
        2 * js - math.log(4),
        mean(distance),
        mean(coin),
        mean(seconds),
    ]


def _distance(a: np.ndarray | float, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


def _spread(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


def _exact(p: Mixture, q: Mixture) -> float:
    """Return JS(p, q) by the trapezium rule along the first axis; along the others p and q are equal."""
    x = np.linspace(-HALF_WIDTH, HALF_WIDTH + 6, POINTS)[:, None]
    a, b = (_first_axis(law).density(x) for law in (p, q))
    return float(0.5 * np.trapezoid(_entropy_term(a, (a + b) / 2) + _entropy_term(b, (a + b) / 2), x[:, 0]))


def _first_axis(law: Mixture) -> Mixture:
    return Mixture(tuple(row[:1] for row in law.means), tuple(row[:1] for row in law.widths))


def _entropy_term(a: np.ndarray, m: np.ndarray) -> np.ndarray:
    return np.where(a > 0, a * np.log(np.maximum(a, 1e-300) / np.maximum(m, 1e-300)), 0.0)


if __name__ == "__main__":
    main()
