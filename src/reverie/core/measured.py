"""A number that carries its uncertainty and its sample size."""

import math
from dataclasses import dataclass

__all__ = ["Measured"]


@dataclass(frozen=True)
class Measured:
    """A measured value with its standard error.

    Parameters
    ----------
    value : the estimate.
    error : one standard error (same unit); nan when it is not known.
    n : number of independent samples behind it, or None.

    Examples
    --------
    >>> print(Measured(0.51234, 0.0131, 2000))
    0.512 ± 0.013 (n = 2000)
    """

    value: float
    error: float = math.nan
    n: int | None = None

    def __str__(self) -> str:
        size = "" if self.n is None else f" (n = {self.n})"
        if not math.isfinite(self.error) or self.error <= 0 or not math.isfinite(self.value):
            return f"{self.value:.4g}{size}"
        decimals = max(0, 1 - math.floor(math.log10(self.error)))
        return f"{self.value:.{decimals}f} ± {self.error:.{decimals}f}{size}"

    def to_json(self) -> dict:
        """Return a dictionary that `json` can write; unknown errors become None."""
        error = self.error if math.isfinite(self.error) else None
        value = self.value if math.isfinite(self.value) else None
        return {"value": value, "error": error, "n": self.n}
