"""Flows with their defaults: likelihood of events they never saw, and how their samples can be told apart.

    REVERIE_DATA=... python -m benchmarks.quality.flow [--model flow_matching] [--data ring dimuon_z ...]
                                                       [--seeds 0 1 2] [--part quote]

The model is the normalizing flow, or flow matching. 35 % of the real events, the same for every seed, are quoted from
and were used for nothing else; the model learns the other 65 %. Defaults were chosen with `--part tune`, which learns
four fifths of these and is quoted from the last fifth. Points of the plane, whose density is known, are drawn anew:
10,000 to learn, 10,000 to quote from, others to tune. Per seed:

    log p       mean log-likelihood per held-out event in nats, in the units of the data, and its error over events;
                categories and whole numbers count with their probability
    KL          for points of the plane, mean of log p_exact - log p in nats, whose perfect value is 0, and its error
    AUC         gradient boosting tells held-out from generated events on a test half; perfect: 0.5
    real        the same for held-out and training events
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

import reverie
from reverie.models.base import LikelihoodModel
from reverie.models.registry import model_class
from reverie.simulators.targets import TARGETS, target
from reverie.validation.classifiers.two_sample import classifier_test

COLUMNS = ["pt1", "eta1", "phi1", "pt2", "eta2", "phi2"]
QUOTED, TUNED, SPLIT_SEED = 0.35, 0.2, 12345
N_POINTS = 10_000
SEEDS_OF_POINTS = {"tune": (1003, 1004), "quote": (1001, 1002)}
NAMES = ["log p", "KL", "AUC", "real"]


def main() -> None:
    """Print a row per seed, then mean and spread over seeds, for each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["ring", "grid", "dimuon_z", "dimuon_upsilon", "magic"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--part", choices=["tune", "quote"], default="quote")
    parser.add_argument("--max-steps", type=int, default=None)
    parser.add_argument("--kind", default=None, help="of the normalizing flow")
    parser.add_argument("--model", choices=["flow", "flow_matching"], default="flow")
    options = parser.parse_args()
    given = {"kind": options.kind, "max_steps": options.max_steps}
    settings = {key: value for key, value in given.items() if value is not None}
    for name in options.data:
        _print_table(name, options.part, options.seeds, partial(model_class(options.model), **settings))


def _print_table(name: str, part: str, seeds: list[int], make: Callable[..., LikelihoodModel]) -> None:
    train, held_out = _split(name, part)
    print(f"\n{name}: {len(train)} events to learn, {len(held_out)} to quote from ({part})")
    if name in TARGETS:
        print(f"  exact log p, minus the entropy: {target(name).expected_log_prob():.4f} nats")
    print(f"  {'seed':>6s} {'seconds':>8s}" + "".join(f"{column:>18s}" for column in NAMES))
    rows = []
    for seed in seeds:
        began = time.perf_counter()
        model = make(random_state=seed).fit(train)
        seconds = time.perf_counter() - began
        measured = _figures(name, model, train.values, held_out, seed)
        print(f"  {seed:6d} {seconds:8.1f}" + "".join(f"{value:10.4f} ±{error:6.4f}" for value, error in measured))
        rows.append([seconds, *(value for value, _ in measured)])
    for word, of in (("mean", np.mean), ("sd", partial(np.std, ddof=1))):  # of NaN too
        if len(rows) > 1:
            seconds, *values = (of(column) for column in zip(*rows, strict=True))
            print(f"  {word:>6s} {seconds:8.1f}" + "".join(f"{value:10.4f}" + " " * 8 for value in values))


def _split(name: str, part: str) -> tuple[Any, Any]:
    """Return the events to learn and those to quote from."""
    if name in TARGETS:
        learnt, quoted = SEEDS_OF_POINTS[part]
        points = [reverie.data.load(name, n=N_POINTS, random_state=seed) for seed in (learnt, quoted)]
        return points[0], points[1]
    data = reverie.data.load(name, columns=COLUMNS if name.startswith("dimuon") else None)
    held_out, train = data.split(QUOTED, random_state=SPLIT_SEED)
    if part == "tune":
        held_out, train = train.split(TUNED, random_state=SPLIT_SEED)
    return train, held_out


def _figures(
    name: str, model: LikelihoodModel, train: np.ndarray, held_out: Any, seed: int
) -> list[tuple[float, float]]:
    """Return values with their errors, in the order of `NAMES`."""
    found = model.log_likelihood(held_out)
    excess = (float("nan"), float("nan"))
    if name in TARGETS:
        difference = target(name).log_prob(torch.tensor(held_out.values).double()).numpy() - found.values
        excess = float(difference.mean()), float(difference.std(ddof=1)) / len(difference) ** 0.5
    n = min(len(held_out), len(train))
    generated = np.asarray(model.sample(n, random_state=seed).values, dtype=float)
    area = classifier_test(
        np.asarray(held_out.values, dtype=float), generated, train[:n].astype(float), names=held_out.names, seed=seed
    )
    likelihood = found.mean.value, found.mean.error
    return [likelihood, excess, (area.value, area.error), (area.real_vs_real, area.real_vs_real_error)]


if __name__ == "__main__":
    main()
