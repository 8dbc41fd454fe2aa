r"""The inverse of a table's transform without checks and without detours, for use in every step of a training.

    features y -> quantile maps and angles of all columns at once -> what remains of single columns -> x

A map of single numbers needs no graph: its slope is computed with its value, and the backward pass is one
product. For an angle theta = atan2(b, a), d theta / d(a, b) = (-b, a) / (a^2 + b^2). A derivative of the
derivative is therefore not to be had here.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from reverie.core.protocols import Transform
from reverie.data.transforms.base import InvertibleTransform
from reverie.data.transforms.chain import Chain
from reverie.data.transforms.columns import Columns
from reverie.data.transforms.fast_quantile import FastQuantile
from reverie.data.transforms.periodic import Periodic
from reverie.data.transforms.pointmass import PointMass
from reverie.data.transforms.quantile import Quantile

__all__ = ["FastInverse"]

LEAST_RADIUS2 = 1e-24  # of a point with an angle: nearer to the origin the gradient grows no more

Undo = Callable[[Tensor], Tensor]


class FastInverse(nn.Module):
    """The inverse of a fitted transform, differentiable and without checks: NaN gives NaN.

    The quantile maps and angles of a `Columns` are undone all at once; what stands before a quantile map, such
    as `Dequantise` or the gap of a `PointMass`, and other transforms are undone one by one.

    Parameters
    ----------
    transform : fitted; of any class that has an `inverse`.
    log_slope_step : of the quantile maps, see `reverie.data.transforms.fast_quantile.FastQuantile`.
    """

    features: Tensor  # of the maps, the cosines and the sines
    moved: Tensor  # the column that each of these moves, and any one for 0
    places: Tensor  # where each column is among maps, angles and 0
    sources: Tensor  # where each feature is among maps, cosines, sines and 0
    angles: Tensor  # (3, angle, 1): origin, x per radian, largest x

    def __init__(self, transform: Transform, *, log_slope_step: float | None = None) -> None:
        super().__init__()
        self.transform, self._step = transform, log_slope_step
        self._undo = None if isinstance(transform, Columns) else _undo(transform)
        self._steps: list[tuple[list[int], Undo]] = []  # what follows the quantile map of some columns
        self._slow: list[tuple[slice, list[int], Undo]] = []
        if isinstance(transform, Columns):
            self._sort(transform)

    def forward(self, y: Tensor) -> Tensor:
        """Map features (batch, *latent event) to physical events (batch, *event), float64."""
        if self._undo is not None:
            return self._undo(y.to(torch.float64))
        x: Tensor = _MapsAndAngles.apply(y, self)  # pyright: ignore[reportAssignmentType]
        if not self._steps and not self._slow:
            return x
        columns = list(x.unbind(1))
        for own, step in self._steps:
            _replace(columns, own, step(torch.stack([columns[j] for j in own], dim=1)))
        for features, own, undo in self._slow:
            _replace(columns, own, undo(y[:, features].to(torch.float64)))
        return torch.stack(columns, dim=1)

    def x_and_slopes(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return columns of maps and angles and 0 (column, batch), and the derivatives by their features and 0."""
        parts, slopes = [], []
        y = y.t().index_select(0, self.features).to(torch.float64)
        if self.maps is not None:
            x, slope = self.maps.x_and_slope(y[: self.n_maps])
            parts, slopes = [x], [slope]
        if self.n_angles:
            a, b = y[self.n_maps :].unflatten(0, (2, self.n_angles)).unbind(0)
            x, *along = _angle(a, b, self.angles)
            parts, slopes = [*parts, x], [*slopes, *along]
        zero = y.new_zeros(1, y.shape[1])
        return torch.cat([*parts, zero]), torch.cat([*slopes, zero])

    def _sort(self, transform: Columns) -> None:
        """Decide how each part is undone, and note where its features and columns are."""
        maps: list[tuple[list[int], list[int], Quantile]] = []
        angles: list[tuple[list[int], list[int], Periodic]] = []
        first = 0
        for own, part in zip(transform.indices_, transform.transforms_, strict=True):
            features = list(range(first, first + part.n_outputs))
            first += len(features)
            if isinstance(part, Periodic) and part.scaling == "circle":
                angles.append((features, own, part))
                continue
            quantile, step = _quantile_and_step(part)
            if quantile is None:
                self._slow.append((slice(features[0], first), own, _undo(part)))
                continue
            maps.append((features, own, quantile))
            self._steps += [] if step is None else [(own, step)]
        self.shape = (transform.event_shape_[0], transform.output_shape[0])
        self.maps = FastQuantile([q for *_, q in maps], log_slope_step=self._step) if maps else None
        self._lay_out(maps, angles)

    def _lay_out(self, maps: list[Any], angles: list[Any]) -> None:
        cosines = [j for own, *_ in angles for j in own[::2]]
        features = [j for own, *_ in maps for j in own] + cosines + [j + 1 for j in cosines]
        circular = [j for _, own, _ in angles for j in own]
        columns = [j for _, own, _ in maps for j in own] + circular
        self.n_angles, self.n_maps = len(circular), len(columns) - len(circular)
        constants = [_angle_constants(part) for _, own, part in angles for _ in own]
        table = torch.tensor(constants, dtype=torch.float64).reshape(-1, 3).T[:, :, None].contiguous()
        self.register_buffer("angles", table, persistent=False)
        self._keep("features", features)
        self._keep("moved", [*columns, *circular, 0])
        n_columns, n_features = self.shape
        self._keep("places", [columns.index(j) if j in columns else len(columns) for j in range(n_columns)])
        self._keep("sources", [features.index(j) if j in features else len(features) for j in range(n_features)])

    def _keep(self, name: str, index: list[int]) -> None:
        self.register_buffer(name, torch.tensor(index, dtype=torch.long), persistent=False)


class _MapsAndAngles(torch.autograd.Function):
    """Features (batch, feature) to events (batch, column) of the maps and angles; 0 in other columns."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, inverse: FastInverse) -> Tensor:  # noqa: D102
        x, slopes = inverse.x_and_slopes(y)
        ctx.inverse, ctx.dtype = inverse, y.dtype
        ctx.save_for_backward(slopes)
        return x.index_select(0, inverse.places).t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        (slopes,), inverse = ctx.saved_tensors, ctx.inverse
        along = grad.t().index_select(0, inverse.moved).mul_(slopes)
        return along.index_select(0, inverse.sources).t().to(ctx.dtype), None


def _angle(a: Tensor, b: Tensor, constants: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the angle x (angle, batch) of features a and b, and its derivatives by them."""
    origin, per_radian, last = constants.unbind(0)
    theta = torch.atan2(b, a)
    x = torch.addcmul(origin, torch.remainder(theta, 2 * math.pi), per_radian)
    rate = per_radian / torch.addcmul(a * a, b, b).clamp_(min=LEAST_RADIUS2)
    return torch.minimum(x, last), (b * rate).neg_(), a * rate


def _angle_constants(part: Periodic) -> list[float]:
    """Return origin, x per radian and the largest x."""
    end = part.origin_ + part.period
    return [part.origin_, part.period / (2 * math.pi), math.nextafter(end, -math.inf)]


def _replace(columns: list[Tensor], which: list[int], new: Tensor) -> None:
    for j, column in zip(which, new.unbind(1), strict=True):
        columns[j] = column


def _undo(transform: Transform) -> Undo:
    return transform._inverse if isinstance(transform, InvertibleTransform) else transform.inverse


def _quantile_and_step(part: InvertibleTransform) -> tuple[Quantile | None, Undo | None]:
    """Return the quantile map that a part ends with, if any, and what its inverse does after that."""
    if isinstance(part, Quantile):
        return part, None
    if isinstance(part, PointMass) and isinstance(part.base_, Quantile):
        return part.base_, part.close
    if isinstance(part, Chain) and isinstance(part.steps_[-1], Quantile):
        return part.steps_[-1], lambda s: _undone(s, part.steps_[-2::-1])
    return None, None


def _undone(s: Tensor, steps: list[InvertibleTransform]) -> Tensor:
    for step in steps:
        s = step._inverse(s)
    return s
