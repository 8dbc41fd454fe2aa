"""Arrays in files: NumPy's .npy and .npz, and the choice of one array, or of columns, among several in one file.

An array of three axes called "particles" or "particle_features" holds sets of particles, see `read_sets`.

A large array (`reverie.core.lazy`) that is packed is unpacked once into a memory map (`reverie.data.formats.unpacked`).
"""

import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.errors import InputError, UnknownNameError
from reverie.core.lazy import exceeds_memory
from reverie.core.resources import check_memory
from reverie.core.sets import padded, stacked, with_mask
from reverie.core.tables import Raw, join_columns, to_raw
from reverie.data.formats import Layout, cast
from reverie.data.formats.unpacked import ROWS_AT_ONCE, mapped, mapped_columns

__all__ = [
    "PARTICLES",
    "NpyWriter",
    "NpzWriter",
    "has_sets",
    "known_column",
    "one_of",
    "pick",
    "read_npy",
    "read_npz",
    "read_sets",
    "sets_of",
]

PARTICLES = ("particles", "particle_features")
_PARTICLE_FEATURES = ["eta_rel", "phi_rel", "pt_rel", "mask"]  # of JetNet, arXiv:2106.11535
_JET_FEATURES = ["jet_pt", "jet_eta", "jet_mass", "jet_n_particles"]


def read_npy(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return the array in a .npy file as a memory map."""
    return to_raw(_as_events(np.load(path, mmap_mode="r", allow_pickle=False)))


def read_npz(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return one array of a .npz file, or its columns of one length."""
    with zipfile.ZipFile(path) as archive:
        sizes = [entry.file_size for entry in archive.infolist()]
    check_memory(sum(sizes), f"the arrays in {path.name}", "Save each as .npy, which is read where it lies.")
    with np.load(path, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    if (key is None or key in PARTICLES) and has_sets(found):
        return read_sets(found, path, names)
    return one_of({name: x for name, x in found.items() if isinstance(x, np.ndarray)}, path, key, names)


def one_of(found: Mapping[str, Any], path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return one array of several, or arrays of one axis and one length as columns, which may be of words.

    `found` holds arrays of NumPy, or data sets of an open HDF5 file, which are read when they are indexed. Codes in a
    single data set have the words of its attribute "labels_json", JSON by name of the column.
    """
    numbers = {name: item for name, item in found.items() if item.dtype.kind in "biufV" and item.ndim > 0}
    flat = [name for name, item in numbers.items() if item.ndim == 1 and item.dtype.names is None]
    columns = len(flat) == len(numbers) and len({len(numbers[name]) for name in flat}) == 1
    shape = numbers[flat[0]].shape if columns else None
    every = {name: item for name, item in found.items() if item.shape == shape and (name in numbers or _is_text(item))}
    if key is None and columns and (names is not None or len(every) > 1):
        wanted = every if names is None else {name: every[known_column(name, every)] for name in names}
        first, has_words = next(iter(wanted.values())), any(name not in numbers for name in wanted)
        if isinstance(first, np.ndarray) or has_words or not exceeds_memory((len(first), len(wanted))):
            return join_columns({name: item[()] for name, item in wanted.items()})
        starts = range(0, len(first), ROWS_AT_ONCE)
        blocks = ([item[start : start + ROWS_AT_ONCE] for item in wanted.values()] for start in starts)
        return mapped_columns(path, {name: item.dtype for name, item in wanted.items()}, len(first), blocks)
    shapes = {name: f"{name} {tuple(item.shape)}" for name, item in numbers.items()}
    item = numbers[pick(list(numbers), path, key, "array", shapes)]
    attributes = getattr(item, "attrs", {})
    heads, labels = attributes.get("names"), json.loads(attributes.get("labels_json", "{}"))
    is_packed = not isinstance(item, np.ndarray) and item.ndim > 1 and item.dtype.fields is None
    raw = to_raw(_as_events(_unpacked(path, item) if is_packed and exceeds_memory(item.shape) else item[()]))
    names = _words(heads)
    if names is None:
        return raw
    known = {name: tuple(words) for name, words in labels.items() if name in names}
    dtypes: list[str] = ["str" if name in known else raw.values.dtype.name for name in names]
    return Raw(raw.values, names, dtypes if known else None, known)


def has_sets(found: Mapping[str, Any]) -> bool:
    """Tell whether arrays or data sets of a file, by name, are those of sets of particles."""
    return any(name in found and found[name].ndim == 3 for name in PARTICLES)


def read_sets(found: Mapping[str, Any], path: Path, names: Sequence[str] | None) -> Raw:
    """Return sets of particles, or columns of the sets, from arrays by name.

    These are "particles" or "particle_features", (n, P, F) with "mask" (n, P), or (n, P, F + 1) with the mask last;
    "names" of the features, unless these have an attribute "names"; "jet_features" (n, k), columns of the sets; and any
    arrays (n,), which are such columns too. Without names those of JetNet are taken where there are four of them.
    Where `names` are wanted, only these are read; names of columns of the sets alone are a table of these.
    """
    key = next(name for name in PARTICLES if name in found)
    item = found[key]
    values = with_mask(to_raw(item[()]).values, found["mask"][()] if "mask" in found else None)
    n_columns = values.shape[2]
    heads = _words(getattr(item, "attrs", {}).get("names", found.get("names")))
    if heads is None:
        default = [f"x{j}" for j in range(n_columns - 1)]
        heads = _PARTICLE_FEATURES if key == "particle_features" and n_columns == 4 else default
    heads = heads if len(heads) == n_columns else [*heads, "mask"]
    if len(heads) != n_columns or len(set(heads)) < n_columns:
        twice = next((f"{head} twice" for k, head in enumerate(heads) if head in heads[:k]), ", ".join(heads[:-1]))
        raise InputError(
            f"Expected names for the {n_columns - 1} features of {key} in {path.name}, got {twice}. Correct the names."
        )
    others: dict[str, Any] = {}
    for name, item in found.items():
        if item.ndim == 2 and name == "jet_features":
            own = _words(getattr(item, "attrs", {}).get("names"))
            own = own or (_JET_FEATURES if item.shape[1] == 4 else [f"jet_{j}" for j in range(item.shape[1])])
            others |= dict(zip(own, item[()].T, strict=False))
        elif item.ndim == 1 and name not in (*PARTICLES, "mask", "names"):
            others[name] = item[()]
    features = {name: values[..., j] for j, name in enumerate(heads[:-1])}
    every = [*features, *others]
    wanted = every if names is None else [known_column(name, every) for name in names if name != "mask"]
    chosen, columns = [name for name in wanted if name in features], [name for name in wanted if name in others]
    beside = join_columns({name: others[name] for name in columns}) if columns else None
    if not chosen and beside is not None:
        return beside
    if beside is not None and len(beside.values) != len(values):
        raise InputError(
            f"Expected one number for each of {len(values)} sets in {', '.join(columns)[:80]} of {path.name}, "
            f"got {len(beside.values)}. Correct the file."
        )
    if chosen != list(features):
        values = np.stack([*(features[name] for name in chosen), values[..., -1]], axis=-1)
    return Raw(values, [*chosen, "mask"], beside=beside)


def sets_of(features: Mapping[str, np.ndarray], counts: Mapping[str, np.ndarray], beside: Raw | None) -> Raw:
    """Return zero-padded sets from all numbers of each feature and how many of these belong to each set."""
    particles, n = stacked(features, counts)
    values, types = padded(particles, n), [x.dtype.name for x in features.values()]
    return Raw(values, [*features, "mask"], [*types, values.dtype.name], beside=beside)


def _is_text(item: Any) -> bool:
    """Tell whether an array or a data set of HDF5 holds words."""
    return item.dtype.kind in "US" or (item.dtype.metadata or {}).get("vlen") in (str, bytes)


def _words(heads: Any) -> list[str] | None:
    return None if heads is None else [head.decode() if isinstance(head, bytes) else str(head) for head in heads]


def pick(names: Sequence[str], path: Path, key: str | None, what: str, shown: Mapping[str, str] | None = None) -> str:
    """Return the name `key` if it is among the `names` of what a file holds, or the only one of them."""
    if key is not None:
        if key not in names:
            raise UnknownNameError(f"{what} in {path.name}", key, names)
        return key
    if len(names) == 1:
        return names[0]
    if not names:
        raise InputError(f"Expected one {what} of numbers in {path.name}, got none. Check how the file was written.")
    listed = ", ".join((shown or {}).get(name, name) for name in names)
    raise InputError(f"Expected one {what} in {path.name}, got {len(names)}: {listed}. Choose one: {path}:{names[0]}")


def known_column(name: str, names: Collection[str]) -> str:
    """Return `name` if there is such a column; an unknown one is answered with the nearest."""
    if name not in names:
        raise UnknownNameError("column", name, names)
    return name


class NpyWriter:
    """Writer of one array (n, *event).

    The header has the same length for every number of rows, so it can be corrected at the end.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout, self._n_written = layout, 0
        self._file = path.open("wb")
        self._header(layout.n_total or 0)

    def write(self, block: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(cast(block, self._layout.dtype)).data)
        self._n_written += len(block)

    def close(self) -> None:
        try:
            if self._n_written != (self._layout.n_total or 0):
                self._file.seek(0)
                self._header(self._n_written)
        finally:
            self._file.close()

    def _header(self, n: int) -> None:
        descr = np.lib.format.dtype_to_descr(self._layout.dtype)
        shape = (n, *self._layout.event_shape)
        np.lib.format.write_array_header_1_0(self._file, {"descr": descr, "fortran_order": False, "shape": shape})


class NpzWriter:
    """Writer of an archive: columns of a table by name, images as "samples", sets as "particles", "mask" and "names".

    An archive is written as a whole, when it is closed.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout, self._path = layout, path
        self._held: list[dict[str, np.ndarray]] = []
        path.touch()

    def write(self, block: np.ndarray, beside: np.ndarray | None = None) -> None:
        layout, arrays = self._layout, {}
        if layout.is_set:
            particles, mask = block[..., :-1], block[..., -1]
            dtype = np.result_type(*layout.dtypes[:-1])
            arrays = {"particles": cast(particles, dtype), "mask": mask.astype(np.uint8)}
            if beside is not None and layout.beside is not None:
                arrays |= layout.beside.columns(beside)
        else:
            arrays = layout.columns(block) if len(layout.event_shape) == 1 else {"samples": cast(block, layout.dtype)}
        self._held.append(arrays)

    def close(self) -> None:
        held, self._held = self._held, []
        arrays = {name: np.concatenate([one[name] for one in held]) for name in (held[0] if held else ())}
        if self._layout.is_set:
            arrays["names"] = np.array(self._layout.names)
        with zipfile.ZipFile(self._path, "w") as archive:  # `np.savez` of numpy 1 leaves it open if the disk is full
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)


def _as_events(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, 1) if array.ndim == 1 and array.dtype.names is None else array


def _unpacked(path: Path, item: Any) -> np.ndarray:
    """Return a large data set of an HDF5 file as a memory map: in the file itself, where it lies there in one piece."""
    offset = item.id.get_offset()
    if offset is not None and not item.external:
        return np.memmap(path, dtype=item.dtype, mode="r", offset=offset, shape=item.shape)
    size = max(1, ROWS_AT_ONCE * 8 // max(1, item[:1].size))
    blocks = (item[start : start + size] for start in range(0, len(item), size))
    return mapped(path, [item.name], item.shape, item.dtype, blocks)
