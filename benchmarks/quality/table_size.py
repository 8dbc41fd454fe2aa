"""How many events a table needs: samples of each model against fresh truth, by the number of training events.

    python -m benchmarks.quality.table_size [--tables resonance swiss_roll] [--models ...] [--events 100 300 ...]

Tables whose law is known are drawn, of 100 to 10,000 events. A model is trained on one with its defaults and draws
samples; boosted trees learn to tell them from as many fresh events of the law, and are judged by others of both. 1/2 is
perfect. Beside it

    real        fresh events against fresh events
    drawn       rows drawn from the training events with replacement: what a model is worth that knows them by heart
    log p       mean log-likelihood of fresh events in nats, of models that have one

Mean and standard deviation are over seeds: each has training events, weights and noise of its own. `factors` and
`mixture` were tuned on; nothing was chosen on `resonance` and `swiss_roll`. Steps are a quarter of the defaults, so
that the whole fits into a quarter of an hour on two quiet cores.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import reverie
from benchmarks.quality.bands import mixture

N_DRAWN = 6_000
STEPS = {"flow_matching": {"max_steps": 2000}, "flow": {"max_steps": 600}, "gan": {"max_steps": 2000}}
MODELS: dict[str, Callable[..., reverie.FlowMatching | reverie.Flow | reverie.GAN | reverie.VAE]] = {
    "trees": lambda **o: reverie.FlowMatching(network="trees", **o),
    "flow_matching": reverie.FlowMatching,
    "flow": reverie.Flow,
    "vae": reverie.VAE,
    "gan": reverie.GAN,
}


def resonance(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n decays, (n, 5): pt, eta, phi and mass of the pair, and the angle of the decay, wider at high pt."""
    pt, eta = rng.gamma(2.0, 8.0, n), 1.2 * rng.standard_normal(n)
    phi = rng.uniform(-np.pi, np.pi, n)
    is_signal = rng.uniform(size=n) < 0.6
    mass = np.where(is_signal, 91 + (1.5 + 0.05 * pt) * rng.standard_normal(n), 60 + rng.exponential(30.0, n))
    cosine = 2 * rng.beta(1 + 1 / (1 + pt / 20), 1.5, n) - 1
    return np.column_stack([pt, eta, phi, mass, cosine])


def factors(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n rows of five columns that two factors bend together, one of them with a tail."""
    u, v = rng.standard_normal((2, n))
    e = rng.standard_normal((5, n))
    second = np.where(rng.uniform(size=n) < 0.3, 2.5 + 0.4 * e[1], u**2 / 2 + 0.5 * e[1])
    return np.column_stack(
        [u, second, np.exp(0.5 * v + 0.3 * e[2]), np.sin(2 * u) + 0.3 * e[3], u * v / 2 + 0.4 * e[4]]
    )


TABLES: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "resonance": resonance,
    "swiss_roll": lambda n, rng: reverie.data.toys.swiss_roll(n, rng),
    "factors": factors,
    "mixture": mixture,
}


def auc(truth: np.ndarray, generated: np.ndarray) -> float:
    """Return the AUC of boosted trees that learn from one half of both samples, on the other half."""
    rows = np.concatenate([truth, generated])
    label = np.repeat([0, 1], [len(truth), len(generated)])
    learns = np.arange(len(rows)) % 2 == 0
    trees = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.08, max_leaf_nodes=15, random_state=0)
    return float(
        roc_auc_score(label[~learns], trees.fit(rows[learns], label[learns]).predict_proba(rows[~learns])[:, 1])
    )


def measured(table: str, name: str, n: int, seed: int, options: dict[str, object]) -> tuple[float, float, float]:
    """Return AUC, mean log p of fresh events (NaN without one) and the seconds of processor that training took."""
    torch.set_num_threads(1)
    draw = TABLES[table]
    events = draw(n, np.random.default_rng([11, seed]))
    truth, fresh = (draw(N_DRAWN, np.random.default_rng([12 + k, seed])) for k in range(2))
    if name == "real":
        return auc(truth, fresh), np.nan, 0.0
    if name == "drawn":
        return auc(truth, events[np.random.default_rng(seed).integers(n, size=N_DRAWN)]), np.nan, 0.0
    began = time.process_time()
    model = MODELS[name](random_state=seed, n_threads=1, **STEPS.get(name, {}) | options).fit(events)
    seconds = time.process_time() - began
    log_p = float(model.score(truth[:500])) if name in ("flow", "flow_matching", "vae") else np.nan
    return auc(truth, np.asarray(model.sample(N_DRAWN, random_state=seed))), log_p, seconds


def main() -> None:
    """Print a line for each table, number of events and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["resonance", "swiss_roll"], choices=list(TABLES))
    parser.add_argument("--models", nargs="+", default=["trees", "flow_matching", "flow", "gan"])
    parser.add_argument("--events", nargs="+", type=int, default=[100, 300, 1000, 3000, 10_000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--option", nargs="+", default=[], help="options of the models, such as max_steps=2000")
    given = parser.parse_args()
    options = {key: int(value) for key, value in (text.split("=") for text in given.option)}
    print("table          events  model          AUC              log p             seconds", flush=True)
    with ProcessPoolExecutor(given.workers) as pool:
        for table in given.tables:
            for n in given.events:
                runs = {
                    name: [pool.submit(measured, table, name, n, seed, options) for seed in given.seeds]
                    for name in ("real", "drawn", *given.models)
                }
                for name, futures in runs.items():
                    rows = np.array([future.result() for future in futures])
                    (a, p, s), spread = rows.mean(axis=0), rows.std(axis=0, ddof=min(1, len(rows) - 1))
                    likelihood = "" if np.isnan(p) else f"{p:8.3f} ± {spread[1]:.3f}"
                    print(
                        f"{table:14s} {n:6d}  {name:14s} {a:.3f} ± {spread[0]:.3f}   {likelihood:18s} {s:6.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
