"""What a covariance with eigenvectors v_a and eigenvalues s_a^2 says of one vector.

A shift delta (d,), such as the next order of perturbation theory less this one, is compared with the
errors that the covariance foresees (NNPDF, Eur. Phys. J. C 79 (2019) 931, section 5):

    delta_a = v_a . delta,   delta_miss = delta - sum_a delta_a v_a,   efficiency = 1 - |delta_miss| / |delta|

The ratios delta_a / s_a are of order 1 if the covariance is honest in that direction; delta_miss lies
where it knows no error at all.

Residuals r, data less prediction, have chi2 = sum_a (v_a . r)^2 / s_a^2, that of the pseudo-inverse. If
the covariance was estimated from n samples, its inverse with p eigenvectors is too large on average;
Hartlap's factor (n - p - 2) / (n - 1) corrects it (Hartlap, Simon and Schneider, Astron. Astrophys. 464
(2007) 399). An eigenvalue cut removes directions that are known too badly to be inverted; what part of
the residuals it removes is reported.
"""

from dataclasses import dataclass

import numpy as np

from reverie.core.checks import check_positive
from reverie.core.errors import InputError

__all__ = ["ChiSquare", "ShiftProjection", "chi_square", "project_shift"]


@dataclass(frozen=True)
class ShiftProjection:
    """A shift seen by a covariance.

    Parameters
    ----------
    projections : (p,), delta_a in the unit of the shift.
    ratios : (p,), delta_a / s_a.
    missed : (d,), delta_miss, the part outside the space of C.
    efficiency : 1 - |delta_miss| / |delta|, in [0, 1].
    """

    projections: np.ndarray
    ratios: np.ndarray
    missed: np.ndarray
    efficiency: float

    @property
    def angle(self) -> float:
        """Angle in radians between the shift and the space of C."""
        inside, outside = np.linalg.norm(self.projections), np.linalg.norm(self.missed)
        return float(np.arctan2(outside, inside))

    def __str__(self) -> str:
        worst = int(np.argmax(np.abs(self.ratios)))
        return (
            f"The covariance sees {100 * self.efficiency:.1f} % of the shift; its largest component is "
            f"{abs(self.ratios[worst]):.2g} standard deviations, along eigenvector {worst + 1} of {len(self.ratios)}."
        )


@dataclass(frozen=True)
class ChiSquare:
    """chi2 of residuals with the pseudo-inverse.

    Parameters
    ----------
    value : chi2, Hartlap's factor included. dof : eigenvectors that entered.
    hartlap : the factor, 1 unless the number of samples was given.
    cut : eigenvalues below cut times the largest were left out; dropped : how many of d.
    outside : share of |residuals| that lies along eigenvectors left out, in [0, 1].
    """

    value: float
    dof: int
    hartlap: float
    cut: float
    dropped: int
    outside: float

    @property
    def p_value(self) -> float:
        """Probability of a larger chi2; only for a covariance that is known, so that hartlap = 1."""
        from scipy.stats import chi2

        return float(chi2.sf(self.value, self.dof))

    def __str__(self) -> str:
        left = f", {self.dropped} eigenvectors left out (cut {self.cut:.1g}, {100 * self.outside:.1f} % outside)"
        factor = f", Hartlap factor {self.hartlap:.4f}" if self.hartlap < 1 else ""
        return f"chi2 = {self.value:.2f} for {self.dof} degrees of freedom{left if self.dropped else ''}{factor}"


def project_shift(components: np.ndarray, eigenvalues: np.ndarray, shift: np.ndarray) -> ShiftProjection:
    """Return what p eigenvectors (p, d) with positive eigenvalues (p,) see of a shift (d,).

    Raises
    ------
    InputError
        For a shift of zero.
    """
    if not np.any(shift):
        raise InputError("Expected a shift, got zeros everywhere. Give the difference of two predictions.")
    inside = components @ shift
    missed = shift - inside @ components
    efficiency = 1 - np.linalg.norm(missed) / np.linalg.norm(shift)
    return ShiftProjection(inside, inside / np.sqrt(eigenvalues), missed, float(np.clip(efficiency, 0, 1)))


def chi_square(
    components: np.ndarray,
    eigenvalues: np.ndarray,
    residuals: np.ndarray,
    *,
    n_samples: int | None = None,
    cut: float = 0.0,
) -> ChiSquare:
    """Return chi2 of residuals (d,) with p eigenvectors (p, d) and positive, falling eigenvalues (p,).

    Raises
    ------
    InputError
        For a cut outside [0, 1), or too few samples for Hartlap's factor.
    """
    check_positive("cut", cut, allow_zero=True)
    if cut >= 1:
        raise InputError(f"Expected cut < 1, a share of the largest eigenvalue, got {cut}. Give a smaller one.")
    kept = eigenvalues >= cut * eigenvalues[0]
    vectors, values = components[kept], eigenvalues[kept]
    along, hartlap = vectors @ residuals, _hartlap(n_samples, len(values))
    outside = np.linalg.norm(residuals - along @ vectors) / (np.linalg.norm(residuals) or 1.0)
    chi2 = hartlap * float((along**2 / values).sum())
    return ChiSquare(chi2, len(values), hartlap, cut, len(residuals) - len(values), float(outside))


def _hartlap(n_samples: int | None, p: int) -> float:
    if n_samples is None:
        return 1.0
    check_positive("n_samples", n_samples, integer=True)
    if n_samples <= p + 2:
        raise InputError(
            f"Expected more than {p + 2} samples behind a covariance of which {p} eigenvectors are inverted, "
            f"got {n_samples}. Cut more eigenvalues, or estimate from more samples."
        )
    return (n_samples - p - 2) / (n_samples - 1)
