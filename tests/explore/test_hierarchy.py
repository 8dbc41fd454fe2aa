"""Trees of merges: scipy for sizes of one, repeated rows for larger ones, sums of squares, cuts."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.cluster import hierarchy as reference
from scipy.spatial.distance import pdist

from reverie.core.errors import InputError
from reverie.explore.hierarchy import LINKAGES, cophenetic_correlation, cut_tree, hierarchy, largest_jump, link

SIZED = ("ward", "average")


def points(n: int, seed: int, *, tied: bool = False) -> np.ndarray:
    r = np.random.default_rng(seed)
    return r.integers(0, 5, size=(n, 3)).astype(float) if tied else r.normal(size=(n, 3))


def three(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    which = np.arange(n) % 3
    return np.array([[0.0, 0], [10, 0], [0, 10]])[which] + r.normal(size=(n, 2)), which


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("n", [2, 3, 40, 200])
def test_sizes_of_one_are_scipy(linkage, tied, n):
    z = points(n, n, tied=tied)
    found, expected = link(z, np.ones(n), linkage), reference.linkage(pdist(z), linkage)
    np.testing.assert_array_equal(found[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    np.testing.assert_allclose(found[:, 2], expected[:, 2], rtol=1e-12)


def _repeated_heights(z: np.ndarray, sizes: np.ndarray, linkage: str) -> np.ndarray:
    merges = reference.linkage(pdist(np.repeat(z, sizes, axis=0)), linkage)
    return merges[len(merges) - len(z) + 1 :, 2]  # the others join equal points


@pytest.mark.parametrize("linkage", LINKAGES)
def test_a_point_of_size_three_is_three_points(linkage):
    z, sizes = points(40, 0), np.random.default_rng(0).integers(1, 6, size=40)
    found = link(z, sizes, linkage)
    np.testing.assert_allclose(found[:, 2], _repeated_heights(z, sizes, linkage), rtol=1e-9)
    assert found[-1, 3] == sizes.sum()


@pytest.mark.parametrize("linkage", SIZED)
def test_sizes_that_are_forgotten_fail_that_law(linkage):
    z, sizes = points(40, 0), np.random.default_rng(0).integers(1, 6, size=40)
    forgotten = link(z, np.ones(40), linkage)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(forgotten[:, 2], _repeated_heights(z, sizes, linkage), rtol=1e-9)


def test_ward_heights_add_up_to_the_sum_of_squares():
    x = points(5000, 1)
    found = hierarchy(x, condense=50, standardise=False, random_state=0)
    within = np.square(x - found.centres[found.leaves]).sum()
    total = np.square(x - x.mean(axis=0)).sum()
    assert within + np.square(found.heights).sum() / 2 == pytest.approx(total, rel=1e-10)
    forgotten = link(found.centres, np.ones(len(found.centres)))[:, 2]
    assert within + np.square(forgotten).sum() / 2 < 0.9 * total


def test_event_weights_are_sizes():
    z, w = points(30, 2), np.random.default_rng(2).integers(1, 5, size=30)
    weighted = hierarchy(SimpleNamespace(values=z, names=("a", "b", "c"), weights=w.astype(float)), standardise=False)
    np.testing.assert_allclose(weighted.heights, _repeated_heights(z, w, "ward"), rtol=1e-9)


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("k", [1, 2, 5, 40])
def test_cuts_are_those_of_scipy(linkage, k):
    z = points(40, 3)
    tree = hierarchy(z, linkage=linkage, standardise=False)
    labels = tree.labels(k)
    expected = reference.fcluster(reference.linkage(z, linkage), k, "maxclust")
    assert len(np.unique(labels)) == k
    assert len(np.unique(labels * 100 + expected)) == k  # the same partition under other names
    assert (np.diff(np.bincount(labels)) <= 0).all()


def test_a_cut_at_a_height_counts_the_merges_below():
    tree = hierarchy(points(40, 3), standardise=False)
    for height in (0.0, float(tree.heights[10]), 1e9):
        expected = reference.fcluster(tree.merges, height, "distance")
        labels = tree.cut(height)
        assert len(np.unique(labels)) == len(np.unique(labels * 100 + expected)) == len(np.unique(expected))


@pytest.mark.parametrize("linkage", LINKAGES)
def test_the_cophenetic_correlation_is_that_of_scipy_and_honours_sizes(linkage):
    z, sizes = points(30, 4), np.random.default_rng(4).integers(1, 4, size=30)
    merges = reference.linkage(z, linkage)
    assert cophenetic_correlation(z, np.ones(30), merges) == pytest.approx(reference.cophenet(merges, pdist(z))[0])
    # pairs of equal points are not pairs of points: leave them out of the repeated sample
    repeated = np.repeat(z, sizes, axis=0)
    distances, heights = pdist(repeated), reference.cophenet(reference.linkage(repeated, linkage))
    expected = np.corrcoef(distances[distances > 0], heights[distances > 0])[0, 1]
    assert cophenetic_correlation(z, sizes, link(z, sizes, linkage)) == pytest.approx(expected)


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("condense", [None, 60])
def test_known_groups_are_found_and_suggested(linkage, condense):
    x, which = three(600, 0)
    tree = hierarchy(x, linkage=linkage, condense=condense, random_state=0)
    assert tree.n_clusters == 3
    assert len(np.unique(3 * tree.labels() + which)) == 3
    np.testing.assert_array_equal(tree.predict(x), tree.labels())
    assert tree.condensed == (condense is not None)


def test_the_largest_jump_by_hand():
    assert largest_jump(np.array([1.0, 1.1, 1.2, 5.0, 5.5])) == 3
    assert largest_jump(np.array([1.0, 1.1, 1.2, 1.3, 5.5])) == 2
    np.testing.assert_array_equal(cut_tree(np.array([[0, 2, 1.0, 2], [1, 3, 2.0, 3]]), 1), [3, 1, 3])


def test_the_dendrogram_is_that_of_scipy():
    tree = hierarchy(points(40, 5), standardise=False)
    for p in (2, 7, 40, 100):
        drawn = tree.dendrogram(p)
        expected = reference.dendrogram(tree.merges, p=p, truncate_mode="lastp", no_plot=True)
        np.testing.assert_allclose(np.sort(drawn.dcoord, axis=None), np.sort(expected["dcoord"], axis=None))
        assert len(drawn.icoord) == min(p, 40) - 1
        assert drawn.leaf_sizes.sum() == 40
    assert sorted(tree.dendrogram(40).leaf_nodes) == list(range(40))


def test_a_chain_of_merges_can_be_drawn():
    tree = hierarchy(np.cumsum(np.arange(1, 2001.0))[:, None], linkage="single", standardise=False)
    assert tree.dendrogram(500).dcoord.max() == 2000
    assert len(np.unique(tree.labels(2))) == 2


def test_many_rows_are_condensed_by_themselves():
    x, which = three(4000, 1)
    tree = hierarchy(x, random_state=0)
    assert len(tree.centres) <= 1000
    assert tree.sizes.sum() == 4000
    assert len(np.unique(3 * tree.labels(3) + which)) == 3
    assert "not of single rows" in str(hierarchy(x, linkage="single", condense=100, random_state=0))


def test_the_same_seed_gives_the_same_and_the_result_travels():
    x, _ = three(3100, 2)
    a, b = (hierarchy(x, condense=50, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(a.merges, b.merges)
    json.dumps(a.to_json(), allow_nan=False)
    assert "Ward linkage of 3100 rows through" in str(a)
    assert hierarchy(x[:2]).to_json()["cophenetic"] is None


def test_equal_rows_make_a_tree_of_height_zero():
    tree = hierarchy(np.ones((5, 2)))
    assert tree.heights.max() == 0
    json.dumps(tree.to_json(), allow_nan=False)


def test_what_cannot_be_linked_is_refused_in_words():
    x, _ = three(60, 0)
    with pytest.raises(InputError, match="ward"):
        hierarchy(x, linkage="wart")
    for arguments in ({"condense": 0}, {"condense": 1}, {"n_clusters": 61}, {"n_clusters": 0}):
        with pytest.raises(InputError, match="Expected"):
            hierarchy(x, random_state=0, **arguments)
    with pytest.raises(InputError, match="leaves"):
        hierarchy(np.ones((6000, 1)) * np.arange(6000)[:, None], condense=5500)
    with pytest.raises(InputError, match="weights > 0"):
        hierarchy(SimpleNamespace(values=x, names=("a", "b"), weights=np.r_[0.0, np.ones(59)]))
    with pytest.raises(InputError, match="n_leaves"):
        hierarchy(x).dendrogram(1)


@pytest.mark.parametrize("d", [2, 20, 100])
def test_points_far_from_each_other_are_no_clusters_of_one_each(d):
    merges = reference.linkage(np.random.default_rng(0).normal(size=(200, d)), "ward")
    assert largest_jump(merges[:, 2]) < 20
    assert largest_jump(np.array([1.0])) == 2
