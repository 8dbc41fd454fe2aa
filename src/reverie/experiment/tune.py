"""The search for good options of a model, by any number of processes that work in one folder.

The rows are split in three. Trials learn the first part and are scored on the second, which chooses the winner and
therefore flatters it (`reverie.experiment.tune_scores`). The third is the held-out part of the run that `best.yaml`
describes; no trial sees it. Winner and default are trained anew on the first two parts, with the same few seeds, and
quoted on the third, side by side.

Trial 0 is the default. Trial i trains with the seed ``child_seed(seed, "trial", i)``. What one process does stands in
`reverie.experiment.tune`, how they share the work in `reverie.experiment.tune_study`.
"""

import math
import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from reverie.core.checks import check_positive
from reverie.core.errors import InputError, ReverieError, TrainingError
from reverie.core.random import child_seed
from reverie.core.streams import lenient_streams
from reverie.experiment.config import RunConfig, all_options, format_duration, parse_duration
from reverie.experiment.inputs import Inputs, Part, load_inputs
from reverie.experiment.progress import say
from reverie.experiment.run import make_model
from reverie.experiment.search_space import SearchSpace, search_space
from reverie.experiment.training import Interrupt, start_of
from reverie.experiment.tune_folder import (
    StudySettings,
    best_slot,
    configured,
    forget_study,
    open_study_folder,
    trial_entry,
    write_results,
)
from reverie.experiment.tune_scores import HeldOutScore, Scored, resolved_criterion, split_off
from reverie.experiment.tune_study import Study, Task, Worker, optuna_library
from reverie.report.tuning import options_text, score_text
from reverie.scale.executors import available_cores
from reverie.training import Record
from reverie.training.threads import thread_limit

__all__ = ["Session", "tune", "work", "work_in"]

_WAIT = 0.5  # seconds between two looks at what others do
_PATIENCE = 5.0  # seconds until a helper is told to end
_RESCALING = (  # options under which the losses of a training do not compare with those of another
    "max_steps", "preprocessing", "whiten", "observables", "likelihood", "decoder_variance", "beta", "n_importance",
    "visible", "validation_fraction", "dynamic_binarisation", "noise", "method", "ensemble", "n_replicas", "bootstrap",
)  # fmt: skip


class Session:
    """The part of one process in a study.

    Parameters
    ----------
    folder, settings, inputs : The study: its folder, its settings and its data.
    worker : Sign of life of this process.
    stop : Called after every step of training; where it returns true, the task at hand is given back.
    quiet : Whether to show no progress.
    """

    def __init__(
        self,
        folder: Path,
        settings: StudySettings,
        inputs: Inputs,
        worker: Worker,
        *,
        stop: Callable[[], bool],
        quiet: bool,
    ) -> None:
        self.folder, self.settings, self.inputs, self.worker = folder, settings, inputs, worker
        self.config, self.seed = settings.run, settings.run.seed
        self.stop, self.quiet = stop, quiet
        self.base = self.config.model_options
        self.space: SearchSpace = search_space(settings.space, self.config.model_name, self.base)
        self.learnt, self._judged = split_off(inputs, settings.tune_fraction, self.seed)
        self.prunes = settings.prune and not set(self.space.options) & set(_RESCALING)
        self.study = Study(
            folder,
            "trials",
            worker=worker,
            seed=self.seed,
            suggest=lambda trial, number: self.space.suggest(trial, None if number else self.base),
            first=self.space.encoded(self.base),
            warm_up=int(self.base["max_steps"]) // 3,
        )

    @cached_property
    def trial_score(self) -> HeldOutScore:
        """The score that the trials are compared by."""
        return self._held_out_score(self.learnt, self._judged, "tuning")

    @cached_property
    def quoted_score(self) -> HeldOutScore:
        """The score that is quoted, on events that no trial sees."""
        return self._held_out_score(self.inputs.train, self.inputs.held_out, "quote")

    def drain(self, study: Study, n: int, run: Callable[[Task], None]) -> bool:
        """Run tasks of `study` until `n` have ended, here or elsewhere; return False when asked to stop."""
        waits = False
        while not self.stop():
            task = study.claim(n)
            if task is not None:
                run(task)
            elif study.is_done(n):
                return True
            else:
                if not waits:
                    say("waiting for what other processes are at work on", quiet=self.quiet)
                waits = True
                time.sleep(_WAIT)
        return False

    def try_out(self, task: Task) -> None:
        """Train and judge the configuration of a trial, and write down how it ended."""
        values = dict(task.values) if task.number else {}
        notes: dict[str, Any] = {"options": values}
        began, scored = time.monotonic(), None
        seed = child_seed(self.seed, "trial", task.number)
        try:
            end, scored = self._trained(values, self.learnt, seed, self.trial_score, task)
        except TrainingError as error:
            end, notes["why"] = "done", str(error)
        except (InputError, MemoryError, torch.OutOfMemoryError) as error:
            if task.number == 0:
                self.study.tell(task, "given back")
                raise
            end, notes["why"] = "failed", str(error)
        if end == "given back":
            self.study.tell(task, end)
            return
        notes["seconds"] = round(time.monotonic() - began, 1)
        if scored is not None and math.isfinite(scored.value):
            notes["error"] = scored.error
            scored.save(self.folder / "scores" / f"{task.number}.npz")
            self.study.tell(task, end, scored.value, **notes)
        elif end == "done":
            self.study.tell(task, end, math.inf, **{"why": "The score is not finite.", **notes})
        else:
            self.study.tell(task, end, **notes)
        slots = self.study.slots()
        best, mine = best_slot(slots), next((slot for slot in slots if slot.number == task.number), None)
        if mine is None:  # others took this process for dead
            return
        n_ended, entry = sum(slot.state != "running" for slot in slots), trial_entry(mine)
        outcome = score_text(entry, self.settings.by)
        if best is not None and task.number == best.number:
            outcome += ", the best so far"
        took = format_duration(notes["seconds"])
        say(f"trial {task.number}: {options_text(entry)}: {outcome} ({took}; {n_ended} ended)", quiet=self.quiet)

    def quote(self, task: Task, *, slot: int, study: Study) -> None:
        """Train the configuration of a trial anew and judge it by events that no trial sees."""
        values = next(s for s in self.study.slots() if s.number == slot).notes["options"]
        name = "the default" if slot == 0 else f"trial {slot}"
        say(f"training {name} anew, {task.number + 1} of {self.settings.repeats}", quiet=self.quiet)
        seed = child_seed(self.seed, "quote", task.number)
        try:
            end, scored = self._trained(dict(values), self.inputs.train, seed, self.quoted_score)
        except TrainingError as error:
            study.tell(task, "done", math.inf, why=str(error))
            return
        if scored is None:
            study.tell(task, end)
            return
        scored.save(self.folder / "quotes" / f"{slot}-{task.number}.npz")
        study.tell(task, end, scored.value if math.isfinite(scored.value) else math.inf)

    def _trained(
        self, values: Mapping[str, object], part: Part, seed: int, score: HeldOutScore, task: Task | None = None
    ) -> tuple[str, Scored | None]:
        """Train a model with other options on `part`; return "done" with its score, "stopped" or "given back"."""
        model = make_model(configured(self.config, self.base | dict(values), seed=seed))
        budget, began = parse_duration(self.config.max_time), time.monotonic()

        def is_over() -> bool:
            return self.stop() or (budget is not None and time.monotonic() - began >= budget)

        training: Any = model.iter_fit(part.events, part.conditions, stop=is_over, **start_of(self.config.start))
        with closing(training) as records:
            for record in records:
                lags = task is not None and self._lags(task, record, model.n_steps)
                if self.stop() or lags:
                    return "given back" if self.stop() else "stopped", None
        return "done", score.of(model)

    def _lags(self, task: Task, record: Record, max_steps: int) -> bool:
        """Tell whether a trial is worse than half of the others at this step; the default never is."""
        loss = record.scalars.get("held_out_loss", record.scalars.get("score"))
        if not self.prunes or loss is None or not math.isfinite(loss) or record.step >= max_steps:
            return False
        return task.is_worse(loss, record.step) and task.number > 0

    def _held_out_score(self, learnt: Part, judged: Part, name: str) -> HeldOutScore:
        seed = child_seed(self.seed, "yardstick", name)
        return HeldOutScore(self.settings.by, self.config, self.inputs, learnt, judged, seed=seed)


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

    Raises `InputError`, `FolderError` or `MissingDependencyError` for what cannot be searched, and `TrainingError` when
    no trial came to a finite score.

    Parameters
    ----------
    config, out : Configuration of the default (data, split, seed and model), and the folder of the study.
    trials, workers, space, by, tune_fraction, repeats, prune, overwrite, quiet : The options of `reverie tune`.
    command : Command line, which is kept in the folder.
    """
    optuna_library()
    check_positive("--trials", trials, integer=True)
    check_positive("--workers", workers, integer=True)
    options = all_options(config)
    settings = StudySettings(
        run=replace(config, model={"name": config.model_name, **options}),
        space=search_space(space, config.model_name, options).text,
        by=resolved_criterion(by, config),
        tune_fraction=tune_fraction,
        repeats=repeats,
        prune=prune,
    )
    inputs, folder = load_inputs(settings.run), Path(out)
    split_off(inputs, tune_fraction, config.seed)
    was_there = open_study_folder(folder, settings, inputs, overwrite=overwrite, command=command)
    say(f"{'joining' if was_there else 'new'} study in {folder}: searching {settings.space}", quiet=quiet)
    try:
        with Interrupt() as interrupt, thread_limit(_threads(workers)):
            stop = partial(getattr, interrupt, "requested")
            with _helpers(folder, trials, workers, stop=stop, quiet=quiet):
                is_complete = work(folder, settings, inputs, trials, stop=stop, quiet=quiet)
    except InputError:  # the default cannot be trained
        if not was_there:
            forget_study(folder)
        raise
    print(write_results(folder, settings, inputs))
    if not is_complete:
        say("Stopped; what was tried is kept. Carry on with the same command.")
    return 0 if is_complete else 130


@lenient_streams()
def work_in(folder: Path, trials: int, n_threads: int, *, quiet: bool) -> None:
    """Take part in the study in `folder` until it is complete; what a helper process runs."""
    stop_requested = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one hears it, and says so
    signal.signal(signal.SIGTERM, lambda *_: stop_requested.set())
    torch.set_num_threads(n_threads)
    try:
        settings = StudySettings.of(folder)
        inputs = load_inputs(settings.run)
        work(folder, settings, inputs, trials, stop=stop_requested.is_set, quiet=quiet)
    except ReverieError as error:
        say(f"error in a helper process: {error}")
        sys.exit(1)


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
        for slot in dict.fromkeys((best.number, 0)):
            quotes = Study(folder, f"quotes of {slot}", worker=worker, seed=session.seed)
            if not session.drain(quotes, settings.repeats, partial(session.quote, slot=slot, study=quotes)):
                return False
        return True


@contextmanager
def _helpers(folder: Path, trials: int, workers: int, *, stop: Callable[[], bool], quiet: bool) -> Iterator[None]:
    """Let `workers` - 1 further processes take part, to the end of the block or a Ctrl-C.

    A kill of this process does not end them: they finish the study, which others may take part in too. No pool, of
    which one process that dies, for want of memory say, would end the others.
    """
    spawn, arguments = multiprocessing.get_context("spawn"), (folder, trials, _threads(workers))
    helpers = [spawn.Process(target=work_in, args=arguments, kwargs={"quiet": quiet}) for _ in range(workers - 1)]
    for helper in helpers:
        helper.start()
    try:
        yield
        for helper in helpers:
            helper.join(0 if stop() else _PATIENCE)  # they see themselves that all is done
    except KeyboardInterrupt:
        for helper in helpers:
            helper.kill()
        raise
    finally:
        for helper in helpers:
            helper.terminate()
        for helper in helpers:
            helper.join()


def _threads(workers: int) -> int:
    most = torch.get_num_threads()
    return most if workers == 1 else max(1, min(most, available_cores() // workers))
