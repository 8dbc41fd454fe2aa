"""The stages after training, each from and into the run folder: validate, report.

`fit` stands in `reverie.experiment.fitting`, `sample` in `reverie.experiment.drawing`.
"""

import math
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.assessment import Assessment
from reverie.core.errors import InputError
from reverie.core.latent import LatentView
from reverie.core.lazy import LazyTable, sample_size
from reverie.core.random import child_seed
from reverie.core.typed_files import rebuilt
from reverie.data import Dataset, Schema, read
from reverie.experiment.config import RunConfig, parse_duration, read_yaml
from reverie.experiment.drawing import draw, draw_from, sample
from reverie.experiment.fitting import Interrupt, Trained, fit, help_to_fit, n_open_steps, snapshot_steps
from reverie.experiment.folder import RunFolder, write_json
from reverie.experiment.inputs import Inputs, Part
from reverie.experiment.joint import joined, joint_names, joint_rows
from reverie.experiment.lookup import recoded
from reverie.experiment.observing import observables_of
from reverie.experiment.progress import StageProgress
from reverie.experiment.records import REMEDIES
from reverie.models.files import load_model
from reverie.validation import ValidationResult, validate

__all__ = [
    "Interrupt",
    "Trained",
    "assessment",
    "draw",
    "draw_from",
    "drawable",
    "fit",
    "generated",
    "help_to_fit",
    "missing",
    "n_open_steps",
    "report",
    "run_observables",
    "sample",
    "snapshot_steps",
    "validation",
]

_MORE_THAN_TRAINING = 60.0  # seconds that a validation may take beyond the time of training


def validation(
    folder: RunFolder,
    config: RunConfig,
    inputs: Inputs,
    *,
    max_time: str | None = None,
    executor: Executor | None = None,
    quiet: bool = False,
) -> ValidationResult:
    """Compare the samples of the run with the held-out data and write `validation.json`.

    With conditions, rows of events and conditions are compared: the joint law.

    Parameters
    ----------
    max_time : most time for it; None takes that of `config`, and without one the time of training and a minute.
    executor : who shares the tests.
    quiet : show no progress.

    Raises
    ------
    InputError
        When the real events cannot be compared, since some weights are negative.
    """
    if inputs.unvalidated:
        raise InputError(inputs.unvalidated)
    part = generated(folder, inputs).take(slice(0, len(inputs.held_out)))
    conditions = None if part.conditions is None else part.conditions.values
    budget = parse_duration(max_time or config.validation_time)
    if budget is None:
        budget = folder.read_json("status.json", {}).get("training", {}).get("seconds", 0.0) + _MORE_THAN_TRAINING
    with StageProgress("validating", budget=budget, quiet=quiet) as bar:
        result = validate(
            joint_rows(inputs, inputs.held_out),
            joined(inputs, part.events.values, conditions),
            calibration=joint_rows(inputs, inputs.calibration),
            train=joint_rows(inputs, inputs.known),
            names=joint_names(inputs),
            observables=None if conditions is not None else run_observables(config, inputs),
            random_state=child_seed(config.seed, "validation") % 2**31,
            max_time=budget,
            progress=bar.update,
            executor=executor,
        )
    write_json(folder / "validation.json", result.to_json())
    return result


def assessment(folder: RunFolder, config: RunConfig, inputs: Inputs) -> Assessment:
    """Ask the model of the run what it can say of itself, and write `assessment.json` and `latent.npz`."""
    parts = [part.events if part.conditions is None else (part.events, part.conditions)
             for part in (inputs.known, inputs.held_out)]  # fmt: skip
    seed = child_seed(config.seed, "assessment")
    model = load_model(folder / "model")
    latent = model.latent_view(inputs.held_out.events, inputs.held_out.conditions)
    if latent is not None:
        folder.write_latent(latent.arrays())
    found = model.assess(*parts, random_state=seed)
    write_json(folder / "assessment.json", found.to_json())
    return found


def run_observables(config: RunConfig, inputs: Inputs) -> dict[str, Any]:
    """Return the observables that a run is judged by: those its model was shown, and those of lattices."""
    return observables_of(inputs.source.events.schema, shown=config.model_options.get("observables") or ())


def generated(folder: RunFolder, inputs: Inputs) -> Part:
    """Return the samples of the run and the conditions that they were asked for; of very many the first."""
    path = folder.samples
    if path is None:
        raise InputError(f"Expected samples in {str(folder.path)!r}, got none. Draw them: reverie resume {folder.path}")
    source = inputs.source
    values = _readable(path, source.schema)
    conditions = None
    if source.conditions is not None and source.is_one_table:
        width = source.events.event_shape[0]
        values, conditions = values[:, :width], values[:, width:]
    elif source.conditions is not None:
        if folder.conditions is None:
            raise InputError(f"Expected the conditions of the samples beside {str(path)!r}, got no file. Draw anew.")
        conditions = _readable(folder.conditions, source.conditions.schema)[: len(values)]
        if len(conditions) < len(values):
            raise InputError(
                f"Expected a condition for each of the {len(values):,} samples in {str(folder.conditions)!r}, got "
                f"{len(conditions):,}. {REMEDIES['samples']}"
            )
    events = Dataset(values, schema=source.events.schema)
    return Part(events, None if conditions is None else Dataset(conditions, schema=source.conditions.schema))  # pyright: ignore[reportOptionalMemberAccess]


def _readable(path: Path, schema: Schema) -> np.ndarray:
    """Return the samples in a file of the run; refuse those of another shape, and numbers that are not finite."""
    with rebuilt("samples of the run", path, remedy=REMEDIES["samples"], error=InputError):
        try:
            found = _first(read(path))
        except InputError as error:
            raise InputError(f"Expected samples in {str(path)!r}, got others. {error} {REMEDIES['samples']}") from None
        shape = tuple(found.event_shape)
        if shape not in (schema.event_shape, (math.prod(schema.event_shape),)):  # text and columns are flat
            raise InputError(
                f"Expected samples of shape {schema.event_shape} in {str(path)!r}, got {shape}. {REMEDIES['samples']}"
            )
        values = recoded(found, schema)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(f"Expected finite samples in {str(path)!r}, got {bad} that are not. {REMEDIES['samples']}")
    return values


def _first(samples: Dataset) -> Dataset:
    """Return the samples; of a file too large for memory the first, which are as random as any."""
    if not isinstance(samples.values, LazyTable):
        return samples
    return samples.take(slice(0, sample_size(len(samples), samples.event_shape)))


def missing(folder: RunFolder, config: RunConfig, inputs: Inputs) -> str:
    """Return why the run has no verdict, in sentences: what is not there yet and the command that makes it."""
    if not folder.is_trained:
        history = folder.history()
        step, of = int(history[-1]["step"]) if history else 0, config.model_options.get("max_steps")
        return (
            f"Training has not ended: it stands at step {step:,}{f' of {of:,}' if of else ''}, and there are no model, "
            f"no samples and no verdict yet. Carry it on: reverie resume {folder.path}"
        )
    if inputs.unvalidated:
        return inputs.unvalidated
    what = "the samples have not been compared with held-out data" if folder.samples else "no samples have been drawn"
    why = " (--no-validate)" if config.no_validate else ""
    return f"There is no verdict{why}: {what}. Add it: reverie validate {folder.path}"


def report(folder: RunFolder, config: RunConfig, inputs: Inputs) -> None:
    """Write `report.html` from what the folder holds; of an unfinished run the page says what is missing."""
    from reverie.experiment.cite import references_of
    from reverie.report import write

    saved, status = folder.validation(), folder.read_json("status.json", {})
    doubts = Assessment(warnings=tuple(status.get("notes", ())))
    write(
        folder / "report.html",
        folder.history(),
        saved,
        title=f"{_titled(config.model_name)} on {config.data.rsplit('/', 1)[-1]}",
        unvalidated="" if saved is not None else missing(folder, config, inputs),
        assessment=(folder.assessment() or Assessment()) + doubts,
        latent=_latent(folder),
        training=status.get("training"),
        provenance=_provenance(folder),
        config=read_yaml(folder / "config.yaml"),
        resolved=folder.read_json("resolved.json", {}),
        environment=folder.read_json("environment.json", {}),
        references=references_of(folder),
        command=folder.command,
        **_samples(folder, inputs),
    )


def _titled(model: str) -> str:
    """Return the name of a model as a title has it: GAN, RBM, Flow."""
    return model.upper() if len(model) < 4 else model.capitalize()


def _samples(folder: RunFolder, inputs: Inputs) -> dict[str, Any]:
    """Return what the report draws: real and generated rows, conditions, replicas, names."""
    part = None if folder.samples is None else generated(folder, inputs)
    schema = inputs.source.schema
    replicas, snapshots = folder.replicas(schema.event_shape), folder.snapshots(schema.event_shape)
    content: dict[str, Any] = {
        "real": drawable(inputs.held_out.values),
        "real_weights": inputs.held_out.weights,
        "generated": None if part is None else drawable(part.values),
        "replicas": None if replicas is None else np.stack([drawable(x) for x in replicas]),
        "snapshots": [(step, drawable(values)) for step, values in snapshots.items()],
        "names": schema.names,
        "units": [column.unit for column in schema.columns],
        "kinds": [column.kind for column in schema.columns],
    }
    if part is None or part.conditions is None or inputs.held_out.conditions is None:
        return content
    if part.conditions.schema.is_table:
        columns = part.conditions.schema.columns
        content["conditions"] = {
            "names": [column.name for column in columns],
            "units": [column.unit for column in columns],
            "levels": [_levels(column) for column in columns],
            "real": np.asarray(inputs.held_out.conditions.values),
            "generated": np.asarray(part.conditions.values),
        }
    return content


def _latent(folder: RunFolder) -> LatentView | None:
    stored = folder.latent()
    if stored is None:
        return None
    with rebuilt("a latent space", folder / "latent.npz", remedy=REMEDIES["latent.npz"], error=InputError):
        for name in ("traversals", "manifold"):
            events = stored[name]
            if events.size:
                flat = drawable(events.reshape(-1, *events.shape[2:]))
                stored[name] = flat.reshape(*events.shape[:2], *flat.shape[1:])
        return LatentView.from_arrays(stored)


def _levels(column: Any) -> dict[float, str] | None:
    """Return the words of a categorical condition by value, or None for a number."""
    if column.levels is None:
        return None
    words = column.labels or [f"{level:g}" for level in column.levels]
    return dict(zip(column.levels, words, strict=True))


def drawable(values: np.ndarray) -> np.ndarray:
    """Return images (n, channel, height, width) that are neither grey nor red-green-blue with channels side by side."""
    values = np.asarray(values)
    if values.ndim == 4 and values.shape[1] not in (1, 3):
        return np.concatenate(list(np.moveaxis(values, 1, 0)), axis=-1)
    return values


def _provenance(folder: RunFolder) -> dict[str, Any]:
    """Return what the report says of the data."""
    data = folder.read_json("data.json", {})
    return {key: data[key] for key in data if key not in ("schema", "conditions")}
