r"""Tails for the quantile map: what to say about values beyond the last knots.

Let e >= 0 be the distance beyond the last knot and q the probability mass out there. The
exceedances follow a generalised Pareto law (J. Pickands, Ann. Stat. 3 (1975) 119)

    S(e) = P(E > e) = (1 + xi e / sigma)^(-1/xi),    xi = 0: exp(-e / sigma)

and the map to the normal scale is z = -Phi^-1(q S(e)). The shape xi is

    xi >= 0   heavy or exponential tail: from L-moments of the largest tenth of the data, at most 500
              (J. R. M. Hosking and J. R. Wallis, Technometrics 29 (1987) 339), drawn towards 0 for few data
    light     xi clearly below 0 and no hard bound: a normal tail, z straight in e
    bound     a hard bound at distance D: xi = -sigma / D, the law that ends exactly there

sigma comes from the median exceedance. A shape that would make the largest value seen incredible
(less than 0.05 of such values expected) is raised until it is not, so that a lone outlier does not
become an enormous z. From z_far on the curve goes on along its tangent: every e has a finite z.
"""

import math

import torch
from torch import Tensor

from reverie.core.clip import clip

__all__ = ["Tail", "fit_tail", "tail_forward", "tail_inverse", "tail_log_derivative", "tail_shape"]

Tail = dict[str, float]  # mass q, z_end (z at the last knot), sigma, xi, z_far, e_far, slope_far (de/dz there)

Z_FAR = 6.0  # mass 1e-9 lies beyond: no sample of ours reaches it
LEAST_EXPECTED = 0.05
LIGHT = -0.1
MOST_SHAPE = 0.95
LARGEST_SHAPE = 5.0
SHRINKAGE = 50.0
MOST_EXCEEDANCES = 500  # that a shape is found from
BOUND_MATTERS = 20.0
MOST_FALL = 20.0  # a bounded tail is followed to exp(-20) of its room, where 1 + xi e / sigma is still exact


def tail_shape(x: Tensor) -> float:
    """Return the shape xi of the upper tail of sorted x (n,) from L-moments of its largest tenth."""
    n = min(len(x) // 10, MOST_EXCEEDANCES)
    if n < 10:
        return 0.0
    e = x[-n:] - x[-n - 1]
    rank = (torch.arange(1, n + 1, dtype=x.dtype, device=x.device) - 0.35) / n
    first, second = e.mean().item(), ((1 - rank) * e).mean().item()
    if not first > 2 * second > 0:
        return 0.0
    return min(2 - first / (first - 2 * second), MOST_SHAPE) * n / (n + SHRINKAGE)


def fit_tail(e: Tensor, mass: float, *, secant: float, shape: float, room: float | None) -> Tail:
    """Fit the tail beyond the last knot.

    Parameters
    ----------
    e : sorted distances > 0 of the values beyond the knot (n,), n >= 0.
    mass : probability q beyond the knot, in (0, 1).
    secant : slope dz/dx between the last two knots; stands in where there are no values beyond.
    shape : xi from `tail_shape`.
    room : distance to a hard bound, or None.
    """
    z_end = -_ndtri(mass)
    half = e[len(e) // 2].item() if len(e) else math.log(2) / (_hazard(z_end) * secant)
    largest = e[-1].item() if len(e) else half
    n = max(len(e), 1)
    if room is not None and room <= BOUND_MATTERS * largest:
        room = max(room, 1e-12 / secant)
        typical = -math.log1p(-min(half / room, 0.99)) / math.log(2)
        credible = -math.log1p(-min(largest / room, 0.99)) / math.log(n / LEAST_EXPECTED)
        xi = -max(typical, credible)
        return _tail(mass, -xi * room, xi, z_far=min(Z_FAR, -_ndtri(mass * LEAST_EXPECTED / n)))
    slope = half / (-_ndtri(mass / 2) - z_end)
    if shape < LIGHT and largest <= slope * (-_ndtri(mass * LEAST_EXPECTED / n) - z_end):
        return _tail(mass, slope / _hazard(z_end), 0.0, z_far=z_end)

    def allows(shape: float) -> bool:
        return _excess(math.log(n / LEAST_EXPECTED), shape) / _excess(math.log(2), shape) >= largest / half

    xi, high = max(shape, 0.0), LARGEST_SHAPE  # the largest e over the median e grows with xi: bisection for the
    if not allows(xi):  # smallest xi that allows the ratio seen
        low = xi
        for _ in range(50):
            xi = (low + high) / 2
            low, high = (low, xi) if allows(xi) else (xi, high)
        xi = high
    return _tail(mass, half / _excess(math.log(2), xi), xi, z_far=Z_FAR)


def tail_forward(e: Tensor, tail: Tail) -> Tensor:
    """Return z at distance e >= 0 beyond the last knot."""
    inside = clip(e, 0, tail["e_far"])
    t = inside / tail["sigma"]
    log_survival = -torch.log1p(tail["xi"] * t) / tail["xi"] if tail["xi"] else -t
    z = -torch.special.ndtri(tail["mass"] * torch.exp(log_survival))
    return torch.where(e < tail["e_far"], z, tail["z_far"] + (e - tail["e_far"]) / tail["slope_far"])


def tail_inverse(z: Tensor, tail: Tail) -> Tensor:
    """Return the distance e at z >= z_end."""
    inside = clip(z, tail["z_end"], tail["z_far"])
    depth = math.log(tail["mass"]) - torch.special.log_ndtr(-inside)
    scaled = torch.expm1(tail["xi"] * depth) / tail["xi"] if tail["xi"] else depth
    far = tail["e_far"] + (z - tail["z_far"]) * tail["slope_far"]
    return torch.where(z < tail["z_far"], tail["sigma"] * scaled, far)


def tail_log_derivative(e: Tensor, tail: Tail) -> Tensor:
    """Return log dz/de at distance e >= 0 beyond the last knot."""
    inside = clip(e, 0, tail["e_far"])
    z = tail_forward(inside, tail)
    log_hazard = -z * z / 2 - math.log(2 * math.pi) / 2 - torch.special.log_ndtr(-z)
    near = -torch.log(tail["sigma"] + tail["xi"] * inside) - log_hazard
    return torch.where(e < tail["e_far"], near, torch.full_like(e, -math.log(tail["slope_far"])))


def _tail(mass: float, sigma: float, xi: float, *, z_far: float) -> Tail:
    z_end = -_ndtri(mass)
    if xi < 0:
        z_far = min(z_far, -_ndtri(mass * math.exp(MOST_FALL / xi)))
    z_far = max(z_far, z_end)
    depth = math.log(mass) - _log_ndtr(-z_far) if z_far > z_end else 0.0
    e_far = sigma * _excess(depth, xi)
    slope_far = sigma * math.exp(xi * depth) * _hazard(z_far)
    return dict(mass=mass, z_end=z_end, sigma=sigma, xi=xi, z_far=z_far, e_far=e_far, slope_far=slope_far)


def _excess(depth: float, xi: float) -> float:
    return math.expm1(xi * depth) / xi if xi else depth


def _ndtri(p: float) -> float:
    return torch.special.ndtri(torch.tensor(p, dtype=torch.float64)).item()


def _log_ndtr(z: float) -> float:
    return torch.special.log_ndtr(torch.tensor(z, dtype=torch.float64)).item()


def _hazard(z: float) -> float:
    return math.exp(-z * z / 2 - math.log(2 * math.pi) / 2 - _log_ndtr(-z))
