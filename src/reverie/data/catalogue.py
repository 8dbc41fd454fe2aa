"""Data sets by name: real events and images, and simulated points.

What is known of each, and where its files are, is the affair of `reverie.data.entries`; here they are read. `digits`
comes with scikit-learn and the toys are drawn: these need neither file nor network.

All functions raise `UnknownNameError`, with the nearest name, for a data set, column or part that is not there or holds
nothing of what is asked for, and `InputError` if a file cannot be had or has another checksum than it should.
"""

import gzip
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reverie.core.arguments import checked
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.tables import Raw
from reverie.data.covariances import read_covariance
from reverie.data.dataset import Dataset
from reverie.data.entries import Entry, RemoteFile, local_path, read_entries
from reverie.data.formats.text import read_text
from reverie.data.schema import Schema
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
    """Return the paths of the files of `name`, downloading those that are nowhere yet."""
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
    known = [found.name for found in read_entries().values() if found.has(what)]
    if name not in known:
        raise UnknownNameError(f"data set with {title}", name, known)
    return entry(name)


def _check_part(found: Entry, part: str | None) -> None:
    if part is not None and part not in found.parts:
        raise UnknownNameError(f"part of {found.name}", part, found.parts or ("(no parts)",))


def _scikit_digits() -> "Bunch":
    from sklearn.datasets import load_digits

    return load_digits()  # pyright: ignore[reportReturnType]


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
