"""Monotone rational-quadratic splines: smooth, strictly increasing, inverted in closed form.

Between knots (x_k, z_k) and (x_k+1, z_k+1), with slopes d_k, d_k+1 > 0, secant s = dz / dx of the
knots and t = (x - x_k) / (x_k+1 - x_k), J. A. Gregory and R. Delbourgo, IMA J. Numer. Anal. 2 (1982) 123:

    z  = z_k + (z_k+1 - z_k) [s t^2 + d_k t (1-t)] / [s + (d_k + d_k+1 - 2 s) t (1-t)]
    z' = s^2 [d_k+1 t^2 + 2 s t (1-t) + d_k (1-t)^2] / [s + (d_k + d_k+1 - 2 s) t (1-t)]^2

z' > 0 for any positive slopes, and z is continuously differentiable. The inverse is the root of a
quadratic, in the form that does not cancel (C. Durkan et al., arXiv:1906.04032, eq. 6-8).

A table of knots is a tensor (3, knot) with rows x, z, d.
"""

import math

import torch
from torch import Tensor

from reverie.core.clip import clip
from reverie.data.transforms.base import has_any

__all__ = ["knot_slopes", "ranks", "spline_forward", "spline_inverse", "spline_log_derivative"]

STEPS_PER_EDGE, MOST_WITHIN = 4, 8  # of the table that stands in for a search
LEAST_RANGE = 1e-100  # of its edges, so that no number of steps overflows


def knot_slopes(x: Tensor, z: Tensor, first: float, last: float) -> Tensor:
    """Return positive slopes at the knots x, z (knot,): harmonic means of the secants, `first` and `last` at the ends.

    The weights are those of F. N. Fritsch and J. Butland, SIAM J. Sci. Stat. Comput. 5 (1984) 300.
    """
    h = x.diff()
    s = z.diff() / h
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    inner = (w1 + w2) / (w1 / s[:-1] + w2 / s[1:])
    return torch.cat([x.new_tensor([first]), inner, x.new_tensor([last])])


def spline_forward(x: Tensor, knots: Tensor) -> Tensor:
    """Return z at x (any shape) within the knots."""
    x0, h, z0, dz, d0, _, s, bend = _of_cells(x, knots, 0)
    t = (x - x0) / h
    return z0 + dz * (s * t * t + d0 * t * (1 - t)) / (s + bend * t * (1 - t))


def spline_inverse(z: Tensor, knots: Tensor) -> Tensor:
    """Return x at z (any shape) within the knots."""
    x0, h, z0, dz, d0, _, s, bend = _of_cells(z, knots, 1)
    r = (z - z0) / dz
    a, b, c = s - d0 + r * bend, d0 - r * bend, -s * r
    root = torch.sqrt((b * b - 4 * a * c).clamp(min=0))
    return x0 + h * clip(2 * c / (-b - root), 0, 1)


def spline_log_derivative(x: Tensor, knots: Tensor) -> Tensor:
    """Return log dz/dx at x (any shape) within the knots."""
    x0, h, _, _, d0, d1, s, bend = _of_cells(x, knots, 0)
    t = (x - x0) / h
    upper = d1 * t * t + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2
    lower = s + bend * t * (1 - t)
    return 2 * torch.log(s) + torch.log(upper) - 2 * torch.log(lower)


def ranks(v: Tensor, edges: Tensor) -> Tensor:
    """Return how many of the sorted edges (n,) are <= v (m,): `searchsorted` from the right, for many values faster.

    A binary search among 500 edges waits at each of its nine turns for a branch that nobody can foresee. Here
    the axis is cut into even steps, a table tells how many edges lie below each step, and the few edges within the
    step are counted. The step of a number grows with the number, rounding included, so the counts are exact.
    """
    n_steps = STEPS_PER_EDGE * len(edges)
    # no table of even steps on an accelerator, nor in a graph that is being traced
    is_spread = edges.device.type == "cpu" and has_any(edges[-1:] - edges[:1] > LEAST_RANGE)
    if not is_spread or len(v) < n_steps:
        return torch.searchsorted(edges, v, right=True)
    step = _steps(edges, edges, n_steps)
    below = torch.searchsorted(step, torch.arange(n_steps, device=v.device))
    most = int(step.bincount().amax())
    if most > MOST_WITHIN:
        return torch.searchsorted(edges, v, right=True)
    k = below.index_select(0, _steps(v, edges, n_steps))
    further = torch.cat([edges, edges.new_full((1,), math.inf)])
    for _ in range(most):
        k += further.index_select(0, k) <= v
    return k


def _steps(v: Tensor, edges: Tensor, n_steps: int) -> Tensor:
    per_unit = n_steps / (edges[-1] - edges[0])
    steps = (v - edges[0]).mul_(per_unit).clamp_(0, n_steps - 1)
    return steps.long().clamp_(min=0)  # NaN has no step; any will do


def _of_cells(v: Tensor, knots: Tensor, row: int) -> list[Tensor]:
    """Return x0, h, z0, dz, d0, d1, s and d0 + d1 - 2 s of the cells that v (any shape) falls into, by x or z."""
    x, z, d = knots
    h, dz = x.diff(), z.diff()
    s = dz / h
    flat = v.detach().reshape(-1)
    k = (ranks(flat, knots[row].contiguous()) - 1).clamp(0, knots.shape[1] - 2)
    of_cell = x[:-1], h, z[:-1], dz, d[:-1], d[1:], s, d[:-1] + d[1:] - 2 * s
    return [t.index_select(0, k).view(v.shape) for t in of_cell]
