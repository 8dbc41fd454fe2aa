r"""From what the user names to the arrays of a run: read, checked, and split once and for all.

The rows are split by a seed into a part the model is trained on and a part it never sees. Validation
compares generated samples with the held-out part. Its calibration, real against real, is a random
part of the training rows no larger than the held-out part: two real samples of one law.

Conditional models are judged by the joint law of events and conditions. Their samples are drawn at the
conditions of training rows, those of the calibration first, and not at those of the held-out rows: two
samples that share their conditions row by row resemble each other more than chance allows. (Measured
with a perfect generator, 600 rows: a classifier then finds AUC 0.463 +- 0.006 instead of 0.5, and no
p-value in 25 fell below 0.2.)

Event weights, negative ones too, go into training and into the tests as they are. Where there are conditions as
well, samples are asked for at those of unweighted rows: the real rows that the tests see are then thinned, row i being
kept with probability w_i / max w (hit or miss). Negative weights cannot be thinned away; such a run
is not validated, and says so.

A conditional model is right when the joint law p(x, c) is. For tables the conditions are further columns, for sets of
particles they stand beside the features of each set (`reverie.validation.inputs.sets`). For images
they are further "pixels": a category as one-hot, a number standardised, an image as it is. They are scaled so that the
variance of the whole condition equals that of the whole image,

    s^2 sum_j var(c_j) = sum_i var(x_i),

so a wrong label weighs as much in a distance as a wrong image does.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from reverie.core.errors import CheckpointError, InputError
from reverie.core.lazy import LazyTable, sample_size
from reverie.core.random import child_seed
from reverie.core.shuffle import shuffled
from reverie.core.statistics import effective_size
from reverie.data import Dataset, Schema, check_trainable
from reverie.experiment.config import AUTO, RunConfig
from reverie.experiment.datasets import open_with_conditions
from reverie.models.missing import completed
from reverie.models.registry import model_class
from reverie.validation.inputs.sets import set_features

__all__ = [
    "LEAST_ROWS",
    "Inputs",
    "Part",
    "appended",
    "drawn_from",
    "joined",
    "joint_names",
    "joint_rows",
    "joint_table",
    "load_inputs",
]

MOST_HELD_OUT = 100_000  # rows of a large table
LEAST_ROWS = 20  # in either part of the split: below, no test means anything
_SHOWN = "The histograms of the report show the weighted real events."


@dataclass(frozen=True)
class Part:
    """Some rows: the events, and what they are conditioned on, if anything."""

    events: Dataset
    conditions: Dataset | None = None

    def __len__(self) -> int:
        return len(self.events)

    def hold_out(self, n: int, seed: int) -> tuple[Self, Self]:
        """Return all rows but `n`, and these, drawn at random; conditions stay with their events."""
        events = self.events.hold_out(n, random_state=seed)
        conditions = (None, None) if self.conditions is None else self.conditions.hold_out(n, random_state=seed)
        return type(self)(events[0], conditions[0]), type(self)(events[1], conditions[1])

    def split(self, share: float, seed: int) -> tuple[Self, Self]:
        """Return a random part of the rows, `share` of them, and the others; conditions stay with their events."""
        events = self.events.split(share, random_state=seed)
        conditions = (None, None) if self.conditions is None else self.conditions.split(share, random_state=seed)
        return type(self)(events[0], conditions[0]), type(self)(events[1], conditions[1])

    def whole(self) -> Self:
        """Return the rows of events from which no value is missing."""
        missing = self.events.missing_rows()
        return self if not len(missing) else self.take(np.delete(np.arange(len(self)), missing))

    def take(self, index: Any) -> Self:
        """Return the rows at `index`: integers, a boolean mask, or a slice."""
        return type(self)(self.events.take(index), None if self.conditions is None else self.conditions.take(index))

    @property
    def weights(self) -> np.ndarray | None:
        """Event weights (n,), or None."""
        return self.events.weights

    @property
    def is_one_table(self) -> bool:
        """Whether the conditions are columns that stand beside those of the events, in one table."""
        return self.conditions is not None and self.events.schema.is_table and self.conditions.schema.is_table

    @property
    def schema(self) -> Schema:
        """Schema of the rows as they are written: with the condition columns last, where there is one table."""
        return appended(self.events.schema, self.conditions.schema if self.conditions is not None else None)

    @property
    def values(self) -> np.ndarray:
        """The rows as they are written, (n, *event) or (n, d + k)."""
        if not self.is_one_table or self.conditions is None:
            return self.events.values
        return np.concatenate([self.events.values, self.conditions.values], axis=1)

    def fingerprint(self) -> str:
        """Return the sha256 of the values; with conditions, of both, one after the other."""
        parts = [self.events.fingerprint()] + ([] if self.conditions is None else [self.conditions.fingerprint()])
        return "+".join(parts)


def appended(events: Schema, conditions: Schema | None) -> Schema:
    """Return the schema of a table of events with their conditions as the last columns; of images, their own."""
    if conditions is None or not (events.is_table and conditions.is_table):
        return events
    columns = events.columns + conditions.columns
    dtype = np.result_type(events.dtype, conditions.dtype).name
    return Schema(columns, (len(columns),), dtype)


@dataclass(frozen=True)
class Inputs:
    """The data of a run.

    Attributes
    ----------
    source : all rows.
    train : rows the model learns from, weighted if there are weights.
    held_out : rows it never sees and of which no value is missing; with weights and conditions thinned to equal
        weights, unless some are negative.
    prior : whole rows of `train`, treated in the same way, in random order: samples are asked for at their conditions.
        Of a large table a sample, which stands for `train` wherever all of it would be too much.
    unvalidated : why there is no validation, in a sentence, or "".
    selection : rows like the held-out ones, by which the model is chosen among others; None where it is given.
    """

    source: Part
    train: Part
    held_out: Part
    prior: Part
    unvalidated: str = ""
    selection: Part | None = None

    @property
    def known(self) -> Part:
        """Rows that the model learnt from, as tests are given them: `train`, of a large or incomplete one `prior`."""
        is_whole = not isinstance(self.train.events.values, LazyTable) and not len(self.train.events.missing_rows())
        return self.train if is_whole else self.prior

    @property
    def calibration(self) -> Part:
        """Rows that stand in for a perfect generator in the validation."""
        return self.prior.take(slice(0, len(self.held_out)))

    def conditions(self, n: int) -> Dataset | None:
        """Return the conditions that `n` samples are asked for at: those of `prior`, again from the first if few."""
        if self.prior.conditions is None:
            return None
        return self.prior.conditions.take(np.arange(n) % len(self.prior))

    def to_json(self) -> dict[str, Any]:
        """Return what the run folder records of the data."""
        conditions, weights = self.source.conditions, self.source.weights
        record = {
            "sha256": self.source.fingerprint(),
            "n_rows": len(self.source),
            "n_train": len(self.train),
            "n_held_out": len(self.held_out),
            "n_calibration": len(self.calibration),
            "event_shape": list(self.source.events.event_shape),
            "weighted": weights is not None,
            "schema": self.source.events.schema.to_json(),
            "provenance": {key: str(value) for key, value in self.source.events.provenance.items()},
        }
        if self.selection is not None:
            record["n_selection"] = len(self.selection)
        if weights is not None:
            record["negative_weights"] = int((weights < 0).sum())
        return record if conditions is None else {**record, "conditions": conditions.schema.to_json()}

    def check_same(self, recorded: dict[str, Any] | None) -> None:
        """Raise `CheckpointError` unless these are the data that the run folder `recorded`."""
        if recorded is not None and recorded["sha256"] != self.source.fingerprint():
            raise CheckpointError(
                f"Expected the data of the run ({recorded['n_rows']:,} rows, sha256 {recorded['sha256'][:12]}), got "
                f"{len(self.source):,} rows with sha256 {self.source.fingerprint()[:12]}. Restore the file."
            )


def load_inputs(config: RunConfig) -> Inputs:
    """Read, check and split the data of `config`.

    Raises `InputError` for a missing or unreadable file, an unknown name, too few rows, missing values or a constant
    column.
    """
    inputs = _all_held_out(config)
    if config.selection == 0:
        return inputs
    n_held_out, n = len(inputs.held_out), round(config.selection * len(inputs.held_out))
    if min(n, n_held_out - n) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} held-out rows to choose a model by and {LEAST_ROWS} for the verdict, got "
            f"{n_held_out:,} of which --selection {config.selection:g} choose. Give more data."
        )
    held_out, selection = inputs.held_out.hold_out(n, child_seed(config.seed, "selection"))
    return replace(inputs, held_out=held_out, selection=selection)


def _all_held_out(config: RunConfig) -> Inputs:
    """Return the data of `config` split in two, without a selection."""
    names = ("columns", "weights", "schema", "drop_missing")
    given = {name: getattr(config, name) for name in names}
    allow_missing = config.model_name == AUTO or model_class(config.model_name).takes_missing
    events, conditions = open_with_conditions(config.data, config.condition, **given, allow_missing=allow_missing)
    _check_shape(events.event_shape, config.data)
    n, n_held_out = len(events), round(config.held_out * len(events))
    if min(n_held_out, n - n_held_out) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} rows to train on and {LEAST_ROWS} to hold out, got {n:,} rows in "
            f"{config.data!r}. Give more data; rows are samples."
        )
    for dataset in filter(None, (events, conditions)):
        check_trainable(completed(dataset)[0] if allow_missing else dataset)
    source = Part(events, conditions)
    if isinstance(events.values, LazyTable):  # more than 100,000 rows to hold out make no test sharper
        most = min(MOST_HELD_OUT, sample_size(n, events.event_shape))
        train, held_out = source.hold_out(min(n_held_out, most), config.seed)
        known = train.take(_drawn(train.events, config.seed))
    else:
        train, held_out = source.split(1.0 - config.held_out, config.seed)
        known, held_out = train.whole(), held_out.whole()  # in random order
        if min(len(known), len(held_out)) < LEAST_ROWS:
            raise InputError(
                f"Expected at least {LEAST_ROWS} rows with no value missing in either part of {config.data!r}, to "
                f"compare samples with, got {len(known)} and {len(held_out)}. Leave out columns that often miss "
                "(--columns with the others)."
            )
    if source.weights is None:
        return Inputs(source, train, held_out, known)
    if conditions is not None:
        return _thinned(source, train, held_out, known, config.seed)
    w = np.asarray(held_out.weights, dtype=np.float64)
    effective = effective_size(w) if w.sum() > 0 else 0.0
    why = (
        f"Validation was skipped: {len(w):,} held-out events with these weights are worth {effective:.1f} of equal "
        f"weight, fewer than {LEAST_ROWS}. {_SHOWN}"
    )
    return Inputs(source, train, held_out, known, "" if effective >= LEAST_ROWS else why)


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    """Refuse events that are neither rows, images nor lattices, and images with their channels last."""
    words = f"(n, {', '.join(map(str, shape))})"
    if len(shape) == 3 and shape[-1] in (1, 3, 4) and shape[0] > 4:
        new = name.removesuffix(".npy") + "_first.npy"
        program = f"import numpy as np; np.save({new!r}, np.moveaxis(np.load({name!r}), -1, 1))"
        move = f'python -c "{program}"' if name.endswith(".npy") else "numpy.moveaxis(images, -1, 1)"
        raise InputError(
            f"Expected images (n, channel, height, width) in {name!r}, got {words}, which looks like channels last. "
            f"Move them: {move}."
        )
    if len(shape) > 3:
        raise InputError(
            f"Expected a table (n, d), images (n, height, width) or (n, channel, height, width) in {name!r}, got shape "
            f"{words}. Reshape the events."
        )


def drawn_from(dataset: Dataset, seed: int) -> Dataset:
    """Return a sample of the events of a large table, in random order; other events as they are."""
    return dataset.take(_drawn(dataset, seed)) if isinstance(dataset.values, LazyTable) else dataset


def _drawn(dataset: Dataset, seed: int) -> np.ndarray:
    n = len(dataset)
    return shuffled(np.arange(sample_size(n, dataset.event_shape)), n, child_seed(seed, "known rows"))


def _thinned(source: Part, train: Part, held_out: Part, known: Part, seed: int) -> Inputs:
    """Return the inputs of weighted events under conditions; `known` are the training rows, or a sample of them.

    Held-out and known rows are thinned to events of weight one with the same law: row i is kept with probability
    w_i / max w (hit or miss).
    """
    weights = np.asarray(source.weights, dtype=np.float64)
    negative, most, thinned = int((weights < 0).sum()), weights.max(), []
    if negative:
        why = (
            f"Validation was skipped: {negative:,} of {len(weights):,} events have negative weights, and the tests "
            f"compare events of equal weight. {_SHOWN}"
        )
        return Inputs(source, train, held_out, known, why)
    for k, part in enumerate((held_out, known)):
        w, rng = np.asarray(part.weights, dtype=np.float64), np.random.default_rng(child_seed(seed, "unweighting", k))
        kept = part.take(np.flatnonzero(rng.random(len(w)) * most < w))
        provenance = {**part.events.provenance, "unweighted": f"{len(kept)} of {len(part)} rows kept with w / max w"}
        events = Dataset(kept.events.values, schema=part.events.schema, provenance=provenance)
        thinned.append(Part(events, kept.conditions))
    n_kept = min(map(len, thinned))
    if n_kept >= LEAST_ROWS:
        return Inputs(source, train, *thinned)
    why = (
        f"Validation was skipped: {n_kept} of {len(held_out):,} events remain when they are thinned to equal weights, "
        f"fewer than {LEAST_ROWS}. {_SHOWN}"
    )
    return Inputs(source, train, held_out, known, why)


# the rows that the validation of a conditional model sees: event and condition side by side


def joint_rows(inputs: Inputs, part: Part) -> Dataset | np.ndarray:
    """Return the rows of `part` as `reverie.validate` takes them: a Dataset or an array."""
    if part.conditions is None:
        return part.events
    return joined(inputs, part.events.values, part.conditions.values)


def joined(inputs: Inputs, values: np.ndarray, conditions: np.ndarray | None) -> np.ndarray | Dataset:
    """Return events (n, *event) with their conditions (n, k) or (n, *image): (n, d + k), or (n, 1, features) of images.

    Of sets of particles these are features of each set and its conditions, (n, d + k), or the sets as they are.

    Parameters
    ----------
    inputs : Data of the run, which set the scale.
    values, conditions : Events and their conditions, row by row; without conditions events alone.
    """
    known, events = inputs.source.conditions, inputs.source.events.schema
    if events.is_set:
        return Dataset(values, schema=events) if conditions is None else joint_table(inputs, values, conditions)
    if conditions is None or known is None:
        return values
    if inputs.source.is_one_table:
        return np.concatenate([values, conditions], axis=1)
    reference = _encoded(np.asarray(known.values), np.asarray(known.values), known.schema)
    beside = _encoded(np.asarray(conditions), np.asarray(known.values), known.schema)
    pixels = inputs.prior.events.values.reshape(len(inputs.prior), -1)
    of_image, of_condition = (float(x.astype(np.float64).var(axis=0).sum()) for x in (pixels, reference))
    scale = np.sqrt(of_image / max(of_condition, 1e-300))
    return np.concatenate([values.reshape(len(values), -1), scale * beside], axis=1)[:, None, :]


def joint_table(inputs: Inputs, values: np.ndarray, conditions: np.ndarray | None) -> np.ndarray:
    """Return events (n, *event) with their conditions as rows of numbers (n, d); of sets these are features of each."""
    schema = inputs.source.events.schema
    if not schema.is_set:
        return np.asarray(joined(inputs, values, conditions)).reshape(len(values), -1).astype(np.float64)
    table = [set_features(values, schema.names)[0], *(() if conditions is None else (conditions,))]
    return np.concatenate(table, axis=1, dtype=np.float64)


def joint_names(inputs: Inputs) -> list[str] | None:
    """Return the names of the features of joint rows; None where the events have names of their own."""
    source = inputs.source
    if source.conditions is None:
        return None
    if source.is_one_table:
        return source.schema.names
    if source.events.schema.is_set:
        first = np.asarray(source.events.values[:1])
        return [*set_features(first, source.events.names)[1], *source.conditions.names]
    pixels = [f"pixel[{','.join(map(str, index))}]" for index in np.ndindex(*source.events.event_shape)]
    schema = source.conditions.schema
    if not schema.is_table:
        return pixels + [f"condition[{','.join(map(str, index))}]" for index in np.ndindex(*schema.event_shape)]
    for column in schema.columns:
        levels = column.labels or [f"{v:g}" for v in column.levels or ()]
        pixels += [f"{column.name} = {level}" for level in levels] or [column.name]
    return pixels


def _encoded(values: np.ndarray, reference: np.ndarray, schema: Schema) -> np.ndarray:
    """Return categories one-hot and numbers divided by their spread in `reference`, (n, features)."""
    if not schema.is_table:
        return values.reshape(len(values), -1).astype(np.float64)
    blocks = []
    for j, column in enumerate(schema.columns):
        x = values[:, [j]].astype(np.float64)
        if column.levels is not None:
            blocks.append((x == np.array(column.levels)).astype(np.float64))
        else:
            blocks.append(x / (reference[:, j].astype(np.float64).std() or 1.0))
    return np.concatenate(blocks, axis=1)
