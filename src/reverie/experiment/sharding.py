"""Samples of a trained model drawn in shards, by many processes or machines, into one file or a folder of parts.

Each shard is drawn and written where its worker runs; all that travels is an `Order`, a few lines of plain data, so
memory stays constant everywhere and the folder of the parts must be one that all workers see. A run that was stopped,
or whose machine went down, is carried on by the same command: finished shards are kept (`reverie.scale.shards`).

One file is made of parts too: NumPy arrays in a folder beside it, joined at the end and removed. What is joined is the
file that one process alone would have written, byte for byte where its format holds no time stamps.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from reverie.core.errors import FolderError, InputError
from reverie.core.random import UNIT
from reverie.core.typed_files import rebuilt
from reverie.data.sinks import WRITERS, check_room
from reverie.experiment.folder import conditions_path
from reverie.experiment.progress import Progress, say
from reverie.experiment.sampling import (
    SampleConditions,
    bytes_of_event,
    conditions_from_text,
    draw,
    in_one_file,
    load_generator,
    new_sample_files,
    open_sample_file,
    written_schema,
)
from reverie.models.base import UNITS_PER_BLOCK, GenerativeModel
from reverie.scale.executors import completed, open_executor
from reverie.scale.shards import Shard, ShardFolder, digest_of_folder, shard_rows, shards_of, share

__all__ = ["Order", "draw_sharded", "is_one_file", "parts_of", "write_shard"]

_BLOCK = UNIT * UNITS_PER_BLOCK  # rows of a block, as the model draws them
_loaded = threading.local()  # the model that this thread drew from last, by its order


@dataclass(frozen=True)
class Order:
    """Which samples, and where to: what a worker is told.

    Parameters
    ----------
    model : Folder of the model, as all workers see it.
    digests : SHA-256 of each file in it.
    n, seed, condition : Number, seed and condition of the samples, as `reverie sample` takes them.
    folder, suffix : Folder and suffix of the part files.
    rows : Rows of a shard.
    """

    model: str
    digests: tuple[tuple[str, str], ...]
    n: int
    seed: int
    condition: str | None
    folder: str
    suffix: str
    rows: int

    def shards(self) -> ShardFolder:
        """Return the folder of the shards."""
        asked = {"n_samples": self.n, "seed": self.seed, "condition": self.condition, "format": self.suffix}
        asked |= {"rows_per_shard": self.rows, "model": dict(self.digests)}
        return ShardFolder(self.folder, asked, shards_of(self.n, self.rows), self.suffix)


def draw_sharded(
    model: str,
    out: str | Path,
    n: int,
    *,
    seed: int,
    condition: str | None = None,
    file_format: str = "parquet",
    engine: str | Executor = "pool",
    workers: int | None = None,
    scheduler_file: str | None = None,
    task: tuple[int, int] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> list[Path]:
    """Draw samples of the model in a folder in shards; return the files or the folder written.

    Parameters
    ----------
    model, n, seed, condition : See `reverie.experiment.sampling.draw_from`; the samples are the same, bit for bit.
    out : A file, whose suffix chooses the format, or a folder for part files.
    file_format : Format of the parts in a folder: parquet, csv, npy, h5 or root.
    engine, workers, scheduler_file : Who draws them, see `reverie.scale.executors.open_executor`.
    task : (i, k) draws the shards of the i-th of k tasks only, 1 <= i <= k, and joins nothing.
    overwrite, quiet : Whether samples that are there are replaced, and whether to show no progress.

    Raises
    ------
    FolderError
        If the file is there, or the folder holds other samples.
    InputError
        For a condition that the model does not know, or an unknown engine or format.
    WorkerError
        If a worker died; what is finished is kept.
    """
    loaded, target = load_generator(model), Path(out)
    conditions = conditions_from_text(loaded, condition, seed)
    one_file = is_one_file(target)
    files = new_sample_files(loaded, target, conditions, overwrite=overwrite) if one_file else [target]
    suffix = ".npy" if one_file else f".{file_format}"
    if suffix not in WRITERS:
        raise InputError(f"Expected a format of {' '.join(WRITERS)}, got {suffix}. Choose one with --format.")
    event_bytes = bytes_of_event(written_schema(loaded, conditions))
    check_room(target, n, event_bytes)
    place = Path(model).absolute()
    place = place / "model" if (place / "model" / "metadata.json").exists() else place
    digests, parts = tuple(digest_of_folder(place).items()), str(parts_of(target.absolute()))
    order = Order(str(place), digests, n, seed, condition, parts, suffix, shard_rows(n, event_bytes))
    folder = order.shards()
    wanted = folder.shards if task is None else share(folder.shards, *task)
    opened = open_executor(engine, workers=workers, scheduler_file=scheduler_file)
    if overwrite and folder.is_ours:
        folder.remove()
    folder.open()
    with opened as executor:
        _draw_missing(executor, order, folder, wanted, quiet=quiet)
    if task is not None:
        return [folder.path]
    folder.tidy()
    if one_file:
        _join(loaded, conditions, folder, files)
        folder.remove()
    return files


def is_one_file(out: Path) -> bool:
    """Tell whether `out` names a file of samples; otherwise it is a folder of parts."""
    return bool(out.suffix) and not out.is_dir()


def parts_of(out: Path) -> Path:
    """Return the folder of the parts of `out`: itself, or one beside the file."""
    return out.with_name(f"{out.name}.parts") if is_one_file(out) else out


def write_shard(order: Order, shard: Shard) -> None:
    """Draw and write one shard, in any process on any machine that sees the folders of the order.

    Raises `InputError` if the model here is not that of the order.
    """
    if getattr(_loaded, "order", None) != order:
        if tuple(digest_of_folder(order.model).items()) != order.digests:
            raise InputError(f"Expected the same model in {order.model} on every machine, got another. Copy it there.")
        model = load_generator(order.model)
        _loaded.order, _loaded.model = order, model
        _loaded.conditions = conditions_from_text(model, order.condition, order.seed)
    folder = order.shards()
    part, conditions = folder.part(shard), _loaded.conditions
    draw(_loaded.model, part, shard.n_rows, seed=order.seed, conditions=conditions, start=shard.start)
    folder.finish(shard)


def _draw_missing(
    executor: Executor, order: Order, folder: ShardFolder, wanted: Sequence[Shard], *, quiet: bool
) -> None:
    missing, total = folder.missing(wanted), sum(shard.n_rows for shard in wanted)
    done = total - sum(shard.n_rows for shard in missing)
    if len(missing) < len(wanted):
        say(f"{len(wanted) - len(missing)} of {len(wanted)} shards are there already", quiet=quiet)
    try:
        with Progress("sampling", total, unit="samples", start=done, quiet=quiet) as bar:
            for shard, _ in completed(executor, partial(write_shard, order), missing):
                done += shard.n_rows
                bar.update(done)
    finally:
        folder.write_manifest()
        n_done = len(wanted) - len(folder.missing(wanted))
        if n_done < len(wanted):
            say(f"{n_done} of {len(wanted)} shards are finished and kept; the same command carries on", quiet=quiet)


def _join(
    model: GenerativeModel, conditions: SampleConditions | None, folder: ShardFolder, files: Sequence[Path]
) -> None:
    """Write the parts, one after another, into the files of the samples and, of images, of their conditions."""
    n = sum(shard.n_rows for shard in folder.shards)
    schemas = [written_schema(model, conditions), *([] if conditions is None else [conditions.schema])]
    beside = schemas[1] if len(schemas) > 1 and in_one_file(files[0], *schemas) else None
    for k, (file, schema) in enumerate(zip(files, schemas, strict=False)):
        with open_sample_file(file, schema, n, beside) as sink:
            for shard in folder.shards:
                part = folder.part(shard)
                rows = _rows_of_part(part if k == 0 else conditions_path(part), shard)
                others = None if beside is None else _rows_of_part(conditions_path(part), shard)
                for start in range(0, len(rows), _BLOCK):
                    block = slice(start, start + _BLOCK)
                    sink.write(np.asarray(rows[block]), None if others is None else np.asarray(others[block]))


def _rows_of_part(file: Path, shard: Shard) -> np.ndarray:
    """Return what a part file holds, a memory map; `FolderError` for another number of rows than its shard has."""
    with rebuilt("a shard", file, remedy="Delete it and draw anew.", error=FolderError):
        rows = np.load(file, mmap_mode="r", allow_pickle=False)
    if len(rows) != shard.n_rows:
        raise FolderError(f"Expected {shard.n_rows} events in {str(file)!r}, got {len(rows)}. Delete it and draw anew.")
    return rows
