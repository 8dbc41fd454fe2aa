"""How often a symmetry that holds is refused, and how often one that 5 % of the events break is found.

    python -m benchmarks.quality.symmetries [--null 200] [--broken 60] [--events 15000] [--sets]

Events of two muons (pt, eta, phi of both) with all three symmetries: a common rotation of phi, the reflection of eta,
the exchange of the muons. Null runs have 1,000 events each and test all three at once; a run counts if any is refused
(at 1 % for all three together) or has p < 0.05. In the others 5 % of the events are moved to one side:

    eta     the first muon of 5 % of the events to eta1 > 0
    phi     5 % of the events to the half circle phi1 > 0
    order   5 % of the events in the order pt1 > pt2
    corner  5 % of the events with eta1 phi1 > 0, which no single column shows
    chain   null runs of a Markov chain of 4 x 4 Ising lattices whose rows have autocorrelation 0.8, under 'negate'

With `--sets`, sets of `reverie.simulators.ToySets`, each turned by an angle of its own, so that both reflections and
the rotation in the plane of eta_rel and phi_rel hold; null runs test the three at once. 5 % of the sets are moved:

    side    mirrored in eta_rel where the hardest particle has eta_rel < 0
    half    turned by half a turn where the hardest particle has phi_rel < 0
    along   turned by a quarter where sum of eta_rel^2 - phi_rel^2 of the particles is below 0, which only their
            scatter shows

The last columns are mean and largest seconds of a run on one core.

Then what symmetries are worth: the log-likelihood of 5,000 fresh events, in nats per event, under flows that learned
from 500 events, with the three symmetries and without, over seeds of events and networks.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

import reverie
from reverie.data import Dataset, particle_sets
from reverie.data.symmetries import resolve_symmetries
from reverie.models.symmetries import ALPHA, symmetry_tests
from reverie.simulators import ToySets

COLUMNS = ["pt1", "eta1", "phi1", "pt2", "eta2", "phi2"]
WORDS = ["rotate phi", "reflect eta", "exchange"]
SHARE = 0.05


def symmetric_events(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n events (n, 6) of the columns `COLUMNS` with all symmetries of `WORDS`."""
    boost, recoil = rng.normal(0, 1.2, (n, 1)), rng.exponential(4, (n, 1))
    pt = 30 + recoil * rng.normal(size=(n, 2)) ** 2 + rng.exponential(5, (n, 2))
    eta = boost + rng.normal(0, 0.8, (n, 2))
    first = rng.uniform(-np.pi, np.pi, n)
    second = first + np.pi + rng.normal(0, 0.05 * (1 + recoil[:, 0]), n)
    phi = (np.column_stack([first, second]) + np.pi) % (2 * np.pi) - np.pi
    swap = rng.random(n) < 0.5
    events = np.stack([pt, eta, phi], axis=2)  # (n, muon, quantity)
    events[swap] = events[swap, ::-1]
    return events.reshape(n, 6)


def _moved_eta(x: np.ndarray) -> None:
    x[:, 1] = np.abs(x[:, 1])


def _moved_phi(x: np.ndarray) -> None:
    lower = x[:, 2] < 0
    x[lower, 2] += np.pi
    x[lower, 5] = (x[lower, 5] + 2 * np.pi) % (2 * np.pi) - np.pi


def _ordered(x: np.ndarray) -> None:
    swap = x[:, 0] < x[:, 3]
    x[swap] = x[swap][:, [3, 4, 5, 0, 1, 2]]


def _moved_corner(x: np.ndarray) -> None:
    away = x[:, 1] * x[:, 2] < 0
    x[away, 1] *= -1


def symmetric_sets(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n sets (n, particles, 4) of eta_rel, phi_rel, pt_rel and mask, with all symmetries of `SET_WORDS`."""
    x = ToySets().sample(n, random_state=int(rng.integers(2**31))).values.copy()
    z = (x[..., 0] + 1j * x[..., 1]) * np.exp(1j * rng.uniform(0, 2 * np.pi, (n, 1)))
    x[..., 0], x[..., 1] = z.real, z.imag
    return x


def _table(x: np.ndarray) -> Dataset:
    return Dataset(x, names=COLUMNS)


def _sets(x: np.ndarray) -> Dataset:
    return particle_sets(x, names=["eta_rel", "phi_rel", "pt_rel"])


def _hardest(x: np.ndarray) -> np.ndarray:
    """Return the hardest particle of each set, (n, 4)."""
    return x[np.arange(len(x)), (x[..., 2] * x[..., 3]).argmax(1)]


def _moved_side(x: np.ndarray) -> None:
    x[_hardest(x)[:, 0] < 0, :, 0] *= -1


def _moved_half(x: np.ndarray) -> None:
    x[_hardest(x)[:, 1] < 0, :, :2] *= -1


def _moved_along(x: np.ndarray) -> None:
    across = ((x[..., 0] ** 2 - x[..., 1] ** 2) * x[..., 3]).sum(1) < 0
    x[across, :, :2] = x[across][..., [1, 0]] * (-1, 1)


SET_WORDS = ["reflect eta_rel", "reflect phi_rel", "rotate eta_rel phi_rel"]
SET_VIOLATIONS: dict[str, tuple[str, Callable[[np.ndarray], None]]] = {
    "side": ("reflect eta_rel", _moved_side),
    "half": ("rotate eta_rel phi_rel", _moved_half),
    "along": ("rotate eta_rel phi_rel", _moved_along),
}
VIOLATIONS: dict[str, tuple[str, Callable[[np.ndarray], None]]] = {
    "eta": ("reflect eta", _moved_eta),
    "phi": ("rotate phi", _moved_phi),
    "order": ("exchange", _ordered),
    "corner": ("reflect eta", _moved_corner),
}


def _chain(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n rows of 4 x 4 spins: each differs from the one before in a fifth of its sites, up to a global flip."""
    kept = rng.random((n, 16)) < 0.8
    fresh = rng.choice((-1.0, 1.0), size=(n, 16))
    rows = np.empty((n, 16))
    rows[0] = fresh[0]
    for i in range(1, n):
        rows[i] = np.where(kept[i], rows[i - 1], fresh[i])
    return rows.reshape(n, 4, 4)


def main() -> None:
    """Print the rates of false refusals and of violations that are found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--null", type=int, default=200)
    parser.add_argument("--broken", type=int, default=60)
    parser.add_argument("--events", type=int, default=15_000)
    parser.add_argument("--flows", type=int, default=5)
    parser.add_argument("--sets", action="store_true", help="of particles, instead of tables and lattices")
    options = parser.parse_args()
    heads = f"{'':10s}{'events':>8s}{'runs':>6s}{'refused':>9s}{'p < .05':>9s}{'seconds':>9s}{'most':>7s}"
    print(heads, flush=True)
    events, as_dataset = (symmetric_sets, _sets) if options.sets else (symmetric_events, _table)
    _print("none", 1000, options.null, events, SET_WORDS if options.sets else WORDS, as_dataset)
    if not options.sets:
        _print("chain", 1000, options.null, _chain, ["negate"], lambda x: Dataset(x, kind="spin"))
    for name, (word, move) in (SET_VIOLATIONS if options.sets else VIOLATIONS).items():

        def broken(n: int, rng: np.random.Generator, move: Callable[[np.ndarray], None] = move) -> np.ndarray:
            x = events(n, rng)
            some = x[: round(SHARE * n)]
            move(some)
            return rng.permutation(x)

        _print(name, options.events, options.broken, broken, [word], as_dataset)
    if options.sets:
        return
    for seed in range(options.flows):
        train, fresh = (symmetric_events(n, np.random.default_rng([seed, n])) for n in (500, 5000))
        nats = []
        for words in (None, WORDS):
            flow = reverie.Flow(symmetries=words, max_steps=1500, random_state=seed)
            nats.append(flow.fit(Dataset(train, names=COLUMNS)).score(Dataset(fresh, names=COLUMNS)))
        print(f"flow {seed}: without {nats[0]:.3f}, with {nats[1]:.3f}, gain {nats[1] - nats[0]:+.3f}", flush=True)


def _print(
    name: str,
    n: int,
    runs: int,
    events: Callable[[int, np.random.Generator], np.ndarray],
    words: list[str],
    as_dataset: Callable[[np.ndarray], Dataset],
) -> None:
    if runs == 0:
        return
    p_values, seconds = [], []
    for run in range(runs):
        x = events(n, np.random.default_rng([run, n]))
        data = as_dataset(x)
        began = time.perf_counter()
        tests = symmetry_tests(data, resolve_symmetries(words, data.schema), seed=run)
        seconds.append(time.perf_counter() - began)
        p_values.append(min(test.p_value for test in tests))
    p = np.array(p_values)
    rates = f"{(p < ALPHA).mean():9.3f}{(p < 0.05).mean():9.3f}"
    print(f"{name:10s}{n:8d}{runs:6d}{rates}{np.mean(seconds):9.1f}{max(seconds):7.1f}", flush=True)


if __name__ == "__main__":
    main()
