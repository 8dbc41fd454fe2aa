"""Tables written as text: CSV and its relatives.

The layout is read off the first lines: comment lines (# or %) are skipped; the separator is tab,
semicolon, comma or white space, whichever of these stands first in the first line; that line is a
header if none of its fields is a number. A comment just above the numbers is taken as header if it
has as many words as there are columns. Empty fields, nan, NA, N/A, null and None are missing.

Numbers are read by pyarrow where it is installed, else by numpy. Whatever these refuse is read
again line by line, which finds words (kept as categorical columns) or the exact line to complain about.
"""

import csv
import gzip
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from reverie.core.checks import check_different
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.tables import Raw, check_width, join_columns
from reverie.data.formats import Layout
from reverie.data.schema import split_unit

__all__ = ["CsvWriter", "read", "read_text"]

_MISSING = ("", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "null", "NULL", "None")
_COMMENTS = ("#", "%")
_LONGEST_LINE = 1 << 25  # letters: of ten thousand columns each has thousands
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


@dataclass(frozen=True)
class _Layout:
    delimiter: str | None  # None: white space
    names: list[str]
    skip: int  # lines before the first row of numbers


def read(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return the columns `names` of a text table, or all."""
    if key is not None:
        raise InputError(f"Expected a plain path for text, got {path.name}:{key}. Leave out what follows the colon.")
    return read_text(path, names)


def read_text(path: Path, columns: Sequence[str] | None = None, names: Sequence[str] | None = None) -> Raw:
    """Return the columns of a text table.

    Raises `InputError` for a file without rows, rows of different lengths, and text among numbers: with the line.

    Parameters
    ----------
    path : file, possibly compressed (.gz).
    columns : plain names (without unit) to keep, in this order; default all.
    names : names for a file without header.
    """
    layout = _layout(path, names)
    plain = [split_unit(name)[0] for name in layout.names]
    for name in columns or ():
        if name not in plain:
            raise UnknownNameError("column", name, plain)
    wanted = list(range(len(plain))) if columns is None else [plain.index(name) for name in columns]
    found = _with_pyarrow(path, layout, wanted)
    found = _with_numpy(path, layout, wanted) if found is None else found
    found = _line_by_line(path, layout, wanted) if found is None else found
    return join_columns({layout.names[j]: x for j, x in zip(wanted, found, strict=True)})


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="")
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _layout(path: Path, names: Sequence[str] | None) -> _Layout:
    skip, first, comment = _first_line(path)
    delimiter = next((d for d in ("\t", ";", ",") if d in first), None)
    fields, above = _fields(first, delimiter), _fields(comment, delimiter) if comment else []
    n = len(fields)
    check_width(n, path.name)
    if names is not None and len(names) != n:
        raise InputError(f"Expected {len(names)} columns in {path.name}, got {n}. Check the file.")
    header = [f"x{j}" for j in range(n)] if names is None else list(names)
    if names is None and not any(_number(field) is not None for field in fields):
        header, skip = fields, skip + 1
    elif names is None and len(above) == n and not any(_number(word) is not None for word in comment.split()):
        header = above
    if names is None:
        header = [name or f"column{j + 1}" for j, name in enumerate(header)]
        check_different([split_unit(name)[0] for name in header], f" in {path.name}")
    return _Layout(delimiter, header, skip)


def _first_line(path: Path) -> tuple[int, str, str]:
    """Return number and text of the first line that is no comment, and the comment above it."""
    comment = ""
    with _open(path) as lines:
        for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), "")):
            if len(line) == _LONGEST_LINE or "\0" in line:
                what = "zero bytes, as UTF-16 or a binary file has" if "\0" in line else "a line without an end"
                raise InputError(f"Expected lines of text in UTF-8 in {path.name}, got {what}. Write it as UTF-8 text.")
            stripped = line.strip()
            if stripped.startswith(_COMMENTS):
                comment = stripped.lstrip("#% ")
            elif stripped:
                return number, line.rstrip("\r\n"), comment
    raise InputError(f"Expected rows of numbers in {path.name}, got none. Check how the file was written.")


def _fields(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        is_fortran = re.fullmatch(r"[-+]?[\d.]+[dD][-+]?\d+", text.strip())  # its double precision
        return float(re.sub("[dD]", "e", text)) if is_fortran else None


def _with_pyarrow(path: Path, layout: _Layout, wanted: list[int]) -> list[np.ndarray] | None:
    """Return numbers, or words none of which is a number; None where only the slow way can judge."""
    try:
        import pyarrow as pa
        from pyarrow import csv as arrow
    except ModuleNotFoundError:
        return None
    from reverie.data.formats.parquet import is_number, numbers_of

    if layout.delimiter is None:
        return None
    keys = [f"f{j}" for j in range(len(layout.names))]
    try:
        table = arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(skip_rows=layout.skip, column_names=keys),
            parse_options=arrow.ParseOptions(delimiter=layout.delimiter),
            convert_options=arrow.ConvertOptions(
                include_columns=list(dict.fromkeys([keys[0], *(keys[j] for j in wanted)])),
                null_values=list(_MISSING),
                strings_can_be_null=True,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    if not table.num_rows:
        return None
    first, found = table.column(keys[0]), []
    if pa.types.is_string(first.type) and any((w or "").lstrip().startswith(_COMMENTS) for w in first.to_pylist()):
        with _open(path) as lines:  # a word in quotes may begin like a comment
            if any(line.lstrip().startswith(_COMMENTS) for line in islice(lines, layout.skip, None)):
                return None
    for column in (table.column(keys[j]) for j in wanted):
        is_text = pa.types.is_string(column.type)
        values = _words(column.to_pylist()) if is_text else numbers_of(column) if is_number(column.type) else None
        if values is None:
            return None
        found.append(values)
    return found


def _words(fields: Sequence[str | None]) -> np.ndarray | None:
    """Return words without the blanks about them, None for a missing one; None for all where one is a number."""
    plain = {field: (field or "").strip() for field in set(fields)}
    words = [word for word in plain.values() if word not in _MISSING]
    if any(_number(word) is not None or _DECIMAL_COMMA.fullmatch(word) for word in words):
        return None
    return np.array([None if plain[field] in _MISSING else plain[field] for field in fields], object)


def _with_numpy(path: Path, layout: _Layout, wanted: list[int]) -> list[np.ndarray] | None:
    try:
        with _open(path) as lines:
            for _ in range(layout.skip):
                next(lines)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # an empty table is answered below
                table = np.loadtxt(lines, delimiter=layout.delimiter, ndmin=2, comments=_COMMENTS)
    except ValueError:
        return None
    return [table[:, j] for j in wanted] if len(table) and table.shape[1] == len(layout.names) else None


def _line_by_line(path: Path, layout: _Layout, wanted: list[int]) -> list[np.ndarray]:
    tokens: list[list[str]] = [[] for _ in wanted]
    numbers: list[int] = []
    with _open(path) as lines:
        for _ in range(layout.skip):
            next(lines)
        kept: list[int] = []  # numbers of the lines that are no comments

        def rows() -> Iterator[str]:
            for number, line in enumerate(lines, layout.skip + 1):
                if not line.lstrip().startswith(_COMMENTS):
                    kept.append(number)
                    yield line

        reader = csv.reader(rows(), delimiter=layout.delimiter or " ", skipinitialspace=True)
        for fields in (line.split() for line in rows()) if layout.delimiter is None else reader:
            if not fields:
                continue
            numbers.append(kept[-1])
            if len(fields) != len(layout.names):
                raise InputError(
                    f"Expected {len(layout.names)} fields on every line of {path.name}, got {len(fields)} on line "
                    f"{numbers[-1]}. Correct that line."
                )
            for column, j in zip(tokens, wanted, strict=True):
                column.append(fields[j].strip())
    if not numbers:
        raise InputError(f"Expected rows of numbers in {path.name}, got a header only. Check how it was written.")
    return [_converted(t, numbers, layout.names[j], path) for t, j in zip(tokens, wanted, strict=True)]


def _converted(tokens: list[str], numbers: list[int], name: str, path: Path) -> np.ndarray:
    """Return one column: integers, floating-point numbers, or words where no field is a number."""
    values = [None if token in _MISSING else _number(token) for token in tokens]
    odd = [k for k, (v, token) in enumerate(zip(values, tokens, strict=True)) if v is None and token not in _MISSING]
    if not odd:
        whole = all(re.fullmatch(r"[-+]?\d{1,18}", token) for token in tokens)
        return np.array([int(t) for t in tokens]) if whole else np.array([np.nan if v is None else v for v in values])
    token = tokens[odd[0]]
    comma = _DECIMAL_COMMA.fullmatch(token) is not None
    if comma or any(v is not None for v in values):
        hint = "Write decimal points" if comma else "Correct it"
        raise InputError(
            f"Expected a number in column {split_unit(name)[0]!r} on line {numbers[odd[0]]} of {path.name}, got "
            f"{token!r}. {hint}, or leave the column out (--columns)."
        )
    return np.array([None if token in _MISSING else token for token in tokens], dtype=object)


class CsvWriter:
    """Writer of a header and a line per event; images are flattened, codes written as their words."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(layout.names)

    def write(self, block: np.ndarray) -> None:
        columns = self._layout.columns(block).values()  # a float32 as the shortest digits that give the same one
        texts = [(x.astype(str) if x.dtype.kind == "f" and x.dtype.itemsize < 8 else x).tolist() for x in columns]
        self._rows.writerows(zip(*texts, strict=True))

    def close(self) -> None:
        self._file.close()
