"""Data sets by name: real events and images, and simulated points.

What is known of each, and where its files are, is the affair of `reverie.data.entries`; here they are read. `digits`
comes with scikit-learn and the toys are drawn: these need neither file nor network.
"""

import gzip
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.errors import InputError, UnknownNameError
from reverie.data.covariances import read_covariance
from reverie.data.dataset import Dataset
from reverie.data.entries import Entry, RemoteFile, local_path, read_entries
from reverie.data.formats.text import read_text
from reverie.data.schema import Column, Schema
from reverie.data.toys import TOYS

if TYPE_CHECKING:
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
    "load_labels",
    "load_state",
    "load_weights",
]

DEFAULT_POINTS = 10_000
PLIK_SPECTRA = {"TT": 215, "TE": 199, "EE": 199}


@checked
def entries() -> dict[str, Entry]:
    """Return all entries by name."""
    return dict(read_entries())


def entry(name: str) -> Entry:
    """Return the entry `name`; an unknown name is answered with the nearest."""
    if name not in read_entries():
        raise UnknownNameError("data set", name, read_entries())
    return read_entries()[name]


def listing() -> str:
    """Return a line per entry, for ``reverie data list``."""
    rows = [(e.name, f"{e.n_rows:,}" if e.n_rows else "any", e.title) for e in read_entries().values()]
    widths = [max(len(row[j]) for row in rows) for j in range(2)]
    return "\n".join(f"{name:{widths[0]}}  {n:>{widths[1]}}  {title}" for name, n, title in rows)


@checked
def fetch(name: str) -> list[Path]:
    """Return the paths of the files of `name`, downloading those that are nowhere yet.

    Raises
    ------
    UnknownNameError
        For a name that is not in the catalogue.
    InputError
        If a file cannot be had, or has another checksum than it should.
    """
    found = entry(name)
    return [local_path(found, file) for file in found.files]


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

    Raises
    ------
    UnknownNameError
        For an unknown data set, column or part.
    InputError
        If a file cannot be had, or `n` is given for a set of fixed size.

    Examples
    --------
    >>> load("ring", n=1000)
    Dataset(1000 events x 2 columns: x, y)
    """
    found = entry(name)
    if n is not None and name not in TOYS:
        raise InputError(f"Expected no n for {name}, which has {found.n_rows} events, got {n}. Use take(slice(n)).")
    _check_part(found, part)
    if name in TOYS:
        values = TOYS[name](DEFAULT_POINTS if n is None else n, random_state)
        data = _dataset(found, values, simulated=str(random_state))
    else:
        data = FORMS[found.form](found, part or "train")
    wanted = columns if columns is not None else (found.default_columns or None)
    return data if wanted is None else data.select(wanted)


@checked
def load_covariance(name: str) -> np.ndarray:
    """Return the covariance matrix that comes with `name`, symmetric.

    planck_plik_lite, (613, 613), has the rows of ``load(name)`` and the unit of the spectrum squared.
    theory_covariance, (205, 205), and drell_yan_covariance, (132, 132), are nothing but such a matrix.

    Raises
    ------
    UnknownNameError
        For a data set without a covariance.
    InputError
        If the file cannot be had.
    """
    matrix = read_covariance(_with("covariance", name, "a covariance").path_of("covariance"))[0]
    if name != "planck_plik_lite":
        return matrix
    return np.tril(matrix) + np.tril(matrix, -1).T  # its file holds the lower triangle


@checked
def load_labels(name: str, part: str | None = None) -> np.ndarray:
    """Return the class of each image of ``load(name, part=part)``, (n,) int64: the digits 0 ... 9 of digits and mnist.

    Raises
    ------
    UnknownNameError
        For a data set without labels, or an unknown part.
    InputError
        If a file cannot be had.

    Examples
    --------
    >>> load_labels("digits")[:12]
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    """
    labelled = {"digits", *(e.name for e in read_entries().values() if e.has("train labels"))}
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

    Raises
    ------
    UnknownNameError
        For a data set that is not of measurements.
    InputError
        If the file cannot be had.
    """
    real, imaginary = np.loadtxt(_with("state", name, "a quantum state").path_of("state")).T
    return real + 1j * imaginary


@checked
def load_bases(name: str) -> list[str]:
    """Return the basis in which each row of ``load(name)`` was measured, a letter X, Y or Z per site: qubits.

    Raises
    ------
    UnknownNameError
        For a data set that is not of measurements in several bases.
    InputError
        If the file cannot be had.
    """
    lines = _with("bases", name, "bases").path_of("bases").read_text().splitlines()
    return [line.replace(" ", "") for line in lines]


@checked
def load_weights(name: str) -> dict[str, Any]:
    """Return the published Boltzmann machine that comes with `name`, as `RBM.from_weights` takes it: rbm_cd25_500.

    Arrays of float64: W (784, 500), visible_bias (784,) and hidden_bias (500,).

    Raises
    ------
    UnknownNameError
        For a data set without a machine.
    InputError
        If the file cannot be had.
    """
    path = _with("weights", name, "weights").path_of("weights")
    rows = np.arange(784).reshape(28, 28).T.ravel()  # the file runs down the columns of an image
    with np.load(path) as stored:
        return {"W": stored["W"][rows], "visible_bias": stored["a"][rows], "hidden_bias": stored["b"]}


def _with(what: str, name: str, title: str) -> Entry:
    """Return the entry `name` if a file of it holds `what`, which is called `title` in the message otherwise."""
    known = [found.name for found in read_entries().values() if found.has(what)]
    if name not in known:
        raise UnknownNameError(f"data set with {title}", name, known)
    return entry(name)


def _check_part(found: Entry, part: str | None) -> None:
    if part is not None and part not in found.parts:
        raise UnknownNameError(f"part of {found.name}", part, found.parts or ("(no parts)",))


def _scikit_digits() -> Any:
    from sklearn.datasets import load_digits

    return load_digits()


def _digits(found: Entry, part: str) -> Dataset:
    return _dataset(found, _scikit_digits().images.astype(np.uint8))


def _idx(found: Entry, part: str) -> Dataset:
    path = found.path_of(part)
    raw = gzip.decompress(path.read_bytes())
    n, height, width = (int(v) for v in np.frombuffer(raw, ">i4", count=3, offset=4))
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(n, height, width)
    return _dataset(found, images, part=part, source_file=path.name)


def _matlab(found: Entry, part: str) -> Dataset:
    from scipy.io import loadmat

    path = found.path_of(part)
    pixels = loadmat(path, variable_names=["X"])["X"]
    return _dataset(found, np.ascontiguousarray(pixels).reshape(-1, 28, 28), part=part, source_file=path.name)


def _matlab_columns(found: Entry, part: str) -> Dataset:
    from scipy.io import loadmat

    path, key = found.path_of("events"), {"train": "x_trn", "test": "x_tst"}[part]
    pixels = loadmat(path, variable_names=[key])[key].astype(np.uint8)
    images = pixels.T.reshape(-1, 28, 28).transpose(0, 2, 1)  # an image is a column of the file, column by column
    return _dataset(found, np.ascontiguousarray(images), part=part, source_file=path.name)


def _text(found: Entry, part: str) -> Dataset:
    """Read a table with a header; columns of words become codes in alphabetical order."""
    path = found.path_of("events")
    raw = read_text(path)
    return _dataset(found, raw.values, labels=raw.labels, source_file=path.name)


def _text_without_header(found: Entry, part: str) -> Dataset:
    path = found.path_of("events")
    raw = read_text(path, None, [column.name for column in found.columns])
    return _dataset(found, raw.values, labels=raw.labels, source_file=path.name)


def _measurements(found: Entry, part: str) -> Dataset:
    path = found.path_of("events")
    return _dataset(found, np.loadtxt(path, dtype=np.int64), source_file=path.name)


def _matrix(found: Entry, part: str) -> Dataset:
    path = found.path_of("covariance")
    return _dataset(found, read_covariance(path)[0], source_file=path.name)


def _packed_spins(found: Entry, part: str) -> Dataset:
    path = found.path_of("events")
    with np.load(path) as stored:
        bits = np.unpackbits(stored["packed"], axis=1)[:, : math.prod(found.event_shape)]
    return _dataset(found, 2 * bits.astype(np.int8).reshape(-1, *found.event_shape) - 1, source_file=path.name)


def _planck(found: Entry, part: str) -> Dataset:
    path = found.path_of("events")
    table = np.loadtxt(path)
    spectrum = np.repeat(np.arange(len(PLIK_SPECTRA)), list(PLIK_SPECTRA.values()))
    return _dataset(found, np.column_stack([table, spectrum]), source_file=path.name)


FORMS: dict[str, Callable[[Entry, str], Dataset]] = {  # how the files of an entry are read
    "digits": _digits,
    "idx": _idx,
    "matlab": _matlab,
    "matlab_columns": _matlab_columns,
    "text": _text,
    "text_without_header": _text_without_header,
    "planck": _planck,
    "matrix": _matrix,
    "packed_spins": _packed_spins,
    "measurements": _measurements,
}


def _dataset(
    found: Entry, values: np.ndarray, labels: Mapping[str, tuple[str, ...]] | None = None, **notes: str
) -> Dataset:
    columns: list[Column] = []
    for column in found.columns:
        words = (labels or {}).get(column.name)
        if words is not None:
            column = replace(column, levels=tuple(float(k) for k in range(len(words))), labels=words)
        columns.append(column)
    schema = Schema(tuple(columns), values.shape[1:], values.dtype.name)
    provenance = {"catalogue": found.name, "source": found.source, "licence": found.licence, **notes}
    return Dataset(values, schema=schema, provenance={**provenance, "citation": found.key})
