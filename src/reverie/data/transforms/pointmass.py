r"""A value that occurs with a probability of its own, such as the exact zeros of a calorimeter cell.

The atom a is opened to a gap of width w, filled evenly by noise u in (0, 1), and a base transform
follows:

    s(x, u) = x            x < a
              a + w u      x = a          y = base(s)
              x + w        x > a

s is increasing and inverted exactly: x = s below the gap, a inside it, s - w above. With f the
fraction of atoms, w is such that the gap is filled as densely as the rest is where it is dense:

    w = f / (1 - f) * (interquartile range of the other values) * 2

so that on the normal scale the gap takes the share f of the probability. With `Quantile` as base,
y is one standard normal variable, atoms and all, without a step.

The atom is the value found in the data: float32 data hold 0.1 as 0.10000000149.

log_det is that of the base at s; for an atom also log w, because the probability of the atom is the
integral over the gap, w E_u[p(y) |dy/ds|].
"""

import copy
import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.data.transforms.base import TOLERANCE, InvertibleTransform, Output, check_within, noise_grid

__all__ = ["PointMass"]


class PointMass(InvertibleTransform):
    """Open a gap for the atom of one zero-inflated column, then apply the base transform.

    The inverse gives exactly the atom inside the gap, and is cut to the bounds.

    Parameters
    ----------
    atom : the value with a point mass, in units of x.
    base : transform of the column with its gap. `fit` works on a copy, ``base_``. Give the bounds
        here rather than there: the gap shifts them.
    lower, upper : hard bounds of the column; None where there is none.
    """

    def __init__(
        self,
        atom: float,
        base: InvertibleTransform,
        *,
        lower: float | None = None,
        upper: float | None = None,
    ) -> None:
        self.atom = atom
        self.base = base
        self.lower = lower
        self.upper = upper

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the base."""
        return self.base_.output_shape

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Those of the base."""
        return self.base_.outputs

    @property
    def n_noise(self) -> int:
        """One number, and those of the base."""
        return 1 + self.base_.n_noise

    def _fit(self, x: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != 1:
            raise InputError(
                f"Expected one column (batch, 1) for PointMass, got shape {tuple(x.shape)}. "
                "Give each column its own in Columns."
            )
        x = check_within(x, self.lower, self.upper)
        self.atom_ = _as_in(x, float(self.atom))
        self.fraction_, self.width_ = _gap(x[x != self.atom_], len(x))
        u = (torch.arange(len(x), dtype=x.dtype, device=x.device) * (math.sqrt(5) - 1) / 2).frac()[:, None]
        self.base_ = copy.deepcopy(self.base)
        self.base_.fit(self._opened(x, u))

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return self.base_.forward(self._opened(check_within(x, self.lower, self.upper), u[:, :1]), noise=u[:, 1:])

    def _inverse(self, y: Tensor) -> Tensor:
        return self.close(self.base_.inverse(y))

    def close(self, s: Tensor) -> Tensor:
        """Return x (batch, 1) of s with the gap: the atom for all of the gap, and never out of bounds."""
        x = torch.where(s < self.atom_, s, (s - self.width_).clamp(min=self.atom_))
        return x if self.lower is None and self.upper is None else x.clamp(self.lower, self.upper)

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        x = check_within(x, self.lower, self.upper)
        gap = (x == self.atom_).to(x.dtype).sum(1) * math.log(self.width_)
        return gap + self.base_.log_det(self._opened(x, u[:, :1]), noise=u[:, 1:])

    def _opened(self, x: Tensor, u: Tensor) -> Tensor:
        s = torch.where(x > self.atom_, x + self.width_, x)
        return torch.where(x == self.atom_, self.atom_ + self.width_ * noise_grid(u), s)

    def _restore(self, state: Mapping[str, Any]) -> Self:
        older = bool(state) and "atom_" not in state  # written before the atom was looked for in the data
        return super()._restore({**state, "atom_": float(self.atom)} if older else state)


def _as_in(x: Tensor, atom: float) -> float:
    """Return the commonest of the values x that are the atom up to rounding, else the atom itself."""
    near = x[(x - atom).abs() <= TOLERANCE * abs(atom)]
    return near.mode().values.item() if len(near) else atom


def _gap(others: Tensor, n: int) -> tuple[float, float]:
    fraction = 1 - len(others) / n
    if not len(others):
        return fraction, 1.0
    ordered = others.sort().values
    low, high = ordered[len(ordered) // 4].item(), ordered[(3 * len(ordered)) // 4].item()
    spread = (high - low) or (ordered[-1] - ordered[0]).item() or 1.0
    return fraction, 2 * spread * max(fraction, 1 / n) / (1 - fraction)
