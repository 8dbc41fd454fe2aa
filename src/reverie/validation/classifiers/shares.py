"""A share of events with its interval, also for weights and for correlated rows.

The interval is that of Clopper and Pearson (`reverie.core.proportions`) for k = p n of n events. With weights,
or blocks of rows that belong together, n is the number of independent events that would have the same error,
p (1 - p)/error^2 (Korn and Graubard 1998).
"""

from dataclasses import dataclass

import numpy as np

from reverie.core.proportions import clopper_pearson, percent
from reverie.core.statistics import effective_size, mean_and_error

__all__ = ["Share", "share_of"]


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


def share_of(inside: np.ndarray, weights: np.ndarray | None = None, *, block: int = 1) -> Share:
    """Return the share of events with `inside` (n,) true, with weights (n,) >= 0, in blocks of neighbouring rows."""
    if weights is None and block == 1:
        return Share.of(int(inside.sum()), len(inside))
    share, error = mean_and_error(inside.astype(float), weights, block=block)
    n_blocks = effective_size(np.ones(len(inside)) if weights is None else weights, block)
    n = share * (1 - share) / error**2 * n_blocks / (n_blocks - 1) if error > 0 else n_blocks
    return Share.of(share * n, n)
