"""A fixed linear map to features without correlation, between which a game is played.

    y = (x - m) W,   W = V diag(max(l, f))^(-1/2) V^T,   covariance of x = V diag(l) V^T

(ZCA whitening: Kessy, Lewin and Strimmer, arXiv:1512.00809). Physics lives on thin sheets: two
muons back to back, a mass that is nearly fixed, concentrations that all but determine each other. In
a thin direction a discriminator with a gradient penalty sees little; whitening gives every direction
unit variance. The floor f = 0.001 of the largest eigenvalue keeps redundant columns, whose thin
directions hold nothing but rounding, from being blown up.
"""

from typing import Self

import torch
from torch import Tensor, nn

__all__ = ["Whitening"]

_FLOOR = 1e-3


class Whitening(nn.Module):
    """Linear map of features (batch, feature) to uncorrelated ones; the identity until `fit`.

    Parameters
    ----------
    n_features : width of both sides.
    """

    centre: Tensor
    matrix: Tensor
    inverse_matrix: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("matrix", torch.eye(n_features))
        self.register_buffer("inverse_matrix", torch.eye(n_features))

    @torch.no_grad()
    def fit(self, x: Tensor) -> Self:
        """Learn the map from features x (batch, feature)."""
        x = x.double()
        values, vectors = torch.linalg.eigh(torch.atleast_2d(torch.cov(x.T)))
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
