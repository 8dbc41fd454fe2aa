r"""Operations that ONNX or its runtimes lack, made of those that they have.

Values in physical units are computed in float64, for which ONNX Runtime knows sums, products, exp, log, sqrt, sin and
cos, but neither atan nor erf; ONNX itself has no search in sorted numbers. With u the float32 result,

    atan2(b, a) = u + atan{(b cos u - a sin u) / (a cos u + b sin u)},      atan d = d - d^3 / 3

since |d| < 1e-6. The normal law in its tails is

    log Phi(x) = log{erfcx(y) / 2} - y^2,    y = -x / sqrt(2) >= 0,      (1 + 2 y) erfcx(y) = P(t)
    Phi^-1(p) = -s Q(t),                     s = sqrt(-2 log p) >= s_0 = sqrt(2 log 2),    y = s - s_0

with polynomials P and Q in t = (y - k) / (y + k), after Shepherd and Laframboise, Math. Comp. 36, 249 (1981); their
coefficients are found here by interpolation, and a step of Newton's method sharpens the second. A place among K sorted
numbers is found by halving, log2 K times, at constant memory.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.polynomial import chebyshev
from scipy import special
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["ONNX_TABLE", "SOLVE_TABLE", "erfcx", "log_ndtr", "ndtri", "searchsorted", "solve"]

_MIDDLE, _DEGREE = 3.75, 30
_HALF = math.sqrt(2 * math.log(2))  # s_0
_aten = torch.ops.aten


def searchsorted(
    edges: Tensor, v: Tensor, *, out_int32: bool = False, right: bool = False, side: str | None = None, **_: object
) -> Tensor:
    """Return where each v (..., n) belongs among ascending edges (K,) or (..., K); as `torch.searchsorted`."""
    n_bits = edges.shape[-1].bit_length()
    edges = pad(edges, (0, 2**n_bits - 1 - edges.shape[-1]), value=math.inf)
    v = v.contiguous()  # as the order of the answer in memory is
    k = torch.zeros_like(v, dtype=torch.int64)
    for step in (1 << bit for bit in reversed(range(n_bits))):
        at = k + (step - 1)
        edge = edges[at] if edges.ndim == 1 else edges.gather(-1, at)
        below = edge <= v if right or side == "right" else edge < v
        k = k + step * below.to(torch.int64)
    return k.to(torch.int32) if out_int32 else k


def solve(A: Tensor, B: Tensor) -> Tensor:
    """Return A^-1 B (batch, k, d) for positive definite A (batch, k, k) of a few rows, by elimination."""
    n = A.shape[1]
    rows = [torch.cat([A[:, i], B[:, i]], dim=1) for i in range(n)]
    for i in range(n):
        rows[i] = rows[i] / rows[i][:, i : i + 1]
        for j in range(n):
            if j != i:
                rows[j] = rows[j] - rows[j][:, i : i + 1] * rows[i]
    return torch.stack([row[:, n:] for row in rows], dim=1)


def erfcx(y: Tensor) -> Tensor:
    """Return exp(y^2) erfc(y) for y >= 0."""
    return _polynomial(y, _scaled_erfcx) / (1 + 2 * y)


def log_ndtr(x: Tensor) -> Tensor:
    """Return log Phi(x), float64."""
    y = x.abs() / math.sqrt(2)
    tail = erfcx(y) / 2
    return torch.where(x <= 0, torch.log(tail) - y * y, torch.log(1 - tail * torch.exp(-y * y)))


def ndtri(p: Tensor) -> Tensor:
    """Return Phi^-1(p), float64, for p in (0, 1)."""
    log_q = torch.log(torch.minimum(p, 1 - p))
    s = torch.sqrt(-2 * log_q)
    x = s * _polynomial((s - _HALF).clamp(min=0), _scaled_ndtri)
    tail = erfcx(x / math.sqrt(2))
    x = x + math.sqrt(math.pi / 2) * tail * (torch.log(tail / 2) - x * x / 2 - log_q)  # a step of Newton's method
    return torch.where(p <= 0.5, -x, x)


def _polynomial(y: Tensor, f: Callable[[np.ndarray], Any]) -> Tensor:
    """Return f at y >= 0 by the polynomial in t that interpolates it."""
    t = (y - _MIDDLE) / (y + _MIDDLE)
    *lower, highest = _coefficients(f)
    value = torch.full_like(t, highest)
    for c in reversed(lower):
        value = value * t + c
    return value


@functools.cache
def _coefficients(f: Callable[[np.ndarray], Any]) -> tuple[float, ...]:
    series = chebyshev.chebinterpolate(lambda t: f(_MIDDLE * (1 + t) / (1 - t)), _DEGREE)
    return tuple(chebyshev.cheb2poly(series).tolist())


def _scaled_erfcx(y: np.ndarray) -> np.ndarray:
    return (1 + 2 * y) * special.erfcx(y)


def _scaled_ndtri(y: np.ndarray) -> np.ndarray:
    s = y + _HALF
    return -special.ndtri_exp(-s * s / 2) / s


def _atan2(b: Tensor, a: Tensor) -> Tensor:
    u = torch.atan2(b.to(torch.float32), a.to(torch.float32)).to(torch.float64)
    along, across = a * u.cos() + b * u.sin(), b * u.cos() - a * u.sin()
    d = across / torch.where(along > 0, along, 1.0)
    return u + d - d * d * d / 3


def _erf(x: Tensor) -> Tensor:
    """Return erf(x), to 2e-14 absolutely."""
    y = x.abs()
    return torch.sign(x) * (1 - erfcx(y) * torch.exp(-y * y))


def _expm1(x: Tensor) -> Tensor:
    u = torch.exp(x)
    near = torch.where(u == 1, x, (u - 1) * x / torch.where(u == 1, 1.0, torch.log(u)))  # W. Kahan keeps the digits
    return torch.where(x.abs() < 1, near, u - 1)


def _log1p(x: Tensor) -> Tensor:
    u = 1 + x
    return torch.where(u == 1, x, torch.log(u) * x / torch.where(u == 1, 1.0, u - 1))


def _asinh(x: Tensor) -> Tensor:
    y = x.abs()
    return torch.sign(x) * _log1p(y + y * y / (1 + torch.sqrt(y * y + 1)))


def _softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    y = beta * x
    return torch.where(y > threshold, x, (y.clamp(min=0) + _log1p(torch.exp(-y.abs()))) / beta)


def _in_float64(f: Callable[..., object]) -> Callable[..., object]:
    """Leave other types to the runtime, which has them."""

    def maybe(x: Tensor, *others: object, **named: object) -> object:
        return f(x, *others, **named) if x.dtype == torch.float64 else NotImplemented

    return maybe


def _solved(A: Tensor, B: Tensor, **_: object) -> tuple[Tensor, ...]:
    info = torch.zeros_like(A[:, 0, 0], dtype=torch.int32)
    return solve(A, B), A.clone(), torch.zeros_like(A[:, 0], dtype=torch.int32), info


Table = dict[Any, Callable[..., Any]]  # by operations of torch, whose type has no public name
SOLVE_TABLE: Table = {
    _aten._linalg_solve_ex.default: _solved,
    _aten._linalg_check_errors.default: lambda *_, **__: None,
}

ONNX_TABLE: Table = {
    _aten.searchsorted.Tensor: searchsorted,
    _aten.special_ndtri.default: ndtri,
    _aten.special_log_ndtr.default: log_ndtr,
    _aten.atan2.default: _in_float64(_atan2),
    _aten.atan.default: _in_float64(lambda x: _atan2(x, torch.ones_like(x))),
    _aten.erf.default: _in_float64(_erf),
    _aten.expm1.default: _in_float64(_expm1),
    _aten.log1p.default: _in_float64(_log1p),
    _aten.asinh.default: _in_float64(_asinh),
    _aten.sinh.default: _in_float64(lambda x: (torch.exp(x) - torch.exp(-x)) / 2),
    _aten.cosh.default: _in_float64(lambda x: (torch.exp(x) + torch.exp(-x)) / 2),
    _aten.tan.default: _in_float64(lambda x: x.sin() / x.cos()),
    _aten.hypot.default: _in_float64(lambda x, y: torch.sqrt(x * x + y * y)),
    _aten.signbit.default: lambda x: x < 0,
    _aten.copysign.Tensor: lambda x, y: torch.where(y < 0, -x.abs(), x.abs()),
    _aten.hardtanh_backward.default: lambda g, x, low, high: torch.where((x > low) & (x < high), g, 0.0),
    _aten.threshold_backward.default: lambda g, x, least: torch.where(x <= least, 0.0, g),
    _aten.linalg_vector_norm.default: _in_float64(
        lambda x, ord=2, dim=None, keepdim=False, **_: (
            NotImplemented if ord != 2 else (x * x).sum(dim, keepdim=keepdim).sqrt()
        )
    ),
    _aten.leaky_relu.default: _in_float64(lambda x, slope=0.01: torch.where(x > 0, x, slope * x)),
    _aten.elu.default: _in_float64(
        lambda x, alpha=1.0, scale=1.0, inner=1.0: scale * torch.where(x > 0, x, alpha * _expm1(inner * x))
    ),
    _aten.softplus.default: _in_float64(_softplus),
}
