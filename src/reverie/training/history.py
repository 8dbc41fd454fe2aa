"""The history of a run as JSON lines: append-only, readable after any crash."""

import json
from collections.abc import Mapping
from pathlib import Path

from reverie.training.checkpoint import write_atomically

__all__ = ["HistoryFile", "read_history"]


class HistoryFile:
    """A growing file of records, one JSON object a line, flushed at every line.

    Parameters
    ----------
    path : the file; its folder must exist.
    keep_until : drop records after this step, which a resumed run takes anew; None starts afresh.
    """

    def __init__(self, path: str | Path, *, keep_until: int | None = None) -> None:
        self.path = Path(path)
        old = read_history(self.path) if keep_until is not None and self.path.exists() else []
        kept = [record for record in old if record["step"] <= (keep_until or 0)]
        write_atomically(self.path, "".join(json.dumps(record) + "\n" for record in kept).encode())
        self._file = self.path.open("a", encoding="utf-8")

    def append(self, record: Mapping[str, float]) -> None:
        """Write one record."""
        self._file.write(json.dumps(dict(record)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_history(path: str | Path) -> list[dict[str, float]]:
    """Return the records of a history file; a last line cut off by a crash is left out."""
    records = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
