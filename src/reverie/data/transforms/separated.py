r"""Clusters of a column apart: a mixture of normal laws, one for each cluster, in place of one normal law.

A quantile map makes one normal variable of a column whose values come in clusters, and puts the clusters side by side:
what the other columns depend on then changes at an edge, which a smooth network blurs. Here each cluster becomes a
normal law of its own, of the same width s and its share p_k, with centres c_k at a distance D s from each other:

    G(y) = sum_k p_k Phi((y - c_k) / s),        y = G^-1(Phi(z)),        dy/dz = phi(z) / G'(y)

z is what the base makes of the column, a standard normal variable, and the middles of the gaps give the shares p_k.
Mean and variance of y are 0 and 1. The map is kept as a spline (`reverie.data.transforms.spline`), straight beyond 6 s
from the outer centres, so that its inverse and its slope are exact and law and map differ by less than 1e-5.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.clip import clip
from reverie.data.transforms.base import InvertibleTransform
from reverie.data.transforms.quantile import Quantile, gaps
from reverie.data.transforms.spline import spline_forward, spline_inverse, spline_log_derivative

__all__ = ["Separated"]

_MOST_CLUSTERS = 10
_APART = 6.0  # D
_STEP, _REACH = 1 / 8, 6.0  # between knots, and from the outer centres to the last ones, in s


@dataclass(eq=False, repr=False)
class Separated(InvertibleTransform):
    """Map one column to a standardised mixture of normal laws, one for each cluster of its values.

    Clusters lie apart where an interval without values would be expected to hold many, see `Quantile`. Where there is
    one cluster, or more than ten, the features are those of the base.

    Parameters
    ----------
    base : transform of the column to a standard normal variable; `fit` works on a copy, ``base_``.
    """

    base: Quantile

    @property
    def n_noise(self) -> int:
        """That of the base."""
        return self.base_.n_noise

    def _fit(self, x: Tensor) -> None:
        self.base_ = copy.deepcopy(self.base)
        self.base_.fit(x)
        v = x[:, 0].sort().values
        left = gaps(v)
        edges = (v[left] + v[left + 1]) / 2
        below = torch.special.ndtr(self.base_.forward(edges[:, None])[:, 0]).cpu()
        shares = torch.cat([below.new_zeros(1), below, below.new_ones(1)]).diff()
        if not 1 < len(shares) <= _MOST_CLUSTERS:
            shares = shares.new_ones(1)
        centres = _APART * torch.arange(len(shares), dtype=x.dtype)
        shares = shares / shares.sum()
        width = (1 + shares @ (centres - shares @ centres).square()).rsqrt()  # of each, so that the variance is 1
        e = torch.arange(-_REACH, _APART * (len(shares) - 1) + _REACH + _STEP, _STEP, dtype=x.dtype)
        y, e = width * (e - shares @ centres), e[:, None] - centres
        below, above = ((shares * torch.special.ndtr(part)).sum(1) for part in (e, -e))
        z = torch.where(below < above, torch.special.ndtri(below), -torch.special.ndtri(above))
        density = (shares * torch.exp(-0.5 * e.square())).sum(1) / width
        self.knots_ = torch.stack([z, y, torch.exp(-0.5 * z.square()) / density])

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        z, knots = self.base_.forward(x, noise=u), self.knots_.to(x.device)
        inside = clip(z, knots[0, 0], knots[0, -1])
        return spline_forward(inside, knots) + (z - inside) * torch.where(z < 0, knots[2, 0], knots[2, -1])

    def _inverse(self, y: Tensor) -> Tensor:
        knots = self.knots_.to(y.device)
        inside = clip(y, knots[1, 0], knots[1, -1])
        slope = torch.where(y < 0, knots[2, 0], knots[2, -1])
        return self.base_.inverse(spline_inverse(inside, knots) + (y - inside) / slope)

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        knots = self.knots_.to(x.device)
        z = clip(self.base_.forward(x, noise=u), knots[0, 0], knots[0, -1])
        return self.base_.log_det(x, noise=u) + spline_log_derivative(z, knots).sum(1)
