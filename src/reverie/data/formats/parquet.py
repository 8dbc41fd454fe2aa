"""Parquet files: columns of numbers or words, by pyarrow (extra ``io``)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reverie.core.checks import check_different
from reverie.core.errors import InputError
from reverie.core.lazy import exceeds_memory
from reverie.core.tables import Raw, check_width, join_columns
from reverie.data.formats import Layout, words_of
from reverie.data.formats.arrays import known_column
from reverie.data.formats.unpacked import ROWS_AT_ONCE, mapped_columns
from reverie.data.schema import split_unit

__all__ = ["ParquetWriter", "is_number", "numbers_of", "read"]

ROW_GROUP_BYTES = 1 << 22  # small blocks are held back until they fill one: a group costs a reader time of its own


def read(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return the columns `names` of a Parquet file, or all."""
    file = pq.ParquetFile(path)
    plain = [split_unit(field)[0] for field in file.schema_arrow.names]
    check_different(plain, f" in {path.name}")
    fields = dict(zip(plain, file.schema_arrow.names, strict=True))
    wanted = {name: fields[name] for name in (plain if names is None else [known_column(n, fields) for n in names])}
    check_width(len(wanted), path.name)
    types = [file.schema_arrow.field(field).type for field in wanted.values()]
    if exceeds_memory((file.metadata.num_rows, len(wanted))) and all(map(is_number, types)):
        return _unpacked(path, file, wanted)
    # a name with a dot would be taken for a field within a column, so all are read where there is one
    dotted = any("." in field for field in wanted.values())
    table = file.read(columns=None if dotted else list(wanted.values()))
    return join_columns({field: _column(table[field], name) for name, field in wanted.items()})


class ParquetWriter:
    """Writer of a column per feature, words of categorical columns as such, in row groups of 4 MiB."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        kinds = [pa.string() if n in layout.labels else pa.from_numpy_dtype(t) for n, t in layout.types_by_name.items()]
        self._schema = pa.schema(list(zip(layout.names, kinds, strict=True)))
        # No two floats are the same: a dictionary of them takes five times as long to write and half as much room more
        repeated: Any = [n for n, t in layout.types_by_name.items() if n in layout.labels or t.kind != "f"] or False
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=repeated)
        self._held: list[pa.Table] = []

    def write(self, block: np.ndarray) -> None:
        """Append a block (n, *event)."""
        labels = self._layout.labels
        columns = {n: words_of(x, labels[n]) if n in labels else x for n, x in self._layout.columns(block).items()}
        self._held.append(pa.table(columns, schema=self._schema))
        if sum(table.nbytes for table in self._held) >= ROW_GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write what is held back, and close the file."""
        try:
            self._write_group()
        finally:
            self._file.close()

    def _write_group(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._file.write_table(pa.concat_tables(held))


def _unpacked(path: Path, file: pq.ParquetFile, wanted: Mapping[str, str]) -> Raw:
    """Return columns of numbers (name -> field) of a large file from a memory map."""
    groups = [file.metadata.row_group(g) for g in range(file.metadata.num_row_groups)]
    dtypes: dict[str, np.dtype] = {}
    for field in wanted.values():
        dtype = np.dtype(file.schema_arrow.field(field).type.to_pandas_dtype())
        found = [group.column(file.schema_arrow.get_field_index(field)).statistics for group in groups]
        has_gaps = dtype.kind != "f" and any(one is None or one.null_count for one in found)
        dtypes[field] = np.dtype(np.float64) if has_gaps else dtype  # what is missing becomes NaN
    batches = file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(dtypes))
    blocks = ([_column(batch.column(field), name) for name, field in wanted.items()] for batch in batches)
    return mapped_columns(path, dtypes, file.metadata.num_rows, blocks)


def is_number(kind: pa.DataType) -> bool:
    """Tell whether a type of Arrow holds real numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def numbers_of(column: "pa.Array | pa.ChunkedArray") -> np.ndarray:
    """Return a column of numbers of Arrow; what is missing becomes NaN."""
    return (column.cast(pa.float64()) if column.null_count else column).to_numpy(zero_copy_only=False)


def _column(column: "pa.Array | pa.ChunkedArray", name: str) -> np.ndarray:
    kind = column.type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(column.to_pylist(), dtype=object)
    if not is_number(kind):
        raise InputError(f"Expected numbers in column {name!r}, got {kind}. Leave the column out (--columns).")
    return numbers_of(column)
