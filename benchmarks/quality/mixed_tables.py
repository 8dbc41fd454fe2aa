"""How far generated rows of a table of numbers, words, counts and point masses can be told from fresh ones.

    python -m benchmarks.quality.mixed_tables [--models gan flow_matching] [--seeds 0 1 2] [--train 10000]

The table is a simulated list of tracks: kind of particle (five words, the rarest 2 %), region of the detector (three,
by the kind), charge, a flag of quality, energy in GeV (six factors of ten by the kind), hits (a count by the region),
energy around the track in GeV (exactly 0 for 40 %), azimuth in rad. Nothing was chosen on it. Models with their
defaults learn `--train` tracks of a seed, and as many samples as there are fresh tracks, 40,000 of one seed, are
compared with these:

    AUC       gradient boosting, 5-fold cross-validated, words as categories; perfect: 0.5
    share     largest error of the share of a word, in points
    KS        largest Kolmogorov distance of a column of numbers

Real against real are as many other tracks.
"""

import argparse
import time

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from reverie.data import Dataset
from reverie.models.registry import model_class

KINDS, SHARES = ("electron", "kaon", "muon", "pion", "proton"), (0.08, 0.12, 0.02, 0.68, 0.10)
REGIONS = ("barrel", "endcap", "forward")
WORDS, NUMBERS = ("kind", "region", "charge", "good"), ("energy", "hits", "around", "phi")
N_FRESH, FRESH_SEEDS = 40_000, (1001, 1002)


def tracks(n: int, seed: int) -> pd.DataFrame:
    """Return n tracks, see the module."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(5, n, p=SHARES)
    by_kind = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.8, 0.2, 0.0], [0.4, 0.35, 0.25], [0.2, 0.3, 0.5]])
    region = (rng.random((n, 1)) > by_kind[kind].cumsum(axis=1)).sum(axis=1).clip(max=2)
    energy = np.exp(np.array([1.0, 2.0, 3.0, 0.5, 2.5])[kind] + 0.5 * region + rng.normal(0, 0.8, n))
    hits = 5 + rng.poisson(np.array([12.0, 8.0, 3.0])[region])
    around = np.where(rng.random(n) < 0.4, 0.0, energy * rng.beta(1.5, 6.0, n))
    positive = rng.random(n) < 0.5 + 0.1 * (kind == 4)  # more protons than antiprotons
    good = rng.random(n) < 1 / (1 + np.exp(-(hits - 9) / 2))
    phi = rng.vonmises(0.3, 0.4, n)
    return pd.DataFrame(
        {
            "kind": np.array(KINDS)[kind],
            "region": np.array(REGIONS)[region],
            "charge": np.where(positive, "plus", "minus"),
            "good": np.where(good, "yes", "no"),
            "energy": energy,
            "hits": hits,
            "around": around,
            "phi": phi,
        }
    )


def figures(real: pd.DataFrame, other: pd.DataFrame) -> list[float]:
    """Return AUC, largest error of a share in points, and largest Kolmogorov distance."""
    known = {name: sorted(real[name].unique()) for name in WORDS}
    x = np.vstack([_coded(table, known) for table in (real, other)])
    y = np.repeat([1, 0], [len(real), len(other)])
    model = HistGradientBoostingClassifier(random_state=0, categorical_features=list(range(len(WORDS))))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]
    off = [abs((real[name] == word).mean() - (other[name] == word).mean()) for name in WORDS for word in known[name]]
    distances = [ks_2samp(real[name], other[name], method="asymp").statistic for name in NUMBERS]
    return [float(roc_auc_score(y, scores)), 100 * max(off), max(distances)]


def _coded(table: pd.DataFrame, known: dict[str, list[str]]) -> np.ndarray:
    codes = [pd.Categorical(table[name].astype(str), categories=known[name]).codes for name in WORDS]
    return np.column_stack([*codes, *(table[name].to_numpy(float) for name in NUMBERS)])


def main() -> None:
    """Print a line for each model and seed, and real against real."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["gan", "flow_matching"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train", type=int, default=10_000)
    options = parser.parse_args()
    fresh, other = (tracks(N_FRESH, seed) for seed in FRESH_SEEDS)
    print("model          seed    AUC  share     KS  seconds of the processor")
    for name in options.models:
        for seed in options.seeds:
            began = time.process_time()
            model = model_class(name)(random_state=seed, n_threads=1).fit(Dataset(tracks(options.train, seed)))
            drawn = model.sample(N_FRESH, random_state=seed).to_frame()
            _print_line(f"{name:14} {seed:4}", figures(fresh, drawn), f"{time.process_time() - began:8.0f}")
    _print_line(f"{'real':14} {'':4}", figures(fresh, other), "")


def _print_line(label: str, found: list[float], seconds: str) -> None:
    auc, share, distance = found
    print(f"{label}  {auc:.3f} {share:6.1f}  {distance:.3f} {seconds}", flush=True)


if __name__ == "__main__":
    main()
