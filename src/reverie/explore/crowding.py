"""Why many dimensions are strange: numbers behind four demonstrations.

Edges        a uniform point of the cube [-1/2, 1/2]^D lies in the inscribed ball with probability
             pi^(D/2) / (2^D Gamma(D/2 + 1)), 0.785 for D = 2 and 0.0025 for D = 10; for
             large D that is (pi e / (2 D))^(D/2) / sqrt(pi D), by Stirling's formula
Surface      the share of the cube within eps of its surface is 1 - (1 - 2 eps)^D
Distances    pairs of uniform points of the cube have a squared distance of mean D / 6 and variance
             7 D / 180, so distances have a relative spread of sqrt(7 / 20 / D) for large D: all points
             become equally far (Beyer et al., ICDT 1999)
Crowding     D + 1 points can be equally far from each other, three in the plane; the shell from r to 2 r
             holds 2^D - 1 times the volume of the ball r, three times in the plane. A picture in two
             dimensions lacks room at moderate distances (van der Maaten and Hinton 2008, section 3.2)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypeAlias

import numpy as np

from reverie.core.arguments import Count, Interval, NonNegative, checked
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_seed
from reverie.core.types import RandomState

__all__ = [
    "CrowdedNeighbours",
    "CubeShares",
    "DistanceConcentration",
    "ball_in_cube",
    "crowded_neighbours",
    "distance_concentration",
    "surface_shares",
]

Depth: TypeAlias = Annotated[float, Interval(0, 0.5)]  # below the surface, at most half the edge of the cube
DIMENSIONS = (1, 2, 3, 5, 10, 20, 50, 100)
# the largest number of unit balls that touch one: known in these dimensions only (Conway and Sloane 1999)
KISSING_NUMBERS = {1: 2, 2: 6, 3: 12, 4: 24, 8: 240, 24: 196_560}
BLOCK_VALUES = 2**22
_MOST_DIMENSIONS = 1000  # 2^D is a floating-point number up to there
_MOST_NUMBERS = 10_000_000_000  # coordinates drawn, some minutes; more would not end


@dataclass(frozen=True)
class CubeShares:
    """Share of the cube in a region of it: dimensions (k,), exact shares (k,), and k simulated ones.

    `eps` is the depth of the region below the surface; None for the inscribed ball.
    """

    dimensions: np.ndarray
    exact: np.ndarray
    simulated: tuple[Measured, ...]
    eps: float | None = None


@dataclass(frozen=True)
class DistanceConcentration:
    """Distances between points of the unit cube.

    Parameters
    ----------
    dimensions : Dimensions D, shape (k,).
    limit : Relative spread for large D, sqrt(7 / 20 / D), shape (k,).
    spread : Standard deviation of the distance over its mean, of independent pairs, with errors; k of them.
    contrast : (farthest - nearest) / nearest distance from the centre point among `n_points`, shape (k,).
    n_points : Number of points and of pairs.
    """

    dimensions: np.ndarray
    limit: np.ndarray
    spread: tuple[Measured, ...]
    contrast: np.ndarray
    n_points: int


@dataclass(frozen=True)
class CrowdedNeighbours:
    """What fits at one distance in D dimensions, and in a picture of `picture` dimensions.

    Parameters
    ----------
    dimensions : Dimensions D, shape (k,).
    equidistant : Number of points that are all equally far from each other, D + 1, shape (k,).
    kissing : Number of equal balls that touch one, shape (k,); nan where it is not known.
    shell : Volume between r and 2 r over that of the ball r, 2^D - 1, shape (k,).
    needed_radius : How many times larger than 2 r a picture must be to hold the neighbours within 2 r at the density
        that it has within r, 2^(D / picture) / 2, shape (k,).
    picture : Dimensions of the picture.
    picture_equidistant, picture_shell : Number of equidistant points and volume of the shell in the picture.
    """

    dimensions: np.ndarray
    equidistant: np.ndarray
    kissing: np.ndarray
    shell: np.ndarray
    needed_radius: np.ndarray
    picture: int
    picture_equidistant: int
    picture_shell: float


@checked
def ball_share(dimension: NonNegative) -> float:
    """Return the exact share of a cube of `dimension` >= 0 that lies in its inscribed ball."""
    return math.exp(dimension / 2 * math.log(math.pi) - dimension * math.log(2) - math.lgamma(dimension / 2 + 1))


@checked
def surface_share(dimension: NonNegative, eps: Depth) -> float:
    """Return the exact share of the unit cube within `eps` in [0, 1/2] of its surface."""
    return 1 - (1 - 2 * eps) ** dimension


@checked
def ball_in_cube(
    dimensions: Sequence[Count] = DIMENSIONS, *, n_points: Count = 100_000, random_state: RandomState = None
) -> CubeShares:
    """Return the share of the cube in its inscribed ball, exact and from `n_points` uniform points each.

    A simulation that hits nothing has the error of one hit, 1 / n_points.
    """
    return _simulated(dimensions, ball_share, lambda x: np.square(x).sum(1) <= 0.25, n_points, random_state)


@checked
def surface_shares(
    dimensions: Sequence[Count] = DIMENSIONS,
    *,
    eps: Depth = 0.05,
    n_points: Count = 100_000,
    random_state: RandomState = None,
) -> CubeShares:
    """Return the share of the unit cube within `eps` of its surface, exact and simulated."""
    exact, inside = (lambda d: surface_share(d, eps)), (lambda x: np.abs(x).max(1) >= 0.5 - eps)
    return replace(_simulated(dimensions, exact, inside, n_points, random_state), eps=eps)


def _simulated(
    dimensions: Sequence[int],
    exact: Callable[[int], float],
    inside: Callable[[np.ndarray], np.ndarray],
    n_points: int,
    random_state: RandomState,
) -> CubeShares:
    """Return the exact share, and that of uniform points of the cube, shape (n, D), for which `inside` is true."""
    chosen, seed, shares = _drawable(dimensions, n_points), as_seed(random_state), []
    for d in chosen:
        rng = np.random.default_rng(child_seed(seed, "cube", int(d)))
        hits = sum(int(inside(rng.random((size, d)) - 0.5).sum()) for size in _sizes(n_points, int(d)))
        share = hits / n_points
        # binomial error; of one point where all hit or none does
        shares.append(Measured(share, max(math.sqrt(share * (1 - share) / n_points), 1 / n_points), n_points))
    return CubeShares(chosen, np.array([exact(int(d)) for d in chosen]), tuple(shares))


@checked
def distance_concentration(
    dimensions: Sequence[Count] = DIMENSIONS,
    *,
    n_points: Annotated[int, Interval(2)] = 20_000,
    random_state: RandomState = None,
) -> DistanceConcentration:
    """Return how distances between uniform points of the unit cube concentrate.

    `n_points` independent pairs make the spread, so its error is that of independent values.
    """
    chosen, seed = _drawable(dimensions, n_points), as_seed(random_state)
    spread, contrast = [], []
    for d in chosen:
        rng = np.random.default_rng(child_seed(seed, "distances", int(d)))
        pairs, centre = [], []
        for size in _sizes(n_points, int(d)):
            x = rng.random((size, d)) - 0.5
            pairs.append(np.linalg.norm(x - rng.random((size, d)) + 0.5, axis=1))
            centre.append(np.linalg.norm(x, axis=1))
        distances = np.concatenate(pairs)
        deviation = distances.std(ddof=1)
        ratio = deviation / distances.mean()
        z = (distances - distances.mean()) / deviation
        influence = (z**2 - 1) / 2 - z * ratio  # of the logarithm of the ratio
        spread.append(Measured(float(ratio), float(ratio * influence.std() / math.sqrt(n_points)), n_points))
        from_centre = np.concatenate(centre)
        contrast.append(float(np.ptp(from_centre) / from_centre.min()))
    return DistanceConcentration(chosen, np.sqrt(7 / 20 / chosen), tuple(spread), np.array(contrast), n_points)


@checked
def crowded_neighbours(dimensions: Sequence[Count] = DIMENSIONS, *, picture: Count = 2) -> CrowdedNeighbours:
    """Return what fits at one distance in each dimension, beside what a picture holds."""
    chosen = np.array([int(d) for d in dimensions])
    most = max([*chosen.tolist(), picture])
    if most > _MOST_DIMENSIONS:
        raise InputError(
            f"Expected dimensions and picture of at most {_MOST_DIMENSIONS:,}, got {most:,}: volumes beyond that "
            "exceed the largest number. Use fewer dimensions."
        )
    kissing = np.array([KISSING_NUMBERS.get(int(d), math.nan) for d in chosen], dtype=float)
    shell = 2.0**chosen - 1
    return CrowdedNeighbours(
        chosen, chosen + 1, kissing, shell, 2.0 ** (chosen / picture - 1), picture, picture + 1, 2.0**picture - 1
    )


def _drawable(dimensions: Sequence[int], n_points: int) -> np.ndarray:
    """Return the dimensions, shape (k,), in each of which `n_points` points can be drawn within minutes."""
    if int(n_points) * sum(int(d) for d in dimensions) > _MOST_NUMBERS:
        raise InputError(
            f"Expected at most {_MOST_NUMBERS:,} coordinates of all points together, got {n_points:,} points in "
            f"{len(dimensions)} dimensions up to {max(dimensions):,}. Use fewer points, or lower dimensions."
        )
    return np.array([int(d) for d in dimensions])


def _sizes(n_points: int, d: int) -> list[int]:
    """Return the sizes of blocks of points that are held at once."""
    step = max(1, BLOCK_VALUES // d)
    return [min(step, n_points - start) for start in range(0, n_points, step)]
