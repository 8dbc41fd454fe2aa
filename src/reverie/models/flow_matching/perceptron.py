r"""Velocity network of tables: a residual perceptron that sees waves of its coordinates.

Blocks are h + V a(W a(h) + U e). An angle is seen as cosine and sine, and of coordinates on lines also the waves
cos(w x), sin(w x): w = 1, 2, 4 of up to 32 coordinates, 8 and 16 too of up to three. Without them a perceptron learns
edges and thin structures last (Tancik et al., arXiv:2006.10739). They fade in as the noise goes: by
exp(-(0.3 w)^2 r / 2) with r = (1 - t)^2 / q, the share of the noise in the variance. Times then come close to the
events, see `late` in `reverie.models.flow_matching.path`.
"""

import torch
from torch import Tensor, nn

from reverie.models.density_features import Coordinates
from reverie.models.flow_matching.path import in_turn
from reverie.models.flow_matching.velocity import EDITION, TimeEmbedding, Velocity
from reverie.networks.mlp import make_activation

__all__ = ["VelocityMLP"]

_LATE = 2.0  # power with which times come closer towards the events
_FEW, _SOME = 3, 32  # coordinates on lines up to which all waves are seen, and the slower ones; all learn many by heart
_WAVES, _SLOW_WAVES, _FADED = 5, 3, 0.3


class VelocityMLP(Velocity):
    """Residual perceptron for tables, and for images taken as vectors.

    Parameters
    ----------
    coordinates : Coordinates of an event.
    n_condition : Numbers of a condition, flattened; 0 for none.
    width : Width of every hidden layer.
    n_blocks : Residual blocks, of two layers each.
    activation : Key of `reverie.networks.mlp.ACTIVATIONS`.
    sees_missing : Whether coordinates may be NaN. They count as zero, and what is missing is a part of the condition.
    edition : 6, or an earlier one for models that were saved before: 1 has no waves and equal times, nor has
        2 for more than three coordinates.
    """

    def __init__(
        self,
        coordinates: Coordinates,
        n_condition: int = 0,
        *,
        width: int = 128,
        n_blocks: int = 3,
        activation: str = "silu",
        sees_missing: bool = False,
        edition: int = EDITION,
    ) -> None:
        super().__init__(coordinates, sees_missing=sees_missing)
        n_circles = len(coordinates.circles)
        self.n_waves = _WAVES if coordinates.n_lines <= _FEW else _SLOW_WAVES
        if edition == 1 or coordinates.n_lines > (_FEW if edition == 2 else _SOME):
            self.n_waves = 0
        self.late = _LATE if self.n_waves else 1.0
        self.shares_times = not sees_missing
        self.embedding = TimeEmbedding(n_condition + coordinates.n * sees_missing, width, activation)
        self.first = nn.Linear(coordinates.n + n_circles + 2 * self.n_waves * coordinates.n_lines, width)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(n_blocks))
        self.beside = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(n_blocks))
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(n_blocks))
        self.last = nn.Linear(width, coordinates.n)
        self.last.zero_init = True  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`
        self.activation = make_activation(activation)

    def remainder(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return F (batch, n); see `Velocity`. Fewer times than rows, see `forward`, spare rows of the embedding."""
        n, a = self.coordinates.n_lines, self.activation
        given = None if condition is None else condition.flatten(1)
        if self.sees_missing:
            missing = x.isnan().to(x.dtype)
            x, given = x.nan_to_num(0.0), missing if given is None else torch.cat([given, missing], dim=1)
        e, t = a(self.embedding(t, given)), in_turn(t, x.shape[0])
        seen, noise = [x[:, :n], x[:, n:].cos(), x[:, n:].sin()], (1 - t).square() / (t.square() + (1 - t).square())
        for w in (2**k for k in range(self.n_waves)):
            faded = torch.exp(-0.5 * (_FADED * w) ** 2 * noise)
            seen += [faded * (w * x[:, :n]).cos(), faded * (w * x[:, :n]).sin()]
        h = self.first(torch.cat(seen, dim=1))
        for inner, beside, outer in zip(self.inner, self.beside, self.outer, strict=True):
            h = h + outer(a(inner(a(h)) + in_turn(beside(e), x.shape[0])))
        return self.last(a(h))
