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
from types import TracebackType
from typing import Any, Self

from reverie.core.errors import InputError, MissingDependencyError
from reverie.core.random import child_seed
from reverie.core.typed_files import rebuilt

__all__ = ["Slot", "Study", "Task", "Worker", "is_alive", "living", "optuna_library"]

_BEAT, _SILENCE = 10.0, 120.0  # seconds


class Worker:
    """The sign of life of this process, used as a context manager.

    Parameters
    ----------
    folder : shared folder; signs of life are kept in its ``workers``.
    beat : seconds between two touches.
    """

    def __init__(self, folder: Path, *, beat: float = _BEAT) -> None:
        self.name = f"{_host()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._path, self._beat = folder / "workers" / self.name, beat
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._path.parent.mkdir(exist_ok=True)
        self._file = open(self._path, "w", encoding="utf-8")
        _lock(self._file.fileno(), wait=True)  # one who looks whether it is free holds it for a moment
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)
        self._file.close()

    def _live(self) -> None:
        while not self._over.wait(self._beat):
            with suppress(OSError):
                os.utime(self._path)


def is_alive(folder: Path, name: str, *, silence: float = _SILENCE) -> bool:
    """Tell whether the worker `name` of the `folder` still runs; one that cannot be seen may be silent so long."""
    path = folder / "workers" / name
    try:
        with open(path, encoding="utf-8") as file:
            is_free = _lock(file.fileno()) if name.split(".")[0] == _host() else None
            if is_free is not None:
                return not is_free
            return _now(path.parent) - os.fstat(file.fileno()).st_mtime < silence
    except OSError:
        return False


def living(folder: Path) -> list[str]:
    """Return the names of the workers that still run."""
    names = sorted(path.name for path in (folder / "workers").glob("*.*.*") if not path.name.startswith("."))
    return [name for name in names if is_alive(folder, name)]


def _host() -> str:
    return socket.gethostname().split(".")[0] or "host"


def _now(folder: Path) -> float:
    """Return the time by the clock of the file system, which may not be that of this machine."""
    mark = folder / f".clock-{os.getpid()}"
    mark.touch()
    now = mark.stat().st_mtime
    mark.unlink(missing_ok=True)
    return now


def _lock(descriptor: int, *, wait: bool = False) -> bool | None:
    """Take the lock of an open file; False if another process holds it, None where there are no locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


JOURNAL = "journal.jsonl"
_FIRST_COMPARED = 5  # finished trials before the median rule is asked
_MOST_DEATHS = 3  # of the processes that try one slot
_DIED, _GIVEN_BACK = "died", "given back"


def optuna_library() -> Any:
    """Return Optuna, with its log silenced.

    Raises
    ------
    MissingDependencyError
        Names the extra that installs it.
    """
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
    value : its score, small is good, inf for a training that diverged; nan unless it is done.
    notes : Facts that were written down with its end.
    """

    number: int
    state: str
    value: float
    notes: Mapping[str, Any]


class Task:
    """A claimed slot: what is proposed, and the ways to end it.

    Attributes
    ----------
    number : Number of the slot.
    values : proposed options, empty without a search.
    """

    def __init__(self, study: "Study", trial: Any, number: int, values: Mapping[str, Any]) -> None:
        self.number, self.values = number, values
        self._study, self._trial, self._reported = study, trial, -1

    def done(self, value: float, **notes: Any) -> None:
        """Tell the score, inf for a training that diverged."""
        self._study.tell(self._trial, "done", value, notes)

    def stopped(self, **notes: Any) -> None:
        """Tell that the median rule stopped it."""
        self._study.tell(self._trial, "stopped", None, notes)

    def failed(self, **notes: Any) -> None:
        """Tell that it could not be tried."""
        self._study.tell(self._trial, "failed", None, notes)

    def give_back(self) -> None:
        """Leave the slot to whoever comes next."""
        self._study.tell(self._trial, _GIVEN_BACK, None, {})

    def is_worse(self, value: float, step: int) -> bool:
        """Note a value of the training at a step and tell whether it is worse than half of the others there."""
        if step <= self._reported:  # training went back
            return False
        self._reported = step
        self._trial.report(value, step)
        return bool(self._trial.should_prune())


Suggest = Callable[[Any, int], Mapping[str, Any]]


class Study:
    """The slots of one study in the journal of a folder.

    Parameters
    ----------
    folder : Folder of the journal; several studies share it.
    name : Name of the study.
    worker : Sign of life of this process; None for one that only looks.
    seed : Root of the randomness of the proposals.
    suggest : (trial of Optuna, slot) -> the options it proposes; None where there is nothing to search.
    first : Options of the slot 0, as Optuna knows them.
    warm_up : Steps of training before the median rule applies.

    Raises
    ------
    MissingDependencyError
        Without Optuna.
    InputError
        For a journal that cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        worker: Worker | None = None,
        seed: int = 0,
        suggest: Suggest | None = None,
        first: Mapping[str, Any] | None = None,
        warm_up: int = 0,
    ) -> None:
        self._optuna, self._folder, self._worker = optuna_library(), folder, worker
        self._seed, self._suggest, self._first = seed, suggest or (lambda trial, number: {}), dict(first or {})
        with self._turn():
            self._study = self._opened(name, warm_up)

    def claim(self, n: int) -> Task | None:
        """Return a task among the slots 0 ... n - 1, or None when all are done or at work."""
        if self._worker is None:
            raise InputError("Expected a worker that claims tasks, got none. Open the study with worker=.")
        while True:
            with self._turn():
                self._bury()
                trials = self._trials()
                taken = {number for number, trial in trials.items() if _state(trial) != "lost"}
                free = next((number for number in range(n) if number not in taken), None)
                if free is None:
                    return None
                task, deaths = self._asked(free, trials.get(free)), self._deaths(free)
            if deaths < _MOST_DEATHS:
                return task
            why = f"Its process was killed {deaths} times, perhaps for want of memory."
            task.failed(options=dict(task.values), why=why, seconds=0.0)

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
                    value = float(trial.value) if state == "done" else math.nan
                    slots.append(Slot(number, state, value, dict(trial.user_attrs.get("notes", {}))))
        return slots

    def tell(self, trial: Any, state: str, value: float | None, notes: Mapping[str, Any]) -> None:
        """Write down how a trial ended, unless its process was taken for dead and another has it now."""
        states = self._optuna.trial.TrialState
        ending = {"done": states.COMPLETE, "stopped": states.PRUNED}.get(state, states.FAIL)
        with self._turn():
            if self._study.get_trials(deepcopy=False)[trial.number].state != states.RUNNING:
                return
            trial.set_user_attr("notes", dict(notes))
            trial.set_user_attr("ended", state)
            self._study.tell(trial, value, state=ending)

    def _asked(self, number: int, lost: Any) -> Task:
        """Return the task of a free slot; `lost` is the trial that had it, if any."""
        if number == 0 or lost is not None:
            self._study.enqueue_trial(dict(lost.params) if number else self._first)
        self._study.sampler = self._optuna.samplers.TPESampler(seed=child_seed(self._seed, "sampler", number) % 2**32)
        trial = self._study.ask()
        trial.set_user_attr("slot", number)
        trial.set_user_attr("worker", "" if self._worker is None else self._worker.name)
        return Task(self, trial, number, self._suggest(trial, number))

    def _bury(self) -> None:
        """Take their slots from processes that have died."""
        states = self._optuna.trial.TrialState
        for trial in self._study.get_trials(deepcopy=False, states=(states.RUNNING, states.WAITING)):
            name = trial.user_attrs.get("worker")
            if name is None or not is_alive(self._folder, name):
                if trial.state == states.WAITING:  # its process died between queueing it and taking it
                    self._study.ask()
                self._study.tell(trial.number, state=states.FAIL)
                if name is not None:
                    (self._folder / "workers" / name).unlink(missing_ok=True)

    def _deaths(self, number: int) -> int:
        """Return how many processes have died of a slot."""
        finished = self._study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.FAIL,))
        return sum(t.user_attrs.get("slot") == number and "ended" not in t.user_attrs for t in finished)

    def _trials(self) -> dict[int, Any]:
        """Return the last trial of each slot."""
        trials = self._study.get_trials(deepcopy=False)
        return {trial.user_attrs["slot"]: trial for trial in trials if "slot" in trial.user_attrs}

    def _opened(self, name: str, warm_up: int) -> Any:
        optuna, path = self._optuna, self._folder / JOURNAL
        with self._reading():
            backend = optuna.storages.journal.JournalFileBackend(str(path))
            with self._turn(path):
                _mend(path)
            storage = optuna.storages.JournalStorage(backend)
            return optuna.create_study(
                study_name=name,
                storage=storage,
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_FIRST_COMPARED, n_warmup_steps=warm_up),
            )

    def _reading(self) -> AbstractContextManager[None]:
        """Word what Optuna says of a damaged journal."""
        remedy = "Restore it from a copy, or begin anew with --overwrite."
        return rebuilt("the journal of a study", self._folder / JOURNAL, remedy=remedy, error=InputError)

    @contextmanager
    def _turn(self, mark: Path | None = None) -> Iterator[None]:
        """Keep the other processes waiting, by default those that claim; works on network file systems too."""
        mark = mark or self._folder / "turn"
        mark.touch()
        lock = self._optuna.storages.journal.JournalFileSymlinkLock(str(mark))
        lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _state(trial: Any) -> str:
    """Return "running", "done", "stopped", "failed", or "lost" for a slot that is free again."""
    if not trial.state.is_finished():
        return "running"
    ended = trial.user_attrs.get("ended", _DIED)
    return "lost" if ended in (_DIED, _GIVEN_BACK) else ended


def _mend(path: Path) -> None:
    """Cut off a last line that a full disk or a crash has left unfinished."""
    if path.stat().st_size == 0:
        return
    with open(path, "rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.seek(0)
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
