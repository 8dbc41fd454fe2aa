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

    Raises `InputError` for a file that is missing, holds something else, or no square matrix of finite numbers.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"Expected a covariance in {path}, got {error.strerror}. Check the path.") from None
    if raw[:6] == b"\x93NUMPY" or raw[:4] == b"PK\x03\x04":
        matrix, names = _numpy(path, raw), None
    elif (
        (size := len(raw) - 8) > 0
        and raw[:4] == raw[-4:] == size.to_bytes(4, "little")
        and size == 8 * math.isqrt(size // 8) ** 2
    ):
        matrix, names = np.frombuffer(raw, "<f8", offset=4, count=size // 8).copy(), None
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
    arrays = {"": found} if isinstance(found, np.ndarray) else dict(found)
    if len(arrays) != 1:
        raise InputError(f"Expected one array in {path.name}, got {len(arrays)}: {', '.join(arrays)}. Save one alone.")
    array = next(iter(arrays.values()))
    if array.dtype.kind not in "fiu":
        raise InputError(f"Expected real numbers in {path.name}, got {array.dtype}. Save a float array.")
    return array.astype(np.float64)


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
    if len(rows) > 4 and rows[3][:3] == ["group", "dataset", "id"]:
        n_header, n_index = 4, 3
    elif len(rows) > 1 and not rows[0][0]:  # an empty corner, as data frames have, even where the names are numbers
        n_header, n_index = 1, 1
    else:  # header and index are what has words
        n_header = 0 if any(_number(field) is not None for field in rows[0]) else 1
        n_index = int(len(rows) > n_header and bool(rows[n_header]) and _number(rows[n_header][0]) is None)
    names = tuple("/".join(row[:n_index]) for row in rows[n_header:]) if n_index else None
    if names is None and n_header == 1:
        names = tuple(rows[0])
    width = len(rows[n_header]) - n_index if len(rows) > n_header else 0
    table = np.empty((len(rows) - n_header, width))
    for i, row in enumerate(rows[n_header:]):
        numbers = [_number(field) for field in row[n_index:]]
        if len(numbers) != width:
            raise InputError(f"Expected {width} numbers in row {i + n_header + 1} of {path.name}, got {len(numbers)}.")
        if None in numbers:
            raise InputError(
                f"Expected numbers in row {i + n_header + 1} of {path.name}, got "
                f"{row[n_index + numbers.index(None)]!r}. Check that row."
            )
        table[i] = numbers
    if names is None and table.shape[1] == 3 and len(table) != 3:
        return _triplets(table, path), None
    return table, names


def _number(text: str) -> float | None:
    try:
        return float(text.replace("D", "e").replace("d", "e"))
    except ValueError:
        return None


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
