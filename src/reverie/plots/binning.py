r"""Histograms of two samples on common bins, with the numbers that the marginal plots draw.

Real data have counts r_i in bin i, N_r in all; generated data have g_i and N_g.

* Poisson errors of a count n: the central 68.27 % Garwood interval,
  [Q^{-1}(alpha/2; n), Q^{-1}(1 - alpha/2; n + 1)], Q the gamma distribution (Garwood, Biometrika 28, 437 (1936)).
* The ratio (g_i / N_g) / (r_i / N_r) compares shapes.
* The two-histogram statistic
  chi2 = sum_i (sqrt(N_g/N_r) r_i - sqrt(N_r/N_g) g_i)^2 / (r_i + g_i), with bins - 1 degrees of freedom
  (Gagunashvili, arXiv:physics/0605123). What falls outside the range counts as one more bin on each
  side; neighbouring bins are joined until each holds at least 10 entries of both samples together.
* Weighted real events: r_i = sum of w, with error sqrt(v_i), v_i = sum of w^2; then
  chi2 = sum_i (r_i - s g_i)^2 / (v_i + s^2 g_i), s = N_r / N_g, over bins with 10 generated entries at least.
* Replicas: the heights of each of R generated samples, scaled to the real one, (R, bin), and the 68 % band of the model
  from their spread (`reverie.core.bands`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

from reverie.core import bands

__all__ = ["Binned", "bin_columns", "chi_square", "plot_range", "poisson_interval"]

_TAIL = 1.0 - 0.6826894921  # probability outside one standard deviation
_DISCRETE = ("integer", "categorical", "spin")
_MOST_BINS = 60
_FEWEST_BINS = {"periodic": 36}
_FULL_CIRCLES = ((-math.pi, math.pi), (0.0, 2 * math.pi), (-180.0, 180.0), (0.0, 360.0), (0.0, 1.0), (0.0, 24.0))


@dataclass(frozen=True)
class Binned:
    """Two samples of one column, counted in the same bins.

    Parameters
    ----------
    edges : Edges of the bins, ascending, in the unit of the column, shape (bin + 1,).
    real, generated : Counts inside the range, shape (bin,) each.
    n_real, n_generated : Number of finite values, inside and outside; 0 for a sample that was left out. The sum of
        the weights if the real sample is weighted.
    outside_real, outside_generated : Counts (below, above) the range.
    heavy : Whether the tail needs a logarithmic axis of counts.
    discrete : Whether the bins are centred on the values of a discrete column.
    squares : Sums of squared weights of the real sample, shape (bin,), or None without weights.
    replicas : Heights of each replica's sample, scaled to the real one, shape (replica, bin), or None.
    n_replica : Number of values of a replica's sample.
    """

    edges: np.ndarray
    real: np.ndarray
    generated: np.ndarray
    n_real: float
    n_generated: int
    outside_real: tuple[float, float]
    outside_generated: tuple[float, float]
    heavy: bool
    discrete: bool
    squares: np.ndarray | None = None
    replicas: np.ndarray | None = None
    n_replica: float = math.inf

    @property
    def centres(self) -> np.ndarray:
        """Middle of each bin, (bin,)."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def scale(self) -> float:
        """N_r / N_g: the factor that brings generated counts to the size of the real sample."""
        return self.n_real / self.n_generated if self.n_real and self.n_generated else 1.0

    def real_interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends (low, high) of the errors of the real counts, (bin,) each."""
        if self.squares is None:
            return poisson_interval(self.real)
        return self.real - np.sqrt(self.squares), self.real + np.sqrt(self.squares)

    def replica_band(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the ends (low, high) of the 68 % band in each bin, (bin,) each; None for fewer than two replicas."""
        if self.replicas is None or len(self.replicas) < 2:
            return None
        size = self.n_real or float(self.n_generated)
        middle, half = bands.replica_band(self.replicas / size, self.n_replica)
        return size * np.maximum(middle - half, 0.0), size * (middle + half)

    def ratio(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ratio, lower and upper error from the generated counts, each (bin,); nan where r_i = 0."""
        low, high = poisson_interval(self.generated)
        with np.errstate(divide="ignore", invalid="ignore"):
            per_count = np.where(self.real > 0, self.scale / self.real, np.nan)
        value = self.generated * per_count
        return value, value - low * per_count, high * per_count - value

    def chi_square(self) -> tuple[float, int]:
        """Return (chi2, ndf) of the two samples, the outside bins included; (nan, 0) when one is empty."""
        if self.squares is not None:
            return weighted_chi_square(self.real, self.squares, self.generated, self.scale)
        below, above = zip(self.outside_real, self.outside_generated, strict=True)
        real = np.concatenate([[below[0]], self.real, [above[0]]])
        generated = np.concatenate([[below[1]], self.generated, [above[1]]])
        return chi_square(real, generated)


def poisson_interval(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 68.27 % Garwood interval (low, high) of Poisson counts (bin,); low is 0 at 0."""
    n = np.asarray(counts, dtype=float)
    low = np.where(n > 0, gammaincinv(np.maximum(n, 1.0), _TAIL / 2), 0.0)
    return low, gammaincinv(n + 1.0, 1.0 - _TAIL / 2)


def chi_square(real: np.ndarray, generated: np.ndarray, least: int = 10) -> tuple[float, int]:
    """Return (chi2, ndf) of two histograms (bin,); bins are joined until r_i + g_i >= `least`."""
    rows, open_row = [], np.zeros(2)
    for pair in np.stack([real, generated], axis=1).astype(float):
        open_row = open_row + pair
        if open_row.sum() >= least:
            rows, open_row = [*rows, open_row], np.zeros(2)
    if rows:
        rows[-1] = rows[-1] + open_row
    r, g = np.array(rows).reshape(-1, 2).T
    n_real, n_generated = r.sum(), g.sum()
    if not (n_real and n_generated and len(r) > 1):
        return math.nan, 0
    difference = math.sqrt(n_generated / n_real) * r - math.sqrt(n_real / n_generated) * g
    return float(np.sum(difference**2 / (r + g))), len(r) - 1


def weighted_chi_square(
    real: np.ndarray, squares: np.ndarray, generated: np.ndarray, scale: float, least: int = 10
) -> tuple[float, int]:
    """Return (chi2, ndf) of a weighted histogram and counts (bin,); bins of fewer than `least` counts are left out."""
    known = generated >= least
    if known.sum() < 2 or scale <= 0:
        return math.nan, 0
    r, v, g = real[known], squares[known], generated[known]
    return float(np.sum((r - scale * g) ** 2 / (v + scale**2 * g))), int(known.sum()) - 1


def plot_range(values: np.ndarray, kind: str = "continuous") -> tuple[float, float]:
    """Return the range (low, high) to show: the whole circle or bound, else the central 99.8 % and a margin."""
    if not len(values):
        return 0.0, 1.0
    least, most = float(values.min()), float(values.max())
    if kind == "periodic":
        fits = [c for c in _FULL_CIRCLES if c[0] - 1e-3 <= least and most <= c[1] + 1e-3 and most - least > 0.6 * c[1]]
        least, most = fits[0] if fits else (least, most)
    elif kind not in ("bounded", "pixel"):
        low, high = np.quantile(values, [0.001, 0.999])
        margin = 0.04 * (high - low)
        least, most = max(least, float(low - margin)), min(most, float(high + margin))
    if most > least:
        return least, most
    return least - max(0.5, abs(least) * 1e-3), least + max(0.5, abs(least) * 1e-3)


def bin_columns(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    kind: str = "continuous",
    limits: tuple[float, float] | None = None,
    n_bins: int | None = None,
    weights: np.ndarray | None = None,
    replicas: Sequence[np.ndarray] | np.ndarray | None = None,
) -> Binned:
    """Count two samples of one column in bins chosen from the real one (from the generated one if it is alone).

    Parameters
    ----------
    real, generated : Values, shape (n,) each, possibly empty; those that are not finite are left out.
    kind : Kind of the column, as in `reverie.data.schema`; discrete kinds get bins centred on integers or levels,
        periodic ones the full circle, bounded ones the full range.
    limits : Range to show instead of the automatic one.
    n_bins : Number of bins instead of the automatic one; ignored for discrete columns.
    weights : Event weights of `real`, negative ones too, shape (n,).
    replicas : Values (n,) of each of several generated samples.
    """
    r, g = _finite(real), _finite(generated)
    w = None if weights is None else np.asarray(weights, dtype=float)[np.isfinite(np.asarray(real, dtype=float))]
    basis = r if len(r) else g
    discrete = kind in _DISCRETE
    low, high = limits or plot_range(basis, "bounded" if kind in ("spin", "categorical") else kind)
    fewest = _FEWEST_BINS.get(kind, 24)
    edges = _level_edges(basis, low, high) if discrete else _edges(basis, low, high, n_bins, fewest)
    of_real, outside_real = _count(r, edges, w)
    of_generated, outside_generated = _count(g, edges)
    filled = of_real[of_real > 0] if len(r) else of_generated[of_generated > 0]
    # the tallest bin is 12 times the median one: 4 times for a Gaussian, 30 for an exponential
    heavy = kind != "periodic" and len(filled) > 5 and float(filled.max()) > max(12.0 * float(np.median(filled)), 100.0)
    n_real = len(r) if w is None else float(w.sum())
    squares = None if w is None else np.histogram(r, bins=edges, weights=w**2)[0]
    heights, size, n_replica = None, n_real if len(r) else float(len(g)), math.inf
    if replicas is not None:
        samples = [_finite(x) for x in replicas]
        n_replica = float(np.mean([len(x) for x in samples]))
        heights = np.stack([np.histogram(x, bins=edges)[0] * (size / max(len(x), 1)) for x in samples])
    return Binned(
        edges=edges,
        real=of_real,
        generated=of_generated,
        n_real=n_real,
        n_generated=len(g),
        outside_real=outside_real,
        outside_generated=outside_generated,
        heavy=heavy,
        discrete=discrete,
        squares=squares,
        replicas=heights,
        n_replica=n_replica,
    )


def _finite(values: np.ndarray) -> np.ndarray:
    x = np.asarray(values, dtype=float).ravel()
    return x[np.isfinite(x)]


def _count(
    values: np.ndarray, edges: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[float, float]]:
    beyond = values < edges[0], values > edges[-1]
    below, above = (float(b.sum() if weights is None else weights[b].sum()) for b in beyond)
    return np.histogram(values, bins=edges, weights=weights)[0], (below, above)


def _edges(values: np.ndarray, low: float, high: float, n_bins: int | None, fewest: int) -> np.ndarray:
    """Freedman-Diaconis width 2 IQR n^(-1/3), kept between `fewest` (half as many below 1000 values) and 40 bins."""
    if n_bins is None:
        spread = float(np.subtract(*np.quantile(values, [0.75, 0.25]))) if len(values) else 0.0
        width = 2.0 * spread / max(len(values), 1) ** (1 / 3)
        fewest = fewest if len(values) >= 1000 else fewest // 2
        n_bins = int(np.clip((high - low) / width, fewest, 40)) if width > 0 else 30
    return np.linspace(low, high, n_bins + 1)


def _level_edges(values: np.ndarray, low: float, high: float) -> np.ndarray:
    levels = np.unique(values[(values >= low) & (values <= high)])
    if not len(levels):
        return np.array([-0.5, 0.5])
    step = float(np.diff(levels).min()) if len(levels) > 1 else 1.0
    steps = (levels[-1] - levels[0]) / step
    step *= max(1, math.ceil((steps + 1) / (_MOST_BINS if len(values) > 2000 else 30)))
    n_bins = math.floor((levels[-1] - levels[0]) / step + 1e-9) + 1
    return levels[0] - step / 2 + step * np.arange(n_bins + 1) if step > 0 else np.array([low, high])
