"""Size and power of the verdict on sets of particles.

    python -m benchmarks.quality.sets_power [--runs 200] [--events 500] [--fault none] [--first 0] [--data FILE]

Each run draws a real sample, a calibration sample and a "generated" one of `--events` sets each, plants a fault in the
last, and asks `reverie.validate`, with its defaults but for `--permutations`, for the global p. Printed is the share of
runs with p <= 0.05:

    none        real against real: 5 % by right
    prongs      5 % of the sets are others, of two prongs
    harder      every pt_rel is 2 % greater
    lost        each particle is left out with probability 1/10

Without `--data` the sets are `reverie.simulators.ToySets`; those of two prongs have them 0.4 from the axis, not 0.2.
Else they are drawn without replacement from a file, and those of two prongs from `--prongs`, such as w jets. `--tests`
names a part of the tests, whose global p is valid too and takes less time with many events.
"""

import argparse

import numpy as np

import reverie
from reverie.simulators import ToySets

NAMES = ["eta_rel", "phi_rel", "pt_rel", "mask"]


def planted(sets: np.ndarray, others: np.ndarray, fault: str, rng: np.random.Generator) -> np.ndarray:
    """Return sets (n, P, 4) with a fault; `others` (m, P, 4) are those of two prongs."""
    wrong = sets.copy()
    if fault == "prongs":
        rows = np.flatnonzero(rng.random(len(wrong)) < 0.05)
        wrong[rows] = others[rng.permutation(len(others))[: len(rows)]]
    elif fault == "harder":
        wrong[..., 2] *= 1.02
    elif fault == "lost":
        wrong *= rng.random(wrong.shape[:2])[..., None] >= 0.1
    return wrong


def p_value(options: argparse.Namespace, seed: int) -> float:
    """Return the global p of one run."""
    rng, n = np.random.default_rng([options.events, seed]), options.events
    if options.data:
        pool = np.asarray(reverie.data.read(options.data).values)
        others = np.asarray(reverie.data.read(options.prongs or options.data).values)
        drawn = pool[rng.permutation(len(pool))[: 3 * n]]
    else:
        drawn = ToySets().sample(3 * n, random_state=rng).values
        others = ToySets(distance=0.4).sample(n, random_state=rng).values
    real, calibration, generated = drawn[:n], drawn[n : 2 * n], planted(drawn[2 * n :], others, options.fault, rng)
    return reverie.validate(
        real, generated, calibration=calibration, names=NAMES, random_state=seed, n_permutations=options.permutations,
        calibrate=False, locate=False, tests=options.tests,
    ).p_value  # fmt: skip


def main() -> None:
    """Print the p-value of each run and the share of those at most 0.05."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first run")
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--fault", choices=("none", "prongs", "harder", "lost"), default="none")
    parser.add_argument("--data", help="file of sets in JetNet's columns")
    parser.add_argument("--prongs", help="file of sets of two prongs")
    parser.add_argument("--tests", nargs="+")
    options = parser.parse_args()
    found = []
    for seed in range(options.first, options.first + options.runs):
        found.append(p_value(options, seed))
        print(f"seed {seed}: p = {found[-1]:.4f}", flush=True)
    share = np.mean(np.array(found) <= 0.05)
    print(f"{options.fault}: {100 * share:.1f} % of {len(found)} runs of {options.events:,} events have p <= 0.05")


if __name__ == "__main__":
    main()
