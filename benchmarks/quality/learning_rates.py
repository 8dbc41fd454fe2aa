"""Whether a GAN learns at the learning rates that it takes unasked, for each optimiser and objective.

    python -m benchmarks.quality.learning_rates [--data ring swiss_roll] [--seeds 0 1 2 3 4] [--max-steps 600]

Each row is a game with every option left open but objective and optimiser, `refine=False`, on a toy set of 10,000
points; figures are energy distances from 2,000 of them as the model sees them, near 0 for a perfect sampler:

    before    after one step
    after     after 600 of the default 8,000 steps, mean over the seeds; beside it the worst seed
    learns    seeds whose distance fell to a third at least

Rates that are ours were chosen on ring with seed 0; quote the other seeds, and swiss_roll. 5 to 15 s a training.
"""

import argparse

import numpy as np

import reverie
from reverie.objectives import OBJECTIVES
from reverie.training.optimizers import OPTIMIZERS

GAMES = [("relativistic", optimizer) for optimizer in OPTIMIZERS]
GAMES += [("wasserstein", optimizer) for optimizer in OPTIMIZERS if optimizer != "adadelta"]  # which is refused
GAMES += [(objective, "adam") for objective in OBJECTIVES if objective not in ("relativistic", "wasserstein")]
_LEARNS = 1 / 3


def distance(X: reverie.data.Dataset, *, objective: str, optimizer: str, seed: int, max_steps: int) -> float:
    """Return the energy distance between `X` and samples of a game of so many steps."""
    options = {"objective": objective, "optimizer": optimizer, "max_steps": max_steps, "random_state": seed}
    return -reverie.GAN(**options, refine=False, n_threads=1, compile=False).fit(X).score(X)


def main() -> None:
    """Train and print a row for each game."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["ring", "swiss_roll"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--max-steps", type=int, default=600)
    options = parser.parse_args()
    print(f"{'data':12s}{'objective':16s}{'optimizer':12s} before   after   worst  learns", flush=True)
    for data in options.data:
        X = reverie.data.load(data)
        for objective, optimizer in GAMES:
            game = {"objective": objective, "optimizer": optimizer}
            before = np.array([distance(X, **game, seed=seed, max_steps=1) for seed in options.seeds])
            after = np.array([distance(X, **game, seed=seed, max_steps=options.max_steps) for seed in options.seeds])
            learns = f"{(after < _LEARNS * before).sum()}/{len(after)}"
            figures = f"{before.mean():7.3f} {after.mean():7.3f} {after.max():7.3f}  {learns}"
            print(f"{data:12s}{objective:16s}{optimizer:12s}{figures}", flush=True)


if __name__ == "__main__":
    main()
