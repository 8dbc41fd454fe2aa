"""Covariance matrices from files, as they are: no half is mirrored, nothing is rounded away.

    npy, npz            one (d, d) array
    text table          d rows of d numbers, separated by tab, semicolon, comma or white space, with or
                        without a row of names above and a column of names on the left
    NNPDF table         4 header rows and 3 index columns (group, dataset, id), tab separated
    triplets            lines i j value with every pair 0 <= i, j < d once (or 1 <= i, j <= d)
    Fortran record      d * d float64 between two 4-byte marks that hold their size, little endian

What the file is shows in its content, not in its name. Comment lines (#, %) are skipped.
"""

import csv
import io
import math
import zipfile
from pathlib import Path

import numpy as np

from reverie.core.errors import InputError

__all__ = ["read_covariance"]

Named = tuple[np.ndarray, tuple[str, ...] | None]


def read_covariance(path: str | Path) -> Named:
    """Return the matrix (d, d) float64 in a file, and the d names of its rows or None.

    Parameters
    ----------
    path : npy, npz, text or Fortran record file; see the module docstring.

    Raises
    ------
    InputError
        For a file that is missing, holds something else, or no square matrix of finite numbers.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"Expected a covariance in {path}, got {error.strerror}. Check the path.") from None
    if raw[:6] == b"\x93NUMPY" or raw[:4] == b"PK\x03\x04":
        matrix, names = _numpy(path, raw), None
    elif _is_record(raw):
        matrix, names = np.frombuffer(raw, "<f8", offset=4, count=(len(raw) - 8) // 8).copy(), None
        matrix = matrix.reshape(math.isqrt(len(matrix)), -1)
    else:
        matrix, names = _text(path, raw)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise InputError(f"Expected a square matrix in {path.name}, got shape {matrix.shape}. Check the file.")
    if not np.isfinite(matrix).all():
        raise InputError(f"Expected finite numbers in {path.name}, got {int((~np.isfinite(matrix)).sum())} others.")
    return matrix, names


def _numpy(path: Path, raw: bytes) -> np.ndarray:
    try:
        found = np.load(io.BytesIO(raw), allow_pickle=False)
    except (ValueError, OSError, zipfile.BadZipFile):
        raise InputError(
            f"Expected an array of numbers in {path.name}, got objects or half a file. Save a float array."
        ) from None
    if isinstance(found, np.ndarray):
        return _float(found, path)
    with found:
        keys = list(found)
        if len(keys) != 1:
            raise InputError(f"Expected one array in {path.name}, got {len(keys)}: {', '.join(keys)}. Save one alone.")
        return _float(found[keys[0]], path)


def _float(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise InputError(f"Expected real numbers in {path.name}, got {array.dtype}. Save a float array.")
    return array.astype(np.float64)


def _is_record(raw: bytes) -> bool:
    size = len(raw) - 8
    marked = size > 0 and raw[:4] == raw[-4:] == size.to_bytes(4, "little")
    return marked and size % 8 == 0 and math.isqrt(size // 8) ** 2 == size // 8


def _text(path: Path, raw: bytes) -> Named:
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(
            f"Expected npy, npz, text or one square Fortran record in {path.name}, got other bytes. Convert the file."
        ) from None
    lines = [line for line in lines if line.strip() and line.lstrip()[0] not in "#%"]
    if not lines:
        raise InputError(f"Expected rows of numbers in {path.name}, got none. Check how the file was written.")
    delimiter = next((mark for mark in "\t;," if mark in lines[0]), None)
    rows = [line.split() for line in lines] if delimiter is None else list(csv.reader(lines, delimiter=delimiter))
    rows = [[field.strip() for field in row] for row in rows]
    n_header, n_index = _margins(rows)
    names = tuple("/".join(row[:n_index]) for row in rows[n_header:]) if n_index else None
    if names is None and n_header == 1:
        names = tuple(rows[0])
    table = _table([row[n_index:] for row in rows[n_header:]], path, n_header)
    if names is None and table.shape[1] == 3 and len(table) != 3:
        return _triplets(table, path), None
    return table, names


def _margins(rows: list[list[str]]) -> tuple[int, int]:
    """Return the number of header rows and of index columns: those with words."""
    if len(rows) > 4 and rows[3][:3] == ["group", "dataset", "id"]:
        return 4, 3
    if len(rows) > 1 and not rows[0][0]:
        return 1, 1  # an empty corner, as data frames are written, even where the names are numbers
    n_header = 0 if any(_is_number(field) for field in rows[0]) else 1
    body = rows[n_header:]
    n_index = int(bool(body) and bool(body[0]) and not _is_number(body[0][0]))
    return n_header, n_index


def _is_number(text: str) -> bool:
    try:
        float(text.replace("D", "e").replace("d", "e"))
    except ValueError:
        return False
    return True


def _table(rows: list[list[str]], path: Path, n_header: int) -> np.ndarray:
    width = len(rows[0]) if rows else 0
    table = np.empty((len(rows), width))
    for i, row in enumerate(rows):
        if len(row) != width:
            raise InputError(f"Expected {width} numbers in row {i + n_header + 1} of {path.name}, got {len(row)}.")
        try:
            table[i] = [float(field.replace("D", "e").replace("d", "e")) for field in row]
        except ValueError:
            bad = next(field for field in row if not _is_number(field))
            raise InputError(
                f"Expected numbers in row {i + n_header + 1} of {path.name}, got {bad!r}. Check that row."
            ) from None
    return table


def _triplets(table: np.ndarray, path: Path) -> np.ndarray:
    index = table[:, :2].astype(int)
    first = int(index.min())
    d = int(index.max()) - first + 1
    flat = (index[:, 0] - first) * d + index[:, 1] - first
    whole = (index == table[:, :2]).all() and first in (0, 1)
    if not whole or len(flat) != d * d or len(np.unique(flat)) != d * d:
        raise InputError(
            f"Expected a square matrix or triplets i j value of every pair in {path.name}, got {len(table)} rows of "
            f"three numbers. Give all {d} x {d} pairs once, or a square table."
        )
    matrix = np.empty(d * d)
    matrix[flat] = table[:, 2]
    return matrix.reshape(d, d)
