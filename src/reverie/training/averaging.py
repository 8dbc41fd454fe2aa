"""Exponential moving average of weights.

    w_ema <- beta w_ema + (1 - beta) w,   beta_t = min(beta, (1 + t) / (10 + t))

The average of the generator along its path samples better than its last point, because the players
circle their equilibrium (Yazici et al., arXiv:1806.04498). The ramp of beta forgets the start.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["ema_decay", "ema_update"]


def ema_decay(step: int, decay: float) -> float:
    """Return beta of `step` (0, 1, ...): `decay` with a ramp over the first steps."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def ema_update(average: Sequence[Tensor], current: Sequence[Tensor], *, decay: float | Tensor) -> None:
    """Move `average` towards `current` in place; both are lists of tensors of equal shapes.

    A decay that is a scalar tensor keeps the update inside a compiled step (`reverie.compile.step`).
    """
    if isinstance(decay, Tensor):
        for a, c in zip(average, current, strict=True):
            a.add_((1 - decay) * (c - a))
    else:
        torch._foreach_lerp_(list(average), list(current), 1 - decay)
