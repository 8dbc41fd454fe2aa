r"""The inverse of a map of a normalizing flow, place by place, in which every unit of the perceptron is computed once.

    u_p = h^-1(z_p; raw_p),     raw_p = W h_{<= p} + b,     h_p = silu(W h_{<= p} + b) in each hidden layer

Coordinates of place p are changed with parameters that depend on those of lower places alone. So does a hidden unit of
the masked perceptron: its degree is one more than the highest place that it sees through the masks, 0 where it sees
the condition alone. Once the coordinates of places below p are known, the units of degree p are computed, and from all
units so far the parameters of place p. A sample then costs one pass of the perceptron, in pieces, instead of a pass
for each place; the numbers are the same up to rounding.

Layers are (unit, batch) here, so that pieces are neighbouring rows, and the sums of splines run over whole rows.

References
----------
Germain et al., ICML 2015, arXiv:1502.03509 (degrees of masked units).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

__all__ = ["LEAST_SLOPE", "Stage", "Stages", "solve", "spline_inverse", "stages_of"]

LEAST_SLOPE = 1e-4  # of the map of a bin, also in models that were saved long ago


@dataclass(frozen=True, eq=False)
class Stage:
    """What one place adds to the perceptron of a map."""

    coordinates: Tensor  # of this place, (coordinate,) in order: lines, then angles
    n_lines: int
    hidden: Sequence[tuple[Tensor, Tensor]]  # of each layer, weights (new unit, unit known) and biases (new unit, 1)
    output: tuple[Tensor, Tensor]  # weights (parameter, unit known) and biases (parameter, 1)


@dataclass(frozen=True, eq=False)
class Stages:
    """All places of a map, in order, and the position of each coordinate among theirs, (coordinate,)."""

    parts: Sequence[Stage]
    order: Tensor


def stages_of(perceptron: nn.Module, place: Tensor, n_lines: int, sizes: tuple[int, int]) -> Stages:
    """Return the stages of a masked perceptron, one for each place, under its present weights.

    Parameters
    ----------
    perceptron : linear layers with a `mask`, of the coordinates (cosines, of angles), the sines, and the condition.
    place : place of each coordinate in the order of the map, (coordinate,), from 0 on; lines first, then angles.
    n_lines : coordinates that are lines.
    sizes : parameters of a line and of an angle.
    """
    layers: list[Any] = [layer for layer in perceptron.modules() if hasattr(layer, "mask")]
    place = place.to(layers[0].mask.device)
    is_line = torch.arange(len(place), device=place.device) < n_lines
    degree = torch.zeros(layers[0].mask.shape[1], dtype=torch.long, device=place.device)  # of each input ...
    seen = torch.cat([place, place[n_lines:]]) + 1  # an angle enters as cosine and sine
    degree[: len(seen)] = seen
    degrees = [degree]
    for layer in layers[:-1]:  # ... of the units of each hidden layer ...
        degrees.append(torch.where(layer.mask, degrees[-1], 0).amax(dim=1))
    degrees.append(place.repeat_interleave(torch.where(is_line, *sizes)))  # ... and the places of the parameters
    orders = [degree.argsort(stable=True) for degree in degrees]
    ends = [[0, *degree.bincount(minlength=int(place.max()) + 1).cumsum(0).tolist()] for degree in degrees]
    pieces: list[list[tuple[Tensor, Tensor]]] = []
    for k, layer in enumerate(layers):
        weight, bias = (layer.mask * layer.weight)[orders[k + 1]][:, orders[k]], layer.bias[orders[k + 1], None]
        bounds = zip(pairwise(ends[k + 1]), ends[k][1:], strict=False)
        cuts = [(weight[first:last, :known], bias[first:last]) for (first, last), known in bounds]
        pieces.append([(W.clone(), b.clone()) for W, b in cuts])  # a file of constants holds no views of one tensor
    groups = [(place == p).nonzero().squeeze(1) for p in range(int(place.max()) + 1)]
    parts = [
        Stage(group, int(is_line[group].sum()), hidden, output)
        for group, *hidden, output in zip(groups, *pieces, strict=False)
    ]
    return Stages(parts, torch.cat(groups).argsort())


def solve(stages: Stages, z: Tensor, condition: Tensor, undo: Callable[[Tensor, Tensor, int], Tensor]) -> Tensor:
    """Return the coordinates u (batch, coordinate) that a map carries to z.

    Parameters
    ----------
    stages : of the perceptron of the map.
    z : (batch, coordinate).
    condition : what else the perceptron sees, (batch, n), n of 0 and more.
    undo : (raw, z, n_lines) -> u of the coordinates of a stage, z and u (coordinate, batch), `n_lines` of them lines.
    """
    known, z = condition.T, z.T
    hidden, solved = [known[:0] for _ in stages.parts[0].hidden], []
    for stage in stages.parts:
        below = known
        for k, (weight, bias) in enumerate(stage.hidden):
            if len(bias):
                hidden[k] = torch.cat([hidden[k], silu(_layer(weight, bias, below))])
            below = hidden[k]
        u = undo(_layer(*stage.output, below), z[stage.coordinates], stage.n_lines)
        angles = u[stage.n_lines :]
        known = torch.cat([known, u[: stage.n_lines], angles.cos(), angles.sin()])
        solved.append(u)
    return torch.cat(solved)[stages.order].T


def _layer(weight: Tensor, bias: Tensor, below: Tensor) -> Tensor:
    """Return W h + b (unit, batch) of units below (unit, batch); of none, b."""
    return torch.addmm(bias, weight, below) if len(below) else bias.expand(-1, below.shape[1])


def spline_inverse(y: Tensor, raw: Tensor, bound: float = 5.0) -> Tensor:
    """Return x with h(x) = y (spline, batch) of rational-quadratic splines h on [-bound, bound], the identity outside.

    It is the inverse of `zuko.transforms.MonotonicRQSTransform` of slope `LEAST_SLOPE`, for parameters that lie
    beside each other: raw (spline, 3 K - 1, batch), raw widths and heights of K bins, and the inner slopes.
    """
    n_bins = (raw.shape[1] + 1) // 3
    widths, heights, slopes = raw.split([n_bins, n_bins, n_bins - 1], dim=1)
    horizontal, vertical = _knots(widths, bound), _knots(heights, bound)
    k = (vertical < y[:, None]).sum(dim=1, keepdim=True) - 1
    inside = (k >= 0) & (k < n_bins)
    k = k.clamp(0, n_bins - 1)
    x0, x1 = horizontal.gather(1, k), horizontal.gather(1, k + 1)
    y0, y1 = vertical.gather(1, k), vertical.gather(1, k + 1)
    slopes = pad(slopes, (0, 0, 1, 1))
    d0, d1 = (_bounded(slopes.gather(1, j), 1).exp() for j in (k, k + 1))
    s, rise, up = (y1 - y0) / (x1 - x0), y1 - y0, torch.where(inside, y[:, None] - y0, 0.0)
    curve = up * (d0 + d1 - 2 * s)
    a, b, c = rise * (s - d0) + curve, rise * d0 - curve, -s * up
    share = 2 * c / (-b - (b.square() - 4 * a * c).sqrt())
    return torch.where(inside, x0 + share * (x1 - x0), y[:, None]).squeeze(1)


def _knots(raw: Tensor, bound: float) -> Tensor:
    """Return the places of K + 1 knots, (spline, K + 1, batch), of raw distances (spline, K, batch)."""
    shares = torch.softmax(_bounded(raw, 2), dim=1)
    return bound * (2 * pad(shares, (0, 0, 1, 0)).cumsum(dim=1) - 1)


def _bounded(raw: Tensor, factor: float) -> Tensor:
    return raw / (1 + (raw * (factor / math.log(LEAST_SLOPE))).abs())
