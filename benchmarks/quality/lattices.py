"""Lattices learnt from configurations alone: Ising spins, fields of phi^4 theory and angles of the XY model.

    python -m benchmarks.quality.lattices [--theory ising] [--model flow_matching] [--sides 4 8 16] [--parameter 2.5]
                                          [--n 5000] [--seeds 0 1 2] [--max-steps 2000]

    ising    spins of +-1; the parameter is the temperature, 2.5 unless said (critical: 2.27)
    xy       angles, E = - sum cos(a_x - a_y) over neighbours; the temperature, 1 unless said (Kosterlitz and Thouless:
             0.893, Hasenbusch, arXiv:cond-mat/0502556)
    phi4     real numbers, S = sum_x [-2 kappa phi_x (phi_{x+1} + phi_{x+2}) + phi_x^2 + 0.02 (phi_x^2 - 1)^2]; kappa,
             0.27 unless said

For each side and seed a model with the defaults is trained on `n` independent configurations with periodic edges, and
draws 2,000, which are judged against 2,000 fresh ones.

    energy     mean energy per site (of phi^4 the action) minus the exact one of the torus (Kaufman), or where none is
               known minus that of the fresh configurations
    fresh      that of the fresh configurations minus the exact one, or the standard error of the difference
    sd, |M|    standard deviation of the energy and mean absolute magnetisation, over those of the fresh ones
    AUC        of boosting on energy, magnetisation, correlations at distance 2 and along the diagonal, of fields also
               the means of phi^2 and phi^4, of angles the vortices; and fresh configurations against each other
    KL         of Ising models with a likelihood: exact log p minus log p of the model, in nats per site, over 100 fresh
               configurations. What the noise costs that spreads the spins over cells is in it.
"""

import argparse
import math
import time

import numpy as np

from reverie.models.likelihood import LikelihoodModel
from reverie.models.registry import model_class
from reverie.simulators import Ising
from reverie.simulators.ising_exact import kaufman
from reverie.validation import validate

TESTS = ("features one by one", "boosting")
PARAMETERS = {"ising": 2.5, "xy": 1.0, "phi4": 0.27}
LAMBDA = 0.02  # of phi^4
_JUDGED, _LIKELIHOODS = 2000, 100
_SWEEPS, _LONGEST = 800, {"xy": 2.0, "phi4": 1.5}  # sweeps before a configuration is kept, and the longest move


def main() -> None:
    """Print a row per side and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--theory", choices=sorted(PARAMETERS), default="ising")
    parser.add_argument("--model", default="flow_matching")
    parser.add_argument("--sides", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--parameter", type=float, default=None)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--max-steps", type=int, default=None)
    options = parser.parse_args()
    given = {} if options.max_steps is None else {"max_steps": options.max_steps}
    theory = options.theory
    parameter = PARAMETERS[theory] if options.parameter is None else options.parameter
    if theory != "ising" and any(side % 2 for side in options.sides):
        parser.error(f"Expected even sides for the checkerboard of {theory}, got {options.sides}.")
    names = ("energy", "fresh", "sd", "|M|", "AUC", "± error", "real", "KL", "steps", "seconds")
    print(f"{options.model}, {theory} at {parameter:g}, {options.n:,} configurations to learn from")
    print("side seed" + "".join(f"{name:>10s}" for name in names), flush=True)
    for side in options.sides:
        for seed in options.seeds:
            drawn_from = configurations(theory, options.n + _JUDGED, side, parameter, seed)
            train, fresh = drawn_from[: options.n], drawn_from[options.n :]
            began = time.process_time()
            model = model_class(options.model)(random_state=seed, n_threads=1, **given).fit(train)
            drawn = model.sample(_JUDGED, random_state=seed)
            seconds = time.process_time() - began
            real, ours = (np.stack(seen(theory, x, parameter), axis=1) for x in (fresh, drawn))
            auc = validate(real, ours, random_state=seed, tests=TESTS, locate=False).classifiers[0]
            row = [
                ours[:, 0].mean() - real[:, 0].mean(),
                math.hypot(*(x[:, 0].std() / len(x) ** 0.5 for x in (real, ours))),
            ]
            row += [ours[:, 0].std() / real[:, 0].std(), np.abs(ours[:, 1]).mean() / np.abs(real[:, 1]).mean()]
            row += [auc.value, auc.error, auc.real_vs_real, np.nan, model.n_iter_, seconds]
            if theory == "ising":
                exact = kaufman(side, 1 / parameter)
                row[:2] = [ours[:, 0].mean() - exact.energy, real[:, 0].mean() - exact.energy]
                if isinstance(model, LikelihoodModel):
                    log_p = -(side**2) / parameter * real[:_LIKELIHOODS, 0] - exact.log_z
                    row[7] = (log_p - model.score_samples(fresh[:_LIKELIHOODS])).mean() / side**2
            print(f"{side:4d} {seed:4d}" + "".join(f"{x:10.4f}" for x in row), flush=True)


def configurations(theory: str, n: int, side: int, parameter: float, seed: int) -> np.ndarray:
    """Return `n` independent configurations (n, side, side), each at the end of a Markov chain of its own.

    Spins by `Ising`; angles and fields by Metropolis steps of one colour of the checkerboard after the other (an even
    `side`), from half ordered and half disordered starts, with fields turned in sign as a whole now and then.
    """
    if theory == "ising":
        return Ising(side, 1 / parameter).sample(n, random_state=seed).numpy()
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, side, side)) if theory == "phi4" else rng.uniform(-math.pi, math.pi, (n, side, side))
    x[::2] = np.abs(x[::2]) if theory == "phi4" else x[::2, :1, :1]
    even = np.add.outer(np.arange(side), np.arange(side)) % 2 == 0
    for k in range(_SWEEPS):
        for colour in (even, ~even):
            neighbours = [np.roll(x, by, axis) for by in (1, -1) for axis in (1, 2)]
            moved = x + rng.uniform(-_LONGEST[theory], _LONGEST[theory], x.shape)
            if theory == "phi4":
                rise = _own(moved) - _own(x) - 2 * parameter * (moved - x) * sum(neighbours)
            else:
                rise = sum(np.cos(x - y) - np.cos(moved - y) for y in neighbours) / parameter
            x = np.where(colour & (np.log(rng.random(x.shape)) < -rise), moved, x)
        if theory == "phi4" and k % 20 == 0:
            x = x * rng.choice([-1.0, 1.0], (n, 1, 1))
    x = x[rng.permutation(n)]
    return x if theory == "phi4" else np.remainder(x + math.pi, 2 * math.pi) - math.pi


def seen(theory: str, values: np.ndarray, parameter: float) -> tuple[np.ndarray, ...]:
    """Return what is looked at of configurations (n, side, side): (n,) each, per site.

    The energy, of phi^4 the action; the magnetisation, of angles its length; the correlations at distance 2 along the
    axes and at 1 along the diagonal; of phi^4 the means of phi^2 and phi^4; of angles the number of vortices, which
    are plaquettes around which the angle turns once.
    """
    x = np.asarray(values, dtype=np.float64)

    def products(*shift: int) -> np.ndarray:
        moved = np.roll(x, shift, axis=(1, 2))
        return (np.cos(x - moved) if theory == "xy" else x * moved).mean((1, 2))

    neighbours = products(0, 1) + products(1, 0)
    correlations = (products(0, 2) + products(2, 0), products(1, 1))
    if theory == "ising":
        return (-neighbours, x.mean((1, 2)), *correlations)
    if theory == "xy":
        steps = [np.roll(x, -1, axis=axis) - x for axis in (1, 2)]
        down, right = (np.remainder(step + math.pi, 2 * math.pi) - math.pi for step in steps)
        turns = np.rint((down + np.roll(right, -1, axis=1) - np.roll(down, -1, axis=2) - right) / (2 * math.pi))
        return (-neighbours, np.abs(np.exp(1j * x).mean((1, 2))), *correlations, np.abs(turns).mean((1, 2)))
    powers = (x**2).mean((1, 2)), (x**4).mean((1, 2))
    action = _own(x).mean((1, 2)) - 2 * parameter * neighbours
    return (action, x.mean((1, 2)), *correlations, *powers)


def _own(phi: np.ndarray) -> np.ndarray:
    """Return the part of the action of phi^4 that each site has alone."""
    return phi**2 + LAMBDA * (phi**2 - 1) ** 2


if __name__ == "__main__":
    main()
