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
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from reverie.core.errors import InputError, UnknownNameError
from reverie.core.tables import Raw, check_width, join_columns
from reverie.data.formats import Layout
from reverie.data.schema import split_unit

__all__ = ["CsvWriter", "read", "read_text", "words_of"]

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

    Parameters
    ----------
    path : file, possibly compressed (.gz).
    columns : plain names (without unit) to keep, in this order; default all.
    names : names for a file without header.

    Raises
    ------
    InputError
        For a file without rows, rows of different lengths, and text among numbers: with the line.
    """
    layout = _layout(path, names)
    plain = [split_unit(name)[0] for name in layout.names]
    for name in columns or ():
        if name not in plain:
            raise UnknownNameError("column", name, plain)
    wanted = list(range(len(plain))) if columns is None else [plain.index(name) for name in columns]
    found = _with_pyarrow(path, layout, wanted)
    if found is None:
        found = _with_numpy(path, layout, wanted)
    if found is None:
        found = _line_by_line(path, layout, wanted)
    return join_columns({layout.names[j]: x for j, x in zip(wanted, found, strict=True)})


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="")
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _layout(path: Path, names: Sequence[str] | None) -> _Layout:
    skip, first, comment = _first_line(path)
    delimiter = next((d for d in ("\t", ";", ",") if d in first), None)
    fields = _fields(first, delimiter)
    check_width(len(fields), path.name)
    header = None
    if names is None and not any(_is_number(field) for field in fields):
        header, skip = fields, skip + 1
    elif comment and len(_fields(comment, delimiter)) == len(fields) and not any(map(_is_number, comment.split())):
        header = _fields(comment, delimiter)
    if names is not None and len(names) != len(fields):
        raise InputError(f"Expected {len(names)} columns in {path.name}, got {len(fields)}. Check the file.")
    found = list(names) if names is not None else header
    return _Layout(delimiter, _named(found, len(fields), path), skip)


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


def _named(header: list[str] | None, n: int, path: Path) -> list[str]:
    if header is None:
        return [f"x{j}" for j in range(n)]
    names = [name or f"column{j + 1}" for j, name in enumerate(header)]
    plain = [split_unit(name)[0] for name in names]
    twice = next((name for name, n_times in Counter(plain).items() if n_times > 1), None)
    if twice is not None:
        raise InputError(f"Expected different column names in {path.name}, got {twice!r} twice. Rename one.")
    return names


def _fields(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]


def _is_number(text: str) -> bool:
    return _number(text) is not None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    if re.fullmatch(r"[-+]?[\d.]+[dD][-+]?\d+", text.strip()):  # Fortran's double precision
        return float(re.sub("[dD]", "e", text))
    return None


def _with_pyarrow(path: Path, layout: _Layout, wanted: list[int]) -> list[Any] | None:
    if layout.delimiter is None:
        return None
    try:
        import pyarrow as pa
        from pyarrow import csv as arrow
    except ModuleNotFoundError:
        return None
    keys = [f"f{j}" for j in range(len(layout.names))]
    chosen = [keys[j] for j in wanted]
    convert = arrow.ConvertOptions(include_columns=chosen, null_values=list(_MISSING), strings_can_be_null=True)
    try:
        table = arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(skip_rows=layout.skip, column_names=keys),
            parse_options=arrow.ParseOptions(delimiter=layout.delimiter),
            convert_options=convert,
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    found = [_from_arrow(column, pa) for column in table.columns]
    return None if table.num_rows == 0 or any(x is None for x in found) else found


def _from_arrow(column: Any, pa: Any) -> np.ndarray | None:
    """Return numbers, or words none of which is a number; None where only the slow way can judge."""
    kind = column.type
    if pa.types.is_string(kind):
        words = column.unique().to_pylist()
        odd = any(w is not None and (_is_number(w) or _DECIMAL_COMMA.fullmatch(w)) for w in words)
        return None if odd else np.array(column.to_pylist(), object)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return None
    filled = column.cast(pa.float64()) if column.null_count else column
    return filled.to_numpy(zero_copy_only=False)


def _with_numpy(path: Path, layout: _Layout, wanted: list[int]) -> list[Any] | None:
    try:
        with _open(path) as lines:
            for _ in range(layout.skip):
                next(lines)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # an empty table is answered below
                table = np.loadtxt(lines, delimiter=layout.delimiter, ndmin=2, comments=_COMMENTS)
    except ValueError:
        return None
    if table.shape[0] == 0 or table.shape[1] != len(layout.names):
        return None
    return [table[:, j] for j in wanted]


def _line_by_line(path: Path, layout: _Layout, wanted: list[int]) -> list[Any]:
    tokens: list[list[str]] = [[] for _ in wanted]
    numbers: list[int] = []
    for number, fields in _rows(path, layout):
        if len(fields) != len(layout.names):
            raise InputError(
                f"Expected {len(layout.names)} fields on every line of {path.name}, got {len(fields)} on line "
                f"{number}. Correct that line."
            )
        numbers.append(number)
        for column, j in zip(tokens, wanted, strict=True):
            column.append(fields[j].strip())
    if not numbers:
        raise InputError(f"Expected rows of numbers in {path.name}, got a header only. Check how it was written.")
    return [_converted(t, numbers, layout.names[j], path) for t, j in zip(tokens, wanted, strict=True)]


def _rows(path: Path, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
    with _open(path) as lines:
        for _ in range(layout.skip):
            next(lines)
        if layout.delimiter is None:
            rows: Iterator[tuple[int, list[str]]] = ((k, line.split()) for k, line in enumerate(lines, layout.skip + 1))
        else:
            reader = csv.reader(lines, delimiter=layout.delimiter, skipinitialspace=True)
            rows = ((layout.skip + reader.line_num, fields) for fields in reader)
        for number, fields in rows:
            if fields and not fields[0].lstrip().startswith(_COMMENTS):
                yield number, fields


def _converted(tokens: list[str], numbers: list[int], name: str, path: Path) -> Any:
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
        csv.writer(self._file, lineterminator="\n").writerow(layout.names)

    def write(self, block: np.ndarray) -> None:
        """Append a block (n, *event)."""
        columns = [self._texts(name, x) for name, x in self._layout.columns(block).items()]
        self._file.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))

    def close(self) -> None:
        """Write what is held back, and close the file."""
        self._file.close()

    def _texts(self, name: str, x: np.ndarray) -> list[str]:
        if name in self._layout.labels:
            words = words_of(x, self._layout.labels[name])
            return ['"' + w.replace('"', '""') + '"' if any(mark in w for mark in ',"\n') else w for w in words]
        if x.dtype.kind == "f" and x.dtype.itemsize < 8:
            return x.astype(str).tolist()  # the shortest digits that give the same float32
        return [repr(value) for value in x.tolist()]


def words_of(codes: np.ndarray, words: Sequence[str]) -> list[str]:
    """Return the word behind each code 0, 1, ..."""
    return [str(words[int(code)]) for code in codes]
