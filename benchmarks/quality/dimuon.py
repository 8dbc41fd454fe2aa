"""How far samples of two-muon events, real or simulated, can be told from fresh events.

    REVERIE_DATA=... python -m benchmarks.quality.dimuon [--model gan] [--data dimuon_z dimuon_upsilon]
                                                         [--seeds 0 1 2 3 4]
    python -m benchmarks.quality.dimuon --data simulated [--model gan] [--train 50000] [--fresh 200000]

Of real events 35 %, the same for every seed, are quoted from and were used for nothing else: no default of the
library was chosen on them. On the other 65 % a model with the defaults of the library, which is shown the
invariant mass, learns (pt, eta, phi) of both muons; as many events as were held out are drawn. `simulated` are
events of `reverie.simulators.Dimuon`: `--train` of them to learn from, others for each seed, and `--fresh` to be
quoted from, the same for every seed. Per seed stand the seconds of training and of drawing, and

    AUC 6       gradient boosting on the six columns, 5-fold cross-validated; perfect: 0.5
    AUC 6 + M   the same with the invariant mass as a seventh column
    W1(M)       Wasserstein distance between the invariant masses, GeV
    width(M)    interquartile range of the mass, generated over held-out; perfect: 1

Real against real compares the held-out events with as many training events (with all of them, if they are fewer),
and simulated ones with as many that no model has seen.
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
from reverie.simulators import Dimuon

COLUMNS = ["pt1", "eta1", "phi1", "pt2", "eta2", "phi2"]
NAMES = ["AUC 6", "AUC 6 + M", "W1(M) GeV", "width(M)"]
QUOTED, SPLIT_SEED = 0.35, 12345
FRESH_SEEDS = (1001, 1002)  # of the simulated events to quote from, and of those of real against real


def main() -> None:
    """Print one row per seed, the mean and spread over seeds, and real against real, for each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["gan", "flow_matching", "flow", "vae"], default="gan")
    parser.add_argument("--data", nargs="+", default=["dimuon_z", "dimuon_upsilon"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--max-steps", type=int, default=None)
    parser.add_argument("--n-replicas", type=int, default=None)
    parser.add_argument("--train", type=int, default=50_000, help="simulated events to learn from")
    parser.add_argument("--fresh", type=int, default=200_000, help="simulated events to quote from")
    options = parser.parse_args()
    settings = {"max_steps": options.max_steps, "n_replicas": options.n_replicas}
    for name in options.data:
        _print_table(name, options, {key: x for key, x in settings.items() if x is not None})


def _print_table(name: str, options: argparse.Namespace, settings: dict[str, Any]) -> None:
    if name == "simulated":
        draw = Dimuon().sample
        fresh, other = (draw(options.fresh, random_state=seed) for seed in FRESH_SEEDS)
        training = {seed: draw(options.train, random_state=seed) for seed in options.seeds}
    else:
        fresh, train = reverie.data.load(name, columns=COLUMNS).split(QUOTED, random_state=SPLIT_SEED)
        other, training = train.take(slice(0, len(fresh))), dict.fromkeys(options.seeds, train)
    print(f"\n{name:16s} {'training':>8s} {'drawing':>8s}" + "".join(f"{column:>12s}" for column in NAMES))
    rows = []
    for seed in options.seeds:
        began = time.perf_counter()
        model = model_class(options.model)(random_state=seed, observables=["mass"], **settings).fit(training[seed])
        trained = time.perf_counter()
        generated = model.sample(len(fresh), random_state=seed)
        seconds = (trained - began, time.perf_counter() - trained)
        rows.append(_figures(fresh.values, generated.values))
        print(_line(f"generated {seed}", rows[-1], seconds), flush=True)
    columns = list(zip(*rows, strict=True))
    print(_line("  mean", [statistics.mean(c) for c in columns]))
    print(_line("  sd over seeds", [statistics.stdev(c) if len(c) > 1 else float("nan") for c in columns]))
    print(_line("real vs real", _figures(fresh.values, other.values)), flush=True)


def _line(label: str, figures: list[float], seconds: tuple[float, ...] = ()) -> str:
    times = "".join(f" {x:8.0f}" for x in seconds).ljust(18)
    return f"{label:16s}{times}" + "".join(f"{x:12.4f}" for x in figures)


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
