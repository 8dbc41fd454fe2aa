"""Data sets by name: real events and images, and simulated points.

What is known of each stands in `catalogue.yaml` beside this file: source, licence, citation, columns, and the SHA-256
of the files. A file is looked for in the folder that the environment variable ``REVERIE_DATA`` names, then in the cache
of the operating system; only then is it downloaded, by pooch, and only its checksum makes it welcome. `digits` comes
with scikit-learn and the toys are drawn: these need neither file nor network.

All functions raise `UnknownNameError`, with the nearest name, for a data set, column or part that is not there or holds
nothing of what is asked for, and `InputError` if a file cannot be had or has another checksum than it should.
"""

import gzip
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from reverie.core.arguments import checked
from reverie.core.bibliography import BIBLIOGRAPHY, entry_key
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.tables import Raw
from reverie.core.typed_files import digest_of_file
from reverie.data.covariances import read_covariance
from reverie.data.dataset import Dataset
from reverie.data.formats.text import read_text
from reverie.data.schema import Column, Schema
from reverie.data.toys import TOYS

if TYPE_CHECKING:
    from sklearn.utils import Bunch

    from reverie.core.types import RandomState

__all__ = [
    "Entry",
    "RemoteFile",
    "entries",
    "entry",
    "fetch",
    "listing",
    "load",
    "load_bases",
    "load_covariance",
    "load_covariance_names",
    "load_labels",
    "load_state",
    "load_weights",
]

DEFAULT_POINTS = 10_000
PLIK_SPECTRA = {"TT": 215, "TE": 199, "EE": 199}


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set.

    Parameters
    ----------
    path : Path below REVERIE_DATA and below the cache.
    sha256 : Checksum, 64 hexadecimal digits.
    size : Size in bytes.
    url : Address; empty for a file that was derived from a public one, and must be put into REVERIE_DATA by hand.
    holds : What is in it: "events", one part of them, "labels", "covariance", "state", "bases" or "weights".
    """

    path: str
    sha256: str
    size: int
    url: str = ""
    holds: str = "events"


@dataclass(frozen=True)
class Entry:
    """All that the catalogue knows of a data set.

    Parameters
    ----------
    name, title : Name, and what it is in a few words, for lists.
    n_rows : Number of events; 0 for simulated sets of any size.
    event_shape : Shape of one event of the whole file.
    columns : Columns, as in a `Schema`.
    source : Address of the people who made it.
    licence : Terms as its source states them.
    citation : BibTeX entry, which begins with ``@type{key,``.
    form : How its files are read, a key of `FORMS`; "toy" for simulated points.
    files : Files that `fetch` fetches.
    parts : Names of the parts; the first is the default.
    default_columns : Columns that `load` returns unless others are asked for; empty for all.
    note : What a user should know.
    """

    name: str
    title: str
    n_rows: int
    event_shape: tuple[int, ...]
    columns: tuple[Column, ...]
    source: str
    licence: str
    citation: str
    form: str = "toy"
    files: tuple[RemoteFile, ...] = ()
    parts: tuple[str, ...] = ()
    default_columns: tuple[str, ...] = ()
    note: str = ""

    @property
    def key(self) -> str:
        """Citation key of the BibTeX entry."""
        return entry_key(self.citation)

    def __str__(self) -> str:
        shape = " x ".join(str(n) for n in self.event_shape)
        size = sum(file.size for file in self.files)
        lines = [f"{self.name}: {self.title}", f"events: {self.n_rows or 'any number'}, each {shape}"]
        titles = ", ".join(column.title for column in self.columns)
        lines += [f"columns: {titles}"] if 1 < len(self.columns) <= 30 else []
        lines += [f"default columns: {', '.join(self.default_columns)}"] if self.default_columns else []
        lines += [f"parts: {', '.join(self.parts)}"] if self.parts else []
        lines += [self.note] if self.note else []
        lines += [f"source: {self.source}", f"licence: {self.licence}"]
        lines += [f"files: {len(self.files)}, {size / 1e6:.1f} MB"] if self.files else []
        return "\n".join([*lines, self.citation])

    def path_of(self, what: str) -> Path:
        """Return the path of the file that holds `what`, downloaded if it is nowhere yet."""
        return _local_path(self, next(file for file in self.files if file.holds == what))

    def has(self, what: str) -> bool:
        """Tell whether any file holds `what`."""
        return any(file.holds == what for file in self.files)


@cache
def _read_entries() -> dict[str, Entry]:
    """Return the entries of `catalogue.yaml` by name."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it
    records = yaml.load(files("reverie.data").joinpath("catalogue.yaml").read_text(encoding="utf-8"), loader)
    found = {}
    for name, record in records.items():
        columns, citation = list(_columns_of(record["columns"])), BIBLIOGRAPHY[record["citation"]]
        found[name] = msgspec.convert({**record, "name": name, "columns": columns, "citation": citation}, Entry)
    return found


def _columns_of(rows: Iterable[Any]) -> Iterable[dict[str, Any]]:
    """Yield the properties of each column: lists stand for their parts, and a row with a count for so many."""
    for row in rows:
        if isinstance(row, list):
            yield from _columns_of(row)
        elif "count" in row:
            properties = {key: value for key, value in row.items() if key != "count"}
            yield from ({**properties, "name": f"{row['name']}{k}"} for k in range(row["count"]))
        else:
            yield row


def _local_path(found: Entry, file: RemoteFile) -> Path:
    """Return the path of a file of an entry, downloaded if it is nowhere yet."""
    folder = os.environ.get("REVERIE_DATA")
    path = Path(folder).expanduser() / file.path if folder else Path()
    if path.is_file():
        if digest_of_file(path) == file.sha256:
            return path
        raise InputError(
            f"Expected the sha256 {file.sha256[:12]}... for {path}, got another: the file is damaged or of another "
            "version. Remove it and fetch it again."
        )
    if not file.url:
        raise InputError(
            f"Expected {file.path} of {found.name} in the folder that REVERIE_DATA names, got none; no public file has "
            f"this form. Make it from {found.source} and put it there."
        )
    import pooch

    place = Path(pooch.os_cache("reverie")) / file.path
    downloader: Any = pooch.HTTPDownloader(timeout=30)
    pooch.get_logger().setLevel("WARNING")
    try:
        got = pooch.retrieve(
            file.url, known_hash=f"sha256:{file.sha256}", fname=place.name, path=place.parent, downloader=downloader
        )
    except Exception as error:  # whatever the network or its libraries raise, the remedy is the same
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"Expected to find or download {file.path} of {found.name}, got {type(error).__name__} from {file.url} "
            f"({reason}). Download it by hand to a folder, as {file.path}, and set REVERIE_DATA to that folder."
        ) from None
    return Path(got)


@checked
def entries() -> dict[str, Entry]:
    """Return all entries by name."""
    return dict(_read_entries())


def entry(name: str) -> Entry:
    """Return the entry `name`; an unknown name is answered with the nearest, a path with the function that reads it."""
    known = _read_entries()
    if name not in known:
        if Path(str(name)).suffix or len(Path(str(name)).parts) > 1:
            raise InputError(
                f"Expected the name of a data set of the catalogue, got {str(name)!r}, a path. Read your own files by "
                "reverie.data.read(path)."
            )
        raise UnknownNameError("data set", name, known)
    return known[name]


def listing() -> str:
    """Return a line per entry, for ``reverie data list``."""
    rows = [(e.name, f"{e.n_rows:,}" if e.n_rows else "any", e.title) for e in _read_entries().values()]
    widths = [max(len(row[j]) for row in rows) for j in range(2)]
    return "\n".join(f"{name:{widths[0]}}  {n:>{widths[1]}}  {title}" for name, n, title in rows)


@checked
def fetch(name: str) -> list[Path]:
    """Return the paths of the files of `name`, downloading those that are nowhere yet."""
    found = entry(name)
    return [_local_path(found, file) for file in found.files]


@checked
def load(
    name: str,
    columns: Sequence[str] | str | None = None,
    *,
    part: str | None = None,
    n: int | None = None,
    random_state: "RandomState" = 0,
) -> Dataset:
    """Return the data set `name`.

    Parameters
    ----------
    name : Name of the data set, as `listing` shows it.
    columns : names to keep, in this order; default those that a model can train on.
    part : "train" (default) or "test" for mnist and rbm_cd25_500; also "valid" for binarized_mnist.
    n : number of points of a simulated set, default 10,000.
    random_state : Seed of the simulated sets; the default draws the same points every time.

    Examples
    --------
    >>> load("ring", n=1000)
    Dataset(1000 events x 2 columns: x, y)
    """
    found = entry(name)
    if n is not None and name not in TOYS:
        raise InputError(f"Expected no n for {name}, which has {found.n_rows} events, got {n}. Use take(slice(n)).")
    _check_part(found, part)
    notes = {"part": part or "train"} if found.parts else {}
    if name in TOYS:
        raw = Raw(TOYS[name](DEFAULT_POINTS if n is None else n, random_state))
        notes["simulated"] = str(random_state)
    elif name == "digits":
        raw = Raw(_scikit_digits().images.astype(np.uint8))
    else:
        what = next(what for what in (part or "train", "events", "covariance") if found.has(what))
        path = found.path_of(what)
        raw = FORMS[found.form](path, found, part or "train")
        notes["source_file"] = path.name
    described = []
    for column in found.columns:
        words = raw.labels.get(column.name)
        levels = None if words is None else tuple(float(k) for k in range(len(words)))
        described.append(column if words is None else replace(column, levels=levels, labels=words))
    schema = Schema(tuple(described), raw.values.shape[1:], raw.values.dtype.name)
    provenance = {"catalogue": name, "source": found.source, "licence": found.licence, **notes, "citation": found.key}
    data = Dataset(raw.values, schema=schema, provenance=provenance)
    wanted = columns if columns is not None else (found.default_columns or None)
    return data if wanted is None else data.select(wanted)


@checked
def load_covariance(name: str) -> np.ndarray:
    """Return the covariance matrix that comes with `name`, symmetric.

    planck_plik_lite, (613, 613), has the rows of ``load(name)`` and the unit of the spectrum squared.
    theory_covariance, (205, 205), and drell_yan_covariance, (132, 132), are nothing but such a matrix.
    """
    matrix = read_covariance(_with("covariance", name, "a covariance").path_of("covariance"))[0]
    if name != "planck_plik_lite":
        return matrix
    return np.tril(matrix) + np.tril(matrix, -1).T  # its file holds the lower triangle


@checked
def load_covariance_names(name: str) -> tuple[str, ...] | None:
    """Return the names of the rows of ``load_covariance(name)`` as its file holds them, or None if it has none."""
    return read_covariance(_with("covariance", name, "a covariance").path_of("covariance"))[1]


@checked
def load_labels(name: str, part: str | None = None) -> np.ndarray:
    """Return the class of each image of ``load(name, part=part)``, (n,) int64: the digits 0 ... 9 of digits and mnist.

    Examples
    --------
    >>> load_labels("digits")[:12]
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    """
    labelled = {"digits", *(e.name for e in _read_entries().values() if e.has("train labels"))}
    if name not in labelled:
        raise UnknownNameError("data set with labels", name, sorted(labelled))
    found = entry(name)
    _check_part(found, part)
    if name == "digits":
        return _scikit_digits().target.astype(np.int64)
    raw = gzip.decompress(found.path_of(f"{part or 'train'} labels").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=8).astype(np.int64)  # 8: a magic number and the number of labels


@checked
def load_state(name: str) -> np.ndarray:
    """Return the amplitudes of the quantum state behind the measurements `name`, complex128 (2^n_sites,).

    The first site is the most significant bit: tfim1d (1024,) and qubits (4,).
    """
    real, imaginary = np.loadtxt(_with("state", name, "a quantum state").path_of("state")).T
    return real + 1j * imaginary


@checked
def load_bases(name: str) -> list[str]:
    """Return the basis in which each row of ``load(name)`` was measured, a letter X, Y or Z per site: qubits."""
    lines = _with("bases", name, "bases").path_of("bases").read_text().splitlines()
    return [line.replace(" ", "") for line in lines]


@checked
def load_weights(name: str) -> dict[str, np.ndarray]:
    """Return the published Boltzmann machine that comes with `name`, as `RBM.from_weights` takes it: rbm_cd25_500.

    Arrays of float64: W (784, 500), visible_bias (784,) and hidden_bias (500,).
    """
    path = _with("weights", name, "weights").path_of("weights")
    rows = np.arange(784).reshape(28, 28).T.ravel()  # the file runs down the columns of an image
    with np.load(path) as stored:
        return {"W": stored["W"][rows], "visible_bias": stored["a"][rows], "hidden_bias": stored["b"]}


def _with(what: str, name: str, title: str) -> Entry:
    """Return the entry `name` if a file of it holds `what`, which is called `title` in the message otherwise."""
    known = [found.name for found in _read_entries().values() if found.has(what)]
    if name not in known:
        raise UnknownNameError(f"data set with {title}", name, known)
    return entry(name)


def _check_part(found: Entry, part: str | None) -> None:
    if part is not None and part not in found.parts:
        raise UnknownNameError(f"part of {found.name}", part, found.parts or ("(no parts)",))


def _scikit_digits() -> "Bunch":
    from sklearn.datasets import load_digits

    return load_digits()


def _idx(path: Path, found: Entry, part: str) -> Raw:
    raw = gzip.decompress(path.read_bytes())
    n, height, width = (int(v) for v in np.frombuffer(raw, ">i4", count=3, offset=4))
    return Raw(np.frombuffer(raw, np.uint8, offset=16).reshape(n, height, width))


def _matlab(path: Path, found: Entry, part: str) -> Raw:
    from scipy.io import loadmat

    return Raw(np.ascontiguousarray(loadmat(path, variable_names=["X"])["X"]).reshape(-1, 28, 28))


def _matlab_columns(path: Path, found: Entry, part: str) -> Raw:
    from scipy.io import loadmat

    key = {"train": "x_trn", "test": "x_tst"}[part]
    pixels = loadmat(path, variable_names=[key])[key].astype(np.uint8)
    # an image is a column of the file, column by column
    return Raw(np.ascontiguousarray(pixels.T.reshape(-1, 28, 28).transpose(0, 2, 1)))


def _packed_spins(path: Path, found: Entry, part: str) -> Raw:
    with np.load(path) as stored:
        bits = np.unpackbits(stored["packed"], axis=1)[:, : math.prod(found.event_shape)]
    return Raw(2 * bits.astype(np.int8).reshape(-1, *found.event_shape) - 1)


def _planck(path: Path, found: Entry, part: str) -> Raw:
    spectrum = np.repeat(np.arange(len(PLIK_SPECTRA)), list(PLIK_SPECTRA.values()))
    return Raw(np.column_stack([np.loadtxt(path), spectrum]))


FORMS: dict[str, Callable[[Path, Entry, str], Raw]] = {  # how the file of an entry is read
    "idx": _idx,
    "matlab": _matlab,
    "matlab_columns": _matlab_columns,
    "text": lambda path, found, part: read_text(path),  # with a header; words become codes in alphabetical order
    "text_without_header": lambda path, found, part: read_text(path, None, [column.name for column in found.columns]),
    "planck": _planck,
    "matrix": lambda path, found, part: Raw(read_covariance(path)[0]),
    "packed_spins": _packed_spins,
    "measurements": lambda path, found, part: Raw(np.loadtxt(path, dtype=np.int64)),
}
