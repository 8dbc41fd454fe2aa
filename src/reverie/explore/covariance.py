"""Principal components of a covariance matrix that is given, not estimated from rows.

A covariance C (d, d) of data or theory errors has eigenvectors v_a and eigenvalues s_a^2 >= 0,

    C = sum_a s_a^2 v_a v_a^T,     rank p = number of non-zero s_a,     condition = s_1^2 / s_p^2.

Rounding makes zeros small and often negative. With no `rank_tolerance` given, eigenvalues below

    max( d eps,  10 |most negative eigenvalue| / s_1^2 ) s_1^2

count as zero: what is negative shows how large rounding is in this matrix (8 printed digits, single
precision), and nothing below ten times that can be told from zero. More than 1e-6 s_1^2 below zero is
no rounding, and the matrix is refused.

An eigenvalue computed in double precision is off by at most |C v - lambda v|; the largest of these
residuals is reported, and an eigenvalue is to be trusted no further than that. What follows for a shift
or for residuals stands in `reverie.explore.shifts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.types import ArrayLike
from reverie.explore.shifts import ChiSquare, ShiftProjection, chi_square, project_shift
from reverie.explore.svd import fix_signs
from reverie.explore.tables import read_table

__all__ = [
    "CovarianceResult",
    "correlation_matrix",
    "principal_components_of_covariance",
    "symmetrised",
]

SYMMETRY_TOLERANCE = 1e-6  # |C_ij - C_ji| / sqrt(C_ii C_jj): files with six or more digits pass
NEGATIVE_TOLERANCE = 1e-6  # of the largest eigenvalue: single precision stays well below
ROUNDING_MARGIN = 10.0
EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True)
class CovarianceResult:
    """Eigenvectors of a covariance matrix.

    Parameters
    ----------
    components : (p, d), orthonormal rows of the p non-zero eigenvalues, falling; largest entry positive.
    eigenvalues : (d,), falling; those that are zero within rounding are 0.
    explained_variance_ratio : (p,), shares of the trace.
    condition_number, correlation_condition_number : largest over smallest non-zero eigenvalue, of C and
        of its correlation matrix.
    tolerance : eigenvalues below this share of the largest count as zero.
    smallest : the smallest eigenvalue as computed, in the unit of C; n_negative : how many were below 0.
    residual : largest |C v - lambda v|, a bound on the error of each eigenvalue.
    names : d names.
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

        Raises
        ------
        InputError
            For another length, or a shift of zero.
        """
        return project_shift(self.components, self.eigenvalues[: self.rank], self._vector(shift, "shift"))

    def chi2(self, residuals: ArrayLike, *, n_samples: int | None = None, cut: float = 0.0) -> ChiSquare:
        """Return chi2 of residuals (d,), data less prediction.

        Parameters
        ----------
        residuals : (d,), in the unit of the square root of C.
        n_samples : how many samples C was estimated from, for Hartlap's factor; None: C is known.
        cut : leave out eigenvalues below this share of the largest; zeros are always left out.
        """
        r, positive = self._vector(residuals, "residuals"), self.eigenvalues[: self.rank]
        return chi_square(self.components, positive, r, n_samples=n_samples, cut=cut)

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

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "names"}
        return {"rank": self.rank, "names": list(self.names)} | {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in plain.items()
        }


@checked
def principal_components_of_covariance(
    C: ArrayLike, *, names: Sequence[str] | None = None, rank_tolerance: float | None = None
) -> CovarianceResult:
    """Return the principal components of a covariance matrix.

    Parameters
    ----------
    C : (d, d), symmetric to 1e-6 sqrt(C_ii C_jj), positive semi-definite but for rounding.
    names : d names of its rows.
    rank_tolerance : eigenvalues below this share of the largest are zero; None: see the module docstring.

    Raises
    ------
    InputError
        For a matrix that is not square, symmetric, finite or non-negative, or one half of which is empty.
    """
    matrix, found = _square(C, names)
    eigenvalues, vectors, residual = _eigen(matrix)
    tolerance = _tolerance(eigenvalues, rank_tolerance)
    rank = int((eigenvalues > tolerance * eigenvalues[0]).sum())
    kept = np.where(np.arange(len(eigenvalues)) < rank, eigenvalues, 0.0)
    varies = np.diag(matrix) > 0
    correlations, _, _ = _eigen(correlation_matrix(matrix[np.ix_(varies, varies)]))
    return CovarianceResult(
        components=fix_signs(vectors.T[:rank]),
        eigenvalues=kept,
        explained_variance_ratio=kept[:rank] / kept.sum(),
        condition_number=float(kept[0] / kept[rank - 1]),
        correlation_condition_number=float(correlations[0] / correlations[rank - 1]),  # both have the same rank
        tolerance=tolerance,
        smallest=float(eigenvalues[-1]),
        n_negative=int((eigenvalues < 0).sum()),
        residual=residual,
        names=found,
    )


@checked
def correlation_matrix(C: ArrayLike) -> np.ndarray:
    """Return C_ij / sqrt(C_ii C_jj), (d, d).

    Raises
    ------
    InputError
        For what is no symmetric matrix, or a variance that is not positive.
    """
    matrix, names = _square(C, None)
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
    """Return the symmetric matrix (d, d) of which C holds the lower (or upper) triangle with diagonal.

    The other triangle of C is not looked at.
    """
    matrix = read_table(C).values
    _check_square(matrix)
    half = matrix if lower else matrix.T
    return np.tril(half) + np.tril(half, -1).T


def _check_square(matrix: np.ndarray) -> None:
    if matrix.shape[0] != matrix.shape[1]:
        raise InputError(
            f"Expected a square covariance matrix, got shape {matrix.shape}. Rows and columns are features."
        )


def _square(C: ArrayLike, names: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    table = read_table(C, names)
    matrix = table.values
    _check_square(matrix)
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


def _eigen(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return eigenvalues (d,), falling, eigenvectors (d, d) in columns and the largest |C v - lambda v|."""
    from scipy.linalg import eigh

    eigenvalues, vectors = eigh(matrix, check_finite=False)
    residual = np.linalg.norm(matrix @ vectors - vectors * eigenvalues, axis=0).max()
    return eigenvalues[::-1], vectors[:, ::-1], float(residual)


def _tolerance(eigenvalues: np.ndarray, wanted: float | None) -> float:
    largest, most_negative = eigenvalues[0], max(0.0, -float(eigenvalues[-1]))
    if not largest > 0:
        raise InputError("Expected a covariance matrix, got no positive eigenvalue. Check sign and content.")
    if wanted is not None:
        check_positive("rank_tolerance", wanted, allow_zero=True)
    negative = most_negative / float(largest)
    allowed = max(NEGATIVE_TOLERANCE, wanted or 0.0)
    if negative > allowed:
        raise InputError(
            f"Expected no negative eigenvalues but for rounding, got {-most_negative:.3g} with a largest of "
            f"{largest:.3g}. That is no covariance matrix; if it is rounding, set rank_tolerance above {negative:.1g}."
        )
    return float(wanted) if wanted is not None else max(len(eigenvalues) * EPSILON, ROUNDING_MARGIN * negative)
