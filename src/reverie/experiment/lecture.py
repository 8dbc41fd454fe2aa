"""`reverie explore --lecture`: four figures on many dimensions and on ensembles, and their numbers in sentences."""

from pathlib import Path

import numpy as np

from reverie.core.measured import Measured
from reverie.core.random import child_seed
from reverie.experiment.folder import made_folder, write_text
from reverie.explore import (
    VarianceDecomposition,
    ball_in_cube,
    crowded_neighbours,
    decompose,
    distance_concentration,
    surface_shares,
)

__all__ = ["tree_averages", "write_lecture"]

SIZES = (1, 2, 5, 10, 25)  # trees averaged
REPLICAS, ROWS = 100, 200  # training sets, and rows in each
NOISE = 0.3
FEW = (1, 2, 3, 4, 5, 7, 10, 15, 20)  # dimensions: beyond, only the powers of two grow


def write_lecture(out: str | Path, *, seed: int = 0) -> list[str]:
    """Write cube.svg, distances.svg, crowding.svg and averaging.svg into `out`; return sentences with their numbers.

    Raises `FolderError` when the folder cannot be written.
    """
    from reverie.plots.dimensions import averaging, crowding, cube, distances
    from reverie.plots.style import to_svg

    ball = ball_in_cube(random_state=child_seed(seed, "ball"))
    surface = surface_shares(random_state=child_seed(seed, "surface"))
    spread = distance_concentration(random_state=child_seed(seed, "distances"))
    crowd = crowded_neighbours(FEW)
    whole, means = tree_averages(seed)
    figures = {
        "cube": cube(ball, surface),
        "distances": distances(spread),
        "crowding": crowding(crowd),
        "averaging": averaging(whole, means),
    }
    with made_folder(out) as folder:
        for name, figure in figures.items():
            write_text(folder / f"{name}.svg", to_svg(figure).decode())
    at = {int(d): k for k, d in enumerate(ball.dimensions)}
    ten, hundred, many = at[10], at[100], FEW.index(10)
    return [
        f"cube.svg: the ball inside a cube holds {ball.exact[at[2]]:.3f} of it in 2 dimensions and "
        f"{ball.exact[ten]:.4f} in 10; within {surface.eps:g} edges of its surface lie {surface.exact[at[2]]:.0%} and "
        f"{surface.exact[ten]:.0%}.",
        f"distances.svg: distances between points spread by {spread.spread[at[2]].value:.2f} of their mean in 2 "
        f"dimensions and by {spread.spread[hundred].value:.3f} in 100.",
        f"crowding.svg: {crowd.equidistant[many]} points can be equally far from each other in 10 dimensions, "
        f"{crowd.picture_equidistant} in a picture; to hold the neighbours within twice a radius it would have to be "
        f"{crowd.needed_radius[many]:.0f} times larger.",
        f"averaging.svg: {whole}",
    ]


def tree_averages(seed: int) -> tuple[VarianceDecomposition, dict[int, Measured]]:
    """Return the variance of bagged regression trees over training sets, and that of the mean of n of them."""
    from sklearn.tree import DecisionTreeRegressor

    r = np.random.default_rng(child_seed(seed, "data"))
    x = r.uniform(0, 1, (REPLICAS * ROWS, 1))
    y = np.sin(2 * np.pi * x[:, 0]) + NOISE * r.normal(size=len(x))
    points = np.linspace(0.05, 0.95, 50)[:, None]
    found = {
        n: decompose(
            DecisionTreeRegressor(), x, y, X_test=points, truth=np.sin(2 * np.pi * points[:, 0]), disjoint=True,
            n_replicates=REPLICAS, n_estimators=n, random_state=child_seed(seed, "trees", n),
        )
        for n in SIZES[1:]
    }  # fmt: skip
    whole = found[SIZES[-1]]
    return whole, {1: whole.sigma2} | {n: part.var_mean for n, part in found.items()}
