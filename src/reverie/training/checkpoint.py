"""Training states on disk: atomic to write, safe to read.

A state is a nested dictionary of tensors, numbers and strings. It is written to a temporary file in
the same folder, flushed to the disk and renamed, so a reader finds the old state or the new one and
never half of either. It is read with ``weights_only=True``: a file that carries any other Python
object, which could run code when unpickled, is refused.

    checkpoints/step_00012000.pt    the states, the last few of them
    checkpoints/latest              text: the name of the newest complete one
"""

import os
import pickle
import secrets
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch

from reverie.core.errors import CheckpointError
from reverie.core.types import State

__all__ = ["CheckpointFolder", "atomic_file", "load_state", "save_state"]

FORMAT = "reverie-training-state"
VERSION = 1


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that takes its place, flushed to the disk, at the end of the context."""
    # processes of different containers may have one number
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY)  # the new name is on the disk when its folder is
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_state(path: str | Path, state: State) -> None:
    """Save a training state to the file `path`, atomically.

    Raises `OSError` when the disk is full or the folder cannot be written; the old file, if any, is untouched.
    """
    with atomic_file(Path(path)) as file:
        torch.save({"format": FORMAT, "version": VERSION, "state": state}, file)


def load_state(path: str | Path, *, device: str | torch.device = "cpu") -> State:
    """Load the training state of the file `path`.

    Raises `CheckpointError` when the file is missing, corrupt, of another program, of a newer version, or carries
    pickled objects.
    """
    if not Path(path).exists():
        raise CheckpointError(f"Expected a training state at {path}, found no such file. Give a run folder.")
    if not zipfile.is_zipfile(path):  # the archive that torch.save writes; a bare pickle is not even opened
        raise CheckpointError(f"Expected a training state in {path}, got a corrupt or foreign file. Use an older one.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch itself does not look at the checksums
        if damaged is not None:
            raise zipfile.BadZipFile(damaged)
        content = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"Expected a training state of tensors and numbers in {path}, got a file that is corrupt or carries "
            "pickled Python objects; it was not loaded. Use a checkpoint that reverie wrote."
        ) from None
    except (
        RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, ValueError, KeyError,
        TypeError, AttributeError, IndexError, MemoryError,
    ) as error:  # fmt: skip
        raise CheckpointError(
            f"Expected a training state in {path}, got a corrupt file ({type(error).__name__}). "
            "Use an older checkpoint of the run, or start it again with --overwrite."
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"Expected a training state written by reverie in {path}, got a foreign file.")
    if not isinstance(content.get("version"), int) or not isinstance(content.get("state"), dict):
        raise CheckpointError(f"Expected a training state with its version in {path}, got none. Use an older one.")
    if content["version"] > VERSION:
        raise CheckpointError(
            f"Expected a training state of version {VERSION} or less in {path}, got {content['version']}. "
            "Update reverie."
        )
    return content["state"]


class CheckpointFolder:
    """The last `keep` training states of a run, in a folder that is made at the first save."""

    def __init__(self, folder: str | Path, *, keep: int = 2) -> None:
        self.folder, self.keep = Path(folder), keep

    def save(self, step: int, state: State) -> Path:
        """Save the state of `step`, point `latest` to it and forget the oldest ones; return its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step_{step:08d}.pt"
        save_state(path, state)
        with atomic_file(self.folder / "latest") as file:
            file.write(path.name.encode())
        for old in sorted(self.folder.glob("step_*.pt"))[: -self.keep]:
            if old != path:
                old.unlink()
        return path

    def latest(self) -> Path | None:
        """Return the path of the newest complete state, or None."""
        pointer = self.folder / "latest"
        name = pointer.read_text(errors="replace").strip() if pointer.is_file() else ""
        states = {path.name: path for path in sorted(self.folder.glob("step_*.pt"))}
        return states.get(name) or next(reversed(states.values()), None)

    def newest_good(self, tell: Callable[[str], object]) -> tuple[Path, State] | None:
        """Return the newest state that can be read, with its path, or None where none was kept.

        `tell` is called with a sentence for each damaged state that is passed over for an older one. Raises
        `CheckpointError` when states were kept and all of them are damaged.
        """
        latest, failed = self.latest(), []
        older = [path for path in sorted(self.folder.glob("step_*.pt"), reverse=True) if path != latest]
        for path in [] if latest is None else [latest, *older]:
            try:
                state = load_state(path)
                if not isinstance(state.get("step"), int):
                    raise CheckpointError(f"Expected a training state with its step in {path}, got none. Use another.")
            except CheckpointError as error:
                failed.append(error)
                continue
            for error in failed:
                tell(f"{str(error).split('. ')[0].rstrip('.')}; the older state {path.name} is used.")
            return path, state
        if failed:
            raise failed[0]
        return None
