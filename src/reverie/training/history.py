"""The history of a run as JSON lines: append-only, readable after any crash.

A record holds "step", "seconds" and numbers by name, which may be NaN or infinite; "alarms" are named entries.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from reverie.core.typed_files import checked, read_lines
from reverie.training.checkpoint import atomic_file

__all__ = ["append_record", "read_history", "truncate_history"]

_REMEDY = "Restore it from a copy, or delete that line."


class _Alarm(Struct):
    step: Annotated[int, Meta(ge=0)]
    kind: str
    evidence: str
    remedy: str


class _Record(Struct):
    step: Annotated[int, Meta(ge=0)]
    seconds: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    alarms: list[_Alarm] = []


def append_record(path: str | Path, record: Mapping[str, object]) -> None:
    """Add one record to the file, which is made if it is not there."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(record)) + "\n")


def read_history(path: str | Path) -> list[dict[str, float]]:
    """Return the records of the file, none if there is no file; a last line cut short by a crash is left out.

    Raises `InputError` for a damaged line.
    """
    path = Path(path)
    records = read_lines(path, _Record, remedy=_REMEDY) if path.is_file() else []
    for number, record in enumerate(records, 1):
        numbers = {name: value for name, value in record.items() if name not in ("step", "seconds", "alarms")}
        checked(numbers, dict[str, float | bool | None], path, where=f"line {number}", remedy=_REMEDY)
    return records


def truncate_history(path: str | Path, step: int) -> None:
    """Forget, atomically, the records after `step`: training goes on from there."""
    kept = [json.dumps(record) + "\n" for record in read_history(path) if record["step"] <= step]
    with atomic_file(Path(path)) as file:
        file.write("".join(kept).encode())
