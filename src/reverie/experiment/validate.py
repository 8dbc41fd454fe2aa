"""Validation as a stage of a run, and of two files: samples against real events that no model has seen."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from reverie.core.assessment import Assessment, Quantity
from reverie.core.bibliography import BIBLIOGRAPHY
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.random import child_seed
from reverie.data import Dataset, Schema
from reverie.data.observables import OBSERVABLES, SPECTRA, Function, Spec, resolve_observables
from reverie.experiment.config import RunConfig, joined_columns, parse_columns, parse_duration
from reverie.experiment.datasets import open_data, values_in
from reverie.experiment.folder import RunFolder, made_folder, write_json
from reverie.experiment.inputs import Inputs, Part, drawn_from, joined, joint_names, joint_rows
from reverie.experiment.progress import Progress
from reverie.experiment.report import drawable
from reverie.explore import kmeans
from reverie.models.base import GenerativeModel
from reverie.models.likelihood import LikelihoodModel
from reverie.models.symmetries import symmetries_assessed
from reverie.validation import ValidationResult, validate

__all__ = ["assess_model", "observables_of", "validate_files", "validate_samples"]

_MORE_THAN_TRAINING = 60.0  # seconds that a validation may take beyond the time of training
_OF_LATTICES = ("energy", "magnetisation", "abs_magnetisation", "correlation_function")


def validate_samples(
    folder: RunFolder,
    config: RunConfig,
    inputs: Inputs,
    samples: Part,
    *,
    max_time: str | None = None,
    executor: Executor | None = None,
    quiet: bool = False,
) -> ValidationResult:
    """Compare the samples of a run with its held-out data and write `validation.json`.

    With conditions, rows of events and conditions are compared: the joint law. Without `max_time` the tests take at
    most that of `config`, and without one the time of training and a minute. Real events that cannot be compared, since
    some weights are negative, are an `InputError`. `executor` gives workers that share the tests.
    """
    if inputs.unvalidated:
        raise InputError(inputs.unvalidated)
    samples = samples.take(slice(0, len(inputs.held_out)))
    conditions = None if samples.conditions is None else samples.conditions.values
    observables = None
    if conditions is None:  # those that the model was shown, and those of lattices
        shown = config.model_options.get("observables") or ()
        observables = observables_of(inputs.source.events.schema, shown=shown)
    budget = parse_duration(max_time or config.validation_time)
    if budget is None:
        budget = folder.read_json("status.json", {}).get("training", {}).get("seconds", 0.0) + _MORE_THAN_TRAINING
    with Progress("validating", budget=budget, quiet=quiet) as bar:
        result = validate(
            joint_rows(inputs, inputs.held_out),
            joined(inputs, samples.events.values, conditions),
            calibration=joint_rows(inputs, inputs.calibration),
            train=joint_rows(inputs, inputs.known),
            names=joint_names(inputs),
            observables=observables,
            random_state=child_seed(config.seed, "validation") % 2**31,
            max_time=budget,
            progress=bar.stage,
            executor=executor,
        )
    write_json(folder / "validation.json", result.to_json())
    return result


def assess_model(folder: RunFolder, config: RunConfig, inputs: Inputs, model: GenerativeModel) -> Assessment:
    """Ask the model of a run what it can say of itself, and write `assessment.json` and `latent.npz`.

    Of several replicas these are the means over them, and the latent space of the first.
    """
    models = model.replicas_ or (model,)
    latent = models[0].latent_view(inputs.held_out.events, inputs.held_out.conditions)
    if latent is not None:
        folder.write_latent(latent.arrays())
    parts = [
        part.events if part.conditions is None else (part.events, part.conditions)
        for part in (inputs.known, inputs.held_out)
    ]
    seed = child_seed(config.seed, "assessment")
    assessment = Assessment.of_replicas([one.assess(*parts, random_state=seed) for one in models])
    if model.replicas_ and isinstance(model, LikelihoodModel) and not model._without_likelihood():
        held_out = inputs.held_out
        n = model._n_assessed
        y = None if held_out.conditions is None else model._some_rows(held_out.conditions, n)
        mean = model.log_likelihood(model._some_rows(held_out.events, n), y).mean
        said = "nats per event, of the mean density of all replicas"
        assessment = (
            Assessment((Quantity("log-likelihood of the ensemble", mean.value, mean.error, said),)) + assessment
        )
    assessment += symmetries_assessed(model.symmetries_)
    write_json(folder / "assessment.json", assessment.to_json())
    return assessment


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

    Raises `InputError` for files that cannot be read, or with other columns or shapes than `real`.

    Parameters
    ----------
    real, generated, train, calibration : Paths or catalogue names, with the same columns.
    columns, observables : Names between commas; `weights` is the column with them, of every file that has it.
    modes : Clusters (k-means) found in real events, whose occupancy is compared; 0 lets the data choose how many.
    max_time : Most time for the tests, such as "5m"; None for no limit.
    options : Other options of `reverie.validate`; the rest are those of `reverie validate`.
    """
    paths = {"generated": generated, "train": train, "calibration": calibration}
    first = open_data(real, columns=columns, weights=weights, drop_missing=drop_missing)
    others = {}
    for what, path in paths.items():
        if path is not None:
            try:
                other = open_data(path, columns=columns, weights=weights, drop_missing=drop_missing)
            except UnknownNameError:  # generated events need not have the column of the weights
                if weights is None:
                    raise
                names = first.names[:-1] if first.schema.is_set else first.names  # the mask is no column of a file
                other = open_data(path, columns=columns or joined_columns(names), drop_missing=drop_missing)
            _check_alike(first, other, real, path)
            others[what] = other
    first, others = _in_one_schema(first, others)
    functions = observables_of(first.schema, names=parse_columns(observables) or ())
    if out is not None:
        with made_folder(out):
            pass  # better known before the tests
    if modes is not None and first.schema.is_set:
        raise InputError("Expected tables or images for --modes, got sets of particles. Leave it out.")
    if modes is not None:
        known = others.get("train", others.get("calibration", first))
        options["modes"] = kmeans(drawn_from(known, seed), modes or None, random_state=seed).predict
    options |= {"observables": functions, "random_state": seed, "max_time": parse_duration(max_time)}
    options |= others
    with Progress("validating", budget=options["max_time"], quiet=quiet) as bar:
        result = validate(first, progress=bar.stage, **options)
    if out is not None:
        from reverie.report import write

        columns_of, drawn = first.schema.columns, [drawn_from(x, seed) for x in (first, others["generated"])]
        write_json(Path(out) / "validation.json", result.to_json())
        write(
            Path(out) / "report.html",
            None,
            result,
            title=f"{Path(generated).name} against {Path(real).name}",
            real=drawable(drawn[0].values),
            real_weights=drawn[0].weights,
            generated=drawable(drawn[1].values),
            names=first.schema.names,
            units=[column.unit for column in columns_of],
            kinds=[column.kind for column in columns_of],
            words=first.labels,
            references=[(key, BIBLIOGRAPHY[key]) for key in result.references],
        )
    return result


def observables_of(schema: Schema, names: Sequence[str] = (), shown: Spec | Sequence[Spec] = ()) -> dict[str, Function]:
    """Return the observables that a validation looks at, functions of events by name.

    Raises `UnknownNameError` for an unknown name, with the nearest.

    Parameters
    ----------
    schema : Schema of the events; those of lattices have observables of their own.
    names : Names given by the user, as in `reverie.data.observables.resolve_observables`, or of `SPECTRA`.
    shown : Observables that the model was shown, in any form that it takes.
    """
    known = [*OBSERVABLES, *SPECTRA]
    for name in names:
        if "(" not in name and name not in known:
            raise UnknownNameError("observable", name, known)
    is_lattice = not schema.is_table and all(column.kind == "spin" for column in schema.columns)
    names = list(dict.fromkeys([*names, *(_OF_LATTICES if is_lattice else ())]))
    functions = {name: SPECTRA[name] for name in names if name in SPECTRA}
    given = list(shown) if isinstance(shown, Sequence) and not isinstance(shown, str) else [shown]
    others = [spec for spec in given if not isinstance(spec, str) or spec not in names]
    for observable in resolve_observables([*(name for name in names if name not in SPECTRA), *others], schema):
        functions[observable.name] = observable.function
    return functions


def _in_one_schema(first: Dataset, others: Mapping[str, Dataset]) -> tuple[Dataset, dict[str, Dataset]]:
    """Return the data with the columns of the first, words of all of them, and sets padded to the largest of all."""
    schema = first.schema
    if schema.is_set:
        size = max(x.event_shape[0] for x in (first, *others.values()))
        schema = replace(schema, event_shape=(size, first.event_shape[1]))
    for x in others.values():
        schema = schema.with_words(x.labels)
    alike = {
        what: x if x.schema == schema else Dataset(values_in(x, schema), schema=schema, weights=x.weights)
        for what, x in {"real": first, **others}.items()
    }
    return alike.pop("real"), alike


def _check_alike(first: Dataset, other: Dataset, real: str, path: str) -> None:
    shapes, names = (first.event_shape, other.event_shape), (list(first.names), list(other.names))
    if first.schema.is_set and (names[0] == names[1] or shapes[0][1:] == shapes[1][1:] and len(names[1]) == 1):
        return  # an array in a file .npy does not say that it holds sets
    if tuple(shapes[0]) != tuple(shapes[1]):
        differs = f"samples of shape {tuple(shapes[0])}", str(tuple(shapes[1]))
    elif names[0] != names[1]:
        differs = f"the columns {', '.join(names[0][:8])}", ", ".join(names[1][:8])
    else:
        return
    raise InputError(
        f"Expected {differs[0]} in {path!r}, as in {real!r}, got {differs[1]}. Choose columns with --columns."
    )
