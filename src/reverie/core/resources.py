"""Room on the disk and in the memory, asked for before a work begins that could never be done, and memory kept."""

import ctypes
import os
import platform
import shutil
from pathlib import Path

from reverie.core.errors import FolderError, InputError

__all__ = ["check_disk", "check_memory", "keep_freed_memory"]

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # numbers of mallopt(3), GNU's C library
_LARGEST_ON_HEAP, _KEPT = 1 << 25, 1 << 28


def check_disk(path: str | Path, n_bytes: int, what: str) -> None:
    """Raise `FolderError` unless there is room on a disk.

    Parameters
    ----------
    path : File or folder that is to be written; it need not exist yet.
    n_bytes : Size of what is to be written there.
    what : What takes that room, such as "1,000 samples".
    """
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if n_bytes > free:
        raise FolderError(
            f"Expected room for {what}, at least {_size(n_bytes)}, got {_size(free)} free at {str(place)!r}. Ask for "
            "fewer, or write to another disk."
        )


def check_memory(n_bytes: float, what: str, remedy: str = "Ask for less.") -> None:
    """Raise `InputError` for what the memory of this machine could not hold, were all of it free.

    Parameters
    ----------
    n_bytes : Size of what is asked for.
    what : What is so large, such as "10^9 samples".
    remedy : A sentence that says what to do.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return
    if n_bytes > memory:
        raise InputError(
            f"Expected {what} to fit in the memory of this machine, {_size(memory)}, got {_size(n_bytes)}. {remedy}"
        )


def keep_freed_memory() -> None:
    """Let GNU's C library keep up to 256 MiB of freed memory, for the rest of the process; nothing elsewhere.

    It returns buffers of more than some hundred kilobytes to the system as soon as they are freed, and the system
    clears them before it gives them out again. A training step that asks for the same buffers every time is then
    slower. The command line calls this for itself; a program that uses the library is left alone unless it calls it.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_ON_HEAP)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} EB"
