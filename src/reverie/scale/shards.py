"""Many samples in shards: which rows each holds, what is finished, and a manifest that says so.

    samples/
    ├── part-00000.parquet     the first shard; the next goes on where it ends
    ├── part-00001.parquet
    ├── .part-00000.json       its digest, until all are there: it is finished
    └── _manifest.json         what was asked for, and every shard: rows, SHA-256 of the file, done or not

The cut into shards is a function of the number of events and their size alone,

    rows = 1024 k,    k as large as 16 shards, and 32 MiB a shard, allow    (k >= 1)

and the noise of every 1024 rows has a seed of its own, counted from the root. So neither engine, nor number of
workers, nor order changes a bit. A shard is written beside its place and moved there when whole, then its digest: what
a killed process leaves behind is either finished or missing. Tools that read a folder of Parquet files skip names that
begin with a dot or an underscore.

Job arrays share the shards without any engine: task i of k does every k-th shard, counted from the i-th. Tasks may run
at any time, on any machine that sees the folder, and again after a failure: what is finished is not done twice.
"""

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from reverie.core.errors import FolderError, InputError
from reverie.core.random import UNIT
from reverie.core.typed_files import checked, digest_of_file
from reverie.training.checkpoint import atomic_file

__all__ = [
    "MANIFEST",
    "Shard",
    "ShardFolder",
    "array_script",
    "digest_of_folder",
    "parse_task",
    "shard_rows",
    "shards_of",
    "share",
]

MANIFEST = "_manifest.json"
FORMAT, VERSION = "reverie-samples", 1
LEAST_SHARDS, MOST_BYTES = 16, 1 << 25
_REMEDY = "Give another -o, or delete that folder."
_Count = Annotated[int, Meta(ge=0)]


class _Entry(Struct):
    index: _Count
    done: bool


class _Finished(Struct):
    index: _Count
    bytes: _Count
    sha256: str


class _Manifest(Struct):
    asked: dict[str, Any]
    shards: list[_Entry]


@dataclass(frozen=True)
class Shard:
    """Rows `start` ... `start` + `n_rows` - 1 of all samples."""

    index: int
    start: int
    n_rows: int


def shard_rows(n: int, event_bytes: int) -> int:
    """Return how many rows a shard of `n` events of `event_bytes` bytes each has (the last one may have fewer)."""
    fit = MOST_BYTES // (UNIT * max(event_bytes, 1))
    return UNIT * max(min(math.ceil(n / (LEAST_SHARDS * UNIT)), fit), 1)


def shards_of(n: int, rows: int) -> list[Shard]:
    """Return the shards of `n` events, `rows` each."""
    return [Shard(k, start, min(rows, n - start)) for k, start in enumerate(range(0, n, rows))]


def share(shards: Sequence[Shard], task: int, n_tasks: int) -> list[Shard]:
    """Return the shards of one of `n_tasks` tasks, counted from 1: every n-th, so that all tasks have as many."""
    return list(shards[task - 1 :: n_tasks])


class ShardFolder:
    """A folder of shards.

    Parameters
    ----------
    path : Path of the folder.
    asked : All that the samples depend on, as JSON: a folder of other samples is refused.
    shards, suffix : All shards of the samples, and the suffix of the part files.
    """

    def __init__(self, path: str | Path, asked: Mapping[str, object], shards: Sequence[Shard], suffix: str) -> None:
        self.path, self.asked, self.shards, self.suffix = Path(path), dict(asked), list(shards), suffix

    def open(self) -> None:
        """Make the folder, or take up one of the same samples.

        Raises `FolderError` if it holds other samples or other files.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        manifest = self._manifest()
        if manifest is None:
            # another task of the same job may write the manifest meanwhile
            if any(not item.name.startswith(".") and item.name != MANIFEST for item in self.path.iterdir()):
                raise FolderError(
                    f"Expected a new or empty folder, got {str(self.path)!r}, which holds other files and no "
                    f"{MANIFEST}. Give another -o."
                )
            self.write_manifest()
            return
        words = []
        for key, wanted in self.asked.items():
            known = manifest.get("asked", {}).get(key)
            if known != wanted:
                short = all(isinstance(x, (int, str, type(None))) and len(str(x)) < 60 for x in (wanted, known))
                words.append(key.replace("_", " ") + (f" ({known}, not {wanted})" if short else ""))
        if words:
            raise FolderError(
                f"Expected shards of the same samples in {str(self.path)!r}, got those of another "
                f"{', another '.join(words)}. Give another -o, or --overwrite."
            )

    def part(self, shard: Shard) -> Path:
        """Return the file of a shard."""
        return self.path / f"part-{shard.index:05d}{self.suffix}"

    def finished(self) -> dict[int, str]:
        """Return the digests of the finished shards by number; their files are there, and of the size they had."""
        manifest = self._manifest() or {}
        entries = {entry["index"]: entry for entry in manifest.get("shards", ()) if entry["done"]}
        for file in self.path.glob(".part-*.json"):
            entry = _read(file)
            if entry is not None:
                checked(entry, _Finished, file, remedy=_REMEDY)
                entries[entry["index"]] = entry
        digests = {}
        for shard in self.shards:
            file, entry = self.part(shard), entries.get(shard.index)
            if entry is not None and file.is_file() and file.stat().st_size == entry["bytes"]:
                digests[shard.index] = entry["sha256"]
        return digests

    def missing(self, shards: Sequence[Shard]) -> list[Shard]:
        """Return those of `shards` that are not finished."""
        finished = self.finished()
        return [shard for shard in shards if shard.index not in finished]

    def finish(self, shard: Shard) -> None:
        """Note that the file of `shard` is whole."""
        file = self.part(shard)
        entry = {"index": shard.index, "bytes": file.stat().st_size, "sha256": digest_of_file(file)}
        _write(self.path / f".part-{shard.index:05d}.json", entry)

    def write_manifest(self) -> None:
        """Write down what is there now."""
        digests, shards = self.finished(), []
        for shard in self.shards:
            file, done = self.part(shard), shard.index in digests
            entry = {"index": shard.index, "file": file.name, "start": shard.start, "rows": shard.n_rows, "done": done}
            finished = {"bytes": file.stat().st_size, "sha256": digests[shard.index]} if done else {}
            shards.append(entry | finished)
        counts = {"n_done": len(digests), "n_shards": len(self.shards)}
        content = {"format": FORMAT, "version": VERSION, "asked": self.asked, **counts, "shards": shards}
        _write(self.path / MANIFEST, content)

    def tidy(self) -> None:
        """Remove the notes of single shards, which the manifest holds, and what killed processes left behind.

        To be called when all shards are finished, by one process.
        """
        for pattern in (".part-*.json", ".*.tmp"):
            for left in self.path.glob(pattern):
                left.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove shards, notes and manifest, and the folder if nothing else is in it."""
        for pattern in ("part-*", ".part-*", ".*.tmp", MANIFEST):
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    @property
    def is_ours(self) -> bool:
        """Whether a manifest of shards is there."""
        return self._manifest() is not None

    def _manifest(self) -> dict[str, Any] | None:
        file = self.path / MANIFEST
        if not file.is_file():
            return None
        content = _read(file)
        if content is None or content.get("format") != FORMAT:
            raise InputError(f"Expected the manifest of shards in {str(file)!r}, got other content. {_REMEDY}")
        checked(content, _Manifest, file, remedy=_REMEDY)
        for entry in content["shards"]:
            if entry["done"]:
                checked(entry, _Finished, file, where=f"shard {entry['index']}", remedy=_REMEDY)
        return content


def digest_of_folder(folder: str | Path) -> dict[str, str]:
    """Return the SHA-256 of each file in `folder` by name, those with a dot in front left out."""
    files = sorted(file for file in Path(folder).iterdir() if file.is_file() and not file.name.startswith("."))
    return {file.name: digest_of_file(file) for file in files}


def _write(path: Path, content: Mapping[str, object]) -> None:
    with atomic_file(path) as file:
        file.write((json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def _read(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file, or None if it is none (any more)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def parse_task(text: str) -> tuple[int, int]:
    """Return (i, k) of "i/k", task i of k; `InputError` unless 1 <= i <= k."""
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"Expected --shard I/K with 1 <= I <= K, got {text!r}. The third of twenty tasks is 3/20.")
    return int(match[1]), int(match[2])


def array_script(command: Sequence[str], n_tasks: int) -> str:
    """Return a script for `sbatch` that does `command`, without ``--shard``, in an array of `n_tasks` tasks."""
    whole = shlex.join(command)
    return f"""#!/bin/bash
#SBATCH --job-name=reverie
#SBATCH --array=1-{n_tasks}
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=01:00:00
#SBATCH --output=%x-%A-%a.log
# job=$(sbatch --parsable THIS_FILE)
# sbatch --dependency=afterok:$job --cpus-per-task=1 --mem=2G --wrap {shlex.quote(whole)}
# The second job draws what is missing and puts everything together; or type its command when the array is done.
# A task that failed or ran out of time may be submitted again: it carries on with what is missing.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
{whole} --shard "$SLURM_ARRAY_TASK_ID/{n_tasks}" --quiet
"""
