"""Samples of a trained model, into files and arrays, with the conditions that they were asked for.

A table has its conditions as the last columns. Images have theirs in a second file, row by row:
``samples.npy`` and ``samples_conditions.npy``.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.errors import FolderError, InputError, SamplingWarning
from reverie.core.random import child_seed
from reverie.data import Dataset, Schema, open_sink
from reverie.data.sinks import Sink, check_room
from reverie.experiment.asking import Asked, asked_for, asked_rows
from reverie.experiment.config import RunConfig
from reverie.experiment.folder import RunFolder, conditions_path
from reverie.experiment.inputs import Inputs, appended
from reverie.experiment.progress import Progress
from reverie.models.base import GenerativeModel
from reverie.models.files import load_model
from reverie.training.runtime import thread_limit

__all__ = [
    "bytes_of_event",
    "draw",
    "draw_from",
    "draw_replicas",
    "drawn_rows",
    "load_generator",
    "one_of_each_in_turn",
    "sample",
    "sink_of",
    "written_files",
    "written_schema",
]

_REPLICA_ROWS, _REPLICA_IMAGES = 3000, 300


def draw(
    model: Any,
    path: Path,
    n: int,
    *,
    seed: int,
    asked: Asked | None = None,
    start: int = 0,
    tell: Callable[[int], object] = lambda done: None,
) -> None:
    """Stream `n` samples of `model` into the file `path`, block by block, in original units.

    Conditions of images go into a second file; see `conditions_path`.

    Parameters
    ----------
    model : trained model.
    path : of the samples.
    n, seed : how many, and of which noise.
    asked : conditions for a conditional model, else None.
    start : number of the first sample of that noise.
    tell : called with the number of samples done, after each block.
    """
    schema = written_schema(model, asked)
    of_images = asked if schema == model.schema_ else None
    done = 0
    with ExitStack() as opened, thread_limit(model._sampling_threads()):
        sink = opened.enter_context(sink_of(path, schema, n))
        second = opened.enter_context(sink_of(conditions_path(path), of_images.schema, n)) if of_images else None
        for block in _blocks(model, n, seed=seed, asked=asked, start=start):
            sink.write(block)
            if of_images and second:
                second.write(of_images.rows(start + done, len(block)))
            done += len(block)
            tell(done)


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
    """Stream samples of the model in a folder into the file `path`; return the files written.

    Parameters
    ----------
    model : run folder, or a model's own folder.
    path, n, seed, quiet : as in `draw`.
    condition : such as "label=3" or "label=3,energy=20.5", the same for all samples; by default each sample has
        the condition of a training event.
    overwrite : whether files that are there are replaced.

    Raises
    ------
    InputError
        For a condition that the model was not trained with, or one that is missing.
    FolderError
        If a file is there already.
    """
    loaded = load_generator(model)
    asked = asked_for(loaded, condition, seed)
    files = written_files(loaded, Path(path), asked, overwrite=overwrite)
    with Progress("sampling", n, unit="samples", quiet=quiet) as bar:
        draw(loaded, files[0], n, seed=seed, asked=asked, tell=bar.update)
    return files


def load_generator(folder: str | Path) -> GenerativeModel:
    """Return the model in a folder if it makes events; `InputError` for one of measurements."""
    loaded: Any = load_model(folder)
    if not isinstance(loaded, GenerativeModel):
        raise InputError(
            f"Expected a model of events in {folder}, got a {type(loaded).__name__}, which has measurements. "
            "Draw them from Python: reverie.load(folder).sample(n)."
        )
    return loaded


def written_files(model: Any, path: Path, asked: Asked | None, *, overwrite: bool = False) -> list[Path]:
    """Return the files that samples will be written to; `FolderError` if one is there already."""
    images = asked is not None and written_schema(model, asked) == model.schema_
    files = [path, conditions_path(path)] if images else [path]
    for file in files:
        if file.exists() and not overwrite:
            raise FolderError(f"Expected a new file, got {str(file)!r}, which exists. Give --overwrite or another -o.")
    return files


def sample(folder: RunFolder, config: RunConfig, inputs: Inputs, *, quiet: bool = False) -> None:
    """Draw the samples of the run: `n_samples`, or as many as rows were held out; and some of each replica.

    What a `SamplingWarning` says of them is kept in status.json, for the report.
    """
    n = config.n_samples or len(inputs.held_out)
    path = folder / f"samples.{config.samples_format}"
    model = load_model(folder / "model")
    asked, seed = asked_rows(inputs.conditions(n)), child_seed(config.seed, "samples")
    with Progress("sampling", n, unit="samples", quiet=quiet) as bar, warnings.catch_warnings(record=True) as said:
        draw(model, path, n, seed=seed, asked=asked, tell=bar.update)
    for warning in said:  # recorded warnings were not shown
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    doubts = (str(warning.message) for warning in said if issubclass(warning.category, SamplingWarning))
    folder.update_status(notes=list(dict.fromkeys(doubts)))
    replicas = draw_replicas(model, inputs, n, seed=config.seed)
    if replicas is not None:
        folder.write_replicas(replicas)


def draw_replicas(model: Any, inputs: Inputs, n: int, *, seed: int) -> np.ndarray | None:
    """Return samples of each replica, (replica, at most n, *event), from noise of its own; None for one replica."""
    n_replicas = int(model.get_params().get("n_replicas", 1))
    if n_replicas < 2:
        return None
    n = min(n, _REPLICA_ROWS if len(model.schema_.event_shape) == 1 else _REPLICA_IMAGES)
    conditions = inputs.conditions(n)
    seeds = [child_seed(seed, "samples of replica", r) for r in range(n_replicas)]
    return np.stack([drawn_rows(model, n, seed=s, conditions=conditions, replica=r) for r, s in enumerate(seeds)])


def drawn_rows(model: Any, n: int, *, seed: int, conditions: Dataset | None = None, **options: Any) -> np.ndarray:
    """Return `n` samples as they are written, (n, *event) or (n, d + k) with the condition columns."""
    return np.concatenate(list(_blocks(model, n, seed=seed, asked=asked_rows(conditions), **options)))


def one_of_each_in_turn(conditions: Dataset) -> np.ndarray:
    """Return row numbers that go round the levels of the first categorical condition; all rows, once each.

    Without such a condition the rows keep their order.
    """
    columns = conditions.schema.columns if conditions.schema.is_table else ()
    found = next((j for j, column in enumerate(columns) if column.levels is not None), None)
    if found is None:
        return np.arange(len(conditions))
    x = np.asarray(conditions.values[:, found])
    turn = np.empty(len(x), dtype=np.int64)
    for level in np.unique(x):
        rows = np.flatnonzero(x == level)
        turn[rows] = np.arange(len(rows))
    return np.lexsort((x, turn))


def _blocks(
    model: Any, n: int, *, seed: int, asked: Asked | None, start: int = 0, **options: Any
) -> Iterator[np.ndarray]:
    """Yield samples as they are written: where a table has conditions, they are its last columns."""
    beside = asked is not None and written_schema(model, asked) != model.schema_
    options |= {} if asked is None else {"condition": asked.told}
    options |= {"start": start} if start else {}
    done = start
    for block in model.iter_sample(n, random_state=seed, **options):
        yield np.concatenate([block, asked.rows(done, len(block))], axis=1) if asked is not None and beside else block
        done += len(block)


def written_schema(model: Any, asked: Asked | None) -> Schema:
    """Return the schema of the file of samples: that of the model, of a table with its conditions at the end."""
    return appended(model.schema_, None if asked is None else asked.schema)


def bytes_of_event(schema: Schema) -> int:
    """Return how many bytes one event of `schema` takes in memory; words are counted as their codes."""
    n_values, types = math.prod(schema.event_shape), schema.dtypes
    types = types if len(types) == n_values else types[:1] * n_values
    return sum(np.dtype("int64" if name == "str" else name).itemsize for name in types)


def sink_of(path: Path, schema: Schema, n: int) -> Sink:
    """Return an open file for `n` events of `schema`, for which there must be room."""
    check_room(path, n, bytes_of_event(schema))  # in words, also for numbers beyond those of a file
    return open_sink(
        path,
        names=schema.names,
        event_shape=schema.event_shape,
        dtype=schema.dtypes,
        n_total=n,
        labels={column.name: column.labels for column in schema.columns if column.labels is not None},
    )
