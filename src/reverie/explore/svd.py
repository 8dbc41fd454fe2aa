"""Leading right singular vectors of centred rows, by the route that their size allows.

"svd"         SVD of the rows themselves, while n d min(n, d) is below 4e9: exact to rounding
"gram"        eigenvectors of A^T A (or of A A^T, where n < d), filled in blocks of rows. It squares
              the condition number: singular values below 1e-7 of the largest are noise
"randomised"  min(n, d) > 4000: the leading components only (Halko et al., SIAM Rev. 53 (2011) 217)

The rows are centred, scaled and weighted block by block, so that the table is held once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Centred", "centred", "centred_blocks", "decompose", "fix_signs", "route"]

SVD_LIMIT = 4e9  # n d min(n, d): about two seconds on one core
GRAM_LIMIT = 4000  # a matrix of that size is diagonalised in seconds
GRAM_NOISE = 1e-7  # of the largest singular value: below, the square is lost in rounding
POWER_ITERATIONS = 7  # of the randomised route, as many as scikit-learn takes for few components
BLOCK = 4096


@dataclass(frozen=True)
class Centred:
    """The matrix A = sqrt(w) (x - mean) / scale, never stored whole unless asked for.

    Parameters
    ----------
    values : (n, d). mean, deviation, scale : (d,). weights : (n,), with mean 1.
    """

    values: np.ndarray
    weights: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    scale: np.ndarray

    @property
    def total_variance(self) -> float:
        """Sum of the variances of all features, after scaling."""
        return float(np.square(self.deviation / self.scale).sum())

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the rows of A in blocks."""
        starts = range(0, len(self.values), BLOCK)
        for start, rows in zip(starts, centred_blocks(self.values, self.mean, self.scale), strict=True):
            yield rows * np.sqrt(self.weights[start : start + BLOCK])[:, None]

    def rows(self) -> np.ndarray:
        """Return A, (n, d)."""
        return np.concatenate(list(self.blocks()))


def centred(values: np.ndarray, weights: np.ndarray, *, standardise: bool) -> Centred:
    """Return the rows (n, d) centred, and divided by their standard deviations if so wanted."""
    weights = weights / weights.mean()
    mean = weights @ values / len(values)
    squares = sum(np.square(rows).sum(0) for rows in Centred(values, weights, mean, mean, np.ones_like(mean)).blocks())
    deviation = np.sqrt(squares / (len(values) - 1))
    # a constant column differs from its own rounded mean by a few units in the last place
    deviation = np.where(deviation > 1e-14 * np.abs(mean), deviation, 0.0)
    scale = np.where(deviation > 0, deviation, 1.0) if standardise else np.ones_like(mean)
    return Centred(values, weights, mean, deviation, scale)


def centred_blocks(values: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> Iterator[np.ndarray]:
    """Yield (values - mean) / scale in blocks of rows."""
    for start in range(0, len(values), BLOCK):
        yield (values[start : start + BLOCK] - mean) / scale


def route(n: int, d: int) -> str:
    """Return which way leads to the components of n rows with d features."""
    if min(n, d) > GRAM_LIMIT:
        return "randomised"
    return "svd" if n * d * min(n, d) <= SVD_LIMIT else "gram"


def decompose(matrix: Centred, k: int, seed: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Return k right singular vectors (k, d) with chosen signs, and singular values (k,), falling.

    Where n < d the "gram" route returns fewer, if the rest are noise.
    """
    components, singular = _ROUTES[method](matrix, k, seed)
    return fix_signs(components), singular


def fix_signs(components: np.ndarray) -> np.ndarray:
    """Return unit rows (k, d) with their signs chosen: the entry of largest magnitude is positive."""
    largest = np.argmax(np.abs(components).round(12), axis=1)  # rounded: equal loadings are not told apart by rounding
    return components * np.where(components[np.arange(len(components)), largest] < 0, -1.0, 1.0)[:, None]


def _svd(matrix: Centred, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.linalg import svd

    _, singular, components = svd(matrix.rows(), full_matrices=False, overwrite_a=True, check_finite=False)
    return components[:k], singular[:k]


def _gram(matrix: Centred, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    n, d = matrix.values.shape
    if n < d:
        rows = matrix.rows()
        left, singular = _leading(rows @ rows.T, k)
        kept = singular > GRAM_NOISE * singular[0]
        return left[:, kept].T @ rows / singular[kept, None], singular[kept]
    gram = np.zeros((d, d))
    for rows in matrix.blocks():
        gram += rows.T @ rows
    right, singular = _leading(gram, k)
    return right.T, singular


def _leading(gram: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.linalg import eigh

    chosen = (len(gram) - k, len(gram) - 1)
    eigenvalues, vectors = eigh(gram, subset_by_index=chosen, overwrite_a=True, check_finite=False)
    return vectors[:, ::-1], np.sqrt(np.clip(eigenvalues[::-1], 0, None))


def _randomised(matrix: Centred, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import TruncatedSVD

    found: Any = TruncatedSVD(k, n_iter=POWER_ITERATIONS, random_state=seed % 2**32).fit(matrix.rows())
    return found.components_, found.singular_values_


_ROUTES = {"svd": _svd, "gram": _gram, "randomised": _randomised}
