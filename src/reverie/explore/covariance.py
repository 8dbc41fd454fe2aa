"""A covariance matrix that is given, not estimated from rows: its principal components, and what it says of a vector.

A covariance C (d, d) of data or theory errors has eigenvectors v_a and eigenvalues s_a^2 >= 0,

    C = sum_a s_a^2 v_a v_a^T,     rank p = number of non-zero s_a,     condition = s_1^2 / s_p^2.

Rounding makes zeros small and often negative. With no `rank_tolerance` given, eigenvalues below

    max( d eps,  10 |most negative eigenvalue| / s_1^2 ) s_1^2

count as zero: what is negative shows how large rounding is in this matrix (8 printed digits, single precision), and
nothing below ten times that can be told from zero. More than 1e-6 s_1^2 below zero is no rounding, and the matrix is
refused. An eigenvalue computed in double precision is off by at most |C v - lambda v|; the largest of these residuals
is reported, and an eigenvalue is to be trusted no further than that.

A shift delta (d,), such as the next order of perturbation theory less this one, is compared with the errors that the
covariance foresees (NNPDF, Eur. Phys. J. C 79 (2019) 931, section 5):

    delta_a = v_a . delta,   delta_miss = delta - sum_a delta_a v_a,   efficiency = 1 - |delta_miss| / |delta|

The ratios delta_a / s_a are of order 1 if the covariance is honest in that direction; delta_miss lies where it knows
no error at all.

Residuals r, data less prediction, have chi2 = sum_a (v_a . r)^2 / s_a^2, that of the pseudo-inverse. If the covariance
was estimated from n samples, its inverse with p eigenvectors is too large on average; Hartlap's factor
(n - p - 2) / (n - 1) corrects it (Hartlap, Simon and Schneider, Astron. Astrophys. 464 (2007) 399). An eigenvalue cut
removes directions that are known too badly to be inverted; what part of the residuals it removes is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reverie.core.arguments import Count, NonNegative, Share, checked
from reverie.core.errors import InputError
from reverie.core.types import ArrayLike
from reverie.explore.components import fix_signs
from reverie.explore.tables import Result, Table, read_table

__all__ = [
    "ChiSquare",
    "CovarianceResult",
    "ShiftProjection",
    "correlation_matrix",
    "principal_components_of_covariance",
    "symmetrised",
]

SYMMETRY_TOLERANCE = 1e-6  # |C_ij - C_ji| / sqrt(C_ii C_jj): files with six or more digits pass
NEGATIVE_TOLERANCE = 1e-6  # of the largest eigenvalue: single precision stays well below
ROUNDING_MARGIN = 10.0
EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True)
class ShiftProjection:
    """A shift as a covariance sees it.

    Parameters
    ----------
    projections : Components delta_a in the unit of the shift, shape (p,).
    ratios : Components in standard deviations, delta_a / s_a, shape (p,).
    missed : The part delta_miss outside the space of C, shape (d,).
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
    value : chi2, Hartlap's factor included.
    dof : Number of eigenvectors that entered.
    hartlap : Hartlap's factor, 1 unless the number of samples was given.
    cut : Eigenvalues below this share of the largest were left out.
    dropped : How many of the d eigenvectors were left out.
    outside : Share of |residuals| that lies along eigenvectors left out, in [0, 1].
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


@dataclass(frozen=True)
class CovarianceResult(Result):
    """Eigenvectors of a covariance matrix.

    Parameters
    ----------
    components : Orthonormal rows of the p non-zero eigenvalues, falling, shape (p, d); largest entry positive.
    eigenvalues : Eigenvalues, falling, shape (d,); those that are zero within rounding are 0.
    explained_variance_ratio : Shares of the trace, shape (p,).
    condition_number, correlation_condition_number : Largest over smallest non-zero eigenvalue, of C and of its
        correlation matrix.
    tolerance : Eigenvalues below this share of the largest count as zero.
    smallest : The smallest eigenvalue as computed, in the unit of C.
    n_negative : How many eigenvalues were below 0.
    residual : Largest |C v - lambda v|, a bound on the error of each eigenvalue.
    names : Names of the d rows of C.
    """

    components: np.ndarray
    eigenvalues: np.ndarray
    explained_variance_ratio: np.ndarray
    condition_number: float
    correlation_condition_number: float
    tolerance: float
    smallest: float
    n_negative: int
    residual: float
    names: tuple[str, ...]

    @property
    def rank(self) -> int:
        """Number of eigenvalues that are not zero within rounding."""
        return len(self.components)

    def project(self, shift: ArrayLike) -> ShiftProjection:
        """Return what this covariance sees of a shift (d,), in the unit of its square root.

        Raises `InputError` for another length, or a shift of zero.
        """
        delta = self._vector(shift, "shift")
        if not np.any(delta):
            raise InputError("Expected a shift, got zeros everywhere. Give the difference of two predictions.")
        inside = self.components @ delta
        missed = delta - inside @ self.components
        efficiency = 1 - np.linalg.norm(missed) / np.linalg.norm(delta)
        ratios = inside / np.sqrt(self.eigenvalues[: self.rank])
        return ShiftProjection(inside, ratios, missed, float(np.clip(efficiency, 0, 1)))

    @checked
    def chi2(self, residuals: ArrayLike, *, n_samples: Count | None = None, cut: Share = 0.0) -> ChiSquare:
        """Return chi2 of residuals (d,).

        Parameters
        ----------
        residuals : Data less prediction in the unit of the square root of C, shape (d,).
        n_samples : Number of samples that C was estimated from, for Hartlap's factor; None where C is known.
        cut : Leave out eigenvalues below this share, in [0, 1), of the largest; zeros are always left out.

        Raises
        ------
        InputError
            For another length, or too few samples for Hartlap's factor.
        """
        r = self._vector(residuals, "residuals")
        s2 = self.eigenvalues[: self.rank]
        kept = s2 >= cut * s2[0]
        vectors, p, hartlap = self.components[kept], int(kept.sum()), 1.0
        if n_samples is not None:
            if n_samples <= p + 2:
                raise InputError(
                    f"Expected more than {p + 2} samples behind a covariance of which {p} eigenvectors are inverted, "
                    f"got {n_samples}. Cut more eigenvalues, or estimate from more samples."
                )
            hartlap = (n_samples - p - 2) / (n_samples - 1)
        along = vectors @ r
        outside = np.linalg.norm(r - along @ vectors) / (np.linalg.norm(r) or 1.0)
        return ChiSquare(hartlap * float((along**2 / s2[kept]).sum()), p, hartlap, cut, len(r) - p, float(outside))

    def _vector(self, values: ArrayLike, what: str) -> np.ndarray:
        vector = np.asarray(values, dtype=float).ravel()
        if len(vector) != len(self.names) or not np.isfinite(vector).all():
            raise InputError(
                f"Expected {what} of {len(self.names)} finite numbers, got shape {np.shape(values)}. "
                "Give one number per row of the covariance."
            )
        return vector

    def __str__(self) -> str:
        zero = len(self.eigenvalues) - self.rank
        first = 100 * self.explained_variance_ratio[0]
        rounding = f", {zero} eigenvalues are zero within {self.tolerance:.1g} of the largest" if zero else ""
        return (
            f"Rank {self.rank} of {len(self.eigenvalues)}{rounding}; condition number {self.condition_number:.3g} "
            f"({self.correlation_condition_number:.3g} for the correlations). "
            f"The first eigenvector holds {first:.1f} % of the variance."
        )

    def to_json(self) -> dict[str, object]:
        """Return a dictionary that `json` can write, with the rank."""
        return {"rank": self.rank} | super().to_json()


@checked
def principal_components_of_covariance(
    C: ArrayLike, *, names: Sequence[str] | None = None, rank_tolerance: NonNegative | None = None
) -> CovarianceResult:
    """Return the principal components of a covariance matrix.

    Parameters
    ----------
    C : Matrix (d, d), symmetric to 1e-6 sqrt(C_ii C_jj), positive semi-definite but for rounding.
    names : Names of its d rows.
    rank_tolerance : Eigenvalues below this share of the largest are zero; None: see the head of this file.

    Raises
    ------
    InputError
        For one that is not square, symmetric, finite or non-negative, or one half of which is empty.
    """
    matrix, labels = _symmetric(C, names)
    eigenvalues, vectors = (part[..., ::-1] for part in np.linalg.eigh(matrix))
    largest, negative = float(eigenvalues[0]), max(0.0, -float(eigenvalues[-1]))
    if not largest > 0:
        raise InputError("Expected a covariance matrix, got no positive eigenvalue. Check sign and content.")
    if negative / largest > max(NEGATIVE_TOLERANCE, rank_tolerance or 0.0):
        raise InputError(
            f"Expected no negative eigenvalues but for rounding, got {-negative:.3g} with a largest of {largest:.3g}. "
            f"That is no covariance matrix; if it is rounding, set rank_tolerance above {negative / largest:.1g}."
        )
    tolerance = max(len(matrix) * EPSILON, ROUNDING_MARGIN * negative / largest)
    tolerance = tolerance if rank_tolerance is None else float(rank_tolerance)
    rank = int((eigenvalues > tolerance * largest).sum())
    kept = np.where(np.arange(len(eigenvalues)) < rank, eigenvalues, 0.0)
    varies = np.diag(matrix) > 0
    correlations = np.linalg.eigvalsh(correlation_matrix(matrix[np.ix_(varies, varies)]))[::-1]
    of_correlations = max(1, int((correlations > tolerance * correlations[0]).sum()))  # no unit counts in it
    return CovarianceResult(
        components=fix_signs(vectors.T[:rank]),
        eigenvalues=kept,
        explained_variance_ratio=kept[:rank] / kept.sum(),
        condition_number=float(kept[0] / kept[rank - 1]),
        correlation_condition_number=float(correlations[0] / correlations[of_correlations - 1]),
        tolerance=tolerance,
        smallest=float(eigenvalues[-1]),
        n_negative=int((eigenvalues < 0).sum()),
        residual=float(np.linalg.norm(matrix @ vectors - vectors * eigenvalues, axis=0).max()),
        names=labels,
    )


@checked
def correlation_matrix(C: ArrayLike) -> np.ndarray:
    """Return C_ij / sqrt(C_ii C_jj), (d, d); `InputError` for one that is not symmetric, or variances <= 0."""
    matrix, names = _symmetric(C, None)
    variance = np.diag(matrix)
    if (variance <= 0).any():
        where = names[int(np.argmin(variance))]
        raise InputError(f"Expected positive variances, got {variance.min():.3g} for {where}. Leave that row out.")
    sigma = np.sqrt(variance)
    correlation = matrix / sigma[:, None] / sigma
    np.fill_diagonal(correlation, 1.0)
    return correlation


@checked
def symmetrised(C: ArrayLike, *, lower: bool = True) -> np.ndarray:
    """Return the symmetric matrix (d, d) of which C holds the lower (or upper) triangle with the diagonal.

    The other triangle of C is not looked at.
    """
    matrix = _square(C, None).values
    half = matrix if lower else matrix.T
    return np.tril(half) + np.tril(half, -1).T


def _square(C: ArrayLike, names: Sequence[str] | None) -> Table:
    table = read_table(C, names)
    if table.values.shape[0] != table.values.shape[1]:
        raise InputError(
            f"Expected a square covariance matrix, got shape {table.values.shape}. Rows and columns are features."
        )
    return table


def _symmetric(C: ArrayLike, names: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a matrix (d, d) that is exactly symmetric, and its names, or say why C is none."""
    table = _square(C, names)
    matrix = table.values
    for lower, other in ((True, np.triu(matrix, 1)), (False, np.tril(matrix, -1))):
        if not other.any() and np.any(matrix - np.diag(np.diag(matrix))):
            filled, empty = ("lower", "upper") if lower else ("upper", "lower")
            raise InputError(
                f"Expected a symmetric covariance matrix, got one whose {empty} triangle is empty. "
                f"Use symmetrised(C, lower={lower}) to mirror the {filled} one."
            )
    scale = np.sqrt(np.abs(np.diag(matrix)))
    gap = np.abs(matrix - matrix.T) - SYMMETRY_TOLERANCE * np.outer(scale, scale)
    if gap.max() > 0:
        i, j = np.unravel_index(int(np.argmax(gap)), gap.shape)
        raise InputError(
            f"Expected a symmetric covariance matrix, got {matrix[i, j]:.6g} in ({i}, {j}) and {matrix[j, i]:.6g} in "
            f"({j}, {i}). Use (C + C.T) / 2 if that is rounding, or symmetrised(C) if one half is right."
        )
    return (matrix + matrix.T) / 2, table.names
