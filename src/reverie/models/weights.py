"""Event weights as training uses them."""

import numpy as np
import torch
from torch import Tensor

from reverie.core.tables import check_weights
from reverie.core.types import ArrayLike

__all__ = ["event_weights"]


def event_weights(weights: ArrayLike | None, n: int) -> Tensor | None:
    """Return event weights (n,) scaled to mean one, float32, or None where all are alike.

    Raises
    ------
    InputError
        For another length, values that are not finite, or a sum that is not positive.
    """
    w = check_weights(weights, n)
    return None if w is None or np.ptp(w) == 0 else torch.from_numpy(w / w.mean()).to(torch.float32)
