"""Shares of events with exact intervals, and how they are written.

The interval of Clopper and Pearson (1934) holds the true share with at least the stated probability at any sample
size: its limits are quantiles of beta laws,

    low  = B^-1((1 - level)/2; k, n - k + 1),     high = B^-1((1 + level)/2; k + 1, n - k)

For k = 0 the one-sided 95 % limit is about 3/n (rule of three): what is rarer need not show in n events.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

__all__ = ["Share", "clopper_pearson", "percent"]


def clopper_pearson(
    count: np.ndarray | float, n: np.ndarray | float, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of the share behind `count` of n events; counts need not be whole (weighted events)."""
    k = np.clip(np.asarray(count, dtype=float), 0, n)
    tail = (1 - level) / 2
    low = np.where(k > 0, betaincinv(np.maximum(k, 1e-300), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1e-300), 1 - tail), 1.0)
    return low, high


def percent(share: float) -> str:
    """Return a share in [0, 1] in percent with two digits that count, such as ``"1.2 %"`` or ``"99.972 %"``."""
    value = 100 * share
    if value in (0.0, 100.0):
        return f"{value:.0f} %"
    rest = float(f"{min(abs(value), abs(100 - value)):.1e}")  # rounded first: 0.996 is 1.0, not 1.00
    digits = max(0, 1 - math.floor(math.log10(rest))) if rest > 0 else 0
    return f"{value:.{digits}f} %"


@dataclass(frozen=True)
class Share:
    """A share in [0, 1] with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, k: float, n: float) -> "Share":
        """Return the share k/n of n > 0 events; k and n need not be whole."""
        low, high = clopper_pearson(k, n)
        return cls(k / n, float(low), float(high))

    def __str__(self) -> str:
        return f"{percent(self.value)} ({percent(self.low)} to {percent(self.high)})"
