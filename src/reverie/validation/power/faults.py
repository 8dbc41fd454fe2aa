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

import numpy as np
from scipy.stats import norm, rankdata

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.types import ArrayLike
from reverie.validation.inputs.tables import as_events

__all__ = ["FAULTS", "Fault", "contaminate", "copy_training", "decorrelate", "drop_mode", "shift", "shrink_tails"]

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
    from sklearn.cluster import KMeans

    events, table = _table(events, strength)
    spread, seed = table.std(0), int(generator.integers(2**31))
    clusters = KMeans(min(n_modes, len(table)), n_init=1, random_state=seed)
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
    events, table = _table(events, strength)
    is_uniform = check_choice("kind of contamination", kind, {"uniform": True, "shuffled": False})
    rows, d = generator.permutation(len(table))[: round(strength * len(table))], table.shape[1]
    if is_uniform:
        table[rows] = generator.uniform(table.min(0), table.max(0), (len(rows), d))
    else:
        table[rows] = np.take_along_axis(table, generator.integers(len(table), size=(len(rows), d)), axis=0)
    return table.reshape(events.shape)


def decorrelate(events: ArrayLike, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Return `events` with weaker dependence between features; the values of each feature stay the same set.

    Each feature's normal scores s become sqrt(1 - strength) s + sqrt(strength) noise, and its values are put in the
    order of these: correlations of normal scores shrink by the factor 1 - strength.
    """
    events, table = _table(events, strength)
    if strength > 0:
        scores = norm.ppf((rankdata(table, axis=0, method="ordinal") - 0.5) / len(table))
        noise = generator.standard_normal(table.shape)
        order = np.argsort(math.sqrt(1 - strength) * scores + math.sqrt(strength) * noise, axis=0)
        np.put_along_axis(table, order, np.sort(table, axis=0), axis=0)
    return table.reshape(events.shape)


def shrink_tails(
    events: ArrayLike, strength: float, generator: np.random.Generator, *, tail: float = 0.05
) -> np.ndarray:
    """Return `events` whose features reach less far beyond their tail/2 and 1 - tail/2 quantiles.

    The distance beyond is multiplied by 1 - strength; `generator` is not used.
    """
    events, table = _table(events, strength)
    inside = np.clip(table, *np.quantile(table, [tail / 2, 1 - tail / 2], axis=0))
    return (inside + (1 - strength) * (table - inside)).astype(events.dtype, copy=False).reshape(events.shape)


def shift(events: ArrayLike, strength: float, generator: np.random.Generator, *, feature: int | None = 0) -> np.ndarray:
    """Return `events` with one feature (None: all of them) larger by `strength` of its standard deviations.

    `generator` is not used.
    """
    events, table = _table(events)
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
    events, copied = _table(events, strength)
    training = _table(training)[1]
    rows = generator.permutation(len(events))[: round(strength * len(events))]
    if len(rows) > len(training):
        raise InputError(
            f"Expected at least {len(rows)} training events to copy, got {len(training)}. Lower the strength, or give "
            "more training events."
        )
    copied[rows] = training[generator.permutation(len(training))[: len(rows)]]
    return copied.reshape(events.shape)


def _table(events: ArrayLike, share: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return events (n, *event) and a copy of them as a table (n, d); a strength that is no share is refused."""
    if not 0 <= share <= 1:
        raise InputError(f"Expected a strength in [0, 1], got {share!r}. It is a share.")
    array = events if isinstance(events, np.ndarray) else as_events(events, "events")
    return array, array.reshape(len(array), -1).copy()


_SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
FAULTS: dict[str, Fault] = {
    "shift": Fault(shift, (0.01, 0.02, 0.05, 0.1, 0.2, 0.4), "a shift of one feature by {} standard deviations"),
    "contamination": Fault(contaminate, _SHARES, "{} of uniform background", percent=True),
    "shuffled": Fault(partial(contaminate, kind="shuffled"), _SHARES, "{} of shuffled events", percent=True),
    "decorrelation": Fault(decorrelate, _SHARES, "a loss of {} of the correlations", percent=True),
    "tails": Fault(shrink_tails, (0.05, 0.1, 0.2, 0.4, 0.8), "tails (2.5 % each side) shorter by {}", percent=True),
    "lost mode": Fault(drop_mode, (0.05, 0.1, 0.2, 0.4, 0.8), "a loss of {} of one cluster in ten", percent=True),
}
