"""Principal components: the directions of largest variance, by singular value decomposition.

Rows x_i (n, d) with mean m make the centred matrix A = U S V^T. The covariance A^T A / (n - 1) then has the
eigenvectors V and the eigenvalues

    lambda_k = S_k^2 / (n - 1),        share of the variance  lambda_k / sum lambda,

and the scores of x are V^T (x - m) (Pearson 1901; Jolliffe, Principal Component Analysis, 2002). Rows with weights w
count w_i / mean(w) times; only the ratio of the weights matters. scikit-learn's PCA knows no event weights, so the
weighted and centred rows go to the routines beneath it, by one of three routes that the size alone decides:

    svd          SciPy's SVD of the rows, while n d min(n, d) is below 4e9: exact to rounding
    gram         eigenvectors of A^T A (of A A^T, where n < d), summed over blocks of rows, so that the table is held
                 once. It squares the condition number: singular values below 1e-7 of the largest are noise
    randomised   scikit-learn's TruncatedSVD, min(n, d) > 4000: the leading components (Halko et al., SIAM Rev. 53
                 (2011) 217)

Errors of the shares come from the bootstrap (Efron and Tibshirani 1993): rows are drawn again with replacement. The
decomposition is not repeated on d features. Each replica is diagonalised in the space of the leading 32 components of
all rows, and the variance outside that space enters its total only; the mixing of the leading components with the
rest, of order lambda_rest / (lambda_k - lambda_rest) / sqrt(n), is left out. Components beyond have the error nan. At
most 20,000 rows, drawn at random, enter; the errors are then scaled by sqrt(20,000 / n).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reverie.core.arguments import Count, Whole, checked
from reverie.core.checks import check_table
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.tables import Result, read_like, read_table, sklearn_seed

__all__ = ["Biplot", "PCAResult", "biplot", "fix_signs", "principal_components"]

SVD_LIMIT = 4e9  # n d min(n, d): about two seconds on one core
GRAM_LIMIT = 4000  # a matrix of that size is diagonalised in seconds
GRAM_NOISE = 1e-7  # of the largest singular value: below, the square is lost in rounding
POWER_ITERATIONS = 7  # of the randomised route, as many as scikit-learn takes for few components
RANDOMISED_COMPONENTS = 50
BOOTSTRAP_COMPONENTS, BOOTSTRAP_ROWS = 32, 20_000
BLOCK = 4096  # rows that are centred at once


@dataclass(frozen=True)
class PCAResult(Result):
    """Principal components of n rows with d features.

    Parameters
    ----------
    components : Orthonormal rows by falling variance, shape (k, d); the largest loading of each is positive.
    explained_variance : Variance along each component, shape (k,), in the unit of the data squared (1 if
        standardised).
    explained_variance_ratio : Shares of the variance of all d features, shape (k,).
    ratio_error : Standard errors of the shares, shape (k,); nan beyond the leading 32, or without bootstrap.
    singular_values : Singular values of the centred (scaled, weighted) rows, shape (k,).
    mean, scale : What is subtracted from and divides each feature, shape (d,); the scale is 1 unless standardised.
    names : Names of the d features.
    n : Number of rows.
    method : The route: "svd", "gram" or "randomised".
    notes : What was approximated or left out, in sentences.
    """

    components: np.ndarray
    explained_variance: np.ndarray
    explained_variance_ratio: np.ndarray
    ratio_error: np.ndarray
    singular_values: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    names: tuple[str, ...]
    n: int
    method: str
    notes: tuple[str, ...] = ()

    @property
    def ratio_low(self) -> np.ndarray:
        """Lower edges of the 68 % bands of the shares, shape (k,): one standard error, at least 0."""
        return np.clip(self.explained_variance_ratio - self.ratio_error, 0, 1)

    @property
    def ratio_high(self) -> np.ndarray:
        """Upper edges of the 68 % bands of the shares, shape (k,): one standard error, at most 1."""
        return np.clip(self.explained_variance_ratio + self.ratio_error, 0, 1)

    def n_for(self, share: float = 0.9) -> int | None:
        """Return how many components hold at least `share` of the variance; None if all kept ones hold less."""
        enough = np.flatnonzero(np.cumsum(self.explained_variance_ratio) >= share - 1e-12)
        return int(enough[0]) + 1 if len(enough) else None

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the scores (n, k) of rows `X` with the same d features; those with the same names in any order."""
        values = read_like(X, self.names).values
        return np.concatenate([rows @ self.components.T for rows in _centred(values, self.mean, self.scale)])

    def inverse_transform(self, scores: np.ndarray) -> np.ndarray:
        """Return the rows (n, d) with these scores (n, k), or (n, j) for the leading j <= k components."""
        scores = np.atleast_2d(np.asarray(scores, dtype=float))
        if scores.shape[1] > len(self.components):
            raise InputError(
                f"Expected rows of {len(self.components)} scores, got {scores.shape[1]}. Give those of this result."
            )
        return scores @ self.components[: scores.shape[1]] * self.scale + self.mean

    def __str__(self) -> str:
        first, error = 100 * self.explained_variance_ratio[0], 100 * self.ratio_error[0]
        band = f" ± {error:.1f}" if np.isfinite(error) else ""
        count, kept = self.n_for(0.9), len(self.components)
        if count is None:
            rest = f"the {kept} kept hold {100 * self.explained_variance_ratio.sum():.1f} %"
        else:
            rest = f"{count} component{'s hold' if count > 1 else ' holds'} 90 %"
        return f"The first principal component holds {first:.1f}{band} % of the variance; {rest}."


@checked
def principal_components(
    X: ArrayLike,
    *,
    n_components: Count | None = None,
    standardise: bool = False,
    random_state: RandomState = None,
    n_bootstrap: Whole = 200,
) -> PCAResult:
    """Return the principal components of `X`.

    Parameters
    ----------
    X : An array, tensor, DataFrame or data set of at least two rows, shape (n, *event); its event weights are used.
    n_components : How many components are kept; None keeps all (50 where only the randomised route is open).
    standardise : Divide each feature by its standard deviation first. Do so for features in different units; the
        components then belong to the correlation matrix.
    random_state : Seed or generator of the bootstrap and of the randomised route.
    n_bootstrap : Number of replicas behind the error bands; 0 for none.

    Raises
    ------
    InputError
        For data that cannot be read, that do not vary, or too many components.
    """
    from scipy.linalg import eigh, svd
    from sklearn.decomposition import TruncatedSVD

    table, seed = read_table(X), as_seed(random_state)
    values, (n, d) = table.values, table.values.shape
    check_table(values)
    few, most = min(n, d), min(n - 1, d)
    method = "randomised" if few > GRAM_LIMIT else "svd" if n * d * few <= SVD_LIMIT else "gram"
    k = n_components or (min(RANDOMISED_COMPONENTS, most) if method == "randomised" else most)
    if k > most:
        raise InputError(f"Expected n_components <= {most} for {n} rows of {d} features, got {k}. Ask for fewer.")
    w = np.ones(n) if table.weights is None else table.weights / table.weights.mean()
    mean = w @ values / n
    deviation = np.sqrt(sum(np.square(rows).sum(axis=0) for rows in _centred(values, mean, 1.0, w)) / (n - 1))
    counted = values if (w > 0).all() else values[w > 0]
    varies = np.ptp(counted, axis=0) > 0  # a constant column differs from its own rounded mean
    mean, deviation = np.where(varies, mean, values[np.argmax(w > 0)]), np.where(varies, deviation, 0.0)
    scale = np.where(deviation > 0, deviation, 1.0) if standardise else np.ones(d)
    total = float(np.square(deviation / scale).sum())
    if not total > 0:
        raise InputError(f"Expected rows that differ, got {n} equal rows. Principal components need variance.")
    centred = _centred(values, mean, scale, w)
    rows = np.empty((0, d)) if method == "gram" and n >= d else np.concatenate(list(centred))
    if method == "svd":
        _, singular, components = svd(rows, full_matrices=False, overwrite_a=True, check_finite=False)
    elif method == "gram":
        square = rows @ rows.T if n < d else sum(block.T @ block for block in centred)
        eigenvalues, vectors = eigh(square, subset_by_index=(few - k, few - 1), overwrite_a=True, check_finite=False)
        singular, components = np.sqrt(np.clip(eigenvalues[::-1], 0, None)), vectors[:, ::-1].T
        if n < d:  # from left to right singular vectors, but for those of noise
            kept = singular > GRAM_NOISE * singular[0]
            singular, components = singular[kept], components[kept] @ rows / singular[kept, None]
    else:
        fitted = TruncatedSVD(k, n_iter=POWER_ITERATIONS, random_state=sklearn_seed(seed, "svd")).fit(rows)
        singular, components = np.asarray(fitted.singular_values_), np.asarray(fitted.components_)
    components, singular = fix_signs(components[:k]), singular[:k]
    computed = len(components)
    error = _ratio_errors(values, mean, scale, w, components, n_bootstrap, seed)
    bands = bool(np.isfinite(error).any())
    constant = int((deviation == 0).sum())
    notes = {
        f"Only the leading {computed} of {n_components or most} components were computed.": computed
        < (n_components or most),
        f"{constant} constant features were left unscaled.": standardise and constant > 0,
        f"Error bands rest on {BOOTSTRAP_ROWS:,} of {n:,} rows, drawn at random, and were scaled.": bands
        and n > BOOTSTRAP_ROWS,
        f"Error bands are given for the leading {BOOTSTRAP_COMPONENTS} components.": bands
        and computed > BOOTSTRAP_COMPONENTS,
    }
    return PCAResult(
        components=components,
        explained_variance=singular**2 / (n - 1),
        explained_variance_ratio=singular**2 / (n - 1) / total,
        ratio_error=error,
        singular_values=singular,
        mean=mean,
        scale=scale,
        names=table.names,
        n=n,
        method=method,
        notes=tuple(note for note, holds in notes.items() if holds),
    )


def fix_signs(components: np.ndarray) -> np.ndarray:
    """Return unit rows (k, d) with their signs chosen: the entry of largest magnitude is positive."""
    largest = np.argmax(np.abs(components).round(12), axis=1)  # rounded: equal loadings are not told apart by rounding
    return components * np.where(components[np.arange(len(components)), largest] < 0, -1.0, 1.0)[:, None]


def _centred(
    values: np.ndarray, mean: np.ndarray, scale: np.ndarray | float, weights: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yield the rows of a table, centred and scaled, times the roots of their weights, in blocks."""
    for start in range(0, len(values), BLOCK):
        rows = (values[start : start + BLOCK] - mean) / scale
        yield rows if weights is None else rows * np.sqrt(weights[start : start + BLOCK])[:, None]


def _ratio_errors(
    values: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    weights: np.ndarray,
    components: np.ndarray,
    n_bootstrap: int,
    seed: int,
) -> np.ndarray:
    """Return the bootstrap errors (k,) of the shares, as the head of this file says."""
    n, error = len(values), np.full(len(components), np.nan)
    if n_bootstrap < 2:
        return error
    rng = np.random.default_rng(child_seed(seed, "bootstrap"))
    rows = np.sort(rng.choice(n, BOOTSTRAP_ROWS, replace=False)) if n > BOOTSTRAP_ROWS else np.arange(n)
    leading = components[:BOOTSTRAP_COMPONENTS]
    parts = [(block @ leading.T, np.square(block).sum(1)) for block in _centred(values[rows], mean, scale)]
    scores, squares = (np.concatenate(part) for part in zip(*parts, strict=True))
    replicas = []
    for _ in range(n_bootstrap):
        times = np.bincount(rng.integers(len(rows), size=len(rows)), minlength=len(rows)) * weights[rows]
        times /= max(times.sum(), 1e-300)
        shift = times @ scores
        spread = (times[:, None] * scores).T @ scores - np.outer(shift, shift)
        size = times @ squares
        total = size - shift @ shift
        if total > 1e-12 * size:  # all rows drawn may be one and the same, and then have no shares
            replicas.append(np.linalg.eigvalsh(spread)[::-1] / total)
    if len(replicas) > 1:
        error[: len(leading)] = np.std(replicas, axis=0, ddof=1) * np.sqrt(len(rows) / n)
    return error


@dataclass(frozen=True)
class Biplot:
    """Rows and features in the plane of two components (Gabriel, Biometrika 58 (1971) 453).

    Parameters
    ----------
    scores : Scores of the rows, shape (n, 2).
    arrows : Loadings times the standard deviation of their component, times `factor`, shape (d, 2): before that
        factor, the inner product of two arrows is the covariance of two features in this plane.
    factor : Makes the longest arrow as long as 0.8 of the farthest row.
    names : Names of the d features.
    components : Numbers of the two components, from 0.
    shares : Their shares of the variance, shape (2,).
    """

    scores: np.ndarray
    arrows: np.ndarray
    factor: float
    names: tuple[str, ...]
    components: tuple[int, int]
    shares: np.ndarray


@checked
def biplot(result: PCAResult, X: ArrayLike, components: tuple[int, int] = (0, 1)) -> Biplot:
    """Return rows `X` (n, *event) and the features of `result` in the plane of two of its components.

    Raises `InputError` for components that were not kept, or rows of another width.
    """
    kept = len(result.components)
    if not all(0 <= c < kept for c in components):
        raise InputError(f"Expected two components between 0 and {kept - 1}, got {components}. Choose two of those.")
    chosen = list(components)
    scores = result.transform(X)[:, chosen]
    arrows = (result.components[chosen] * np.sqrt(result.explained_variance[chosen])[:, None]).T
    longest = float(np.linalg.norm(arrows, axis=1).max())
    factor = 0.8 * float(np.linalg.norm(scores, axis=1).max()) / longest if longest > 0 else 1.0
    shares = result.explained_variance_ratio[chosen]
    return Biplot(scores, factor * arrows, factor, result.names, (chosen[0], chosen[1]), shares)
