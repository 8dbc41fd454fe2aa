"""High-dimensional geometry: exact numbers, their limits, and simulations that agree within their errors."""

import math

import numpy as np
import pytest
from scipy import stats

from reverie.core.errors import InputError
from reverie.explore.crowding import (
    ball_in_cube,
    ball_share,
    crowded_neighbours,
    distance_concentration,
    surface_share,
    surface_shares,
)

ALPHA = 1e-4
DIMENSIONS = (1, 2, 3, 5, 10)
Z = stats.norm.isf(ALPHA / 2 / len(DIMENSIONS))


def test_known_balls():
    known = {0: 1, 1: 1, 2: math.pi / 4, 3: math.pi / 6, 4: math.pi**2 / 32, 10: math.pi**5 / 120 / 2**10}
    for d, share in known.items():
        assert ball_share(d) == pytest.approx(share, rel=1e-12)
    for d in (50, 200):  # Stirling
        assert ball_share(d) == pytest.approx((math.pi * math.e / 2 / d) ** (d / 2) / math.sqrt(math.pi * d), rel=0.01)
    # pi^(D/2) / (2^D D^D), as it is sometimes written, is no approximation: 20 times too small for D = 3
    assert ball_share(3) > 20 * math.pi**1.5 / (2**3 * 3**3)


def test_known_surfaces():
    assert surface_share(3, 0.05) == pytest.approx(1 - 0.9**3)
    assert surface_share(7, 0.0) == 0
    assert surface_share(7, 0.5) == 1
    shares = [surface_share(d, 0.01) for d in range(1, 400)]
    assert (np.diff(shares) > 0).all()
    assert shares[-1] > 0.999


@pytest.mark.parametrize("call", [ball_in_cube, surface_shares])
def test_simulations_agree_with_the_exact_numbers(call):
    result = call(DIMENSIONS, n_points=50_000, random_state=0)
    off = [abs(s.value - e) / s.error for s, e in zip(result.simulated, result.exact, strict=True)]
    assert max(off) < Z
    shifted = [abs(s.value - 1.05 * e) / s.error for s, e in zip(result.simulated, result.exact, strict=True)]
    assert max(shifted) > Z  # twin: five per cent more would be seen
    again = call(DIMENSIONS, n_points=50_000, random_state=0)
    assert again.simulated == result.simulated


def test_no_hit_has_the_error_of_one():
    (simulated,) = ball_in_cube((50,), n_points=1000, random_state=0).simulated
    assert (simulated.value, simulated.error) == (0, 1e-3)


def test_distances_concentrate():
    result = distance_concentration((1, 2, 10, 100, 1000), n_points=5000, random_state=0)
    # on the line the distance is triangular: mean 1/3, variance 1/18; in the square the mean is 0.5214054331
    one, two = math.sqrt(1 / 18) * 3, math.sqrt(1 / 3 - 0.5214054331**2) / 0.5214054331
    for exact, found in zip((one, two), result.spread, strict=False):
        assert abs(found.value - exact) < Z * found.error
        assert abs(found.value - 1.1 * exact) > Z * found.error  # twin
    assert result.spread[-1].value == pytest.approx(result.limit[-1], rel=0.05)
    assert (np.diff([s.value for s in result.spread]) < 0).all()
    assert (np.diff(result.contrast) < 0).all()


def test_error_of_the_spread_is_that_of_repetition():
    # chi-square of the variance over 100 repetitions, two-sided ALPHA
    found = [distance_concentration((5,), n_points=400, random_state=s).spread[0] for s in range(100)]
    values, errors = np.array([f.value for f in found]), np.array([f.error for f in found])

    def p_value(factor):
        statistic = values.var(ddof=1) * 99 / np.mean((factor * errors) ** 2)
        return 2 * min(stats.chi2.sf(statistic, 99), stats.chi2.cdf(statistic, 99))

    assert p_value(1.0) > ALPHA
    assert p_value(0.6) < ALPHA
    assert p_value(1.6) < ALPHA


def test_what_fits_at_one_distance():
    result = crowded_neighbours((1, 2, 3, 8, 10))
    np.testing.assert_array_equal(result.equidistant, [2, 3, 4, 9, 11])
    np.testing.assert_array_equal(result.kissing[:4], [2, 6, 12, 240])
    assert np.isnan(result.kissing[4])
    np.testing.assert_array_equal(result.shell, [1, 3, 7, 255, 1023])
    assert (result.picture_equidistant, result.picture_shell) == (3, 3)
    np.testing.assert_allclose(result.needed_radius, [2**-0.5, 1, 2**0.5, 8, 16])


@pytest.mark.parametrize("d", [1, 3, 6])
def test_equidistant_points_exist(d):
    # the D + 1 vertices of a simplex, by their Gram matrix: rank D, so they fit in D dimensions and no fewer
    n = int(crowded_neighbours((d,)).equidistant[0])
    centred = np.eye(n) - 1 / n
    assert np.linalg.matrix_rank(centred) == d


def test_blocks_do_not_change_the_numbers(monkeypatch):
    from reverie.explore import crowding

    first = ball_in_cube((3,), n_points=1000, random_state=0).simulated
    monkeypatch.setattr(crowding, "BLOCK_VALUES", 100)
    assert ball_in_cube((3,), n_points=1000, random_state=0).simulated == first


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: surface_share(3, 0.6), r"eps to be a number in \[0, 0.5\]"),
        (lambda: ball_share(-1), "dimension"),
        (lambda: ball_in_cube((2.5,)), "an integer"),
        (lambda: ball_in_cube((2,), n_points=0), "n_points"),
        (lambda: crowded_neighbours((3,), picture=0), "picture"),
    ],
)
def test_what_is_no_dimension_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


@pytest.mark.parametrize("call", [ball_in_cube, surface_shares, distance_concentration])
def test_what_would_not_end_is_refused(call):
    with pytest.raises(InputError, match="fewer points"):
        call([10], n_points=10**15)
    with pytest.raises(InputError, match="fewer points"):
        call([10**12])


@pytest.mark.parametrize("options", [{"picture": 10**18}, {"dimensions": [2, 1100]}])
def test_volumes_beyond_the_largest_number_are_refused(options):
    with pytest.raises(InputError, match="at most 1,000"):
        crowded_neighbours(**options)
