"""Room on the disk and in the memory, asked for before a work begins that could never be done."""

import os
import shutil
from pathlib import Path

from reverie.core.errors import FolderError, InputError

__all__ = ["check_disk", "check_memory"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def check_disk(path: str | Path, n_bytes: int, what: str) -> None:
    """Raise `FolderError` unless `n_bytes` are free where `path` is to be written; `what` is what takes them."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if n_bytes > free:
        raise FolderError(
            f"Expected room for {what}, at least {_size(n_bytes)}, got {_size(free)} free at {str(place)!r}. Ask for "
            "fewer, or write to another disk."
        )


def check_memory(n_bytes: int, what: str) -> None:
    """Raise `InputError` unless the machine has `n_bytes` of memory in all; `what` is what takes them."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return
    if n_bytes > there:
        raise InputError(
            f"Expected what fits into the memory of {_size(there)}, got {what}, {_size(n_bytes)}. Ask for less."
        )


def _size(n_bytes: float) -> str:
    for unit in _UNITS:
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes * 1000:.3g} {_UNITS[-1]}"
