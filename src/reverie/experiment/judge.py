"""Validation outside a run: two files, real and generated, and perhaps a third, the training data."""

from pathlib import Path

import numpy as np

from reverie.core.errors import FolderError, InputError
from reverie.data import Dataset
from reverie.experiment.folder import write_json
from reverie.experiment.lookup import open_data, recoded
from reverie.experiment.stages import drawable
from reverie.validation import REFERENCES, ValidationResult, validate

__all__ = ["validate_files"]


def validate_files(
    real: str,
    generated: str,
    *,
    train: str | None = None,
    columns: str | None = None,
    seed: int = 0,
    out: str | None = None,
    drop_missing: bool = False,
) -> ValidationResult:
    """Compare the samples in two files and, with `out`, write ``validation.json`` and ``report.html`` there.

    Parameters
    ----------
    real, generated : paths or catalogue names, with the same columns.
    train : a second real sample, the calibration; without it `real` is split.
    columns : names between commas; all by default.
    seed : root of all randomness.
    out : folder to write into; made if it is not there.
    drop_missing : leave out rows with NaN or infinite entries.

    Raises
    ------
    InputError
        When files cannot be read or do not have the same columns.
    """
    first = open_data(real, columns=columns, drop_missing=drop_missing)
    fake = open_data(generated, columns=columns, drop_missing=drop_missing)
    second = None if train is None else open_data(train, columns=columns, drop_missing=drop_missing)
    _check_alike(first, fake, real, generated)
    if second is not None:
        _check_alike(first, second, real, str(train))
    _make_folder(out)
    values = recoded(fake, first.schema)
    calibration = None if second is None else recoded(second, first.schema)
    result = validate(first, values, calibration=calibration, random_state=seed)
    if out is not None:
        _write(Path(out), first, values, result, title=f"{Path(generated).name} against {Path(real).name}")
    return result


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
        generated=drawable(fake),
        names=schema.names,
        units=[column.unit for column in schema.columns],
        kinds=[column.kind for column in schema.columns],
        references=[(key, REFERENCES[key]) for key in result.references],
    )
