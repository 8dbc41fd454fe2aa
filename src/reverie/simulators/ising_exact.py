r"""What is known exactly of the two-dimensional Ising model, J = 1, k_B = 1, periodic edges.

Conventions: N = side^2 sites, e = <H> / N, c = beta^2 (<H^2> - <H>^2) / N, m per site.

Up to side 4, all 2^N states are counted once into g(B, M), the number of states with bond sum B = sum s_i s_j and
magnetisation sum M; then H = -B - field M, and averages at any beta and field are sums over (B, M).

Any torus without field (Kaufman), K = beta, S = sinh 2K, n = m = side:

    Z = (1/2) (2 S)^(nm/2) [ Z_1 + Z_2 + Z_3 + Z_4 ],
    Z_1 = prod 2 cosh(m g_(2r+1) / 2),  Z_2 = prod 2 sinh(m g_(2r+1) / 2),
    Z_3 = prod 2 cosh(m g_(2r) / 2),    Z_4 = prod 2 sinh(m g_(2r) / 2),      r = 0 ... n - 1,
    cosh g_l = S + 1/S - cos(pi l / n),   g_0 = 2K + log tanh K, whose sign is that of T_c - T.

All is computed as log Z_1 plus the logarithm of ratios Z_i / Z_1, with first and second derivatives in K by hand:
e = -(log Z)' / N and c = K^2 (log Z)'' / N without differences. cosh g_l - 1 = (S - 1)^2 / S + 2 sin^2(pi l / 2n)
does not cancel near T_c.

Infinite lattice, k' = 2 tanh^2 2K - 1, k^2 = 1 - k'^2 (Onsager; Yang for the magnetisation):

    e = -coth 2K [1 + (2/pi) k' K(k)],     M = (1 - S^-4)^(1/8) below T_c,     beta_c = log(1 + sqrt 2) / 2,
    c = (2/pi) (K coth 2K)^2 { 2 K(k) - 2 E(k) - (1 - k') [pi/2 + k' K(k)] }.

Brackets and braces are of order K^2 at high temperature, where their terms cancel. Below K = 0.02 both are derivatives
of the series log Z / N = log(2 cosh^2 K) + v^4 + 2 v^6 + 9/2 v^8 + 12 v^10 + ..., v = tanh K, of closed loops of bonds:
per site there is one square, there are two rectangles of six bonds, and so on.

References
----------
Onsager, Phys. Rev. 65, 117 (1944); Kaufman, Phys. Rev. 76, 1232 (1949); Yang, Phys. Rev. 85, 808 (1952);
Ferdinand and Fisher, Phys. Rev. 185, 832 (1969).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, TypeAlias

import numpy as np

from reverie.core.arguments import Interval, checked
from reverie.core.errors import InputError

__all__ = [
    "CRITICAL_BETA",
    "IsingAverages",
    "TorusAverages",
    "density_of_states",
    "enumerate_ising",
    "infinite_energy",
    "infinite_magnetisation",
    "infinite_specific_heat",
    "kaufman",
]

Beta: TypeAlias = Annotated[float, Interval(0, 1_000_000)]  # beyond it every lattice is frozen, and squares overflow
PositiveBeta: TypeAlias = Annotated[float, Interval(0, 1_000_000, ends="right")]
CRITICAL_BETA = math.log(1 + math.sqrt(2)) / 2
_FROZEN = 50.0  # beta from which only the ground states count in float64
_HOT = 0.02  # beta below which the first terms of the series at high temperature are exact in float64
_LARGEST_SIDE = 4  # 2^16 states; 2^25 would take minutes


@dataclass(frozen=True)
class TorusAverages:
    """Exact averages per site of a finite periodic lattice, e and c, and log Z of the whole lattice."""

    log_z: float
    energy: float
    specific_heat: float


@dataclass(frozen=True)
class IsingAverages(TorusAverages):
    """Exact averages of an enumerated lattice: also <m>, <|m|>, <m^2>, <m^4> and U4 = 1 - <m^4> / (3 <m^2>^2)."""

    m: float
    abs_m: float
    m2: float
    m4: float
    binder: float


@checked
@lru_cache(maxsize=4)
def density_of_states(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bond sums B, magnetisation sums M and their counts g(B, M), three integer arrays (pair,).

    Raises `InputError` for another side than 2, 3 or 4.
    """
    if side not in range(2, _LARGEST_SIDE + 1):
        raise InputError(f"Expected a side of 2, 3 or 4 to enumerate, got {side!r}. For larger lattices take kaufman.")
    n = side * side
    spins = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.int8).reshape(-1, side, side) * 2 - 1
    neighbours = np.roll(spins, -1, 1) + np.roll(spins, -1, 2)
    bonds = (spins * neighbours).sum((1, 2), dtype=np.int64)
    pairs, counts = np.unique(np.stack([bonds, spins.sum((1, 2), dtype=np.int64)]), axis=1, return_counts=True)
    return pairs[0], pairs[1], counts


@checked
def enumerate_ising(side: int, beta: Beta, field: float = 0.0) -> IsingAverages:
    """Return exact averages by enumeration of all states, for side 2, 3 or 4 and any beta and field.

    Raises `InputError` for another side.
    """
    bonds, magnetisation, counts = density_of_states(side)
    n, energy, m = side * side, -bonds - field * magnetisation, magnetisation / side**2
    log_weight = np.log(counts) - beta * energy
    top = log_weight.max()
    p = np.exp(log_weight - top)
    log_z = float(top + np.log(p.sum()))
    p /= p.sum()
    e = float(p @ energy)
    m2, m4 = float(p @ m**2), float(p @ m**4)
    return IsingAverages(
        log_z=log_z,
        energy=e / n,
        specific_heat=float(beta**2 * (p @ (energy - e) ** 2) / n),
        m=float(p @ m),
        abs_m=float(p @ np.abs(m)),
        m2=m2,
        m4=m4,
        binder=1 - m4 / (3 * m2**2),
    )


@checked
def kaufman(side: Annotated[int, Interval(2, 1_000_000)], beta: PositiveBeta) -> TorusAverages:
    """Return exact averages of the side x side torus without field, in float64: ten digits at side 64."""
    n = side * side
    if beta > _FROZEN:  # the two ground states; all else is below exp(-8 beta)
        return TorusAverages(2 * n * beta + math.log(2), -2.0, 0.0)
    sinh, cosh = math.sinh(2 * beta), math.cosh(2 * beta)
    odd = _half_angles(side, beta, np.arange(1, 2 * side, 2))
    even = _half_angles(side, beta, np.arange(2, 2 * side, 2))  # without g_0, which has a sign
    zero = side / 2 * np.array([2 * beta + math.log(math.tanh(beta)), 2 + 2 / sinh, -4 * cosh / sinh**2])  # g_0
    first = _log_cosh(odd)
    ratio = np.array([1.0, 0.0, 0.0])
    ratio += _ratio(_log_sinh(odd) - first, np.array([1.0, 0.0, 0.0]))
    ratio += _ratio(_log_cosh(even) + _log_cosh(zero[:, None]) - first, np.array([1.0, 0.0, 0.0]))
    size = abs(zero[0])
    scale = np.array([size, 0.0, 0.0])  # exp(|y|) goes to the logarithm, so that large lattices do not overflow
    s, c = math.copysign(-math.expm1(-2 * size), zero[0]), 1 + math.exp(-2 * size)  # 2 sinh and 2 cosh, times exp(-|y|)
    scaled_sinh = np.array([s, c * zero[1], c * zero[2] + s * zero[1] ** 2])
    ratio += _ratio(_log_sinh(even) + scale - first, scaled_sinh)
    bulk = np.array([n / 2 * math.log(2 * sinh) - math.log(2), n * cosh / sinh, -2 * n / sinh**2])
    r0, r1, r2 = ratio
    log_z = bulk + first + np.array([math.log(r0), r1 / r0, r2 / r0 - (r1 / r0) ** 2])
    return TorusAverages(float(log_z[0]), float(-log_z[1] / n), max(0.0, float(beta**2 * log_z[2] / n)))


# Arrays below hold a function of K with its first and second derivative along axis 0.


def _half_angles(side: int, beta: float, index: np.ndarray) -> np.ndarray:
    """Return y = side g_l / 2 for l >= 1 and its derivatives, (3, l)."""
    s, c = math.sinh(2 * beta), math.cosh(2 * beta)
    excess = (s - 1) ** 2 / s + 2 * np.sin(np.pi * index / (2 * side)) ** 2  # cosh g - 1
    sinh_g = np.sqrt(excess * (excess + 2))
    d1 = 2 * c * (1 - 1 / s**2)  # of cosh g
    d2 = 4 * s - 4 / s + 8 * c**2 / s**3
    g1 = d1 / sinh_g
    return side / 2 * np.stack([2 * np.arcsinh(np.sqrt(excess / 2)), g1, (d2 - (1 + excess) * g1**2) / sinh_g])


def _log_cosh(y: np.ndarray) -> np.ndarray:
    """Return sum log(2 cosh y) and its derivatives (3,), of y (3, l)."""
    t = np.tanh(y[0])
    value = np.abs(y[0]) + np.log1p(np.exp(-2 * np.abs(y[0])))
    return np.stack([value, t * y[1], t * y[2] + (1 - t**2) * y[1] ** 2]).sum(1)


def _log_sinh(y: np.ndarray) -> np.ndarray:
    """Return sum log(2 sinh y) and its derivatives (3,), of y (3, l) > 0."""
    t = 1 / np.tanh(y[0])
    value = y[0] + np.log(-np.expm1(-2 * y[0]))
    return np.stack([value, t * y[1], t * y[2] + (1 - t**2) * y[1] ** 2]).sum(1)


def _ratio(log: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return exp(log) factor and its derivatives, both given with theirs."""
    l1, l2 = log[1], log[2] + log[1] ** 2
    f0, f1, f2 = factor
    return math.exp(log[0]) * np.array([f0, l1 * f0 + f1, l2 * f0 + 2 * l1 * f1 + f2])


@checked
def infinite_energy(beta: PositiveBeta) -> float:
    """Return e of the infinite lattice without field (Onsager)."""
    if beta < _HOT:
        return -_series(beta)[0]
    k_prime, k_integral, _ = _elliptic(beta)
    bracket = 1 + 2 / math.pi * k_prime * k_integral if k_prime else 1.0
    return -bracket / math.tanh(2 * beta)


@checked
def infinite_specific_heat(beta: PositiveBeta) -> float:
    """Return c of the infinite lattice without field (Onsager); inf at the critical point."""
    if beta < _HOT:
        return beta**2 * _series(beta)[1]
    k_prime, k_integral, e_integral = _elliptic(beta)
    if not math.isfinite(k_integral):
        return math.inf
    braces = 2 * k_integral - 2 * e_integral - (1 - k_prime) * (math.pi / 2 + k_prime * k_integral)
    return 2 / math.pi * (beta / math.tanh(2 * beta)) ** 2 * braces


@checked
def infinite_magnetisation(beta: PositiveBeta) -> float:
    """Return the spontaneous magnetisation of the infinite lattice (Yang); 0 above T_c."""
    if beta < CRITICAL_BETA:
        return 0.0
    return max(0.0, 1 - math.sinh(min(2 * beta, 40.0)) ** -4) ** 0.125  # at 40 it is one already


def _series(beta: float) -> tuple[float, float]:
    """Return the first and second derivative of log Z / N by beta at high temperature."""
    v = math.tanh(beta)
    loops = 4 * v**3 + 8 * v**5 + 24 * v**7 + 84 * v**9  # (1 - v^2) d/dv of v^4 + 2 v^6 + 9/2 v^8 + 12 v^10
    return 2 * v + loops, (1 - v**2) * (2 + 12 * v**2 + 40 * v**4 + 168 * v**6 + 756 * v**8)


def _elliptic(beta: float) -> tuple[float, float, float]:
    """Return k' and the complete elliptic integrals K(k) and E(k)."""
    from scipy.special import ellipe, ellipkm1

    k_prime = 2 * math.tanh(2 * beta) ** 2 - 1
    return k_prime, float(ellipkm1(k_prime**2)), float(ellipe(1 - k_prime**2))
