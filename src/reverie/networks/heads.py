r"""What turns the last linear layer of a generator into values that the data can have.

Each output feature carries a kind:

    linear    y unchanged (a standardised or Gaussianised column)
    tanh      tanh(y), for pixels in [-1, 1]
    circle    a pair of features (u, v) -> r (u, v) / |(u, v)|, an angle on the circle of radius r
    simplex   a group of features -> a one-hot vector, argmax forwards, softmax backwards
              (straight-through estimator: Bengio, Leonard and Courville, arXiv:1308.3432)

so that a discriminator can never win by noticing that an angle left the circle or that a category
was fractional.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError

__all__ = ["OutputHead", "feature_groups"]

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

    def forward(self, y: Tensor) -> Tensor:
        """Map raw outputs (batch, feature) to admissible ones of the same shape."""
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
        for columns in self._simplices:
            soft = torch.softmax(y[:, columns], dim=1)
            hard = torch.zeros_like(soft).scatter_(1, soft.argmax(dim=1, keepdim=True), 1.0)
            out[:, columns] = hard + soft - soft.detach()
        return out
