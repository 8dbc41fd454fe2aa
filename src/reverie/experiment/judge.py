"""Validation outside a run: two files, real and generated, and perhaps a third, the training data."""

from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.errors import FolderError, InputError, UnknownNameError
from reverie.data import Dataset
from reverie.experiment.config import parse_columns, parse_duration
from reverie.experiment.folder import write_json
from reverie.experiment.inputs import drawn_from
from reverie.experiment.lookup import open_data, recoded
from reverie.experiment.observing import observables_of
from reverie.experiment.progress import StageProgress
from reverie.experiment.stages import drawable
from reverie.explore import kmeans
from reverie.validation import REFERENCES, ValidationResult, validate

__all__ = ["validate_files"]


def validate_files(
    real: str,
    generated: str,
    *,
    train: str | None = None,
    calibration: str | None = None,
    columns: str | None = None,
    weights: str | None = None,
    observables: str | None = None,
    modes: int | None = None,
    seed: int = 0,
    out: str | None = None,
    drop_missing: bool = False,
    max_time: str | None = None,
    quiet: bool = False,
    **options: Any,
) -> ValidationResult:
    """Compare the samples in two files and, with `out`, write ``validation.json`` and ``report.html`` there.

    Parameters
    ----------
    real, generated : paths or catalogue names, with the same columns.
    train : the events that the generator was trained on; asks whether it copied them.
    calibration : other real events; without it those of `train` are taken, without both `real` is split.
    columns : names between commas; all by default.
    weights : column with the event weights, of every file that has it.
    observables : names between commas, as in `reverie.data.observables`.
    modes : clusters (k-means) found in real events, whose occupancy is compared; 0 lets the data choose how many.
    seed : root of all randomness.
    out : folder to write into; made if it is not there.
    drop_missing : leave out rows with NaN or infinite entries.
    max_time : most time for the tests, such as "5m"; None for no limit.
    quiet : show no progress.
    options : others of `reverie.validate`.

    Raises
    ------
    InputError
        For files that cannot be read, or with other columns or shapes than `real`.
    """
    paths = {"generated": generated, "train": train, "calibration": calibration}
    first = open_data(real, columns=columns, weights=weights, drop_missing=drop_missing)
    others = {}
    for what, path in paths.items():
        if path is not None:
            found = _open_like(first, path, columns=columns, weights=weights, drop_missing=drop_missing)
            _check_alike(first, found, real, path)
            others[what] = Dataset(recoded(found, first.schema), schema=first.schema, weights=found.weights)
    functions = observables_of(first.schema, asked=parse_columns(observables) or ())
    _make_folder(out)
    if modes is not None:
        known = others.get("train", others.get("calibration", first))
        options["modes"] = kmeans(drawn_from(known, seed), modes or None, random_state=seed).predict
    options |= {"observables": functions, "random_state": seed, "max_time": parse_duration(max_time)}
    with StageProgress("validating", budget=options["max_time"], quiet=quiet) as bar:
        result = validate(first, **others, progress=bar.update, **options)
    if out is not None:
        title = f"{Path(generated).name} against {Path(real).name}"
        _write(Path(out), drawn_from(first, seed), drawn_from(others["generated"], seed).values, result, title=title)
    return result


def _open_like(first: Dataset, path: str, *, columns: str | None, weights: str | None, drop_missing: bool) -> Dataset:
    """Open a file; generated events need not have the column of the weights."""
    try:
        return open_data(path, columns=columns, weights=weights, drop_missing=drop_missing)
    except UnknownNameError:
        if weights is None:
            raise
        return open_data(path, columns=columns or ",".join(first.names), drop_missing=drop_missing)


def _make_folder(out: str | None) -> None:
    if out is None:
        return
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"Expected a folder that can be written at {out!r}, got: {error.strerror}.") from None


def _check_alike(first: Dataset, other: Dataset, real: str, path: str) -> None:
    if tuple(first.event_shape) != tuple(other.event_shape):
        raise InputError(
            f"Expected samples of shape {tuple(first.event_shape)} in {path!r}, as in {real!r}, got "
            f"{tuple(other.event_shape)}. Choose columns with --columns."
        )
    if list(first.names) != list(other.names):
        raise InputError(
            f"Expected the columns {', '.join(first.names[:8])} in {path!r}, as in {real!r}, got "
            f"{', '.join(other.names[:8])}. Choose columns with --columns."
        )


def _write(folder: Path, real: Dataset, fake: np.ndarray, result: ValidationResult, *, title: str) -> None:
    from reverie.report import write

    write_json(folder / "validation.json", result.to_json())
    schema = real.schema
    write(
        folder / "report.html",
        None,
        result,
        title=title,
        real=drawable(real.values),
        real_weights=real.weights,
        generated=drawable(fake),
        names=schema.names,
        units=[column.unit for column in schema.columns],
        kinds=[column.kind for column in schema.columns],
        references=[(key, REFERENCES[key]) for key in result.references],
    )
