"""How good generated sets of particles are: on a toy whose density is known, and on simulated jets.

    python -m benchmarks.quality.sets toy [--models flow_matching gan] [--seeds 0 1 2] [--n-train 20000]
    python -m benchmarks.quality.sets drawing TRAIN.parquet [--models flow_matching gan]
    python -m benchmarks.quality.sets jets TRAIN.parquet FRESH.parquet [--condition jet_pt] [--models epic_gan]
                                              [--symmetries "reflect eta_rel,reflect phi_rel"] [--load FOLDER]

Toy: 20,000 sets of `reverie.simulators.ToySets` to train on, by the defaults of the library; 20,000 fresh ones against
as many generated. Below stand the figures of 20,000 more real sets against the fresh ones.

    N            half the sum of |differences| of the shares of each multiplicity
    marginals    mean Wasserstein distance of eta_rel, phi_rel and pt_rel of all particles, in standard deviations
    pairs        correlation of two particles of a set, the mean of cos 2 (phi_i - phi_j) r_i^2 r_j^2 over that of
                 r_i^2 r_j^2: generated minus real in standard errors, of which there are the same in real against real
    log p        mean log-density of generated sets under the toy, minus that of real ones, nats; 0 for the same law
    AUC log p    of that density as a score, the best one wherever generated sets are too far out
    AUC EPiC     of an equivariant classifier, trained on one half, counted on the other

Jets: files as `reverie simulate jets` writes them; FRESH is used for nothing but these figures, one half as the real
sample and the other as real against real (`--second-half` changes their parts). W1M, W1P, W1EFP in 10^-3, 10^-3, 10^-5
are means over blocks of 5,000 jets, each against another 5,000, with the error of the mean where there are several: one
distance of 5,000 jets by itself scatters by half, real against real as well. The classifier is trained once, on all.
The row of training jets is what a model would reach that draws them again. `--models epic_gan` is the GAN of the EPiC
paper, by a loop written by hand (`benchmarks.quality.epic_gan`), and `--load FOLDER` a model that was saved.
"""

import argparse
import math
import resource
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import wasserstein_distance
from sklearn.metrics import roc_auc_score

import reverie
from benchmarks.quality.epic_gan import EPiCGAN
from reverie.data import Dataset
from reverie.validation import w1efp, w1m, w1p
from reverie.validation.classifiers.two_sample import separate

TOY = ("N", "marginals", "pairs", "log p", "AUC log p", "AUC EPiC")
JETS = ("W1M", "±", "W1P", "±", "W1EFP", "±", "AUC EPiC")
N_DRAWN = 100_000  # sets, to see what drawing takes
N_BLOCK = 5000  # jets on each side of one distance
MODELS = {"flow_matching": reverie.FlowMatching, "gan": reverie.GAN, "epic_gan": EPiCGAN}


def main() -> None:
    """Print a table of figures per model and seed, with the mean over seeds, and real against real."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["toy", "jets", "drawing"])
    parser.add_argument("files", nargs="*", help="of jets: to train on, and fresh ones")
    parser.add_argument("--models", nargs="+", default=["flow_matching", "gan"], choices=MODELS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--n-train", type=int, default=20_000)
    parser.add_argument("--max-steps", type=int, default=None)
    parser.add_argument("--condition", default=None, help="columns of the jets, with commas between them")
    parser.add_argument("--observables", nargs="+", default=None, help="that the models are shown, such as jet_mass")
    parser.add_argument("--symmetries", default=None, help="that training draws elements of, with commas between them")
    parser.add_argument("--penalty-weight", type=float, default=None, help="gamma of R1 and R2 of the GAN")
    parser.add_argument("--second-half", action="store_true", help="of the fresh jets is the real sample")
    parser.add_argument("--load", nargs="+", default=[], metavar="FOLDER", help="saved models, instead of training")
    options = parser.parse_args()
    if options.what == "drawing":
        _drawing(options)
    elif options.what == "toy":
        _toy(options)
    else:
        _jets(options)


def _settings(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of a model, as far as it has them."""
    own: dict[str, Any] = {} if options.max_steps is None else {"max_steps": options.max_steps}
    if kind != "epic_gan":
        own |= {"observables": options.observables} if options.observables else {}
        own |= {"symmetries": options.symmetries.split(",")} if options.symmetries else {}
    return own | ({"penalty_weight": options.penalty_weight} if options.penalty_weight and kind == "gan" else {})


def _drawing(options: argparse.Namespace) -> None:
    """Print what it takes to draw 100,000 sets, which does not depend on how long a model was trained."""
    train = reverie.data.read(options.files[0]).take(slice(0, 2000))
    for kind in options.models:
        model = MODELS[kind](random_state=0, **_settings(kind, options) | {"max_steps": 20}).fit(train)
        before, began = _peak(), time.process_time()
        n = len(model.sample(N_DRAWN, random_state=0))
        seconds = time.process_time() - began
        memory = f"{_peak():,.0f} MB at most ({before:,.0f} before)"
        print(f"{kind:14s} {n:,} sets: {seconds:7.1f} s of processor time, {memory}", flush=True)


def _peak() -> float:
    """Return the most memory that the process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _toy(options: argparse.Namespace) -> None:
    from reverie.simulators import ToySets

    toy, n = ToySets(), options.n_train
    fresh, other = toy.sample(n, random_state=1001), toy.sample(n, random_state=1002)
    _print("", [f"{name:>11s}" for name in TOY], "  seconds")
    for kind in options.models:
        rows = []
        for seed in options.seeds:
            began = time.perf_counter()
            model = MODELS[kind](random_state=seed, **_settings(kind, options)).fit(toy.sample(n, random_state=seed))
            seconds = time.perf_counter() - began
            rows.append(_of_toy(toy, fresh, model.sample(n, random_state=seed)))
            _print(f"{kind} {seed}", rows[-1], f"{seconds:9.0f}")
        _summary(rows)
    _print("real", _of_toy(toy, fresh, other))


def _of_toy(toy: Any, real: Dataset, generated: Dataset) -> list[float]:
    """Return the figures of the toy."""
    sides = (real.values, generated.values)
    counts = [np.bincount(x[..., -1].sum(1).astype(int), minlength=x.shape[1] + 1) / len(x) for x in sides]
    a, b = (x[x[..., -1] == 1][:, :-1] for x in sides)
    marginals = [wasserstein_distance(a[:, j], b[:, j]) / a[:, j].std() for j in range(3)]
    pairs = [_pair_correlation(x) for x in sides]
    z = (pairs[1][0] - pairs[0][0]) / np.hypot(pairs[0][1], pairs[1][1])
    log_p = [np.maximum(toy.log_prob(x), -1e3) for x in sides]
    label = np.repeat([1, 0], [len(real), len(generated)])
    return [
        float(np.abs(counts[0] - counts[1]).sum() / 2),
        float(np.mean(marginals)),
        float(z),
        float(log_p[1].mean() - log_p[0].mean()),
        float(roc_auc_score(label, np.concatenate(log_p))),
        _classifier(real, generated),
    ]


def _pair_correlation(x: np.ndarray) -> tuple[float, float]:
    """Return sum of cos 2 (phi_i - phi_j) r_i^2 r_j^2 over pairs, over that of r_i^2 r_j^2, and its error."""
    z = (x[..., 0] + 1j * x[..., 1]) ** 2 * x[..., -1]
    size = np.abs(z)
    above = np.abs(z.sum(1)) ** 2 - (size**2).sum(1)
    below = size.sum(1) ** 2 - (size**2).sum(1)
    ratio = above.sum() / below.sum()
    return ratio, float(np.std(above - ratio * below) / below.mean() / np.sqrt(len(x)))


def _classifier(real: Dataset, generated: Dataset) -> float:
    """Return the AUC of an equivariant classifier on the half of the events that it was not trained on."""
    rows = [x.values.reshape(len(x), -1).astype(float) for x in (real, generated)]
    shape = real.values.shape[1:]
    names = [f"{name} {p}" for p in range(shape[0]) for name in real.names]
    return separate(*rows, names=names, seed=0, learner="sets", event_shape=shape).value


def _jets(options: argparse.Namespace) -> None:
    train, fresh = (reverie.data.read(file) for file in options.files)
    conditions = None
    if options.condition:
        conditions = reverie.data.read(options.files[0], columns=options.condition.split(","))
        conditions = conditions.take(slice(0, options.n_train))
    train, half = train.take(slice(0, options.n_train)), len(fresh) // 2
    fresh, other = fresh.take(slice(0, half)), fresh.take(slice(half, 2 * half))
    fresh, other = (other, fresh) if options.second_half else (fresh, other)
    _print("", [f"{name:>11s}" for name in JETS], f"  training  {half:,} drawn, s")
    for folder in options.load:
        _judged(folder, reverie.load(folder), fresh, options.seeds[0])
    kinds = [] if options.load else options.models
    for kind in kinds:
        rows = []
        for seed in options.seeds:
            began = time.perf_counter()
            model = MODELS[kind](random_state=seed, **_settings(kind, options)).fit(train, conditions)
            rows.append(_judged(f"{kind} {seed}", model, fresh, seed, time.perf_counter() - began))
        _summary(rows)
    _print("training jets", _of_jets(fresh, train))
    _print("real", _of_jets(fresh, other))


def _judged(label: str, model: Any, fresh: Dataset, seed: int, trained: float = math.nan) -> list[float]:
    """Print and return the figures of as many generated jets as there are fresh ones; `trained` in seconds."""
    began = time.perf_counter()
    generated = model.sample(len(fresh), random_state=seed)
    drawn = time.perf_counter() - began
    figures = _of_jets(fresh, generated)
    _print(label, figures, f"{trained:10.0f}{drawn:10.1f}")
    return figures


def _of_jets(real: Dataset, other: Dataset) -> list[float]:
    """Return the mean of each distance over blocks with its error, and the AUC of the classifier."""
    n = min(len(real), len(other))
    blocks = [slice(k, k + N_BLOCK) for k in range(0, max(1, n - N_BLOCK + 1), N_BLOCK)]
    figures = []
    for distance, unit in ((w1m, 1e-3), (w1p, 1e-3), (w1efp, 1e-5)):
        values = [distance(real.take(block), other.take(block)).value / unit for block in blocks]
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        figures += [statistics.mean(values), error]
    return [*figures, _classifier(real.take(slice(0, n)), other.take(slice(0, n)))]


def _summary(rows: Sequence[Sequence[float]]) -> None:
    columns = list(zip(*rows, strict=True))
    _print("  mean", [statistics.mean(c) for c in columns])
    _print("  sd over seeds", [statistics.stdev(c) if len(c) > 1 else float("nan") for c in columns])


def _print(label: str, figures: Sequence[Any], more: str = "") -> None:
    print(f"{label:18s}" + "".join(x if isinstance(x, str) else f"{x:11.4f}" for x in figures) + more, flush=True)


if __name__ == "__main__":
    main()
