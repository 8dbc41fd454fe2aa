"""Blocks of samples written to a file, at constant memory, all or nothing.

A sink writes to a temporary file beside the target and moves it into place when the last block is
in; on any error, Ctrl-C and a full disk included, the temporary file is removed and the target
stays as it was.

The formats are listed in `reverie.data.formats`. HDF5 and Parquet need the extra ``io``, ROOT the extra ``root``.
"""

import contextlib
import math
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from reverie.core.arguments import checked
from reverie.core.errors import FolderError, InputError
from reverie.core.resources import check_disk
from reverie.core.tables import are_sets
from reverie.data.formats import WRITERS, Layout, Writer

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["WRITERS", "Sink", "check_new_file", "check_regular", "check_room", "open_sink"]


class Sink:
    """An open file of samples, of which `n_written` are there; made by `open_sink`, used in a ``with`` statement."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout, self.n_written = path, layout, 0
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        self._writer: Writer | None = None

    def __enter__(self) -> Self:
        with self._answering_for_disk():
            self._writer = WRITERS[self.path.suffix.lower()].writer(self._temporary, self.layout)
        return self

    def write(self, block: np.ndarray, beside: np.ndarray | None = None) -> None:
        """Append `block` (n, *event); floats become whole numbers where the column's type is integer.

        Parameters
        ----------
        block : Events, shape (n, *event).
        beside : Columns of the sets, shape (n, k), where the file was opened with k of them.

        Raises
        ------
        InputError
            For another event shape or number of columns, NaN in a column of integers, or more than `n_total` events.
        FolderError
            If the disk is full or fails.
        """
        block = np.asarray(block)
        if self._writer is None:
            raise InputError("Expected an open sink, got a closed one. Use it inside its with statement.")
        if block.ndim == 0 or block.shape[1:] != self.layout.event_shape:
            raise InputError(f"Expected blocks (n, *{self.layout.event_shape}), got {block.shape}. Rows are samples.")
        if self.layout.n_total is not None and self.n_written + len(block) > self.layout.n_total:
            raise InputError(f"Expected {self.layout.n_total} events in all, got more. Give the true n_total, or None.")
        wanted = None if self.layout.beside is None else (len(block), len(self.layout.beside.names))
        if (None if beside is None else beside.shape) != wanted:
            got = "none" if beside is None else str(beside.shape)
            raise InputError(f"Expected columns of the sets of shape {wanted}, got {got}. Give those of open_sink.")
        with self._answering_for_disk():
            if beside is None:
                self._writer.write(block)
            else:
                self._writer.write(block, beside)
        self.n_written += len(block)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer, self._writer = self._writer, None
        if kind is not None:
            with contextlib.suppress(Exception):
                if writer is not None:
                    writer.close()
            self._remove()
            return
        with self._answering_for_disk():
            if writer is not None:
                writer.close()
            if self.layout.n_total is not None and self.n_written != self.layout.n_total:
                raise InputError(f"Expected {self.layout.n_total} events, got {self.n_written}. Write all of them.")
            os.replace(self._temporary, self.path)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    @contextlib.contextmanager
    def _answering_for_disk(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # h5py reports a full disk as RuntimeError on closing
            self._remove()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).split("\n")[0]
            raise FolderError(
                f"Expected to write {self.path.name} in {self.path.parent}, got: {reason}. "
                "Free space there or write to another folder."
            ) from None
        except BaseException:
            self._remove()
            raise


@checked
def open_sink(
    path: str | Path,
    *,
    names: Sequence[str] | None = None,
    event_shape: Sequence[int],
    dtype: "DTypeLike | Sequence[DTypeLike]" = "float32",
    n_total: int | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    beside: Sequence[str] = (),
    beside_dtype: "DTypeLike | Sequence[DTypeLike]" = "float32",
) -> Sink:
    """Open a file for samples; use it as ``with open_sink(...) as sink: sink.write(block)``.

    Parameters
    ----------
    path : target; its suffix chooses the format. An existing file is replaced at the end.
    names : Names of the columns of a table, default x0, x1, ...; for images one name, or none; for sets of particles
        (P, F + 1) those of the features and "mask".
    event_shape : shape of one event.
    dtype : one NumPy type, or one per column ("str" stands for a column of words).
    n_total : number of events that will come, if known; another number is an error.
    labels : words behind the codes 0, 1, ... of categorical columns, by name; CSV and Parquet write the words.
    beside, beside_dtype : Names and types of the columns of sets, one number for each set, such as the momentum of a
        jet; they stand in the same file.

    Raises
    ------
    InputError
        For an unknown suffix, numbers of names and types that do not fit, and sets in a format that cannot hold them.
    FolderError
        If the folder is absent or cannot be written.
    """
    target = Path(path).expanduser()
    shape = tuple(int(n) for n in event_shape)
    if target.suffix.lower() not in WRITERS:
        known = " ".join(WRITERS)
        raise InputError(f"Expected a file name with one of the suffixes {known}, got {target.name!r}. Choose one.")
    if not target.parent.is_dir():
        raise FolderError(f"Expected a folder to write to, got no folder {target.parent}. Make it first.")
    check_regular(target)
    if not os.access(target.parent, os.W_OK):
        raise FolderError(f"Expected to write {target}, got a folder that forbids it. Choose another place.")
    layout = _layout(names, shape, dtype, n_total, labels or {})
    if beside:
        layout = replace(layout, beside=_layout(beside, (len(beside),), beside_dtype, n_total, labels or {}))
    form = WRITERS[target.suffix.lower()]
    if beside and not layout.is_set:
        raise InputError(
            "Expected sets of particles, shape (P, F + 1) with the last name 'mask', for columns beside them, got "
            f"events of shape {shape}. Leave beside out."
        )
    if (layout.is_set and not form.has_sets) or (beside and not form.has_beside):
        known = " ".join(suffix for suffix, row in WRITERS.items() if row.has_beside)
        raise InputError(
            f"Expected one of the suffixes {known} for sets of particles, got {target.name!r}. Choose one."
        )
    if n_total is not None:
        check_room(target, n_total, sum(t.itemsize for t in layout.dtypes) * (shape[0] if layout.is_set else 1))
    return Sink(target, layout)


def _layout(
    names: Sequence[str] | None,
    shape: tuple[int, ...],
    dtype: Any,
    n_total: int | None,
    labels: Mapping[str, Sequence[str]],
) -> Layout:
    is_set = are_sets(shape, names)
    n = shape[1] if is_set else math.prod(shape)
    given: list[Any] = list(dtype) if isinstance(dtype, (list, tuple)) else [dtype]
    types = [np.dtype("int64" if str(t) == "str" else t) for t in given]
    if isinstance(dtype, (list, tuple)) and len(types) != n and not (len(types) == 1 and len(shape) > 1):
        raise InputError(f"Expected one type or {n}, got {len(types)}. Give one per column.")
    types = types if len(types) == n else types * n
    called = [str(name) for name in names or ()]
    if len(called) != n and len(shape) == 1 and names is not None:
        raise InputError(f"Expected {n} names, got {len(names)}. Give one per column.")
    if len(called) != n:
        stem = called[0] if called else "pixel"
        cells = (f"{stem}_" + "_".join(map(str, index)) for index in np.ndindex(*shape))
        called = [f"x{j}" for j in range(n)] if len(shape) == 1 else list(cells)
    return Layout(called, shape, types, n_total, labels)


def check_regular(path: Path) -> None:
    """Raise `FolderError` for what is there and is no file: a folder, a device, a pipe, which cannot be replaced."""
    if path.exists() and not path.is_file():
        sort = "a folder" if path.is_dir() else "a device or pipe"
        raise FolderError(f"Expected the name of a file to write, got {str(path)!r}, {sort}. Choose another name.")


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Raise `FolderError` for a file that is there already, unless it is to be overwritten."""
    if path.exists() and not overwrite:
        raise FolderError(f"Expected a new file, got {str(path)!r}, which exists. Give --overwrite or another -o.")


def check_room(path: str | Path, n: int, event_bytes: int) -> None:
    """Raise `FolderError` when `n` events of `event_bytes` bytes each cannot fit on the disk of `path`."""
    n_bytes = n * event_bytes
    least = n_bytes if Path(path).suffix.lower() == ".npy" else n_bytes // 20  # others compress, or shorten numbers
    check_disk(path, least, f"{n:,} samples")
