"""Flows with their defaults: likelihood of events they never saw, and how their samples can be told apart.

    REVERIE_DATA=... python -m benchmarks.quality.flow [--model flow_matching] [--data ring dimuon_z ...]
                                                       [--seeds 0 1 2] [--part quote]
                                                       [--observables mass [--no-kinematic-fit]]

The model is the normalizing flow, flow matching, a variational autoencoder, or a GAN, which has no log p. 35 % of the
real events, the same for every seed, are quoted from and were used for nothing else; the model learns the other 65 %.
Defaults were chosen with `--part tune`, which learns four fifths of these and is quoted from the last fifth. Points of
the plane, whose density is known, are drawn anew: 10,000 to learn, 10,000 to quote from, others to tune. Per seed:

    log p       mean log-likelihood per held-out event in nats, in the units of the data, and its error over events;
                categories and whole numbers count with their probability
    KL          for points of the plane, mean of log p_exact - log p in nats, whose perfect value is 0, and its error
    AUC         gradient boosting tells held-out from generated events on a test half; perfect: 0.5
    real        the same for held-out and training events

With an observable of two muons three figures stand beside these. Samples are moved to it by a kinematic fit, and there
is no log p; without a fit it becomes a coordinate of the model:

    AUC + obs   the same as AUC with the observable as another column
    W1          Wasserstein distance between the observable of held-out and of generated events, in its unit
    W1 real     the mean of the same for held-out and as many training events, in disjoint parts of equal size
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.stats import wasserstein_distance

import reverie
from reverie.data.observables import resolve_observables
from reverie.models.likelihood import LikelihoodModel
from reverie.models.registry import model_class
from reverie.simulators.targets import TARGETS, target
from reverie.validation.classifiers.two_sample import classifier_test

COLUMNS = ["pt1", "eta1", "phi1", "pt2", "eta2", "phi2"]
QUOTED, TUNED, SPLIT_SEED = 0.35, 0.2, 12345
N_POINTS = 10_000
SEEDS_OF_POINTS = {"tune": (1003, 1004), "quote": (1001, 1002)}
NAMES, OF_OBSERVABLE = ["log p", "KL", "AUC", "real"], ["AUC + obs", "W1", "W1 real"]


def main() -> None:
    """Print a row per seed, then mean and spread over seeds, for each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["ring", "grid", "dimuon_z", "dimuon_upsilon", "magic"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--part", choices=["tune", "quote"], default="quote")
    parser.add_argument("--max-steps", type=int, default=None)
    parser.add_argument("--kind", default=None, help="of the normalizing flow")
    parser.add_argument("--model", choices=["flow", "flow_matching", "vae", "gan"], default="flow")
    parser.add_argument("--observables", nargs="+", default=None)
    parser.add_argument("--no-kinematic-fit", action="store_const", const=False, dest="kinematic_fit")
    parser.add_argument("--quoted", default=None, help="observable that is looked at where the model is shown none")
    options = parser.parse_args()
    given = {"kind": options.kind, "max_steps": options.max_steps, "observables": options.observables}
    given["kinematic_fit"] = options.kinematic_fit
    settings = {key: value for key, value in given.items() if value is not None}
    for name in options.data:
        make = partial(model_class(options.model), **settings)
        _print_table(name, options.part, options.seeds, make, (options.observables or [options.quoted])[0])


def _print_table(name: str, part: str, seeds: list[int], make: Callable[..., Any], observable: str | None) -> None:
    train, held_out = _split(name, part)
    print(f"\n{name}: {len(train)} events to learn, {len(held_out)} to quote from ({part})")
    if name in TARGETS:
        print(f"  exact log p, minus the entropy: {target(name).expected_log_prob():.4f} nats")
    print(
        f"  {'seed':>6s} {'seconds':>8s}"
        + "".join(f"{column:>18s}" for column in NAMES + OF_OBSERVABLE * bool(observable))
    )
    rows = []
    for seed in seeds:
        began = time.perf_counter()
        model = make(random_state=seed).fit(train)
        seconds = time.perf_counter() - began
        measured = _figures(name, model, train.values, held_out, seed, observable)
        print(
            f"  {seed:6d} {seconds:8.1f}" + "".join(f"{value:10.4f} ±{error:6.4f}" for value, error in measured),
            flush=True,
        )
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
    name: str, model: Any, train: np.ndarray, held_out: Any, seed: int, observable: str | None
) -> list[tuple[float, float]]:
    """Return values with their errors, in the order of `NAMES`, and of `OF_OBSERVABLE` if there is one."""
    has_likelihood = isinstance(model, LikelihoodModel) and not model._without_likelihood()
    found = model.log_likelihood(held_out) if has_likelihood else None
    excess = (float("nan"), float("nan"))
    if found is not None and name in TARGETS:
        difference = target(name).log_prob(torch.tensor(held_out.values).double()).numpy() - found.values
        excess = float(difference.mean()), float(difference.std(ddof=1)) / len(difference) ** 0.5
    n = min(len(held_out), len(train))
    generated = np.asarray(model.sample(n, random_state=seed).values, dtype=float)
    samples = [np.asarray(held_out.values, dtype=float), generated, train[:n].astype(float)]
    area = classifier_test(*samples, names=held_out.names, seed=seed)
    likelihood = excess if found is None else (found.mean.value, found.mean.error)
    figures = [likelihood, excess, (area.value, area.error), (area.real_vs_real, area.real_vs_real_error)]
    if observable is None:
        return figures
    function = resolve_observables(observable, held_out.schema)[0].function
    of = [function(torch.tensor(sample)).numpy() for sample in samples]
    wider = [np.column_stack([sample, o]) for sample, o in zip(samples, of, strict=True)]
    area = classifier_test(*wider, names=[*held_out.names, observable], seed=seed)
    parts = [function(torch.tensor(part)).numpy() for part in np.split(train[: len(train) // n * n], len(train) // n)]
    real = [wasserstein_distance(of[0], part) for part in parts]
    spread = float(np.std(real, ddof=1)) if len(real) > 1 else float("nan")
    distances = (wasserstein_distance(of[0], of[1]), spread), (float(np.mean(real)), spread)
    return [*figures, (area.value, area.error), *distances]


if __name__ == "__main__":
    main()
