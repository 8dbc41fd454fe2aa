"""How near generated rows of small tables come to rows that the model never saw.

    python -m benchmarks.quality.small_tables [--tables iris wine breast_cancer] [--models trees network] [--splits 5]

The protocol is that of ForestFlow (arXiv:2309.09968, SamsungSAILMontreal/ForestDiffusion): a fifth of the rows of each
class is held out, columns are scaled to [0, 1] by the training rows, the class counts as one-hot of height 1/2, and

    W(generated, test) / W(training rows, test)

is the ratio of exact Wasserstein distances with the sum of absolute differences as cost. The class is a condition of
the model. As many rows are generated as there are training rows, five times, at the classes of these, and at classes
drawn anew, as it is done there: the numbers of rows in each class then scatter, which alone costs 0.3 to 0.4 on iris.

Real against real are the training rows themselves, 1 by definition, and rows drawn from them with replacement
(`bootstrap`), which is what a model pays that knows the training rows by heart and no more. W(generated, training rows)
over the same W(training rows, test) stands beside it: much less than that of a model's ratio to test tells of copies.
Mean and standard deviation are over splits.

Nothing was chosen on iris, wine and breast_cancer; the number of trees and their depth were chosen on `classes`
and `digits`, which are simulated here and come with scikit-learn.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy import sparse
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from reverie import FlowMatching

MODELS: dict[str, Callable[[int], FlowMatching]] = {
    "trees": lambda seed: FlowMatching(network="trees", random_state=seed),
    "network": lambda seed: FlowMatching(random_state=seed),
}
_GENERATED = 5


def wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """Return the distance of the rows a (n, d) and b (m, d): the least mean L1 cost of carrying one to the other."""
    n, m = len(a), len(b)
    sums = sparse.vstack([sparse.kron(sparse.eye(n), np.ones((1, m))), sparse.kron(np.ones((1, n)), sparse.eye(m))])
    shares = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return float(linprog(cdist(a, b, "cityblock").ravel(), A_eq=sums.tocsr(), b_eq=shares, method="highs-ds").fun)


def scaled(rows: np.ndarray, classes: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return columns over the range of `train`, and the class as one-hot of height 1/2."""
    low, high = train.min(axis=0), train.max(axis=0)
    return np.concatenate([(rows - low) / (high - low), 0.5 * np.eye(classes.max() + 1)[classes]], axis=1)


def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and classes of a table."""
    loaders = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer}
    if name in loaders:
        return loaders[name](return_X_y=True)
    rng = np.random.default_rng(7)
    if name == "digits":
        digits = load_digits()
        few = np.flatnonzero(np.isin(digits.target, [2, 5, 8]))[:180]
        return np.round(PCA(8, random_state=0).fit_transform(digits.data[few]), 1), digits.target[few] // 3
    if name == "factors":
        z = rng.normal(size=(300, 4))
        rows = np.exp(0.3 * (z @ rng.normal(size=(4, 20)) + 0.5 * rng.normal(size=(300, 20))))
        return rows, (z[:, 0] + 0.5 * rng.normal(size=300) > 0).astype(int)
    shapes = [rng.normal(size=(4, 4)) * 0.35 + np.diag(rng.uniform(0.1, 0.5, 4)) for _ in range(3)]
    rows = [rng.uniform(0, 6, 4) + rng.normal(size=(50, 4)) @ shape for shape in shapes]
    return np.round(np.concatenate(rows), 1), np.repeat([0, 1, 2], 50)


def generator_of(
    kind: str, rows: np.ndarray, classes: np.ndarray, seed: int
) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return the function (classes, seed) -> rows of these classes, of a model of MODELS or of the training rows."""
    if kind != "bootstrap":
        model = MODELS[kind](seed).fit(rows, classes)
        return lambda wanted, k: np.asarray(model.sample(len(wanted), random_state=k, condition=wanted))

    def drawn(wanted: np.ndarray, k: int) -> np.ndarray:
        rng = np.random.default_rng(k)
        return rows[[rng.choice(np.flatnonzero(classes == c)) for c in wanted]]

    return drawn


def ratios(name: str, kind: str, split: int) -> tuple[float, float, float, float]:
    """Return W to the test rows, with classes drawn anew, and to the training rows, over W(train, test); and this."""
    X, y = table(name)
    rows, test, classes, test_classes = train_test_split(X, y, test_size=0.2, random_state=split, stratify=y)
    generate = generator_of(kind, rows, classes, split)
    train, held_out = scaled(rows, classes, rows), scaled(test, test_classes, rows)
    real, found = wasserstein(train, held_out), []
    for k in range(_GENERATED):
        anew = classes[np.random.default_rng(k).integers(len(rows), size=len(rows))]
        same, other = (scaled(generate(wanted, k), wanted, rows) for wanted in (classes, anew))
        found.append([wasserstein(a, b) / real for a, b in ((same, held_out), (other, held_out), (same, train))])
    to_test, with_classes, to_train = np.mean(found, axis=0)
    return float(to_test), float(with_classes), float(to_train), real


def main() -> None:
    """Print a line for each table and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["iris", "wine", "breast_cancer"])
    parser.add_argument("--models", nargs="+", default=["bootstrap", *MODELS], choices=["bootstrap", *MODELS])
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    print("table          model      to test         classes anew    to training rows  W(train, test)  seconds a split")
    for name in arguments.tables:
        for kind in arguments.models:
            began = time.process_time()
            found = np.array([ratios(name, kind, split) for split in arguments.splits])
            seconds = (time.process_time() - began) / len(found)
            spread = found.std(axis=0, ddof=min(1, len(found) - 1))
            cells = [f"{value:6.3f} ± {error:.3f}" for value, error in zip(found.mean(axis=0), spread, strict=True)]
            print(f"{name:14} {kind:9} {'  '.join(cells)}  {seconds:8.0f}", flush=True)


if __name__ == "__main__":
    main()
