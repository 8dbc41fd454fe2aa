"""Processes that share a folder: who is still alive, and whose turn it is.

Each process keeps a file ``workers/HOST.PID.HEX`` that it holds a lock on and touches every few seconds. A process
that ends badly, even by ``kill -9``, loses its lock at once, which others on its machine see; on other machines, where
locks may not reach, it is taken for dead when its file has not been touched for two minutes.
"""

import os
import secrets
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Worker", "is_alive", "living"]

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
