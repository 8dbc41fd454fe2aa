"""File formats, one row each: suffixes, what such a file holds, how it is read and written, and the extra to install.

suffix                  format    read                                          written
.npy                    NumPy     one array, left on disk as a memory map       one array (n, *event)
.npz                    NumPy     one array, or columns of numbers or words     columns, or one array "samples"
.csv                    text      `reverie.data.formats.text`; also .csv.gz     a header and a line per event
.tsv .txt .dat .data    text      the same
.parquet .pq            Parquet   columns of numbers or words                   a column per feature
.h5 .hdf5               HDF5      one data set, or columns of numbers or words  data set "samples" (n, *event)
.root                   ROOT      a TTree or RNTuple of flat branches           TTree "samples", a branch per feature

Words are written as words where a format has columns; HDF5 has codes, and their words as JSON in the attribute
"labels_json" of the data set; .npy has codes alone. Images are flattened where a format has columns. Sets of particles
are

.parquet .pq            columns of lists, or of lists of records; other columns are those of the set
.root                   branches of a varying number; others are those of the set
.npz                    "particles" (n, P, F) and "mask" (n, P), or "particles" (n, P, F + 1) with the mask last;
                        "names" of the features; arrays (n,) are columns of the set
.h5 .hdf5               "particle_features" (n, P, F + 1), as in JetNet, with the attribute "names", and "jet_features"
                        (n, k) with its own; or as .npz
.npy                    one array (n, P, F + 1), which is written only: nothing in the file calls it sets

To add a format: a module in this folder with a function ``read(path,
key, names) -> Raw`` and, if it can be written, a class ``Writer(path, layout)`` with `write` and `close`; and a row
here. Modules stand in the rows by name, so that no library is imported before it is needed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from reverie.core.errors import InputError, MissingDependencyError
from reverie.core.sets import real_entries
from reverie.core.tables import Raw, are_sets

__all__ = ["FORMATS", "READERS", "WRITERS", "Format", "Layout", "Reader", "Writer", "cast", "suffix_of"]

Reader: TypeAlias = Callable[[Path, str | None, Sequence[str] | None], Raw]


@dataclass(frozen=True)
class Layout:
    """What the samples in a file look like.

    Parameters
    ----------
    names : One name per feature of a flattened event; of sets, one per feature of a particle, and "mask".
    event_shape : Shape of one event.
    dtypes : One type per feature.
    n_total : Number of events that will come, or None.
    labels : Words behind the codes 0, 1, ... of categorical features, by name.
    beside : Layout of the columns of the sets, if there are some.
    """

    names: list[str]
    event_shape: tuple[int, ...]
    dtypes: list[np.dtype]
    n_total: int | None
    labels: Mapping[str, Sequence[str]]
    beside: "Layout | None" = None

    @property
    def is_set(self) -> bool:
        """Whether events are sets of particles, zero-padded arrays (P, F + 1) with the mask last."""
        return are_sets(self.event_shape, self.names)

    @property
    def dtype(self) -> np.dtype:
        """The one type that holds all features."""
        return np.result_type(*self.dtypes)

    @property
    def types_by_name(self) -> dict[str, np.dtype]:
        """The type of each feature, by name."""
        return dict(zip(self.names, self.dtypes, strict=True))

    def columns(self, block: np.ndarray) -> dict[str, np.ndarray]:
        """Return the features of a block (n, *event) by name, each in its own type, words in place of their codes.

        Of sets these are the features of the particles that are there, one set after the other, and codes stay codes.
        """
        if self.is_set:
            entries = real_entries(block)
            return {name: cast(entries[:, j], self.dtypes[j]) for j, name in enumerate(self.names[:-1])}
        table = block.reshape(len(block), -1)
        columns = {name: cast(table[:, j], self.dtypes[j]) for j, name in enumerate(self.names)}
        worded = {name: np.array(words) for name, words in self.labels.items() if name in columns}
        return columns | {name: words[columns[name].astype(int)] for name, words in worded.items()}


class Writer(Protocol):
    """An open file that takes blocks of events."""

    def write(self, block: np.ndarray, beside: np.ndarray | None = None) -> None:
        """Append a block (n, *event), of sets with their columns (n, k) if there are some."""
        ...

    def close(self) -> None:
        """Write what is held back and close the file."""
        ...


@dataclass(frozen=True)
class Format:
    """A file format.

    Parameters
    ----------
    suffixes : Suffixes of its files, in lower case.
    content : What such a file holds, for messages, such as "a Parquet file".
    reads : Module in this folder and function that reads it.
    writes : Module and class that writes it; "" where it is only read.
    library : Import name of the optional library that it needs, or "".
    extra : Extra of reverie that installs the library.
    has_sets, has_beside : Whether sets of particles can be written, and columns of the sets beside them.
    """

    suffixes: tuple[str, ...]
    content: str
    reads: str
    writes: str = ""
    library: str = ""
    extra: str = ""
    has_sets: bool = True
    has_beside: bool = True

    def reader(self) -> Reader:
        """Return the function that reads a file: (path, key, names of columns) -> `Raw`."""
        return self._load(self.reads, "read")

    def writer(self, path: Path, layout: Layout) -> Writer:
        """Return a `Writer` of samples of that layout to the file `path`."""
        return self._load(self.writes, "write")(path, layout)

    def _load(self, place: str, verb: str) -> Any:
        if self.library:
            try:
                import_module(self.library)
            except ModuleNotFoundError:
                what = self.content.removeprefix("a ").removeprefix("an ")
                raise MissingDependencyError(self.library, self.extra, f"{verb} {what}s") from None
        module, _, name = place.partition(":")
        return getattr(import_module(f"{__name__}.{module}"), name)


FORMATS = (
    Format((".npy",), "a NumPy array of numbers", "arrays:read_npy", "arrays:NpyWriter", has_beside=False),
    Format((".npz",), "a NumPy archive of numbers", "arrays:read_npz", "arrays:NpzWriter"),
    Format((".csv",), "a table of numbers", "text:read", "text:CsvWriter", has_sets=False, has_beside=False),
    Format((".tsv", ".txt", ".dat", ".data"), "a table of numbers", "text:read"),
    Format((".parquet", ".pq"), "a Parquet file", "parquet:read", "parquet:ParquetWriter", "pyarrow", "io"),
    Format((".h5", ".hdf5"), "an HDF5 file", "hdf5:read", "hdf5:Hdf5Writer", "h5py", "io"),
    Format((".root",), "a ROOT file", "root:read", "root:RootWriter", "uproot", "root"),
)
READERS: dict[str, Format] = {suffix: row for row in FORMATS for suffix in row.suffixes}
WRITERS: dict[str, Format] = {suffix: row for suffix, row in READERS.items() if row.writes}


def suffix_of(file: Path) -> str:
    """Return the suffix of a file in lower case, that before ".gz" for a compressed one."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else (suffixes or [""])[-1]


def cast(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return numbers in another type, rounded where that is an integer type; NaN in one is refused."""
    if dtype.kind in "iub" and x.dtype.kind == "f":
        bad = int(np.count_nonzero(~np.isfinite(x)))
        if bad:
            raise InputError(f"Expected whole numbers, got {bad} NaN or inf. Give a floating-point type.")
        x = np.rint(x)
    return x.astype(dtype)
