"""Spins on a lattice, learnt from configurations alone: the Ising model, beside what is known of it exactly.

    python -m benchmarks.quality.lattices [--model flow_matching] [--sides 4 8 16] [--temperature 2.5] [--n 5000]
                                          [--seeds 0 1 2] [--max-steps 2000]

For each side and seed a model with the defaults is trained on `n` independent configurations with periodic edges, and
draws 2,000, which are judged against 2,000 fresh ones. The critical temperature is 2.27.

    energy     mean energy per site minus the exact one of the torus (Kaufman); and that of the fresh configurations
    sd, |M|    standard deviation of the energy and mean absolute magnetisation, over those of the fresh ones
    AUC        of boosting on energy, magnetisation, correlations at distance 2 and along the diagonal; and
               fresh configurations against each other
    KL         of models with a likelihood: exact log p minus log p of the model, in nats per site, over 100 fresh
               configurations. What the noise costs that spreads the spins over cells is in it.
"""

import argparse
import time

import numpy as np

from reverie.models.likelihood import LikelihoodModel
from reverie.models.registry import model_class
from reverie.simulators import Ising
from reverie.simulators.ising_exact import kaufman
from reverie.validation import validate

TESTS = ("features one by one", "boosting")
_JUDGED, _LIKELIHOODS = 2000, 100


def main() -> None:
    """Print a row per side and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="flow_matching")
    parser.add_argument("--sides", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--temperature", type=float, default=2.5)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--max-steps", type=int, default=None)
    options = parser.parse_args()
    given = {} if options.max_steps is None else {"max_steps": options.max_steps}
    beta = 1 / options.temperature
    names = ("energy", "fresh", "sd", "|M|", "AUC", "± error", "real", "KL", "steps", "seconds")
    print(f"{options.model}, T = {options.temperature:g}, {options.n:,} configurations to learn from")
    print("side seed" + "".join(f"{name:>10s}" for name in names), flush=True)
    for side in options.sides:
        exact = kaufman(side, beta)
        for seed in options.seeds:
            spins = Ising(side, beta).sample(options.n + _JUDGED, random_state=seed).numpy()
            train, fresh = spins[: options.n], spins[options.n :]
            began = time.process_time()
            model = model_class(options.model)(random_state=seed, n_threads=1, **given).fit(train)
            drawn = model.sample(_JUDGED, random_state=seed)
            seconds = time.process_time() - began
            real, ours = seen(fresh), seen(drawn)
            auc = validate(real, ours, random_state=seed, tests=TESTS, locate=False).classifiers[0]
            row = [ours[:, 0].mean() - exact.energy, real[:, 0].mean() - exact.energy]
            row += [ours[:, 0].std() / real[:, 0].std(), np.abs(ours[:, 1]).mean() / np.abs(real[:, 1]).mean()]
            row += [auc.value, auc.error, auc.real_vs_real, np.nan, model.n_iter_, seconds]
            if isinstance(model, LikelihoodModel):
                log_p = -beta * side**2 * real[:_LIKELIHOODS, 0] - exact.log_z
                row[7] = (log_p - model.score_samples(fresh[:_LIKELIHOODS])).mean() / side**2
            print(f"{side:4d} {seed:4d}" + "".join(f"{x:10.4f}" for x in row), flush=True)


def seen(spins: np.ndarray) -> np.ndarray:
    """Return energy, magnetisation and two correlations per site, (n, 4), of lattices (n, side, side)."""
    s = np.asarray(spins, dtype=np.float64)

    def products(*shift: int) -> np.ndarray:
        return (s * np.roll(s, shift, axis=(1, 2))).mean((1, 2))

    columns = [-products(0, 1) - products(1, 0), s.mean((1, 2)), products(0, 2) + products(2, 0), products(1, 1)]
    return np.stack(columns, axis=1)


if __name__ == "__main__":
    main()
