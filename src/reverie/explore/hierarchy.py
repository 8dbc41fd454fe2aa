"""The tree of merges of weighted rows: Ward, average, single and complete linkage, of tables of any length.

The two closest clusters are merged until one remains, by SciPy. The linkages differ in what "close" means,

    single     min |x_i - x_j|            complete   max |x_i - x_j|
    average    mean |x_i - x_j|           ward       sqrt(2 n_i n_j/(n_i + n_j)) |c_i - c_j|

with n the sizes and c the means of the clusters. Ward's height h is the growth of the sum of squares within the
clusters, by h^2/2 (Ward 1963).

The tree of n rows takes n^2 steps and distances, and does not scale. Above 3,000 rows (1,000 with event weights) they
are first condensed into 1,000 small K-means clusters, and the means of those are linked *with their sizes*: the number
of rows, or the sum of event weights, of a small cluster. SciPy knows no sizes, so a mean enters as copies of itself,
about 3,000 of all, in proportion to its size; the copies merge first, at height zero.

    ward               that of the rows, given that those of a small cluster are merged first
    average            the distance of two means stands for the mean distance of their rows
    single, complete   those of the means: single rows, which these linkages hang on, are not seen

The number of clusters suggested is where the heights of the merges jump most. Heights of Ward grow with the sizes, so
the suggestion tends to few clusters; the dendrogram says more than one number. The cophenetic correlation is that of
distance and height of the first common merge, over all pairs of points (Sokal and Rohlf 1962).
"""

import warnings as python_warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.tables import Result, by_size, nearest, read_like, read_table, sklearn_seed, units

__all__ = ["LINKAGES", "Dendrogram", "Hierarchy", "hierarchy", "link"]

LINKAGES = {name: name for name in ("ward", "average", "single", "complete")}
CONDENSE_ABOVE, CONDENSE_WEIGHTED_ABOVE = 3_000, 1_000  # rows; above, they are condensed into CONDENSED small clusters
CONDENSED = 1_000
POINTS = 3_000  # copies of sized leaves in all
_MOST_LEAVES = 5_000
_MOST_DRAWN = 500  # of a dendrogram; nobody can read more, and a deeper tree exceeds Python's recursion


@dataclass(frozen=True, eq=False)
class Dendrogram:
    """The last merges of a tree, ready to draw: one bracket per merge.

    Parameters
    ----------
    icoord, dcoord : Corners of each bracket, along the leaves and along the heights, shape (merges, 4) each.
    leaf_sizes : Rows (or weight) under each leaf, from left to right, shape (leaves,); leaf j is at 10 j + 5.
    leaf_nodes : Number of each leaf's node in the merge matrix, shape (leaves,); below m it is an original leaf.
    """

    icoord: np.ndarray
    dcoord: np.ndarray
    leaf_sizes: np.ndarray
    leaf_nodes: np.ndarray


@dataclass(frozen=True, eq=False)
class Hierarchy(Result):
    """The tree of merges of m leaves, which are rows or small clusters of rows.

    Parameters
    ----------
    merges : Merges in the format of `scipy.cluster.hierarchy`, shape (m-1, 4): two nodes, the height of their merge
        in the units of `scale`, and the rows (or weight) below it.
    linkage : "ward", "single", "complete" or "average".
    centres : Means of the leaves in the units of the data, shape (m, d).
    sizes : Rows (or weight) of each leaf, shape (m,).
    leaves : Leaf of each row, shape (n,).
    n_clusters : The number given, or suggested by the largest jump of the heights.
    cophenetic : Correlation of distance and height, in [-1, 1]; nan for two leaves or equal rows.
    names : Names of the d features.
    location, scale : What was subtracted and divided by before distances were taken, shape (d,) each.
    seed : Root of all randomness.
    warnings : What to keep in mind, in sentences.
    """

    merges: np.ndarray
    linkage: str
    centres: np.ndarray
    sizes: np.ndarray
    leaves: np.ndarray
    n_clusters: int
    cophenetic: float
    names: tuple[str, ...]
    location: np.ndarray
    scale: np.ndarray
    seed: int
    warnings: tuple[str, ...] = ()
    not_in_json: ClassVar = ("leaves",)

    @property
    def heights(self) -> np.ndarray:
        """Heights (m-1,) of the merges, in increasing order."""
        return self.merges[:, 2]

    @property
    def condensed(self) -> bool:
        """Whether the leaves are small clusters and not rows."""
        return len(self.centres) < len(self.leaves)

    def labels(self, n_clusters: int | None = None) -> np.ndarray:
        """Return the cluster (n,) of each row when the tree is cut into `n_clusters`; the largest is number 0."""
        from scipy.cluster.hierarchy import fcluster

        m, k = len(self.centres), self.n_clusters if n_clusters is None else n_clusters
        check_positive("n_clusters", k, integer=True)
        if k > m:
            raise InputError(f"Expected n_clusters <= {m} leaves of the tree, got {k}. Ask for fewer clusters.")
        return by_size(fcluster(self._unsized, k, "maxclust")[self.leaves])[1]

    def cut(self, height: float) -> np.ndarray:
        """Return the cluster (n,) of each row after all merges up to `height`; the largest is number 0."""
        return self.labels(len(self.centres) - int(np.searchsorted(self.heights, height, side="right")))

    def predict(self, X: ArrayLike, n_clusters: int | None = None) -> np.ndarray:
        """Return the cluster (n,) of new rows `X` (n, *event): that of the nearest leaf.

        On the rows of a condensed tree it differs from `labels` for the few between two small clusters.
        """
        z = (read_like(X, self.names).values - self.location) / self.scale
        of_leaf = np.empty(len(self.centres), dtype=np.int64)
        of_leaf[self.leaves] = self.labels(n_clusters)
        return of_leaf[nearest(z, (self.centres - self.location) / self.scale)]

    def dendrogram(self, n_leaves: int = 30) -> Dendrogram:
        """Return the coordinates of the last n_leaves - 1 merges (2 <= n_leaves <= 500); nothing is drawn."""
        from scipy.cluster.hierarchy import dendrogram

        check_positive("n_leaves", n_leaves, integer=True)
        n_leaves = min(n_leaves, len(self.centres))
        if not 2 <= n_leaves <= _MOST_DRAWN:
            raise InputError(f"Expected 2 <= n_leaves <= {_MOST_DRAWN}, got {n_leaves}. Draw fewer leaves.")
        drawn = dendrogram(self._unsized, p=n_leaves, truncate_mode="lastp", no_plot=True)
        nodes = np.array(drawn["leaves"])
        sizes = np.concatenate([self.sizes, self.merges[:, 3]])[nodes]
        return Dendrogram(np.array(drawn["icoord"]), np.array(drawn["dcoord"]), sizes, nodes)

    def __str__(self) -> str:
        sizes = np.bincount(self.labels())
        shown = ", ".join(str(size) for size in sizes[:10]) + (", ..." if len(sizes) > 10 else "")
        through = f" through {len(self.centres)} small clusters" if self.condensed else ""
        sentences = [
            f"{self.linkage.capitalize()} linkage of {len(self.leaves)} rows{through}: cut into {self.n_clusters} "
            f"clusters of sizes {shown}.",
            f"The tree keeps the distances with a cophenetic correlation of {self.cophenetic:.3f}.",
        ]
        return " ".join([*sentences, *self.warnings])

    @property
    def _unsized(self) -> np.ndarray:
        # SciPy refuses a merge of more rows than the tree has leaves; none of its cuts reads their number
        return np.column_stack([self.merges[:, :3], np.ones(len(self.merges))])


@checked
def hierarchy(
    X: ArrayLike,
    *,
    linkage: str = "ward",
    condense: int | None = None,
    n_clusters: int | None = None,
    standardise: bool = True,
    random_state: RandomState = None,
) -> Hierarchy:
    """Build the tree of merges of the rows of `X`.

    Parameters
    ----------
    X : An array or data set, shape (n, *event); event weights count as sizes.
    linkage : "ward", "single", "complete" or "average".
    condense : Number of small K-means clusters to start from; None takes the rows themselves up to 3,000 of them (1,000
        with event weights), and 1,000 small clusters above.
    n_clusters : Number of clusters into which `labels` cuts the tree; None takes the largest jump of the heights.
    standardise : Divide features by their standard deviations first, so that units do not matter.
    random_state : Seed or generator, or None; only K-means draws.

    Raises
    ------
    InputError
        For fewer than two rows that differ, or more than 5,000 leaves.
    """
    linkage = check_choice("linkage", linkage, LINKAGES)
    table, seed = read_table(X), as_seed(random_state)
    location, scale = units(table, standardise=standardise)
    z, weights = (table.values - location) / scale, table.weights
    if weights is not None and weights.min() <= 0:
        n_zero = int(np.count_nonzero(weights <= 0))
        raise InputError(f"Expected weights > 0, got {n_zero} that are 0. Drop those rows.")
    if condense is not None:
        check_positive("condense", condense, integer=True)
    elif len(z) > (CONDENSE_ABOVE if weights is None else CONDENSE_WEIGHTED_ABOVE):
        condense = CONDENSED
    wanted = len(z) if condense is None else min(int(condense), len(z))
    if not 2 <= wanted <= _MOST_LEAVES:
        raise InputError(f"Expected a tree of 2 to {_MOST_LEAVES} leaves, got {wanted}. Set condense.")
    if wanted < len(z):
        leaves = _small_clusters(z, wanted, weights, seed)
    else:  # equal rows with weights are one leaf, as `link` asks
        leaves = np.arange(len(z)) if weights is None else np.unique(z, axis=0, return_inverse=True)[1].ravel()
    if not leaves.any():
        raise InputError("Expected rows that differ, got one and the same row everywhere. There is nothing to cluster.")
    w = np.ones(len(z)) if weights is None else weights
    sizes = np.bincount(leaves, weights=w)
    centres = np.stack([np.bincount(leaves, weights=w * column) for column in z.T], axis=1) / sizes[:, None]
    merges, cophenetic = link(centres, sizes, linkage)
    jumps = np.diff(merges[:, 2], prepend=0.0)
    of_means = f"The {linkage} linkage is that of the means of the small clusters, not of single rows."
    tree = Hierarchy(
        merges=merges,
        linkage=linkage,
        centres=centres * scale + location,
        sizes=sizes,
        leaves=leaves,
        n_clusters=int(jumps[::-1].argmax()) + 2 if n_clusters is None else n_clusters,
        cophenetic=cophenetic,
        names=table.names,
        location=location,
        scale=scale,
        seed=seed,
        warnings=(of_means,) if wanted < len(z) and linkage in ("single", "complete") else (),
    )
    tree.labels()  # refuses an n_clusters that the tree cannot give
    return tree


def _small_clusters(z: np.ndarray, wanted: int, weights: np.ndarray | None, seed: int) -> np.ndarray:
    """Return the small K-means cluster (n,) of each row of `z` (n, d), numbered without gaps."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    options: dict[str, Any] = {"init": "random", "n_init": 1, "batch_size": 10_000, "max_iter": 20}
    rough = MiniBatchKMeans(wanted, random_state=sklearn_seed(seed, "condense"), **options)
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        rough.fit(z, sample_weight=weights)
    return np.unique(nearest(z, np.asarray(rough.cluster_centers_)), return_inverse=True)[1]


def link(z: np.ndarray, sizes: np.ndarray, linkage: str = "ward") -> tuple[np.ndarray, float]:
    """Return the merges (m-1, 4) of points `z` (m, d) with `sizes` (m,), and their cophenetic correlation, or nan.

    Points of different sizes must differ from each other.
    A row of the merges holds two nodes (below m: points; m + i: the cluster made by row i), the height and the size.
    """
    from scipy.cluster.hierarchy import cophenet
    from scipy.cluster.hierarchy import linkage as scipy_linkage
    from scipy.spatial.distance import pdist

    m, equal = len(z), np.ptp(sizes) == 0 or linkage in ("single", "complete")
    copies = np.ones(m, dtype=int) if equal else np.maximum(1, np.rint(POINTS * sizes / sizes.sum())).astype(int)
    n, distances = int(copies.sum()), pdist(np.repeat(z, copies, axis=0))
    merges = scipy_linkage(distances, linkage)
    with np.errstate(invalid="ignore"):  # 0/0 where all distances are one
        correlation = float(cophenet(merges, distances)[0])
    # the first n - m merges join copies: their nodes are leaves, and the later nodes count from m
    node = np.concatenate([np.repeat(np.arange(m), copies), np.zeros(n - m, dtype=int), np.arange(m, 2 * m - 1)])
    for i in range(n - m):
        node[n + i] = node[int(merges[i, 0])]
    merges = merges[n - m :]
    merges[:, :2] = np.sort(node[merges[:, :2].astype(int)], axis=1)
    if linkage == "ward":
        merges[:, 2] *= np.sqrt(sizes.sum() / n)  # from copies to sizes
    below = np.concatenate([sizes, np.zeros(m - 1)])
    for i, (a, b) in enumerate(merges[:, :2].astype(int)):
        below[m + i] = merges[i, 3] = below[a] + below[b]
    return merges, correlation
