"""From what the user names to data sets: a path, a name of the catalogue, columns, weights, conditions.

Conditions are columns of the same table, the labels that belong to images of the catalogue, or a file
of their own with one row for each event. Rows with missing entries in either are left out of both.
"""

from pathlib import Path

import numpy as np

from reverie.core.checks import check_finite
from reverie.core.errors import FolderError, InputError, UnknownNameError
from reverie.core.lazy import LazyTable
from reverie.core.sets import real_entries, resized
from reverie.core.words import recoded
from reverie.data import Dataset, Schema, catalogue, describe, read
from reverie.data.sources import READERS
from reverie.data.symmetries import likely_symmetries
from reverie.experiment.config import joined_columns, looks_like_path, parse_columns
from reverie.experiment.folder import write_text
from reverie.models.symmetries import symmetry_tests

__all__ = [
    "describe_data",
    "find_data",
    "is_file_name",
    "open_data",
    "open_with_conditions",
    "values_in",
    "write_schema",
]

_MOST_LEVELS = 20  # a condition of whole numbers with more values than this is a number, not a label
_LABEL = "label"
_FEWEST_TESTED, _MOST_TESTED = 100, 20_000  # events that symmetries are tested on


def open_data(
    data: str,
    *,
    columns: str | None = None,
    weights: str | None = None,
    schema: str | None = None,
    drop_missing: bool = False,
    allow_missing: bool = False,
) -> Dataset:
    """Return the data as `find_data` finds them; missing values are an `InputError`: by column, with their number.

    With `allow_missing` a table may have some.
    """
    dataset = find_data(data, columns=columns, weights=weights, schema=schema, drop_missing=drop_missing)
    _check_finite(dataset, data, allow_missing=allow_missing)
    return dataset


def open_with_conditions(
    data: str,
    condition: str | None,
    *,
    columns: str | None = None,
    weights: str | None = None,
    schema: str | None = None,
    drop_missing: bool = False,
    allow_missing: bool = False,
) -> tuple[Dataset, Dataset | None]:
    """Return the events to learn and their conditions, row by row, both free of NaN; None without conditions.

    Raises `InputError` as `open_data`; for conditions that are not there, leave no column to learn, or have another
    length.

    Parameters
    ----------
    data, columns, weights, schema, drop_missing : See `find_data`; `schema` describes the condition columns too.
    condition : Names of columns between commas, "label", or the path of a file.
    allow_missing : Whether a table of events may have NaN.
    """
    if condition is None:
        missing = {"drop_missing": drop_missing, "allow_missing": allow_missing}
        return open_data(data, columns=columns, weights=weights, schema=schema, **missing), None
    has_images = _in_catalogue(data) and len(catalogue.entry(data).event_shape) > 1
    if is_file_name(condition) or (condition == _LABEL and has_images):
        events = find_data(data, columns=columns, weights=weights, schema=schema)
        if is_file_name(condition):
            conditions = read(condition)
        else:
            conditions = Dataset(catalogue.load_labels(data)[:, None], names=[_LABEL], kind="categorical")
    else:
        events, conditions = _columns_apart(data, condition, columns=columns, weights=weights, schema=schema)
    if len(events) != len(conditions):
        raise InputError(
            f"Expected a condition for each of the {len(events):,} events of {data!r}, got {len(conditions):,} in "
            f"{condition!r}. Give one row for each event, in their order."
        )
    if drop_missing:
        missing = np.union1d(events.missing_rows(), conditions.missing_rows())
        events, conditions = events.without(missing), conditions.without(missing)
    _check_finite(events, data, allow_missing=allow_missing)
    _check_finite(conditions, condition)
    if (schema is None or events.schema.is_set) and conditions.schema.is_table:
        # columns of a few whole numbers are labels
        kinds = conditions.schema
        for column, x in zip(kinds.columns, conditions.values.T, strict=True):
            levels = np.unique(x)
            if column.kind == "integer" and len(levels) <= _MOST_LEVELS:
                kinds = kinds.edit(column.name, kind="categorical", levels=tuple(float(v) for v in levels))
        conditions = Dataset(conditions.values, schema=kinds, provenance=conditions.provenance)
    return events, conditions


def _check_finite(dataset: Dataset, name: str, *, allow_missing: bool = False) -> None:
    """Raise `InputError` for missing values; of sets of particles only those of the particles that are there count."""
    if dataset.schema.is_set:
        check_finite(real_entries(dataset.values), dataset.names[:-1], name=repr(name))
    else:
        allow_nan = allow_missing and dataset.schema.is_table
        check_finite(dataset.values, dataset.names, name=repr(name), allow_nan=allow_nan)


def find_data(
    data: str,
    *,
    columns: str | None = None,
    weights: str | None = None,
    schema: str | None = None,
    drop_missing: bool = False,
) -> Dataset:
    """Return the data set at a path or of a catalogue name.

    Raises `InputError` for a missing or unreadable file, or an unknown name, with the nearest.

    Parameters
    ----------
    data : Path or catalogue name.
    columns : Names between commas; all by default.
    weights : Column of event weights, which is then no feature.
    schema : YAML file of kinds and units.
    drop_missing : Whether to leave out rows with NaN or infinite entries.
    """
    wanted = parse_columns(columns)
    if wanted is not None and weights is not None:
        wanted = [name for name in wanted if name != weights]
    if _in_catalogue(data):
        dataset = catalogue.load(data, columns=wanted if wanted is None or weights is None else [*wanted, weights])
        dataset = dataset if weights is None else Dataset(dataset, weights=weights)
    elif looks_like_path(data) or Path(data).is_file():
        dataset = read(data, columns=wanted, weights=weights)
    else:
        raise UnknownNameError("data set or file", data, catalogue.entries())
    dataset = dataset.drop_missing() if drop_missing else dataset
    return dataset if schema is None else _with_schema(dataset, schema)


def values_in(dataset: Dataset, schema: Schema) -> np.ndarray:
    """Return the values (n, *event) with the codes of words as `schema` numbers them, and sets padded to its size.

    A file of words is numbered by the words that occur in it; two files may number them differently. Raises
    `InputError` for a word that `schema` does not have.
    """
    if isinstance(dataset.values, LazyTable) and not any(column.labels for column in dataset.schema.columns):
        return dataset.values  # no words, and too much for a copy
    values = np.array(dataset.values)
    if schema.is_set and values.ndim == 3 and values.shape[2] == schema.event_shape[1]:
        return resized(values, schema.event_shape[0])
    if values.ndim != 2 or len(schema.columns) != values.shape[1]:
        return values.reshape(-1, *schema.event_shape)
    columns = zip(dataset.schema.columns, schema.columns, strict=True)
    own = {want.name: have.labels for have, want in columns if have.labels is not None and want.labels is not None}
    return recoded(values, schema.names, own, schema.labels, "the data")


def describe_data(data: str, *, columns: str | None = None, drop_missing: bool = False) -> str:
    """Return what is known of the data: kinds, units, ranges, missing entries, provenance, sha256, symmetries."""
    dataset = find_data(data, columns=columns, drop_missing=drop_missing)
    about = [str(catalogue.entry(data)), ""] if data in catalogue.entries() else []
    lines = [*about, describe(dataset), "", "The kinds are inferred; --schema FILE writes them down to edit."]
    whole = dataset.drop_missing()
    if len(whole) >= _FEWEST_TESTED:
        likely = likely_symmetries(np.asarray(whole.values[:_FEWEST_TESTED]), whole.schema)
        tests = symmetry_tests(whole, likely, weights=whole.weights, max_rows=_MOST_TESTED)
        kept = ",".join(test.name for test in tests if test.holds)
        if tests:
            lines += ["", "symmetries, each tested on the events against their transforms:"]
            lines += [f"  {test}" for test in tests]
        lines += [f'--symmetries "{kept}" trains a model with those that hold.'] if kept else []
    return "\n".join(lines)


def write_schema(data: str, path: str, *, columns: str | None = None, overwrite: bool = False) -> None:
    """Write the inferred schema of the data as YAML, which `reverie run --schema` takes.

    Raises `FolderError` when the file is there already.
    """
    if Path(path).exists() and not overwrite:
        raise FolderError(f"Expected a new file, got {path!r}, which exists. Give --overwrite or another name.")
    write_text(Path(path), find_data(data, columns=columns).schema.to_yaml())


def is_file_name(condition: str) -> bool:
    """Tell the file of conditions from names of columns, which may hold dots too."""
    return "/" in condition or "\\" in condition or Path(condition).suffix.lower() in READERS


def _in_catalogue(data: str) -> bool:
    return data in catalogue.entries() and not looks_like_path(data)


def _columns_apart(
    data: str, condition: str, *, columns: str | None, weights: str | None, schema: str | None
) -> tuple[Dataset, Dataset]:
    names = parse_columns(condition) or []
    wanted = parse_columns(columns)
    if wanted is None and _in_catalogue(data):
        wanted = list(catalogue.entry(data).default_columns) or None
    if wanted is not None and not _in_catalogue(data) and not set(wanted) <= set(names):
        events = find_data(data, columns=joined_columns([n for n in wanted if n not in names]), weights=weights)
        if events.schema.is_set:
            events = events if schema is None else _with_schema(events, schema)
            return events, find_data(data, columns=condition)
    if wanted is not None:
        wanted = [*wanted, *(name for name in names if name not in wanted)]
    table = find_data(data, columns=None if wanted is None else joined_columns(wanted), weights=weights, schema=schema)
    if table.schema.is_set:
        conditions = find_data(data, columns=condition)
        if not conditions.schema.is_table:
            raise InputError(
                f"Expected columns of the sets of {data!r} as conditions, got features of particles in {condition!r}. "
                f"Its columns of the sets: {table.provenance.get('columns_of_the_sets', 'none')}."
            )
        return table, conditions
    if not table.schema.is_table:
        raise InputError(
            f"Expected --condition {_LABEL} (of digits and mnist) or a file with one row for each image of {data!r}, "
            f"got {condition!r}. Images have no columns."
        )
    rest = [name for name in table.names if name not in names]
    conditions = table.select(names)
    if not rest:
        raise InputError(f"Expected columns to learn besides the condition {condition!r}, got none. Leave some out.")
    return table.select(rest), conditions


def _with_schema(dataset: Dataset, path: str) -> Dataset:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"Expected a schema file, got {path!r}: {error.strerror}. Check the path.") from None
    schema = Schema.from_yaml(text)
    if [c.name for c in schema.columns] != list(dataset.names):
        raise InputError(
            f"Expected a schema of the columns {', '.join(dataset.names[:8])}, got one of "
            f"{', '.join(c.name for c in schema.columns[:8])}. Write it anew with 'reverie data describe'."
        )
    return Dataset(dataset.values, weights=dataset.weights, schema=schema, provenance=dataset.provenance)
