"""A number that carries its uncertainty and its sample size."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

__all__ = ["Measured", "as_json", "measured_mean"]


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


def measured_mean(values: np.ndarray, weights: np.ndarray | None = None) -> Measured:
    """Return the mean sum w x / sum w of independent values x (n,), with its standard error.

    Parameters
    ----------
    values : (n,) numbers; of a single one the error is nan.
    weights : (n,) event weights with a positive sum, negative ones among them or not; None for all alike. The error is
        that of the scatter of w (x - mean), so a number added to all values changes nothing else.
    """
    n = len(values)
    x, w = np.asarray(values, dtype=np.float64), np.ones(n) if weights is None else np.asarray(weights, np.float64)
    mean = float(np.average(x, weights=w))
    scatter = np.square(w * (x - mean)).sum()
    return Measured(mean, float(np.sqrt(n / (n - 1) * scatter)) / abs(w.sum()) if n > 1 else math.nan, n)


def as_json(value: object, *, without: tuple[str, ...] = ()) -> Any:
    """Return `value` as dictionaries, lists and numbers that `json` can write; what is not finite becomes None.

    Parameters
    ----------
    value : a result (a dataclass, of which the fields are taken), an array, or a container of such; a part that has a
        `to_json` of its own is written by it.
    without : names of the fields of `value` that are left out.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in without}
    if isinstance(value, Mapping):
        return {str(key): _part_as_json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_part_as_json(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return as_json(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _part_as_json(part: Any) -> Any:
    return part.to_json() if hasattr(part, "to_json") else as_json(part)
