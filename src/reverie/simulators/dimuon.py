r"""Events of two muons from the decay of a Z boson, with unlimited truth, acceptance and resolution.

The boson has the mass m, transverse momentum q, rapidity y and azimuth of

    m     with the probability 1 - b the relativistic Breit-Wigner law in s = m^2,
          p(s) ~ 1 / ((s - M^2)^2 + M^2 Gamma^2), so s = M^2 + M Gamma tan(u), u uniform between the ends of the window;
          with the probability b the continuum of a virtual photon, p(m) ~ m^-3
    q     p(q^2) ~ (1 + q^2 / (a q0^2))^-(a + 1), with q0 = 8 GeV and a = 2: a peak at some GeV with a long tail
    y     p(y) ~ (1 - (y / Y)^2)^2 up to |y| = Y = log(sqrt(S) / M), with sqrt(S) = 13 TeV

and uniform azimuth. In its rest frame the negative muon has the angles cos(theta), p ~ 1 + cos(theta)^2 about the beam,
of which the inverse of the distribution function is c = 2 sinh(asinh(4 u - 2) / 3), and a uniform azimuth. The muons
are boosted along q, then along the beam, which for massless muons adds y to the pseudorapidity. The detector measures
pt with a relative error of `resolution` (1 + (eta / 2.4)^2), the angles exactly, and keeps events of two muons within
`min_pt` and `max_eta` whose measured mass lies in the window.

So the law is symmetric under rotation of all azimuths, reflection of all pseudorapidities and exchange of the muons,
and has a thin peak, sharp edges, a long tail and two angles. The shapes of q and y look like those at the LHC; they are
no prediction. For events of a calculation take a generator of events.

References
----------
Breit-Wigner law, masses and widths: Review of Particle Physics, Phys. Rev. D 110 (2024) 030001, sections 49 and 50.
Decay angles: Collins and Soper, Phys. Rev. D 16 (1977) 2219.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from reverie.core.arguments import Count, Interval, NonNegative, Positive, check_fields, checked
from reverie.core.errors import InputError
from reverie.core.random import as_seed
from reverie.core.types import RandomState
from reverie.data import Dataset

__all__ = ["Dimuon"]

_NAMES = ("pt1", "eta1", "phi1", "pt2", "eta2", "phi2")
_UNITS = {"pt1": "GeV", "pt2": "GeV", "phi1": "rad", "phi2": "rad"}
_COLLISION_ENERGY = 13_000.0  # GeV
_Q0, _Q_POWER = 8.0, 2.0
_BLOCK = 65_536
_FEWEST = 1e-3  # of the events drawn that must be accepted


@dataclass(frozen=True)
class Dimuon:
    """Z -> mu- mu+ in a detector; see the module's notes. Raises `InputError` for values out of range.

    Parameters
    ----------
    mass, width : of the boson, in GeV.
    continuum : share of events of a virtual photon before acceptance, in [0, 1].
    resolution : relative error of a transverse momentum at eta = 0.
    min_pt : least measured transverse momentum of a muon, in GeV.
    max_eta : largest absolute pseudorapidity of a muon.
    window : least and largest mass, in GeV.

    Examples
    --------
    >>> events = Dimuon().sample(1000, random_state=0)
    >>> events
    Dataset(1000 events x 6 columns: pt1 [GeV], eta1, phi1 [rad], pt2 [GeV], eta2, phi2 [rad])
    """

    mass: Positive = 91.1876
    width: Positive = 2.4955
    continuum: Annotated[float, Interval(0.0, 1.0)] = 0.1
    resolution: Annotated[float, Interval(0.0, 0.2)] = 0.01
    min_pt: NonNegative = 20.0
    max_eta: Positive = 2.4
    window: tuple[float, float] = (60.0, 120.0)

    def __post_init__(self) -> None:
        check_fields(self)
        low, high = self.window
        if not 0 < low < high < _COLLISION_ENERGY:
            raise InputError(f"Expected a window 0 < low < high < 13,000 GeV, got {self.window}. Try (60.0, 120.0).")

    @checked
    def sample(self, n: Count, random_state: RandomState = None) -> Dataset:
        """Return `n` independent events: pt in GeV, eta and phi, in [-pi, pi), of the negative, then the positive muon.

        Raises `InputError` if hardly any event would be accepted.
        """
        rng = np.random.default_rng(as_seed(random_state))
        kept, n_kept, n_drawn = [], 0, 0
        while n_kept < n:
            muons = self._measured(_BLOCK, rng)
            kept.append(muons)
            n_kept, n_drawn = n_kept + len(muons), n_drawn + _BLOCK
            if n_kept < _FEWEST * n_drawn:
                raise InputError(
                    f"Expected cuts that keep a thousandth of the events, got {n_kept:,} of {n_drawn:,}. "
                    "Lower min_pt, raise max_eta, or widen the window."
                )
        values = np.concatenate(kept)[:n]
        kinds = {"phi1": "periodic", "phi2": "periodic"}
        return Dataset(values, names=_NAMES, units=_UNITS, kind=kinds, provenance={"simulator": repr(self)})

    def _measured(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return the accepted ones of `n` events, (accepted, 6)."""
        (low, high), M, G = self.window, self.mass, self.width
        first, last = (math.atan((end**2 - M**2) / (M * G)) for end in (low, high))
        resonant = np.sqrt(M**2 + M * G * np.tan(rng.uniform(first, last, n)))
        photon = (low**-2 + rng.random(n) * (high**-2 - low**-2)) ** -0.5
        m = np.where(rng.random(n) < self.continuum, photon, resonant)
        q = _Q0 * np.sqrt(_Q_POWER * ((1 - rng.random(n)) ** (-1 / _Q_POWER) - 1))
        y = math.log(_COLLISION_ENERGY / M) * (2 * rng.beta(3, 3, n) - 1)

        cos = 2 * np.sinh(np.arcsinh(4 * rng.random(n) - 2) / 3)
        azimuth, turn = rng.uniform(-np.pi, np.pi, (2, n))
        sin, energy = np.sqrt(1 - cos**2), m / 2
        x, across, along = energy * sin * np.cos(azimuth), energy * sin * np.sin(azimuth), energy * cos
        gamma, gamma_beta = np.sqrt(1 + (q / m) ** 2), q / m
        columns = []
        for sign in (1, -1):
            px, py, pz = gamma * sign * x + gamma_beta * energy, sign * across, sign * along
            pt = np.hypot(px, py)
            eta = np.arcsinh(pz / pt) + y
            columns += [pt, eta, (np.arctan2(py, px) + turn + 3 * np.pi) % (2 * np.pi) - np.pi]
        pt1, eta1, phi1, pt2, eta2, phi2 = columns

        error = self.resolution * rng.standard_normal((2, n))
        pt1, pt2 = pt1 * (1 + error[0] * (1 + (eta1 / 2.4) ** 2)), pt2 * (1 + error[1] * (1 + (eta2 / 2.4) ** 2))
        measured = np.sqrt(2 * np.abs(pt1 * pt2) * (np.cosh(eta1 - eta2) - np.cos(phi1 - phi2)))
        accepted = (measured > low) & (measured < high)
        for pt, eta in ((pt1, eta1), (pt2, eta2)):
            accepted &= (pt > self.min_pt) & (np.abs(eta) < self.max_eta)
        return np.stack([pt1, eta1, phi1, pt2, eta2, phi2], axis=1)[accepted]
