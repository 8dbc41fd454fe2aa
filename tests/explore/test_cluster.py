"""K-means: laws of any clustering, the number of clusters where it is known, intervals that cover."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reverie.core.errors import InputError
from reverie.explore.cluster import Criterion, criteria_table, gap_choice, kmeans, kmeans_steps

ALPHA = 1e-4


def blobs(n: int, seed: int, centres=((0, 0), (8, 0), (0, 8)), spreads=(1, 1, 1)) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    which = r.integers(len(centres), size=n)
    return np.array(centres, dtype=float)[which] + r.normal(size=(n, 2)) * np.array(spreads)[which, None], which


X, WHICH = blobs(900, 0)
THREE = kmeans(X, 3, random_state=0)


def test_known_groups_are_found():
    share = np.bincount(3 * THREE.labels + WHICH, minlength=9).reshape(3, 3).max(axis=1).sum() / len(X)
    assert share > 0.999  # 4 sigma from every border: 3e-5 of the rows lie beyond
    assert sorted(np.round(THREE.centres / 8).astype(int).tolist()) == [[0, 0], [0, 1], [1, 0]]


def test_labels_are_those_of_the_nearest_centre_and_centres_are_means():
    np.testing.assert_array_equal(THREE.predict(X), THREE.labels)
    means = np.stack([X[THREE.labels == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(THREE.centres, means, atol=1e-9)
    assert THREE.labels.dtype.kind == "i"
    assert list(THREE.sizes) == sorted(THREE.sizes, reverse=True)


def test_units_do_not_matter_and_matter_without_standardisation():
    scaled = X * [1, 1000.0]
    np.testing.assert_array_equal(kmeans(scaled, 3, random_state=0).labels, THREE.labels)
    raw = kmeans(scaled, 3, random_state=0, standardise=False)
    assert np.abs(raw.centres[:, 0] - 8).min() > 1  # the first feature no longer separates anything


def test_a_weight_counts_as_so_many_rows():
    r = np.random.default_rng(1)
    w = r.integers(1, 4, size=200)
    rows = r.normal(size=(200, 2))
    weighted = SimpleNamespace(values=rows, names=("a", "b"), weights=w.astype(float))
    one, many = kmeans(weighted, 1, random_state=0), kmeans(np.repeat(rows, w, axis=0), 1, random_state=0)
    np.testing.assert_allclose(one.centres, many.centres)
    assert one.inertia == pytest.approx(many.inertia)


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_one_cluster_is_no_clusters(law):
    r = np.random.default_rng(2)
    rows = r.normal(size=(400, 3)) if law == "normal" else r.uniform(size=(400, 3))
    found = kmeans(rows, random_state=0, choices=range(2, 5))
    assert found.n_clusters == 1
    assert "1 cluster of 400 rows" in str(found)


def test_three_clusters_are_chosen_and_the_table_is_complete():
    found = kmeans(X, random_state=0, choices=range(2, 6))
    assert found.preferred == {"gap": 3, "silhouette": 3, "calinski_harabasz": 3}
    assert [c.n_clusters for c in found.criteria] == [1, 2, 3, 4, 5]
    assert found.criteria[0].silhouette is None


def test_a_broken_gap_does_not_find_them(monkeypatch):
    # clusters that do not depend on K: the gap has nothing left to compare
    monkeypatch.setattr("reverie.explore.cluster._centres", lambda z, *_, **__: z.mean(axis=0, keepdims=True))
    assert gap_choice(criteria_table(X, range(2, 6), 0)) != 3


def test_the_rule_of_one_standard_error_by_hand():
    gaps = [(0.1, 0.0), (0.5, 0.1), (0.55, 0.06), (0.9, 0.1)]
    table = [Criterion(k + 1, 1.0, gap, error, None, None) for k, (gap, error) in enumerate(gaps)]
    assert gap_choice(table) == 2  # 0.5 >= 0.55 - 0.06
    assert gap_choice(table[:2]) == 2  # still growing: the last
    wrong = max(table, key=lambda c: c.gap).n_clusters
    assert wrong == 4  # the largest gap is another rule


def test_unequal_variances_are_told():
    wide, _ = blobs(900, 3, centres=((0, 0), (14, 0)), spreads=(0.5, 3))
    assert "assumes that they are equal" in str(kmeans(wide, 2, random_state=0))
    assert not THREE.warnings


def test_occupancy_is_that_of_clopper_and_pearson():
    found = THREE.occupancy(X[:50])
    for k in range(3):
        exact = stats.binomtest(int(found.counts[k]), 50).proportion_ci(0.95, "exact")
        assert (found.low[k], found.high[k]) == pytest.approx((exact.low, exact.high))
    np.testing.assert_array_equal(found.counts, np.bincount(THREE.labels[:50], minlength=3))


def test_an_empty_cluster_has_the_exact_upper_limit():
    only = THREE.occupancy(X[THREE.labels == 0][:100])
    assert only.low[1] == 0
    assert only.high[1] == pytest.approx(1 - 0.025 ** (1 / 100))
    assert only.high[0] == 1


def _misses(level: float, runs: int = 150) -> int:
    r, missed = np.random.default_rng(4), 0
    truth = THREE.sizes / len(X)
    for _ in range(runs):
        found = THREE.occupancy(X[r.integers(len(X), size=60)], level=level)
        missed += int(not found.low[0] <= truth[0] <= found.high[0])
    return missed


def test_occupancy_covers_and_a_lower_level_does_not():
    limit = stats.binom.isf(ALPHA, 150, 0.05)
    assert _misses(0.95) <= limit
    assert _misses(0.6) > limit


def test_weights_widen_the_interval():
    few = SimpleNamespace(values=X[:100], names=("a", "b"), weights=np.r_[np.full(10, 10.0), np.full(90, 1e-3)])
    found, plain = THREE.occupancy(few), THREE.occupancy(X[:100])
    assert found.n == pytest.approx(10, rel=0.05)
    assert (found.high - found.low).min() > (plain.high - plain.low).max()


def test_the_same_seed_gives_the_same_and_the_result_travels():
    again = kmeans(X, 3, random_state=0)
    np.testing.assert_array_equal(again.centres, THREE.centres)
    plain = json.loads(json.dumps(kmeans(X, random_state=0, choices=(2, 3)).to_json(), allow_nan=False))
    assert plain["criteria"][0]["n_clusters"] == 1
    json.dumps(THREE.occupancy(X).to_json(), allow_nan=False)
    assert "intervals" in str(THREE.occupancy(X))


def test_repeated_rows_and_constant_features():
    rows = np.repeat([[0.0, 5], [1, 5]], 20, axis=0)
    found = kmeans(rows, 3, random_state=0)
    assert found.n_clusters == 2
    assert "rows repeat" in str(found)
    assert kmeans(rows, random_state=0).n_clusters <= 2


def test_many_rows_go_through_mini_batches(monkeypatch):
    monkeypatch.setattr("reverie.explore.cluster.MINI_BATCH_ABOVE", 5_000)
    many, which = blobs(6_000, 5)
    found = kmeans(many, 3, random_state=0)
    assert np.bincount(3 * found.labels + which, minlength=9).reshape(3, 3).max(axis=1).sum() > 0.999 * len(many)


def test_what_cannot_be_clustered_is_refused_in_words():
    wrong: list[dict[str, Any]] = [{"n_clusters": 0}, {"n_clusters": 901}, {"max_rows": 0}, {"choices": [2.5]}]
    for arguments in wrong:
        with pytest.raises(InputError, match="Expected"):
            kmeans(X, random_state=0, **arguments)
    with pytest.raises(InputError, match="nothing to cluster"):
        kmeans(np.ones((5, 2)), random_state=0)
    with pytest.raises(InputError, match="2 features"):
        THREE.predict(np.ones((3, 4)))
    with pytest.raises(InputError, match="level"):
        THREE.occupancy(X, level=95)


def test_steps_of_kmeans_are_those_of_lloyd():
    from sklearn.cluster import KMeans

    x = np.random.default_rng(0).normal(size=(200, 2))
    steps = list(kmeans_steps(x, x[:4]))
    assert all(later.cost <= earlier.cost for earlier, later in zip(steps, steps[1:], strict=False))
    np.testing.assert_array_equal(steps[-1].labels, steps[-2].labels)
    options: dict[str, Any] = {"init": x[:4], "n_init": 1, "tol": 0.0}
    reference = KMeans(4, algorithm="lloyd", **options).fit(x)
    assert steps[-1].cost == pytest.approx(reference.inertia_)
    for k in range(4):  # each centre is the mean of its rows
        np.testing.assert_allclose(steps[-1].centres[k], x[steps[-1].labels == k].mean(axis=0))
    with pytest.raises(InputError, match="centres"):
        next(kmeans_steps(x, x[0]))


def test_criteria_do_not_ask_for_the_order_of_the_rows():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (2500, 2)), rng.normal(20, 1, (2500, 2))])
    assert kmeans(x, random_state=0, choices=[2, 3]).preferred == {"gap": 2, "silhouette": 2, "calinski_harabasz": 2}


def test_columns_go_by_their_names():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": np.r_[rng.normal(size=50), rng.normal(size=50) + 100], "b": rng.normal(size=100)})
    found = kmeans(table, 2, random_state=0)
    np.testing.assert_array_equal(found.predict(table[["b", "a"]]), found.labels)
    np.testing.assert_array_equal(found.predict(table.to_numpy()), found.labels)
    with pytest.raises(InputError, match="Expected the columns a, b"):
        found.predict(table.rename(columns={"a": "c"}))
