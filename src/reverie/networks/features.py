r"""Layers between networks and features of the data: the output head of a generator, and whitening.

The head turns the last linear layer of a generator into values that the data can have. Each output feature has a kind:

    linear    y unchanged (a standardised or Gaussianised column)
    tanh      tanh(y), for pixels in [-1, 1]
    circle    a pair of features (u, v) -> r (u, v) / |(u, v)|, an angle on the circle of radius r
    simplex   a group of features -> a one-hot vector, argmax of features plus Gumbel noise forwards, a draw by the
              softmax of the features, and the softmax of both backwards (straight-through Gumbel softmax: Jang, Gu
              and Poole, arXiv:1611.01144)

so that a discriminator can never win by noticing that an angle left the circle or that a category
was fractional.

Whitening is a fixed linear map to features without correlation, on which the networks of a GAN are trained,

    y = (x - m) W,   W = V diag(max(l, f))^(-1/2) V^T,   covariance of x = V diag(l) V^T

(ZCA whitening: Kessy, Lewin and Strimmer, arXiv:1512.00809). Physics lives on thin sheets: two
muons back to back, a mass that is nearly fixed, concentrations that all but determine each other. In
a thin direction a discriminator with a gradient penalty sees little; whitening gives every direction
unit variance. The floor f = 0.001 of the largest eigenvalue keeps redundant columns, whose thin
directions hold nothing but rounding, from being blown up. One-hot features stay apart, each divided by its own standard
deviation: they add up to one, so that whitening would blow up that direction, and mix every column with the jumps.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError

__all__ = ["OutputHead", "Whitening", "feature_groups"]

_FLOOR = 1e-3  # of the largest eigenvalue
_EPSILON = 1e-12  # keeps the gradient of the norm finite at the origin


def feature_groups(kinds: Sequence[str], groups: Sequence[int | None], kind: str) -> list[list[int]]:
    """Return the feature numbers of each group of the given kind."""
    members: dict[int | None, list[int]] = {}
    for j, (k, group) in enumerate(zip(kinds, groups, strict=True)):
        if k == kind:
            members.setdefault(group, []).append(j)
    return list(members.values())


class OutputHead(nn.Module):
    """Apply the activation of each output feature.

    Raises `InputError` for an unknown kind, or a circle group without exactly two features.

    Parameters
    ----------
    kinds : kind of each output feature, "linear", "tanh", "circle" or "simplex".
    groups : for circle and simplex features the number of their group; equal numbers belong together.
    radius : of the circles, > 0; sqrt(2) gives each of the pair unit variance.
    """

    def __init__(
        self, kinds: Sequence[str], groups: Sequence[int | None] | None = None, *, radius: float = 2**0.5
    ) -> None:
        super().__init__()
        unknown = set(kinds) - {"linear", "tanh", "circle", "simplex"}
        if unknown:
            raise InputError(f"Expected output kinds linear, tanh, circle or simplex, got {sorted(unknown)}.")
        groups = groups if groups is not None else [None] * len(kinds)
        circles = feature_groups(kinds, groups, "circle")
        if any(len(columns) != 2 for columns in circles):
            raise InputError("Expected two features in each circle group. Give cos and sin of an angle one group.")
        self.radius, self.kinds = radius, list(kinds)
        self._kinds = set(kinds)
        self._tanh = [j for j, kind in enumerate(kinds) if kind == "tanh"]
        self._circles = [j for pair in circles for j in pair]
        self._simplices = feature_groups(kinds, groups, "simplex")

    @property
    def simplex(self) -> list[int]:
        """The one-hot features, group by group."""
        return [j for columns in self._simplices for j in columns]

    def forward(self, y: Tensor, gumbel: Tensor | None = None) -> Tensor:
        """Map raw outputs (batch, feature) to admissible ones of the same shape.

        `gumbel` (batch, len(simplex)) is the noise of the one-hot features; without it the largest of a group is taken.
        """
        if self._kinds == {"linear"}:
            return y
        if self._kinds == {"tanh"}:
            return torch.tanh(y)
        out = y.clone()
        if self._tanh:
            out[:, self._tanh] = torch.tanh(y[:, self._tanh])
        if self._circles:
            pairs = y[:, self._circles].unflatten(1, (-1, 2))
            norm = (pairs.square().sum(-1, keepdim=True) + _EPSILON).sqrt()
            out[:, self._circles] = (self.radius * pairs / norm).flatten(1)
        noise = None if gumbel is None else gumbel.split([len(columns) for columns in self._simplices], dim=1)
        for k, columns in enumerate(self._simplices):
            soft = torch.softmax(y[:, columns] if noise is None else y[:, columns] + noise[k], dim=1)
            hard = torch.zeros_like(soft).scatter_(1, soft.argmax(dim=1, keepdim=True), 1.0)
            out[:, columns] = hard + soft - soft.detach()
        return out


class Whitening(nn.Module):
    """Linear map of features (batch, feature) to uncorrelated ones; the identity until `fit`."""

    centre: Tensor
    matrix: Tensor
    inverse_matrix: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("matrix", torch.eye(n_features))
        self.register_buffer("inverse_matrix", torch.eye(n_features))

    @torch.no_grad()
    def fit(self, x: Tensor, apart: Sequence[int] = ()) -> Self:
        """Learn the map from features x (batch, feature), of which those `apart` mix with no other."""
        x = x.double()
        covariance = torch.atleast_2d(torch.cov(x.T))
        mixes = torch.ones(len(covariance), dtype=torch.bool, device=x.device)
        mixes[list(apart)] = False
        alone = torch.diag(covariance.diag())
        values, vectors = torch.linalg.eigh(torch.where(mixes[:, None] & mixes[None, :], covariance, alone))
        scales = values.clamp(min=_FLOOR * max(float(values[-1]), 1e-12)).sqrt()
        self.centre.copy_(x.mean(dim=0))
        self.matrix.copy_(vectors / scales @ vectors.T)
        self.inverse_matrix.copy_(vectors * scales @ vectors.T)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return the uncorrelated features y of x, both (batch, feature)."""
        return (x - self.centre) @ self.matrix

    def inverse(self, y: Tensor) -> Tensor:
        """Return the features x of y, both (batch, feature)."""
        return torch.addmm(self.centre, y, self.inverse_matrix)
