"""Data sets by name: real events and images, and simulated points.

Every entry names its source, its licence, its citation and the sha256 of its files. A file is
looked for in the folder that the environment variable ``REVERIE_DATA`` names, then in the cache of
the operating system; only then is it downloaded, by pooch, and only its checksum makes it welcome.
`digits` comes with scikit-learn and the toys are drawn: these need neither file nor network.
"""

import gzip
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.errors import InputError, UnknownNameError
from reverie.data.covariances import read_covariance
from reverie.data.dataset import Dataset
from reverie.data.entries import ENTRIES, Entry, RemoteFile
from reverie.data.schema import Column, Schema
from reverie.data.text import read_text
from reverie.data.toys import TOYS

if TYPE_CHECKING:
    from reverie.core.types import RandomState

__all__ = [
    "Entry",
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
    return dict(ENTRIES)


def entry(name: str) -> Entry:
    """Return the entry `name`; an unknown name is answered with the nearest."""
    if name not in ENTRIES:
        raise UnknownNameError("data set", name, ENTRIES)
    return ENTRIES[name]


def listing() -> str:
    """Return a line per entry, for ``reverie data list``."""
    rows = [(e.name, f"{e.n_rows:,}" if e.n_rows else "any", e.title) for e in ENTRIES.values()]
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
    return [_local(name, file) for file in entry(name).files]


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
    name : as in `listing`.
    columns : names to keep, in this order; default those that a model can train on.
    part : "train" (default) or "test" for mnist and rbm_cd25_500; also "valid" for binarized_mnist.
    n : number of points of a simulated set, default 10,000.
    random_state : for the simulated sets; the default draws the same points every time.

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
    if part is not None and part not in found.parts:
        raise UnknownNameError(f"part of {name}", part, found.parts or ("(no parts)",))
    if name in TOYS:
        values = TOYS[name](DEFAULT_POINTS if n is None else n, random_state)
        data = _dataset(found, values, simulated=str(random_state))
    else:
        data = _LOADERS[name](found, part or "train")
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
    if name not in _COVARIANCES:
        raise UnknownNameError("data set with a covariance", name, _COVARIANCES)
    if name != "planck_plik_lite":
        return read_covariance(_local(name, entry(name).files[0]))[0]
    raw = _local(name, entry(name).files[1]).read_bytes()
    n = sum(PLIK_SPECTRA.values())
    triangle = np.frombuffer(raw, "<f8", count=n * n, offset=4).reshape(n, n)  # 4 bytes: Fortran record mark
    return np.tril(triangle) + np.tril(triangle, -1).T


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
    if name not in _LABELS:
        raise UnknownNameError("data set with labels", name, _LABELS)
    found = entry(name)
    if part is not None and part not in found.parts:
        raise UnknownNameError(f"part of {name}", part, found.parts or ("(no parts)",))
    return _LABELS[name](found, part or "train").astype(np.int64)


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
    if name not in _STATES:
        raise UnknownNameError("data set with a quantum state", name, _STATES)
    real, imaginary = np.loadtxt(_local(name, entry(name).files[1])).T
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
    if name != "qubits":
        raise UnknownNameError("data set with bases", name, ["qubits"])
    lines = _local(name, entry(name).files[2]).read_text().splitlines()
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
    if name != "rbm_cd25_500":
        raise UnknownNameError("data set with weights", name, ["rbm_cd25_500"])
    rows = np.arange(784).reshape(28, 28).T.ravel()  # the file runs down the columns of an image
    with np.load(_local(name, entry(name).files[1])) as stored:
        return {"W": stored["W"][rows], "visible_bias": stored["a"][rows], "hidden_bias": stored["b"]}


def _digits(found: Entry, part: str) -> Dataset:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return _dataset(found, bunch.images.astype(np.uint8))


def _mnist(found: Entry, part: str) -> Dataset:
    path = _local(found.name, found.files[0 if part == "train" else 1])
    raw = gzip.decompress(path.read_bytes())
    n, height, width = (int(v) for v in np.frombuffer(raw, ">i4", count=3, offset=4))
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(n, height, width)
    return _dataset(found, images, part=part, source_file=path.name)


def _digit_labels(found: Entry, part: str) -> np.ndarray:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return bunch.target


def _mnist_labels(found: Entry, part: str) -> np.ndarray:
    raw = gzip.decompress(_local(found.name, found.files[2 if part == "train" else 3]).read_bytes())
    return np.frombuffer(raw, np.uint8, offset=8)  # 8: a magic number and the number of labels


def _binarized_mnist(found: Entry, part: str) -> Dataset:
    from scipy.io import loadmat

    path = _local(found.name, found.files[found.parts.index(part)])
    pixels = loadmat(path, variable_names=["X"])["X"]
    return _dataset(found, np.ascontiguousarray(pixels).reshape(-1, 28, 28), part=part, source_file=path.name)


def _columns_of_bits(found: Entry, part: str) -> Dataset:
    from scipy.io import loadmat

    path, key = _local(found.name, found.files[0]), {"train": "x_trn", "test": "x_tst"}[part]
    pixels = loadmat(path, variable_names=[key])[key].astype(np.uint8)
    images = pixels.T.reshape(-1, 28, 28).transpose(0, 2, 1)  # an image is a column of the file, column by column
    return _dataset(found, np.ascontiguousarray(images), part=part, source_file=path.name)


def _table(found: Entry, part: str) -> Dataset:
    """Text tables with or without header; text columns become codes in alphabetical order."""
    path = _local(found.name, found.files[0])
    names = [column.name for column in found.columns]
    raw = read_text(path, None, names if found.name == "magic" else None)
    return _dataset(found, raw.values, labels=raw.labels, source_file=path.name)


def _measurements(found: Entry, part: str) -> Dataset:
    path = _local(found.name, found.files[0])
    return _dataset(found, np.loadtxt(path, dtype=np.int64), source_file=path.name)


def _matrix(found: Entry, part: str) -> Dataset:
    path = _local(found.name, found.files[0])
    return _dataset(found, read_covariance(path)[0], source_file=path.name)


def _packed_spins(found: Entry, part: str) -> Dataset:
    path = _local(found.name, found.files[0])
    with np.load(path) as stored:
        bits = np.unpackbits(stored["packed"], axis=1)[:, : math.prod(found.event_shape)]
    return _dataset(found, 2 * bits.astype(np.int8).reshape(-1, *found.event_shape) - 1, source_file=path.name)


def _planck(found: Entry, part: str) -> Dataset:
    path = _local(found.name, found.files[0])
    table = np.loadtxt(path)
    spectrum = np.repeat(np.arange(len(PLIK_SPECTRA)), list(PLIK_SPECTRA.values()))
    return _dataset(found, np.column_stack([table, spectrum]), source_file=path.name)


_LOADERS: dict[str, Callable[[Entry, str], Dataset]] = {
    "digits": _digits,
    "mnist": _mnist,
    "binarized_mnist": _binarized_mnist,
    "rbm_cd25_500": _columns_of_bits,
    "dimuon_z": _table,
    "dimuon_upsilon": _table,
    "magic": _table,
    "planck_plik_lite": _planck,
    "theory_covariance": _matrix,
    "drell_yan_covariance": _matrix,
    "ising_4x4": _packed_spins,
    "ising_8x8": _packed_spins,
    "tfim1d": _measurements,
    "qubits": _measurements,
}
_STATES = ("tfim1d", "qubits")
_COVARIANCES = ("planck_plik_lite", "theory_covariance", "drell_yan_covariance")


_LABELS: dict[str, Callable[[Entry, str], np.ndarray]] = {"digits": _digit_labels, "mnist": _mnist_labels}


def _dataset(
    found: Entry, values: np.ndarray, labels: dict[str, tuple[str, ...]] | None = None, **notes: str
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


def _local(name: str, file: RemoteFile) -> Path:
    folder = os.environ.get("REVERIE_DATA")
    if folder:
        path = Path(folder).expanduser() / file.path
        if path.is_file():
            return _verified(path, file)
    if not file.url:
        raise InputError(
            f"Expected {file.path} of {name} in the folder that REVERIE_DATA names, got none; no public file has this "
            f"form. Make it from {entry(name).source} and put it there."
        )
    return _downloaded(name, file)


def _verified(path: Path, file: RemoteFile) -> Path:
    if hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256:
        return path
    raise InputError(
        f"Expected the sha256 {file.sha256[:12]}... for {path}, got another: the file is damaged or of another "
        "version. Remove it and fetch it again."
    )


def _downloaded(name: str, file: RemoteFile) -> Path:
    import pooch

    cache = Path(pooch.os_cache("reverie")) / Path(file.path).parent
    downloader: Any = pooch.HTTPDownloader(timeout=30)
    pooch.get_logger().setLevel("WARNING")
    try:
        got = pooch.retrieve(
            file.url,
            known_hash=f"sha256:{file.sha256}",
            fname=Path(file.path).name,
            path=cache,
            downloader=downloader,
        )
    except Exception as error:  # whatever the network or its libraries raise, the remedy is the same
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"Expected to find or download {file.path} of {name}, got {type(error).__name__} from {file.url} "
            f"({reason}). Download it by hand to a folder, as {file.path}, and set REVERIE_DATA to that folder."
        ) from None
    return Path(got)
