"""Monotone rational-quadratic splines: smooth, strictly increasing, inverted in closed form.

Between knots (x_k, z_k) and (x_k+1, z_k+1), with slopes d_k, d_k+1 > 0, secant s = dz / dx of the
knots and t = (x - x_k) / (x_k+1 - x_k), J. A. Gregory and R. Delbourgo, IMA J. Numer. Anal. 2 (1982) 123:

    z  = z_k + (z_k+1 - z_k) [s t^2 + d_k t (1-t)] / [s + (d_k + d_k+1 - 2 s) t (1-t)]
    z' = s^2 [d_k+1 t^2 + 2 s t (1-t) + d_k (1-t)^2] / [s + (d_k + d_k+1 - 2 s) t (1-t)]^2

z' > 0 for any positive slopes, and z is continuously differentiable. The inverse is the root of a
quadratic, in the form that does not cancel (C. Durkan et al., arXiv:1906.04032, eq. 6-8).

A table of knots is a tensor (3, knot) with rows x, z, d.
"""

import torch
from torch import Tensor

__all__ = ["knot_slopes", "spline_forward", "spline_inverse", "spline_log_derivative"]


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
    (x0, h), (z0, dz), (d0, d1) = _cell(x, knots, 0)
    t = (x - x0) / h
    s = dz / h
    return z0 + dz * (s * t * t + d0 * t * (1 - t)) / (s + (d0 + d1 - 2 * s) * t * (1 - t))


def spline_inverse(z: Tensor, knots: Tensor) -> Tensor:
    """Return x at z (any shape) within the knots."""
    (x0, h), (z0, dz), (d0, d1) = _cell(z, knots, 1)
    s = dz / h
    r = (z - z0) / dz
    bend = d0 + d1 - 2 * s
    a, b, c = s - d0 + r * bend, d0 - r * bend, -s * r
    root = torch.sqrt((b * b - 4 * a * c).clamp(min=0))
    return x0 + h * (2 * c / (-b - root)).clamp(0, 1)


def spline_log_derivative(x: Tensor, knots: Tensor) -> Tensor:
    """Return log dz/dx at x (any shape) within the knots."""
    (x0, h), (_, dz), (d0, d1) = _cell(x, knots, 0)
    t = (x - x0) / h
    s = dz / h
    upper = d1 * t * t + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2
    lower = s + (d0 + d1 - 2 * s) * t * (1 - t)
    return 2 * torch.log(s) + torch.log(upper) - 2 * torch.log(lower)


def _cell(v: Tensor, knots: Tensor, row: int) -> tuple[tuple[Tensor, Tensor], ...]:
    k = (torch.searchsorted(knots[row], v.detach().contiguous(), right=True) - 1).clamp(0, knots.shape[1] - 2)
    x, z, d = knots[0], knots[1], knots[2]
    return (x[k], x[k + 1] - x[k]), (z[k], z[k + 1] - z[k]), (d[k], d[k + 1])
