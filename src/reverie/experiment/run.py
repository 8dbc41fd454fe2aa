"""A run from start to end: configuration, data, training, samples, validation and report, around one folder.

start          a new run: check the input, train, then sample, validate and report
resume         carry on where the folder stands; training goes on bit for bit as if never interrupted
validate_run   compare the samples of a run with its held-out data anew
rewrite_report write the report of a run anew

All four are made of the same stages:

    load_inputs        data             what the model learns, and what it never sees
    TrainingSession    training         the model, its history, states and snapshots
    sample             samples          generated events
    assess_model       assessment       what the model says of itself
    validate_samples   validation       real or not
    write_report       report           one page
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import convert

from reverie.core.errors import CheckpointError, InputError, ReverieError, ShortChainError
from reverie.core.types import State
from reverie.data.sinks import WRITERS, check_room
from reverie.experiment.config import RunConfig, format_duration, model_class, parse_duration
from reverie.experiment.folder import RunFolder, check_new, write_json, write_text
from reverie.experiment.info import environment
from reverie.experiment.inputs import LEAST_ROWS, Inputs, load_inputs
from reverie.experiment.progress import say
from reverie.experiment.records import TrainingEnd
from reverie.experiment.report import what_is_missing, write_report
from reverie.experiment.sampling import bytes_of_event, load_generator, read_samples, sample
from reverie.experiment.training import TrainingSession, n_open_steps, train_as_helper
from reverie.experiment.validate import assess_model, validate_samples
from reverie.models.base import GenerativeModel
from reverie.scale.distributed import Distributed, runtime_from_environment
from reverie.training import CheckpointFolder, truncate_history
from reverie.validation import ValidationResult

__all__ = [
    "ALL_STAGES", "checked_inputs", "compiled_if_repaid", "complete", "make_model", "resume", "rewrite_report",
    "runtime_of", "start", "train_new", "train_on", "validate_run",
]  # fmt: skip

ALL_STAGES = ("fit", "sample", "validate", "report")
_COMPILES_FROM = 120.0  # seconds of training
_ENDINGS = {
    "equilibrium": "training ended at step {step:,}: equilibrium, and the held-out score no longer improves",
    "overfitting": "training ended at step {step:,}: the held-out loss has long risen, the best state is kept",
    "alarm": "training ended at step {step:,} by an alarm; history.jsonl holds it",
}


def start(
    config: RunConfig,
    out: str | Path,
    *,
    stages: Sequence[str] = ALL_STAGES,
    overwrite: bool = False,
    quiet: bool = False,
    command: str = "",
) -> int:
    """Run the `stages` of `config` into the new folder `out`; return the exit code.

    Nothing is written before the input has been checked and the first steps of training have gone well.

    Raises
    ------
    InputError, FolderError, TrainingError
        Each one sentence: expected, got, what to do.
    """
    config = compiled_if_repaid(config)
    with ExitStack() as held:
        runtime = held.enter_context(runtime_of(config))
        if runtime is not None and runtime.rank > 0:
            train_as_helper(make_model(config), load_inputs(config), config, runtime)
            return 0

        inputs = checked_inputs(config, out, stages, overwrite=overwrite)
        how: Any = {"overwrite": overwrite, "command": command, "quiet": quiet, "runtime": runtime}
        folder, model, end = train_new(config, out, inputs, held, stages=stages, **how)
        return complete(folder, config, inputs, end, stages, model, quiet=quiet)


def checked_inputs(config: RunConfig, out: str | Path, stages: Sequence[str], *, overwrite: bool) -> Inputs:
    """Return the data of a new run in the folder `out`, once all is checked that can be before training."""
    check_new(out, overwrite=overwrite)
    wants_verdict = "validate" in stages and not config.no_validate
    if wants_verdict and config.n_samples is not None and config.n_samples < LEAST_ROWS:
        raise InputError(
            f"Expected --n-samples of at least {LEAST_ROWS} for a validation, got {config.n_samples}. Give more, "
            "or leave the verdict out with --no-validate."
        )
    inputs = load_inputs(config)
    if inputs.source.schema.is_set and not WRITERS[f".{config.samples_format}"].has_sets:
        raise InputError(
            f"Expected --samples-format npy, parquet, h5 or root for samples of sets of particles, got "
            f"{config.samples_format}. Choose one of these."
        )
    if "sample" in stages and config.n_samples is not None:
        file = Path(out) / f"samples.{config.samples_format}"
        check_room(file, config.n_samples, bytes_of_event(inputs.source.schema))
    return inputs


def compiled_if_repaid(config: RunConfig) -> RunConfig:
    """Return `config` without compilation where the budget of training is so short that it would go into it."""
    budget = parse_duration(config.max_time)
    if budget is not None and budget < _COMPILES_FROM and config.model_options.get("compile", "auto") == "auto":
        return replace(config, model={**config.model, "compile": False})
    return config


def train_new(
    config: RunConfig,
    out: str | Path,
    inputs: Inputs,
    held: ExitStack,
    *,
    stages: Sequence[str],
    overwrite: bool = False,
    command: str = "",
    quiet: bool = False,
    runtime: Distributed | None = None,
) -> tuple[RunFolder, GenerativeModel, TrainingEnd]:
    """Train the model of `config` into the new folder `out`, whose lock `held` keeps; options as in `start`."""
    model = make_model(config)
    with TrainingSession(model, inputs, config, quiet=quiet, runtime=runtime) as session:
        session.begin()
        say(_announcement(config, inputs), quiet=quiet)
        folder = RunFolder.create(out, config=config.to_yaml(), command=command, held=held, overwrite=overwrite)
        folder.remove_leftovers()
        write_json(folder / "environment.json", environment(device=str(model.device_)))
        write_json(folder / "resolved.json", model.resolved_)
        write_json(folder / "data.json", inputs.to_json())
        write_json(folder / "status.json", {"stages": list(stages)})
        return folder, model, session.keep_in(folder)


def resume(path: str | Path, *, max_time: str | None = None, max_steps: int | None = None, quiet: bool = False) -> int:
    """Carry on the run in the folder `path`; return the exit code.

    Raises `CheckpointError` when the state is corrupt or foreign, or the data have changed, and `InputError` for fewer
    steps than were taken.

    Parameters
    ----------
    path : The run folder.
    max_time : New budget for training over all sessions together; also takes up training that ended at its budget.
    max_steps : New number of steps, all sessions together; also takes up training that ended. The learning rate and
        the checks go on as in a run of so many steps.
    quiet : Whether to show no progress.
    """
    folder = RunFolder(path)
    config = folder.config() if max_time is None else replace(folder.config(), max_time=max_time)
    if max_steps is not None:
        _check_longer(folder, config, max_steps, max_time)
        config = replace(config, model={**config.model, "max_steps": max_steps})
    with ExitStack() as held:
        runtime = held.enter_context(runtime_of(config))
        if runtime is not None and runtime.rank > 0:
            if not folder.is_trained:
                train_as_helper(make_model(config), load_inputs(config), config, runtime, _last_state(folder))
            return 0

        held.enter_context(folder.lock())
        folder.remove_leftovers()
        status = folder.read_json("status.json", {})
        stages = status.get("stages", list(ALL_STAGES))
        inputs = load_inputs(config)
        inputs.check_same(folder.read_json("data.json"))
        ended, budget = status.get("training") if folder.is_trained else None, parse_duration(max_time)
        if ended is not None:
            end = convert(ended, TrainingEnd)
            goes_on = budget is not None and end.ended_by == "max_time" and budget > end.seconds
            if not goes_on and max_steps is None:
                if not _unfinished(folder, config, inputs, stages):
                    say(f"{folder.path} is complete: {end.step:,} steps, ended by {end.ended_by}.", quiet=quiet)
                return complete(folder, config, inputs, end, stages, quiet=quiet)
        model = make_model(config)
        end = train_on(folder, config, inputs, model, runtime, quiet=quiet)
        return complete(folder, config, inputs, end, stages, model, quiet=quiet)


def _check_longer(folder: RunFolder, config: RunConfig, max_steps: int, max_time: str | None) -> None:
    """Raise `InputError` unless a run can be trained up to `max_steps`."""
    history, ended = folder.history(), folder.read_json("status.json", {}).get("training") or {}
    step = max(int(ended.get("step", 0)), int(history[-1]["step"]) if history else 0)
    if max_steps <= step:
        raise InputError(
            f"Expected --max-steps above the {step:,} steps that were taken, got {max_steps:,}. Give more."
        )
    if step and CheckpointFolder(folder.checkpoints).latest() is None:
        raise InputError(
            f"Expected a training state in {str(folder.checkpoints)!r}, got none: the run was packed, or its states "
            f"were removed. Train anew, or from its weights: reverie run ... --start {folder.path}"
        )
    if ended.get("ended_by") == "max_time" and max_time is None:
        raise InputError(
            f"Expected --max-time too, since the budget of {config.max_time} is spent. Write: reverie resume "
            f"{folder.path} --max-steps {max_steps} --max-time 1h"
        )


def validate_run(
    path: str | Path, *, max_time: str | None = None, executor: Executor | None = None, quiet: bool = False
) -> ValidationResult:
    """Compare the samples of a run with its held-out data anew, rewrite validation and report, return the result.

    Samples that are not there yet are drawn first. Raises `InputError` for events of negative weight, which cannot be
    validated, and for a run whose training has not ended.

    Parameters
    ----------
    path : The run folder.
    max_time : Most time for it; None takes that of the run, see `RunConfig`.
    executor : Workers that share the tests, see `reverie.validate`.
    quiet : Whether to show no progress.
    """
    folder, config, inputs = _recorded(path)
    with folder.lock():
        if not folder.is_trained or inputs.unvalidated:
            raise InputError(what_is_missing(folder, config, inputs))
        if folder.samples is not None:
            samples = read_samples(folder, inputs)
        else:
            samples = sample(folder, config, inputs, load_generator(folder / "model"))
        result = validate_samples(folder, config, inputs, samples, max_time=max_time, executor=executor, quiet=quiet)
        write_report(folder, config, inputs, samples)
    return result


def rewrite_report(path: str | Path) -> Path:
    """Write the report of the run in the folder `path` anew and return its path."""
    folder, config, inputs = _recorded(path)
    with folder.lock():
        write_report(folder, config, inputs)
    return folder / "report.html"


def make_model(config: RunConfig) -> GenerativeModel:
    """Return the unfitted model of `config`."""
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in config.model_options.items()}
    return model_class(config.model_name)(**options, random_state=config.seed)


def train_on(
    folder: RunFolder,
    config: RunConfig,
    inputs: Inputs,
    model: GenerativeModel,
    runtime: Distributed | None,
    *,
    quiet: bool,
) -> TrainingEnd:
    """Train `model` on from the newest state of the folder, or from the beginning where none was kept."""
    state = _last_state(folder)
    step = 0 if state is None else int(state["step"])
    history = [record for record in folder.history() if record["step"] <= step]
    seconds = history[-1].get("seconds", 0.0) if history else 0.0
    say(f"carrying on at step {step:,} after {format_duration(seconds)} of training", quiet=quiet)
    session = TrainingSession(model, inputs, config, state=state, seconds_before=seconds, quiet=quiet, runtime=runtime)
    with session:
        try:
            session.begin()
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            if state is None or isinstance(error, ReverieError):
                raise
            raise CheckpointError(
                f"Expected a training state of this configuration in {str(folder.checkpoints)!r}, got one that does "
                f"not fit ({type(error).__name__}). Restore the folder from a copy, or train anew with --overwrite."
            ) from error
        truncate_history(folder / "history.jsonl", step - n_open_steps(state))  # until now the folder stayed as it was
        folder.forget_results()
        write_text(folder / "config.yaml", config.to_yaml())
        return session.keep_in(folder)


def complete(
    folder: RunFolder,
    config: RunConfig,
    inputs: Inputs,
    end: TrainingEnd,
    stages: Sequence[str],
    model: GenerativeModel | None = None,
    *,
    quiet: bool,
) -> int:
    """Make what is missing after training; return the exit code. `model` is one that was trained just now."""
    if model is not None and end.ended_by in _ENDINGS:
        say(_ENDINGS[end.ended_by].format(step=end.step), quiet=quiet)
    if model is not None and end.augmentation:
        say(end.augmentation, quiet=quiet)
    if end.ended_by == "interrupted":
        say(f"Stopped at step {end.step:,}; the state is saved. Carry on: reverie resume {folder.path}")
        return 130
    try:
        _remaining_stages(folder, config, inputs, stages, model, quiet=quiet)
    except KeyboardInterrupt:
        say(f"Stopped; the trained model is saved. Carry on: reverie resume {folder.path}")
        return 130
    report = folder / "report.html"
    print(f"report: {report}" if report.is_file() else f"model: {folder / 'model'}")
    return 0


def _remaining_stages(
    folder: RunFolder,
    config: RunConfig,
    inputs: Inputs,
    stages: Sequence[str],
    model: GenerativeModel | None,
    *,
    quiet: bool,
) -> None:
    """Go through the stages after training whose output is not there yet; samples are handed on in memory."""
    unfinished, samples = _unfinished(folder, config, inputs, stages), None
    if inputs.unvalidated and "validate" in stages:
        say(inputs.unvalidated, quiet=quiet)
    if {"sample", "validate"} & set(unfinished):
        model = model or load_generator(folder / "model")
        if "sample" in unfinished:
            samples = sample(folder, config, inputs, model, quiet=quiet)
        if "validate" in unfinished:
            assessment = assess_model(folder, config, inputs, model)
            if assessment:
                print(assessment)
    if "validate" in unfinished and not (inputs.unvalidated or config.no_validate):
        say("validating: generated against held-out data, real against real beside it", quiet=quiet)
        samples = samples or read_samples(folder, inputs)
        try:
            print(validate_samples(folder, config, inputs, samples, quiet=quiet).summary())
        except ShortChainError as error:  # the trained run stands without a verdict
            say(str(error), quiet=quiet)
    if "report" in unfinished:
        write_report(folder, config, inputs, samples)


def _unfinished(folder: RunFolder, config: RunConfig, inputs: Inputs, stages: Sequence[str]) -> list[str]:
    """Return the stages after training whose output is not there yet."""
    has_verdict = not (inputs.unvalidated or config.no_validate)
    made = {
        "sample": folder.samples is not None,
        "validate": (folder / ("validation.json" if has_verdict else "assessment.json")).is_file(),
        "report": (folder / "report.html").is_file(),
    }
    return [name for name, is_made in made.items() if name in stages and not is_made]


def _recorded(path: str | Path) -> tuple[RunFolder, RunConfig, Inputs]:
    """Return a run folder, its configuration and its data, which must be what they were."""
    folder = RunFolder(path)
    config = folder.config()
    inputs = load_inputs(config)
    inputs.check_same(folder.read_json("data.json"))
    return folder, config, inputs


def runtime_of(config: RunConfig) -> AbstractContextManager[Distributed | None]:
    """Return the processes of a launcher such as torchrun, to be entered; without a launcher None is entered."""
    return runtime_from_environment(str(config.model_options.get("device", "auto")))


def _last_state(folder: RunFolder) -> State | None:
    """Return the newest training state that can be read, or None where none was kept."""
    newest = CheckpointFolder(folder.checkpoints).newest_good(lambda sentence: say(f"warning: {sentence}"))
    return None if newest is None else newest[1]


def _announcement(config: RunConfig, inputs: Inputs) -> str:
    """Return what is trained on what, as the first line that a user reads."""
    events, conditions, weights = inputs.source.events, inputs.source.conditions, inputs.source.weights
    shape = " x ".join(map(str, events.event_shape)) + " values each"
    if events.schema.is_set:
        shape = f"sets of at most {events.event_shape[0]} particles with {', '.join(events.names[:-1])}"
    text = (
        f"{config.model_name} on {config.data}: {len(inputs.train):,} rows to train on, {len(inputs.held_out):,} held "
        f"out, {shape}"
    )
    if conditions is not None and not conditions.schema.is_table:
        text += f"; conditioned on images of {' x '.join(map(str, conditions.event_shape))}"
    elif conditions is not None:
        columns = conditions.schema.columns
        kinds = [f"{c.name} ({f'{len(c.levels)} levels' if c.levels else c.kind})" for c in columns]
        text += f"; conditioned on {', '.join(kinds)}"
    others = str(events.provenance.get("columns_of_the_sets", ""))
    unused = [name for name in filter(None, others.split(", ")) if conditions is None or name not in conditions.names]
    if unused:
        text += f"; left out are the columns of the sets {', '.join(unused)}, unless --condition names them"
    if "memory_map" in events.provenance:
        text += f"; unpacked once into {events.provenance['memory_map']}, from which it is read"
    if weights is not None:
        negative = int((weights < 0).sum())
        text += "; weighted" + (f", {negative:,} of them negatively" if negative else "")
    return text
