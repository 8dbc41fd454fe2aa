"""A run from start to end, and its resumption: the stages in order, around one folder.

start    check the input, train, then sample, validate and report
resume   carry on where the folder stands; training goes on bit for bit as if never interrupted
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from reverie.core.errors import CheckpointError, InputError, ReverieError, ShortChainError
from reverie.data import Dataset
from reverie.data.sinks import check_room
from reverie.experiment import stages as stage
from reverie.experiment.config import RunConfig, format_duration, model_class, parse_duration
from reverie.experiment.drawing import bytes_of_event
from reverie.experiment.folder import RunFolder, check_new, write_json, write_text
from reverie.experiment.info import environment
from reverie.experiment.inputs import LEAST_ROWS, Inputs, load_inputs
from reverie.experiment.progress import say
from reverie.scale.distributed import Distributed, runtime_from_environment
from reverie.training import CheckpointFolder
from reverie.validation import ValidationResult

__all__ = ["ALL_STAGES", "make_model", "resume", "rewrite_report", "start", "validate_run"]

ALL_STAGES = ("fit", "sample", "validate", "report")
_COMPILES_FROM = 120.0  # seconds of training
_ENDINGS = {
    "equilibrium": "training ended at step {step:,}: equilibrium, and the held-out score no longer improves",
    "alarm": "training ended at step {step:,} by an alarm; history.jsonl holds it",
}


def make_model(config: RunConfig) -> Any:
    """Return the unfitted model of `config`."""
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in config.model_options.items()}
    return model_class(config.model_name)(**options, random_state=config.seed)


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
    config, runtime = _within_budget(config), _runtime(config)
    with runtime or nullcontext():
        if runtime is not None and runtime.rank > 0:
            stage.help_to_fit(make_model(config), load_inputs(config), runtime)
            return 0
        return _started(config, Path(out), stages, runtime, overwrite=overwrite, quiet=quiet, command=command)


def _started(
    config: RunConfig,
    out: Path,
    stages: Sequence[str],
    runtime: Distributed | None,
    *,
    overwrite: bool,
    quiet: bool,
    command: str,
) -> int:
    check_new(out, overwrite=overwrite)
    is_judged = "validate" in stages and not config.no_validate
    if is_judged and config.n_samples is not None and config.n_samples < LEAST_ROWS:
        raise InputError(
            f"Expected --n-samples of at least {LEAST_ROWS} for a validation, got {config.n_samples}. Give more, or "
            "leave the verdict out with --no-validate."
        )
    inputs, model = load_inputs(config), make_model(config)
    if "sample" in stages and config.n_samples is not None:
        check_room(out / f"samples.{config.samples_format}", config.n_samples, bytes_of_event(inputs.source.schema))
    with ExitStack() as held:

        def open_folder() -> RunFolder:
            _announce(config, inputs, quiet=quiet)
            folder = RunFolder.create(out, config=config.to_yaml(), command=command, overwrite=overwrite)
            held.enter_context(folder.lock())
            folder.remove_leftovers()
            write_json(folder / "environment.json", environment(device=str(model.device_)))
            write_json(folder / "resolved.json", model.resolved_)
            write_json(folder / "data.json", inputs.to_json())
            write_json(folder / "status.json", {"stages": list(stages)})
            return folder

        trained = stage.fit(model, inputs, config, open_folder, quiet=quiet, runtime=runtime)
        _tell_ending(trained, quiet=quiet)
        return _after_training(RunFolder(out), config, inputs, trained, stages, quiet=quiet)


def resume(folder: str | Path, *, max_time: str | None = None, quiet: bool = False) -> int:
    """Carry on the run in `folder`; return the exit code.

    Parameters
    ----------
    folder : the run folder.
    max_time : new budget for training over all sessions together; also takes up training that ended at its budget.
    quiet : show no progress.

    Raises
    ------
    CheckpointError
        When the state is corrupt or foreign, or the data have changed.
    """
    run = RunFolder(folder)
    config = RunConfig.from_yaml(run / "config.yaml")
    if max_time is not None:
        config = replace(config, max_time=max_time)
    runtime = _runtime(config)
    with runtime or nullcontext():
        if runtime is not None and runtime.rank > 0:
            if not run.is_trained:
                stage.help_to_fit(make_model(config), load_inputs(config), runtime, _last_state(run))
            return 0
        return _carried_on(run, config, max_time, runtime, quiet=quiet)


def _carried_on(
    run: RunFolder, config: RunConfig, max_time: str | None, runtime: Distributed | None, *, quiet: bool
) -> int:
    with run.lock():
        run.remove_leftovers()
        status = run.read_json("status.json", {})
        wanted = status.get("stages", list(ALL_STAGES))
        inputs = load_inputs(config)
        inputs.check_same(run.read_json("data.json"))
        ended = status.get("training") if run.is_trained else None
        trained = None if ended is None else stage.Trained.from_json(ended)
        if trained is None or _has_time_again(trained, config, max_time):
            trained = _train_on(run, config, inputs, runtime, quiet=quiet)
        elif not _missing(run, wanted, config, inputs):
            say(f"{run.path} is complete: {trained.step:,} steps, ended by {trained.ended_by}.", quiet=quiet)
        return _after_training(run, config, inputs, trained, wanted, quiet=quiet)


def rewrite_report(folder: RunFolder) -> Path:
    """Write the report of `folder` anew and return its path."""
    config, inputs = _recorded(folder)
    with folder.lock():
        stage.report(folder, config, inputs)
    return folder / "report.html"


def validate_run(
    folder: str | Path, *, max_time: str | None = None, executor: Executor | None = None, quiet: bool = False
) -> ValidationResult:
    """Compare the samples of a run with its held-out data anew, rewrite validation and report, return the result.

    Samples that are not there yet are drawn first.

    Parameters
    ----------
    max_time : most time for it; None takes that of the run, see `RunConfig`.
    executor : who shares the tests, see `reverie.validate`.
    quiet : show no progress.

    Raises
    ------
    InputError
        For events of negative weight, which cannot be validated, and for a run whose training has not ended.
    """
    run = RunFolder(folder)
    config, inputs = _recorded(run)
    with run.lock():
        if not run.is_trained:
            raise InputError(stage.missing(run, config, inputs))
        if run.samples is None:
            stage.sample(run, config, inputs)
        result = stage.validation(run, config, inputs, max_time=max_time, executor=executor, quiet=quiet)
        stage.report(run, config, inputs)
    return result


def _recorded(run: RunFolder) -> tuple[RunConfig, Inputs]:
    """Return the configuration of a run and its data, which must be what they were."""
    config = RunConfig.from_yaml(run / "config.yaml")
    inputs = load_inputs(config)
    inputs.check_same(run.read_json("data.json"))
    return config, inputs


def _within_budget(config: RunConfig) -> RunConfig:
    """Return `config`, without compiled steps where the budget would go into the compiler; resumption keeps to it."""
    budget = parse_duration(config.max_time)
    if budget is None or budget >= _COMPILES_FROM or config.model_options.get("compile", "auto") != "auto":
        return config
    return replace(config, model={**config.model, "compile": False})


def _runtime(config: RunConfig) -> Distributed | None:
    """Return the processes of a launcher such as torchrun, or None where there is none."""
    return runtime_from_environment(str(config.model_options.get("device", "auto")))


def _last_state(run: RunFolder) -> dict[str, Any] | None:
    """Return the newest training state that can be read, or None where none was kept."""
    found = CheckpointFolder(run.checkpoints).newest_good(lambda sentence: say(f"warning: {sentence}"))
    return None if found is None else found[1]


def _train_on(
    run: RunFolder, config: RunConfig, inputs: Inputs, runtime: Distributed | None, *, quiet: bool
) -> stage.Trained:
    state = _last_state(run)
    step = 0 if state is None else int(state["step"])
    history = [record for record in run.history() if record["step"] <= step]
    spent = history[-1].get("seconds", 0.0) if history else 0.0
    say(f"carrying on at step {step:,} after {format_duration(spent)} of training", quiet=quiet)

    goes_on = False

    def open_folder() -> RunFolder:  # once the state has proved good: until then the folder stays as it is
        nonlocal goes_on
        goes_on = True
        run.truncate_history(step - stage.n_open_steps(state))
        run.forget_results()
        write_text(run / "config.yaml", config.to_yaml())
        return run

    options: Any = {"state": state, "spent": spent, "quiet": quiet, "runtime": runtime}
    try:
        trained = stage.fit(make_model(config), inputs, config, open_folder, **options)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        if goes_on or state is None or isinstance(error, ReverieError):
            raise
        raise CheckpointError(
            f"Expected a training state of this configuration in {str(run.checkpoints)!r}, got one that does not fit "
            f"({type(error).__name__}). Restore the folder from a copy, or train anew with --overwrite."
        ) from error
    _tell_ending(trained, quiet=quiet)
    return trained


def _has_time_again(trained: stage.Trained, config: RunConfig, max_time: str | None) -> bool:
    budget = parse_duration(config.max_time)
    return max_time is not None and trained.ended_by == "max_time" and budget is not None and budget > trained.seconds


def _missing(run: RunFolder, wanted: Sequence[str], config: RunConfig, inputs: Inputs) -> list[str]:
    """Return the stages after training whose output is not there yet."""
    is_judged = not (inputs.unvalidated or config.no_validate)
    there = {
        "fit": True,
        "sample": run.samples is not None,
        "validate": (run / ("validation.json" if is_judged else "assessment.json")).is_file(),
        "report": (run / "report.html").is_file(),
    }
    return [name for name in ALL_STAGES if name in wanted and not there[name]]


def _after_training(
    run: RunFolder,
    config: RunConfig,
    inputs: Inputs,
    trained: stage.Trained,
    wanted: Sequence[str],
    *,
    quiet: bool,
) -> int:
    if trained.ended_by == "interrupted":
        say(f"Stopped at step {trained.step:,}; the state is saved. Carry on: reverie resume {run.path}")
        return 130
    try:
        _complete(run, config, inputs, wanted, quiet=quiet)
    except KeyboardInterrupt:
        say(f"Stopped; the trained model is saved. Carry on: reverie resume {run.path}")
        return 130
    if (run / "report.html").is_file():
        print(f"report: {run / 'report.html'}")
    else:
        print(f"model: {run / 'model'}")
    return 0


def _complete(run: RunFolder, config: RunConfig, inputs: Inputs, wanted: Sequence[str], *, quiet: bool) -> None:
    if inputs.unvalidated and "validate" in wanted:
        say(inputs.unvalidated, quiet=quiet)
    for name in _missing(run, wanted, config, inputs):
        if name == "sample":
            stage.sample(run, config, inputs, quiet=quiet)
        elif name == "validate":
            found = stage.assessment(run, config, inputs)
            if found:
                print(found)
            if not (inputs.unvalidated or config.no_validate):
                say("validating: generated against held-out data, real against real beside it", quiet=quiet)
                try:
                    print(stage.validation(run, config, inputs, quiet=quiet))
                except ShortChainError as error:  # the trained run stands without a verdict
                    say(str(error), quiet=quiet)
        elif name == "report":
            stage.report(run, config, inputs)


def _tell_ending(trained: stage.Trained, *, quiet: bool) -> None:
    if trained.ended_by in _ENDINGS:
        say(_ENDINGS[trained.ended_by].format(step=trained.step), quiet=quiet)


def _announce(config: RunConfig, inputs: Inputs, *, quiet: bool) -> None:
    events, conditions = inputs.source.events, inputs.source.conditions
    shape = " x ".join(map(str, events.event_shape))
    train, held_out = len(inputs.train), len(inputs.held_out)
    text = (
        f"{config.model_name} on {config.data}: {train:,} rows to train on, {held_out:,} held out, {shape} values each"
    )
    if conditions is not None:
        text += f"; conditioned on {_conditions_text(conditions)}"
    if "memory_map" in events.provenance:
        text += f"; unpacked once into {events.provenance['memory_map']}, from which it is read"
    if inputs.source.weights is not None:
        negative = int((inputs.source.weights < 0).sum())
        text += "; weighted" + (f", {negative:,} of them negatively" if negative else "")
    say(text, quiet=quiet)


def _conditions_text(conditions: Dataset) -> str:
    if not conditions.schema.is_table:
        return f"images of {' x '.join(map(str, conditions.event_shape))}"
    kinds = [f"{len(c.levels)} levels" if c.levels else c.kind for c in conditions.schema.columns]
    return ", ".join(f"{c.name} ({kind})" for c, kind in zip(conditions.schema.columns, kinds, strict=True))
