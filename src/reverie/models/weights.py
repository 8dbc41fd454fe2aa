"""Event weights as training uses them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError

__all__ = ["event_weights"]


def event_weights(weights: Any, n: int) -> Tensor | None:
    """Return event weights (n,) scaled to mean one, float32, or None where all are alike.

    Raises
    ------
    InputError
        For another length, values that are not finite, or a sum that is not positive.
    """
    if weights is None:
        return None
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (n,) or not np.isfinite(w).all() or w.sum() <= 0:
        raise InputError(
            f"Expected {n} finite event weights with a positive sum, above zero, got shape {w.shape}, sum {w.sum():g}. "
            "Give one weight per event; negative ones are welcome as long as the positive ones prevail."
        )
    return None if np.ptp(w) == 0 else torch.from_numpy(w / w.mean()).to(torch.float32)
