"""The run folder: one place on disk for all that a run reads, writes and leaves behind.

    runs/x/
    ├── config.yaml        resolved; `reverie run --config runs/x/config.yaml --out runs/y` runs it again
    ├── command.txt        the command that made it
    ├── environment.json   versions, threads, device, git state
    ├── data.json          where the data came from, their hash, the sizes of the splits
    ├── status.json        the stages wanted, why training ended
    ├── resolved.json      what options that were left open came to
    ├── history.jsonl      one record per line, appended and flushed
    ├── checkpoints/       states for an exact resume; `latest` names the newest
    ├── snapshots/         samples at selected steps
    ├── model/             the trained model
    ├── samples.npy        generated samples, original units; their conditions are the last columns, ...
    ├── samples_conditions.npy     ... or, of images, the rows of this file
    ├── replicas.npy       some samples of each replica, (replica, n, *event)
    ├── assessment.json    what the model says of itself; latent.npz, a look into its latent space
    ├── validation.json    the verdict and every number behind it
    ├── report.html        one page that opens offline
    └── selection.json     of `reverie run auto`: which models competed, and why this one was kept; `candidates/` holds
                           the run folders of the others

Every file is written beside its final name and moved there in one step, so a reader never meets
half of one. A lock, given back by the system even when the process is killed, keeps two processes
out of one folder.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.assessment import Assessment, LatentView
from reverie.core.errors import FolderError, InputError
from reverie.core.typed_files import checked, read_array, read_arrays, read_json
from reverie.experiment.config import AUTO, RunConfig
from reverie.experiment.records import KINDS, REMEDIES
from reverie.training.checkpoint import atomic_file
from reverie.training.history import read_history
from reverie.validation import ValidationResult

__all__ = [
    "RunFolder", "check_new", "conditions_path", "lock_file", "made_folder", "remove", "write_json", "write_text",
]  # fmt: skip

_OWN_FILES = (
    "command.txt", "environment.json", "data.json", "status.json", "resolved.json", "history.jsonl",
    "validation.json", "assessment.json", "latent.npz", "report.html", "replicas.npy", "snapshots", "checkpoints",
    "model", "selection.json", "candidates", "config.yaml",
)  # fmt: skip
_SAMPLE_SUFFIXES = (".npy", ".csv", ".parquet", ".h5", ".root")
_SAMPLE_FILES = tuple(f"samples{part}{s}" for part in ("", "_conditions") for s in _SAMPLE_SUFFIXES)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` in one step."""
    with atomic_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, content: object) -> None:
    """Write `content` as JSON to `path` in one step; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


@contextmanager
def made_folder(out: str | Path) -> Iterator[Path]:
    """Yield the folder `out`, made if need be, to write results into; `FolderError` where it cannot be written."""
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        yield Path(out)
    except OSError as error:
        raise FolderError(f"Expected a folder to write in at {str(out)!r}, got: {error.strerror}.") from error


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_new(path: str | Path, *, overwrite: bool = False) -> Path:
    """Return `path` if a run folder can be made there, and touch nothing.

    Raises `FolderError` if something is there already (a run folder needs `overwrite`), or the place cannot be written.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise FolderError(f"Expected {str(path)!r} to be a folder, got a file. Give another --out.")
    if path.is_dir() and any(item.name != ".lock" for item in path.iterdir()):
        if not ((path / "config.yaml").is_file() and (path / "command.txt").is_file()):
            raise FolderError(
                f"Expected a new or empty folder, got {str(path)!r}, which holds other files and is no run folder. "
                "Give another --out."
            )
        if not overwrite:
            raise FolderError(
                f"Expected a new folder, got {str(path)!r}, which holds a run. "
                f"Carry it on with 'reverie resume {path}', replace it with --overwrite, or give another --out."
            )
    place = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise FolderError(f"Expected to be able to write in {str(place)!r}, got no permission. Give another --out.")
    return path


class RunFolder:
    """A run folder that exists; `InputError` if there is none at `path`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            runs = sorted(p.parent.name for p in self.path.absolute().parent.glob("*/config.yaml"))
            hint = f"Runs beside it: {', '.join(runs[:12])}." if runs else "Make one with 'reverie run'."
            raise InputError(f"Expected a run folder, got {str(path)!r}, which does not exist. {hint}")
        if not (self.path / "config.yaml").is_file():
            raise InputError(
                f"Expected a run folder, got {str(path)!r}, which holds no config.yaml. "
                "Give the --out folder of a 'reverie run' or 'reverie fit'."
            )

    @classmethod
    def create(
        cls, path: str | Path, *, config: str, command: str, held: ExitStack, overwrite: bool = False
    ) -> "RunFolder":
        """Make the folder with its `config` and `command`; replace the files of an older run if `overwrite`.

        `held` keeps its lock, which is taken before anything is touched: `FolderError` for a run in progress there.
        """
        path = check_new(path, overwrite=overwrite)
        try:
            path.mkdir(parents=True, exist_ok=True)
            held.enter_context(_locked(path))
            if overwrite:
                for name in (*_SAMPLE_FILES, *_OWN_FILES):  # and nothing else that a user may have put beside them
                    remove(path / name)
            write_text(path / "command.txt", command + "\n")
            write_text(path / "config.yaml", config)
        except PermissionError as error:
            raise FolderError(f"Expected to be able to write in {str(path)!r}, got: {error.strerror}.") from error
        return cls(path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def checkpoints(self) -> Path:
        """Folder of the training states."""
        return self.path / "checkpoints"

    @property
    def is_trained(self) -> bool:
        """Whether training has ended and the model is there."""
        return (self / "model").is_dir()

    @property
    def samples(self) -> Path | None:
        """The file of generated samples, or None before they are drawn."""
        return next((self / f"samples{s}" for s in _SAMPLE_SUFFIXES if (self / f"samples{s}").is_file()), None)

    @property
    def conditions(self) -> Path | None:
        """The file of the conditions of generated images, or None."""
        path = None if self.samples is None else conditions_path(self.samples)
        return path if path is not None and path.is_file() else None

    @property
    def command(self) -> str:
        """The command that made the run."""
        file = self / "command.txt"
        return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""

    def config(self) -> RunConfig:
        """Return the configuration of the run; a damaged file, and one without a model yet, is an `InputError`."""
        config = RunConfig.from_yaml(self / "config.yaml")
        if config.model_name == AUTO:
            raise InputError(
                f"Expected a run with a model, got {str(self.path)!r}, where the choice of one was interrupted. Carry "
                f"it on: reverie resume {self.path}"
            )
        return config

    def read_json(self, name: str, default: Any = None) -> Any:
        """Return the content of the JSON file `name`, or `default` when it is not there.

        Raises `InputError` for a damaged file: one sentence with the entry that is wrong
        (`reverie.experiment.records`).
        """
        file = self / name
        if not file.is_file():
            return default
        return read_json(file, KINDS.get(name, dict[str, Any]), remedy=REMEDIES[name])

    def validation(self) -> ValidationResult | None:
        """Return the validation, or None before there is one; a damaged file is an `InputError`."""
        content = self.read_json("validation.json")
        return None if content is None else ValidationResult.from_json(content, file=str(self / "validation.json"))

    def assessment(self) -> Assessment | None:
        """Return what the model says of itself, or None where nothing is known; a damaged file is an `InputError`."""
        content, place = self.read_json("assessment.json"), self / "assessment.json"
        if content is None:
            return None
        return checked(content, Assessment, place, remedy=REMEDIES["assessment.json"])

    def update_status(self, **changes: object) -> None:
        """Change entries of status.json."""
        write_json(self / "status.json", {**self.read_json("status.json", {}), **changes})

    def lock(self) -> AbstractContextManager[None]:
        """Keep other reverie processes from writing in this folder."""
        return _locked(self.path)

    def history(self) -> list[dict[str, float]]:
        """Return the records written so far; a last line cut short by a kill is left out."""
        return read_history(self / "history.jsonl")

    def write_snapshot(self, step: int, samples: np.ndarray) -> None:
        """Keep `samples` (n, *event) drawn after `step` steps of training."""
        (self / "snapshots").mkdir(exist_ok=True)
        _write_array(self / "snapshots" / f"{step:08d}.npy", samples)

    def write_replicas(self, samples: np.ndarray) -> None:
        """Keep `samples` (replica, n, *event)."""
        _write_array(self / "replicas.npy", samples)

    def replicas(self, event_shape: Sequence[int]) -> np.ndarray | None:
        """Return the samples of each replica, (replica, n, *event), or None."""
        file = self / "replicas.npy"
        if not file.is_file():
            return None
        return read_array(file, event_shape=event_shape, axes=2 + len(event_shape), remedy=REMEDIES["replicas.npy"])

    def write_latent(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays of a look into the latent space."""
        with atomic_file(self / "latent.npz") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def latent(self) -> dict[str, np.ndarray] | None:
        """Return the arrays of the look into the latent space, or None."""
        file = self / "latent.npz"
        if not file.is_file():
            return None
        return read_arrays(file, [f.name for f in fields(LatentView)], remedy=REMEDIES["latent.npz"])

    def snapshots(self, event_shape: Sequence[int] | None = None) -> dict[int, np.ndarray]:
        """Return the kept samples (n, *event) by step, in order; `event_shape` is what they are to have, if known."""
        axes, remedy = None if event_shape is None else 1 + len(event_shape), REMEDIES["snapshots"]
        files = self.snapshot_files().items()
        return {step: read_array(file, event_shape=event_shape, axes=axes, remedy=remedy) for step, file in files}

    def snapshot_files(self) -> dict[int, Path]:
        """Return the files of the kept samples by step, in order."""
        files = (file for file in (self / "snapshots").glob("*.npy") if re.fullmatch(r"\d{1,15}", file.stem))
        return dict(sorted((int(file.stem), file) for file in files))

    def forget_results(self) -> None:
        """Remove all that was made after training."""
        outputs = ("validation.json", "assessment.json", "latent.npz", "report.html", "replicas.npy")
        for name in ("model", *outputs, *_SAMPLE_FILES):
            remove(self / name)

    def remove_leftovers(self) -> None:
        """Remove temporary files of writers that were killed; only for who holds the lock."""
        own = (".tmp-", *(f".{name}" for name in (*_OWN_FILES, *_SAMPLE_FILES)))
        mine = [path for path in self.path.glob(".*.tmp") if path.name.startswith(own)]
        others = (self.path.glob(".tmp-*.html"), self.checkpoints.glob(".*.tmp"), (self / "snapshots").glob(".*.tmp"))
        for path in chain(mine, *others):
            remove(path)


def conditions_path(samples: Path) -> Path:
    """Return the file beside that of `samples` that holds the conditions of images."""
    return samples.with_name(f"{samples.stem}_conditions{samples.suffix}")


def _write_array(path: Path, values: np.ndarray) -> None:
    with atomic_file(path) as file:
        np.save(file, values, allow_pickle=False)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path / ".lock", "a", encoding="utf-8") as file:
        if lock_file(file.fileno()) is False:
            raise FolderError(f"Expected {str(path)!r} to be free, got a run in progress there. Wait for it.")
        yield


def lock_file(descriptor: int, *, wait: bool = False) -> bool | None:
    """Take the lock of an open file; False if another process holds it, None where there are no locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # a system without POSIX locks, or a file system
        return None
    return True
