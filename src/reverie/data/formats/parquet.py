"""Parquet files: columns of numbers or words, by pyarrow (extra ``io``)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reverie.core.checks import check_different
from reverie.core.errors import InputError
from reverie.core.lazy import exceeds_memory
from reverie.core.sets import multiplicities
from reverie.core.tables import Raw, check_width, join_columns
from reverie.data.formats import Layout
from reverie.data.formats.arrays import known_column, sets_of
from reverie.data.formats.unpacked import ROWS_AT_ONCE, mapped_columns
from reverie.data.schema import split_unit

__all__ = ["ParquetWriter", "is_number", "numbers_of", "read"]

ROW_GROUP_BYTES = 1 << 22  # small blocks are held back until they fill one: a group costs a reader time of its own


def read(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return the columns `names` of a Parquet file, or all; of columns of lists, sets with the others beside them."""
    file = pq.ParquetFile(path)
    plain = [split_unit(field)[0] for field in file.schema_arrow.names]
    check_different(plain, f" in {path.name}")
    fields = dict(zip(plain, file.schema_arrow.names, strict=True))
    wanted = {name: fields[name] for name in (plain if names is None else [known_column(n, fields) for n in names])}
    check_width(len(wanted), path.name)
    types = [file.schema_arrow.field(field).type for field in wanted.values()]
    lists = [name for name, kind in zip(wanted, types, strict=True) if _is_list(kind)]
    if exceeds_memory((file.metadata.num_rows, len(wanted))) and all(map(is_number, types)):
        return _unpacked(path, file, wanted)
    # a name with a dot would be taken for a field within a column, so all are read where there is one
    dotted = any("." in field for field in wanted.values())
    table = file.read(columns=None if dotted else list(wanted.values()))
    if not lists:
        return join_columns({field: _column(table[field], name) for name, field in wanted.items()})
    others = {field: _column(table[field], name) for name, field in wanted.items() if name not in lists}
    features, counts = {}, {}
    for name in lists:
        for field, x, n in _particles(table[wanted[name]].combine_chunks(), wanted[name]):
            if field in features:
                raise InputError(f"Expected different features in {path.name}, got {field!r} twice. Choose one.")
            features[field], counts[field] = x, n
    return sets_of(features, counts, join_columns(others) if others else None)


class ParquetWriter:
    """Writer of a column per feature, words of categorical columns as such, in row groups of 4 MiB."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        fields = []
        for one in filter(None, (layout, layout.beside)):
            kinds = {
                n: pa.string() if n in one.labels else pa.from_numpy_dtype(t) for n, t in one.types_by_name.items()
            }
            kinds = {n: pa.list_(kind) for n, kind in kinds.items() if n != "mask"} if one.is_set else kinds
            fields += kinds.items()
        self._schema = pa.schema(fields)
        # No two floats are the same: a dictionary of them takes five times as long to write and half as much room more
        repeated: Any = [n for n, t in layout.types_by_name.items() if n in layout.labels or t.kind != "f"] or False
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=repeated)
        self._held: list[pa.Table] = []

    def write(self, block: np.ndarray, beside: np.ndarray | None = None) -> None:
        columns: dict[str, Any] = dict(self._layout.columns(block))
        if self._layout.is_set:
            ends = pa.array(np.concatenate([[0], np.cumsum(multiplicities(block))]), pa.int32())
            columns = {name: pa.ListArray.from_arrays(ends, pa.array(x)) for name, x in columns.items()}
        if beside is not None and self._layout.beside is not None:
            columns |= self._layout.beside.columns(beside)
        self._held.append(pa.table(columns, schema=self._schema))
        if sum(table.nbytes for table in self._held) >= ROW_GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
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


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _particles(column: Any, name: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the features in a column of lists of numbers, or records: name, all numbers, how many of each set."""
    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    counts = np.asarray(column.value_lengths().fill_null(0), dtype=np.int64)
    flat = column.flatten()
    if not pa.types.is_struct(flat.type):
        yield name, _column(flat, name), counts
        return
    if flat.null_count:
        raise InputError(f"Expected particles in the lists of {name!r}, got {flat.null_count} nulls. Leave them out.")
    for j, field in enumerate(flat.type):
        yield field.name, _column(flat.field(j), field.name), counts


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
