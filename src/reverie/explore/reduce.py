"""Principal components: the directions of largest variance, by singular value decomposition.

Rows x_i (n, d) with mean m make the centred matrix A = U S V^T. The covariance A^T A / (n - 1) then has
the eigenvectors V and the eigenvalues

    lambda_k = S_k^2 / (n - 1),        share of the variance  lambda_k / sum lambda,

and the scores of x are V^T (x - m) (Pearson 1901; Jolliffe, Principal Component Analysis, 2002).
Rows with weights w count w_i / mean(w) times; only the ratio of the weights matters.

Three routes lead there, chosen by size alone (`reverie.explore.svd`).

Errors of the shares come from the bootstrap (Efron and Tibshirani 1993): rows are drawn again with
replacement. The decomposition is not repeated on d features. Each replica is diagonalised in the space
of the leading 32 components found on all rows, and the variance outside that space enters its total
only; the mixing of the leading components with the rest, of order lambda_rest / (lambda_k - lambda_rest)
/ sqrt(n), is left out. Components beyond have error nan. At most 20,000 rows, drawn at random, enter;
the errors are then scaled by sqrt(20,000 / n).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_positive, check_table
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.svd import Centred, centred, centred_blocks, decompose, route
from reverie.explore.tables import read_table

__all__ = ["PCAResult", "principal_components"]

RANDOMISED_COMPONENTS = 50
BOOTSTRAP_COMPONENTS, BOOTSTRAP_ROWS = 32, 20_000


@dataclass(frozen=True)
class PCAResult:
    """Principal components of n rows with d features.

    Parameters
    ----------
    components : (k, d), orthonormal rows, by falling variance; the largest loading of each is positive.
    explained_variance : (k,), in the unit of the data squared (1 if standardised).
    explained_variance_ratio : (k,), its share of the variance of all d features.
    ratio_error : (k,), standard error of the share; nan beyond the leading 32, or without bootstrap.
    singular_values : (k,), of the centred (scaled, weighted) rows.
    mean, scale : (d,); scale is 1 unless standardised.
    names : d feature names.
    n : number of rows.
    method : "svd", "gram" or "randomised".
    notes : what was approximated or left out.
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
        """Lower edges of the 68 % bands of the shares, (k,): one standard error, at least 0."""
        return np.clip(self.explained_variance_ratio - self.ratio_error, 0, 1)

    @property
    def ratio_high(self) -> np.ndarray:
        """Upper edges of the 68 % bands of the shares, (k,): one standard error, at most 1."""
        return np.clip(self.explained_variance_ratio + self.ratio_error, 0, 1)

    def n_for(self, share: float = 0.9) -> int | None:
        """Return how many components hold at least `share` of the variance; None if all kept ones hold less."""
        enough = np.flatnonzero(np.cumsum(self.explained_variance_ratio) >= share - 1e-12)
        return int(enough[0]) + 1 if len(enough) else None

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the scores (n, k) of rows `X` with the same d features; those with the same names in any order."""
        table = read_table(X)
        self._check_width(table.values.shape[1], len(self.mean), "features")
        values = table.values
        if table.names != self.names and set(table.names) == set(self.names):
            values = values[:, [table.names.index(name) for name in self.names]]
        return np.concatenate([rows @ self.components.T for rows in centred_blocks(values, self.mean, self.scale)])

    def inverse_transform(self, scores: np.ndarray) -> np.ndarray:
        """Return the rows (n, d) with these scores (n, k), or (n, j) for the leading j <= k components."""
        scores = np.atleast_2d(np.asarray(scores, dtype=float))
        if scores.shape[1] > len(self.components):
            self._check_width(scores.shape[1], len(self.components), "scores")
        return scores @ self.components[: scores.shape[1]] * self.scale + self.mean

    def _check_width(self, got: int, expected: int, what: str) -> None:
        if got != expected:
            raise InputError(f"Expected rows of {expected} {what}, got {got}. Give the columns of this result.")

    def __str__(self) -> str:
        first, error = 100 * self.explained_variance_ratio[0], 100 * self.ratio_error[0]
        band = f" ± {error:.1f}" if np.isfinite(error) else ""
        return f"The first principal component holds {first:.1f}{band} % of the variance; {self._reach()}."

    def _reach(self, share: float = 0.9) -> str:
        count, kept = self.n_for(share), len(self.components)
        if count is None:
            held = 100 * self.explained_variance_ratio.sum()
            return f"the {kept} kept hold {held:.1f} %"
        return f"{count} component{'s hold' if count > 1 else ' holds'} {100 * share:.0f} %"

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write; errors that are not known become None."""
        arrays = ("components", "explained_variance", "explained_variance_ratio", "singular_values", "mean", "scale")
        errors = [float(e) if np.isfinite(e) else None for e in self.ratio_error]
        return {name: getattr(self, name).tolist() for name in arrays} | {
            "ratio_error": errors,
            "names": list(self.names),
            "n": self.n,
            "method": self.method,
            "notes": list(self.notes),
        }


@checked
def principal_components(
    X: ArrayLike,
    *,
    n_components: int | None = None,
    standardise: bool = False,
    random_state: RandomState = None,
    n_bootstrap: int = 200,
) -> PCAResult:
    """Return the principal components of `X`.

    Parameters
    ----------
    X : (n, *event), n >= 2: array, tensor, DataFrame or data set; its event weights are used.
    n_components : how many to keep; None keeps all (50 where only the randomised route is open).
    standardise : divide each feature by its standard deviation first. Do so for features in
        different units; the components then belong to the correlation matrix.
    random_state : of the bootstrap and of the randomised route.
    n_bootstrap : replicas behind the error bands; 0 for none.

    Raises
    ------
    InputError
        For data that cannot be read, that do not vary, or a bad number of components.
    """
    table, seed = read_table(X), as_seed(random_state)
    n, d = table.values.shape
    check_table(table.values)
    check_positive("n_bootstrap", n_bootstrap, integer=True, allow_zero=True)
    method = route(n, d)
    k = _n_components(n_components, n, d, method)
    weights = np.ones(n) if table.weights is None else table.weights
    matrix = centred(table.values, weights, standardise=standardise)
    total = matrix.total_variance
    if not total > 0:
        raise InputError(f"Expected rows that differ, got {n} equal rows. Principal components need variance.")
    components, singular = decompose(matrix, k, child_seed(seed, "svd"), method)
    variance, error = singular**2 / (n - 1), _ratio_errors(matrix, components, n_bootstrap, seed)
    return PCAResult(
        components=components,
        explained_variance=variance,
        explained_variance_ratio=variance / total,
        ratio_error=error,
        singular_values=singular,
        mean=matrix.mean,
        scale=matrix.scale,
        names=table.names,
        n=n,
        method=method,
        notes=_notes(matrix, len(components), n_components, error, standardise=standardise),
    )


def _n_components(wanted: int | None, n: int, d: int, method: str) -> int:
    most = min(n - 1, d)
    if wanted is None:
        return min(RANDOMISED_COMPONENTS, most) if method == "randomised" else most
    check_positive("n_components", wanted, integer=True)
    if wanted > most:
        raise InputError(f"Expected n_components <= {most} for {n} rows of {d} features, got {wanted}. Ask for fewer.")
    return int(wanted)


def _notes(matrix: Centred, kept: int, wanted: int | None, error: np.ndarray, *, standardise: bool) -> tuple[str, ...]:
    n, d = matrix.values.shape
    constant, most = int((matrix.deviation == 0).sum()), wanted or min(n - 1, d)
    found = {
        f"Only the leading {kept} of {most} components were computed.": kept < most,
        f"{constant} constant features were left unscaled.": standardise and constant > 0,
        f"Error bands rest on {BOOTSTRAP_ROWS:,} of {n:,} rows, drawn at random, and were scaled.": n > BOOTSTRAP_ROWS,
        f"Error bands are given for the leading {BOOTSTRAP_COMPONENTS} components.": kept > BOOTSTRAP_COMPONENTS,
    }
    bands = np.isfinite(error).any()
    return tuple(note for note, holds in found.items() if holds and (bands or not note.startswith("Error")))


def _ratio_errors(matrix: Centred, components: np.ndarray, n_bootstrap: int, seed: int) -> np.ndarray:
    """Return the bootstrap errors (k,) of the shares, as the module docstring says."""
    n, error = len(matrix.values), np.full(len(components), np.nan)
    if n_bootstrap < 2:
        return error
    rng = np.random.default_rng(child_seed(seed, "bootstrap"))
    rows = np.sort(rng.choice(n, BOOTSTRAP_ROWS, replace=False)) if n > BOOTSTRAP_ROWS else np.arange(n)
    leading, scores, squares = components[:BOOTSTRAP_COMPONENTS], [], []
    for block in centred_blocks(matrix.values[rows], matrix.mean, matrix.scale):
        scores.append(block @ leading.T)
        squares.append(np.square(block).sum(1))
    replicas = _replicas(np.concatenate(scores), np.concatenate(squares), matrix.weights[rows], n_bootstrap, rng)
    if len(replicas) > 1:
        error[: len(leading)] = replicas.std(0, ddof=1) * np.sqrt(len(rows) / n)
    return error


def _replicas(
    scores: np.ndarray, squares: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the shares (count, m) of bootstrap replicas that vary, from scores (n, m) and squared norms (n,)."""
    n, shares = len(scores), []
    for _ in range(count):
        times = np.bincount(rng.integers(n, size=n), minlength=n) * weights
        times /= max(times.sum(), 1e-300)
        shift = times @ scores
        spread = (times[:, None] * scores).T @ scores - np.outer(shift, shift)
        size = times @ squares
        total = size - shift @ shift
        if total > 1e-12 * size:  # all rows drawn may be one and the same, and then have no shares
            shares.append(np.linalg.eigvalsh(spread)[::-1] / total)
    return np.array(shares)
