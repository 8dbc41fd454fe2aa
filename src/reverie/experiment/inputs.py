"""From what the user names to the arrays of a run: read, checked, and split once and for all.

The rows are split by a seed into a part the model is trained on and a part it never sees. Validation
compares generated samples with the held-out part. Its calibration, real against real, is a random
part of the training rows no larger than the held-out part: two real samples of one law.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.checks import check_finite
from reverie.core.errors import CheckpointError, InputError, UnknownNameError
from reverie.core.random import child_seed
from reverie.data import Dataset, Schema, catalogue, check_trainable, read
from reverie.experiment.config import RunConfig, looks_like_path, parse_columns

__all__ = ["LEAST_ROWS", "Inputs", "find_data", "load_inputs", "open_data", "recoded"]

LEAST_ROWS = 20  # in either part of the split: below, no test means anything


@dataclass(frozen=True)
class Inputs:
    """The data of a run.

    Attributes
    ----------
    train : rows the model learns from.
    held_out : rows it never sees.
    calibration : rows of `train` that stand in for a perfect generator in the validation.
    source : all rows.
    """

    train: Dataset
    held_out: Dataset
    calibration: Dataset
    source: Dataset

    def to_json(self) -> dict[str, Any]:
        """Return what the run folder records of the data."""
        return {
            "sha256": self.source.fingerprint(),
            "n_rows": len(self.source),
            "n_train": len(self.train),
            "n_held_out": len(self.held_out),
            "n_calibration": len(self.calibration),
            "event_shape": list(self.source.event_shape),
            "weighted": self.source.weights is not None,
            "schema": self.source.schema.to_json(),
            "provenance": {key: str(value) for key, value in self.source.provenance.items()},
        }

    def check_same(self, recorded: dict[str, Any] | None) -> None:
        """Raise `CheckpointError` unless these are the data that the run folder `recorded`."""
        if recorded is not None and recorded["sha256"] != self.source.fingerprint():
            raise CheckpointError(
                f"Expected the data of the run ({recorded['n_rows']:,} rows, sha256 {recorded['sha256'][:12]}), got "
                f"{len(self.source):,} rows with sha256 {self.source.fingerprint()[:12]}. Restore the file."
            )


def load_inputs(config: RunConfig) -> Inputs:
    """Read, check and split the data of `config`.

    Raises
    ------
    InputError
        For a missing or unreadable file, an unknown name, too few rows, missing values or a constant column.
    """
    data = open_data(
        config.data,
        columns=config.columns,
        weights=config.weights,
        schema=config.schema,
        drop_missing=config.drop_missing,
    )
    _check_shape(data.event_shape, config.data)
    _check_size(len(data), config)
    check_trainable(data)
    if data.weights is not None:
        data = _unweighted(data, child_seed(config.seed, "unweighting"))
    train, held_out = data.split(1.0 - config.held_out, random_state=config.seed)
    return Inputs(train, held_out, train.take(slice(0, len(held_out))), data)


def open_data(
    data: str,
    *,
    columns: str | None = None,
    weights: str | None = None,
    schema: str | None = None,
    drop_missing: bool = False,
) -> Dataset:
    """Return the data as `find_data` finds them, free of NaN and infinite values.

    Parameters
    ----------
    data, columns, weights, drop_missing : as in `find_data`.
    schema : YAML file of kinds and units.

    Raises
    ------
    InputError
        As `find_data`, and for missing values: by column, with their number.
    """
    dataset = find_data(data, columns=columns, weights=weights, drop_missing=drop_missing)
    if schema is not None:
        dataset = _with_schema(dataset, schema)
    check_finite(dataset.values, dataset.names, name=repr(data))
    return dataset


def find_data(
    data: str, *, columns: str | None = None, weights: str | None = None, drop_missing: bool = False
) -> Dataset:
    """Return the data set at a path or of a catalogue name.

    Parameters
    ----------
    data : path or catalogue name.
    columns : names between commas; all by default.
    weights : column of event weights, which is then no feature.
    drop_missing : leave out rows with NaN or infinite entries.

    Raises
    ------
    InputError
        For a missing or unreadable file, or an unknown name, with the nearest.
    """
    wanted = parse_columns(columns)
    if wanted is not None and weights is not None:
        wanted = [*(name for name in wanted if name != weights), weights]
    if data in catalogue.entries() and not looks_like_path(data):
        dataset = catalogue.load(data, columns=wanted)
    elif looks_like_path(data) or Path(data).is_file():
        dataset = read(data, columns=wanted)
    else:
        raise UnknownNameError("data set or file", data, catalogue.entries())
    if weights is not None:
        dataset = Dataset(dataset, weights=weights)
    return dataset.drop_missing() if drop_missing else dataset


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    """Refuse events that are neither rows, images nor lattices, and images with their channels last."""
    if len(shape) == 3 and shape[-1] in (1, 3, 4) and shape[0] > 4:
        raise InputError(
            f"Expected images (n, channel, height, width) in {name!r}, got (n, {', '.join(map(str, shape))}), "
            "which looks like channels last. Move them: numpy.moveaxis(images, -1, 1)."
        )
    if len(shape) > 3:
        raise InputError(
            f"Expected a table (n, d), images (n, height, width) or (n, channel, height, width) in {name!r}, got shape "
            f"(n, {', '.join(map(str, shape))}). Reshape the events."
        )


def _check_size(n: int, config: RunConfig) -> None:
    n_held_out = round(config.held_out * n)
    if min(n_held_out, n - n_held_out) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} rows to train on and {LEAST_ROWS} to hold out, got {n:,} rows in "
            f"{config.data!r}. Give more data; rows are samples."
        )


def _unweighted(dataset: Dataset, seed: int) -> Dataset:
    """Return events of weight one with the same law: row i is kept with probability w_i / max w (hit or miss)."""
    weights = np.asarray(dataset.weights, dtype=np.float64)
    if (weights < 0).any():
        raise InputError(f"Expected weights >= 0, got {int((weights < 0).sum())} negative ones. Leave those rows out.")
    kept = np.flatnonzero(np.random.default_rng(seed).random(len(weights)) * weights.max() < weights)
    if len(kept) < 3 * LEAST_ROWS:
        raise InputError(
            f"Expected weights of similar size, got {len(kept)} of {len(weights):,} rows after unweighting. "
            "Leave out the rows of extreme weight."
        )
    provenance = {**dataset.provenance, "unweighted": f"{len(kept)} of {len(weights)} rows kept with w / max w"}
    chosen = dataset.take(kept)
    return Dataset(chosen.values, schema=chosen.schema, provenance=provenance)


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


def recoded(dataset: Dataset, schema: Schema) -> np.ndarray:
    """Return the values (n, *event) with the codes of words as `schema` numbers them.

    A file of words is numbered by the words that occur in it; two files may number them differently.

    Raises
    ------
    InputError
        For a word that `schema` does not have.
    """
    values = np.array(dataset.values)
    if values.ndim != 2 or len(schema.columns) != values.shape[1]:
        return values.reshape(-1, *schema.event_shape)
    for j, (have, want) in enumerate(zip(dataset.schema.columns, schema.columns, strict=True)):
        if have.labels is not None and want.labels is not None and have.labels != want.labels:
            unknown = set(have.labels) - set(want.labels)
            if unknown:
                raise InputError(f"Expected the words {', '.join(want.labels)} in {want.name!r}, got {min(unknown)!r}.")
            values[:, j] = np.array([want.labels.index(word) for word in have.labels])[values[:, j].astype(int)]
    return values
