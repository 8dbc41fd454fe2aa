"""Faults of known strength, planted in real events: what a generator might do wrong, for power studies and tests.

Each is a pure function ``fault(events, strength, generator)`` of real events (n, *event) and a NumPy generator, which
returns events with that fault and leaves its input alone. A strength of 0 returns the events as they are.

    drop_mode      share of one of the clusters that is lost: fewer rows come back
    contaminate    share of events replaced by uniform ones, or by ones whose features were shuffled
    decorrelate    share of the variance of each feature's normal score that is replaced by noise; marginals stay exact
    shrink_tails   part of the distance beyond the 2.5 % and 97.5 % quantiles of each feature that is lost
    shift          shift of one feature, in standard deviations
    copy_training  share of events replaced by training events, drawn without replacement

`FAULTS` is a table of these with the strengths that a power study tries. Images are flattened inside.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import norm, rankdata

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.types import ArrayLike
from reverie.validation.inputs.tables import as_events

__all__ = [
    "FAULTS",
    "Fault",
    "contaminate",
    "copy_training",
    "decorrelate",
    "drop_mode",
    "shift",
    "shrink_tails",
]

Plant = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Fault:
    """A fault and the strengths at which it is tried.

    Parameters
    ----------
    plant : ``plant(events, strength, generator)``, a pure function.
    strengths : increasing, > 0.
    words : how a strength is told, with ``{}`` for the number, such as ``"a shift of {} sd"``.
    percent : whether strengths are told in per cent.
    """

    plant: Plant
    strengths: tuple[float, ...]
    words: str
    percent: bool = False

    def describe(self, strength: float) -> str:
        """Return the strength in words, such as ``"a shift of 0.06 sd"``."""
        number = f"{100 * strength:.2g} %" if self.percent else f"{strength:.2g}"
        return self.words.format(number)


def drop_mode(events: ArrayLike, strength: float, generator: np.random.Generator, *, n_modes: int = 10) -> np.ndarray:
    """Return `events` without a share `strength` of one of `n_modes` k-means clusters, drawn at random.

    Fewer rows come back, in their order. Features count in units of their standard deviation.
    """
    events = _array(events)
    from sklearn.cluster import KMeans

    _check_share(strength)
    table = _flat(events)
    spread = table.std(0)
    seed = int(generator.integers(2**31))
    options: dict[str, Any] = {"n_clusters": min(n_modes, len(table)), "n_init": 1, "random_state": seed}
    clusters = KMeans(**options)
    mode = clusters.fit_predict(table / np.where(spread > 0, spread, 1.0))
    members = generator.permutation(np.flatnonzero(mode == mode[generator.integers(len(mode))]))
    kept = np.ones(len(events), dtype=bool)
    kept[members[: round(strength * len(members))]] = False
    return events[kept]


def contaminate(
    events: ArrayLike, strength: float, generator: np.random.Generator, *, kind: str = "uniform"
) -> np.ndarray:
    """Return `events` with a share `strength` replaced.

    Parameters
    ----------
    kind : "uniform" in the smallest box that holds all events, or "shuffled": each feature from another event.
    """
    events = _array(events)
    _check_share(strength)
    draw = check_choice("kind of contamination", kind, _CONTAMINATIONS)
    table = _flat(events).copy()
    rows = _some(len(table), strength, generator)
    table[rows] = draw(table, len(rows), generator)
    return table.reshape(events.shape)


def decorrelate(events: ArrayLike, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Return `events` with weaker dependence between features; the values of each feature stay the same set.

    Each feature's normal scores s become sqrt(1 - strength) s + sqrt(strength) noise, and its values are put in the
    order of these: correlations of normal scores shrink by the factor 1 - strength.
    """
    events = _array(events)
    _check_share(strength)
    if strength == 0:
        return events.copy()
    table = _flat(events)
    scores = norm.ppf((rankdata(table, axis=0, method="ordinal") - 0.5) / len(table))
    noise = generator.standard_normal(table.shape)
    order = np.argsort(math.sqrt(1 - strength) * scores + math.sqrt(strength) * noise, axis=0)
    mixed = np.empty_like(table)
    np.put_along_axis(mixed, order, np.sort(table, axis=0), axis=0)
    return mixed.reshape(events.shape)


def shrink_tails(
    events: ArrayLike, strength: float, generator: np.random.Generator, *, tail: float = 0.05
) -> np.ndarray:
    """Return `events` whose features reach less far beyond their tail/2 and 1 - tail/2 quantiles.

    The distance beyond is multiplied by 1 - strength; `generator` is not used.
    """
    events = _array(events)
    _check_share(strength)
    table = _flat(events)
    low, high = np.quantile(table, [tail / 2, 1 - tail / 2], axis=0)
    inside = np.clip(table, low, high)
    return (inside + (1 - strength) * (table - inside)).astype(events.dtype, copy=False).reshape(events.shape)


def shift(events: ArrayLike, strength: float, generator: np.random.Generator, *, feature: int | None = 0) -> np.ndarray:
    """Return `events` with one feature (None: all of them) larger by `strength` of its standard deviations.

    `generator` is not used.
    """
    events = _array(events)
    table = _flat(events).copy()
    which = slice(None) if feature is None else feature
    table[:, which] += strength * table[:, which].std(0)
    return table.reshape(events.shape)


def copy_training(
    events: ArrayLike, strength: float, generator: np.random.Generator, *, training: ArrayLike
) -> np.ndarray:
    """Return `events` with a share `strength` replaced by events of `training` (t, *event), each used once.

    Raises
    ------
    InputError
        For more copies than training events.
    """
    events = _array(events)
    _check_share(strength)
    training, rows = _array(training), _some(len(events), strength, generator)
    if len(rows) > len(training):
        raise InputError(
            f"Expected at least {len(rows)} training events to copy, got {len(training)}. Lower the strength, or give "
            "more training events."
        )
    copied = events.copy()
    copied[rows] = training[generator.permutation(len(training))[: len(rows)]]
    return copied


def _uniform(table: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    return generator.uniform(table.min(0), table.max(0), (n, table.shape[1]))


def _shuffled(table: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    rows = generator.integers(len(table), size=(n, table.shape[1]))
    return np.take_along_axis(table, rows, axis=0)


_CONTAMINATIONS = {"uniform": _uniform, "shuffled": _shuffled}


def _array(events: ArrayLike) -> np.ndarray:
    return events if isinstance(events, np.ndarray) else as_events(events, "events")


def _flat(events: np.ndarray) -> np.ndarray:
    return events.reshape(len(events), -1)


def _some(n: int, share: float, generator: np.random.Generator) -> np.ndarray:
    return generator.permutation(n)[: round(share * n)]


def _check_share(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise InputError(f"Expected a strength in [0, 1], got {strength!r}. It is a share.")


_SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
FAULTS: dict[str, Fault] = {
    "shift": Fault(shift, (0.01, 0.02, 0.05, 0.1, 0.2, 0.4), "a shift of one feature by {} standard deviations"),
    "contamination": Fault(contaminate, _SHARES, "{} of uniform background", percent=True),
    "shuffled": Fault(partial(contaminate, kind="shuffled"), _SHARES, "{} of shuffled events", percent=True),
    "decorrelation": Fault(decorrelate, _SHARES, "a loss of {} of the correlations", percent=True),
    "tails": Fault(shrink_tails, (0.05, 0.1, 0.2, 0.4, 0.8), "tails (2.5 % each side) shorter by {}", percent=True),
    "lost mode": Fault(drop_mode, (0.05, 0.1, 0.2, 0.4, 0.8), "a loss of {} of one cluster in ten", percent=True),
}
