r"""Bands from replicas of a model, and how many true events a generated sample is worth.

R models are trained on bootstrap samples of the events. Replica r puts the share p_r of its samples into a bin,
estimated from n of them. With m the mean and v the variance (R - 1) of p_r,

    s^2 = max(v - m (1 - m) / n, 0)                  the spread of the models without the noise of their samples
    half width = t (s^2 + m (1 - m) / (n R))^(1/2)

with t the quantile of Student's distribution of R - 1 degrees of freedom. Let the events add the variance a to a
share and weights, batches and noise the variance b, so that s^2 estimates a + b. The mean of R replicas is off by the
error of a model on these events, and by 1/R of the spread: its variance is a + (a + b) / R, which is a + b where
b = a / (R - 1). More of b makes the band too wide, none makes it too narrow, by the factor (1 + 1/R)^(1/2) at most
(`benchmarks.quality.bands` measures the coverage).

A share of N true events has the variance p (1 - p) / N. So the N events that a model is worth, summed over bins, and
those that a finite sample of it is worth, are (Bahl et al., arXiv:2509.08048, averaging amplification)

    N_model = sum m (1 - m) / sum s^2,       1 / N(n) = 1 / N_model + 1 / n.

It is an amplification where it exceeds the number of events that were trained on. What all replicas have in common,
such as a peak that none of them resolves, no spread of theirs can show.
"""

import math

import numpy as np
from scipy.stats import t as student

from reverie.core.measured import Measured

__all__ = ["equivalent_events", "equivalent_of_sample", "replica_band"]

ONE_SIGMA = 0.6826894921


def replica_band(shares: np.ndarray, n: float = math.inf, *, level: float = ONE_SIGMA) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle and the half width of the band of each share, (bin,) each.

    Parameters
    ----------
    shares : (replica, bin) share of the samples of each of at least two replicas in each bin.
    n : samples of a replica that they were counted among.
    level : probability that the true share lies in the band.
    """
    R = len(shares)
    middle, noise = shares.mean(axis=0), _noise(shares, n)
    of_model = np.maximum(shares.var(axis=0, ddof=1) - noise, 0.0)
    half = student.ppf(0.5 + level / 2, R - 1) * np.sqrt(of_model + noise / R)
    return middle, half


def equivalent_events(shares: np.ndarray, n: float = math.inf) -> Measured:
    """Return the number of true events that the replicas together are worth, with its jackknife error over replicas.

    It is infinite where their spread is not above the noise of `n` samples of each; parameters as in `replica_band`.
    """
    values = np.array([_worth_of(shares, n), *(_worth_of(np.delete(shares, r, 0), n) for r in range(len(shares)))])
    if len(shares) < 3 or not np.isfinite(values).all():
        return Measured(float(values[0]))
    logs, R = np.log(values[1:]), len(shares)
    return Measured(float(values[0]), float(values[0] * math.sqrt((R - 1) / R * ((logs - logs.mean()) ** 2).sum())))


def equivalent_of_sample(n: float | np.ndarray, of_model: float) -> float | np.ndarray:
    """Return the number of true events that `n` generated ones of a model are worth, a number or an array as `n`.

    Parameters
    ----------
    n : generated events, > 0.
    of_model : true events that a large sample of the model is worth, `equivalent_events`; may be infinite.
    """
    return 1 / (1 / np.asarray(n, dtype=float) + 1 / of_model)


def _worth_of(shares: np.ndarray, n: float) -> float:
    if len(shares) < 2:
        return math.nan
    middle, squared = shares.mean(axis=0), float((shares.var(axis=0, ddof=1) - _noise(shares, n)).sum())
    return float((middle * (1 - middle)).sum()) / squared if squared > 0 else math.inf


def _noise(shares: np.ndarray, n: float) -> np.ndarray:
    """Return the variance of each share of `n` samples of one law."""
    middle = shares.mean(axis=0)
    return middle * (1 - middle) / n
