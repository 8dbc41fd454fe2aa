"""The whole default battery against one-liners for the same statistics, in time and peak memory.

    python -m benchmarks.speed.battery [--sizes 2000 20000 100000] [--features 20] [--permutations 500] [--threads 2]

Each line runs in a process of its own, so that its peak memory is its own (the bare imports are subtracted).
The one-liners are what a physicist would write with SciPy and scikit-learn: `scipy.stats.ks_2samp` in a loop,
`permutation_test` of SciPy around a dense distance or kernel matrix, `NearestNeighbors`. They are dense, so above
`--dense` rows per sample only those that need no N x N matrix are run; their permutations are
extrapolated from `FEW` ones, which is said in the line. POT stands in for sliced Wasserstein where it is installed.

Asked: 20,000 against 20,000 events in 20 dimensions within 90 s and 2 GB on 2 cores; 100,000 within 10 minutes.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

FEW = 3  # permutations of the one-liners that are timed; the rest is extrapolated
FEATURES = 20
IMAGES = "battery, images of 28 x 28"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 20_000, 100_000])
    parser.add_argument("--features", type=int, default=FEATURES)
    parser.add_argument("--permutations", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dense", type=int, default=10_000, help="rows per sample up to which dense one-liners run")
    parser.add_argument("--images", type=int, default=10_000, help="rows per sample up to which images are judged")
    parser.add_argument("--only", help="one line, in this process: for the table itself")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(_measured(options.only, options.sizes[0], options)))
        return
    print(f"{options.features} features, {options.permutations} permutations, {options.threads} threads")
    print(f"{'rows per sample':>15s}  {'':34s} {'time':>10s} {'peak memory':>12s}")
    base = _child("nothing", 10, options)["megabytes"]
    for n in options.sizes:
        names = [
            "battery",
            *([IMAGES] if n <= options.images else []),
            *(name for name in ONE_LINERS if n <= options.dense or name in LEAN),
        ]
        for name in names:
            found = _child(name, n, options)
            memory = max(0.0, found["megabytes"] - base)
            note = f"   {found['note']}" if found["note"] else ""
            print(f"{n:15,d}  {name:34s} {found['seconds']:8.1f} s {memory:9.0f} MB{note}", flush=True)


def _child(name: str, n: int, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.speed.battery", "--only", name, "--sizes", str(n)]
    command += ["--features", str(options.features), "--permutations", str(options.permutations)]
    command += ["--threads", str(options.threads)]
    out = subprocess.run(command, check=False, capture_output=True, text=True)
    if out.returncode:
        return {"seconds": float("nan"), "megabytes": float("nan"), "note": out.stderr.strip().splitlines()[-1][:80]}
    return json.loads(out.stdout.splitlines()[-1])


def _measured(name: str, n: int, options: argparse.Namespace) -> dict[str, Any]:
    import torch

    import reverie

    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    real, generated, other = (_events(rng, n, options.features, is_image=name == IMAGES) for _ in range(3))
    began, factor, note = time.perf_counter(), 1.0, ""
    if name in ("battery", IMAGES):
        result = reverie.validate(
            real, generated, calibration=other, n_permutations=options.permutations, max_samples=n, random_state=0
        )
        note = f"{len(result.checks)} tests and classifiers, real against real included; global p {result.p_value:.3f}"
    elif name != "nothing":
        factor = ONE_LINERS[name](real, generated, options.permutations)
        note = f"{FEW} permutations timed, {options.permutations} extrapolated" if factor > 1 else ""
    seconds = (time.perf_counter() - began) * factor
    return {"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "note": note}


def _events(rng: np.random.Generator, n: int, n_features: int, *, is_image: bool) -> np.ndarray:
    """Return normal rows, or images of 28 x 28 pixels: smooth fields of twelve waves with a little noise."""
    if not is_image:
        return rng.normal(size=(n, n_features))
    waves = np.cos(np.pi * np.outer(np.arange(12), (np.arange(28) + 0.5) / 28)) / (1 + np.arange(12))[:, None]
    smooth = np.einsum("nij,ia,jb->nab", rng.normal(size=(n, 12, 12)), waves, waves)
    return (smooth + 0.05 * rng.normal(size=(n, 28, 28))).astype(np.float32)


def _permuted(statistic: Callable[[np.ndarray], float], n: int, n_permutations: int) -> float:
    """Run a statistic of labels for the observed and `FEW` permuted labellings; return the factor to all of them."""
    labels = np.repeat([True, False], n)
    rng = np.random.default_rng(0)
    for _ in range(FEW + 1):
        statistic(labels)
        labels = rng.permutation(labels)
    return (n_permutations + 1) / (FEW + 1)


def _ks(x: np.ndarray, y: np.ndarray, n_permutations: int) -> float:
    from scipy.stats import ks_2samp

    for j in range(x.shape[1]):
        ks_2samp(x[:, j], y[:, j])
    return 1.0


def _energy(x: np.ndarray, y: np.ndarray, n_permutations: int) -> float:
    from scipy.spatial.distance import cdist

    z = np.concatenate([x, y])
    distances = cdist(z, z)

    def energy(of_x: np.ndarray) -> float:
        blocks = [distances[np.ix_(a, b)].mean() for a, b in ((of_x, ~of_x), (of_x, of_x), (~of_x, ~of_x))]
        return 2 * blocks[0] - blocks[1] - blocks[2]

    return _permuted(energy, len(x), n_permutations)


def _mmd(x: np.ndarray, y: np.ndarray, n_permutations: int) -> float:
    from sklearn.metrics.pairwise import rbf_kernel

    z = np.concatenate([x, y])
    kernels = [rbf_kernel(z, gamma=0.5 / (f * f * x.shape[1] * 2)) for f in (0.25, 0.5, 1.0, 2.0, 4.0)]

    def mmd(of_x: np.ndarray) -> float:
        sign = np.where(of_x, 1.0, -1.0) / len(x)
        return max(float(sign @ K @ sign) for K in kernels)

    return _permuted(mmd, len(x), n_permutations)


def _sliced(x: np.ndarray, y: np.ndarray, n_permutations: int) -> float:
    from scipy.stats import wasserstein_distance

    theta = np.random.default_rng(0).normal(size=(x.shape[1], 50))
    z = np.concatenate([x, y]) @ (theta / np.linalg.norm(theta, axis=0))

    def sliced(of_x: np.ndarray) -> float:
        return float(np.mean([wasserstein_distance(column[of_x], column[~of_x]) for column in z.T]))

    return _permuted(sliced, len(x), n_permutations)


def _frechet(x: np.ndarray, y: np.ndarray, n_permutations: int) -> float:
    from scipy.linalg import sqrtm

    z = np.concatenate([x, y])

    def frechet(of_x: np.ndarray) -> float:
        a, b = z[of_x], z[~of_x]
        s, t = np.cov(a.T), np.cov(b.T)
        return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(s + t - 2 * sqrtm(s @ t)).real)

    return _permuted(frechet, len(x), n_permutations)


def _nearest(x: np.ndarray, y: np.ndarray, n_permutations: int) -> float:
    from sklearn.neighbors import NearestNeighbors

    z = np.concatenate([x, y])
    neighbours = NearestNeighbors(n_neighbors=6).fit(z).kneighbors(return_distance=False)

    def agreement(of_x: np.ndarray) -> float:
        return float((of_x[neighbours] == of_x[:, None]).mean())

    return _permuted(agreement, len(x), n_permutations)


def _forest(x: np.ndarray, y: np.ndarray, n_permutations: int) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import cross_val_score

    z, labels = np.concatenate([x, y]), np.repeat([0, 1], len(x))
    cross_val_score(HistGradientBoostingClassifier(), z, labels, cv=2, scoring="roc_auc")
    return 1.0


ONE_LINERS: dict[str, Callable[[np.ndarray, np.ndarray, int], float]] = {
    "KS: scipy.stats.ks_2samp": _ks,
    "energy: scipy cdist, permuted": _energy,
    "MMD, 5 widths: sklearn rbf, permuted": _mmd,
    "sliced W1: scipy, permuted": _sliced,
    "Frechet: scipy sqrtm, permuted": _frechet,
    "5-NN labels: sklearn, permuted": _nearest,
    "boosting: sklearn, 2-fold": _forest,
}
LEAN = set(ONE_LINERS) - {"energy: scipy cdist, permuted", "MMD, 5 widths: sklearn rbf, permuted"}


if __name__ == "__main__":
    main()
