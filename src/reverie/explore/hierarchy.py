"""Hierarchical clustering of tables of any length: K-means condenses the rows, then a tree links them.

The tree of n rows takes n^2 steps and distances, and does not scale. Above 3,000 rows they are first
condensed into 1,000 small K-means clusters, and those are linked *with their sizes*: n_i in the
formulas of `reverie.explore.linkage` is the number of rows (or the sum of event weights) of a small
cluster, from the first distance on.

    ward               exact, given that the rows of a small cluster are merged first
    average            the distance of two means stands for the mean distance of their rows
    single, complete   those of the means: single rows, which these linkages hang on, are not seen

The number of clusters suggested is where the heights of the merges jump most. Heights of Ward grow with
the sizes, so the suggestion tends to few clusters; the dendrogram says more than one number.
"""

import math
import warnings as python_warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.explore.linkage import LINKAGES, cophenetic_correlation, count_sizes, cut_tree, largest_jump, link
from reverie.explore.nearest import nearest, read_like, sklearn_seed, units
from reverie.explore.tables import read_table

__all__ = ["Dendrogram", "Hierarchy", "hierarchy"]

CONDENSE_ABOVE = 3_000  # rows; above, they are condensed into CONDENSED small clusters
CONDENSED = 1_000
_MOST_LEAVES = 5_000  # the matrix of their distances takes 0.2 GB
_MOST_DRAWN = 500  # of a dendrogram; nobody can read more, and a deeper tree exceeds Python's recursion


@dataclass(frozen=True, eq=False)
class Dendrogram:
    """The last merges of a tree, ready to draw: one bracket per merge.

    Parameters
    ----------
    icoord, dcoord : (merges, 4), the corners of each bracket, along the leaves and along the heights.
    leaf_sizes : (leaves,) rows (or weight) under each leaf, from left to right; leaf j is at 10 j + 5.
    leaf_nodes : (leaves,) number of the node in the merge matrix; below m it is an original leaf.
    """

    icoord: np.ndarray
    dcoord: np.ndarray
    leaf_sizes: np.ndarray
    leaf_nodes: np.ndarray


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """The tree of merges of m leaves, which are rows or small clusters of rows.

    Parameters
    ----------
    merges : (m-1, 4) in the format of `scipy.cluster.hierarchy`: two nodes, the height of their merge in
        the units of `scale`, and the rows (or weight) below it.
    linkage : "ward", "single", "complete" or "average".
    centres : (m, d) means of the leaves in the units of the data.
    sizes : (m,) rows (or weight) of each leaf.
    leaves : (n,) integers, the leaf of each row.
    n_clusters : the number asked for, or suggested by the largest jump of the heights.
    cophenetic : correlation of distance and height, in [-1, 1]; nan for two leaves or equal rows.
    names : d feature names.
    location, scale : (d,) what was subtracted and divided by before distances were taken.
    seed : the root of all randomness.
    warnings : what to keep in mind, in sentences.
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
        return self._leaf_labels(n_clusters)[nearest(z, self._z)]

    def dendrogram(self, n_leaves: int = 30) -> Dendrogram:
        """Return the coordinates of the last n_leaves - 1 merges (2 <= n_leaves <= 500); nothing is drawn."""
        from scipy.cluster.hierarchy import dendrogram

        check_positive("n_leaves", n_leaves, integer=True)
        m = len(self.centres)
        n_leaves = min(n_leaves, m)
        if not 2 <= n_leaves <= _MOST_DRAWN:
            raise InputError(f"Expected 2 <= n_leaves <= {_MOST_DRAWN}, got {n_leaves}. Draw fewer leaves.")
        last = self.merges[m - n_leaves :].copy()  # a tree of its own, whose leaves are nodes of the whole one
        below = np.setdiff1d(last[:, :2], np.arange(2 * m - n_leaves, 2 * m - 1)).astype(np.int64)
        last[:, :2] = np.where(
            last[:, :2] >= 2 * m - n_leaves, last[:, :2] - 2 * (m - n_leaves), np.searchsorted(below, last[:, :2])
        )
        drawn = dendrogram(count_sizes(last, np.ones(n_leaves)), no_plot=True)
        nodes = below[drawn["leaves"]]
        masses = np.concatenate([self.sizes, self.merges[:, 3]])
        return Dendrogram(np.array(drawn["icoord"]), np.array(drawn["dcoord"]), masses[nodes], nodes)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write, without the leaf of each row."""
        keys = [k for k in self.__dataclass_fields__ if k != "leaves"]
        plain = {k: getattr(self, k) for k in keys}
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in plain.items()}
        cophenetic = None if math.isnan(self.cophenetic) else self.cophenetic
        return plain | {"cophenetic": cophenetic, "names": list(self.names), "warnings": list(self.warnings)}

    def __str__(self) -> str:
        sizes = np.bincount(self.labels())
        shown = ", ".join(str(size) for size in sizes[:10]) + (", ..." if len(sizes) > 10 else "")
        through = f" through {len(self.centres)} small K-means clusters" if self.condensed else ""
        sentences = [
            f"{self.linkage.capitalize()} linkage of {len(self.leaves)} rows{through}: cut into {self.n_clusters} "
            f"clusters of sizes {shown}.",
            f"The tree keeps the distances with a cophenetic correlation of {self.cophenetic:.3f}.",
        ]
        return " ".join([*sentences, *self.warnings])

    @cached_property
    def _z(self) -> np.ndarray:
        return (self.centres - self.location) / self.scale

    def _leaf_labels(self, n_clusters: int | None) -> np.ndarray:
        m = len(self.centres)
        k = self.n_clusters if n_clusters is None else n_clusters
        check_positive("n_clusters", k, integer=True)
        if k > m:
            raise InputError(f"Expected n_clusters <= {m} leaves of the tree, got {k}. Ask for fewer clusters.")
        nodes = np.unique(cut_tree(self.merges, m - int(k)), return_inverse=True)[1]
        rows = np.bincount(nodes, weights=np.bincount(self.leaves, minlength=m))
        rank = np.empty(len(rows), dtype=np.int64)
        rank[np.argsort(-rows, kind="stable")] = np.arange(len(rows))
        return rank[nodes]


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
    X : (n, *event), array or data set; event weights count as sizes.
    linkage : "ward", "single", "complete" or "average".
    condense : number of small K-means clusters to start from; None takes the rows themselves up to
        3,000 of them, and 1,000 small clusters above.
    n_clusters : where `labels` cuts the tree; None takes the largest jump of the heights.
    standardise : divide features by their standard deviations first, so that units do not matter.
    random_state : int, generator or None; only K-means draws.

    Raises
    ------
    InputError
        For fewer than two rows that differ, or more than 5,000 leaves.
    """
    linkage = check_choice("linkage", linkage, LINKAGES)
    table, seed = read_table(X), as_seed(random_state)
    location, scale = units(table, standardise=standardise)
    z = (table.values - location) / scale
    if table.weights is not None and table.weights.min() <= 0:
        n_zero = int(np.count_nonzero(table.weights <= 0))
        raise InputError(f"Expected weights > 0, got {n_zero} that are 0. Drop those rows.")
    leaves = _leaves(z, condense, table.weights, seed)
    centres, sizes = _means(z, leaves, table.weights)
    merges = link(centres, sizes, linkage)
    found = Hierarchy(
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
        warnings=_warnings(linkage, condensed=len(centres) < len(z)),
    )
    found.labels()  # refuses an n_clusters that the tree cannot give
    return found


def _leaves(z: np.ndarray, condense: int | None, weights: np.ndarray | None, seed: int) -> np.ndarray:
    """Return the leaf (n,) of each row of `z` (n, d), numbered without gaps."""
    if condense is not None:
        check_positive("condense", condense, integer=True)
    elif len(z) > CONDENSE_ABOVE:
        condense = CONDENSED
    asked = len(z) if condense is None else min(int(condense), len(z))
    if not 2 <= asked <= _MOST_LEAVES:
        raise InputError(f"Expected a tree of 2 to {_MOST_LEAVES} leaves, got {asked}. Set condense.")
    if asked == len(z):
        return np.arange(len(z))
    leaves = np.unique(_small_clusters(z, asked, weights, seed), return_inverse=True)[1]
    if not leaves.any():
        raise InputError("Expected rows that differ, got one and the same row everywhere. There is nothing to cluster.")
    return leaves


def _small_clusters(z: np.ndarray, condense: int, weights: np.ndarray | None, seed: int) -> np.ndarray:
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    options: dict[str, Any] = {"init": "random", "n_init": 1, "batch_size": 10_000, "max_iter": 20}
    rough = MiniBatchKMeans(condense, random_state=sklearn_seed(seed, "condense"), **options)
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        rough.fit(z, sample_weight=weights)
    return nearest(z, np.asarray(rough.cluster_centers_))


def _means(z: np.ndarray, leaves: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return means (m, d) and sizes (m,) of the leaves."""
    w = np.ones(len(z)) if weights is None else weights
    sizes = np.bincount(leaves, weights=w)
    sums = np.stack([np.bincount(leaves, weights=w * column) for column in z.T], axis=1)
    return sums / sizes[:, None], sizes


def _warnings(linkage: str, *, condensed: bool) -> tuple[str, ...]:
    if condensed and linkage in ("single", "complete"):
        return (f"The {linkage} linkage is that of the means of the small clusters, not of single rows.",)
    return ()
