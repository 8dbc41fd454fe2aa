"""Intrinsic dimension of spins and other bits, from the histogram of Hamming distances.

Two rows of D independent fair bits differ in r of them with probability 2^-D binom(D, r). Correlated
bits behave like fewer. Acevedo, Rodriguez and Laio (Commun. Phys. 8 (2025) 202, arXiv:2411.02126) let
the number of effective bits depend on the distance and fit the histogram of all pairs of rows by

    P(r) = C 2^-d(r) binom(d(r), r),      d(r) = d0 + d1 r,

over the distances seen, or over the smallest of them that hold the share `quantile` of all pairs, with
the smallest Kullback-Leibler divergence KL(histogram || P). d0, which is d at small distance, is the
bit-wise intrinsic dimension (BID). Independent bits have d0 = D, d1 = 0. Where the law misses the
histogram (two phases, a global flip of all spins), the result says so; fit the small distances alone then.

The minimum is found by quasi-Newton steps in d at the mean distance and d1, from the values of the
normal limit: with mean m and variance v of r,  d(m) = 2 m  and  (1 - d1 / 2)^2 = m / (2 v).  In that limit
D bits that come in c identical copies have d1 = 2 - 2 / sqrt(c) and d0 = D / sqrt(c), not D / c: the
ansatz smears distances that are multiples of c over all distances. Drop identical columns first.

Errors: pairs share rows, so the histogram is no sample of independent pairs. Rows are cut into 20
groups, the histogram is kept for each pair of groups, and the fit repeated without each group in turn
(jackknife; Efron and Stein, Ann. Statist. 9 (1981) 586).
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from reverie.core.arguments import Count, Interval, checked
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.tables import Result, read_unweighted

__all__ = ["BitwiseDimension", "bitwise_dimension", "fit_distances", "hamming_histogram"]

MISFIT = 0.02  # nats; independent bits have about 1 / number of pairs
GRADIENT = 1e-9  # in units of the start: d0 is then known to 1e-7
GROUPS = 20
MIN_ROWS = 5 * GROUPS


@dataclass(frozen=True)
class BitwiseDimension(Result):
    """The bit-wise intrinsic dimension of n rows of D bits.

    Parameters
    ----------
    d0, d1 : Effective bits at small distance, and their growth per unit of distance, with errors.
    log_kl : Natural logarithm of the divergence of the fit, in nats: the lower the better.
    distance, observed, fitted : Hamming distances, shares of the pairs, and the fitted law, shape (R,) each.
    n_bits : Number D of bits, constant ones included.
    notes : What was left out or is doubtful, in sentences.
    """

    d0: Measured
    d1: Measured
    log_kl: float
    distance: np.ndarray
    observed: np.ndarray
    fitted: np.ndarray
    n_bits: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = "".join(f" {note}" for note in self.notes)
        return f"Bit-wise intrinsic dimension {self.d0} of {self.n_bits} bits; slope {self.d1}.{notes}"


@checked
def bitwise_dimension(
    X: ArrayLike,
    *,
    quantile: Annotated[float, Interval(0, 1, ends="right")] = 1.0,
    max_rows: Count = 10_000,
    block_size: Count = 1024,
    random_state: RandomState = None,
) -> BitwiseDimension:
    """Return the bit-wise intrinsic dimension of `X`.

    Parameters
    ----------
    X : At least 100 rows of two values, such as -1 and 1 or 0 and 1, shape (n, *event). Cut continuous data at
        their medians, and write q levels as q bits, first.
    quantile : The fit looks at this share of the pairs, those at the smallest distances, in (0, 1].
    max_rows : More rows are cut at random; time grows with their square.
    block_size : Rows per block of distances; the result does not depend on it.
    random_state : Seed or generator of the order of rows, which makes the groups of the error.

    Raises
    ------
    InputError
        For data that cannot be read, more than two values, too few rows, or rows too much alike.
    """
    values = read_unweighted(X).values
    low, high = values.min(), values.max()
    if low == high or not ((values == low) | (values == high)).all():
        raise InputError(
            f"Expected bits, two values such as -1 and 1, got {len(np.unique(values))} different values. "
            "Cut continuous data at their medians, or write q levels as q bits."
        )
    bits = values == high
    constant = int((bits.all(0) | ~bits.any(0)).sum())
    notes = [f"{constant} bits are constant."] if constant else []
    order = np.random.default_rng(child_seed(as_seed(random_state), "rows")).permutation(len(bits))[:max_rows]
    if len(order) < len(bits):
        notes.append(f"{len(order):,} of {len(bits):,} rows were used, drawn at random.")
    if len(order) < MIN_ROWS:
        raise InputError(f"Expected at least {MIN_ROWS} rows for a bit-wise dimension, got {len(order)}. Give more.")
    counts = hamming_histogram(bits[order], n_groups=GROUPS, block_size=block_size)
    total = counts.sum((0, 1))
    last = int(np.searchsorted(np.cumsum(total), quantile * total.sum()))
    counts, total = counts[..., : last + 1], total[: last + 1]
    d0, d1, kl, fitted = fit_distances(total)
    # pairs within g stand once on the diagonal, those between groups once above it
    without = [total - counts[g].sum(0) - counts[:, g].sum(0) + counts[g, g] for g in range(GROUPS)]
    spread = np.array([fit_distances(histogram)[:2] for histogram in without])
    errors = np.sqrt((GROUPS - 1) * spread.var(axis=0))
    seen = np.flatnonzero(total)
    distance = np.arange(seen[0], seen[-1] + 1)
    if kl > MISFIT:
        notes.append(f"The law misses the histogram (KL = {kl:.2g} nats): do not trust d0, fit a smaller quantile.")
    return BitwiseDimension(
        Measured(d0, float(errors[0]), len(order)),
        Measured(d1, float(errors[1])),
        math.log(kl) if kl > 0 else -math.inf,
        distance,
        total[distance] / total.sum(),
        fitted,
        bits.shape[1],
        tuple(notes),
    )


def hamming_histogram(bits: np.ndarray, *, n_groups: int = 1, block_size: int = 1024) -> np.ndarray:
    """Return how many pairs of rows of `bits` (n, D) differ in r bits, (n_groups, n_groups, D + 1), int64.

    Consecutive rows form groups of nearly equal size; entry (g, h) counts the pairs with one row in g and one in h,
    g <= h, and is 0 below the diagonal. Each pair counts once.
    """
    n, d = bits.shape
    edges = np.linspace(0, n, n_groups + 1).astype(int)
    signs = 2 * bits.astype(np.float32) - 1  # products are integers, exact in single precision up to 2^24
    counts = np.zeros((n_groups, n_groups, d + 1), dtype=np.int64)
    for g in range(n_groups):
        for h in range(g, n_groups):
            for start in range(edges[g], edges[g + 1], block_size):
                rows = signs[start : min(start + block_size, edges[g + 1])]
                for other in range(edges[h], edges[h + 1], block_size):
                    products = rows @ signs[other : min(other + block_size, edges[h + 1])].T
                    distances = ((d - products) * 0.5).astype(np.int64)
                    counts[g, h] += np.bincount(distances.ravel(), minlength=d + 1)
        # within a group each pair came twice, and each row met itself
        counts[g, g, 0] -= edges[g + 1] - edges[g]
        counts[g, g] //= 2
    return counts


def fit_distances(counts: np.ndarray) -> tuple[float, float, float, np.ndarray]:
    """Return d0, d1, KL in nats and the fitted law over the distances seen, for counts (D + 1,) of distances."""
    from scipy.optimize import minimize

    seen = np.flatnonzero(counts)
    r = np.arange(seen[0], seen[-1] + 1).astype(float)
    p = counts[seen[0] : seen[-1] + 1] / counts.sum()
    m = float(p @ r)
    v = float(p @ (r - m) ** 2)
    if len(seen) < 3 or m <= 0:
        raise InputError(
            f"Expected rows at three or more different Hamming distances, got {len(seen)}. Drop constant bits and "
            "repeated rows, or give more."
        )
    start = np.array([2 * m, 2 - 2 * math.sqrt(m / (2 * v))])
    for _ in range(60):  # the slope is lowered or raised until d(r) >= r everywhere
        if (start[0] + start[1] * (r - m) >= r).all():
            break
        start = np.array([start[0] * 1.05, 0.9 * start[1] + 0.1])
    scale = np.array([2 * m, 2.0])

    def loss(u: np.ndarray) -> tuple[float, np.ndarray]:
        kl, gradient, _ = _divergence(u * scale, r, p, m)
        return kl, gradient * scale

    fit = minimize(loss, start / scale, jac=True, method="BFGS", options={"gtol": GRADIENT})
    d, d1 = fit.x * scale
    kl, _, fitted = _divergence(fit.x * scale, r, p, m)
    return float(d - d1 * m), float(d1), float(kl), fitted


def _divergence(u: np.ndarray, r: np.ndarray, p: np.ndarray, m: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Return KL, its gradient in (d(m), d1), and the law, where d(r) = d(m) + d1 (r - m)."""
    from scipy.special import digamma, gammaln, xlogy

    d = u[0] + u[1] * (r - m)
    if (d <= r - 1).any():
        return math.inf, np.zeros(2), p
    logits = -d * math.log(2) + gammaln(d + 1) - gammaln(r + 1) - gammaln(d - r + 1)
    log_law = logits - np.logaddexp.reduce(logits)
    law = np.exp(log_law)
    slope = (law - p) * (digamma(d + 1) - digamma(d - r + 1) - math.log(2))
    return float((xlogy(p, p) - p * log_law).sum()), np.array([slope.sum(), slope @ (r - m)]), law
