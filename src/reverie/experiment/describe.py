"""Data in words: the catalogue as a table, a data set column by column, its schema as a file to edit."""

from pathlib import Path

import numpy as np

from reverie.core.errors import FolderError
from reverie.data import Dataset, catalogue
from reverie.experiment.folder import write_text
from reverie.experiment.inputs import open_data
from reverie.models import MODELS

__all__ = ["catalogue_names", "describe_text", "fetch_text", "list_text", "model_names", "write_schema"]


def catalogue_names() -> list[str]:
    """Return the names of the catalogue."""
    return list(catalogue.entries())


def model_names() -> list[str]:
    """Return the names of the models."""
    return list(MODELS)


def list_text() -> str:
    """Return the catalogue, one line for each data set."""
    rows = [(name, *_entry_words(entry)) for name, entry in catalogue.entries().items()]
    return _table(("name", "rows", "what", "licence"), rows)


def fetch_text(name: str) -> str:
    """Download `name`, checked by its sha256, and say where it lies."""
    return f"{name}: {catalogue.fetch(name)}"


def describe_text(data: str, *, columns: str | None = None, drop_missing: bool = False) -> str:
    """Return size, provenance and one line for each column of the data."""
    dataset = open_data(data, columns=columns, drop_missing=drop_missing)
    shape = " x ".join(map(str, dataset.event_shape))
    lines = [f"{data}: {len(dataset):,} rows of {shape} values", f"sha256 {dataset.fingerprint()}"]
    lines += [f"{key}: {value}" for key, value in dataset.provenance.items() if value]
    return "\n".join([*lines, "", _columns(dataset), "", "Kinds are inferred; --schema FILE writes them to edit."])


def write_schema(data: str, path: str, *, columns: str | None = None, overwrite: bool = False) -> None:
    """Write the inferred schema of the data as YAML, which `reverie run --schema` takes.

    Raises
    ------
    FolderError
        When the file is there already.
    """
    if Path(path).exists() and not overwrite:
        raise FolderError(f"Expected a new file, got {path!r}, which exists. Give --overwrite or another name.")
    write_text(Path(path), open_data(data, columns=columns, drop_missing=True).schema.to_yaml())


def _columns(dataset: Dataset) -> str:
    rows = []
    for j, column in enumerate(dataset.schema.columns):
        values = np.asarray(dataset.values[:, j] if dataset.values.ndim == 2 else dataset.values, dtype=np.float64)
        numbers = [f"{q:.6g}" for q in np.quantile(values, [0.0, 0.5, 1.0])]
        rows.append((column.name, column.kind, column.unit, *numbers, column.notes))
    return _table(("column", "kind", "unit", "least", "median", "greatest", "notes"), rows)


def _entry_words(entry: object) -> tuple[str, str, str]:
    rows = getattr(entry, "n_rows", None)
    return ("" if rows is None else f"{rows:,}", str(getattr(entry, "title", "")), str(getattr(entry, "licence", "")))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[j]) for row in [head, *rows]) for j in range(len(head))]
    table = [head, tuple("-" * width for width in widths), *rows]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    return "\n".join(line.rstrip() for line in padded)
