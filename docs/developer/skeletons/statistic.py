"""A statistic to copy into `reverie/validation/statistics.py`, with the row of its law test."""

import torch
from torch import Tensor


def mean_shift(x: Tensor, y: Tensor) -> Tensor:
    """Return |mean(x) - mean(y)|, the length of the shift between two samples.

    Parameters
    ----------
    x, y : (n, feature) and (m, feature), standardised with the real sample's centre and scale.

    Returns
    -------
    Scalar, 0 for equal means. Sees a shift of the mean and nothing else.
    """
    return torch.linalg.vector_norm(x.mean(dim=0) - y.mean(dim=0))
