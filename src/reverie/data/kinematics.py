r"""Kinematics of two particles, as differentiable functions that hold everywhere.

Transverse momenta pt, pseudorapidities eta, azimuths phi and masses m, c = 1. With mT = sqrt(pt^2 + m^2), the
rapidity y = asinh(pt sinh(eta) / mT), and differences Delta between the two particles,

    mass^2         (m1 + m2)^2 + 2 (mT1 mT2 - pt1 pt2 - m1 m2)
                   + 4 mT1 mT2 sinh^2(Delta y / 2) + 4 pt1 pt2 sin^2(Delta phi / 2)
    delta_eta      eta1 - eta2
    delta_phi      |phi1 - phi2| on the circle, in [0, pi]
    delta_r^2      delta_eta^2 + delta_phi^2
    pt_pair^2      (pt1 - pt2)^2 + 4 pt1 pt2 cos^2(Delta phi / 2)
    rapidity_pair  artanh(pz / E) of the sum of both

(Review of Particle Physics, Kinematics, S. Navas et al., Phys. Rev. D 110 (2024) 030001, section 49.) In these
forms no large numbers cancel, so they hold for parallel and for very forward particles, in float32 too.

A generator learns through these functions, so each is finite, with finite gradients, for any event.
The root has an infinite slope at 0, so sqrt(x) is x / sqrt(x + 1e-16), which differs where it is some 1e-8. A
signed Delta phi jumps from pi to -pi, just where back-to-back pairs lie, and a discriminator would have to
learn the cut; |Delta phi| has no jump, and cos_delta_phi is smooth even at 0 and pi. A difference of
rapidities beyond 40 counts as 40, and a negative pt as 0.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = [
    "cos_delta_phi",
    "delta_eta",
    "delta_phi",
    "delta_r",
    "four_vector_mass",
    "four_vector_rapidity",
    "invariant_mass",
    "of_momenta",
    "pt_pair",
    "rapidity_pair",
    "wrapped",
]

_ROOT_FROM = 1e-16  # the slope of the root is at most 1e8
_MOST_RAPIDITY = 40.0  # exp(40) fits into float32 with any momentum; the LHC reaches 10
_LEAST_PT = 1e-12  # where only a ratio of momenta is wanted


def invariant_mass(
    pt1: Tensor,
    eta1: Tensor,
    phi1: Tensor,
    pt2: Tensor,
    eta2: Tensor,
    phi2: Tensor,
    m1: Tensor | float = 0.0,
    m2: Tensor | float = 0.0,
) -> Tensor:
    """Return the mass of two particles (batch,), >= 0, in the unit of pt; the angles in radians."""
    half_phi = 0.5 * (phi1 - phi2)
    if _is_zero(m1) and _is_zero(m2):
        apart = torch.sinh(0.5 * _limited(eta1 - eta2)).square() + torch.sin(half_phi).square()
        return 2 * _root(torch.relu(pt1) * torch.relu(pt2) * apart)
    (pt1, mt1, y1), (pt2, mt2, y2) = _particle(pt1, eta1, m1), _particle(pt2, eta2, m2)
    squared = 4 * (mt1 * mt2 * torch.sinh(0.5 * _limited(y1 - y2)).square() + pt1 * pt2 * torch.sin(half_phi).square())
    at_rest = 2 * (pt1 * m2 - pt2 * m1).square() / (mt1 * mt2 + pt1 * pt2 + m1 * m2 + 1e-30)
    return _root(squared + at_rest + (m1 + m2) ** 2)


def delta_eta(eta1: Tensor, eta2: Tensor) -> Tensor:
    """Return eta1 - eta2 (batch,), with its sign."""
    return eta1 - eta2


def delta_phi(phi1: Tensor, phi2: Tensor) -> Tensor:
    """Return the azimuth between two directions in radians (batch,), in [0, pi]; `wrapped` keeps the sign."""
    return wrapped(phi1 - phi2).abs()


def cos_delta_phi(phi1: Tensor, phi2: Tensor) -> Tensor:
    """Return the cosine of the azimuth between two directions in radians (batch,)."""
    return torch.cos(phi1 - phi2)


def delta_r(eta1: Tensor, phi1: Tensor, eta2: Tensor, phi2: Tensor) -> Tensor:
    """Return the distance sqrt(delta_eta^2 + delta_phi^2) (batch,)."""
    return _root((eta1 - eta2).square() + wrapped(phi1 - phi2).square())


def pt_pair(pt1: Tensor, phi1: Tensor, pt2: Tensor, phi2: Tensor) -> Tensor:
    """Return the transverse momentum of two particles together (batch,)."""
    pt1, pt2 = torch.relu(pt1), torch.relu(pt2)
    return _root((pt1 - pt2).square() + 4 * pt1 * pt2 * torch.cos((phi1 - phi2) / 2).square())


def rapidity_pair(
    pt1: Tensor, eta1: Tensor, pt2: Tensor, eta2: Tensor, m1: Tensor | float = 0.0, m2: Tensor | float = 0.0
) -> Tensor:
    """Return the rapidity artanh(pz / E) of two particles together (batch,)."""
    (_, mt1, y1), (_, mt2, y2) = _particle(pt1, eta1, m1), _particle(pt2, eta2, m2)
    mt1, mt2 = mt1.clamp(min=_LEAST_PT), mt2.clamp(min=_LEAST_PT)
    half = 0.5 * _limited(y1 - y2)
    ahead, behind = torch.exp(half), torch.exp(-half)  # E +- pz = mT exp(+-y), about the middle of both
    return (y1 + y2) / 2 + (torch.log(mt1 * ahead + mt2 * behind) - torch.log(mt1 * behind + mt2 * ahead)) / 2


def four_vector_mass(
    E1: Tensor, px1: Tensor, py1: Tensor, pz1: Tensor, E2: Tensor, px2: Tensor, py2: Tensor, pz2: Tensor
) -> Tensor:
    """Return the mass of two four-vectors together (batch,); where E^2 < p^2, minus the root of p^2 - E^2."""
    E, pz = E1 + E2, pz1 + pz2
    squared = (E - pz) * (E + pz) - (px1 + px2).square() - (py1 + py2).square()
    return squared * (squared.abs() + _ROOT_FROM).rsqrt()


def wrapped(angle: Tensor) -> Tensor:
    """Return an angle in radians as the same one in (-pi, pi]."""
    return angle - 2 * math.pi * torch.ceil((angle - math.pi) / (2 * math.pi))


def four_vector_rapidity(*p: Tensor) -> Tensor:
    """Return the rapidity of two four-vectors together (batch,); `p` is as in `four_vector_mass`."""
    E, pz = p[0] + p[4], p[3] + p[7]
    return (torch.log((E + pz).clamp(min=_LEAST_PT)) - torch.log((E - pz).clamp(min=_LEAST_PT))) / 2


def of_momenta(function: Callable[..., Tensor], *wanted: str) -> Callable[..., Tensor]:
    """Return `function` as one of px1, py1, pz1, px2, py2, pz2, instead of its arguments `wanted`, such as "pt1"."""

    def function_of_momenta(*p: Tensor) -> Tensor:
        values = {}
        for k, (px, py, pz) in enumerate((p[:3], p[3:]), 1):
            pt = _root(px.square() + py.square())
            along_the_beam = pt < _LEAST_PT  # no azimuth there, and no gradient of it
            phi = torch.atan2(torch.where(along_the_beam, 0.0, py), torch.where(along_the_beam, 1.0, px))
            values |= {f"pt{k}": pt, f"eta{k}": torch.asinh(pz / pt.clamp(min=_LEAST_PT)), f"phi{k}": phi}
        return function(*(values[name] for name in wanted))

    return function_of_momenta


def _particle(pt: Tensor, eta: Tensor, m: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """Return pt >= 0, mT and rapidity."""
    pt = torch.relu(pt)
    if _is_zero(m):
        return pt, pt, eta
    mt = _root(pt.square() + m**2)
    inner = _limited(eta)  # beyond, y goes on in parallel to eta
    return pt, mt, torch.asinh(pt / mt.clamp(min=_LEAST_PT) * torch.sinh(inner)) + (eta - inner)


def _limited(y: Tensor) -> Tensor:
    return torch.nn.functional.hardtanh(y, -_MOST_RAPIDITY, _MOST_RAPIDITY)  # as clamp, with a quicker gradient


def _is_zero(m: Tensor | float) -> bool:
    return not isinstance(m, Tensor) and m == 0


def _root(x: Tensor) -> Tensor:
    """Return sqrt(x) of x >= 0, with a finite slope at 0."""
    return x * (x + _ROOT_FROM).rsqrt()
