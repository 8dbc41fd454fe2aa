"""Parquet files: columns of numbers or words, by pyarrow (extra ``io``)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reverie.core.errors import InputError
from reverie.core.lazy import exceeds_memory
from reverie.core.tables import Raw, check_width, join_columns
from reverie.data.formats import Layout
from reverie.data.formats.arrays import known_column
from reverie.data.formats.text import words_of
from reverie.data.formats.unpacked import ROWS_AT_ONCE, mapped
from reverie.data.schema import split_unit

__all__ = ["ParquetWriter", "read"]

ROW_GROUP_BYTES = 1 << 22  # small blocks are held back until they fill one: a group costs a reader time of its own


def read(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return the columns `names` of a Parquet file, or all."""
    file = pq.ParquetFile(path)
    plain = [split_unit(field)[0] for field in file.schema_arrow.names]
    twice = next((name for name, n in Counter(plain).items() if n > 1), None)
    if twice is not None:
        raise InputError(f"Expected different column names in {path.name}, got {twice!r} twice. Rename one.")
    fields = dict(zip(plain, file.schema_arrow.names, strict=True))
    wanted = plain if names is None else [known_column(name, fields) for name in names]
    check_width(len(wanted), path.name)
    if exceeds_memory((file.metadata.num_rows, len(wanted))):
        found = _unpacked(path, file, {fields[name]: name for name in wanted})
        if found is not None:
            return found
    # a name with a dot would be taken for a field within a column, so all are read where there is one
    dotted = any("." in fields[name] for name in wanted)
    table = file.read(columns=None if dotted else [fields[name] for name in wanted])
    return join_columns({fields[name]: _arrow_column(table[fields[name]], name) for name in wanted})


class ParquetWriter:
    """Writer of a column per feature, words of categorical columns as such, in row groups of 4 MiB."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        kinds = [pa.string() if n in layout.labels else pa.from_numpy_dtype(t) for n, t in layout.types_by_name.items()]
        self._schema = pa.schema(list(zip(layout.names, kinds, strict=True)))
        # No two floats are the same: a dictionary of them takes five times as long to write and half as much room more
        repeated: Any = [n for n, t in layout.types_by_name.items() if n in layout.labels or t.kind != "f"] or False
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=repeated)
        self._held: list[Any] = []

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


def _unpacked(path: Path, file: pq.ParquetFile, wanted: Mapping[str, str]) -> Raw | None:
    """Return the columns of numbers of a large file from a memory map; None where some hold words."""
    kinds = [file.schema_arrow.field(name).type for name in wanted]
    if not all(pa.types.is_integer(k) or pa.types.is_floating(k) or pa.types.is_boolean(k) for k in kinds):
        return None
    dtypes = [np.dtype(k.to_pandas_dtype()) for k in kinds]
    groups = [file.metadata.row_group(g) for g in range(file.metadata.num_row_groups)]
    places = [file.schema_arrow.get_field_index(name) for name in wanted]
    for j, place in enumerate(places):
        found = [group.column(place).statistics for group in groups]
        if dtypes[j].kind != "f" and any(one is None or one.null_count for one in found):
            dtypes[j] = np.dtype(np.float64)  # what is missing becomes NaN

    def blocks() -> Iterator[np.ndarray]:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(wanted)):
            columns = [_arrow_column(batch.column(name), shown) for name, shown in wanted.items()]
            yield np.stack([x.astype(dtype) for x, dtype in zip(columns, dtypes, strict=True)], axis=1)

    shape, n_rows, dtype = (len(wanted),), file.metadata.num_rows, np.result_type(*dtypes)
    values = mapped(path, list(wanted), event_shape=shape, dtype=dtype, n_rows=n_rows, blocks=blocks)
    return Raw(values, list(wanted), [dtype.name for dtype in dtypes])


def _arrow_column(column: Any, name: str) -> np.ndarray:
    kind = column.type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(column.to_pylist(), dtype=object)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"Expected numbers in column {name!r}, got {kind}. Leave the column out (--columns).")
    filled = column.cast(pa.float64()) if column.null_count else column
    return filled.to_numpy(zero_copy_only=False)
