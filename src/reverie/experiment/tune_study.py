"""Numbered tasks that any number of processes take from one journal file, through Optuna.

A study has slots 0, 1, 2, ... A process claims the first slot that nobody has done or is at work on, and writes down
how it ended. What is known is one line after another in the journal (Optuna's `JournalFileBackend`), so nothing that
was written is lost by a crash, and a study goes on where it stands. A slot whose process has died is given to another
one, with the same proposal, until three have died of it.

Proposals come from the tree-structured Parzen estimator (Bergstra et al. 2011). Its seed is made of the root and the
number of the slot, so that one process makes the same study again, in one session or in several.

    done       a finite score, or inf where training diverged: the sampler learns from both
    stopped    by the median rule: worse at some check than half of the others at the same step
    failed     could not be tried at all, such as a batch larger than the data; the sampler learns nothing from it

Each process keeps a file ``workers/HOST.PID.HEX`` that it holds a lock on and touches every few seconds. A process
that ends badly, even by ``kill -9``, loses its lock at once, which others on its machine see; on other machines, where
locks may not reach, it is taken for dead when its file has not been touched for two minutes.
"""

import math
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from reverie.core.errors import InputError, MissingDependencyError
from reverie.core.random import child_seed
from reverie.core.typed_files import rebuilt
from reverie.experiment.folder import lock_file

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

__all__ = ["Slot", "Study", "Task", "Worker", "is_alive", "living", "optuna_library"]

JOURNAL = "journal.jsonl"
_BEAT, _SILENCE = 10.0, 120.0  # seconds between two signs of life, and without one
_FIRST_COMPARED = 5  # finished trials before the median rule is asked
_MOST_DEATHS = 3  # of the processes that try one slot


class Worker:
    """The sign of life of this process in the ``workers`` of a shared folder, used as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.name = f"{_host()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._path = folder / "workers" / self.name
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._path.parent.mkdir(exist_ok=True)
        self._file = open(self._path, "w", encoding="utf-8")
        lock_file(self._file.fileno(), wait=True)  # one who looks whether it is free holds it for a moment
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)
        self._file.close()

    def _live(self) -> None:
        while not self._over.wait(_BEAT):
            with suppress(OSError):
                os.utime(self._path)


def is_alive(folder: Path, name: str) -> bool:
    """Tell whether the worker `name` of the `folder` still runs; one that cannot be seen may be silent for a while."""
    path = folder / "workers" / name
    try:
        with open(path, encoding="utf-8") as file:
            is_free = lock_file(file.fileno()) if name.split(".")[0] == _host() else None
            if is_free is not None:
                return not is_free
            clock = path.with_name(f".clock-{os.getpid()}")  # that of the file system may not be that of this machine
            clock.touch()
            now = clock.stat().st_mtime
            clock.unlink(missing_ok=True)
            return now - os.fstat(file.fileno()).st_mtime < _SILENCE
    except OSError:
        return False


def living(folder: Path) -> list[str]:
    """Return the names of the workers that still run."""
    names = sorted(path.name for path in (folder / "workers").glob("*.*.*") if not path.name.startswith("."))
    return [name for name in names if is_alive(folder, name)]


def _host() -> str:
    return socket.gethostname().split(".")[0] or "host"


def optuna_library() -> ModuleType:
    """Return Optuna, with its log silenced; without it a `MissingDependencyError` names the extra that installs it."""
    try:
        import optuna
    except ImportError:
        raise MissingDependencyError("optuna", "tune", "search for good options") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@dataclass(frozen=True)
class Slot:
    """What became of a task.

    Attributes
    ----------
    number : Number of the slot.
    state : "running", "done", "stopped" or "failed".
    value : Its score, small is good, inf for a training that diverged; nan unless it is done.
    notes : Facts that were written down with its end.
    """

    number: int
    state: str
    value: float
    notes: Mapping[str, Any]


@dataclass
class Task:
    """A claimed slot: its number, the proposed options (none without a search), and the trial of Optuna behind it."""

    number: int
    values: Mapping[str, object]
    trial: "Trial"
    reported: int = -1  # the last step at which a value was noted

    def is_worse(self, value: float, step: int) -> bool:
        """Note a value of the training at a step and tell whether it is worse than half of the others there."""
        if step <= self.reported:  # training went back
            return False
        self.reported = step
        self.trial.report(value, step)
        return bool(self.trial.should_prune())


class Study:
    """The slots of one study in the journal of a folder.

    Raises `MissingDependencyError` without Optuna, and `InputError` for a journal that cannot be read.

    Parameters
    ----------
    folder : Folder of the journal; several studies share it.
    name : Name of the study.
    worker : Sign of life of this process; None for one that only looks.
    seed : Root of the randomness of the proposals.
    suggest : (trial of Optuna, slot) -> the options it proposes; None where there is nothing to search.
    first : Options of the slot 0, as Optuna knows them.
    warm_up : Steps of training before the median rule applies.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        worker: Worker | None = None,
        seed: int = 0,
        suggest: Callable[["Trial", int], Mapping[str, object]] | None = None,
        first: Mapping[str, object] | None = None,
        warm_up: int = 0,
    ) -> None:
        self._optuna, self._folder, self._worker = optuna_library(), folder, worker
        self._seed, self._suggest, self._first = seed, suggest or (lambda trial, number: {}), dict(first or {})
        self._states, optuna, path = self._optuna.trial.TrialState, self._optuna, folder / JOURNAL
        with self._turn("turn"), self._reading():
            backend = optuna.storages.journal.JournalFileBackend(str(path))
            with self._turn(JOURNAL), open(path, "rb+") as file:
                content = file.read()
                file.truncate(content.rfind(b"\n") + 1)  # a full disk or a crash has left the last line unfinished
            self._study = optuna.create_study(
                study_name=name,
                storage=optuna.storages.JournalStorage(backend),
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_FIRST_COMPARED, n_warmup_steps=warm_up),
            )

    def claim(self, n: int) -> Task | None:
        """Return a task among the slots 0 ... n - 1, or None when all are done or at work."""
        if self._worker is None:
            raise InputError("Expected a worker that claims tasks, got none. Open the study with worker=.")
        while True:
            with self._turn("turn"):
                self._free_slots_of_the_dead()
                trials = self._trials()
                number = next((k for k in range(n) if k not in trials or _state(trials[k]) == "lost"), None)
                if number is None:
                    return None
                lost = trials.get(number)
                if number == 0 or lost is not None:
                    self._study.enqueue_trial(self._first if lost is None or number == 0 else dict(lost.params))
                sampler_seed = child_seed(self._seed, "sampler", number) % 2**32
                self._study.sampler = self._optuna.samplers.TPESampler(seed=sampler_seed)
                trial = self._study.ask()
                trial.set_user_attr("slot", number)
                trial.set_user_attr("worker", self._worker.name)
                task = Task(number, self._suggest(trial, number), trial)
                failed = self._study.get_trials(deepcopy=False, states=(self._states.FAIL,))
                deaths = sum(t.user_attrs.get("slot") == number and "ended" not in t.user_attrs for t in failed)
            if deaths < _MOST_DEATHS:
                return task
            why = f"Its process was killed {deaths} times, perhaps for want of memory."
            self.tell(task, "failed", options=dict(task.values), why=why, seconds=0.0)

    def tell(self, task: Task, state: str, value: float | None = None, **notes: object) -> None:
        """Write down how a task ended, unless its process was taken for dead and another has it now.

        Parameters
        ----------
        task : The task.
        state : "done", with its score as `value`, inf for a training that diverged; "stopped" by the median rule;
            "failed", which could not be tried; "given back", to whoever comes next.
        value : The score.
        notes : Facts to write down with it.
        """
        ending = {"done": self._states.COMPLETE, "stopped": self._states.PRUNED}.get(state, self._states.FAIL)
        with self._turn("turn"):
            if self._study.get_trials(deepcopy=False)[task.trial.number].state == self._states.RUNNING:
                task.trial.set_user_attr("notes", notes)
                task.trial.set_user_attr("ended", state)
                self._study.tell(task.trial, value, state=ending)

    def is_done(self, n: int) -> bool:
        """Tell whether the slots 0 ... n - 1 have all ended."""
        ended = {slot.number for slot in self.slots() if slot.state != "running"}
        return ended.issuperset(range(n))

    def slots(self) -> list[Slot]:
        """Return what is known of each slot, in their order."""
        slots = []
        with self._reading():
            for number, trial in sorted(self._trials().items()):
                state = _state(trial)
                if state != "lost":
                    value = float(trial.value) if state == "done" and trial.value is not None else math.nan
                    slots.append(Slot(number, state, value, dict(trial.user_attrs.get("notes", {}))))
        return slots

    def _free_slots_of_the_dead(self) -> None:
        for trial in self._study.get_trials(deepcopy=False, states=(self._states.RUNNING, self._states.WAITING)):
            name = trial.user_attrs.get("worker")
            if name is None or not is_alive(self._folder, name):
                if trial.state == self._states.WAITING:  # its process died between queueing it and taking it
                    self._study.ask()
                self._study.tell(trial.number, state=self._states.FAIL)
                if name is not None:
                    (self._folder / "workers" / name).unlink(missing_ok=True)

    def _trials(self) -> dict[int, "FrozenTrial"]:
        """Return the last trial of each slot."""
        trials = self._study.get_trials(deepcopy=False)
        return {trial.user_attrs["slot"]: trial for trial in trials if "slot" in trial.user_attrs}

    def _reading(self) -> AbstractContextManager[None]:
        """Word what Optuna says of a damaged journal."""
        remedy = "Restore it from a copy, or begin anew with --overwrite."
        return rebuilt("the journal of a study", self._folder / JOURNAL, remedy=remedy)

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """Keep the other processes waiting that ask for the lock `name`; works on network file systems too."""
        mark = self._folder / name
        mark.touch()
        lock = self._optuna.storages.journal.JournalFileSymlinkLock(str(mark))
        lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _state(trial: "FrozenTrial") -> str:
    """Return "running", "done", "stopped", "failed", or "lost" for a slot that is free again."""
    if not trial.state.is_finished():
        return "running"
    ended = trial.user_attrs.get("ended", "given back")  # without a word its process has died
    return "lost" if ended == "given back" else ended
