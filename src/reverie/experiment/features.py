"""From what the user names to the features that `reverie explore` looks at.

Constant columns, columns of words or labels and, beside other columns, two-valued ones are left out, and
said so. A table is standardised unless all its columns have one and the same unit; images, lattices and
rows of bits are not: their cells have one unit.
"""

from dataclasses import dataclass

import numpy as np

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.random import child_seed
from reverie.data import Dataset, catalogue
from reverie.experiment.datasets import is_file_name, open_data, open_with_conditions

__all__ = ["LEAST_ROWS", "Features", "read_features"]

LEAST_ROWS = 20
LEFT_OUT = {"categorical": "is a label", "spin": "has two values only"}


@dataclass(frozen=True)
class Features:
    """The rows that are explored.

    Parameters
    ----------
    events : n rows, perhaps with weights.
    answers : (n,) what a forest is to predict, words where there were words; None without a target.
    target : its name, or "".
    n_given : rows there were.
    bits : whether the rows have two values only.
    standardise : whether features are to be divided by their standard deviations.
    even : rows of equal weight: all of them, unless there are weights.
    notes : what was left out.
    """

    events: Dataset
    answers: np.ndarray | None
    target: str
    n_given: int
    bits: bool
    standardise: bool
    even: np.ndarray
    notes: tuple[str, ...]


def read_features(
    data: str,
    *,
    columns: str | None = None,
    target: str | None = None,
    weights: str | None = None,
    standardise: bool | None = None,
    max_rows: int = 20_000,
    drop_missing: bool = False,
    seed: int = 0,
) -> Features:
    """Return the features in `data`; parameters and errors as in `reverie.experiment.explore.explore_data`."""
    check_positive("max_rows", max_rows, integer=True)
    events, asked = _read(data, columns, target, weights, drop_missing=drop_missing)
    if min(len(events), max_rows) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} rows to explore, got {min(len(events), max_rows)} of {data!r}. "
            "Rows are samples; give more of them."
        )
    kept = _drawn(len(events), max_rows, seed)
    notes = [f"{len(kept):,} of {len(events):,} rows were used, drawn at random."] if len(kept) < len(events) else []
    rows = events.take(kept)
    rows, without_weight = _weighted(rows)
    answers = None if asked is None else _words(asked.take(kept))[without_weight]
    rows, left_out = _varying(rows, data)
    bits = _is_bits(rows)
    even, thinned = _even(rows, seed)
    return Features(
        events=rows,
        answers=answers,
        target="" if asked is None else asked.names[0],
        n_given=len(events),
        bits=bits,
        standardise=_units_differ(rows, bits=bits) if standardise is None else standardise,
        even=even,
        notes=(*notes, *left_out, *thinned),
    )


def _read(
    data: str, columns: str | None, target: str | None, weights: str | None, *, drop_missing: bool
) -> tuple[Dataset, Dataset | None]:
    if target is None:
        return open_data(data, columns=columns, weights=weights, drop_missing=drop_missing), None
    if not is_file_name(target) and data in catalogue.entries() and len(catalogue.entry(data).event_shape) > 1:
        if target != "label":
            raise InputError(
                f"Expected --target label (of digits and mnist) or a file with one row per image, got {target!r}."
            )
    elif "," in target:
        raise InputError(f"Expected one column as --target, got {target!r}. A forest predicts one.")
    events, asked = open_with_conditions(data, target, columns=columns, weights=weights, drop_missing=drop_missing)
    if asked is None or asked.values.ndim != 2 or asked.values.shape[1] != 1:
        raise InputError(f"Expected one column in {target!r} to predict, got several. Give a file of one column.")
    return events, asked


def _drawn(n: int, max_rows: int, seed: int) -> np.ndarray:
    if n <= max_rows:
        return np.arange(n)
    return np.sort(np.random.default_rng(child_seed(seed, "rows")).choice(n, max_rows, replace=False))


def _weighted(rows: Dataset) -> tuple[Dataset, np.ndarray]:
    """Return the rows whose weight is not zero, and which they are."""
    if rows.weights is None:
        return rows, np.arange(len(rows))
    if (rows.weights < 0).any():
        raise InputError(
            f"Expected event weights >= 0, got {int((rows.weights < 0).sum()):,} negative ones. Neither distances nor "
            "clusters are defined with them; leave --weights out, or drop these events."
        )
    kept = np.flatnonzero(rows.weights)
    if len(kept) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} rows with a weight, got {len(kept)}. Name another column, or none."
        )
    return rows.take(kept), kept


def _words(asked: Dataset) -> np.ndarray:
    """Return the answers (n,): words for the codes of words, whole numbers as integers."""
    x, column = np.asarray(asked.values)[:, 0], asked.schema.columns[0]
    if column.labels is not None:
        return np.asarray(column.labels)[x.astype(int)]
    return x.astype(int) if np.all(x == np.round(x)) else x


def _varying(rows: Dataset, data: str) -> tuple[Dataset, list[str]]:
    """Return the columns that vary and have distances; cells of images may be constant."""
    if not rows.schema.is_table:
        return rows, []
    values = np.asarray(rows.values)
    plain = any(column.kind not in LEFT_OUT for column in rows.schema.columns)
    reasons = {}
    for column, x in zip(rows.schema.columns, values.T, strict=True):
        if x.min() == x.max():
            reasons[column.name] = "is constant"
        elif column.kind == "categorical" and column.labels is not None or (plain and column.kind in LEFT_OUT):
            reasons[column.name] = LEFT_OUT[column.kind]
    kept = [name for name in rows.names if name not in reasons]
    if len(kept) < 2:
        why = "".join(f"; {name} {reason}" for name, reason in list(reasons.items())[:4])
        got = f"one, {kept[0]}" if kept else "none"
        raise InputError(f"Expected at least two columns of numbers that vary in {data!r}, got {got}{why}. Add some.")
    notes = [f"{name} was left out: it {reason}." for name, reason in reasons.items()]
    circles = [c.name for c in rows.schema.columns if c.kind == "periodic" and c.name in kept]
    if circles:
        notes.append(f"{', '.join(circles)}: angles are taken as they are; distances do not close the circle.")
    return rows.select(kept), notes


def _is_bits(rows: Dataset) -> bool:
    values = np.asarray(rows.values)
    low, high = values.min(), values.max()
    return bool(((values == low) | (values == high)).all())


def _units_differ(rows: Dataset, *, bits: bool) -> bool:
    if bits or not rows.schema.is_table:
        return False
    units = {column.unit for column in rows.schema.columns}
    return len(units) > 1 or units == {""}


def _even(rows: Dataset, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return rows of equal weight: row i is kept with probability w_i / max w (hit or miss)."""
    w = rows.weights
    if w is None or np.ptp(w) == 0:
        return np.arange(len(rows)), []
    kept = np.flatnonzero(np.random.default_rng(child_seed(seed, "even")).random(len(w)) * w.max() < w)
    return kept, [f"Dimension and t-SNE know no weights: they see {len(kept):,} rows drawn in proportion to them."]
