"""The tree of merges of weighted rows: Ward, average, single and complete linkage, of tables of any length.

The two closest clusters are merged until one remains. The linkages differ in what "close" means,

    single     min |x_i - x_j|            complete   max |x_i - x_j|
    average    mean |x_i - x_j|           ward       sqrt(2 n_i n_j/(n_i + n_j)) |c_i - c_j|

with n the sizes and c the means of the clusters. Ward's height h is the growth of the sum of squares within the
clusters, by h^2/2 (Ward 1963). Distances after a merge follow from those before it (Lance and Williams 1967): with i
and j merged and k any other cluster,

    average    (n_i d_ki + n_j d_kj)/(n_i + n_j)
    ward       d^2 = ((n_i + n_k) d_ki^2 + (n_j + n_k) d_kj^2 - n_k d_ij^2)/(n_i + n_j + n_k)

The tree of n rows takes n^2 steps and distances, and does not scale. Above 3,000 rows they are first condensed into
1,000 small K-means clusters, and those are linked *with their sizes*: n_i is the number of rows (or the sum of event
weights) of a small cluster, from the first distance on, so that a point of size 3 is the same as three equal points.

    ward               exact, given that the rows of a small cluster are merged first
    average            the distance of two means stands for the mean distance of their rows
    single, complete   those of the means: single rows, which these linkages hang on, are not seen

SciPy links rows of equal size, and single and complete linkage, which do not depend on sizes. It takes no sizes, so
Ward and average linkage of sized points are our own: chains of nearest neighbours (Murtagh 1983; Muellner 2011) are
followed until two clusters are each other's nearest, these are merged, and the rest of the chain goes on. It is exact,
as no merge brings a third cluster closer.

The number of clusters suggested is where the heights of the merges jump most. Heights of Ward grow with the sizes, so
the suggestion tends to few clusters; the dendrogram says more than one number. The cophenetic correlation is that of
distance and height of the first common merge, over all pairs of points, a pair counting n_i n_j times (Sokal and Rohlf
1962).
"""

import warnings as python_warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reverie.core.arguments import Count, checked
from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.tables import Result, by_size, listed_sizes, nearest, read_like, read_table, sklearn_seed, units

__all__ = ["LINKAGES", "Dendrogram", "Hierarchy", "hierarchy", "link"]

LINKAGES = {name: name for name in ("ward", "average", "single", "complete")}
CONDENSE_ABOVE = 3_000  # rows; above, they are condensed into CONDENSED small clusters
CONDENSED = 1_000
_MOST_LEAVES = 5_000  # the matrix of their distances takes 0.2 GB
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
        return self._leaf_labels(n_clusters)[self.leaves]

    def cut(self, height: float) -> np.ndarray:
        """Return the cluster (n,) of each row after all merges up to `height`; the largest is number 0."""
        return self.labels(len(self.centres) - int(np.searchsorted(self.heights, height, side="right")))

    def predict(self, X: ArrayLike, n_clusters: int | None = None) -> np.ndarray:
        """Return the cluster (n,) of new rows `X` (n, *event): that of the nearest leaf.

        On the rows of a condensed tree it differs from `labels` for the few between two small clusters.
        """
        z = (read_like(X, self.names).values - self.location) / self.scale
        return self._leaf_labels(n_clusters)[nearest(z, (self.centres - self.location) / self.scale)]

    @checked
    def dendrogram(self, n_leaves: int = 30) -> Dendrogram:
        """Return the coordinates of the last n_leaves - 1 merges (2 <= n_leaves <= 500); nothing is drawn."""
        from scipy.cluster.hierarchy import dendrogram

        m = len(self.centres)
        n_leaves = min(n_leaves, m)
        if not 2 <= n_leaves <= _MOST_DRAWN:
            raise InputError(f"Expected 2 <= n_leaves <= {_MOST_DRAWN}, got {n_leaves}. Draw fewer leaves.")
        last = self.merges[m - n_leaves :].copy()  # a tree of its own, whose leaves are nodes of the whole one
        below = np.setdiff1d(last[:, :2], np.arange(2 * m - n_leaves, 2 * m - 1)).astype(np.int64)
        last[:, :2] = np.where(
            last[:, :2] >= 2 * m - n_leaves, last[:, :2] - 2 * (m - n_leaves), np.searchsorted(below, last[:, :2])
        )
        drawn = dendrogram(_with_sizes(last, np.ones(n_leaves)), no_plot=True)
        nodes = below[drawn["leaves"]]
        masses = np.concatenate([self.sizes, self.merges[:, 3]])
        return Dendrogram(np.array(drawn["icoord"]), np.array(drawn["dcoord"]), masses[nodes], nodes)

    def __str__(self) -> str:
        through = f" through {len(self.centres)} small K-means clusters" if self.condensed else ""
        sentences = [
            f"{self.linkage.capitalize()} linkage of {len(self.leaves)} rows{through}: cut into {self.n_clusters} "
            f"clusters of sizes {listed_sizes(np.bincount(self.labels()))}.",
            f"The tree keeps the distances with a cophenetic correlation of {self.cophenetic:.3f}.",
        ]
        return " ".join([*sentences, *self.warnings])

    def _leaf_labels(self, n_clusters: int | None) -> np.ndarray:
        m = len(self.centres)
        k = self.n_clusters if n_clusters is None else n_clusters
        check_positive("n_clusters", k, integer=True)
        if k > m:
            raise InputError(f"Expected n_clusters <= {m} leaves of the tree, got {k}. Ask for fewer clusters.")
        return by_size(cut_tree(self.merges, m - int(k)), np.bincount(self.leaves, minlength=m))[1]


@checked
def hierarchy(
    X: ArrayLike,
    *,
    linkage: str = "ward",
    condense: Count | None = None,
    n_clusters: int | None = None,
    standardise: bool = True,
    random_state: RandomState = None,
) -> Hierarchy:
    """Build the tree of merges of the rows of `X`.

    Parameters
    ----------
    X : An array or data set, shape (n, *event); event weights count as sizes.
    linkage : "ward", "single", "complete" or "average".
    condense : Number of small K-means clusters to start from; None takes the rows themselves up to 3,000 of them, and
        1,000 small clusters above.
    n_clusters : Number of clusters into which `labels` cuts the tree; None takes the largest jump of the heights.
    standardise : Divide features by their standard deviations first, so that units do not matter.
    random_state : Seed or generator, or None; only K-means draws.

    Raises
    ------
    InputError
        For equal rows of too large a table to link them all, or more than 5,000 leaves.
    """
    linkage = check_choice("linkage", linkage, LINKAGES)
    table, seed = read_table(X), as_seed(random_state)
    location, scale = units(table, standardise=standardise)
    z = (table.values - location) / scale
    if table.weights is not None and table.weights.min() <= 0:
        n_zero = int(np.count_nonzero(table.weights <= 0))
        raise InputError(f"Expected weights > 0, got {n_zero} that are 0. Drop those rows.")
    leaves = _leaves(z, condense, table.weights, seed)
    w = np.ones(len(z)) if table.weights is None else table.weights
    sizes = np.bincount(leaves, weights=w)
    centres = np.stack([np.bincount(leaves, weights=w * column) for column in z.T], axis=1) / sizes[:, None]
    merges = link(centres, sizes, linkage)
    condensed = len(centres) < len(z)
    of_means = f"The {linkage} linkage is that of the means of the small clusters, not of single rows."
    tree = Hierarchy(
        merges=merges,
        linkage=linkage,
        centres=centres * scale + location,
        sizes=sizes,
        leaves=leaves,
        n_clusters=largest_jump(merges[:, 2]) if n_clusters is None else n_clusters,
        cophenetic=cophenetic_correlation(centres, sizes, merges),
        names=table.names,
        location=location,
        scale=scale,
        seed=seed,
        warnings=(of_means,) if condensed and linkage in ("single", "complete") else (),
    )
    tree.labels()  # refuses an n_clusters that the tree cannot give
    return tree


def _leaves(z: np.ndarray, condense: int | None, weights: np.ndarray | None, seed: int) -> np.ndarray:
    """Return the leaf (n,) of each row of `z` (n, d), numbered without gaps: the row itself, or a small cluster."""
    if condense is None and len(z) > CONDENSE_ABOVE:
        condense = CONDENSED
    wanted = len(z) if condense is None else min(condense, len(z))
    if not 2 <= wanted <= _MOST_LEAVES:
        raise InputError(f"Expected a tree of 2 to {_MOST_LEAVES} leaves, got {wanted}. Set condense.")
    if wanted == len(z):
        return np.arange(len(z))
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    options: dict[str, Any] = {"init": "random", "n_init": 1, "batch_size": 10_000, "max_iter": 20}
    rough = MiniBatchKMeans(wanted, random_state=sklearn_seed(seed, "condense"), **options)
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        rough.fit(z, sample_weight=weights)
    leaves = np.unique(nearest(z, np.asarray(rough.cluster_centers_)), return_inverse=True)[1]
    if not leaves.any():
        raise InputError("Expected rows that differ, got one and the same row everywhere. There is nothing to cluster.")
    return leaves


def link(z: np.ndarray, sizes: np.ndarray, linkage: str = "ward") -> np.ndarray:
    """Return the merges (m-1, 4) of points `z` (m, d) with `sizes` (m,), in the format of SciPy.

    A row holds two nodes (below m: points; m + i: the cluster made by row i), the height and the size.
    """
    from scipy.cluster.hierarchy import linkage as linkage_of_equals
    from scipy.spatial.distance import pdist, squareform

    distances = pdist(z)
    if linkage in ("single", "complete") or np.all(sizes == 1):
        return _with_sizes(linkage_of_equals(distances, linkage), sizes)
    matrix = squareform(distances)
    if linkage == "ward":
        matrix *= np.sqrt(2 * np.multiply.outer(sizes, sizes) / np.add.outer(sizes, sizes))
    return _with_sizes(_chain_of_neighbours(matrix, sizes.astype(np.float64), linkage), sizes)


def _chain_of_neighbours(d: np.ndarray, n: np.ndarray, linkage: str) -> np.ndarray:
    """Return the merges (m-1, 3), two nodes and the height, of clusters of sizes `n` (m,) and distances `d` (m, m).

    Both are overwritten: a merged cluster lives in the slot of its larger index. Among equal distances the previous
    cluster of the chain comes first, then the lowest slot.
    """
    from scipy.cluster.hierarchy import DisjointSet

    np.fill_diagonal(d, np.inf)
    alive, chain, merges = np.ones(len(d), dtype=bool), [], []
    while len(merges) < len(d) - 1:
        if not chain:
            chain.append(int(alive.argmax()))
        last = chain[-1]
        near = int(d[last].argmin())
        if len(chain) < 2 or d[last, near] < d[last, chain[-2]]:
            chain.append(near)
            continue
        i, j = sorted((chain.pop(), chain.pop()))
        d_ij = float(d[i, j])
        merges.append((i, j, d_ij))
        alive[i] = False
        k = np.flatnonzero(alive & (np.arange(len(d)) != j))
        if linkage == "ward":
            unit = 1 / (n[i] + n[j] + n[k])
            squared = (n[k] + n[i]) * unit * d[i, k] ** 2 + (n[k] + n[j]) * unit * d[j, k] ** 2 - n[k] * unit * d_ij**2
            d[j, k] = d[k, j] = np.sqrt(np.maximum(squared, 0))
        else:
            d[j, k] = d[k, j] = (n[i] * d[i, k] + n[j] * d[j, k]) / (n[i] + n[j])
        d[i], d[:, i] = np.inf, np.inf
        n[j] += n[i]
    # in order of height, with nodes for slots
    ordered = np.array(sorted(merges, key=lambda merge: merge[2])).reshape(-1, 3)
    m = len(d)
    clusters, node = DisjointSet(range(m)), np.arange(m)
    for i, (a, b) in enumerate(ordered[:, :2].astype(int)):
        ordered[i, :2] = sorted(node[[clusters[a], clusters[b]]])
        clusters.merge(a, b)
        node[clusters[a]] = m + i
    return ordered


def _with_sizes(merges: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return `merges` (m-1, 4) with the sizes that follow from those of the points, `sizes` (m,)."""
    masses = np.concatenate([sizes, np.zeros(len(merges))])
    for i, (a, b) in enumerate(merges[:, :2].astype(int)):
        masses[len(sizes) + i] = masses[a] + masses[b]
    return np.column_stack([merges[:, :3], masses[len(sizes) :]])


def cut_tree(merges: np.ndarray, n_merges: int) -> np.ndarray:
    """Return the cluster (m,) of each point after the first `n_merges` merges, as numbers of nodes."""
    m = len(merges) + 1
    owner = np.arange(2 * m - 1)
    for i, (a, b) in enumerate(merges[:n_merges, :2].astype(int)):
        owner[[a, b]] = m + i
    for node in range(m + n_merges - 1, -1, -1):  # from the top: the owner of an owner is final
        owner[node] = owner[owner[node]]
    return owner[:m]


def largest_jump(heights: np.ndarray) -> int:
    """Return the number of clusters, at least 2, below the largest jump between the sorted heights (m-1,) of merges.

    The height of the first merge is no jump: in many dimensions all points are far from each other.
    """
    jumps = np.diff(heights)
    return len(heights) - int(len(jumps) - 1 - jumps[::-1].argmax()) if len(jumps) else 2


def cophenetic_correlation(z: np.ndarray, sizes: np.ndarray, merges: np.ndarray) -> float:
    """Return the correlation in [-1, 1] of distances and heights of common merges; nan where one is constant."""
    from scipy.cluster.hierarchy import cophenet
    from scipy.spatial.distance import pdist

    distances = pdist(z)
    heights = np.asarray(cophenet(_with_sizes(merges, np.ones(len(z)))))  # SciPy counts points
    rows, columns = np.triu_indices(len(z), 1)
    w = (sizes / sizes.sum())[rows] * (sizes / sizes.sum())[columns]
    distances -= np.average(distances, weights=w)
    heights = heights - np.average(heights, weights=w)
    norm = np.sqrt((w * distances**2).sum() * (w * heights**2).sum())
    return float((w * distances * heights).sum() / norm) if norm > 0 else float("nan")
