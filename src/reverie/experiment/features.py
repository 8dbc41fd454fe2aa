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
    target : Name of the target, or "".
    n_given : Number of rows there were.
    bits : Whether the rows have two values only.
    standardise : Whether features are to be divided by their standard deviations.
    even : Rows of equal weight: all of them, unless there are weights.
    notes : What was left out.
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
    if events.schema.is_set:
        raise InputError(
            f"Expected a table, images or lattices to explore, got {events!r}. Explore a table of observables of each "
            "set, such as multiplicity and mass, or columns of the sets: --columns a,b."
        )
    n, notes = len(events), []
    if min(n, max_rows) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} rows to explore, got {min(n, max_rows)} of {data!r}. "
            "Rows are samples; give more of them."
        )
    kept = np.arange(n)
    if n > max_rows:
        kept = np.sort(np.random.default_rng(child_seed(seed, "rows")).choice(n, max_rows, replace=False))
        notes.append(f"{max_rows:,} of {n:,} rows were used, drawn at random.")
    kept = _with_weight(events.take(kept).weights, kept)
    rows, left_out = _varying(events.take(kept), data)
    values, w = np.asarray(rows.values), rows.weights
    bits = bool(((values == values.min()) | (values == values.max())).all())
    units = {column.unit for column in rows.schema.columns}
    differ = rows.schema.is_table and not bits and (len(units) > 1 or units == {""})
    even = np.arange(len(rows))
    if w is not None and np.ptp(w) > 0:  # row i is kept with probability w_i / max w (hit or miss)
        even = np.flatnonzero(np.random.default_rng(child_seed(seed, "even")).random(len(w)) * w.max() < w)
        left_out.append(
            f"Dimension and t-SNE know no weights: they see {len(even):,} rows drawn in proportion to them."
        )
    return Features(
        events=rows,
        answers=None if asked is None else _words(asked.take(kept)),
        target="" if asked is None else asked.names[0],
        n_given=n,
        bits=bits,
        standardise=differ if standardise is None else standardise,
        even=even,
        notes=(*notes, *left_out),
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


def _with_weight(weights: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    """Return those of the numbered rows whose weight is not zero."""
    if weights is None:
        return rows
    if (weights < 0).any():
        raise InputError(
            f"Expected event weights >= 0, got {int((weights < 0).sum()):,} negative ones. Neither distances nor "
            "clusters are defined with them; leave --weights out, or drop these events."
        )
    rows = rows[weights > 0]
    if len(rows) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} rows with a weight, got {len(rows)}. Name another column, or none."
        )
    return rows


def _words(asked: Dataset) -> np.ndarray:
    """Return the answers (n,): words for the codes of words, whole numbers as integers."""
    x, column = np.asarray(asked.values)[:, 0], asked.schema.columns[0]
    if column.labels is not None:
        return np.asarray(column.labels)[x.astype(int)]
    return x.astype(int) if np.all(x == np.round(x)) else x


def _varying(rows: Dataset, data: str) -> tuple[Dataset, list[str]]:
    """Return the columns that vary and have distances, and notes; cells of images may be constant."""
    if not rows.schema.is_table:
        return rows, []
    plain = any(column.kind not in LEFT_OUT for column in rows.schema.columns)
    reasons = {}
    for column, x in zip(rows.schema.columns, np.asarray(rows.values).T, strict=True):
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
