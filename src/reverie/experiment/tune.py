"""The search for good options of a model, by any number of processes that work in one folder.

The rows are split in three. Trials learn the first part and are judged by the second (`reverie.experiment.yardstick`),
which chooses the winner and therefore flatters it. The third is the held-out part of the run that `best.yaml`
describes; no trial sees it. Winner and default are trained anew on the first two parts, with the same few seeds, and
quoted on the third, side by side.

Trial 0 is the default. Trial i trains with the seed ``child_seed(seed, "trial", i)``. What one process does stands in
`reverie.experiment.tune_session`, how they share the work in `reverie.experiment.study`.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from reverie.core.checks import check_positive
from reverie.core.errors import InputError, ReverieError, TrainingError
from reverie.core.streams import lenient_streams
from reverie.experiment.config import RunConfig, model_class
from reverie.experiment.inputs import Inputs, load_inputs
from reverie.experiment.progress import say
from reverie.experiment.search_space import search_space
from reverie.experiment.study import optuna_library
from reverie.experiment.training import Interrupt
from reverie.experiment.tune_folder import StudySettings, forget_study, open_study_folder, read_settings
from reverie.experiment.tune_results import best_slot, write_results
from reverie.experiment.tune_session import Session
from reverie.experiment.workers import Worker
from reverie.experiment.yardstick import resolved_kind, split_off
from reverie.training.runtime import thread_limit

__all__ = ["tune", "work_in"]

_PATIENCE = 5.0  # seconds until a helper is told to end
_SPAWN = "import sys; from reverie.experiment.tune import work_in; sys.exit(work_in(*sys.argv[1:]))"


def tune(
    config: RunConfig,
    out: str | Path,
    *,
    trials: int = 30,
    workers: int = 1,
    space: str | None = None,
    by: str = "auto",
    tune_fraction: float = 0.25,
    repeats: int = 3,
    prune: bool = True,
    overwrite: bool = False,
    quiet: bool = False,
    command: str = "",
) -> int:
    """Search for better options than those of `config`; write the winner and a page; return the exit code.

    Called again it goes on to `trials`; called in several processes at once, these share the work.

    Parameters
    ----------
    config : the default: data, split, seed and model.
    out : folder of the study.
    trials : how many configurations are tried in all, the default among them.
    workers : processes, this one among them.
    space : options to search, see `reverie.experiment.search_space`; None takes those that matter for the model.
    by : what judges: "likelihood", "samples", or "auto": the first for models that know log p.
    tune_fraction : part of the training rows that judges the trials.
    repeats : trainings of winner and default that are quoted.
    prune : whether trials that lag behind are stopped.
    overwrite : whether a study that is in the folder is forgotten.
    quiet : show no progress.
    command : kept in the folder.

    Raises
    ------
    InputError, FolderError, MissingDependencyError
        Each one sentence: expected, got, what to do.
    TrainingError
        When no trial came to a finite score.
    """
    optuna_library()
    check_positive("--trials", trials, integer=True)
    check_positive("--workers", workers, integer=True)
    options = all_options(config)
    settings = StudySettings(
        run=RunConfig(**{**_as_dict(config), "model": {"name": config.model_name, **options}}),
        space=search_space(space, config.model_name, options).text,
        by=resolved_kind(by, config.model_name),
        tune_fraction=tune_fraction,
        repeats=repeats,
        prune=prune,
    )
    inputs, folder = load_inputs(settings.run), Path(out)
    split_off(inputs, tune_fraction, config.seed)
    was_there = open_study_folder(folder, settings, inputs, overwrite=overwrite, command=command)
    say(f"{'joining' if was_there else 'new'} study in {folder}: searching {settings.space}", quiet=quiet)
    try:
        is_complete = _shared_work(folder, settings, inputs, trials, workers, quiet=quiet)
    except InputError:  # the default cannot be trained
        if not was_there:
            forget_study(folder)
        raise
    print(write_results(folder, settings, inputs))
    if not is_complete:
        say("Stopped; what was tried is kept. Carry on with the same command.")
    return 0 if is_complete else 130


@lenient_streams()
def work_in(folder: str, trials: str, quiet: str, threads: str) -> int:
    """Take part in the study in `folder` until it is complete; what a helper process runs."""
    asked = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one hears it, and says so
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    torch.set_num_threads(int(threads))
    try:
        settings = read_settings(Path(folder))
        inputs = load_inputs(settings.run)
        work(Path(folder), settings, inputs, int(trials), stop=asked.is_set, quiet=bool(int(quiet)))
    except ReverieError as error:
        say(f"error in a helper process: {error}")
        return 1
    return 0


def work(
    folder: Path, settings: StudySettings, inputs: Inputs, trials: int, *, stop: Callable[[], bool], quiet: bool
) -> bool:
    """Take tasks of the study in `folder` until there are none; return False when `stop` asked to end."""
    with Worker(folder) as worker:
        session = Session(folder, settings, inputs, worker, stop=stop, quiet=quiet)
        if not session.drain(session.study, trials, session.try_out):
            return False
        best = best_slot(session.study.slots())
        if best is None:
            raise TrainingError(
                f"Expected a finite score of some trial, got none in {trials}. Lower the learning rates in --space, or "
                "look for extreme values in the data.",
                step=0,
            )
        return all(
            session.drain(session.quotes(slot), settings.repeats, partial(session.quote, slot=slot))
            for slot in dict.fromkeys((best.number, 0))
        )


def all_options(config: RunConfig) -> dict[str, Any]:
    """Return the options of the model of `config`, with the defaults of those that it does not name."""
    defaults = model_class(config.model_name)().get_params(deep=False)
    known = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
    return {key: value for key, value in (known | config.model_options).items() if key != "random_state"}


def _shared_work(
    folder: Path, settings: StudySettings, inputs: Inputs, trials: int, workers: int, *, quiet: bool
) -> bool:
    """Do what `work` does, with helpers, until all is done or a person wants to stop."""
    with Interrupt() as interrupt, thread_limit(_threads(workers)):

        def stop() -> bool:
            return interrupt.requested

        with _helpers(folder, trials, workers, stop=stop, quiet=quiet):
            return work(folder, settings, inputs, trials, stop=stop, quiet=quiet)


@contextmanager
def _helpers(folder: Path, trials: int, workers: int, *, stop: Callable[[], bool], quiet: bool) -> Iterator[None]:
    """Let `workers` - 1 further processes take part; they end with this one."""
    arguments = [str(folder), str(trials), str(int(quiet)), str(_threads(workers))]
    helpers = [subprocess.Popen([sys.executable, "-P", "-c", _SPAWN, *arguments]) for _ in range(workers - 1)]
    try:
        yield
        for helper in helpers:
            with suppress(subprocess.TimeoutExpired):  # they see themselves that all is done
                helper.wait(timeout=0 if stop() else _PATIENCE)
    except KeyboardInterrupt:
        for helper in helpers:
            helper.kill()
        raise
    finally:
        for helper in helpers:
            helper.terminate()
        for helper in helpers:
            helper.wait()


def _threads(workers: int) -> int:
    most = torch.get_num_threads()
    return most if workers == 1 else max(1, min(most, (os.cpu_count() or 1) // workers))


def _as_dict(config: RunConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}
