"""The tree of merges of weighted points: Ward, average, single and complete linkage.

The two closest clusters are merged until one remains. The linkages differ in what "close" means,

    single     min |x_i - x_j|            complete   max |x_i - x_j|
    average    mean |x_i - x_j|           ward       sqrt(2 n_i n_j/(n_i + n_j)) |c_i - c_j|

with n the sizes and c the means of the clusters. Ward's height h is the growth of the sum of squares
within the clusters, by h^2/2 (Ward 1963). Distances after a merge follow from those before it (Lance
and Williams 1967): with i and j merged and k any other cluster,

    single     min(d_ki, d_kj)            complete   max(d_ki, d_kj)
    average    (n_i d_ki + n_j d_kj)/(n_i + n_j)
    ward       d^2 = ((n_i + n_k) d_ki^2 + (n_j + n_k) d_kj^2 - n_k d_ij^2)/(n_i + n_j + n_k)

The points may carry sizes from the start. For Ward and average linkage they enter every formula, so
that a point of size 3 is the same as three equal points; scipy cannot do that. Here the merges are
found along chains of nearest neighbours (Murtagh 1983; Muellner 2011): follow nearest neighbours until
two clusters are each other's nearest, merge these, go on from the rest of the chain. It is exact, as
no merge brings a third cluster closer. Single and complete linkage do not depend on sizes; scipy links
and the sizes are counted. m points take m^2 memory and time, so m is limited by the caller.

The cophenetic correlation is that of distance and height of the first common merge, over all pairs of
points, a pair counting n_i n_j times (Sokal and Rohlf 1962).
"""

from collections.abc import Callable

import numpy as np

__all__ = ["LINKAGES", "cophenetic_correlation", "count_sizes", "cut_tree", "largest_jump", "link"]

LINKAGES = {name: name for name in ("ward", "average", "single", "complete")}

Update = Callable[..., np.ndarray]  # d_ki, d_kj, d_ij, n_i, n_j, n_k -> distances (k,) to the merged cluster


def _ward(d_ki: np.ndarray, d_kj: np.ndarray, d_ij: float, n_i: float, n_j: float, n_k: np.ndarray) -> np.ndarray:
    unit = 1 / (n_i + n_j + n_k)
    squared = (n_k + n_i) * unit * d_ki * d_ki + (n_k + n_j) * unit * d_kj * d_kj - n_k * unit * d_ij * d_ij
    return np.sqrt(np.maximum(squared, 0))


_UPDATES: dict[str, Update] = {
    "ward": _ward,
    "average": lambda d_ki, d_kj, d_ij, n_i, n_j, n_k: (n_i * d_ki + n_j * d_kj) / (n_i + n_j),
}


def link(z: np.ndarray, sizes: np.ndarray, linkage: str = "ward") -> np.ndarray:
    """Return the merges (m-1, 4) of points `z` (m, d) with `sizes` (m,), in the format of scipy.

    A row holds two nodes (below m: points; m + i: the cluster made by row i), the height and the size.
    With all sizes 1 the result is that of `scipy.cluster.hierarchy.linkage`.
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import pdist, squareform

    distances = pdist(z)
    if linkage in _UPDATES:
        matrix = squareform(distances)
        if linkage == "ward":
            matrix *= np.sqrt(2 * np.multiply.outer(sizes, sizes) / np.add.outer(sizes, sizes))
        merges = _numbered(_chain(matrix, sizes.astype(np.float64), _UPDATES[linkage]))
    else:
        merges = hierarchy.linkage(distances, linkage)
    return count_sizes(merges, sizes)


def count_sizes(merges: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return `merges` (m-1, 4) with the sizes that follow from those of the points, `sizes` (m,)."""
    masses = np.concatenate([sizes, np.zeros(len(merges))])
    for i, (a, b) in enumerate(merges[:, :2].astype(int)):
        masses[len(sizes) + i] = masses[a] + masses[b]
    return np.column_stack([merges[:, :3], masses[len(sizes) :]])


def _chain(d: np.ndarray, n: np.ndarray, update: Update) -> np.ndarray:
    """Return the merges (m-1, 3) of clusters with distances `d` (m, m), which is overwritten: slot, slot, height.

    A merged cluster lives in the slot of its larger index. Among equal distances the previous cluster of
    the chain comes first, then the lowest slot.
    """
    np.fill_diagonal(d, np.inf)
    alive, chain, merges = np.ones(len(d), dtype=bool), [], []
    while len(merges) < len(d) - 1:
        if not chain:
            chain.append(int(alive.argmax()))
        here = chain[-1]
        near = int(d[here].argmin())
        if len(chain) < 2 or d[here, near] < d[here, chain[-2]]:
            chain.append(near)
            continue
        i, j = sorted((chain.pop(), chain.pop()))
        height = float(d[i, j])
        merges.append((i, j, height))
        alive[i] = False
        others = np.flatnonzero(alive & (np.arange(len(d)) != j))
        d[j, others] = d[others, j] = update(d[i, others], d[j, others], height, n[i], n[j], n[others])
        d[i], d[:, i] = np.inf, np.inf
        n[j] += n[i]
    return np.array(merges).reshape(-1, 3)


def _numbered(merges: np.ndarray) -> np.ndarray:
    """Return merges (m-1, 4) in order of height, with nodes for slots; sizes are still to be filled in."""
    ordered = merges[np.argsort(merges[:, 2], kind="stable")]
    m = len(merges) + 1
    parent = np.arange(2 * m - 1)
    found = np.zeros((m - 1, 4))
    for i, (a, b, height) in enumerate(ordered):
        nodes = [_root(parent, int(slot)) for slot in (a, b)]
        parent[nodes] = m + i
        found[i, :3] = *sorted(nodes), height
    return found


def _root(parent: np.ndarray, node: int) -> int:
    start = node
    while parent[node] != node:
        node = int(parent[node])
    while parent[start] != node:  # shorten the path for the next visit
        parent[start], start = node, int(parent[start])
    return node


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
    """Return the number of clusters, at least 2, below the largest jump of the sorted heights (m-1,)."""
    jumps = np.diff(heights, prepend=0.0)
    return len(heights) + 1 - int(len(jumps) - 1 - jumps[::-1].argmax())


def cophenetic_correlation(z: np.ndarray, sizes: np.ndarray, merges: np.ndarray) -> float:
    """Return the correlation in [-1, 1] of distances and heights of common merges; nan where one is constant."""
    from scipy.cluster.hierarchy import cophenet
    from scipy.spatial.distance import pdist

    distances = pdist(z)
    heights = np.asarray(cophenet(count_sizes(merges, np.ones(len(z)))))  # scipy counts points
    rows, columns = np.triu_indices(len(z), 1)
    w = (sizes / sizes.sum())[rows] * (sizes / sizes.sum())[columns]
    distances -= np.average(distances, weights=w)
    heights = heights - np.average(heights, weights=w)
    norm = np.sqrt((w * distances**2).sum() * (w * heights**2).sum())
    return float((w * distances * heights).sum() / norm) if norm > 0 else float("nan")
