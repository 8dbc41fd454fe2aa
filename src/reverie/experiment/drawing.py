"""Samples of a trained model, into files and arrays, with the conditions that they were asked for.

A table has its conditions as the last columns. Images have theirs in a second file, row by row:
``samples.npy`` and ``samples_conditions.npy``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.errors import FolderError, InputError, UnknownNameError
from reverie.core.random import child_seed
from reverie.data import Column, Dataset, Schema, open_sink
from reverie.experiment.config import RunConfig, parse_condition
from reverie.experiment.folder import RunFolder, conditions_path
from reverie.experiment.inputs import Inputs, appended
from reverie.experiment.progress import Progress
from reverie.models.files import load_model

__all__ = ["draw", "draw_from", "draw_replicas", "drawn_rows", "one_of_each_in_turn", "sample"]

_REPLICA_ROWS, _REPLICA_IMAGES = 3000, 300


def draw(model: Any, path: Path, n: int, *, seed: int, conditions: Dataset | None = None, quiet: bool = False) -> None:
    """Stream `n` samples of `model` into the file `path`, block by block, in original units.

    Parameters
    ----------
    model : trained model.
    path : of the samples.
    n, seed : how many, and of which noise.
    conditions : n rows of conditions for a conditional model, else None.
    quiet : show no progress.
    """
    schema = _written_schema(model, conditions)
    with _sink(path, schema, n) as sink, Progress("sampling", n, unit="samples", quiet=quiet) as bar:
        done = 0
        for block in _blocks(model, n, seed=seed, conditions=conditions):
            sink.write(block)
            done += len(block)
            bar.update(done)
    if conditions is not None and schema == model.schema_:
        with _sink(conditions_path(path), conditions.schema, n) as sink:
            sink.write(np.asarray(conditions.values))


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
    loaded, files = load_model(model), [Path(path)]
    conditions = _conditions_of(loaded, condition, n, seed)
    if conditions is not None and _written_schema(loaded, conditions) == loaded.schema_:
        files.append(conditions_path(files[0]))
    for file in files:
        if file.exists() and not overwrite:
            raise FolderError(f"Expected a new file, got {str(file)!r}, which exists. Give --overwrite or another -o.")
    draw(loaded, files[0], n, seed=seed, conditions=conditions, quiet=quiet)
    return files


def sample(folder: RunFolder, config: RunConfig, inputs: Inputs, *, quiet: bool = False) -> None:
    """Draw the samples of the run: `n_samples`, or as many as rows were held out; and some of each replica."""
    n = config.n_samples or len(inputs.held_out)
    path = folder / f"samples.{config.samples_format}"
    model = load_model(folder / "model")
    draw(model, path, n, seed=child_seed(config.seed, "samples"), conditions=inputs.conditions(n), quiet=quiet)
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
    return np.concatenate(list(_blocks(model, n, seed=seed, conditions=conditions, **options)))


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


def _blocks(model: Any, n: int, *, seed: int, conditions: Dataset | None, **options: Any) -> Iterator[np.ndarray]:
    if conditions is None:
        yield from model.iter_sample(n, random_state=seed, **options)
        return
    beside = _written_schema(model, conditions) != model.schema_
    done = 0
    for block in model.iter_sample(n, random_state=seed, condition=conditions, **options):
        asked = np.asarray(conditions.values[done : done + len(block)])
        yield np.concatenate([block, asked], axis=1) if beside else block
        done += len(block)


def _written_schema(model: Any, conditions: Dataset | None) -> Schema:
    return appended(model.schema_, None if conditions is None else conditions.schema)


def _sink(path: Path, schema: Schema, n: int) -> Any:
    return open_sink(
        path,
        names=schema.names,
        event_shape=schema.event_shape,
        dtype=schema.dtypes,
        n_total=n,
        labels={column.name: column.labels for column in schema.columns if column.labels is not None},
    )


def _conditions_of(model: Any, condition: str | None, n: int, seed: int) -> Dataset | None:
    """Return `n` rows of the condition that was asked for, or of those of training events."""
    schema = getattr(model, "conditions_", None)
    if schema is None:
        if condition is not None:
            raise InputError(
                f"Expected a model trained with conditions for --condition {condition}, got one without. Train it "
                "with 'reverie run ... --condition COLUMN'."
            )
        return None
    if condition is None:
        return Dataset(np.asarray(_values(model.sample_conditions(n, seed))), schema=schema)
    if not schema.is_table:
        raise InputError("Expected no --condition for a model trained on image conditions. Use the Python interface.")
    row = _row(parse_condition(condition), schema)
    return Dataset(np.tile(row, (n, 1)), schema=schema)


def _values(conditions: Any) -> Any:
    return conditions.values if isinstance(conditions, Dataset) or hasattr(conditions, "iloc") else conditions


def _row(asked: Mapping[str, str], schema: Schema) -> np.ndarray:
    """Return the one row (k,) of values that `asked` names, words as their codes."""
    unknown = next((name for name in asked if name not in schema.names), None)
    if unknown is not None:
        raise UnknownNameError("condition", unknown, schema.names)
    missing = [name for name in schema.names if name not in asked]
    if missing:
        raise InputError(
            f"Expected a value for each condition ({', '.join(schema.names)}), got none for {', '.join(missing)}. "
            f"Write --condition {','.join(f'{name}=...' for name in schema.names)}."
        )
    return np.array([_number(asked[column.name], column) for column in schema.columns])


def _number(word: str, column: Column) -> float:
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
