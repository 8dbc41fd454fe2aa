"""How far samples of real two-muon events can be told from held-out events.

    REVERIE_DATA=... python -m benchmarks.quality.dimuon [--model gan] [--data dimuon_z dimuon_upsilon]
                                                         [--seeds 0 1 2 3 4]

35 % of the events, the same for every seed, are quoted from and were used for nothing else: no default of the
library was chosen on them. On the other 65 % a model with the defaults of the library, which is shown the
invariant mass, learns (pt, eta, phi) of both muons; as many events as were held out are drawn. Per seed:

    AUC 6       gradient boosting on the six columns, 5-fold cross-validated; perfect: 0.5
    AUC 6 + M   the same with the invariant mass as a seventh column
    W1(M)       Wasserstein distance between the invariant masses, GeV
    width(M)    interquartile range of the mass, generated over held-out; perfect: 1

Real against real compares the held-out events with as many training events (with all of them, if they are fewer).
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np
from scipy.stats import iqr, wasserstein_distance
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

import reverie
from reverie.models.registry import model_class

COLUMNS = ["pt1", "eta1", "phi1", "pt2", "eta2", "phi2"]
NAMES = ["AUC 6", "AUC 6 + M", "W1(M) GeV", "width(M)"]
QUOTED, SPLIT_SEED = 0.35, 12345


def main() -> None:
    """Print one row per seed, the mean and spread over seeds, and real against real, for each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["gan", "flow_matching", "flow", "vae"], default="gan")
    parser.add_argument("--data", nargs="+", default=["dimuon_z", "dimuon_upsilon"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--max-steps", type=int, default=None)
    parser.add_argument("--n-replicas", type=int, default=None)
    options = parser.parse_args()
    settings = {"max_steps": options.max_steps, "n_replicas": options.n_replicas}
    for name in options.data:
        _print_table(options.model, name, options.seeds, {key: x for key, x in settings.items() if x is not None})


def _print_table(kind: str, name: str, seeds: list[int], settings: dict[str, Any]) -> None:
    held_out, train = reverie.data.load(name, columns=COLUMNS).split(QUOTED, random_state=SPLIT_SEED)
    print(f"\n{name:16s} {'seconds':>8s}" + "".join(f"{column:>12s}" for column in NAMES))
    rows = []
    for seed in seeds:
        began = time.perf_counter()
        model = model_class(kind)(random_state=seed, observables=["mass"], **settings).fit(train)
        seconds = time.perf_counter() - began
        rows.append(_figures(held_out.values, model.sample(len(held_out), random_state=seed).values))
        print(_line(f"generated {seed}", rows[-1], seconds), flush=True)
    columns = list(zip(*rows, strict=True))
    print(_line("  mean", [statistics.mean(c) for c in columns]))
    print(_line("  sd over seeds", [statistics.stdev(c) if len(c) > 1 else float("nan") for c in columns]))
    print(_line("real vs real", _figures(held_out.values, train.values[: len(held_out)])), flush=True)


def _line(label: str, figures: list[float], seconds: float | None = None) -> str:
    time_spent = " " * 8 if seconds is None else f"{seconds:8.0f}"
    return f"{label:16s} {time_spent}" + "".join(f"{x:12.4f}" for x in figures)


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
