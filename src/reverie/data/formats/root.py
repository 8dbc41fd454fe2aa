"""ROOT files: a TTree or RNTuple, by uproot (extra ``root``)."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from reverie.core.errors import InputError
from reverie.core.lazy import exceeds_memory
from reverie.core.sets import multiplicities
from reverie.core.tables import Raw, as_column, check_width, join_columns
from reverie.data.formats import Layout
from reverie.data.formats.arrays import known_column, pick, sets_of
from reverie.data.formats.unpacked import ROWS_AT_ONCE, mapped_columns

__all__ = ["RootWriter", "read"]


def read(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return the branches `names` of the tree `key` of a ROOT file, or all of the only tree."""
    opened: Any = uproot.open(path)
    with opened as file:
        classes = file.classnames(cycle=False)
        trees = [name for name, kind in classes.items() if kind in ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")]
        tree = file[pick(trees, path, key, "tree")]
        branches: list[str] = list(tree.keys())
        wanted = branches if names is None else [known_column(name, branches) for name in names]
        check_width(len(wanted), path.name)
        features = _features(tree.typenames(), wanted)
        if features:
            others = [name for name in wanted if name not in features and name.partition(".")[0] not in features]
            return _sets(tree, [one for parts in features.values() for one in parts], others, all_others=names is None)
        first = {name: x.dtype for name, x in _flat(tree.arrays(wanted, library="np", entry_stop=2), wanted).items()}
        if exceeds_memory((tree.num_entries, len(wanted))) and all(dtype.kind in "biuf" for dtype in first.values()):
            parts = tree.iterate(wanted, library="np", step_size=ROWS_AT_ONCE)
            blocks = (list(_flat(columns, wanted).values()) for columns in parts)
            return mapped_columns(path, first, tree.num_entries, blocks, [tree.name])
        columns = tree.arrays(wanted, library="np")
    return join_columns(_flat(columns, wanted))


class RootWriter:
    """Writer of the TTree "samples", a branch per feature; of sets, branches of a varying number."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        layouts = [layout] if layout.beside is None else [layout, layout.beside]
        types = {name: kind for one in layouts for name, kind in one.types_by_name.items()}
        branches: dict[str, Any] = {n: np.dtype("float32") if t == np.float16 else t for n, t in types.items()}
        if layout.is_set:
            lists = {n: f"var * {branches[n].name}" for n in layout.names if n != "mask"}
            branches = lists | {n: t for n, t in branches.items() if n not in layout.names}
        branches |= {n: "string" for n in layout.labels if not layout.is_set or n not in layout.names}
        self._file = uproot.recreate(path)
        self._tree = self._file.mktree("samples", branches)

    def write(self, block: np.ndarray, beside: np.ndarray | None = None) -> None:
        columns: dict[str, Any] = self._layout.columns(block)
        if self._layout.is_set:
            import awkward

            counts = multiplicities(block)
            columns = {name: awkward.unflatten(x, counts) for name, x in columns.items()}
        if beside is not None and self._layout.beside is not None:
            columns |= self._layout.beside.columns(beside)
        self._tree.extend(columns)

    def close(self) -> None:
        self._file.close()


def _features(types: Mapping[str, str], wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return which of the branches `wanted` hold a varying number, by name, each with the fields of its records.

    A branch of records of an RNTuple, "particles", has fields that are listed as "particles.pt".
    """
    is_list = re.compile(r".*\[\]|(std::)?vector<.*|(ROOT::)?(VecOps::)?RVec<.*|")  # records of an RNTuple have no word
    lists = [name for name, kind in types.items() if is_list.fullmatch(kind)]
    found = {}
    for name in wanted:
        if name in lists or name.partition(".")[0] in lists:
            found[name] = [one for one in types if one.startswith(f"{name}.")] or [name]
    return {name: parts for name, parts in found.items() if name.rpartition(".")[0] not in found}


def _sets(tree: Any, jagged: Sequence[str], others: Sequence[str], *, all_others: bool) -> Raw:
    """Return the sets in branches of a varying number of numbers; the `others` are columns of the sets.

    Where `all_others` of the tree are, not chosen ones, those are left out that only count the numbers of a branch.
    """
    import awkward

    features, counts = {}, {}
    for branch in jagged:
        name, column = branch.rpartition(".")[2], tree.arrays([branch])
        while awkward.fields(column):
            column = column[awkward.fields(column)[0]]
        if column.ndim != 2 or name in features:
            got = f"{name!r} twice" if name in features else f"the type {awkward.type(column)}"
            raise InputError(
                f"Expected a list of numbers for each event in the branch {branch!r}, got {got}. Choose others with "
                "--columns."
            )
        counts[name] = awkward.to_numpy(awkward.num(column, axis=1)).astype(np.int64)
        features[name] = as_column(awkward.to_numpy(awkward.flatten(column, axis=1)), name)
    if all_others:
        counters = {getattr(getattr(tree[name], "count_branch", None), "name", None) for name in jagged}
        others = [name for name in others if name not in counters]
    beside = join_columns(_flat(tree.arrays(others, library="np"), others)) if others else None
    return sets_of(features, counts, beside)


def _flat(columns: Mapping[str, np.ndarray], wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the branches, those of k numbers an event as k columns."""
    flat: dict[str, np.ndarray] = {}
    for name in wanted:
        x = columns[name]
        flat |= {f"{name}_{k}": x[:, k] for k in range(x.shape[1])} if x.ndim == 2 else {name: x}
    return flat
