"""One process at work on a study: it claims trials, trains and judges them, then the trainings that are quoted.

A training that diverges, or is stopped by the median rule, is a result like any other, and so is one that cannot be
done; the default alone must be possible.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from reverie.core.errors import InputError, TrainingError
from reverie.core.random import child_seed
from reverie.experiment.config import format_duration, parse_duration
from reverie.experiment.inputs import Inputs, Part
from reverie.experiment.progress import say
from reverie.experiment.run import make_model
from reverie.experiment.search_space import SearchSpace, search_space
from reverie.experiment.study import Study, Task
from reverie.experiment.tune_folder import StudySettings
from reverie.experiment.tune_results import best_slot, configured, trial_entry
from reverie.experiment.tune_scores import Scored
from reverie.experiment.workers import Worker
from reverie.experiment.yardstick import Yardstick, split_off
from reverie.report.tuning_words import options_text, score_text

__all__ = ["Session"]

_WAIT = 0.5  # seconds between two looks at what others do
_RESCALING = (  # options under which the losses of a training do not compare with those of another
    "max_steps", "preprocessing", "whiten", "observables", "likelihood", "decoder_variance", "beta", "n_importance",
    "visible", "validation_fraction", "dynamic_binarisation", "noise", "method", "ensemble", "n_replicas",
)  # fmt: skip


class Session:
    """The part of one process in a study.

    Parameters
    ----------
    folder, settings, inputs : of the study.
    worker : sign of life of this process.
    stop : asked after every step of training; when true, the task at hand is given back.
    quiet : show no progress.
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
    def yardstick(self) -> Yardstick:
        """What judges the trials."""
        return self._yardstick(self.learnt, self._judged, "tuning")

    @cached_property
    def quoting(self) -> Yardstick:
        """What is quoted: events that no trial sees."""
        return self._yardstick(self.inputs.train, self.inputs.held_out, "quote")

    def quotes(self, slot: int) -> Study:
        """Return the trainings of the configuration of a trial that are quoted."""
        return Study(self.folder, f"quotes of {slot}", worker=self.worker, seed=self.seed)

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
        """Train and judge the configuration of a trial."""
        values = dict(task.values) if task.number else {}
        notes: dict[str, Any] = {"options": values}
        began = time.monotonic()
        try:
            model, end = self._trained(
                self.base | values, self.learnt, child_seed(self.seed, "trial", task.number), task
            )
            scored = self.yardstick.score(model) if end == "trained" else None
        except TrainingError as error:
            scored, end, notes["why"] = None, "diverged", str(error)
        except (InputError, MemoryError, torch.OutOfMemoryError) as error:
            if task.number == 0:
                task.give_back()
                raise
            scored, end, notes["why"] = None, "failed", str(error)
        notes["seconds"] = round(time.monotonic() - began, 1)
        self._end(task, end, scored, notes)

    def quote(self, task: Task, *, slot: int) -> None:
        """Train the configuration of a trial anew and judge it by events that no trial sees."""
        values = next(s for s in self.study.slots() if s.number == slot).notes["options"]
        name = "the default" if slot == 0 else f"trial {slot}"
        say(f"training {name} anew, {task.number + 1} of {self.settings.repeats}", quiet=self.quiet)
        try:
            seed = child_seed(self.seed, "quote", task.number)
            model, end = self._trained(self.base | dict(values), self.inputs.train, seed)
            scored = self.quoting.score(model) if end == "trained" else None
        except TrainingError as error:
            task.done(math.inf, why=str(error))
            return
        if scored is None:
            task.give_back()
            return
        scored.save(self.folder / "quotes" / f"{slot}-{task.number}.npz")
        value = scored.value if math.isfinite(scored.value) else math.inf
        task.done(value)

    def _end(self, task: Task, end: str, scored: Scored | None, notes: dict[str, Any]) -> None:
        """Tell how a trial ended, in the journal and on the screen."""
        if end == "interrupted":
            task.give_back()
            return
        if scored is not None and math.isfinite(scored.value):
            notes["error"] = scored.error
            scored.save(self.folder / "scores" / f"{task.number}.npz")
            task.done(scored.value, **notes)
        elif end in ("stopped", "failed"):
            (task.stopped if end == "stopped" else task.failed)(**notes)
        else:
            task.done(math.inf, **{"why": "The score is not finite.", **notes})
        self._tell(task.number, notes)

    def _tell(self, number: int, notes: Mapping[str, Any]) -> None:
        slots = self.study.slots()
        best, mine = best_slot(slots), next((slot for slot in slots if slot.number == number), None)
        if mine is None:  # others took this process for dead
            return
        n_ended, told = sum(slot.state != "running" for slot in slots), trial_entry(mine)
        outcome = score_text(told, self.settings.by)
        if best is not None and number == best.number:
            outcome += ", the best so far"
        took = format_duration(notes["seconds"])
        say(f"trial {number}: {options_text(told)}: {outcome} ({took}; {n_ended} ended)", quiet=self.quiet)

    def _trained(self, options: Mapping[str, Any], part: Part, seed: int, task: Task | None = None) -> tuple[Any, str]:
        """Return a model trained on `part`, and how it ended: "trained", "stopped" or "interrupted"."""
        model = make_model(configured(self.config, options, seed=seed))
        budget, began = parse_duration(self.config.max_time), time.monotonic()

        def is_over() -> bool:
            return self.stop() or (budget is not None and time.monotonic() - began >= budget)

        training: Any = model.iter_fit(part.events, part.conditions, stop=is_over)
        with closing(training) as records:
            for record in records:
                lags = task is not None and self._lags(task, record, model.max_steps)
                if self.stop() or lags:
                    return model, "interrupted" if self.stop() else "stopped"
        return model, "trained"

    def _lags(self, task: Task, record: Any, max_steps: int) -> bool:
        """Tell whether a trial is worse than half of the others at this step; the default never is."""
        loss = record.scalars.get("held_out_loss", record.scalars.get("score"))
        if not self.prunes or loss is None or not math.isfinite(loss) or record.step >= max_steps:
            return False
        return task.is_worse(loss, record.step) and task.number > 0

    def _yardstick(self, learnt: Part, judged: Part, name: str) -> Yardstick:
        seed = child_seed(self.seed, "yardstick", name)
        return Yardstick(self.settings.by, self.config, self.inputs, learnt, judged, seed=seed)
