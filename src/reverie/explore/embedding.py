"""Pictures in two dimensions: t-SNE with a number for how far it can be trusted, and biplots.

t-SNE (van der Maaten and Hinton, J. Mach. Learn. Res. 9 (2008) 2579) places points so that neighbours
stay neighbours. It bends space to do so: the distance between clusters, their size and their density
mean little. Started from principal components, as here, the arrangement at large is at least that of
PCA (Kobak and Berens, Nat. Commun. 10 (2019) 5416).

Trustworthiness (Venna and Kaski, ICANN 2001) counts neighbours in the picture that are none in the
data, in [0, 1], 1 if there are none; for k neighbours of n points and ranks r(i, j) in the data,

    T = 1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in kNN of i in the picture} max(0, r(i, j) - k).

The same number for the leading principal components stands beside it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.reduce import PCAResult, principal_components
from reverie.explore.tables import read_table

__all__ = ["Biplot", "Embedding", "biplot", "trustworthiness", "tsne"]

PCA_FIRST = 50  # distances among more features are mostly noise and cost time (van der Maaten and Hinton)
NEIGHBOURS = 10
RANK_ROWS = 2000  # trustworthiness ranks all distances of one row: at most so many rows enter
CAUTION = "Neighbours mean something in this picture; distances between clusters and their sizes mean little."


@dataclass(frozen=True)
class Embedding:
    """Points placed in few dimensions.

    Parameters
    ----------
    points : (m, n_components). rows : (m,) their rows in X.
    trustworthiness, pca_trustworthiness : of this picture, and of the leading principal components.
    perplexity : the effective number of neighbours. n : number of rows given. seed : of the run.
    notes : what was cut, and how to read the picture.
    """

    points: np.ndarray
    rows: np.ndarray
    trustworthiness: float
    pca_trustworthiness: float
    perplexity: float
    n: int
    seed: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"t-SNE of {len(self.rows):,} rows (perplexity {self.perplexity:g}): trustworthiness "
            f"{self.trustworthiness:.3f}, against {self.pca_trustworthiness:.3f} for principal components. "
            + " ".join(self.notes)
        )

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("points", "rows")}
        return plain | {"points": self.points.tolist(), "rows": self.rows.tolist(), "notes": list(self.notes)}


@dataclass(frozen=True)
class Biplot:
    """Rows and features in the plane of two components (Gabriel, Biometrika 58 (1971) 453).

    Parameters
    ----------
    scores : (n, 2) of the rows.
    arrows : (d, 2), loadings times the standard deviation of their component, times `factor`: before
        that factor, the inner product of two arrows is the covariance of two features in this plane.
    factor : makes the longest arrow as long as 0.8 of the farthest row.
    names : d feature names. components : which two. shares : their shares of the variance, (2,).
    """

    scores: np.ndarray
    arrows: np.ndarray
    factor: float
    names: tuple[str, ...]
    components: tuple[int, int]
    shares: np.ndarray


@checked
def tsne(
    X: ArrayLike,
    *,
    perplexity: float = 30,
    n_components: int = 2,
    random_state: RandomState = None,
    max_rows: int = 5000,
) -> Embedding:
    """Return a t-SNE embedding of `X`, of its leading 50 principal components where it has more features.

    Parameters
    ----------
    X : (n, *event), features in comparable units; weights are refused.
    perplexity : effective number of neighbours, in (1, n).
    n_components : 2, or 3 (the fast algorithm knows no more).
    random_state : of the rows drawn and of the embedding.
    max_rows : more rows are cut at random; time grows as n log n.

    Raises
    ------
    InputError
        For data that cannot be read, unequal weights, too few rows, or options out of range.
    """
    table, seed = read_table(X), as_seed(random_state)
    if table.weights is not None and np.ptp(table.weights) > 0:
        raise InputError("Expected rows without weights, got unequal weights. Draw rows in proportion to them first.")
    check_positive("max_rows", max_rows, integer=True)
    n = len(table.values)
    rng = np.random.default_rng(child_seed(seed, "rows"))
    rows = np.sort(rng.choice(n, max_rows, replace=False)) if n > max_rows else np.arange(n)
    _check_options(len(rows), perplexity, n_components)
    notes = [CAUTION] + ([f"{max_rows:,} of {n:,} rows were used, drawn at random."] if n > max_rows else [])
    values = table.values[rows]
    scores = _scores(values, seed)
    points = _place(scores, perplexity, n_components, child_seed(seed, "tsne") % 2**32)
    trust = [trustworthiness(values, picture, random_state=seed) for picture in (points, scores[:, :n_components])]
    return Embedding(points, rows, trust[0], trust[1], float(perplexity), n, seed, tuple(notes))


def _check_options(n: int, perplexity: float, n_components: int) -> None:
    if n_components not in (2, 3):
        raise InputError(f"Expected n_components of 2 or 3, got {n_components!r}. Use principal_components for more.")
    check_positive("perplexity", perplexity)
    if not 1 < perplexity < n - 1:
        raise InputError(f"Expected perplexity between 1 and n - 1 = {n - 1}, got {perplexity}. Lower it, or add rows.")


def _scores(values: np.ndarray, seed: int) -> np.ndarray:
    most = min(len(values) - 1, values.shape[1], PCA_FIRST)
    result = principal_components(values, n_components=most, random_state=seed, n_bootstrap=0)
    return result.transform(values)


def _place(scores: np.ndarray, perplexity: float, n_components: int, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    # scikit-learn's own PCA start, made here: its first component gets a standard deviation of 1e-4
    start = np.zeros((len(scores), n_components))
    kept = min(n_components, scores.shape[1])
    start[:, :kept] = 1e-4 * scores[:, :kept] / scores[:, 0].std()
    init: Any = start.astype(np.float32)
    model = TSNE(n_components, perplexity=perplexity, init=init, random_state=seed)
    return model.fit_transform(scores).astype(float)


@checked
def trustworthiness(
    X: ArrayLike, points: np.ndarray, *, n_neighbours: int = NEIGHBOURS, random_state: RandomState = 0
) -> float:
    """Return the trustworthiness of `points` (n, k) as a picture of `X` (n, *event), in [0, 1].

    Of more than 2,000 rows as many are drawn at random: among fewer rows neighbours are farther away,
    so numbers compare only at equal n.

    Raises
    ------
    InputError
        For unequal numbers of rows, or fewer than 2 n_neighbours + 2.
    """
    from sklearn.manifold import trustworthiness as venna_kaski

    values, points = read_table(X).values, read_table(points).values
    if len(values) != len(points) or len(values) < 2 * n_neighbours + 2:
        raise InputError(
            f"Expected one point per row and at least {2 * n_neighbours + 2} rows, got {len(values)} rows and "
            f"{len(points)} points. Give both in the same order."
        )
    if len(values) > RANK_ROWS:
        rng = np.random.default_rng(child_seed(as_seed(random_state), "trustworthiness"))
        rows = rng.choice(len(values), RANK_ROWS, replace=False)
        values, points = values[rows], points[rows]
    return float(venna_kaski(values, points, n_neighbors=n_neighbours))


@checked
def biplot(result: PCAResult, X: ArrayLike, components: tuple[int, int] = (0, 1)) -> Biplot:
    """Return rows `X` (n, *event) and the features of `result` in the plane of two of its components.

    Raises
    ------
    InputError
        For components that were not kept, or rows of another width.
    """
    kept = len(result.components)
    if len(components) != 2 or not all(0 <= c < kept for c in components):
        raise InputError(f"Expected two components between 0 and {kept - 1}, got {components}. Choose two of those.")
    chosen = list(components)
    scores = result.transform(X)[:, chosen]
    arrows = (result.components[chosen] * np.sqrt(result.explained_variance[chosen])[:, None]).T
    longest = float(np.linalg.norm(arrows, axis=1).max())
    factor = 0.8 * float(np.linalg.norm(scores, axis=1).max()) / longest if longest > 0 else 1.0
    shares = result.explained_variance_ratio[chosen]
    return Biplot(scores, factor * arrows, factor, result.names, (chosen[0], chosen[1]), shares)
