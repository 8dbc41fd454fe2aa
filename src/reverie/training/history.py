"""The history of a run as JSON lines: append-only, readable after any crash."""

import json
from collections.abc import Mapping
from pathlib import Path

from reverie.training.checkpoint import write_atomically

__all__ = ["append_record", "read_history", "truncate_history"]


def append_record(path: str | Path, record: Mapping[str, float]) -> None:
    """Add one record to the file, which is made if it is not there."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(record)) + "\n")


def read_history(path: str | Path) -> list[dict[str, float]]:
    """Return the records of the file, none if there is no file; a last line cut short by a crash is left out."""
    path = Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [record for record in map(_record, lines) if record is not None]


def truncate_history(path: str | Path, step: int) -> None:
    """Forget, atomically, the records after `step`: training goes on from there."""
    kept = [json.dumps(record) + "\n" for record in read_history(path) if record["step"] <= step]
    write_atomically(Path(path), "".join(kept).encode())


def _record(line: str) -> dict[str, float] | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record if isinstance(record, dict) and "step" in record else None
