"""Data in words: the catalogue, a data set column by column, its schema as a file to edit."""

from pathlib import Path

from sklearn.base import ClassifierMixin

from reverie.core.errors import FolderError
from reverie.data import catalogue, describe
from reverie.experiment.folder import write_text
from reverie.experiment.lookup import find_data
from reverie.models import MODELS

__all__ = ["catalogue_names", "describe_text", "fetch_text", "list_text", "model_names", "write_schema"]


def catalogue_names() -> list[str]:
    """Return the names of the catalogue."""
    return list(catalogue.entries())


def model_names() -> list[str]:
    """Return the names of the models that can be run; classifiers are used from Python."""
    return [name for name, model in MODELS.items() if not issubclass(model, ClassifierMixin)]


def list_text() -> str:
    """Return the catalogue, a line for each data set."""
    return catalogue.listing()


def fetch_text(name: str) -> str:
    """Download the files of `name`, checked by their sha256, and say where they lie."""
    paths = catalogue.fetch(name)
    return "\n".join(map(str, paths)) if paths else f"{name} needs no files."


def describe_text(data: str, *, columns: str | None = None, drop_missing: bool = False) -> str:
    """Return what is known of the data: kinds, units, ranges, missing entries, provenance, sha256."""
    found = find_data(data, columns=columns, drop_missing=drop_missing)
    about = [str(catalogue.entry(data)), ""] if data in catalogue.entries() else []
    return "\n".join([*about, describe(found), "", "The kinds are inferred; --schema FILE writes them down to edit."])


def write_schema(data: str, path: str, *, columns: str | None = None, overwrite: bool = False) -> None:
    """Write the inferred schema of the data as YAML, which `reverie run --schema` takes.

    Raises
    ------
    FolderError
        When the file is there already.
    """
    if Path(path).exists() and not overwrite:
        raise FolderError(f"Expected a new file, got {path!r}, which exists. Give --overwrite or another name.")
    write_text(Path(path), find_data(data, columns=columns).schema.to_yaml())
