"""Energy-based models: held-out likelihood of tables. Plane targets: `benchmarks.quality.densities --model ebm`.

    REVERIE_DATA=... python -m benchmarks.quality.ebm [--tables dimuon_z magic gauss8] [--seeds 3] [--part quote]

Tables are split as in `benchmarks.quality.flow`: the quoted 35 % were used for nothing else, and defaults were chosen
with `--part tune`. "gauss8" is a correlated Gaussian of 8 features, 5,000 events, with a known entropy.

    log p      mean log-likelihood of held-out events in nats, in the units of the data, with the error over events
               and that of log Z
    gap        the same of training events, minus that
    AUC        gradient boosting tells held-out from generated events; perfect: 0.5
    R-hat      of the chains that samples are drawn with
    kept       step of the state that is kept, of the steps taken
"""

import argparse
import math
import time

import numpy as np

from benchmarks.quality import flow
from reverie.core.random import child_seed
from reverie.data.dataset import Dataset
from reverie.models.ebm.estimator import EBM
from reverie.validation.classifiers.two_sample import classifier_test

_GAUSS, _N_GAUSS = 8, 5000


def main() -> None:
    """Print a row per table and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=["dimuon_z"])
    parser.add_argument("--part", choices=["tune", "quote"], default="quote")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=None)
    options = parser.parse_args()
    given = {} if options.max_steps is None else {"max_steps": options.max_steps}
    for name in options.tables:
        _print_table(name, options.part, range(options.first, options.first + options.seeds), given)


def _print_table(name: str, part: str, seeds: range, given: dict) -> None:
    train, held_out, exact = _gauss(part) if name == "gauss8" else (*flow._split(name, part), "")
    print(f"{name}: {len(train)} events to learn, {len(held_out)} held out ({part}){exact}")
    print(f"  {'seed':>4s} {'log p':>18s} {'log Z':>8s} {'gap':>14s} {'AUC':>7s} {'R-hat':>6s} {'kept':>11s} {'s':>6s}")
    for seed in seeds:
        began = time.perf_counter()
        model = EBM(random_state=seed, **given).fit(train)
        seconds = time.perf_counter() - began
        said = {quantity.name: quantity for quantity in model.assess(train, held_out).numbers}
        gap, found = said["gap between the two"], model.log_likelihood(held_out).mean
        n = min(len(held_out), len(train))
        drawn = np.asarray(model.sample(n, random_state=seed).values, dtype=float)
        area = classifier_test(np.asarray(held_out.values, dtype=float), drawn, None, names=held_out.names, seed=seed)
        kept = max((line["step"] for line in model.history_ if line.get("kept")), default=model.n_iter_)
        alarms = ", ".join(sorted({alarm.kind for alarm in model.alarms_}))
        print(
            f"  {seed:4d} {found.value:9.3f} ± {found.error:6.3f} {model.log_z_.error:8.2g} {gap.value:6.3f} ± "
            f"{gap.error:5.3f} {area.value:7.3f} {said['R-hat of the chains'].value:6.2f} "
            f"{kept:5.0f}/{model.n_iter_:5d} {seconds:6.0f} {alarms}",
            flush=True,
        )


def _gauss(part: str) -> tuple[Dataset, Dataset, str]:
    """Return events to learn and held-out ones of a correlated Gaussian, and what log p is on average."""
    mix = np.random.default_rng(7).normal(size=(_GAUSS, _GAUSS))
    covariance = mix @ mix.T / _GAUSS + 0.05 * np.eye(_GAUSS)
    root, names = np.linalg.cholesky(covariance), [f"x{i}" for i in range(_GAUSS)]
    noise = [np.random.default_rng(child_seed(7, part, k)).normal(size=(_N_GAUSS, _GAUSS)) for k in range(2)]
    exact = -0.5 * (_GAUSS * math.log(2 * math.pi * math.e) + np.linalg.slogdet(covariance)[1])
    return *(Dataset(z @ root.T, names=names) for z in noise), f", exact log p {exact:.3f}"


if __name__ == "__main__":
    main()
