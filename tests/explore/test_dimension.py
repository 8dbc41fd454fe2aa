"""Intrinsic dimension: laws for both estimators, closed forms, errors that are those of repetition."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from reverie.core.errors import InputError
from reverie.explore.dimension import gride, neighbour_distances, spatial_blocks, two_nn

ALPHA = 1e-4
Z = stats.norm.isf(ALPHA / 2)


def _ball(n, d, seed):
    r = np.random.default_rng(seed)
    x = r.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * r.random((n, 1)) ** (1 / d)


def _torus(n, d, seed):
    """A flat torus of dimension d in 2 d: uniform, without edge, so without bias at small scale."""
    angle = 2 * np.pi * np.random.default_rng(seed).random((n, d))
    return np.hstack([np.cos(angle), np.sin(angle)])


def _first(X, **options):
    return gride(X, 2, **options).results[0].dimension


ESTIMATORS = {"TwoNN": lambda X: two_nn(X, 1.0).dimension, "censored TwoNN": lambda X: two_nn(X).dimension}
ESTIMATORS |= {"Gride": _first, "Gride at 8": lambda X: gride(X, 16).results[-1].dimension}


@pytest.fixture(params=list(ESTIMATORS))
def estimate(request):
    return ESTIMATORS[request.param]


def test_scale_rotation_shift_and_order_leave_the_dimension(estimate):
    X = _torus(400, 2, 0)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    first = estimate(X)
    for changed in (1e-3 * X, X @ rotation, X + 1e3, X[::-1], np.hstack([X, np.zeros((400, 3))])):
        assert estimate(changed).value == pytest.approx(first.value, rel=1e-6)
    assert first.n == 400


def test_a_flat_torus_has_its_dimension(estimate):
    for d in (1, 2, 3):
        found = estimate(_torus(2000, d, d))
        bias = 0.05 * (d == 3)  # at 2,000 points in three dimensions curvature is just seen at n1 = 8
        assert abs(found.value - d) < Z * found.error + bias
        assert abs(found.value - d - 1) > Z * found.error  # twin: not one more


@pytest.mark.parametrize("d", range(2, 11))
def test_balls_have_their_dimension(d):
    found = two_nn(_ball(2000, d, d)).dimension
    # the surface lowers it: two_nn sees about 0.93 d in ten dimensions
    assert abs(found.value - d) < Z * found.error + 0.008 * d**2
    assert abs(found.value - d) < 0.12 * d


def test_equal_to_the_closed_forms():
    X = np.random.default_rng(0).normal(size=(300, 3))
    r = neighbour_distances(X, 2)
    log_mu = np.sort(np.log(r[:, 1] / r[:, 0]))
    assert two_nn(X, 1.0).dimension.value == pytest.approx(299 / log_mu.sum(), rel=1e-9)
    assert two_nn(X, 0.5).dimension.value == pytest.approx(149 / (log_mu[:150].sum() + 150 * log_mu[149]), rel=1e-9)
    assert _first(X).value == pytest.approx(300 / log_mu.sum(), rel=1e-9)  # the likelihood's maximum for n1 = 1


def test_gride_maximises_its_likelihood():
    X = np.random.default_rng(1).normal(size=(300, 3))
    r = neighbour_distances(X, 8)
    mu = r[:, 7] / r[:, 3]

    def loglik(d):
        return np.sum(np.log(d) + 3 * np.log(mu**d - 1) - (7 * d + 1) * np.log(mu))

    best = gride(X, 8).results[-1].dimension.value
    grid = np.linspace(0.9, 1.1, 2001) * best
    assert abs(grid[np.argmax([loglik(d) for d in grid])] - best) < 2e-4 * best


# Spread over 100 repetitions against the mean error; chi-square of the variance ratio, two-sided ALPHA.
@pytest.mark.parametrize("n1", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_errors_are_those_of_repetition(n1):
    found = [gride(_torus(200, 2, 1000 + s), 2 * n1).results[-1].dimension for s in range(100)]
    assert _spread_p_value(found, 1.0) > ALPHA
    assert _spread_p_value(found, 0.6) < ALPHA  # twin
    assert _spread_p_value(found, 2.0) < ALPHA  # twin


def _spread_p_value(found, factor):
    values, errors = np.array([f.value for f in found]), factor * np.array([f.error for f in found])
    statistic = values.var(ddof=1) * 99 / np.mean(errors**2)
    return 2 * min(stats.chi2.sf(statistic, 99), stats.chi2.cdf(statistic, 99))


def test_a_rolled_sheet_with_noise_has_two_dimensions_only_above_the_noise():
    rng = np.random.default_rng(0)
    t, height = 1.5 * np.pi * (1 + 2 * rng.random(4000)), 20 * rng.random(4000)
    sheet = np.stack([t * np.cos(t), height, t * np.sin(t)], axis=1)
    assert two_nn(sheet).dimension.value == pytest.approx(2, abs=0.1)
    scan = gride(sheet + 0.3 * rng.normal(size=sheet.shape), 128)
    assert scan.dimension[0] > 2.5
    assert scan.dimension[-1] == pytest.approx(2, abs=0.25)
    assert (np.diff(scan.scale) > 0).all()
    assert len(scan.error) == 7


def test_duplicates_are_dropped_and_counted():
    X = _torus(300, 2, 0)
    twice = two_nn(np.vstack([X, X[:40]]))
    assert twice.n_duplicates == 40
    assert twice.dimension == two_nn(X).dimension
    assert "40 rows that repeat an earlier one were dropped." in str(twice)


def test_lattices_are_doubted():
    points = np.random.default_rng(0).integers(0, 20, size=(500, 4))
    assert "discrete data" in two_nn(points).notes[-1]
    with pytest.raises(InputError, match="r_1 = r_2 at every point"):
        two_nn(np.stack(np.meshgrid(*[np.arange(5)] * 2), -1).reshape(-1, 2))


def test_neighbours_equal_all_distances_in_any_block(monkeypatch):
    X = np.random.default_rng(0).normal(size=(90, 30)) + 1e6
    whole = np.linalg.norm(X[:, None] - X[None], axis=2)
    expected = np.sort(whole, axis=1)[:, 1:6]
    np.testing.assert_allclose(neighbour_distances(X, 5), expected, rtol=1e-9)
    monkeypatch.setattr("reverie.core.statistics._NUMBERS", 700)
    np.testing.assert_allclose(neighbour_distances(X, 5), expected, rtol=1e-9)


def test_blocks_of_points_are_of_one_size_and_compact():
    X = np.random.default_rng(0).random((1000, 2))
    block = spatial_blocks(X, 50)
    counts = np.bincount(block)
    assert (counts >= 50).all()
    assert (counts < 101).all()
    assert np.mean([X[block == b].var(0).sum() for b in range(len(counts))]) < 0.15 * X.var(0).sum()


def test_many_rows_are_cut_by_seed():
    X = _torus(900, 2, 0)
    first, again, other = (two_nn(X, max_rows=300, random_state=s) for s in (0, 0, 1))
    assert first == again
    assert first.dimension.value != other.dimension.value
    assert first.dimension.n == 300
    assert "300 of 900 rows" in first.notes[0]


def test_results_speak():
    result, scan = two_nn(_torus(300, 2, 0)), gride(_torus(300, 2, 0), 8)
    assert str(result).startswith("Intrinsic dimension ")
    assert "(n = 300) at distance" in str(result)
    assert str(scan).count(" at ") == 3
    assert json.loads(json.dumps(scan.to_json()))["results"][2]["n2"] == 8
    assert json.loads(json.dumps(result.to_json()))["n1"] == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: two_nn(np.eye(20), 0.0), r"fraction to be a number in \(0, 1\]"),
        (lambda: two_nn(np.zeros((50, 2))), "10 different rows for 8 neighbours, got 1"),
        (lambda: gride(np.eye(20)), "66 different rows"),
        (lambda: gride(np.eye(20), 1), "range_max to be an integer >= 2"),
        (lambda: two_nn(SimpleNamespace(values=np.eye(20), names=None, weights=np.arange(20.0))), "unequal weights"),
        (lambda: two_nn(np.eye(20), max_rows=0), "max_rows"),
    ],
)
def test_what_has_no_dimension_is_refused_in_words(call, words):
    with pytest.raises(InputError, match=words):
        call()
