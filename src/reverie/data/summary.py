"""What a data set holds, as plain lines for the terminal."""

from typing import Any

import numpy as np

from reverie.core.arguments import checked
from reverie.data.dataset import Dataset

__all__ = ["describe"]

_HEAD = ("column", "kind", "unit", "min", "median", "max", "missing", "notes")


@checked
def describe(dataset: Dataset) -> str:
    """Return a summary: a sentence, then a line per column with kind, unit, range, missing entries and notes.

    Weights take no part in the median. The fingerprint and the source close the text.
    """
    schema = dataset.schema
    parts = list(dataset.values.T) if schema.is_table else [dataset.values]
    rows = [_row(column, x) for column, x in zip(schema.columns, parts, strict=True)]
    lines = [_sentence(dataset), "", *_aligned([_HEAD, *rows]), ""]
    if dataset.weights is not None:
        w = dataset.weights
        effective = float(w.sum() ** 2 / (w**2).sum()) if w.any() else 0.0
        lines.append(f"weights: sum {w.sum():.6g}, effective number of events {effective:.6g}")
    lines += [f"{name}: {value}" for name, value in dataset.provenance.items() if not isinstance(value, (dict, list))]
    return "\n".join([*lines, f"sha256 of the values: {dataset.fingerprint()}"])


def _sentence(dataset: Dataset) -> str:
    shape = " x ".join(str(n) for n in dataset.event_shape)
    what = f"{shape} columns" if dataset.schema.is_table else f"{shape} each"
    return f"{len(dataset)} events, {what}, type {dataset.values.dtype}."


def _row(column: Any, x: np.ndarray) -> tuple[str, ...]:
    good = np.asarray(x[np.isfinite(x)]) if x.dtype.kind == "f" else np.asarray(x)
    missing = x.size - good.size
    notes = column.notes
    if good.size and bool((good == good.flat[0]).all()):
        notes = "; ".join(filter(None, (notes, "constant: leave it out")))
    marks = [""] * 3
    if good.size and column.labels is None:
        marks = [f"{value:.6g}" for value in (good.min(), 2 * np.median(good / 2), good.max())]
    return (column.name, column.kind, column.unit, *marks, str(missing) if missing else "", notes)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[j]) for row in rows) for j in range(len(_HEAD))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if head in ("min", "median", "max", "missing") else cell.ljust(width)
            for head, cell, width in zip(_HEAD, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
