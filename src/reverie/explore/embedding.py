"""Pictures in two dimensions by t-SNE, with a number for how far they can be trusted.

t-SNE (van der Maaten and Hinton, J. Mach. Learn. Res. 9 (2008) 2579; here scikit-learn's) places points so that
neighbours stay neighbours. It bends space to do so: the distance between clusters, their size and their density mean
little. Started from principal components, as here, the arrangement at large is at least that of PCA (Kobak and Berens,
Nat. Commun. 10 (2019) 5416).

Trustworthiness (Venna and Kaski, ICANN 2001) counts neighbours in the picture that are none in the data, in [0, 1], 1
if there are none; for k neighbours of n points and ranks r(i, j) in the data,

    T = 1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in kNN of i in the picture} max(0, r(i, j) - k).

The same number for the leading principal components stands beside it.
"""

from dataclasses import dataclass

import numpy as np

from reverie.core.arguments import Count, checked
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.components import principal_components
from reverie.explore.tables import Result, random_rows, read_table, read_unweighted, sklearn_seed

__all__ = ["Embedding", "trustworthiness", "tsne"]

PCA_FIRST = 50  # distances among more features are mostly noise and cost time (van der Maaten and Hinton)
NEIGHBOURS = 10
RANK_ROWS = 2000  # trustworthiness ranks all distances of one row: at most so many rows enter
CAUTION = "Neighbours mean something in this picture; distances between clusters and their sizes mean little."


@dataclass(frozen=True)
class Embedding(Result):
    """Points placed in few dimensions.

    Parameters
    ----------
    points : Coordinates in the picture, shape (m, n_components).
    rows : Number of the row of X behind each point, shape (m,).
    trustworthiness, pca_trustworthiness : Trustworthiness of this picture, and of the leading principal components.
    perplexity : Effective number of neighbours.
    n : Number of rows given.
    seed : Root of all randomness.
    notes : What was cut, and how to read the picture, in sentences.
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


@checked
def tsne(
    X: ArrayLike,
    *,
    perplexity: float = 30,
    n_components: int = 2,
    random_state: RandomState = None,
    max_rows: Count = 5000,
) -> Embedding:
    """Return a t-SNE embedding of `X`, of its leading 50 principal components where it has more features.

    Parameters
    ----------
    X : Rows with features in comparable units, shape (n, *event); weights are refused.
    perplexity : Effective number of neighbours, in (1, n).
    n_components : 2, or 3 (the fast algorithm allows no more).
    random_state : Seed or generator of the rows drawn and of the embedding.
    max_rows : More rows are cut at random; time grows as n log n.

    Raises
    ------
    InputError
        For data that cannot be read, unequal weights, too few rows, or options out of range.
    """
    from sklearn.manifold import TSNE

    table, seed = read_unweighted(X), as_seed(random_state)
    rows, notes = random_rows(len(table.values), max_rows, seed)
    if n_components not in (2, 3):
        raise InputError(f"Expected n_components of 2 or 3, got {n_components!r}. Use principal_components for more.")
    most = len(rows) - 1
    if not 1 < perplexity < most:
        raise InputError(f"Expected perplexity between 1 and n - 1 = {most}, got {perplexity}. Lower it, or add rows.")
    values = table.values[rows]
    kept = min(most, values.shape[1], PCA_FIRST)
    scores = principal_components(values, n_components=kept, random_state=seed, n_bootstrap=0).transform(values)
    # scikit-learn's own PCA start, made here: its first component gets a standard deviation of 1e-4
    start = np.zeros((len(scores), n_components), dtype=np.float32)
    leading = scores[:, :n_components]
    start[:, : leading.shape[1]] = 1e-4 * leading / scores[:, 0].std()
    model = TSNE(n_components, perplexity=perplexity, init=start, random_state=sklearn_seed(seed, "tsne"))
    points = model.fit_transform(scores).astype(float)
    return Embedding(
        points=points,
        rows=rows,
        trustworthiness=trustworthiness(values, points, random_state=seed),
        pca_trustworthiness=trustworthiness(values, leading, random_state=seed),
        perplexity=float(perplexity),
        n=len(table.values),
        seed=seed,
        notes=(CAUTION, *notes),
    )


@checked
def trustworthiness(
    X: ArrayLike, points: np.ndarray, *, n_neighbours: Count = NEIGHBOURS, random_state: RandomState = 0
) -> float:
    """Return the trustworthiness of `points` (n, k) as a picture of `X` (n, *event), in [0, 1].

    Of more than 2,000 rows as many are drawn at random: among fewer rows neighbours are farther away, so numbers
    compare only at equal n. Raises `InputError` for unequal numbers of rows, or fewer than 2 n_neighbours + 2.
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
