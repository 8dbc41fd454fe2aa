"""How far GAN samples of real Z -> mu mu events can be told from held-out events.

    REVERIE_DATA=... python -m benchmarks.quality.dimuon [--seeds 0 1 2] [--max-steps 20000]

For each seed the 10,851 events are split anew into 65 % for training and 35 % held out; a GAN with
the defaults of the library is trained on (pt, eta, phi) of both muons, and as many events as were
held out are drawn. Four figures per seed, each beside real against real (held-out events against as
many training events):

    AUC 6       gradient boosting on the six columns, 5-fold cross-validated; perfect: 0.5
    AUC 6 + M   the same with the invariant mass as a seventh column
    W1(M)       Wasserstein distance between the invariant masses, GeV
    width(M)    interquartile range of the mass, generated over held-out; perfect: 1

Nothing in the library was tuned on these events: defaults were chosen on the Upsilon events, the
MAGIC showers and the digits.
"""

import argparse
import statistics
import time

import numpy as np
from scipy.stats import iqr, wasserstein_distance
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

import reverie

COLUMNS = ["pt1", "eta1", "phi1", "pt2", "eta2", "phi2"]


def main() -> None:
    """Print one row per seed and the mean and spread over seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--max-steps", type=int, default=None)
    options = parser.parse_args()
    events = reverie.data.load("dimuon_z", columns=COLUMNS)
    names = ["AUC 6", "AUC 6 + M", "W1(M) GeV", "width(M)"]
    print(f"{'':14s} {'train s':>8s}" + "".join(f"{name:>12s}" for name in names))
    rows: dict[str, list[list[float]]] = {"generated": [], "real vs real": []}
    for seed in options.seeds:
        for name, seconds, figures in _figures_of(events, seed, options.max_steps):
            rows[name].append(figures)
            print(f"{name:12s} {seed:1d} {seconds:8.0f}" + "".join(f"{x:12.4f}" for x in figures), flush=True)
    for name, table in rows.items():
        columns = list(zip(*table, strict=True))
        means = "".join(f"{statistics.mean(c):12.4f}" for c in columns)
        spread = "".join(f"{statistics.stdev(c) if len(c) > 1 else float('nan'):12.4f}" for c in columns)
        print(f"{name + ' mean':23s}{means}\n{'  sd over seeds':23s}{spread}")


def _figures_of(events: reverie.Dataset, seed: int, max_steps: int | None):
    train, held_out = events.split(0.65, random_state=seed)
    settings = {} if max_steps is None else {"max_steps": max_steps}
    began = time.perf_counter()
    model = reverie.GAN(random_state=seed, **settings).fit(train)
    seconds = time.perf_counter() - began
    real = held_out.values
    yield "generated", seconds, _figures(real, model.sample(len(real), random_state=seed).values)
    yield "real vs real", 0.0, _figures(real, train.values[: len(real)])


def _figures(real: np.ndarray, other: np.ndarray) -> list[float]:
    m_real, m_other = _mass(real), _mass(other)
    with_mass = _auc(np.column_stack([real, m_real]), np.column_stack([other, m_other]))
    return [_auc(real, other), with_mass, wasserstein_distance(m_real, m_other), iqr(m_other) / iqr(m_real)]


def _mass(x: np.ndarray) -> np.ndarray:
    """Return the invariant mass in GeV of two massless particles: 2 pt1 pt2 (cosh(d eta) - cos(d phi))."""
    pt1, eta1, phi1, pt2, eta2, phi2 = x.T
    return np.sqrt(2 * pt1 * pt2 * (np.cosh(eta1 - eta2) - np.cos(phi1 - phi2)))


def _auc(real: np.ndarray, other: np.ndarray) -> float:
    x, y = np.vstack([real, other]), np.repeat([1, 0], [len(real), len(other)])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = HistGradientBoostingClassifier(random_state=0)
    return float(roc_auc_score(y, cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]))


if __name__ == "__main__":
    main()
