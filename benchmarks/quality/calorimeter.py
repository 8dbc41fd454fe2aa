"""Images of energies or counts in the cells of a calorimeter, most of them empty: how good samples by default are.

    python -m benchmarks.quality.calorimeter [--models flow_matching gan] [--seeds 0] [--max-steps 1500]
                                             [--counts] [--before]

Showers of 20 x 20 cells: a particle of 2 to 200 GeV, its logarithm evenly distributed, leaves a Poisson number of hits
about a centre that differs by half a cell; hits have exponential energies, and cells below 50 MeV are set to zero. With
`--counts` each cell has a Poisson number of photons instead, 20 for each GeV. A model learns 4,000 showers with its
defaults, and as many samples as 2,000 other ones are compared with these: AUC of boosting and of a convolutional
classifier, coverage and precision, and means of the energy of a shower in GeV, or its photons, of its filled cells and
of its largest cell. Real against real stands below. The transforms of such images were chosen on showers of another
shape. `--before` takes the scale of earlier versions instead: a straight line, or for flow matching one map of all
cells to normal numbers, of counts a logarithm.
"""

import argparse
import time

import numpy as np

from reverie.data.transforms import Chain, Dequantise, Logit, PointMass, Quantile, Rescale, Standardise
from reverie.models.registry import model_class
from reverie.validation import validate

SIDE, N_TRAIN, N_FRESH, PHOTONS = 20, 4000, 2000, 20  # photons for each GeV
TESTS = ("neighbourhoods", "boosting", "cnn")
BEFORE = {
    "gan": Rescale(lower=0.0, gap=0.1),
    "flow_matching": Chain(
        [PointMass(0.0, Quantile(n_knots=24), lower=0.0, noise_std=0.125), Standardise(shared=True)]
    ),
}
BEFORE_OF_COUNTS = {
    "gan": Rescale(lower=0.0, step=1.0),
    "flow_matching": Chain([Dequantise(lower=0.0), Logit(lower=0.0), Standardise()]),
}
COLUMNS = ("boosting", "cnn", "coverage", "precision", "energy", "cells", "largest", "seconds")


def main() -> None:
    """Print one row of figures per model and seed, and of real against real."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["flow_matching", "gan"], choices=BEFORE)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--max-steps", type=int, default=1500)
    parser.add_argument("--counts", action="store_true", help="of photons instead of energies")
    parser.add_argument("--before", action="store_true", help="the scale of earlier versions")
    options = parser.parse_args()
    train, fresh, other = (showers(n, k, counts=options.counts) for k, n in enumerate((N_TRAIN, N_FRESH, N_FRESH)))
    before = BEFORE_OF_COUNTS if options.counts else BEFORE
    print(" " * 18 + "".join(f"{name:>11s}" for name in COLUMNS))
    for name in options.models:
        for seed in options.seeds:
            began = time.process_time()
            given = {"preprocessing": before[name]} if options.before else {}
            model = model_class(name)(random_state=seed, max_steps=options.max_steps, n_threads=1, **given)
            drawn = model.fit(train).sample(N_FRESH, random_state=seed)
            _print(f"{name} {seed}", [*_figures(fresh, drawn), time.process_time() - began])
    _print("real", _figures(fresh, other))


def showers(n: int, seed: int, *, counts: bool = False) -> np.ndarray:
    """Return energies in GeV (n, 20, 20) of the cells of `n` showers, or `counts` of their photons."""
    rng = np.random.default_rng([seed, 20])
    edges = np.arange(SIDE + 1) - SIDE / 2
    images = np.zeros((n, SIDE, SIDE))
    for image, energy in zip(images, np.exp(rng.uniform(np.log(2), np.log(200), n)), strict=True):
        hits = 4 + rng.poisson(12 * np.sqrt(energy))
        places = rng.normal(0, 0.5, 2) + rng.laplace(0, 1.3, (hits, 2))
        parts = rng.exponential(size=hits)
        image[:] = np.histogram2d(*places.T, bins=[edges, edges], weights=energy * parts / parts.sum())[0]
    if counts:
        return rng.poisson(PHOTONS * images)
    return np.where(images < 0.05, 0.0, images).astype(np.float32)


def _figures(fresh: np.ndarray, drawn: np.ndarray) -> list[float]:
    result = validate(fresh, drawn, random_state=0, tests=TESTS, locate=False, calibrate=False)
    found = {check.name: check.value for check in result.checks}
    aucs = {classifier.learner: classifier.value for classifier in result.classifiers}
    of_showers = [drawn.sum((1, 2)), (drawn > 0).sum((1, 2)), drawn.max((1, 2))]
    means = [float(x.mean()) for x in of_showers]
    return [aucs["boosting"], aucs["cnn"], found["coverage"], found["precision"], *means]


def _print(label: str, figures: list[float]) -> None:
    print(f"{label:18s}" + "".join(f"{x:11.3f}" for x in figures), flush=True)


if __name__ == "__main__":
    main()
