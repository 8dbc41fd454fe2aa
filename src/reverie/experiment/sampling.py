"""Samples of a trained model, into files and arrays, with the conditions that they are drawn at.

A table has its conditions as the last columns. Images have theirs in a second file, row by row:
``samples.npy`` and ``samples_conditions.npy``. Sets of particles have them as columns of the sets in the same file, of
a format that can hold them; beside ``.npy`` they stand in a second one. Row numbers count all samples of one call, so
that any part of them can be drawn without those before it.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.errors import InputError, SamplingWarning, UnknownNameError
from reverie.core.lazy import LazyTable, sample_size
from reverie.core.random import child_seed
from reverie.core.typed_files import rebuilt
from reverie.data import Column, Dataset, Schema, open_sink, read
from reverie.data.sinks import WRITERS, Sink, check_new_file, check_room
from reverie.experiment.config import RunConfig, parse_condition
from reverie.experiment.datasets import values_in
from reverie.experiment.folder import RunFolder, conditions_path
from reverie.experiment.inputs import Inputs, Part, appended
from reverie.experiment.progress import Progress
from reverie.experiment.records import REMEDIES
from reverie.models.base import GenerativeModel
from reverie.models.files import load_model
from reverie.training.threads import thread_limit

__all__ = [
    "SampleConditions",
    "bytes_of_event",
    "conditions_from_text",
    "draw",
    "draw_from",
    "draw_replicas",
    "draw_rows",
    "in_one_file",
    "load_generator",
    "new_sample_files",
    "open_sample_file",
    "read_samples",
    "sample",
    "written_schema",
]

_REPLICA_ROWS, _REPLICA_IMAGES = 3000, 300


@dataclass(frozen=True)
class SampleConditions:
    """The conditions that samples are drawn at: those of given rows, one for all, or those of training events.

    Parameters
    ----------
    schema : Names and kinds of the conditions.
    condition : One row (k,) for all samples, a data set with a row for each, or None: the model draws them.
    model, seed : The model that draws conditions of training events, and the seed of the samples; for None alone.
    """

    schema: Schema
    condition: np.ndarray | Dataset | None
    model: GenerativeModel | None = None
    seed: int = 0

    def rows(self, start: int, n: int) -> np.ndarray:
        """Return the conditions of samples start ... start + n - 1, shape (n, k) or (n, *image)."""
        if isinstance(self.condition, Dataset):
            return np.asarray(self.condition.values[start : start + n])
        if self.condition is not None:
            return np.tile(self.condition, (n, 1))
        model: Any = self.model
        drawn = model.sample_conditions(n, self.seed, start=start)
        return np.asarray(drawn.values if isinstance(drawn, Dataset) or hasattr(drawn, "iloc") else drawn)


def conditions_from_text(model: GenerativeModel, text: str | None, seed: int) -> SampleConditions | None:
    """Return the condition that a user wrote, such as "label=3,energy=20.5", or those of training events.

    A model without conditions has None; what it was not trained with, or what is missing, is an `InputError`.
    """
    schema: Schema | None = getattr(model, "conditions_", None)
    if schema is None:
        if text is not None:
            raise InputError(
                f"Expected a model trained with conditions for --condition {text}, got one without. Train it "
                "with 'reverie run ... --condition COLUMN'."
            )
        return None
    if text is None:
        return SampleConditions(schema, None, model, seed)
    if not schema.is_table:
        raise InputError("Expected no --condition for a model trained on image conditions. Use the Python interface.")
    values = parse_condition(text)
    for name in values:
        if name not in schema.names:
            raise UnknownNameError("condition", name, schema.names)
    missing = [name for name in schema.names if name not in values]
    if missing:
        raise InputError(
            f"Expected a value for each condition ({', '.join(schema.names)}), got none for {', '.join(missing)}. "
            f"Write --condition {','.join(f'{name}=...' for name in schema.names)}."
        )
    return SampleConditions(schema, np.array([_number(values[column.name], column) for column in schema.columns]))


def _number(word: str, column: Column) -> float:
    """Return the number that `word` stands for in a column of conditions, a word's code where it holds words."""
    if column.labels is not None:
        if word not in column.labels:
            raise UnknownNameError(f"value of {column.name}", word, column.labels)
        return float(column.labels.index(word))
    try:
        value = float(word)
    except ValueError:
        raise InputError(f"Expected a number for the condition {column.name}, got {word!r}. Correct it.") from None
    if column.levels is not None and value not in column.levels:
        levels = ", ".join(f"{level:g}" for level in column.levels[:20])
        raise InputError(
            f"Expected {column.name} to be one of {levels}, got {word}. Choose a level that was trained on."
        )
    return value


def sample(
    folder: RunFolder, config: RunConfig, inputs: Inputs, model: GenerativeModel, *, quiet: bool = False
) -> Part:
    """Draw the samples of a run into its folder, with some of each replica, and return them; of very many the first.

    There are `n_samples` of the configuration, or as many as rows were held out. What a `SamplingWarning` says of them
    is kept in status.json, for the report.
    """
    n, seed = config.n_samples or len(inputs.held_out), child_seed(config.seed, "samples")
    path = folder / f"samples.{config.samples_format}"
    given = inputs.conditions(n)
    conditions = None if given is None else SampleConditions(given.schema, given)
    n_kept = sample_size(n, inputs.source.schema.event_shape)
    with Progress("sampling", n, unit="samples", quiet=quiet) as bar, warnings.catch_warnings(record=True) as recorded:
        values = draw(model, path, n, seed=seed, conditions=conditions, progress=bar.update, n_kept=n_kept)
    for warning in recorded:  # recorded warnings were not shown
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    doubts = (str(warning.message) for warning in recorded if issubclass(warning.category, SamplingWarning))
    folder.update_status(notes=list(dict.fromkeys(doubts)))
    replicas = draw_replicas(model, inputs, n, seed=config.seed)
    if replicas is not None:
        folder.write_replicas(replicas)
    return _as_part(values, None if given is None else np.asarray(given.values[:n_kept]), inputs, path)


def read_samples(folder: RunFolder, inputs: Inputs) -> Part:
    """Return the samples of a run and the conditions that they were drawn at; of very many the first.

    Without any, and for files of other shapes or with numbers that are not finite, an `InputError` is raised.
    """
    path, conditions = folder.samples, None
    if path is None:
        raise InputError(f"Expected samples in {str(folder.path)!r}, got none. Draw them: reverie resume {folder.path}")
    source = inputs.source
    values = _read_rows(path, source.schema)
    if source.conditions is not None and in_one_file(path, source.schema, source.conditions.schema):
        with rebuilt("samples of the run", path, remedy=REMEDIES["samples"]):
            beside = read(path, columns=source.conditions.names)
            conditions = values_in(beside, source.conditions.schema)[: len(values)]
    elif source.conditions is not None and not source.is_one_table:
        if folder.conditions is None:
            raise InputError(f"Expected the conditions of the samples beside {str(path)!r}, got no file. Draw anew.")
        conditions = _read_rows(folder.conditions, source.conditions.schema)[: len(values)]
        if len(conditions) < len(values):
            raise InputError(
                f"Expected a condition for each of the {len(values):,} samples in {str(folder.conditions)!r}, got "
                f"{len(conditions):,}. {REMEDIES['samples']}"
            )
    return _as_part(values, conditions, inputs, path)


def _as_part(values: np.ndarray, conditions: np.ndarray | None, inputs: Inputs, path: Path) -> Part:
    """Return rows as they are written, with the conditions of images beside them, as events and conditions."""
    for rows in (values, conditions):
        if rows is not None and not np.isfinite(rows).all():
            bad = int((~np.isfinite(rows)).sum())
            raise InputError(f"Expected finite samples in {str(path)!r}, got {bad} that are not. {REMEDIES['samples']}")
    source = inputs.source
    if source.is_one_table:
        width = source.events.event_shape[0]
        values, conditions = values[:, :width], values[:, width:]
    events = Dataset(values, schema=source.events.schema)
    if source.conditions is None or conditions is None:
        return Part(events)
    return Part(events, Dataset(conditions, schema=source.conditions.schema))


def _read_rows(path: Path, schema: Schema) -> np.ndarray:
    """Return the rows in a file of samples, words coded as in `schema`; of a file too large for memory the first."""
    with rebuilt("samples of the run", path, remedy=REMEDIES["samples"]):
        try:
            dataset = read(path)
        except InputError as error:
            raise InputError(f"Expected samples in {str(path)!r}, got others. {error} {REMEDIES['samples']}") from None
        if isinstance(dataset.values, LazyTable):  # the first rows are as random as any
            dataset = dataset.take(slice(0, sample_size(len(dataset), dataset.event_shape)))
        shape = tuple(dataset.event_shape)
        if schema.is_set and shape[1:] == schema.event_shape[1:]:
            return values_in(dataset, schema)
        if shape not in (schema.event_shape, (math.prod(schema.event_shape),)):  # text and columns are flat
            raise InputError(
                f"Expected samples of shape {schema.event_shape} in {str(path)!r}, got {shape}. {REMEDIES['samples']}"
            )
        return values_in(dataset, schema)


def draw_from(
    model: str,
    path: str | Path,
    n: int,
    *,
    seed: int,
    condition: str | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> list[Path]:
    """Stream samples of the model in a run folder, or in its own, into the file `path`; return the files written.

    `n`, `seed` and the errors are as in `draw`, `condition` as in `conditions_from_text`. Files that are there are a
    `FolderError` unless they are to be overwritten.
    """
    loaded = load_generator(model)
    conditions = conditions_from_text(loaded, condition, seed)
    files = new_sample_files(loaded, Path(path), conditions, overwrite=overwrite)
    with Progress("sampling", n, unit="samples", quiet=quiet) as bar:
        draw(loaded, files[0], n, seed=seed, conditions=conditions, progress=bar.update)
    return files


def draw(
    model: GenerativeModel,
    path: Path,
    n: int,
    *,
    seed: int,
    conditions: SampleConditions | None = None,
    start: int = 0,
    progress: Callable[[int], object] = lambda done: None,
    n_kept: int = 0,
) -> np.ndarray:
    """Stream `n` samples of `model` into the file `path`, block by block, in original units; return the first `n_kept`.

    Conditions of images go into a second file; see the module.

    Parameters
    ----------
    model, path : Trained model, and the file of the samples; its suffix chooses the format.
    n, seed, conditions : How many samples, the seed of their noise, and their conditions, if they have some.
    start : Number of the first sample of that noise.
    progress : Called with the number of samples done, after each block.
    n_kept : How many rows are also handed back in memory, shape (n_kept, *event).
    """
    schema = written_schema(model, conditions)
    apart = conditions if schema == model.schema_ else None
    beside = apart.schema if apart and in_one_file(path, schema, apart.schema) else None
    done, kept = 0, []
    with ExitStack() as opened, thread_limit(model._sampling_threads()):
        sink = opened.enter_context(open_sample_file(path, schema, n, beside))
        second = None
        if apart is not None and beside is None:
            second = opened.enter_context(open_sample_file(conditions_path(path), apart.schema, n))
        for block in _iter_rows(model, n, seed=seed, conditions=conditions, start=start):
            rows = apart.rows(start + done, len(block)) if apart else None
            sink.write(block, None if second else rows)
            if second and rows is not None:
                second.write(rows)
            if done < n_kept:
                kept.append(block[: n_kept - done].astype(sink.layout.dtype))
            done += len(block)
            progress(done)
    return np.concatenate(kept) if kept else np.empty((0, *schema.event_shape))


def draw_rows(
    model: GenerativeModel, n: int, *, seed: int, conditions: Dataset | None = None, **options: int
) -> np.ndarray:
    """Return `n` samples as they are written, (n, *event) or (n, d + k) with the condition columns."""
    given = None if conditions is None else SampleConditions(conditions.schema, conditions)
    return np.concatenate(list(_iter_rows(model, n, seed=seed, conditions=given, **options)))


def draw_replicas(model: GenerativeModel, inputs: Inputs, n: int, *, seed: int) -> np.ndarray | None:
    """Return samples of each replica, (replica, at most n, *event), from noise of its own; None for one replica."""
    n_replicas = int(model.get_params().get("n_replicas", 1))
    if n_replicas < 2:
        return None
    n = min(n, _REPLICA_ROWS if len(model.schema_.event_shape) == 1 else _REPLICA_IMAGES)
    conditions = inputs.conditions(n)
    seeds = [child_seed(seed, "samples of replica", r) for r in range(n_replicas)]
    return np.stack([draw_rows(model, n, seed=s, conditions=conditions, replica=r) for r, s in enumerate(seeds)])


def _iter_rows(
    model: GenerativeModel, n: int, *, seed: int, conditions: SampleConditions | None, start: int = 0, **options: Any
) -> Iterator[np.ndarray]:
    """Yield samples as they are written: where a table has conditions, they are its last columns."""
    beside = conditions is not None and written_schema(model, conditions) != model.schema_
    options |= ({} if conditions is None else {"condition": conditions.condition}) | ({"start": start} if start else {})
    done = start
    for block in model.iter_sample(n, random_state=seed, **options):
        if conditions is not None and beside:
            yield np.concatenate([block, conditions.rows(done, len(block))], axis=1)
        else:
            yield block
        done += len(block)


def load_generator(folder: str | Path) -> GenerativeModel:
    """Return the model in a folder if it makes events; `InputError` for one of measurements."""
    loaded: object = load_model(folder)
    if not isinstance(loaded, GenerativeModel):
        raise InputError(
            f"Expected a model of events in {folder}, got a {type(loaded).__name__}, which has measurements. "
            "Draw them from Python: reverie.load(folder).sample(n)."
        )
    return loaded


def new_sample_files(
    model: GenerativeModel, path: Path, conditions: SampleConditions | None, *, overwrite: bool = False
) -> list[Path]:
    """Return the files that samples will be written to; `FolderError` if one is there already."""
    apart = conditions if conditions is not None and written_schema(model, conditions) == model.schema_ else None
    two = apart is not None and not in_one_file(path, model.schema_, apart.schema)
    files = [path, conditions_path(path)] if two else [path]
    for file in files:
        check_new_file(file, overwrite=overwrite)
    return files


def written_schema(model: GenerativeModel, conditions: SampleConditions | None) -> Schema:
    """Return the schema of the file of samples: that of the model, of a table with its conditions at the end."""
    return appended(model.schema_, None if conditions is None else conditions.schema)


def in_one_file(path: Path, schema: Schema, conditions: Schema) -> bool:
    """Tell whether a file of samples holds their conditions too, as columns of sets of particles."""
    form = WRITERS.get(path.suffix.lower())
    return schema.is_set and conditions.is_table and form is not None and form.has_beside


def bytes_of_event(schema: Schema) -> int:
    """Return how many bytes one event of `schema` takes in memory; words are counted as their codes."""
    n_values, types = math.prod(schema.event_shape), schema.dtypes
    types = types if len(types) == n_values else types[:1] * n_values
    return sum(np.dtype("int64" if name == "str" else name).itemsize for name in types)


def open_sample_file(path: Path, schema: Schema, n: int, beside: Schema | None = None) -> Sink:
    """Return an open file for `n` events of `schema`, for which there must be room, with columns of sets `beside`."""
    check_room(path, n, bytes_of_event(schema))  # in words, also for numbers beyond those of a file
    columns = (*schema.columns, *(() if beside is None else beside.columns))
    labels = {column.name: column.labels for column in columns if column.labels is not None}
    more: Any = {} if beside is None else {"beside": beside.names, "beside_dtype": beside.dtypes}
    return open_sink(
        path, names=schema.names, event_shape=schema.event_shape, dtype=schema.dtypes, n_total=n, labels=labels, **more
    )
