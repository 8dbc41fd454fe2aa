"""t-SNE and biplots: what they keep, what they say, what they refuse."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from reverie.core.errors import InputError
from reverie.explore import embedding
from reverie.explore.components import biplot, principal_components
from reverie.explore.embedding import trustworthiness, tsne


def _clusters(n, seed, d=60):
    r = np.random.default_rng(seed)
    label = np.arange(n) % 3
    return r.normal(size=(n, d)) + 8 * np.eye(3, d)[label], label


def test_clusters_stay_apart_and_the_seed_decides():
    X, label = _clusters(90, 0)
    first, again, other = (tsne(X, perplexity=10, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.points, again.points)
    assert first.points.shape == (90, 2)
    assert other.seed == 1
    centres = np.stack([first.points[label == k].mean(0) for k in range(3)])
    nearest = np.linalg.norm(first.points[:, None] - centres, axis=2).argmin(1)
    assert (nearest == label).all()
    assert 0.5 < first.pca_trustworthiness < first.trustworthiness <= 1
    assert str(first).startswith("t-SNE of 90 rows (perplexity 10): trustworthiness 0.")
    assert "distances between clusters and their sizes mean little" in str(first)
    assert json.loads(json.dumps(first.to_json()))["n"] == 90


def test_many_rows_are_cut_by_seed():
    X, _ = _clusters(200, 0, d=1 + 3)
    result = tsne(X, perplexity=5, random_state=0, max_rows=40)
    assert len(result.points) == len(result.rows) == 40
    assert (np.diff(result.rows) > 0).all()
    assert "40 of 200 rows" in result.notes[1]


def test_trustworthiness_of_a_true_and_a_random_picture():
    X = np.random.default_rng(0).normal(size=(300, 2))
    assert trustworthiness(np.hstack([X, np.zeros((300, 3))]), X) == pytest.approx(1)
    assert trustworthiness(X, np.random.default_rng(1).permutation(X)) < 0.6  # twin: 1/2 is chance


def test_trustworthiness_of_many_rows_is_that_of_a_sample(monkeypatch):
    X = np.random.default_rng(0).normal(size=(600, 3))
    full = trustworthiness(X, X[:, :2])
    monkeypatch.setattr(embedding, "RANK_ROWS", 300)
    part = trustworthiness(X, X[:, :2], random_state=0)
    assert part == trustworthiness(X, X[:, :2], random_state=0)
    assert part == pytest.approx(full, abs=0.03)


def test_biplot_arrows_carry_the_covariance():
    X = np.random.default_rng(0).normal(size=(200, 3)) @ np.array([[2, 1, 0], [0, 1, 0.5], [0, 0, 0.1]])
    result = principal_components(X, n_bootstrap=0)
    picture = biplot(result, X)
    np.testing.assert_allclose(picture.scores, result.transform(X)[:, :2])
    plane = result.components[:2].T * result.explained_variance[:2] @ result.components[:2]
    np.testing.assert_allclose(picture.arrows @ picture.arrows.T / picture.factor**2, plane, atol=1e-12)
    longest = np.linalg.norm(picture.arrows, axis=1).max()
    assert longest == pytest.approx(0.8 * np.linalg.norm(picture.scores, axis=1).max())
    swapped = biplot(result, X, components=(1, 0))
    np.testing.assert_allclose(swapped.arrows / swapped.factor, picture.arrows[:, ::-1] / picture.factor)
    np.testing.assert_allclose(swapped.shares, picture.shares[::-1])


X9 = np.random.default_rng(0).normal(size=(40, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tsne(X9, perplexity=39), "between 1 and n - 1 = 39"),
        (lambda: tsne(X9, perplexity=5, n_components=4), "2 or 3"),
        (lambda: tsne(SimpleNamespace(values=X9, names=None, weights=np.arange(40.0))), "unequal weights"),
        (lambda: trustworthiness(X9, X9[:30]), "40 rows and 30 points"),
        (lambda: biplot(principal_components(X9, n_bootstrap=0), X9, (0, 3)), "between 0 and 2"),
        (lambda: biplot(principal_components(X9, n_bootstrap=0), X9[:, :2]), "Expected 3 features"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(call, words):
    with pytest.raises(InputError, match=words):
        call()
